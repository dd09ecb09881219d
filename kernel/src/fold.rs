//! What the fold adds to the columns of a table, which stay numpy arrays: `processors/partials.py` does the same by whole
//! columns. `rows`: of each event, the place of its partial in them.

use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;

const LOW: i64 = 0xFFFF_FFFF;

/// Counts events, notes the offset of the last one of each row, and that the row was touched. `offset` ascends.
#[pyfunction]
pub fn tally(
    rows: PyReadonlyArray1<'_, i64>,
    offset: PyReadonlyArray1<'_, i64>,
    mut events: PyReadwriteArray1<'_, i64>,
    mut last: PyReadwriteArray1<'_, i64>,
    mut touched: PyReadwriteArray1<'_, bool>,
) -> PyResult<()> {
    let (events, last, touched) = (events.as_slice_mut()?, last.as_slice_mut()?, touched.as_slice_mut()?);
    for (&row, &offset) in rows.as_slice()?.iter().zip(offset.as_slice()?) {
        let row = row as usize;
        events[row] += 1;
        last[row] = offset;
        touched[row] = true;
    }
    Ok(())
}

/// Adds values to sums of two limbs, hi * 2^32 + lo. The carry is settled at once, so that lo stays below 2^32.
#[pyfunction]
pub fn sums(
    rows: PyReadonlyArray1<'_, i64>,
    values: PyReadonlyArray1<'_, i64>,
    mut hi: PyReadwriteArray1<'_, i64>,
    mut lo: PyReadwriteArray1<'_, i64>,
) -> PyResult<()> {
    let (hi, lo) = (hi.as_slice_mut()?, lo.as_slice_mut()?);
    for (&row, &value) in rows.as_slice()?.iter().zip(values.as_slice()?) {
        let row = row as usize;
        let low = lo[row] + (value & LOW);
        lo[row] = low & LOW;
        hi[row] += (value >> 32) + (low >> 32);
    }
    Ok(())
}
