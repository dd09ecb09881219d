//! One event: from its bytes to a row of the columns.

use crate::columns::Columns;
use crate::identity::identity;
use crate::instant::micros;
use crate::scan::{Cursor, Scalar};
use crate::shape::{Limits, Shape};
use crate::texts::Texts;
use crate::values::{Values, is_fit, read_object};
use crate::{HandedBack, Taken};

const UNMETERED: i16 = -1;
/// A batch with more odd events than this, and than one in eight, is read faster as a whole elsewhere.
const ODD_MAX: usize = 8;

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

impl<'a> Envelope<'a> {
    /// The attribute of that name, of those that are texts and nothing more.
    fn text(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        match name {
            b"specversion" => Some(&mut self.specversion),
            b"id" => Some(&mut self.id),
            b"source" => Some(&mut self.source),
            b"subject" => Some(&mut self.subject),
            b"time" => Some(&mut self.time),
            _ => None,
        }
    }
}

/// A field that is named twice is handed back.
fn once<'a>(field: &mut Option<&'a [u8]>, text: &'a [u8]) -> Taken<()> {
    if field.replace(text).is_some() {
        Err(HandedBack)
    } else {
        Ok(())
    }
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
        let mut read = false; // the data, by that shape
        cursor.expect(b'{')?;
        loop {
            match cursor.name()? {
                b"type" => {
                    let name = cursor.text()?;
                    once(&mut envelope.event_type, name)?;
                    shape = self.shape_of(name);
                }
                b"data" => match shape {
                    Some(place) if self.reads_data(place) => {
                        once(&mut envelope.data, b"")?;
                        read = true;
                        self.data(cursor, place)?;
                    }
                    _ => once(&mut envelope.data, cursor.skip()?)?,
                },
                b"sequencetype" | b"sequence" => return Err(HandedBack), // known by a number: not here
                name => match envelope.text(name) {
                    Some(field) => once(field, cursor.text()?)?,
                    None => {
                        cursor.skip()?;
                    }
                },
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
        if let Some(place) = shape
            && self.reads_data(place)
            && !read
        {
            match envelope.data {
                Some(data) => self.data(&mut Cursor::new(data), place)?, // it came before the type
                None => self.forget(place),
            }
        }
        self.add(&envelope, shape)
    }

    fn reads_data(&self, place: usize) -> bool {
        !self.shapes[place].nodes.is_empty()
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
