//! The fleet as it was. Where something stood when an entry was decided is in the entries before it, and the trail
//! leads to them.

use std::collections::{HashMap, HashSet};

use domain::audit::{PastEntry, SeenEntry, Subject, Subjects, above, see};
use domain::{Draft, Record, RecordId, Resource, State, Timestamp};
use journal::{Between, Direction, Journal, StoredEntry};

use super::Trail;
use super::index::unread;
use crate::failure::Failure;

/// How many records' pasts are remembered.
const REMEMBERED: usize = 10_000;

/// What some records were, and from which entry up to before which.
#[derive(Debug, Default)]
pub(crate) struct Past {
    spans: HashMap<RecordId, Vec<Span>>,
}

/// What some records were after the entry that was looked at last. Every entry is looked at, in order.
#[derive(Debug, Default)]
pub(crate) struct Present {
    records: HashMap<RecordId, Option<Record>>,
}

#[derive(Clone, Debug)]
struct Span {
    from: u64,
    before: u64,
    was: Option<Record>,
}

/// The fleet as it was just before an entry: what the entry concerns, and all above it.
#[derive(Debug, Default)]
struct Gathered {
    fleet: State,
    wanted: Vec<RecordId>,
    asked: HashSet<RecordId>,
}

impl Gathered {
    fn for_entry(entry: &PastEntry) -> Self {
        Self { wanted: entry.needs().collect(), ..Self::default() }
    }

    /// The next record that is asked for.
    fn next(&mut self) -> Option<RecordId> {
        loop {
            let id = self.wanted.pop()?;
            if self.asked.insert(id) {
                return Some(id);
            }
        }
    }

    fn take(&mut self, record: Option<Record>) {
        if let Some(record) = record {
            self.wanted.extend(above(&record));
            self.fleet.load(record);
        }
    }
}

impl Present {
    /// What the next entry concerns. The trail must be complete up to before it.
    pub(crate) async fn subjects(
        &mut self,
        trail: &Trail,
        journal: &Journal,
        entry: &PastEntry,
    ) -> Result<Subjects, Failure> {
        if self.records.len() >= REMEMBERED {
            self.records.clear();
        }
        let mut before = Gathered::for_entry(entry);
        while let Some(id) = before.next() {
            before.take(self.before(trail, journal, id, entry.seq).await?);
        }
        for change in &entry.changes {
            if let Some(id) = change.record {
                self.records.insert(id, change.after.clone());
            }
        }
        Ok(subjects(entry, &before.fleet))
    }

    async fn before(
        &mut self,
        trail: &Trail,
        journal: &Journal,
        id: RecordId,
        seq: u64,
    ) -> Result<Option<Record>, Failure> {
        if let Some(is) = self.records.get(&id) {
            return Ok(is.clone());
        }
        let (_, is) = last_before(trail, journal, id, seq).await?;
        self.records.insert(id, is.clone());
        Ok(is)
    }
}

impl Past {
    /// What a record was just before an entry.
    async fn before(
        &mut self,
        trail: &Trail,
        journal: &Journal,
        id: RecordId,
        seq: u64,
    ) -> Result<Option<Record>, Failure> {
        let spans = self.spans.get(&id).into_iter().flatten();
        if let Some(span) = spans.into_iter().find(|span| span.from < seq && seq <= span.before) {
            return Ok(span.was.clone());
        }
        let span = look_up(trail, journal, id, seq).await?;
        if self.spans.len() >= REMEMBERED {
            self.spans.clear();
        }
        self.spans.entry(id).or_default().push(span.clone());
        Ok(span.was)
    }
}

async fn look_up(trail: &Trail, journal: &Journal, id: RecordId, seq: u64) -> Result<Span, Failure> {
    let (from, was) = last_before(trail, journal, id, seq).await?;
    let later = Between { after: seq - 1, before: u64::MAX };
    let later = trail.find(journal, Subject::Changed(id), later, 1, Direction::Forward).await?;
    // Where nothing is known of a later change, nothing is known beyond this entry.
    let before = later.first().copied().unwrap_or(seq);
    Ok(Span { from, before, was })
}

/// The last entry before this one that changed a record, and what it made of it.
async fn last_before(
    trail: &Trail,
    journal: &Journal,
    id: RecordId,
    seq: u64,
) -> Result<(u64, Option<Record>), Failure> {
    let between = Between { after: 0, before: seq };
    let found = trail.find(journal, Subject::Changed(id), between, 1, Direction::Backward).await?;
    match found.first() {
        Some(from) => Ok((*from, put_by(journal, id, *from).await?)),
        None => Ok((0, None)),
    }
}

/// What an entry made of a record.
async fn put_by(journal: &Journal, id: RecordId, seq: u64) -> Result<Option<Record>, Failure> {
    let Some(stored) = stored(journal, seq).await? else { return Ok(None) };
    let changes = read_entry(&stored)?.changes;
    // The last word on it, should there be several.
    Ok(changes.into_iter().rfind(|change| change.record == Some(id)).and_then(|change| change.after))
}

async fn stored(journal: &Journal, seq: u64) -> Result<Option<StoredEntry>, Failure> {
    let entries = journal.entries(seq.saturating_sub(1), 1).await.map_err(|error| unread(&error))?;
    Ok(entries.into_iter().find(|entry| entry.seq == seq))
}

/// A stored entry, to be looked at.
pub(crate) fn read_entry(stored: &StoredEntry) -> Result<PastEntry, Failure> {
    PastEntry::decode(stored.seq, Timestamp::from_micros(stored.at), &stored.body).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "an entry of the audit log is not understood"
        );
        Failure::Internal("an entry of the audit log cannot be read; the authority's log says why")
    })
}

/// Reads entries as somebody sees them who may read at these resources.
#[derive(Debug)]
pub(crate) struct History {
    past: Past,
    roots: Vec<Resource>,
}

/// An entry that somebody sees.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) entry: PastEntry,
    pub(crate) seen: SeenEntry,
    pub(crate) hash: String,
}

impl History {
    pub(crate) fn new(roots: Vec<Resource>) -> Self {
        Self { past: Past::default(), roots }
    }

    /// The entry, if it is seen and concerns all of these.
    pub(crate) async fn show(
        &mut self,
        trail: &Trail,
        journal: &Journal,
        seq: u64,
        wanted: &[Subject],
    ) -> Result<Option<Shown>, Failure> {
        let Some(stored) = stored(journal, seq).await? else { return Ok(None) };
        let entry = read_entry(&stored)?;
        let mut before = Gathered::for_entry(&entry);
        while let Some(id) = before.next() {
            before.take(self.past.before(trail, journal, id, seq).await?);
        }
        let before = before.fleet;
        let subjects = subjects(&entry, &before);
        if !wanted.iter().all(|subject| subjects.contains(subject)) {
            return Ok(None);
        }
        let seen = see(&entry, &before, &self.roots);
        Ok(seen.map(|seen| Shown { entry, seen, hash: stored.hash.to_string() }))
    }
}

pub(super) fn subjects(entry: &PastEntry, before: &State) -> Subjects {
    let about = entry.about();
    let mut subjects = about.subjects();
    about.place(before, &mut subjects);
    about.place(&Draft::new(before, &entry.overlay()), &mut subjects);
    subjects
}

/// The name that a record had last, also if it is gone.
pub(crate) async fn last_name(
    trail: &Trail,
    journal: &Journal,
    id: RecordId,
) -> Result<Option<String>, Failure> {
    let mut before = u64::MAX;
    loop {
        let between = Between { after: 0, before };
        let found = trail.find(journal, Subject::Changed(id), between, 1, Direction::Backward).await?;
        let Some(seq) = found.first().copied() else { return Ok(None) };
        match put_by(journal, id, seq).await? {
            Some(Record::Key(key)) => return Ok(Some(key.name.to_string())),
            Some(Record::Part(part)) => return Ok(Some(part.name.to_string())),
            Some(_) => return Ok(None),
            None => before = seq,
        }
    }
}
