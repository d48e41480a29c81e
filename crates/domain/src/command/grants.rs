//! Rules about the grants of a key that several commands share.

use crate::id::OrganizationId;
use crate::record::{Change, Key, Kind, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};
use crate::view::{Lineage, View};

/// How many grants one key may hold.
pub const MAX_GRANTS: usize = 100;

/// Checks a list of grants against the rules and brings it into its order.
pub(super) fn checked(mut grants: Vec<Grant>) -> Result<Vec<Grant>, Refusal> {
    if grants.is_empty() {
        return Err(Refusal::invalid("grants", "must name at least one role on a resource"));
    }
    if grants.len() > MAX_GRANTS {
        let found = grants.len();
        return Err(Refusal::invalid("grants", format!("must be at most {MAX_GRANTS}, are {found}")));
    }
    grants.sort_unstable_by_key(|grant| (grant.resource, grant.role));
    let twice = grants.windows(2).find_map(|pair| match pair {
        [one, other] if one.resource == other.resource => Some(one.resource),
        _ => None,
    });
    match twice {
        Some(resource) => Err(Refusal::invalid(
            "grants",
            format!("must name each resource once; {resource} is named twice"),
        )),
        None => Ok(grants),
    }
}

/// The one organization that all the grants lie in, which must be `named` if that is given.
pub(super) fn organization_of(
    view: &dyn View,
    grants: &[Grant],
    named: Option<OrganizationId>,
) -> Result<OrganizationId, Refusal> {
    let mut found = named;
    for grant in grants {
        let kind = RecordId::from(grant.resource).kind();
        let own = Lineage::of(view, grant.resource).ok_or(Refusal::NotFound(kind))?.organization();
        match found {
            None => found = Some(own),
            Some(organization) if organization == own => {}
            Some(_) if named.is_some() => {
                return Err(Refusal::invalid(
                    "organization_id",
                    format!("must be the organization of {}", grant.resource),
                ));
            }
            Some(_) => return Err(Refusal::invalid("grants", "must all lie in one organization")),
        }
    }
    found.ok_or(Refusal::NotFound(Kind::Organization))
}

/// Refuses to take away the last key that keeps an organization reachable.
///
/// A key that expires does not count as the last: the day would come by itself on which nobody is left.
pub(super) fn keep_an_owner(view: &dyn View, before: &Key, after: Option<&Key>) -> Result<(), Refusal> {
    if !before.is_lasting_owner() || after.is_some_and(Key::is_lasting_owner) {
        return Ok(());
    }
    let mut others = view.holders(Resource::Organization(before.organization));
    let another = others.any(|id| id != before.id && view.key(id).is_some_and(Key::is_lasting_owner));
    if another {
        return Ok(());
    }
    Err(Refusal::FailedPrecondition(format!(
        "key {} is the last owner of organization {} that does not expire: give another key the owner role first",
        before.id, before.organization
    )))
}

/// What becomes of the keys that hold a grant on a resource that goes away: they lose it, and a key that has
/// nothing left goes with it.
pub(super) fn without_resource(view: &dyn View, gone: Resource) -> Vec<Change> {
    let holders = view.holders(gone).filter_map(|id| view.key(id));
    holders
        .map(|key| {
            let kept: Vec<_> = key.grants.iter().copied().filter(|grant| grant.resource != gone).collect();
            if kept.is_empty() {
                return Change::Delete(RecordId::Key(key.id));
            }
            super::put(Key { grants: kept.into(), ..key.clone() })
        })
        .collect()
}
