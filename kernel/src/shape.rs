//! What is read of each event type: `processors/decode_shapes.py` in the kernel's terms.

use pyo3::FromPyObject;

/// A member of an object that is read: its name, the slot of its value, or the node of the object that it is.
#[derive(FromPyObject)]
pub struct Field {
    pub name: String,
    pub slot: Option<usize>,
    pub node: usize,
}

/// What a meter needs of a number from one instant to another: that it is there, and maybe not negative.
#[derive(FromPyObject)]
pub struct Need {
    pub number: usize,
    pub from_us: i64,
    pub to_us: i64,
    pub allow_negative: bool,
}

#[derive(FromPyObject)]
pub struct Shape {
    pub event_type: String,
    /// Place of the type in the catalogue, or -1 where no meter has it.
    pub kind: i16,
    /// False: its events are handed back.
    pub taken: bool,
    /// Objects in the data, the data itself first; none where nothing of it is read.
    pub nodes: Vec<Vec<Field>>,
    /// How many slots and nodes the fields name; at most 64.
    pub slots: usize,
    /// The slot of each text; (slot, precision) of each number; the slot of each value of a unique meter.
    pub texts: Vec<usize>,
    pub numbers: Vec<(usize, u8)>,
    pub members: Vec<usize>,
    pub needs: Vec<Need>,
}

#[derive(FromPyObject)]
pub struct Limits {
    pub message_bytes_max: usize,
    pub message_events_max: usize,
    pub id_bytes_max: usize,
    pub source_bytes_max: usize,
    pub subject_bytes_max: usize,
    pub dimension_bytes_max: usize,
}
