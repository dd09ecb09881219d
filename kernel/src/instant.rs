//! RFC 3339 as microseconds since 1970, floored. What `processors/instants.py` may read otherwise is handed back.

use crate::{HandedBack, Taken};

const END_US: i64 = 9_214_646_400_000_000; // 2262-01-01
const MONTH_DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const FRACTION_MAX: usize = 9; // digits; more are read by the Python path
const POWERS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// The number that two digits write.
fn two(tens: u8, ones: u8) -> Taken<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return Err(HandedBack);
    }
    Ok(u32::from(tens) * 10 + u32::from(ones))
}

/// Days since 1970-01-01 of a date in 1970 to 2261 that exists.
fn days(year: u32, month: u32, day: u32) -> Taken<i64> {
    if !(1970..=2261).contains(&year) || !(1..=12).contains(&month) {
        return Err(HandedBack);
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = MONTH_DAYS[month as usize - 1] + u32::from(leap && month == 2);
    if !(1..=last).contains(&day) {
        return Err(HandedBack);
    }
    // Years that begin in March end with the day that leap years add.
    let (of_year, of_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before = of_year * 365 + of_year / 4 - of_year / 100 + of_year / 400 + (153 * of_month + 2) / 5;
    Ok(i64::from(before + day - 1) - 719_468)
}

/// `text`: "2026-11-01T12:30:00.5Z", with up to nine digits of a second, Z or an offset.
pub fn micros(text: &[u8]) -> Taken<i64> {
    let Some((
        &[
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T',
            h1,
            h2,
            b':',
            n1,
            n2,
            b':',
            s1,
            s2,
        ],
        rest,
    )) = text.split_first_chunk::<19>()
    else {
        return Err(HandedBack);
    };
    let date = days(two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?)?;
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return Err(HandedBack);
    }
    let (fraction, zone) = fraction(rest)?;
    let seconds = date * 86_400 + i64::from(hour * 3_600 + minute * 60 + second) - offset(zone)?;
    let micros = seconds * 1_000_000 + fraction;
    if (0..END_US).contains(&micros) {
        Ok(micros)
    } else {
        Err(HandedBack)
    }
}

/// Whole microseconds of the fraction of a second, and what follows it.
fn fraction(rest: &[u8]) -> Taken<(i64, &[u8])> {
    let [b'.', rest @ ..] = rest else {
        return Ok((0, rest));
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=FRACTION_MAX).contains(&count) {
        return Err(HandedBack);
    }
    let (digits, zone) = rest.split_at(count);
    let kept = &digits[..count.min(6)];
    let value = kept.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    Ok((value * POWERS[kept.len()], zone))
}

/// Seconds that local time is ahead of UTC.
fn offset(zone: &[u8]) -> Taken<i64> {
    match *zone {
        [b'Z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return Err(HandedBack);
            }
            let ahead = i64::from(hours * 3_600 + minutes * 60);
            Ok(if sign == b'-' { -ahead } else { ahead })
        }
        _ => Err(HandedBack),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_floored_to_microseconds() {
        for (text, value) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2261-12-31T23:59:59.999999999Z", END_US - 1),
            ("2026-06-01T01:30:00+01:30", 1_780_272_000_000_000),
            ("2026-05-31T22:30:00-01:30", 1_780_272_000_000_000),
            ("2026-05-31T23:59:59.999999999Z", 1_780_271_999_999_999),
            ("2024-02-29T00:00:00.5Z", 1_709_164_800_500_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000),
        ] {
            assert_eq!(micros(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..2262 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Ok(found) = days(year, month, day) {
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, END_US / 86_400_000_000);
    }

    #[test]
    fn what_is_no_plain_instant_is_handed_back() {
        for text in [
            "",
            "2026-11-01",
            "2026-11-01T12:00:00",
            "2026-11-01T12:00:00z",
            "2026-11-01t12:00:00Z",
            "2026-11-01 12:00:00Z",
            "2026-11-01T12:00:00.Z",
            "2026-11-01T12:00:00.1234567890Z",
            "2026-11-01T24:00:00Z",
            "2026-11-01T12:60:00Z",
            "2016-12-31T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "1969-12-31T23:59:59-00:01",
            "2261-12-31T23:59:59-00:01",
            "2026-11-01T12:00:00+24:00",
            "2026-11-01T12:00:00+05:3",
            "2026-11-01T12:00:00+0530",
            "2026-11-01T12:00:00Z ",
        ] {
            assert_eq!(micros(text.as_bytes()), Err(HandedBack), "{text}");
        }
    }
}
