//! Rules about the grants of a key that several commands share.

use std::collections::BTreeSet;

use crate::authorize::counts;
use crate::id::OrganizationId;
use crate::record::{Actor, Change, Key, Membership, RecordId, User};
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

/// The organization on behalf of which a key with these grants is made: the one that is `named`, or the only one
/// that has a part in everything that is granted.
///
/// The words `multiple orgs` are what the `viam` CLI looks for, to tell people to name the organization.
pub(super) fn organization_of(
    view: &dyn View,
    grants: &[Grant],
    named: Option<OrganizationId>,
) -> Result<OrganizationId, Refusal> {
    if let Some(named) = named {
        return match grants.iter().find(|grant| !counts(view, named, grant)) {
            Some(grant) => Err(Refusal::invalid(
                "organization_id",
                format!("must be the organization of {}, or one it is shared with", grant.resource),
            )),
            None => Ok(named),
        };
    }
    let mut candidates: Option<BTreeSet<OrganizationId>> = None;
    for grant in grants {
        let these = organizations_with(view, grant.resource)?;
        candidates = Some(match candidates {
            Some(those) => those.intersection(&these).copied().collect(),
            None => these,
        });
    }
    let mut candidates = candidates.into_iter().flatten();
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Refusal::invalid("grants", "must all lie in one organization")),
        (Some(_), Some(_)) => Err(Refusal::invalid(
            "organization_id",
            "must be given, because what is granted is shared between multiple orgs",
        )),
    }
}

/// The organizations that have a part in a resource: its own, and those that it is shared with.
fn organizations_with(view: &dyn View, resource: Resource) -> Result<BTreeSet<OrganizationId>, Refusal> {
    let not_found = Refusal::NotFound(RecordId::from(resource).kind());
    let lineage = Lineage::of(view, resource).ok_or(not_found)?;
    let mut organizations = lineage.guests(view);
    organizations.insert(lineage.organization());
    Ok(organizations)
}

/// Refuses to take away the last owner who keeps an organization reachable: a key that does not expire, or a person
/// who can sign in.
///
/// A key that expires does not count: the day would come by itself on which nobody is left.
pub(super) fn keep_an_owner(view: &dyn View, before: &Key, after: Option<&Key>) -> Result<(), Refusal> {
    if !before.is_lasting_owner() || after.is_some_and(Key::is_lasting_owner) {
        return Ok(());
    }
    if another_owner(view, before.organization, Actor::Key(before.id)) {
        return Ok(());
    }
    Err(Refusal::FailedPrecondition(format!(
        "key {} is the last owner of organization {} that does not expire: give another key or a member the owner role first",
        before.id, before.organization
    )))
}

/// Whether an organization has a lasting owner besides the one meant.
fn another_owner(view: &dyn View, organization: OrganizationId, meant: Actor) -> bool {
    let top = Resource::Organization(organization);
    let mut keys = view.holders(top).filter(|id| Actor::Key(*id) != meant);
    let mut people = view.people_on(top).filter(|id| Actor::User(*id) != meant);
    keys.any(|id| view.key(id).is_some_and(|key| key.organization == organization && key.is_lasting_owner()))
        || people.any(|id| view.user(id).is_some_and(|user| user.is_lasting_owner_of(organization)))
}

/// What becomes of those who hold a grant on a resource that goes away: they lose it. A key that has nothing left goes
/// with it; a person stays known, and is no member any more where they have nothing left.
pub(super) fn without_resource(view: &dyn View, gone: Resource) -> Vec<Change> {
    let keys = view.holders(gone).filter_map(|id| view.key(id)).map(|key| {
        let kept = without(&key.grants, gone);
        if kept.is_empty() {
            return Change::Delete(RecordId::Key(key.id));
        }
        super::put(Key { grants: kept.into(), ..key.clone() })
    });
    let people = view.people_on(gone).filter_map(|id| view.user(id)).map(|user| {
        let memberships = user.memberships.iter().filter_map(|membership| {
            let grants = without(&membership.grants, gone);
            (!grants.is_empty()).then(|| Membership { grants: grants.into(), ..membership.clone() })
        });
        super::put(User { memberships: memberships.collect(), ..user.clone() })
    });
    keys.chain(people).collect()
}

fn without(grants: &[Grant], gone: Resource) -> Vec<Grant> {
    grants.iter().copied().filter(|grant| grant.resource != gone).collect()
}
