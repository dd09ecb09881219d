//! One event: from its bytes to a row of the columns.

use crate::columns::{Columns, TypeColumns};
use crate::identity::{digest, identity};
use crate::instant::micros;
use crate::number::scaled;
use crate::scan::{Cursor, Scalar};
use crate::shape::{Limits, Shape};
use crate::texts::Texts;
use crate::{HandedBack, Taken};

const UNMETERED: i16 = -1;
/// A batch with more odd events than this, and than one in eight, is read faster as a whole elsewhere.
const ODD_MAX: usize = 8;
const WHOLE_MAX: usize = 18; // characters of an integer that is read as text: all these are canonical but "-0"

/// The attributes of an event, and its data, unread.
#[derive(Default)]
struct Envelope<'a> {
    specversion: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    event_type: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
}

/// Takes the events of one message after the other.
pub struct Reader<'a, 'k> {
    pub shapes: &'k [Shape],
    pub limits: &'k Limits,
    pub texts: &'k mut Texts,
    pub columns: &'k mut Columns,
    pub room: &'k mut Vec<u8>,
    /// The value of each slot of the event at hand.
    pub slots: Vec<Scalar<'a>>,
    /// (message, index, start, end) of the events that are handed back alone; and how many the message at hand has.
    pub odd: Vec<(usize, usize, usize, usize)>,
    pub odd_here: usize,
    /// No text of the message can hold a forbidden character.
    pub plain: bool,
    /// The latest instant that an event of the message may have.
    pub limit_us: i64,
}

impl<'a> Reader<'a, '_> {
    /// A message of one event, or an array of them; adds its rows, and to `odd` the events of an array that are handed
    /// back alone. Returns the number of both. Where the message is handed back, some may be there all the same.
    pub fn message(&mut self, place: usize, message: &'a [u8]) -> Taken<usize> {
        let mut cursor = Cursor::new(message);
        let mut events = 1;
        match message.first() {
            Some(b'{') => self.event(&mut cursor)?,
            Some(b'[') => {
                cursor.expect(b'[')?;
                self.element(&mut cursor, place, 0)?;
                while cursor.more(b']')? {
                    self.element(&mut cursor, place, events)?;
                    events += 1;
                }
            }
            _ => return Err(HandedBack),
        }
        cursor.expect_end()?;
        if events > self.limits.message_events_max {
            return Err(HandedBack);
        }
        Ok(events)
    }

    /// One event of an array.
    fn element(&mut self, cursor: &mut Cursor<'a>, message: usize, index: usize) -> Taken<()> {
        let rows = self.columns.rows();
        let start = cursor.place();
        if self.event(cursor).is_ok() {
            return Ok(());
        }
        self.columns.truncate(rows);
        cursor.return_to(start);
        let object = cursor.skip()?;
        self.odd_here += 1;
        // An array in the array would be taken for a batch of its own.
        if !object.starts_with(b"{") || self.odd_here > ODD_MAX.max(index / 8) {
            return Err(HandedBack);
        }
        self.odd.push((message, index, start, start + object.len()));
        Ok(())
    }

    fn event(&mut self, cursor: &mut Cursor<'a>) -> Taken<()> {
        let mut envelope = Envelope::default();
        let mut shape = None; // of the type, once it is known
        let mut read = None; // the shape by which the data was read already
        cursor.expect(b'{')?;
        loop {
            let field = match cursor.name()? {
                b"specversion" => &mut envelope.specversion,
                b"id" => &mut envelope.id,
                b"source" => &mut envelope.source,
                b"type" => {
                    if envelope.event_type.is_some() {
                        return Err(HandedBack);
                    }
                    let name = cursor.text()?;
                    envelope.event_type = Some(name);
                    shape = self.shape_of(name);
                    if !cursor.more(b'}')? {
                        break;
                    }
                    continue;
                }
                b"subject" => &mut envelope.subject,
                b"time" => &mut envelope.time,
                b"data" => {
                    if envelope.data.is_some() {
                        return Err(HandedBack);
                    }
                    envelope.data = Some(match shape {
                        Some(place) if !self.shapes[place].nodes.is_empty() => {
                            read = shape;
                            self.data(cursor, place)?;
                            b""
                        }
                        _ => cursor.skip()?,
                    });
                    if !cursor.more(b'}')? {
                        break;
                    }
                    continue;
                }
                b"sequencetype" | b"sequence" => return Err(HandedBack), // known by a number: not here
                _ => {
                    cursor.skip()?;
                    if !cursor.more(b'}')? {
                        break;
                    }
                    continue;
                }
            };
            if field.replace(cursor.text()?).is_some() {
                return Err(HandedBack); // named twice
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
        if let Some(place) = shape
            && read.is_none()
            && !self.shapes[place].nodes.is_empty()
        {
            match envelope.data {
                Some(data) => self.data(&mut Cursor::new(data), place)?, // it came before the type
                None => self.forget(place),
            }
        }
        self.add(&envelope, shape)
    }

    fn shape_of(&self, event_type: &[u8]) -> Option<usize> {
        self.shapes
            .iter()
            .position(|shape| shape.event_type.as_bytes() == event_type)
    }

    fn forget(&mut self, place: usize) {
        self.slots.clear();
        self.slots.resize(self.shapes[place].slots, Scalar::Null);
    }

    /// Reads the data of an event into `slots`.
    fn data(&mut self, cursor: &mut Cursor<'a>, place: usize) -> Taken<()> {
        self.forget(place);
        read_object(cursor, &self.shapes[place], 0, &mut self.slots, &mut 0)
    }

    fn add(&mut self, envelope: &Envelope<'a>, place: Option<usize>) -> Taken<()> {
        if envelope.specversion != Some(b"1.0") {
            return Err(HandedBack);
        }
        let id = self.fit(envelope.id, self.limits.id_bytes_max)?;
        let source = self.fit(envelope.source, self.limits.source_bytes_max)?;
        let subject = self.fit(envelope.subject, self.limits.subject_bytes_max)?;
        self.fit(envelope.event_type, usize::MAX)?;
        let time_us = micros(envelope.time.ok_or(HandedBack)?)?;
        if time_us > self.limit_us {
            return Err(HandedBack);
        }
        let row = self.columns.rows() as i64;
        let mut kind = UNMETERED;
        if let Some(place) = place {
            let shape = &self.shapes[place];
            if !shape.taken {
                return Err(HandedBack);
            }
            kind = shape.kind;
            if kind != UNMETERED {
                let columns = &mut self.columns.types[place];
                columns.rows.push(row);
                let values = Values {
                    slots: &self.slots,
                    limits: self.limits,
                    plain: self.plain,
                };
                values.numbers(shape, time_us, columns)?;
                values.members(shape, columns)?;
                values.texts(shape, columns, self.texts)?;
                columns.subjects.push(self.texts.code(subject));
            }
        }
        self.columns.kinds.push(kind);
        self.columns.times.push(time_us);
        self.columns.digests.push(identity(source, id, time_us, self.room));
        Ok(())
    }

    fn fit(&self, text: Option<&'a [u8]>, bytes_max: usize) -> Taken<&'a [u8]> {
        match text {
            Some(text) if !text.is_empty() && is_fit(text, bytes_max, self.plain) => Ok(text),
            _ => Err(HandedBack),
        }
    }
}

/// `text` is UTF-8, of which U+0080 to U+009F are 0xC2 and one byte below 0xA0; what is below U+0020 was never taken.
fn is_fit(text: &[u8], bytes_max: usize, plain: bool) -> bool {
    text.len() <= bytes_max
        && (plain || !text.contains(&0x7F) && !text.windows(2).any(|pair| pair[0] == 0xC2 && pair[1] < 0xA0))
}

/// Reads an object into the slots of its fields. `seen`: a bit for each slot and node met so far.
fn read_object<'a>(
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
struct Values<'a, 'k> {
    slots: &'k [Scalar<'a>],
    limits: &'k Limits,
    plain: bool,
}

impl Values<'_, '_> {
    fn numbers(&self, shape: &Shape, time_us: i64, columns: &mut TypeColumns) -> Taken<()> {
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

    fn members(&self, shape: &Shape, columns: &mut TypeColumns) -> Taken<()> {
        for (&slot, column) in shape.members.iter().zip(&mut columns.members) {
            column.push(canonical(self.slots[slot])?.map(digest));
        }
        Ok(())
    }

    fn texts(&self, shape: &Shape, columns: &mut TypeColumns, texts: &mut Texts) -> Taken<()> {
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
