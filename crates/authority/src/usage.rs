//! Who used what, and when last: gathered in memory, written in batches, outside the journal.
//!
//! No request waits for it and none writes. Both the memory between two flushes and the rows a key can make in
//! a day are bounded; what is over the bound is counted without its resource, so sums stay right.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use foldhash::fast::RandomState;

use domain::{KeyId, Permission, Resource, Timestamp};
use journal::{Journal, Latest, Tally};
use parking_lot::Mutex;

/// The most different (key, day, permission, resource) kept between two flushes.
const MAX_COUNTERS: usize = 100_000;

/// For how many days counters are kept.
pub(crate) const KEPT_DAYS: i32 = 400;

/// When a key was last used, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From which address, as the server saw it.
    pub address: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Counter {
    key: KeyId,
    day: i32,
    permission: Permission,
    /// Nothing where too many different ones came up.
    resource: Option<Resource>,
}

#[derive(Debug, Default)]
struct Gathered {
    last: HashMap<KeyId, LastUse, RandomState>,
    /// The keys used since the last flush.
    touched: HashSet<KeyId, RandomState>,
    counters: HashMap<Counter, u64, RandomState>,
}

/// The uses gathered so far.
#[derive(Debug, Default)]
pub struct Usage {
    gathered: Mutex<Gathered>,
}

impl Usage {
    /// Loads when each key was last used, and shows each row to somebody who knows about others.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub async fn load(journal: &Journal, also: impl Fn(&Latest)) -> Result<Self, journal::Error> {
        let mut last = HashMap::default();
        journal
            .for_each_latest(|row| {
                also(&row);
                // A row that cannot be read is one that an older or newer release meant otherwise: no loss.
                if let (Ok(key), Ok(address)) = (row.subject.parse(), row.detail.parse()) {
                    last.insert(key, LastUse { at: Timestamp::from_micros(row.at), address });
                }
                Ok::<(), journal::Error>(())
            })
            .await?;
        Ok(Self { gathered: Mutex::new(Gathered { last, ..Gathered::default() }) })
    }

    /// A key was used, for this.
    pub fn note(&self, key: KeyId, now: Timestamp, from: IpAddr, uses: Option<(Permission, Resource)>) {
        let mut gathered = self.gathered.lock();
        gathered.last.insert(key, LastUse { at: now, address: from });
        gathered.touched.insert(key);
        if let Some((permission, resource)) = uses {
            gathered.count(key, now, permission, resource);
        }
    }

    /// A key was used.
    pub fn touch(&self, key: KeyId, now: Timestamp, from: IpAddr) {
        self.note(key, now, from, None);
    }

    /// A permission was used.
    pub fn count(&self, key: KeyId, now: Timestamp, permission: Permission, resource: Resource) {
        self.gathered.lock().count(key, now, permission, resource);
    }

    /// When the key was last used.
    #[must_use]
    pub fn last(&self, key: KeyId) -> Option<LastUse> {
        self.gathered.lock().last.get(&key).copied()
    }

    /// Writes what was gathered. What cannot be written now is kept for the next time. Not to be given up half way:
    /// run it in a task of its own where the caller may go away.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub async fn flush(&self, journal: &Journal) -> Result<(), journal::CommitError> {
        let (touched, counters) = {
            let mut gathered = self.gathered.lock();
            let touched: Vec<_> = gathered.touched.drain().collect();
            let touched = touched.into_iter().filter_map(|key| Some((key, *gathered.last.get(&key)?)));
            (touched.collect::<Vec<_>>(), std::mem::take(&mut gathered.counters))
        };
        if touched.is_empty() && counters.is_empty() {
            return Ok(());
        }
        let tallies: Vec<_> = counters.iter().map(|(counter, count)| tally(counter, *count)).collect();
        let latest: Vec<_> = touched.iter().map(|(key, last)| latest(*key, *last)).collect();
        let written = journal.add_tallies(&tallies, &latest).await;
        let mut gathered = self.gathered.lock();
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                gathered.touched.extend(touched.into_iter().map(|(key, _)| key));
                for (counter, count) in counters {
                    *gathered.counters.entry(counter).or_insert(0) += count;
                }
                Err(error)
            }
        }
    }

    /// Forgets the last use of keys that are gone, so that memory follows the fleet.
    pub(crate) fn retain(&self, gone: impl Fn(&[KeyId]) -> Vec<KeyId>) {
        let known: Vec<KeyId> = self.gathered.lock().last.keys().copied().collect();
        let gone = gone(&known);
        let mut gathered = self.gathered.lock();
        for key in gone {
            gathered.last.remove(&key);
        }
    }
}

impl Gathered {
    fn count(&mut self, key: KeyId, now: Timestamp, permission: Permission, resource: Resource) {
        let mut counter = Counter { key, day: now.day(), permission, resource: Some(resource) };
        if self.counters.len() >= MAX_COUNTERS && !self.counters.contains_key(&counter) {
            counter.resource = None;
        }
        *self.counters.entry(counter).or_insert(0) += 1;
    }
}

/// `manage_keys location:x7k2p9q4wz`, or the permission alone where the resource was not kept.
fn tally(counter: &Counter, count: u64) -> Tally {
    let permission = counter.permission.name();
    let label = match counter.resource {
        Some(resource) => format!("{permission} {}:{}", resource.resource_type(), resource.id_text()),
        None => permission.to_owned(),
    };
    Tally { subject: counter.key.to_string(), day: counter.day, label, count }
}

fn latest(key: KeyId, last: LastUse) -> Latest {
    Latest { subject: key.to_string(), at: last.at.as_micros(), detail: last.address.to_string() }
}
