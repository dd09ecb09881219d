//! The identity of an event, as `processors/decode_columns.py` makes it.

use xxhash_rust::xxh3::xxh3_128;

const SEPARATOR: u8 = 0x1F; // a control character, so no source and no id can hold it

/// The high and the low half of the xxh3_128 of a text.
pub fn digest(text: &[u8]) -> [u64; 2] {
    let hash = xxh3_128(text);
    [(hash >> 64) as u64, hash as u64]
}

/// The digest of source and id, with the instant mixed into its high half. `room` is scratch memory.
pub fn identity(source: &[u8], id: &[u8], time_us: i64, room: &mut Vec<u8>) -> [u64; 2] {
    room.clear();
    room.extend_from_slice(source);
    room.push(SEPARATOR);
    room.extend_from_slice(id);
    let [high, low] = digest(room);
    [high ^ splitmix(time_us as u64), low]
}

/// splitmix64: a bijection, so that different values never meet.
const fn splitmix(value: u64) -> u64 {
    let mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_an_event_never_changes() {
        let found = identity(b"edge/fra-1", b"e-1", 1_793_534_400_250_000, &mut Vec::new());
        assert_eq!(found, [12_027_842_542_592_300_916, 15_031_880_444_700_890_370]);
    }
}
