//! The Python class: message values in, columns out.

use bytemuck::{NoUninit, cast_slice};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyTuple};

use crate::columns::{Column, Columns, TypeColumns};
use crate::event::Reader;
use crate::shape::{Limits, Shape};
use crate::texts::Texts;

const SLOTS_MAX: usize = 64; // bits of the mask that tells fields named twice

type Bytes<'py> = Bound<'py, PyByteArray>;

/// One catalogue's decoder. `processors/decode_kernel.py` says what goes in and comes out.
#[pyclass]
pub struct Kernel {
    shapes: Vec<Shape>,
    limits: Limits,
    texts: Texts,
    columns: Columns,
    room: Vec<u8>,
}

#[pymethods]
impl Kernel {
    #[new]
    fn new(mut shapes: Vec<Shape>, limits: Limits) -> Self {
        for shape in &mut shapes {
            shape.taken &= shape.slots + shape.nodes.len() <= SLOTS_MAX;
        }
        let columns = Columns::new(&shapes);
        Self {
            shapes,
            limits,
            texts: Texts::new(),
            columns,
            room: Vec::new(),
        }
    }

    /// Begins a new numbering of texts.
    fn forget(&mut self) {
        self.texts = Texts::new();
    }

    /// `values`: list of bytes or None; `limits_us`: int64 of each, the latest instant that its events may have.
    /// Returns (counts, kinds, times, digests, types, texts seen for the first time, events handed back alone).
    fn decode<'py>(
        &mut self,
        py: Python<'py>,
        values: &Bound<'py, PyList>,
        limits_us: &[u8],
    ) -> PyResult<Bound<'py, PyTuple>> {
        let values: Vec<Option<Bound<'py, PyBytes>>> =
            values.iter().map(|value| value.cast_into::<PyBytes>().ok()).collect();
        self.columns.clear();
        let mut reader = Reader {
            shapes: &self.shapes,
            limits: &self.limits,
            texts: &mut self.texts,
            columns: &mut self.columns,
            room: &mut self.room,
            slots: Vec::new(),
            odd: Vec::new(),
            odd_here: 0,
            plain: false,
            limit_us: 0,
        };
        for (place, (value, limit)) in values.iter().zip(limits_us.as_chunks::<8>().0).enumerate() {
            let value = value.as_ref().map_or(&b""[..], |value| value.as_bytes());
            reader.limit_us = i64::from_ne_bytes(*limit);
            let (rows, odd) = (reader.columns.rows(), reader.odd.len());
            let count = take(&mut reader, place, value);
            if count.is_none() {
                reader.columns.truncate(rows);
                reader.odd.truncate(odd);
            }
            reader.columns.counts.push(count.unwrap_or(0));
        }
        let odd = reader.odd;
        self.result(py, odd)
    }
}

impl Kernel {
    fn result<'py>(
        &mut self,
        py: Python<'py>,
        odd: Vec<(usize, usize, usize, usize)>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let columns = &self.columns;
        let types: Vec<_> = columns.types.iter().map(|of_type| of_type.result(py)).collect();
        // Each was cut out of UTF-8 at bytes of ASCII.
        let news = self
            .texts
            .news()
            .map(std::str::from_utf8)
            .collect::<Result<Vec<_>, _>>()
            .expect("UTF-8");
        (
            array(py, &columns.counts),
            array(py, &columns.kinds),
            array(py, &columns.times),
            array(py, &columns.digests),
            types,
            news,
            odd,
        )
            .into_pyobject(py)
    }
}

type TypeResult<'py> = (
    Bytes<'py>,
    Bytes<'py>,
    Vec<Bytes<'py>>,
    Vec<(Bytes<'py>, Bytes<'py>)>,
    Vec<(Bytes<'py>, Bytes<'py>)>,
);

impl TypeColumns {
    fn result<'py>(&self, py: Python<'py>) -> TypeResult<'py> {
        (
            array(py, &self.rows),
            array(py, &self.subjects),
            self.texts.iter().map(|column| array(py, column)).collect(),
            self.numbers.iter().map(|column| pair(py, column)).collect(),
            self.members.iter().map(|column| pair(py, column)).collect(),
        )
    }
}

/// The events of one message; None where it is handed back whole.
fn take<'a>(reader: &mut Reader<'a, '_>, place: usize, value: &'a [u8]) -> Option<i32> {
    let ascii = value.is_ascii();
    if value.len() > reader.limits.message_bytes_max || (!ascii && std::str::from_utf8(value).is_err()) {
        return None;
    }
    reader.plain = ascii && !value.contains(&0x7F);
    reader.odd_here = 0;
    let count = reader.message(place, value).ok()?;
    i32::try_from(count).ok()
}

fn array<'py, T: NoUninit>(py: Python<'py>, values: &[T]) -> Bytes<'py> {
    PyByteArray::new(py, cast_slice(values))
}

fn pair<'py, T: NoUninit>(py: Python<'py>, column: &Column<T>) -> (Bytes<'py>, Bytes<'py>) {
    (array(py, &column.values), array(py, &column.present))
}
