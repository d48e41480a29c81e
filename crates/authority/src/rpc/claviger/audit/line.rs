//! An entry as a line of JSON, in protobuf's own form: names in camel case, numbers of 64 bits as text.

use domain::Timestamp;
use serde::Serialize;
use wire::claviger::v1 as pb;
use wire::claviger::v1::actor::Kind;

use crate::failure::Failure;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    seq: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    actor_name: String,
    via: String,
    allowances: Vec<Allowance>,
    changes: Vec<Change>,
    hash: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Actor {
    KeyId(String),
    UserId(String),
    PartId(String),
    System(bool),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Allowance {
    permission: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Grant>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    kind: String,
    id: String,
    r#type: &'static str,
    name_before: String,
    name_after: String,
    fields: Vec<String>,
    grants_before: Vec<Grant>,
    grants_after: Vec<Grant>,
}

#[derive(Serialize)]
struct Grant {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
}

#[derive(Serialize)]
struct Resource {
    r#type: &'static str,
    id: String,
}

/// The line of an entry.
pub(super) fn line(entry: pb::AuditEntry) -> Result<pb::ExportEntriesResponse, Failure> {
    let line = serde_json::to_string(&Entry::from(entry));
    let line = line.map_err(|_| Failure::Internal("an entry cannot be written as JSON"))?;
    Ok(pb::ExportEntriesResponse { line })
}

impl From<pb::AuditEntry> for Entry {
    fn from(entry: pb::AuditEntry) -> Self {
        let pb::AuditEntry { seq, at, actor, actor_name, via, allowances, changes, hash } = entry;
        let micros = at.map(|at| at.seconds * 1_000_000 + i64::from(at.nanos / 1_000)).unwrap_or_default();
        Self {
            seq: seq.to_string(),
            at: Timestamp::from_micros(micros).to_string(),
            actor: actor.and_then(|actor| actor.kind).map(Actor::from),
            actor_name,
            via,
            allowances: allowances.into_iter().map(Allowance::from).collect(),
            changes: changes.into_iter().map(Change::from).collect(),
            hash,
        }
    }
}

impl From<Kind> for Actor {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::KeyId(id) => Self::KeyId(id),
            Kind::UserId(id) => Self::UserId(id),
            Kind::PartId(id) => Self::PartId(id),
            Kind::System(it) => Self::System(it),
        }
    }
}

impl From<pb::AuditAllowance> for Allowance {
    fn from(pb::AuditAllowance { permission, resource, by }: pb::AuditAllowance) -> Self {
        Self { permission, resource: resource.map(Resource::from), by: by.map(Grant::from) }
    }
}

impl From<pb::AuditChange> for Change {
    fn from(change: pb::AuditChange) -> Self {
        let what = change.r#type().as_str_name();
        let pb::AuditChange { kind, id, name_before, name_after, fields, .. } = change;
        Self {
            kind,
            id,
            r#type: what,
            name_before,
            name_after,
            fields,
            grants_before: change.grants_before.into_iter().map(Grant::from).collect(),
            grants_after: change.grants_after.into_iter().map(Grant::from).collect(),
        }
    }
}

impl From<pb::Grant> for Grant {
    fn from(grant: pb::Grant) -> Self {
        Self { role: grant.role().as_str_name(), resource: grant.resource.map(Resource::from) }
    }
}

impl From<pb::Resource> for Resource {
    fn from(resource: pb::Resource) -> Self {
        Self { r#type: resource.r#type().as_str_name(), id: resource.id }
    }
}
