//! What machines say: the last lines of each part's log.
//!
//! Lines are gathered in memory and written in batches, outside the journal, like usage: what a crash loses is the
//! last seconds. A read sees both, so nobody notices when something is written. A part's lines are bounded, the oldest
//! go first, and they go with the part.

mod bounds;
mod filter;
mod keep;
mod read;

use std::collections::{HashMap, VecDeque};

use domain::PartId;
use foldhash::fast::RandomState;
use journal::Journal;
use parking_lot::Mutex;
use prost::bytes::Bytes;
use tokio::sync::{Notify, watch};

pub(crate) use bounds::{MAX_CALL, cut};
pub(crate) use filter::{Filter, level};
pub(crate) use keep::keep;
pub(crate) use read::From;

/// The most bytes that may wait to be written. A log that grows faster than the disk writes is turned away.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// When this much waits, it is written now rather than at its time.
const ENOUGH_WAITING: usize = 8 * 1024 * 1024;

/// The logs of all parts.
#[derive(Debug, Default)]
pub struct Logs {
    kept: Mutex<Kept>,
    /// Enough waits to be written.
    enough: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<PartId, Log, RandomState>,
    /// The bytes of all lines that wait.
    waiting: usize,
}

/// The end of a part's log.
#[derive(Debug, Default)]
struct Log {
    /// Where the last line lies; 0 before the first.
    end: u64,
    /// The lines that are not known to be written, the oldest first.
    waiting: VecDeque<Line>,
    /// Who watches is told where the last line lies.
    heard: Option<watch::Sender<u64>>,
    /// The last revision of the part's configuration about which something was said.
    said: u32,
}

#[derive(Clone, Debug)]
struct Line {
    place: u64,
    body: Bytes,
}

/// There is no room for more lines now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Logs {
    /// Loads where each part's log ends.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub async fn load(journal: &Journal) -> Result<Self, journal::Error> {
        let mut parts = HashMap::default();
        journal
            .for_each_last_line(|subject, end| {
                // A subject that is no part is another release's business.
                if let Ok(part) = subject.parse::<PartId>() {
                    parts.insert(part, Log { end, ..Log::default() });
                }
                Ok::<(), journal::Error>(())
            })
            .await?;
        Ok(Self { kept: Mutex::new(Kept { parts, waiting: 0 }), enough: Notify::new() })
    }

    /// Takes lines of a part, all or none.
    ///
    /// # Errors
    /// Where too much waits to be written already.
    pub(crate) fn add(&self, part: PartId, lines: Vec<Bytes>) -> Result<(), Full> {
        let mut kept = self.kept.lock();
        let size: usize = lines.iter().map(Bytes::len).sum();
        if kept.waiting + size > MAX_WAITING {
            self.enough.notify_one();
            return Err(Full);
        }
        kept.waiting += size;
        let log = kept.parts.entry(part).or_default();
        for body in lines {
            log.end += bounds::charge(body.len());
            log.waiting.push_back(Line { place: log.end, body });
        }
        if let Some(heard) = &log.heard {
            heard.send_replace(log.end);
        }
        let dropped = log.drop_what_lies_too_far_back();
        kept.waiting = kept.waiting.saturating_sub(dropped);
        if kept.waiting > ENOUGH_WAITING {
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Whether nothing was said yet, since the start, about this revision of a part's configuration.
    pub(crate) fn is_news(&self, part: PartId, revision: u32) -> bool {
        let mut kept = self.kept.lock();
        std::mem::replace(&mut kept.parts.entry(part).or_default().said, revision) != revision
    }

    /// Where a part's log ends, now and whenever it grows.
    pub(crate) fn watch(&self, part: PartId) -> watch::Receiver<u64> {
        let mut kept = self.kept.lock();
        let log = kept.parts.entry(part).or_default();
        let end = log.end;
        log.heard.get_or_insert_with(|| watch::Sender::new(end)).subscribe()
    }
}

impl Log {
    /// Lines that wait and would be dropped once they are written; how many bytes they had.
    fn drop_what_lies_too_far_back(&mut self) -> usize {
        let floor = bounds::floor(self.end);
        let mut dropped = 0;
        while let Some(oldest) = self.waiting.front()
            && oldest.place <= floor
        {
            dropped += oldest.body.len();
            self.waiting.pop_front();
        }
        dropped
    }
}

#[cfg(test)]
mod tests;
