//! The data of an event: its values, and what the meters of its type read of them.

use crate::columns::TypeColumns;
use crate::identity::digest;
use crate::number::scaled;
use crate::scan::{Cursor, Scalar};
use crate::shape::{Limits, Shape};
use crate::texts::Texts;
use crate::{HandedBack, Taken};

const WHOLE_MAX: usize = 18; // characters of an integer that is read as text: all these are canonical but "-0"

/// `text` is UTF-8, of which U+0080 to U+009F are 0xC2 and one byte below 0xA0; what is below U+0020 was never taken.
pub fn is_fit(text: &[u8], bytes_max: usize, plain: bool) -> bool {
    text.len() <= bytes_max
        && (plain || !text.contains(&0x7F) && !text.windows(2).any(|pair| pair[0] == 0xC2 && pair[1] < 0xA0))
}

/// Reads an object into the slots of its fields. `seen`: a bit for each slot and node met so far.
pub fn read_object<'a>(
    cursor: &mut Cursor<'a>,
    shape: &Shape,
    node: usize,
    slots: &mut [Scalar<'a>],
    seen: &mut u64,
) -> Taken<()> {
    cursor.expect(b'{')?;
    if cursor.take(b'}') {
        return Ok(());
    }
    let fields = &shape.nodes[node];
    loop {
        let name = cursor.name()?;
        match fields.iter().find(|field| field.name.as_bytes() == name) {
            None => {
                cursor.skip()?;
            }
            Some(field) => {
                let bit = 1 << field.slot.unwrap_or(shape.slots + field.node);
                if *seen & bit != 0 {
                    return Err(HandedBack); // named twice
                }
                *seen |= bit;
                match field.slot {
                    Some(slot) => slots[slot] = cursor.scalar()?,
                    None => read_object(cursor, shape, field.node, slots, seen)?,
                }
            }
        }
        if !cursor.more(b'}')? {
            return Ok(());
        }
    }
}

/// The values of one event.
pub struct Values<'a, 'k> {
    pub slots: &'k [Scalar<'a>],
    pub limits: &'k Limits,
    pub plain: bool,
}

impl Values<'_, '_> {
    pub fn numbers(&self, shape: &Shape, time_us: i64, columns: &mut TypeColumns) -> Taken<()> {
        for (&(slot, precision), column) in shape.numbers.iter().zip(&mut columns.numbers) {
            column.push(match self.slots[slot] {
                Scalar::Null => None,
                Scalar::Bool(_) => return Err(HandedBack),
                Scalar::Text(written) | Scalar::Whole(written) | Scalar::Decimal(written) => {
                    Some(scaled(written, precision)?)
                }
            });
        }
        for need in &shape.needs {
            let column = &columns.numbers[need.number];
            let (value, present) = (column.values.last(), column.present.last());
            let wrong = present != Some(&1) || (!need.allow_negative && value < Some(&0));
            if wrong && (need.from_us..need.to_us).contains(&time_us) {
                return Err(HandedBack);
            }
        }
        Ok(())
    }

    pub fn members(&self, shape: &Shape, columns: &mut TypeColumns) -> Taken<()> {
        for (&slot, column) in shape.members.iter().zip(&mut columns.members) {
            column.push(canonical(self.slots[slot])?.map(digest));
        }
        Ok(())
    }

    pub fn texts(&self, shape: &Shape, columns: &mut TypeColumns, texts: &mut Texts) -> Taken<()> {
        for (&slot, column) in shape.texts.iter().zip(&mut columns.texts) {
            let text = canonical(self.slots[slot])?.unwrap_or_default();
            if !is_fit(text, self.limits.dimension_bytes_max, self.plain) {
                return Err(HandedBack);
            }
            column.push(texts.code(text));
        }
        Ok(())
    }
}

/// The canonical text of a value; None where it is missing.
fn canonical(value: Scalar<'_>) -> Taken<Option<&[u8]>> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Bool(true) => Ok(Some(b"true")),
        Scalar::Bool(false) => Ok(Some(b"false")),
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Whole(written) if written.len() <= WHOLE_MAX && written != b"-0" => Ok(Some(written)),
        Scalar::Whole(_) | Scalar::Decimal(_) => Err(HandedBack),
    }
}
