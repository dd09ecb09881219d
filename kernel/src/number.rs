//! Decimals as integers scaled by a power of ten. Exact, or handed back.

use crate::{HandedBack, Taken};

/// Of one event's scaled value, as in `processors/numbers.py`.
const SCALED_MAX: u64 = 1_000_000_000_000_000_000;
const LENGTH_MAX: usize = 40;

/// `written`: digits with at most a sign before them and a point between them, zeros in front allowed; times
/// 10^`precision`.
pub fn scaled(written: &[u8], precision: u8) -> Taken<i64> {
    let (negative, digits) = match written {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if written.len() > LENGTH_MAX {
        return Err(HandedBack);
    }
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next();
    if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
        return Err(HandedBack);
    }
    let fraction = fraction.unwrap_or_default();
    let (kept, beyond) = fraction.split_at(fraction.len().min(usize::from(precision)));
    if beyond.iter().any(|&byte| byte != b'0') {
        return Err(HandedBack);
    }
    let zeros = std::iter::repeat_n(&b'0', usize::from(precision) - kept.len());
    let mut value: u64 = 0;
    for byte in whole.iter().chain(kept).chain(zeros) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(HandedBack);
        }
        value = value * 10 + u64::from(digit); // at most 10^19 + 9, which 64 bits hold
        if value > SCALED_MAX {
            return Err(HandedBack);
        }
    }
    let value = value as i64; // at most 10^18
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_scaled_exactly() {
        for (written, precision, value) in [
            ("0", 0, 0),
            ("-0", 3, 0),
            ("12.345", 3, 12_345),
            ("12.3", 3, 12_300),
            ("12.34500", 3, 12_345),
            ("007", 1, 70),
            ("-0.001", 3, -1),
            ("1000000000000000000", 0, 1_000_000_000_000_000_000),
            ("1000000", 12, 1_000_000_000_000_000_000),
            ("-1000000.000000000000", 12, -1_000_000_000_000_000_000),
        ] {
            assert_eq!(scaled(written.as_bytes(), precision), Ok(value), "{written}");
        }
    }

    #[test]
    fn what_is_no_exact_decimal_in_range_is_handed_back() {
        for (written, precision) in [
            ("", 0),
            ("-", 0),
            ("+1", 0),
            ("1.", 0),
            (".5", 1),
            ("-.5", 1),
            ("1.5", 0),
            ("1.2.3", 3),
            ("1e3", 0),
            ("--1", 0),
            (" 1", 0),
            ("1000000000000000001", 0),
            ("99999999999999999999999", 0),
            ("1000000.000000000001", 12),
            ("0.12345678901234567890123456789012345678901", 12),
        ] {
            assert_eq!(scaled(written.as_bytes(), precision), Err(HandedBack), "{written}");
        }
    }
}
