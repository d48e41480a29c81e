//! What is true of every state, whatever was done.

use std::collections::BTreeSet;

use domain::command::MAX_GRANTS;
use domain::{
    Grant, Key, Location, MAX_LOCATION_DEPTH, OrganizationId, RecordId, Resource, Role, State, View,
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
    }
    for machine in model.machines.iter().filter_map(|it| state.machine(it.id)) {
        hold(state.location(machine.location).is_some(), || {
            format!("machine {} stands nowhere", machine.id)
        })?;
        let main = state.parts_of(machine.id).filter(|part| part.main).count();
        hold(main == 1, || format!("machine {} has {main} main parts", machine.id))?;
    }
    for part in model.parts.iter().filter_map(|it| state.part(it.id)) {
        hold(state.machine(part.machine).is_some(), || format!("part {} has no machine", part.id))?;
    }
    for key in model.keys.iter().filter_map(|it| state.key(it.id)) {
        check_key(state, key)?;
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
        hold(state.record(RecordId::from(resource)).is_some(), || wrong("has a grant on nothing"))?;
        hold(organization_of(state, resource) == Some(key.organization), || wrong("reaches abroad"))?;
    }
    Ok(())
}

fn organization_of(state: &State, resource: Resource) -> Option<OrganizationId> {
    match resource {
        Resource::Organization(id) => Some(id),
        Resource::Location(id) => Some(state.location(id)?.organization),
        Resource::Machine(id) => Some(state.location(state.machine(id)?.location)?.organization),
    }
}

/// Whoever once had an owner for good, and is still there, has one.
fn check_owners(state: &State, model: &Model, owned: &mut BTreeSet<OrganizationId>) -> Differs {
    owned.retain(|id| state.organization(*id).is_some());
    for organization in &model.organizations {
        let owner = Grant { role: Role::Owner, resource: Resource::Organization(organization.id) };
        let mut keys = model.keys.iter().filter_map(|it| state.key(it.id));
        if keys.any(|key| key.grants.contains(&owner) && key.expires_at.is_none()) {
            owned.insert(organization.id);
        }
        let lost = owned.contains(&organization.id)
            && !state
                .keys_of(organization.id)
                .any(|key| key.grants.contains(&owner) && key.expires_at.is_none());
        hold(!lost, || format!("organization {} has no owner any more", organization.id))?;
    }
    Ok(())
}
