//! Locations: create, update (rename and move), delete.

use super::organization::replace;
use super::{Command, Context, Decision, grants, put};
use crate::authorize::Permit;
use crate::document::{DocumentChange, DocumentKind};
use crate::id::{LocationId, OrganizationId};
use crate::metadata::MetadataSubject;
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Kind, Location, RecordId};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::view::{Lineage, MAX_LOCATION_DEPTH, View};

/// Make a location.
#[derive(Clone, Debug)]
pub struct CreateLocation {
    /// In which organization.
    pub organization: OrganizationId,
    /// Nested in which location, if any.
    pub parent: Option<LocationId>,
    /// What to call it.
    pub name: Name,
}

impl Command for CreateLocation {
    type Reply = Location;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Location>, Refusal> {
        // Asked of the organization, also for a nested one: owners of a location make none.
        let permit =
            context.authorize(Permission::CreateLocation, Resource::Organization(self.organization))?;
        if let Some(parent) = self.parent {
            check_parent(context, parent, self.organization, 1)?;
        }
        let location = new(context, self.organization, self.parent, self.name);
        Ok(context.decision(permit, vec![put(location.clone())], location))
    }
}

/// Where a location is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewParent {
    /// To the top of its organization.
    Top,
    /// Into another location.
    Location(LocationId),
}

/// Rename a location, set its region, or move it under another parent. What is absent stays.
#[derive(Clone, Debug)]
pub struct UpdateLocation {
    /// Which location.
    pub id: LocationId,
    /// Its new name.
    pub name: Option<Name>,
    /// Its new parent.
    pub parent: Option<NewParent>,
    /// Its region.
    pub region: Option<Name>,
}

impl Command for UpdateLocation {
    type Reply = Location;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Location>, Refusal> {
        let mut permit = context.authorize(Permission::WriteLocation, Resource::Location(self.id))?;
        let before = context.view.location(self.id).ok_or(Refusal::NotFound(Kind::Location))?;
        let mut after = before.clone();
        replace(&mut after.name, self.name);
        if let Some(region) = self.region.filter(|region| before.region.as_ref() != Some(region)) {
            permit = permit.and(context.authorize(Permission::SetRegion, Resource::Location(self.id))?);
            after.region = Some(region);
        }
        let parent = self.parent.map_or(before.parent, NewParent::location);
        if parent != before.parent {
            permit = permit.and(authorize_move(context, before, parent)?);
            after.parent = parent;
        }
        if after == *before {
            return Ok(Decision::unchanged(permit, after));
        }
        Ok(context.decision(permit, vec![put(after.clone())], after))
    }
}

/// End a location that holds neither machines nor locations.
#[derive(Clone, Copy, Debug)]
pub struct DeleteLocation {
    /// Which location.
    pub id: LocationId,
}

impl Command for DeleteLocation {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize(Permission::DeleteLocation, Resource::Location(self.id))?;
        for (kind, what) in [(Kind::Machine, "machines"), (Kind::Location, "locations")] {
            if context.view.children(RecordId::Location(self.id), kind).next().is_some() {
                return Err(Refusal::FailedPrecondition(format!(
                    "location {} still holds {what}: move or delete them first",
                    self.id
                )));
            }
        }
        let mut changes = grants::without_resource(context.view, Resource::Location(self.id));
        changes.push(Change::Delete(RecordId::Location(self.id)));
        let secrets = context.view.location(self.id).into_iter().flat_map(|location| &location.secrets);
        let mut documents: Vec<_> =
            secrets.map(|secret| DocumentChange::delete(DocumentKind::Secret, &secret.id)).collect();
        documents.push(MetadataSubject::Resource(Resource::Location(self.id)).gone());
        Ok(context.decision(permit, changes, ()).with_documents(documents))
    }
}

impl NewParent {
    const fn location(self) -> Option<LocationId> {
        match self {
            Self::Top => None,
            Self::Location(id) => Some(id),
        }
    }
}

/// Moving takes the right on what moves and on where it goes. Whoever owned it through the parent it leaves loses it.
fn authorize_move(
    context: &Context<'_>,
    moved: &Location,
    to: Option<LocationId>,
) -> Result<Permit, Refusal> {
    let from = context.authorize(Permission::MoveLocation, Resource::Location(moved.id))?;
    if !moved.shared_with.is_empty() {
        return Err(Refusal::FailedPrecondition(format!(
            "location {} is shared and cannot be moved: end its shares first",
            moved.id
        )));
    }
    let Some(parent) = to else {
        let top = Resource::Organization(moved.organization);
        return Ok(from.and(context.authorize(Permission::CreateLocation, top)?));
    };
    let permit = from.and(context.authorize(Permission::MoveLocation, Resource::Location(parent))?);
    let lineage = Lineage::of(context.view, Resource::Location(parent));
    if lineage.is_some_and(|lineage| lineage.contains(Resource::Location(moved.id))) {
        return Err(Refusal::invalid(
            "parent_location_id",
            "must not be the location itself or lie inside it",
        ));
    }
    check_parent(context, parent, moved.organization, height(context.view, moved.id))?;
    Ok(permit)
}

/// Checks that a subtree of this many levels fits under a parent of the same organization.
fn check_parent(
    context: &Context<'_>,
    parent: LocationId,
    organization: OrganizationId,
    levels: usize,
) -> Result<(), Refusal> {
    let lineage = Lineage::of(context.view, Resource::Location(parent));
    let lineage = lineage.filter(|lineage| lineage.organization() == organization);
    // One of another organization reads like one that does not exist.
    let lineage = lineage.ok_or(Refusal::NotFound(Kind::Location))?;
    let above = lineage.iter().filter(|step| matches!(step, Resource::Location(_))).count();
    if above + levels > MAX_LOCATION_DEPTH {
        let rule = format!(
            "must leave locations nested at most {MAX_LOCATION_DEPTH} deep; this makes {}",
            above + levels
        );
        return Err(Refusal::invalid("parent_location_id", rule));
    }
    Ok(())
}

/// How many levels a location and what is nested in it take.
fn height(view: &dyn View, id: LocationId) -> usize {
    let below = view.locations_in(RecordId::Location(id)).map(|child| height(view, child.id)).max();
    1 + below.unwrap_or(0)
}

pub(super) fn new(
    context: &mut Context<'_>,
    organization: OrganizationId,
    parent: Option<LocationId>,
    name: Name,
) -> Location {
    Location {
        id: free_id(context),
        organization,
        parent,
        name,
        region: None,
        shared_with: Vec::new(),
        secrets: Vec::new(),
        created_at: context.now,
    }
}

fn free_id(context: &mut Context<'_>) -> LocationId {
    loop {
        let id = LocationId::generate(context.rng);
        // Taken once in 10^15 / locations: the loop ends.
        if context.view.location(id).is_none() {
            return id;
        }
    }
}
