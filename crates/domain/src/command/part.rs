//! Parts: create, update (rename and configure), choose the main one, ask for a restart, delete.

use std::collections::BTreeSet;

use super::secret::NewSecret;
use super::{Command, Context, Decision, put};
use crate::address::Label;
use crate::authorize::Permit;
use crate::configuration::{Configuration, KEPT_REVISIONS, Revision};
use crate::document::{DocumentChange, DocumentKind};
use crate::id::{LocationId, MachineId, PartId};
use crate::metadata::MetadataSubject;
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Kind, Machine, Part, RecordId};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::time::Timestamp;
use crate::view::View;

/// The most parts a machine has.
pub const MAX_PARTS: usize = 100;

/// Add a part to a machine.
#[derive(Clone, Debug)]
pub struct CreatePart {
    /// To which machine.
    pub machine: MachineId,
    /// What to call it; no other part of the machine is called so.
    pub name: Name,
    /// By what it will be known.
    pub secret: NewSecret,
}

impl Command for CreatePart {
    type Reply = Part;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Part>, Refusal> {
        let permit = context.authorize(Permission::WriteRobot, Resource::Machine(self.machine))?;
        let machine = context.view.machine(self.machine).ok_or(Refusal::NotFound(Kind::Machine))?.clone();
        check_name(context.view, self.machine, None, &self.name, "part_name")?;
        if context.view.parts_of(self.machine).count() >= MAX_PARTS {
            let text = format!("machine {} has {MAX_PARTS} parts, and no machine has more", self.machine);
            return Err(Refusal::FailedPrecondition(text));
        }
        let part = new(context, &machine, self.name, &self.secret);
        let decision = context.decision(permit, vec![put(part.clone())], part);
        Ok(decision.with_documents(vec![self.secret.document()]))
    }
}

/// Rename a part or configure it anew. What is absent stays.
#[derive(Clone, Debug)]
pub struct UpdatePart {
    /// Which part.
    pub id: PartId,
    /// Its name.
    pub name: Option<Name>,
    /// Its configuration.
    pub configuration: Option<Configuration>,
    /// When its configuration last changed, as far as the caller knows. Refused if it has changed since.
    pub last_known_update: Option<Timestamp>,
}

impl Command for UpdatePart {
    type Reply = Part;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Part>, Refusal> {
        let (permit, before) = authorized(context, self.id, Permission::WriteRobot)?;
        check_known(before, self.last_known_update)?;
        let mut after = before.clone();
        if let Some(name) = self.name.filter(|name| *name != before.name) {
            check_name(context.view, before.machine, Some(before.id), &name, "name")?;
            let machine = context.view.machine(before.machine).ok_or(Refusal::NotFound(Kind::Machine))?;
            after.label = label(context.view, &name, machine.location, before.id, &BTreeSet::new());
            after.name = name;
        }
        let mut documents = Vec::new();
        if let Some(configuration) = self.configuration {
            documents = configure(context, &mut after, configuration)?;
        }
        if after == *before {
            return Ok(Decision::unchanged(permit, after));
        }
        Ok(context.decision(permit, vec![put(after.clone())], after).with_documents(documents))
    }
}

/// Make a part the one that others of its machine connect to, instead of the one that is.
#[derive(Clone, Copy, Debug)]
pub struct MarkAsMain {
    /// Which part.
    pub id: PartId,
}

impl Command for MarkAsMain {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (permit, part) = authorized(context, self.id, Permission::WriteRobot)?;
        if part.main {
            return Ok(Decision::unchanged(permit, ()));
        }
        let concerned = context.view.parts_of(part.machine).filter(|it| it.main || it.id == self.id);
        let changes = concerned.map(|it| put(Part { main: it.id == self.id, ..it.clone() })).collect();
        Ok(context.decision(permit, changes, ()))
    }
}

/// Ask that a part starts anew. It does when it next asks whether it should.
#[derive(Clone, Copy, Debug)]
pub struct AskForRestart {
    /// Which part.
    pub id: PartId,
}

impl Command for AskForRestart {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (permit, part) = authorized(context, self.id, Permission::WriteRobot)?;
        let after = Part { restart_asked_at: Some(context.now), ..part.clone() };
        Ok(context.decision(permit, vec![put(after)], ()))
    }
}

/// End a part, with its secrets, its configurations and its metadata.
#[derive(Clone, Copy, Debug)]
pub struct DeletePart {
    /// Which part.
    pub id: PartId,
}

impl Command for DeletePart {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (permit, part) = authorized(context, self.id, Permission::WriteRobot)?;
        if part.main {
            return Err(Refusal::FailedPrecondition(format!(
                "part {} is the main part of its machine: mark another as main first, or delete the machine",
                self.id
            )));
        }
        let documents = documents_gone(part);
        let changes = vec![Change::Delete(RecordId::Part(self.id))];
        Ok(context.decision(permit, changes, ()).with_documents(documents))
    }
}

/// The part, and the right to do this to its machine: a part has no rights of its own. One that cannot be seen reads
/// like one that is not there.
pub(super) fn authorized<'a>(
    context: &Context<'a>,
    id: PartId,
    permission: Permission,
) -> Result<(Permit, &'a Part), Refusal> {
    let view: &'a dyn View = context.view;
    let part = view.part(id).ok_or(Refusal::NotFound(Kind::Part))?;
    match context.authorize(permission, Resource::Machine(part.machine)) {
        Ok(permit) => Ok((permit, part)),
        Err(Refusal::NotFound(_)) => Err(Refusal::NotFound(Kind::Part)),
        Err(refusal) => Err(refusal),
    }
}

pub(super) fn new(context: &mut Context<'_>, machine: &Machine, name: Name, secret: &NewSecret) -> Part {
    let id = PartId::generate(context.now, context.rng);
    Part {
        id,
        machine: machine.id,
        label: label(context.view, &name, machine.location, id, &BTreeSet::new()),
        name,
        main: false,
        secrets: vec![secret.record(context.now)],
        revision: 0,
        configured_at: None,
        restart_asked_at: None,
        created_at: context.now,
    }
}

/// The parts of a machine as they are once it stands elsewhere: each at another address.
pub(super) fn moved(view: &dyn View, machine: MachineId, to: LocationId) -> Vec<Part> {
    // Their names may differ and their labels not, so each looks at those before it as well.
    let mut chosen = BTreeSet::new();
    let moved = view.parts_of(machine).map(|part| {
        let label = label(view, &part.name, to, part.id, &chosen);
        chosen.insert(label.clone());
        Part { label, ..part.clone() }
    });
    moved.collect()
}

fn label(
    view: &dyn View,
    name: &Name,
    location: LocationId,
    part: PartId,
    besides: &BTreeSet<Label>,
) -> Label {
    Label::choose(name, location, part, |label| {
        besides.contains(label) || view.part_by_label(label).is_some_and(|other| other != part)
    })
}

fn check_name(
    view: &dyn View,
    machine: MachineId,
    own: Option<PartId>,
    name: &Name,
    field: &str,
) -> Result<(), Refusal> {
    let mut others = view.parts_of(machine).filter(|part| Some(part.id) != own);
    if others.any(|part| part.name == *name) {
        let text = format!("{field}: the machine has a part with this name already");
        return Err(Refusal::AlreadyExists(text));
    }
    Ok(())
}

/// Compared in whole milliseconds: JavaScript knows no finer ones, and what it was told comes back cut off.
fn check_known(part: &Part, known: Option<Timestamp>) -> Result<(), Refusal> {
    let Some(known) = known else { return Ok(()) };
    if known.as_micros().div_euclid(1_000) < part.last_updated().as_micros().div_euclid(1_000) {
        return Err(Refusal::Aborted(format!(
            "part {} was configured at {}, which is after last_known_update: read it again and repeat the change",
            part.id,
            part.last_updated()
        )));
    }
    Ok(())
}

/// The next revision, with the documents that come and go with it.
fn configure(
    context: &Context<'_>,
    part: &mut Part,
    configuration: Configuration,
) -> Result<Vec<DocumentChange>, Refusal> {
    part.revision = part.revision.saturating_add(1);
    // Whole milliseconds, and no two revisions at the same, so that each is told from the one before.
    let now = context.now.as_micros().div_euclid(1_000);
    let before = part.last_updated().as_micros().div_euclid(1_000);
    let at = Timestamp::from_micros(now.max(before.saturating_add(1)).saturating_mul(1_000));
    part.configured_at = Some(at);
    let revision = Revision {
        at,
        by: context.principal.actor(),
        by_name: context.principal.key().map(|key| key.name.clone()),
        part_name: part.name.clone(),
        configuration,
    };
    let unwritable = |_| Refusal::invalid("robot_config", "must be something that can be kept as JSON");
    let mut documents = vec![revision.document(part.id, part.revision).map_err(unwritable)?];
    if let Some(old) = part.revision.checked_sub(KEPT_REVISIONS).filter(|old| *old > 0) {
        let id = Revision::document_id(part.id, old);
        documents.push(DocumentChange::delete(DocumentKind::Configuration, &id));
    }
    Ok(documents)
}

/// All that is kept of a part outside its record, gone.
pub(super) fn documents_gone(part: &Part) -> Vec<DocumentChange> {
    let secrets = part.secrets.iter().map(|it| DocumentChange::delete(DocumentKind::Secret, &it.id));
    let kept = (Revision::oldest_kept(part.revision)..=part.revision).filter(|number| *number > 0);
    let configurations = kept.map(|number| {
        DocumentChange::delete(DocumentKind::Configuration, &Revision::document_id(part.id, number))
    });
    secrets.chain(configurations).chain([MetadataSubject::Part(part.id).gone()]).collect()
}
