//! Where in a dense list of records the one with some id stands.
//!
//! Why not a library: what a check costs is its trips to memory, and a general table takes two to find a position
//! (its marks, then its slot) before the record costs a third. Here mark and position are one word, so the
//! position costs one. `benches/verify.rs` shows the difference; nothing else would justify these lines.
//!
//! Open addressing with linear probing. A word is the upper half of the hash (the tag) and the position plus one;
//! zero is free. Where a word wants to stand follows from its tag alone, so growing and removing look at no record.

/// The fewest slots, as a power of two.
const LEAST_BITS: u32 = 4;

/// Positions by tag. At most three quarters of the slots are taken.
#[derive(Debug)]
pub(crate) struct Positions {
    slots: Vec<u64>,
    bits: u32,
    taken: usize,
}

/// The part of a hash that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    pub(crate) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

const fn word(tag: Tag, position: u32) -> u64 {
    ((tag.0 as u64) << 32) | (position as u64 + 1)
}

const fn tag_of(word: u64) -> Tag {
    Tag((word >> 32) as u32)
}

/// The position in a word that is not free.
const fn position_of(word: u64) -> u32 {
    (word as u32).wrapping_sub(1)
}

impl Default for Positions {
    fn default() -> Self {
        Self { slots: vec![0; 1 << LEAST_BITS], bits: LEAST_BITS, taken: 0 }
    }
}

impl Positions {
    /// The first position with this tag that `is_it`.
    #[inline]
    pub(crate) fn find(&self, tag: Tag, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(tag).find_map(|(_, word)| {
            let position = position_of(word);
            (tag_of(word) == tag && is_it(position)).then_some(position)
        })
    }

    /// Notes a position; the caller knows that its id has none yet.
    pub(crate) fn insert(&mut self, tag: Tag, position: u32) {
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.place(word(tag, position));
        self.taken += 1;
    }

    /// Forgets a position that was noted under this tag.
    pub(crate) fn remove(&mut self, tag: Tag, position: u32) {
        let wanted = word(tag, position);
        let Some((mut free, _)) = self.probe(tag).find(|(_, word)| *word == wanted) else { return };
        self.set(free, 0);
        self.taken -= 1;
        // Whatever stands behind the gap, and would be looked for across it, moves up.
        let mut at = self.after(free);
        while let Some(word) = self.slots.get(at).copied().filter(|word| *word != 0) {
            let home = self.home(tag_of(word));
            if self.distance(home, at) >= self.distance(free, at) {
                self.set(free, word);
                self.set(at, 0);
                free = at;
            }
            at = self.after(at);
        }
    }

    /// The words from where a tag wants to stand up to the first free slot. There always is one.
    #[inline]
    fn probe(&self, tag: Tag) -> impl Iterator<Item = (usize, u64)> {
        let mut at = self.home(tag);
        std::iter::from_fn(move || {
            let word = self.slots.get(at).copied().filter(|word| *word != 0)?;
            let here = at;
            at = self.after(at);
            Some((here, word))
        })
    }

    #[inline]
    const fn home(&self, tag: Tag) -> usize {
        (tag.0 >> (32 - self.bits)) as usize
    }

    #[inline]
    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// How many steps from one slot on to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.slots.len() - 1)
    }

    fn set(&mut self, at: usize, word: u64) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = word;
        }
    }

    fn place(&mut self, word: u64) {
        let taken = self.probe(tag_of(word)).last();
        let at = taken.map_or(self.home(tag_of(word)), |(at, _)| self.after(at));
        self.set(at, word);
    }

    fn grow(&mut self) {
        // 2^32 slots are more than there are positions; beyond, they only fill up.
        self.bits = (self.bits + 1).min(32);
        let old = std::mem::replace(&mut self.slots, vec![0; 1 << self.bits]);
        old.into_iter().filter(|word| *word != 0).for_each(|word| self.place(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few tags and many entries: every chain is long, wraps around the end and is cut in the middle.
    #[test]
    fn keeps_what_collides() {
        for tags in [1_u32, 3, 50] {
            let tag = |position: u32| Tag(u32::MAX - position % tags);
            let mut positions = Positions::default();
            for position in 0..200 {
                positions.insert(tag(position), position);
            }
            for gone in (0..200).filter(|position| position % 3 == 1) {
                positions.remove(tag(gone), gone);
                positions.remove(tag(gone), gone);
            }
            for position in 0..200 {
                let found = positions.find(tag(position), |it| it == position);
                assert_eq!(found, (position % 3 != 1).then_some(position), "{tags} tags");
            }
            assert_eq!(positions.taken, (0..200).filter(|position| position % 3 != 1).count());
        }
    }
}
