//! Machines: create, update (rename and move), delete.

use super::secret::NewSecret;
use super::{Command, Context, Decision, grants, part, put};
use crate::document::DocumentChange;
use crate::id::{LocationId, MachineId};
use crate::metadata::MetadataSubject;
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Kind, Machine, Part, RecordId};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::view::Lineage;

/// Make a machine, with its main part.
#[derive(Clone, Debug)]
pub struct CreateMachine {
    /// Where it stands.
    pub location: LocationId,
    /// What to call it.
    pub name: Name,
    /// By what its main part will be known.
    pub secret: NewSecret,
}

impl Command for CreateMachine {
    type Reply = Machine;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Machine>, Refusal> {
        let permit = context.authorize(Permission::CreateMachine, Resource::Location(self.location))?;
        let (machine, part) = new(context, self.location, self.name, &self.secret);
        let changes = vec![put(machine.clone()), put(part)];
        Ok(context.decision(permit, changes, machine).with_documents(vec![self.secret.document()]))
    }
}

/// Rename a machine or move it to another location of its organization. What is absent stays.
#[derive(Clone, Debug)]
pub struct UpdateMachine {
    /// Which machine.
    pub id: MachineId,
    /// Its new name.
    pub name: Option<Name>,
    /// Its new location.
    pub location: Option<LocationId>,
}

impl Command for UpdateMachine {
    type Reply = Machine;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Machine>, Refusal> {
        let mut permit = context.authorize(Permission::WriteRobot, Resource::Machine(self.id))?;
        let before = context.view.machine(self.id).ok_or(Refusal::NotFound(Kind::Machine))?;
        let mut after = before.clone();
        super::organization::replace(&mut after.name, self.name);
        if let Some(to) = self.location.filter(|to| *to != before.location) {
            // The right at both ends: who reaches the machine changes with its place.
            permit = permit.and(context.authorize(Permission::MoveMachine, Resource::Machine(self.id))?);
            permit = permit.and(context.authorize(Permission::MoveMachine, Resource::Location(to))?);
            let organization =
                |place| Lineage::of(context.view, Resource::Location(place)).map(|of| of.organization());
            if organization(to) != organization(before.location) {
                return Err(Refusal::invalid("location", "must lie in the machine's organization"));
            }
            after.location = to;
        }
        if after == *before {
            return Ok(Decision::unchanged(permit, after));
        }
        let mut changes = vec![put(after.clone())];
        if after.location != before.location {
            changes.extend(part::moved(context.view, after.id, after.location).into_iter().map(put));
        }
        Ok(context.decision(permit, changes, after))
    }
}

/// End a machine, with its parts and the grants on it.
#[derive(Clone, Copy, Debug)]
pub struct DeleteMachine {
    /// Which machine.
    pub id: MachineId,
}

impl Command for DeleteMachine {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize(Permission::DeleteMachine, Resource::Machine(self.id))?;
        let machine = RecordId::Machine(self.id);
        let mut changes = grants::without_resource(context.view, Resource::Machine(self.id));
        changes.extend(context.view.children(machine, Kind::Part).map(Change::Delete));
        changes.push(Change::Delete(machine));
        let mut documents: Vec<DocumentChange> =
            context.view.parts_of(self.id).flat_map(part::documents_gone).collect();
        documents.push(MetadataSubject::Resource(Resource::Machine(self.id)).gone());
        Ok(context.decision(permit, changes, ()).with_documents(documents))
    }
}

/// A machine and its main part, with which every machine begins.
pub(super) fn new(
    context: &mut Context<'_>,
    location: LocationId,
    name: Name,
    secret: &NewSecret,
) -> (Machine, Part) {
    let machine = Machine {
        id: MachineId::generate(context.now, context.rng),
        location,
        name,
        created_at: context.now,
    };
    let part = Part { main: true, ..part::new(context, &machine, machine.name.with_suffix("-main"), secret) };
    (machine, part)
}
