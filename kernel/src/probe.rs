//! Look-ups in the fold's open-addressing tables, which stay numpy arrays: `processors/int_codes.py` and
//! `processors/identity.py` do the same by rounds over whole batches.

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2};
use pyo3::prelude::*;

type Array<'py, T> = Bound<'py, PyArray1<T>>;

/// The code of each of `sought`, -1 where it has none. `keys`: by code; `codes`: by slot, 2^k of them, -1 where free, with
/// some free; a key's first slot is the first k bits of its product with `mix`.
#[pyfunction]
pub fn find<'py>(
    py: Python<'py>,
    keys: PyReadonlyArray1<'py, i64>,
    codes: PyReadonlyArray1<'py, i32>,
    sought: PyReadonlyArray1<'py, i64>,
    mix: u64,
) -> PyResult<Array<'py, i64>> {
    let (keys, table) = (keys.as_slice()?, codes.as_slice()?);
    let code_of = |&key: &i64| i64::from(table[slot_of(key, keys, table, mix)]);
    Ok(PyArray1::from_iter(py, sought.as_slice()?.iter().map(code_of)))
}

/// The code of each of `sought`, a new one where it has none, and how many there are then. It stops before the first key
/// that `keys` has no room for: there are fewer codes than keys then. Otherwise as `find`; `count`: codes so far.
#[pyfunction]
#[pyo3(name = "codes")]
pub fn codes_of<'py>(
    py: Python<'py>,
    mut keys: PyReadwriteArray1<'py, i64>,
    mut codes: PyReadwriteArray1<'py, i32>,
    sought: PyReadonlyArray1<'py, i64>,
    mix: u64,
    mut count: usize,
) -> PyResult<(Array<'py, i64>, usize)> {
    let (keys, table) = (keys.as_slice_mut()?, codes.as_slice_mut()?);
    let sought = sought.as_slice()?;
    let mut found = Vec::with_capacity(sought.len());
    for &key in sought {
        let slot = slot_of(key, keys, table, mix);
        if table[slot] < 0 {
            if count == keys.len() {
                break;
            }
            keys[count] = key;
            table[slot] = count as i32;
            count += 1;
        }
        found.push(i64::from(table[slot]));
    }
    Ok((PyArray1::from_vec(py, found), count))
}

/// The slot that a key is in, or the free one that it would go into.
fn slot_of(key: i64, keys: &[i64], table: &[i32], mix: u64) -> usize {
    let (mask, shift) = (table.len() - 1, 64 - table.len().trailing_zeros());
    let mut slot = ((key as u64).wrapping_mul(mix) >> shift) as usize;
    while table[slot] >= 0 && keys[table[slot] as usize] != key {
        slot = (slot + 1) & mask;
    }
    slot
}

/// Adds digests to a set: which are new, and how many there are then. `keys`: the first `count` are members, with room
/// for all; `table`: by slot, 2^k of them, -1 where free, with room as well; a digest's first slot is the last k bits of
/// its high half.
#[pyfunction]
pub fn add<'py>(
    py: Python<'py>,
    mut keys: PyReadwriteArray2<'py, u64>,
    mut table: PyReadwriteArray1<'py, i32>,
    digests: PyReadonlyArray2<'py, u64>,
    mut count: usize,
) -> PyResult<(Array<'py, bool>, usize)> {
    let (keys, _) = keys.as_slice_mut()?.as_chunks_mut::<2>();
    let (digests, _) = digests.as_slice()?.as_chunks::<2>();
    let table = table.as_slice_mut()?;
    let mask = table.len() - 1;
    let mut new = vec![false; digests.len()];
    for (digest, new) in digests.iter().zip(&mut new) {
        let mut slot = digest[0] as usize & mask;
        while table[slot] >= 0 && keys[table[slot] as usize] != *digest {
            slot = (slot + 1) & mask;
        }
        if table[slot] < 0 {
            keys[count] = *digest;
            table[slot] = count as i32;
            *new = true;
            count += 1;
        }
    }
    Ok((PyArray1::from_vec(py, new), count))
}
