//! Organizations, locations, machines and parts, as far as the caller sees them.

use std::collections::BTreeSet;

use super::parts::part_for;
use crate::authorize::{authorize, counts, holds, visible};
use crate::id::{LocationId, MachineId, OrganizationId, PartId};
use crate::policy::Permission;
use crate::record::{Actor, Kind, Location, Machine, Organization, Part, RecordId};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::verify::{Holding, Principal};
use crate::view::{Lineage, View};

/// The organizations in which the caller holds anything at all. Every valid key gets an answer: clients take a
/// refusal here for a failed login.
pub fn list_organizations<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
) -> Vec<&'a Organization> {
    if principal.actor() == Actor::System {
        return view.organizations().filter_map(|id| view.organization(id)).collect();
    }
    principal.holdings().filter_map(|holding| view.organization(holding.organization)).collect()
}

/// One organization.
///
/// # Errors
/// Without `read_organization` on it.
pub fn get_organization<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: OrganizationId,
) -> Result<&'a Organization, Refusal> {
    let _permit = authorize(view, principal, Permission::ReadOrganization, Resource::Organization(id))?;
    view.organization(id).ok_or(Refusal::NotFound(Kind::Organization))
}

/// Whether the caller sees what a location holds and says, or only that it is there because their machine
/// stands in it.
pub fn may_see_inside<V: View + ?Sized>(view: &V, principal: &Principal<'_>, location: LocationId) -> bool {
    holds(view, principal, Permission::ReadLocation, Resource::Location(location))
}

/// One location. A holder of a role on a machine gets the location it stands in; the answer is then stripped,
/// see [`may_see_inside`].
///
/// # Errors
/// Where the caller neither holds `read_location` on it nor has a machine that stands directly in it.
pub fn get_location<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: LocationId,
) -> Result<&'a Location, Refusal> {
    let location = view.location(id).ok_or(Refusal::NotFound(Kind::Location))?;
    match authorize(view, principal, Permission::ReadLocation, Resource::Location(id)) {
        Ok(_permit) => Ok(location),
        Err(_) if containing(view, principal).contains(&id) => Ok(location),
        Err(refusal) => Err(refusal),
    }
}

/// The organizations that have a part in a location, as far as the caller may know: the one it belongs to first,
/// then those that it, or a location it lies in, is shared with. Owners see all of them, others those they belong to themselves.
///
/// # Errors
/// As [`get_location`].
pub fn organizations_of<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: LocationId,
) -> Result<Vec<&'a Organization>, Refusal> {
    let location = get_location(view, principal, id)?;
    let all = holds(view, principal, Permission::ShareLocation, Resource::Location(id));
    let shown = |organization: &&OrganizationId| all || principal.belongs_to(**organization);
    let guests = Lineage::of(view, Resource::Location(id)).map(|lineage| lineage.guests(view));
    let guests = guests.unwrap_or_default();
    let ids = std::iter::once(&location.organization).chain(guests.iter().filter(shown));
    Ok(ids.filter_map(|id| view.organization(*id)).collect())
}

/// The locations in which machines stand that the caller holds a role on.
fn containing<V: View + ?Sized>(view: &V, principal: &Principal<'_>) -> BTreeSet<LocationId> {
    principal.holdings().flat_map(|holding| containing_by(view, &holding)).collect()
}

/// The same for what is held in one organization.
fn containing_by<V: View + ?Sized>(view: &V, holding: &Holding<'_>) -> BTreeSet<LocationId> {
    machines_by(view, holding).map(|machine| machine.location).collect()
}

/// The machines on which a role is held in one organization that counts.
fn machines_by<'a, V: View + ?Sized>(
    view: &'a V,
    holding: &Holding<'_>,
) -> impl Iterator<Item = &'a Machine> {
    let counting = holding.grants.iter().filter(|grant| counts(view, holding.organization, grant));
    counting.filter_map(|grant| match grant.resource {
        Resource::Machine(id) => view.machine(id),
        _ => None,
    })
}

/// The locations of an organization that the caller sees by what they hold in it, those that are shared with it
/// included, parents before what is nested in them.
///
/// # Errors
/// Where the caller does not even see the organization.
pub fn list_locations<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    organization: OrganizationId,
) -> Result<Vec<&'a Location>, Refusal> {
    let top = Resource::Organization(organization);
    if !visible(view, principal, top) {
        return Err(Refusal::NotFound(Kind::Organization));
    }
    let mut found = Vec::new();
    if holds(view, principal, Permission::ReadLocation, top) {
        let own = view.locations_in(RecordId::Organization(organization));
        let shared = view.shared_with(organization).filter_map(|id| view.location(id));
        for location in own.chain(shared) {
            with_nested(view, location, &mut found);
        }
    }
    for holding in principal.holdings().filter(|holding| holding.organization == organization) {
        let counting = holding.grants.iter().filter(|grant| counts(view, organization, grant));
        let granted = counting.filter_map(|grant| match grant.resource {
            Resource::Location(id) => view.location(id),
            _ => None,
        });
        for location in granted {
            with_nested(view, location, &mut found);
        }
        found.extend(containing_by(view, &holding).into_iter().filter_map(|id| view.location(id)));
    }
    // Grants and shares may nest, in any order: keep one of each, and the outer ones before the inner ones.
    let mut seen = BTreeSet::new();
    found.retain(|location| seen.insert(location.id));
    found.sort_by_cached_key(|location| depth(view, location));
    Ok(found)
}

fn depth<V: View + ?Sized>(view: &V, location: &Location) -> usize {
    Lineage::of(view, Resource::Location(location.id)).map_or(0, |lineage| lineage.iter().count())
}

fn with_nested<'a, V: View + ?Sized>(view: &'a V, location: &'a Location, into: &mut Vec<&'a Location>) {
    into.push(location);
    for nested in view.locations_in(RecordId::Location(location.id)) {
        with_nested(view, nested, into);
    }
}

/// One machine.
///
/// # Errors
/// Without `read_robot` on it.
pub fn get_machine<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: MachineId,
) -> Result<&'a Machine, Refusal> {
    let _permit = authorize(view, principal, Permission::ReadRobot, Resource::Machine(id))?;
    view.machine(id).ok_or(Refusal::NotFound(Kind::Machine))
}

/// The machines directly in a location that the caller sees.
///
/// # Errors
/// Where the caller does not even see the location.
pub fn list_machines<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    location: LocationId,
) -> Result<Vec<&'a Machine>, Refusal> {
    if !visible(view, principal, Resource::Location(location)) {
        return Err(Refusal::NotFound(Kind::Location));
    }
    if holds(view, principal, Permission::ReadRobot, Resource::Location(location)) {
        return Ok(view.machines_in(location).collect());
    }
    let own: BTreeSet<_> = principal
        .holdings()
        .flat_map(|holding| machines_by(view, &holding).map(|machine| machine.id).collect::<Vec<_>>())
        .collect();
    let own = own.into_iter().filter_map(|id| view.machine(id));
    Ok(own.filter(|machine| machine.location == location).collect())
}

/// All machines of an organization that the caller sees.
///
/// # Errors
/// Where the caller does not even see the organization.
pub fn machines_in_organization<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    organization: OrganizationId,
) -> Result<Vec<&'a Machine>, Refusal> {
    let mut found = Vec::new();
    for location in list_locations(view, principal, organization)? {
        found.extend(list_machines(view, principal, location.id)?);
    }
    Ok(found)
}

/// One part of a machine.
///
/// # Errors
/// Without `read_robot` on its machine.
pub fn get_part<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: PartId,
) -> Result<&'a Part, Refusal> {
    part_for(view, principal, Permission::ReadRobot, id)
}

/// The parts of a machine.
///
/// # Errors
/// Without `read_robot` on the machine.
pub fn list_parts<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    machine: MachineId,
) -> Result<Vec<&'a Part>, Refusal> {
    let machine = get_machine(view, principal, machine)?;
    Ok(view.parts_of(machine.id).collect())
}
