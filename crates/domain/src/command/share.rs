//! Locations that several organizations have a part in: share, and end a share.

use super::{Command, Context, Decision, put};
use crate::id::{LocationId, OrganizationId};
use crate::policy::Permission;
use crate::record::{Kind, Location};
use crate::refusal::Refusal;
use crate::resource::Resource;

/// With how many organizations one location can be shared.
pub const MAX_SHARES: usize = 100;

/// Give another organization a part in a location and all that lies in it.
///
/// Its owners act as owners of the location, its operators as operators of it. They cannot move or delete it, and it
/// stays with the organization it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct ShareLocation {
    /// Which location.
    pub id: LocationId,
    /// With whom.
    pub organization: OrganizationId,
}

impl Command for ShareLocation {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize(Permission::ShareLocation, Resource::Location(self.id))?;
        let location = context.view.location(self.id).ok_or(Refusal::NotFound(Kind::Location))?;
        // Whoever shares needs not belong to the other organization: its id is what they were told.
        if context.view.organization(self.organization).is_none() {
            return Err(Refusal::NotFound(Kind::Organization));
        }
        if location.organization == self.organization {
            return Err(Refusal::AlreadyExists(format!(
                "location {} belongs to organization {} already",
                self.id, self.organization
            )));
        }
        if location.shared_with.contains(&self.organization) {
            return Ok(Decision::unchanged(permit, ()));
        }
        if location.shared_with.len() >= MAX_SHARES {
            let rule = format!("must leave location {} shared with at most {MAX_SHARES}", self.id);
            return Err(Refusal::invalid("organization_id", rule));
        }
        let mut shared_with = location.shared_with.clone();
        shared_with.push(self.organization);
        shared_with.sort_unstable();
        let after = Location { shared_with, ..location.clone() };
        Ok(context.decision(permit, vec![put(after)], ()))
    }
}

/// End an organization's part in a location. Its keys and people lose what they held there at once; should it be
/// shared again, they hold it again.
#[derive(Clone, Copy, Debug)]
pub struct UnshareLocation {
    /// Which location.
    pub id: LocationId,
    /// With whom not any more.
    pub organization: OrganizationId,
}

impl Command for UnshareLocation {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let resource = Resource::Location(self.id);
        let permit = context.authorize(Permission::ShareLocation, resource)?;
        let location = context.view.location(self.id).ok_or(Refusal::NotFound(Kind::Location))?;
        // An organization may leave; to put another one out takes an owner of the location's own organization.
        let permit = match context.authorize_in(self.organization, Permission::ShareLocation, resource) {
            Ok(own) if location.organization != self.organization => own,
            _ => permit.and(context.authorize_in(
                location.organization,
                Permission::ShareLocation,
                resource,
            )?),
        };
        if location.organization == self.organization {
            return Err(Refusal::FailedPrecondition(format!(
                "location {} belongs to organization {} and cannot be taken from it",
                self.id, self.organization
            )));
        }
        if !location.shared_with.contains(&self.organization) {
            return Ok(Decision::unchanged(permit, ()));
        }
        let mut after = location.clone();
        after.shared_with.retain(|organization| *organization != self.organization);
        Ok(context.decision(permit, vec![put(after)], ()))
    }
}
