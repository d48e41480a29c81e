//! Parts: their addresses, what of them the caller may read, and machines in short.

use std::collections::BTreeSet;

use crate::authorize::{authorize, holds, visible};
use crate::id::{LocationId, OrganizationId, PartId};
use crate::metadata::MetadataSubject;
use crate::policy::Permission;
use crate::record::{Actor, Kind, Location, Machine, Part};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::verify::Principal;
use crate::view::{Lineage, View};

use super::fleet::{list_locations, list_machines};

/// The part with this address. The first label decides; in which domain the fleet lies is known elsewhere.
pub fn part_by_address<V: View + ?Sized>(view: &V, address: &str) -> Option<PartId> {
    let label = address.split('.').next().unwrap_or(address).to_ascii_lowercase();
    view.part_by_label(&label)
}

/// A part, where the caller has this permission on its machine.
///
/// # Errors
/// [`Refusal::NotFound`] where they do not even see the machine, [`Refusal::PermissionDenied`] where they do.
pub fn part_for<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    permission: Permission,
    id: PartId,
) -> Result<&'a Part, Refusal> {
    let part = view.part(id).ok_or(Refusal::NotFound(Kind::Part))?;
    match authorize(view, principal, permission, Resource::Machine(part.machine)) {
        Ok(_permit) => Ok(part),
        Err(Refusal::NotFound(_)) => Err(Refusal::NotFound(Kind::Part)),
        Err(refusal) => Err(refusal),
    }
}

/// The one part with this name on the machines that stand directly in a location.
///
/// # Errors
/// Where the caller sees none, or several: names are unique in a machine only.
pub fn part_by_name<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    name: &str,
    location: LocationId,
) -> Result<&'a Part, Refusal> {
    let machines = list_machines(view, principal, location)?;
    let parts = machines.into_iter().flat_map(|machine| view.parts_of(machine.id));
    let mut named = parts.filter(|part| part.name.as_str() == name);
    let found = named.next().ok_or(Refusal::NotFound(Kind::Part))?;
    match named.count() {
        0 => Ok(found),
        more => Err(Refusal::FailedPrecondition(format!(
            "{} parts in location {location} have this name: ask for the one that is meant by its id",
            more + 1
        ))),
    }
}

/// What of the parts of a machine the caller may read besides what everybody reads who sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRights {
    /// Their configuration.
    pub configuration: bool,
    /// Their secrets.
    pub secrets: bool,
}

impl PartRights {
    /// What the caller may read.
    #[must_use]
    pub fn of<V: View + ?Sized>(view: &V, principal: &Principal<'_>, part: &Part) -> Self {
        let may = |permission| holds(view, principal, permission, Resource::Machine(part.machine));
        Self { configuration: may(Permission::ReadRobotConfig), secrets: may(Permission::ReadRobotSecret) }
    }
}

/// A location whose secrets the caller may read.
///
/// # Errors
/// Without `read_location_secret` on it.
pub fn location_with_secrets<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: LocationId,
) -> Result<&'a Location, Refusal> {
    let _permit = authorize(view, principal, Permission::ReadLocationSecret, Resource::Location(id))?;
    view.location(id).ok_or(Refusal::NotFound(Kind::Location))
}

/// Whether the caller may read what is noted down about something.
///
/// # Errors
/// Without `read_metadata` on it.
pub fn may_read_metadata<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    subject: MetadataSubject,
) -> Result<(), Refusal> {
    match subject {
        MetadataSubject::Resource(resource) => {
            authorize(view, principal, Permission::ReadMetadata, resource).map(drop)
        }
        MetadataSubject::Part(id) => part_for(view, principal, Permission::ReadMetadata, id).map(drop),
    }
}

/// Whether somebody who did something is still there. A key that is gone is not.
pub fn is_known<V: View + ?Sized>(view: &V, actor: Actor) -> bool {
    match actor {
        Actor::Key(id) => view.key(id).is_some(),
        Actor::User(id) => view.user(id).is_some(),
        Actor::Part(id) => view.part(id).is_some(),
        Actor::System => true,
    }
}

/// The machines of an organization that the caller sees, at most so many, by location; in these locations and what
/// is nested in them, or everywhere where none is named. Locations without any are left out.
///
/// # Errors
/// Where the caller does not even see the organization, or one of the locations that are named.
pub fn machine_summaries<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    organization: OrganizationId,
    within: &BTreeSet<LocationId>,
    limit: usize,
) -> Result<Vec<(&'a Location, Vec<&'a Machine>)>, Refusal> {
    let locations = list_locations(view, principal, organization)?;
    if within.iter().any(|id| !visible(view, principal, Resource::Location(*id))) {
        return Err(Refusal::NotFound(Kind::Location));
    }
    let (mut found, mut left) = (Vec::new(), limit);
    for location in locations {
        if left == 0 {
            break;
        }
        if !within.is_empty() && !lies_within(view, location.id, within) {
            continue;
        }
        let mut machines = list_machines(view, principal, location.id)?;
        machines.truncate(left);
        left -= machines.len();
        if !machines.is_empty() {
            found.push((location, machines));
        }
    }
    Ok(found)
}

fn lies_within<V: View + ?Sized>(view: &V, location: LocationId, places: &BTreeSet<LocationId>) -> bool {
    let lineage = Lineage::of(view, Resource::Location(location));
    lineage.is_some_and(|lineage| {
        lineage.iter().any(|step| match step {
            Resource::Location(id) => places.contains(&id),
            _ => false,
        })
    })
}
