//! A table of records that are found by their id.
//!
//! The records lie densely one behind the other; beside them a small table of positions, four bytes each. At a
//! million keys the positions still fit the processor's cache, so a look-up costs one trip to memory, for the
//! record itself, and the whole takes half the memory of a hash table that holds the records.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

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
    positions: HashTable<u32>,
    records: Vec<R>,
    hasher: RandomState,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { positions: HashTable::new(), records: Vec::new(), hasher: RandomState::default() }
    }
}

impl<R: Keyed> Table<R> {
    /// The record with this id.
    #[inline]
    pub(crate) fn get(&self, id: R::Id) -> Option<&R> {
        let position = self.positions.find(self.hasher.hash_one(id), |position| self.is_at(*position, id))?;
        self.records.get(*position as usize)
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
        let Self { positions, records, hasher } = self;
        let at = |position: &u32| records.get(*position as usize);
        let entry = positions.entry(
            hasher.hash_one(id),
            |position| at(position).is_some_and(|there| there.id() == id),
            // A position always has its record; were it not so, the record could only not be found.
            |position| at(position).map_or(0, |there| hasher.hash_one(there.id())),
        );
        match entry {
            Entry::Occupied(entry) => {
                if let Some(place) = records.get_mut(*entry.get() as usize) {
                    *place = record;
                }
            }
            Entry::Vacant(entry) => {
                // Four billion records do not fit the memory that this process could have.
                let position = u32::try_from(records.len()).unwrap_or(u32::MAX);
                entry.insert(position);
                records.push(record);
            }
        }
    }

    /// Takes a record out. The last one moves into its place.
    pub(crate) fn remove(&mut self, id: R::Id) {
        let Self { positions, records, hasher } = self;
        let found = positions.find_entry(hasher.hash_one(id), |position| {
            records.get(*position as usize).is_some_and(|there| there.id() == id)
        });
        let Ok(entry) = found else { return };
        let (free, _) = entry.remove();
        let last = u32::try_from(records.len().saturating_sub(1)).unwrap_or(u32::MAX);
        records.swap_remove(free as usize);
        if let Some(moved) = records.get(free as usize)
            && let Some(position) =
                positions.find_mut(hasher.hash_one(moved.id()), |position| *position == last)
        {
            *position = free;
        }
    }

    #[inline]
    fn is_at(&self, position: u32, id: R::Id) -> bool {
        self.records.get(position as usize).is_some_and(|there| there.id() == id)
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
