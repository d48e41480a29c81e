//! An entry as it was read back, to be looked at. Unlike [`Recorded`](crate::Recorded) it is never applied to the
//! fleet, so what this release does not know in it is kept by its name and fails nothing.

use serde::Deserialize;
use serde_json::Value;

use super::subject::{About, holdings};
use crate::draft::Overlay;
use crate::record::{Actor, Record, RecordId};
use crate::resource::{Grant, Resource};
use crate::stored::{Reader, StoredError, decode_id, decode_record};
use crate::time::Timestamp;

/// One thing that was allowed.
#[derive(Clone, Debug)]
pub struct PastAllowance {
    /// The name of the permission, also of one that this release does not know.
    pub permission: String,
    /// On what; nothing where it was the authority as a whole.
    pub resource: Option<Resource>,
    /// By which grant of the actor; nothing where the right was the system's own.
    pub by: Option<Grant>,
}

/// One record that changed.
#[derive(Clone, Debug)]
pub struct PastChange {
    /// What sort of record, also one that this release does not know.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Both of them, where they are known here.
    pub record: Option<RecordId>,
    /// The record from then on, where it is known here.
    pub after: Option<Record>,
    /// The name in it, whatever sort it is.
    pub name: Option<String>,
    /// Whether it was there before.
    pub was_there: bool,
    /// Whether it is there from then on.
    pub is_there: bool,
}

/// An entry of the past.
#[derive(Clone, Debug)]
pub struct PastEntry {
    /// Its place.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who did it; nothing where this release does not know the sort of actor.
    pub actor: Option<Actor>,
    /// Through what.
    pub via: String,
    /// Why it was allowed.
    pub allowed: Vec<PastAllowance>,
    /// What it changed.
    pub changes: Vec<PastChange>,
}

#[derive(Deserialize)]
struct Stored {
    v: u32,
    actor: Value,
    via: String,
    #[serde(default)]
    allowed: Vec<StoredAllowance>,
    #[serde(default)]
    changes: Vec<StoredChange>,
    #[serde(default)]
    documents: Vec<StoredDocument>,
}

#[derive(Deserialize)]
struct StoredAllowance {
    permission: String,
    resource: Option<Value>,
    by: Option<Value>,
}

#[derive(Deserialize)]
struct StoredChange {
    kind: String,
    id: String,
    value: Option<Box<serde_json::value::RawValue>>,
    before: Option<String>,
}

#[derive(Deserialize)]
struct StoredDocument {
    kind: String,
    id: String,
    hash: Option<String>,
}

/// Documents that change only together with a record, which tells of both.
const TOLD_BY_THEIR_RECORD: [&str; 4] = ["secret", "configuration", "person", "invitation"];

impl PastEntry {
    /// An entry from its stored form, its place and its time.
    ///
    /// # Errors
    /// Where it is no entry at all, or a newer release wrote it.
    pub fn decode(seq: u64, at: Timestamp, body: &str) -> Result<Self, StoredError> {
        let id = seq.to_string();
        let reader = Reader { what: "entry", id: &id, value: body };
        let Stored { v, actor, via, allowed, changes, documents } = reader.read()?;
        reader.version(v)?;
        let allowed = allowed.into_iter().map(|StoredAllowance { permission, resource, by }| PastAllowance {
            permission,
            resource: resource.and_then(|value| serde_json::from_value(value).ok()),
            by: by.and_then(|value| serde_json::from_value(value).ok()),
        });
        // What was noted down about something ends with it, if there was anything.
        let ended = |it: &StoredDocument| it.kind == "metadata" && it.hash.is_none() && !changes.is_empty();
        let told = |it: &StoredDocument| TOLD_BY_THEIR_RECORD.contains(&it.kind.as_str()) || ended(it);
        let documents: Vec<_> = documents.into_iter().filter(|it| !told(it)).collect();
        let changes = changes.into_iter().map(change).chain(documents.into_iter().map(document));
        let (allowed, changes) = (allowed.collect(), changes.collect());
        Ok(Self { seq, at, actor: known_actor(&actor), via, allowed, changes })
    }

    /// Whom and what it is about.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            actor: self.actor,
            allowed: self.allowed.iter().filter_map(|allowance| allowance.resource).collect(),
            changed: self.changes.iter().filter_map(|change| change.record).collect(),
        }
    }

    /// The records whose past tells where all of it stood; and what is [`above`] them.
    pub fn needs(&self) -> impl Iterator<Item = RecordId> + '_ {
        let allowed = self.allowed.iter().filter_map(|allowance| allowance.resource.map(RecordId::from));
        let changed = self.changes.iter().filter_map(|change| change.record);
        let places = self.changes.iter().filter_map(|change| change.after.as_ref()).flat_map(above);
        allowed.chain(changed).chain(places)
    }

    /// What it changed, to be laid over the fleet as it was before.
    #[must_use]
    pub fn overlay(&self) -> Overlay {
        let mut overlay = Overlay::default();
        for change in &self.changes {
            if let Some(id) = change.record {
                overlay.set(id, change.after.clone());
            }
        }
        overlay
    }
}

/// The records that say where a record stands: what it is listed under, and what it has grants on.
pub fn above(record: &Record) -> impl Iterator<Item = RecordId> + '_ {
    let held = holdings(record).into_iter().flat_map(|(organization, grants)| {
        let granted = grants.iter().map(|grant| grant.resource);
        granted.chain([Resource::Organization(organization)]).map(RecordId::from)
    });
    record.parent().into_iter().chain(held)
}

/// A document has no record of its own: it is told of where the entry is. Whether it was there before, it does not say.
fn document(StoredDocument { kind, id, hash }: StoredDocument) -> PastChange {
    PastChange { kind, id, record: None, after: None, name: None, was_there: true, is_there: hash.is_some() }
}

fn known_actor(actor: &Value) -> Option<Actor> {
    match actor {
        Value::String(word) if word == "system" => Some(Actor::System),
        Value::Object(fields) => {
            let (kind, id) = fields.iter().next()?;
            let id = id.as_str()?;
            match kind.as_str() {
                "key" => id.parse().ok().map(Actor::Key),
                "user" => id.parse().ok().map(Actor::User),
                "part" => id.parse().ok().map(Actor::Part),
                _ => None,
            }
        }
        _ => None,
    }
}

fn change(StoredChange { kind, id, value, before }: StoredChange) -> PastChange {
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
    }
    let text = value.as_ref().map(|value| value.get());
    let named: Option<Named> = text.and_then(|text| serde_json::from_str(text).ok());
    let after = text.and_then(|text| decode_record(&kind, &id, text).ok());
    // A record of a known kind in an unknown form is not known.
    let record = decode_id(&kind, &id).ok().filter(|_| after.is_some() == text.is_some());
    PastChange {
        record,
        after,
        name: named.and_then(|named| named.name),
        was_there: before.is_some(),
        is_there: text.is_some(),
        kind,
        id,
    }
}
