//! The columns of one call. A message that is handed back after all takes its rows with it.

use crate::shape::Shape;

#[derive(Default)]
pub struct Columns {
    /// Events of each message, with those that are handed back alone; 0: it is handed back whole.
    pub counts: Vec<i32>,
    pub kinds: Vec<i16>,
    pub times: Vec<i64>,
    pub digests: Vec<[u64; 2]>,
    pub types: Vec<TypeColumns>,
}

/// The events of one type.
pub struct TypeColumns {
    pub rows: Vec<i64>,
    pub subjects: Vec<i64>,
    pub texts: Vec<Vec<i64>>,
    pub numbers: Vec<Column<i64>>,
    pub members: Vec<Column<[u64; 2]>>,
}

/// Values, zero where not present.
#[derive(Default)]
pub struct Column<T> {
    pub values: Vec<T>,
    pub present: Vec<u8>,
}

impl<T: Default> Column<T> {
    pub fn push(&mut self, value: Option<T>) {
        self.present.push(u8::from(value.is_some()));
        self.values.push(value.unwrap_or_default());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.present.truncate(rows);
    }
}

impl TypeColumns {
    fn new(shape: &Shape) -> Self {
        Self {
            rows: Vec::new(),
            subjects: Vec::new(),
            texts: shape.texts.iter().map(|_| Vec::new()).collect(),
            numbers: shape.numbers.iter().map(|_| Column::default()).collect(),
            members: shape.members.iter().map(|_| Column::default()).collect(),
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.subjects.truncate(rows);
        self.texts.iter_mut().for_each(|column| column.truncate(rows));
        self.numbers.iter_mut().for_each(|column| column.truncate(rows));
        self.members.iter_mut().for_each(|column| column.truncate(rows));
    }
}

impl Columns {
    pub fn new(shapes: &[Shape]) -> Self {
        Self {
            types: shapes.iter().map(TypeColumns::new).collect(),
            ..Self::default()
        }
    }

    pub fn rows(&self) -> usize {
        self.kinds.len()
    }

    /// Drops every row from `rows` on, also one that is there in part.
    pub fn truncate(&mut self, rows: usize) {
        self.kinds.truncate(rows);
        self.times.truncate(rows);
        self.digests.truncate(rows);
        for columns in &mut self.types {
            let kept = columns.rows.partition_point(|&row| row < rows as i64);
            columns.truncate(kept);
        }
    }

    pub fn clear(&mut self) {
        self.counts.clear();
        self.truncate(0);
    }
}
