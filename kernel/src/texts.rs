//! Texts as small integers, in order of first sight; "" is 0.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

pub struct Texts {
    codes: HashTable<u32>,
    /// All texts, one behind the other, and where each ends.
    memory: Vec<u8>,
    ends: Vec<usize>,
    /// Seeded anew in each process, so that nobody can send texts that collide.
    hasher: DefaultHashBuilder,
    /// How many texts were told of already.
    told: usize,
}

impl Texts {
    pub fn new() -> Self {
        let mut texts = Self {
            codes: HashTable::new(),
            memory: Vec::new(),
            ends: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            told: 1,
        };
        texts.code(b"");
        texts
    }

    #[inline]
    pub fn code(&mut self, text: &[u8]) -> i64 {
        let Self {
            codes,
            memory,
            ends,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one(text);
        if let Some(&code) = codes.find(hash, |&code| at(memory, ends, code) == text) {
            return i64::from(code);
        }
        let code = u32::try_from(ends.len()).expect("memory holds fewer than 2^32 texts");
        memory.extend_from_slice(text);
        ends.push(memory.len());
        codes.insert_unique(hash, code, |&other| hasher.hash_one(at(memory, ends, other)));
        i64::from(code)
    }

    /// The texts seen since the last call, in order of their codes.
    pub fn news(&mut self) -> impl Iterator<Item = &[u8]> {
        let first = std::mem::replace(&mut self.told, self.ends.len());
        (first as u32..self.ends.len() as u32).map(|code| at(&self.memory, &self.ends, code))
    }
}

fn at<'a>(memory: &'a [u8], ends: &[usize], code: u32) -> &'a [u8] {
    let code = code as usize;
    let start = if code == 0 { 0 } else { ends[code - 1] };
    &memory[start..ends[code]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_first_sight_and_news_are_told_once() {
        let mut texts = Texts::new();
        let many: Vec<String> = (0..1_000).map(|place| format!("text {place}")).collect();
        for (place, text) in many.iter().enumerate() {
            assert_eq!(texts.code(text.as_bytes()), place as i64 + 1);
        }
        assert_eq!(texts.code(b""), 0);
        assert_eq!(texts.code(b"text 17"), 18);
        assert_eq!(
            texts.news().collect::<Vec<_>>(),
            many.iter().map(String::as_bytes).collect::<Vec<_>>()
        );
        assert_eq!(texts.code(b"new"), 1_001);
        assert_eq!(texts.news().collect::<Vec<_>>(), [b"new"]);
    }
}
