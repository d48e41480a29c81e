//! A table of records that are found by their id.
//!
//! The records lie densely one behind the other; beside them is [`Positions`], a word each. A look-up costs one
//! trip to memory for the position and one for the record, and the whole takes half the memory of a hash table
//! that holds the records.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;

use crate::positions::{Positions, Tag};

/// A record that knows its id.
pub(crate) trait Keyed {
    /// The id's type.
    type Id: Copy + Eq + Hash;

    /// The id, which never changes.
    fn id(&self) -> Self::Id;
}

/// Records by id.
#[derive(Debug)]
pub(crate) struct Table<R> {
    positions: Positions,
    records: Vec<R>,
    hasher: RandomState,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { positions: Positions::default(), records: Vec::new(), hasher: RandomState::default() }
    }
}

impl<R: Keyed> Table<R> {
    /// The record with this id.
    #[inline]
    pub(crate) fn get(&self, id: R::Id) -> Option<&R> {
        self.records.get(self.position(id)? as usize)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// All of them, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.records.iter()
    }

    /// Puts a record in the place of the one with its id, if there is one.
    pub(crate) fn insert(&mut self, record: R) {
        let id = record.id();
        if let Some(place) = self.position(id).and_then(|at| self.records.get_mut(at as usize)) {
            *place = record;
            return;
        }
        // Four billion records do not fit the memory that this process could have.
        let position = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.positions.insert(self.tag(id), position);
        self.records.push(record);
    }

    /// Takes a record out. The last one moves into its place.
    pub(crate) fn remove(&mut self, id: R::Id) {
        let Some(free) = self.position(id) else { return };
        let last = u32::try_from(self.records.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.positions.remove(self.tag(id), free);
        self.records.swap_remove(free as usize);
        if let Some(moved) = self.records.get(free as usize) {
            let tag = self.tag(moved.id());
            self.positions.remove(tag, last);
            self.positions.insert(tag, free);
        }
    }

    #[inline]
    fn tag(&self, id: R::Id) -> Tag {
        Tag::of(self.hasher.hash_one(id))
    }

    #[inline]
    fn position(&self, id: R::Id) -> Option<u32> {
        let is_it = |at: u32| self.records.get(at as usize).is_some_and(|there| there.id() == id);
        self.positions.find(self.tag(id), is_it)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Row(u16, u32);

    impl Keyed for Row {
        type Id = u16;

        fn id(&self) -> u16 {
            self.0
        }
    }

    #[test]
    fn behaves_like_a_plain_map() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut table, mut plain) = (Table::default(), BTreeMap::new());
        for _ in 0..200_000 {
            let dice = rng.next_u32();
            let id = (dice >> 8) as u16 % 700;
            if dice.is_multiple_of(3) {
                table.remove(id);
                plain.remove(&id);
            } else {
                table.insert(Row(id, dice));
                plain.insert(id, Row(id, dice));
            }
            let probe = (dice >> 16) as u16 % 700;
            assert_eq!(table.get(probe), plain.get(&probe));
            assert_eq!(table.len(), plain.len());
        }
        let mut all: Vec<_> = table.iter().copied().collect();
        all.sort_by_key(|row| row.0);
        assert_eq!(all, plain.into_values().collect::<Vec<_>>());
    }
}
