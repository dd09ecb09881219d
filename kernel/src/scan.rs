//! A cursor over one JSON message. Strict: it takes RFC 8259 without escapes and exponents, and hands back the rest.

use crate::{HandedBack, Taken};

/// Levels below the event's own object; the Python path takes 512, and real events a handful.
const DEPTH_MAX: u32 = 48;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// 1 for the bytes that end or spoil a string.
const STOPS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = 1;
        byte += 1;
    }
    table[b'"' as usize] = 1;
    table[b'\\' as usize] = 1;
    table
};

pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A value that is neither an object nor an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Text(&'a [u8]),
    /// A number without a point, as it is written.
    Whole(&'a [u8]),
    /// A number with a point, as it is written.
    Decimal(&'a [u8]),
}

/// The high bit of each byte that is zero; above the first such byte it may be set in others too.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Lowest high bit set: the first byte that ends or spoils a string (quote, backslash, control character).
const fn stops(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64)) | controls
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte, 0 at the end: no JSON token begins with it.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is no white space, 0 at the end.
    #[inline]
    pub fn next(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.peek()
    }

    /// Takes `wanted` if it comes next. Written without `+= usize::from(there)`, which rustc 1.95 gets wrong when it
    /// optimises: the tests below fail then, so they are run in release form too.
    #[inline]
    pub fn take(&mut self, wanted: u8) -> bool {
        if self.next() != wanted {
            return false;
        }
        self.at += 1;
        true
    }

    #[inline]
    pub fn expect(&mut self, wanted: u8) -> Taken<()> {
        if self.take(wanted) { Ok(()) } else { Err(HandedBack) }
    }

    /// Only white space may follow.
    pub fn expect_end(&mut self) -> Taken<()> {
        self.next();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(HandedBack)
        }
    }

    /// After an element: true where a comma says that another follows, false where `close` ends the container.
    #[inline]
    pub fn more(&mut self, close: u8) -> Taken<bool> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close)?;
        Ok(false)
    }

    /// The name of a member and its colon.
    #[inline]
    pub fn name(&mut self) -> Taken<&'a [u8]> {
        let name = self.text()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// The inside of a string without escapes and control characters.
    #[inline]
    pub fn text(&mut self) -> Taken<&'a [u8]> {
        self.expect(b'"')?;
        let start = self.at;
        self.pass_plain();
        let end = self.at;
        if self.peek() != b'"' {
            return Err(HandedBack);
        }
        self.at += 1;
        Ok(&self.bytes[start..end])
    }

    /// To the next byte that ends or spoils a string.
    #[inline]
    fn pass_plain(&mut self) {
        // Eight bytes at once: strings are two thirds of a message.
        while let Some(&chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let found = stops(u64::from_le_bytes(chunk));
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                break;
            }
            self.at += 8;
        }
        while STOPS[usize::from(self.peek())] == 0 {
            self.at += 1;
        }
    }

    /// A value that is neither an object nor an array.
    #[inline]
    pub fn scalar(&mut self) -> Taken<Scalar<'a>> {
        match self.next() {
            b'"' => self.text().map(Scalar::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Scalar::Bool(true)),
            b'f' => self.word(b"false", Scalar::Bool(false)),
            b'n' => self.word(b"null", Scalar::Null),
            _ => Err(HandedBack),
        }
    }

    fn word(&mut self, word: &[u8], value: Scalar<'a>) -> Taken<Scalar<'a>> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(HandedBack);
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline]
    fn number(&mut self) -> Taken<Scalar<'a>> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        let leading_zero = self.peek() == b'0';
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            return Err(HandedBack);
        }
        if self.peek() != b'.' {
            return Ok(Scalar::Whole(&self.bytes[start..self.at]));
        }
        self.at += 1;
        if self.digits() == 0 {
            return Err(HandedBack);
        }
        Ok(Scalar::Decimal(&self.bytes[start..self.at]))
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    /// Passes any value, which must be well-formed; returns its bytes. Here escapes and exponents do no harm.
    pub fn skip(&mut self) -> Taken<&'a [u8]> {
        self.next();
        let start = self.at;
        self.skip_below(0)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Where the next token begins.
    pub fn place(&mut self) -> usize {
        self.next();
        self.at
    }

    /// Back to a `place`.
    pub fn return_to(&mut self, place: usize) {
        self.at = place;
    }

    fn skip_text(&mut self) -> Taken<()> {
        self.expect(b'"')?;
        loop {
            self.pass_plain();
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err(HandedBack),
            }
        }
    }

    /// Passes a backslash and what it escapes. Halves of surrogate pairs are handed back.
    fn escape(&mut self) -> Taken<()> {
        match self.bytes[self.at + 1..] {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
                if matches!(a, b'd' | b'D') && !matches!(b, b'0'..=b'7') {
                    return Err(HandedBack);
                }
                self.at += 6;
            }
            _ => return Err(HandedBack),
        }
        Ok(())
    }

    fn skip_number(&mut self) -> Taken<()> {
        self.number()?;
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(HandedBack);
            }
        }
        Ok(())
    }

    fn skip_below(&mut self, depth: u32) -> Taken<()> {
        if depth > DEPTH_MAX {
            return Err(HandedBack);
        }
        match self.next() {
            b'{' => {
                self.at += 1;
                let mut more = !self.take(b'}');
                while more {
                    self.skip_text()?;
                    self.expect(b':')?;
                    self.skip_below(depth + 1)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                self.at += 1;
                let mut more = !self.take(b']');
                while more {
                    self.skip_below(depth + 1)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            b'"' => self.skip_text(),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => self.scalar().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests;
