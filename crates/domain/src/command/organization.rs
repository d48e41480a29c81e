//! Organizations: create, update, delete.

use super::{Command, Context, Decision, put};
use crate::authorize::authorize_system;
use crate::document::{DocumentChange, DocumentKind};
use crate::id::OrganizationId;
use crate::metadata::MetadataSubject;
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Kind, Organization, RecordId};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::view::View;

/// Make an organization. No key may: it would belong to nobody the authority knows.
#[derive(Clone, Debug)]
pub struct CreateOrganization {
    /// What to call it.
    pub name: Name,
}

impl Command for CreateOrganization {
    type Reply = Organization;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Organization>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::CreateOrganization)?;
        let made = new(context, self.name);
        Ok(context.decision(permit, vec![put(made.clone())], made))
    }
}

/// Change what an organization says about itself. What is absent stays.
#[derive(Clone, Debug)]
pub struct UpdateOrganization {
    /// Which organization.
    pub id: OrganizationId,
    /// Its new name.
    pub name: Option<Name>,
    /// Its namespace; must be free, and can be given once.
    pub public_namespace: Option<Name>,
    /// Its region.
    pub region: Option<Name>,
    /// Its customer number.
    pub cid: Option<Name>,
}

impl Command for UpdateOrganization {
    type Reply = Organization;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Organization>, Refusal> {
        let permit = context.authorize(Permission::WriteOrganization, Resource::Organization(self.id))?;
        let before = context.view.organization(self.id).ok_or(Refusal::NotFound(Kind::Organization))?;
        if let Some(namespace) = &self.public_namespace {
            check_namespace(namespace)?;
            check_free(context, before, namespace)?;
        }
        let mut after = before.clone();
        replace(&mut after.name, self.name);
        after.public_namespace = self.public_namespace.or(after.public_namespace);
        after.default_region = self.region.or(after.default_region);
        after.cid = self.cid.or(after.cid);
        if after == *before {
            return Ok(Decision::unchanged(permit, after));
        }
        Ok(context.decision(permit, vec![put(after.clone())], after))
    }
}

/// End an organization that has no locations, and with it all its keys and modules.
#[derive(Clone, Copy, Debug)]
pub struct DeleteOrganization {
    /// Which organization.
    pub id: OrganizationId,
}

impl Command for DeleteOrganization {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize(Permission::DeleteOrganization, Resource::Organization(self.id))?;
        let organization = RecordId::Organization(self.id);
        if context.view.children(organization, Kind::Location).next().is_some() {
            return Err(Refusal::FailedPrecondition(format!(
                "organization {} still has locations: delete them first",
                self.id
            )));
        }
        let keys = context.view.keys_of(self.id).map(|key| Change::Delete(RecordId::Key(key.id)));
        let invitations = context.view.children(organization, Kind::Invitation);
        let addresses = invitations.map(|id| DocumentChange::delete(DocumentKind::Invitation, &id.id_text()));
        let metadata = MetadataSubject::Resource(Resource::Organization(self.id)).gone();
        let texts = context.view.modules_of(self.id).flat_map(|module| {
            module.documents().map(|texts| super::module::without(module.id, texts)).collect::<Vec<_>>()
        });
        let documents = addresses.chain(texts).chain([metadata]).collect();
        let changes = keys
            .chain(context.view.children(organization, Kind::Invitation).map(Change::Delete))
            .chain(context.view.children(organization, Kind::Module).map(Change::Delete))
            .chain(without_members(context.view, self.id))
            .chain(without_shares(context.view, self.id))
            .chain([Change::Delete(organization)])
            .collect();
        Ok(context.decision(permit, changes, ()).with_documents(documents))
    }
}

/// The people who are members, without that. They stay known.
fn without_members(view: &dyn View, gone: OrganizationId) -> impl Iterator<Item = Change> {
    view.members(gone).filter_map(|id| view.user(id)).map(move |user| {
        let mut after = user.clone();
        after.memberships.retain(|membership| membership.organization != gone);
        put(after)
    })
}

/// The locations of others that are shared with it, without that.
fn without_shares(view: &dyn View, gone: OrganizationId) -> impl Iterator<Item = Change> {
    view.shared_with(gone).filter_map(|id| view.location(id)).map(move |location| {
        let mut after = location.clone();
        after.shared_with.retain(|organization| *organization != gone);
        put(after)
    })
}

pub(super) fn new(context: &mut Context<'_>, name: Name) -> Organization {
    Organization {
        id: OrganizationId::generate(context.now, context.rng),
        name,
        created_at: context.now,
        public_namespace: None,
        default_region: None,
        cid: None,
    }
}

pub(super) fn replace<T>(place: &mut T, with: Option<T>) {
    if let Some(with) = with {
        *place = with;
    }
}

/// Whether it is a namespace. An organization's id is none: it stands in the same place of a module's name, and must
/// not mean somebody else.
pub(crate) fn check_namespace(wanted: &Name) -> Result<(), Refusal> {
    let text = wanted.as_str();
    let letters = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !letters || text.starts_with('-') || text.len() > 63 {
        let rule = "must be 1 to 63 lower-case letters, digits and dashes, not starting with a dash";
        return Err(Refusal::invalid("public_namespace", rule));
    }
    if text.parse::<OrganizationId>().is_ok() {
        return Err(Refusal::invalid("public_namespace", "must not be a UUID"));
    }
    Ok(())
}

fn check_free(context: &Context<'_>, own: &Organization, wanted: &Name) -> Result<(), Refusal> {
    match &own.public_namespace {
        Some(present) if present != wanted => {
            return Err(Refusal::FailedPrecondition(format!(
                "organization {} has the namespace {present} already",
                own.id
            )));
        }
        _ => {}
    }
    if context.view.organization_by_namespace(wanted).is_some_and(|other| other != own.id) {
        return Err(Refusal::AlreadyExists(format!("the namespace {wanted} is taken")));
    }
    Ok(())
}
