//! The optional compiled kernel of Tollstream's decoder: JSON messages to columns.
//!
//! It takes what it can take exactly as the Python path would, and hands every other message back whole, without
//! saying why: the Python path is the reference and decides. Nothing here refuses an event.
#![forbid(unsafe_code)]

mod columns;
mod event;
mod fold;
mod identity;
mod instant;
mod kernel;
mod number;
mod probe;
mod scan;
mod shape;
mod texts;
mod values;

/// This message is not for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedBack;

pub type Taken<T> = Result<T, HandedBack>;

#[pyo3::pymodule]
mod tollstream_kernel {
    #[pymodule_export]
    use crate::fold::{sums, tally};
    #[pymodule_export]
    use crate::kernel::Kernel;
    #[pymodule_export]
    use crate::probe::{add, codes_of, find};

    /// Of the Python side that this module fits, `processors/decode_kernel.py`.
    #[pymodule_export]
    const INTERFACE: u32 = 2;
}
