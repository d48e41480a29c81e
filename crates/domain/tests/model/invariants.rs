//! What is true of every state, whatever was done.

use std::collections::BTreeSet;

use domain::command::MAX_GRANTS;
use domain::{
    Grant, Key, Location, MAX_LOCATION_DEPTH, OrganizationId, RecordId, Resource, Role, State, User, View,
};

use crate::compare::Differs;
use crate::naive::Model;

fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Differs {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Of the model it takes only which ids there are.
pub(crate) fn check(state: &State, model: &Model, owned: &mut BTreeSet<OrganizationId>) -> Differs {
    for location in model.locations.iter().filter_map(|it| state.location(it.id)) {
        check_location(state, location)?;
        check_shares(state, location)?;
    }
    for machine in model.machines.iter().filter_map(|it| state.machine(it.id)) {
        hold(state.location(machine.location).is_some(), || {
            format!("machine {} stands nowhere", machine.id)
        })?;
        let main = state.parts_of(machine.id).filter(|part| part.main).count();
        hold(main == 1, || format!("machine {} has {main} main parts", machine.id))?;
    }
    let mut labels = BTreeSet::new();
    for part in model.parts.iter().filter_map(|it| state.part(it.id)) {
        let label = part.label.as_str();
        let location = model.machine(part.machine).map(|machine| machine.location.to_string());
        let placed = location.is_some_and(|location| label.ends_with(&format!("-{location}")));
        hold(labels.insert(label) && placed, || format!("part {} has the address {label}", part.id))?;
        hold(state.part_by_label(label) == Some(part.id), || format!("{label} does not lead to its part"))?;
        hold(state.machine(part.machine).is_some(), || format!("part {} has no machine", part.id))?;
    }
    for key in model.keys.iter().filter_map(|it| state.key(it.id)) {
        check_key(state, key)?;
    }
    for user in model.users.iter().filter_map(|it| state.user(it.id)) {
        check_user(state, user)?;
    }
    check_owners(state, model, owned)
}

fn check_location(state: &State, location: &Location) -> Differs {
    let mut depth = 1;
    let mut place = location;
    while let Some(parent) = place.parent {
        depth += 1;
        hold(depth <= MAX_LOCATION_DEPTH, || format!("location {} lies too deep", location.id))?;
        place = state.location(parent).ok_or_else(|| format!("location {parent} is not there"))?;
        hold(place.organization == location.organization, || {
            format!("location {} lies in a foreign one", location.id)
        })?;
    }
    hold(state.organization(location.organization).is_some(), || {
        format!("location {} has no organization", location.id)
    })
}

fn check_key(state: &State, key: &Key) -> Differs {
    let wrong = |what: &str| format!("key {} {what}", key.id);
    hold((1..=MAX_GRANTS).contains(&key.grants.len()), || wrong("has too few or too many grants"))?;
    hold(key.grants.is_sorted_by_key(|grant| grant.resource), || wrong("has unsorted grants"))?;
    let resources: BTreeSet<_> = key.grants.iter().map(|grant| grant.resource).collect();
    hold(resources.len() == key.grants.len(), || wrong("has two roles on one resource"))?;
    for resource in resources {
        check_reach(state, key.organization, resource).map_err(|what| wrong(&what))?;
    }
    Ok(())
}

/// What is held is there, and is no other organization: of those, at most what they share or have shared.
fn check_reach(state: &State, organization: OrganizationId, resource: Resource) -> Differs {
    hold(state.record(RecordId::from(resource)).is_some(), || "has a grant on nothing".to_owned())?;
    let whole = matches!(resource, Resource::Organization(id) if id != organization);
    hold(!whole, || "holds another organization".to_owned())
}

fn check_user(state: &State, user: &User) -> Differs {
    let wrong = |what: &str| format!("person {} {what}", user.id);
    hold(user.memberships.is_sorted_by_key(|it| it.organization), || wrong("has unsorted memberships"))?;
    for membership in &user.memberships {
        hold(state.organization(membership.organization).is_some(), || wrong("is a member of nothing"))?;
        hold(!membership.grants.is_empty(), || wrong("holds nothing as a member"))?;
        hold(membership.grants.is_sorted_by_key(|it| it.resource), || wrong("has unsorted grants"))?;
        for grant in membership.grants.iter() {
            check_reach(state, membership.organization, grant.resource).map_err(|what| wrong(&what))?;
        }
    }
    Ok(())
}

fn check_shares(state: &State, location: &Location) -> Differs {
    let wrong = |what: &str| format!("location {} is shared {what}", location.id);
    let shares = &location.shared_with;
    hold(shares.windows(2).all(|pair| pair[0] < pair[1]), || wrong("twice with the same"))?;
    hold(!shares.contains(&location.organization), || wrong("with its own organization"))?;
    hold(shares.iter().all(|id| state.organization(*id).is_some()), || wrong("with nobody"))
}

/// Whoever once had an owner for good, and is still there, has one.
fn check_owners(state: &State, model: &Model, owned: &mut BTreeSet<OrganizationId>) -> Differs {
    owned.retain(|id| state.organization(*id).is_some());
    for organization in &model.organizations {
        let owner = Grant { role: Role::Owner, resource: Resource::Organization(organization.id) };
        let mut keys = state.keys_of(organization.id);
        let people = model.users.iter().filter_map(|it| state.user(it.id)).filter(|user| user.can_sign_in);
        let mut held = people.flat_map(|user| &user.memberships).map(|membership| &membership.grants);
        let has_one = keys.any(|key| key.grants.contains(&owner) && key.expires_at.is_none())
            || held.any(|grants| grants.contains(&owner));
        if has_one {
            owned.insert(organization.id);
        }
        hold(has_one || !owned.contains(&organization.id), || {
            format!("organization {} has no owner any more", organization.id)
        })?;
    }
    Ok(())
}
