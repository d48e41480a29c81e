//! What of an entry somebody sees.

use serde_json::{Map, Value};

use super::past::{PastAllowance, PastChange, PastEntry};
use super::subject::{holdings, places};
use crate::authorize::{authorize_for, held_in};
use crate::draft::Draft;
use crate::id::OrganizationId;
use crate::policy::Permission;
use crate::record::{Record, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};
use crate::state::State;
use crate::stored::encode_record;
use crate::verify::Principal;
use crate::view::{Lineage, View, record_in};

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was not there before.
    Created,
    /// It is another.
    Changed,
    /// It is no more.
    Deleted,
}

/// A change as somebody sees it.
#[derive(Clone, Debug)]
pub struct SeenChange {
    /// What sort of record.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What happened to it.
    pub what: What,
    /// Its name before, if it had one.
    pub name_before: Option<String>,
    /// Its name after, if it has one.
    pub name_after: Option<String>,
    /// The fields that are other, where it was changed. What is secret is called `value`, and only called.
    pub fields: Vec<String>,
    /// Of who holds grants: those before that the one who looks may see.
    pub grants_before: Vec<Grant>,
    /// Of who holds grants: those after.
    pub grants_after: Vec<Grant>,
}

/// An entry as somebody sees it.
#[derive(Clone, Debug)]
pub struct SeenEntry {
    /// Why it was allowed.
    pub allowed: Vec<PastAllowance>,
    /// What it changed; at least one.
    pub changes: Vec<SeenChange>,
}

/// Where in an organization somebody may read the audit log.
///
/// # Errors
/// As [`held_in`].
pub fn roots<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    organization: OrganizationId,
) -> Result<Vec<Resource>, Refusal> {
    held_in(view, principal, Permission::ReadAudit, organization)
}

/// Whether a resource that is asked for is there, and may be asked for. What is gone may have been anybody's: then only
/// the entries tell.
///
/// # Errors
/// As [`authorize`](crate::authorize), where it is there; by what is held in this organization alone.
pub fn asked_for<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    organization: OrganizationId,
    resource: Resource,
) -> Result<bool, Refusal> {
    if Lineage::of(view, resource).is_none() {
        return Ok(false);
    }
    let only = Some(organization);
    authorize_for(view, principal, Permission::ReadAudit, resource, only).map(|_permit| true)
}

/// What is seen of an entry by who may read the audit log at these resources; nothing if nothing is. `before` is the
/// fleet as it was, at least what the entry [needs](PastEntry::needs) of it.
#[must_use]
pub fn see(entry: &PastEntry, before: &State, roots: &[Resource]) -> Option<SeenEntry> {
    let overlay = entry.overlay();
    let after = Draft::new(before, &overlay);
    let eyes = Eyes { before, after: &after, roots };
    let all = entry.allowed.iter().all(|allowance| allowance.resource.is_some_and(|it| eyes.reach(it)));
    let changes = entry.changes.iter().filter_map(|change| match change.record {
        Some(id) => eyes.change(change, id),
        // Where a thing stands that is not known here, nobody can say; it is shown where all else is.
        None => (all && !entry.allowed.is_empty()).then(|| unknown(change)),
    });
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        return None;
    }
    // On what others share, by a grant of one's own: the act was one's own.
    let own = |allowance: &PastAllowance| allowance.by.is_some_and(|by| eyes.reach(by.resource));
    let allowed = entry
        .allowed
        .iter()
        .filter(|allowance| allowance.resource.is_none_or(|resource| eyes.reach(resource)) || own(allowance));
    Some(SeenEntry { allowed: allowed.cloned().collect(), changes })
}

/// Somebody who looks at an entry, with the fleet on both sides of it.
struct Eyes<'a> {
    before: &'a State,
    after: &'a Draft<'a>,
    roots: &'a [Resource],
}

impl Eyes<'_> {
    /// Whether a resource stood at or below a root, before or after.
    fn reach(&self, resource: Resource) -> bool {
        let inside = |lineage: Lineage| self.roots.iter().any(|root| lineage.contains(*root));
        Lineage::of(self.before, resource).is_some_and(inside)
            || Lineage::of(self.after, resource).is_some_and(inside)
    }

    fn change(&self, change: &PastChange, id: RecordId) -> Option<SeenChange> {
        let stood = places(self.before, id).into_iter().chain(places(self.after, id));
        if !stood.into_iter().any(|place| self.reach(place)) {
            return None;
        }
        let (before, after) = (record_in(self.before, id), record_in(self.after, id));
        let what = what(change);
        let (grants_before, grants_after) = (self.grants(before.as_ref()), self.grants(after.as_ref()));
        let mut fields = match (what, &before, &after) {
            (What::Changed, Some(before), Some(after)) => fields(before, after),
            _ => Vec::new(),
        };
        if what == What::Changed && grants_before == grants_after {
            // Only grants that are not seen are other.
            fields.retain(|field| field != "grants" && field != "memberships");
            if fields.is_empty() {
                return None;
            }
        }
        Some(SeenChange {
            kind: change.kind.clone(),
            id: change.id.clone(),
            what,
            name_before: before.as_ref().and_then(name),
            name_after: change.name.clone(),
            fields,
            grants_before,
            grants_after,
        })
    }

    /// Of what a record holds, what is seen: all of it in an organization that is read whole.
    fn grants(&self, record: Option<&Record>) -> Vec<Grant> {
        let held = record.map_or_else(Vec::new, holdings);
        let seen = held.into_iter().flat_map(|(organization, grants)| {
            let whole = self.roots.contains(&Resource::Organization(organization));
            grants.iter().filter(move |grant| whole || self.reach_in(organization, grant.resource))
        });
        seen.copied().collect()
    }

    /// Whether a resource of this organization stood at or below a root, before or after.
    fn reach_in(&self, organization: OrganizationId, resource: Resource) -> bool {
        let inside = |lineage: Lineage| {
            lineage.organization() == organization && self.roots.iter().any(|root| lineage.contains(*root))
        };
        Lineage::of(self.before, resource).is_some_and(inside)
            || Lineage::of(self.after, resource).is_some_and(inside)
    }
}

const fn what(change: &PastChange) -> What {
    match (change.was_there, change.is_there) {
        (_, false) => What::Deleted,
        (false, true) => What::Created,
        (true, true) => What::Changed,
    }
}

fn unknown(change: &PastChange) -> SeenChange {
    SeenChange {
        kind: change.kind.clone(),
        id: change.id.clone(),
        what: what(change),
        name_before: None,
        name_after: change.name.clone(),
        fields: Vec::new(),
        grants_before: Vec::new(),
        grants_after: Vec::new(),
    }
}

fn name(record: &Record) -> Option<String> {
    match form(record).get("name") {
        Some(Value::String(name)) => Some(name.clone()),
        _ => None,
    }
}

/// The fields of the stored form that differ, in its order. A secret gets a name that says nothing of how it is kept.
fn fields(before: &Record, after: &Record) -> Vec<String> {
    let key = matches!(before, Record::Key(_));
    let (before, after) = (form(before), form(after));
    let all = before.keys().chain(after.keys().filter(|field| !before.contains_key(*field)));
    let other = all.filter(|field| before.get(*field) != after.get(*field));
    let shown = other.filter_map(|field| match field.as_str() {
        "hash" | "sealed" | "token" => Some("value".to_owned()),
        // It counts with the value of a key, and is nothing by itself.
        "generation" if key => None,
        other => Some(other.to_owned()),
    });
    shown.collect()
}

fn form(record: &Record) -> Map<String, Value> {
    let form = encode_record(record).ok().and_then(|text| serde_json::from_str(&text).ok());
    form.unwrap_or_default()
}
