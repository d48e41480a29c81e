//! Entries of the audit log, for `claviger.v1`.

use domain::audit::{PastAllowance, PastEntry, SeenChange, SeenEntry, What};

use super::claviger::{actor, grant, resource};
use super::timestamp;
use crate::claviger::v1 as pb;

/// An entry as somebody sees it. What this release does not know in it goes by its name.
#[must_use]
pub fn entry(entry: PastEntry, seen: SeenEntry, actor_name: String, hash: String) -> pb::AuditEntry {
    let PastEntry { seq, at, actor: who, via, .. } = entry;
    let SeenEntry { allowed, changes } = seen;
    pb::AuditEntry {
        seq,
        at: Some(timestamp(at)),
        actor: who.map(actor),
        actor_name,
        via,
        allowances: allowed.into_iter().map(allowance).collect(),
        changes: changes.into_iter().map(change).collect(),
        hash,
    }
}

fn allowance(PastAllowance { permission, resource: on, by }: PastAllowance) -> pb::AuditAllowance {
    pb::AuditAllowance { permission, resource: on.map(resource), by: by.map(grant) }
}

fn change(change: SeenChange) -> pb::AuditChange {
    let SeenChange { kind, id, what, name_before, name_after, fields, grants_before, grants_after } = change;
    let what = match what {
        What::Created => pb::ChangeType::Created,
        What::Changed => pb::ChangeType::Changed,
        What::Deleted => pb::ChangeType::Deleted,
    };
    pb::AuditChange {
        kind,
        id,
        r#type: what.into(),
        name_before: name_before.unwrap_or_default(),
        name_after: name_after.unwrap_or_default(),
        fields,
        grants_before: grants_before.into_iter().map(grant).collect(),
        grants_after: grants_after.into_iter().map(grant).collect(),
    }
}
