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
    let (keys, codes) = (keys.as_slice()?, codes.as_slice()?);
    let (mask, shift) = (codes.len() - 1, 64 - codes.len().trailing_zeros());
    let first = |key: i64| ((key as u64).wrapping_mul(mix) >> shift) as usize;
    let code_of = |&key: &i64| {
        let mut slot = first(key);
        loop {
            let code = codes[slot];
            if code < 0 || keys[code as usize] == key {
                return i64::from(code);
            }
            slot = (slot + 1) & mask;
        }
    };
    Ok(PyArray1::from_iter(py, sought.as_slice()?.iter().map(code_of)))
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
