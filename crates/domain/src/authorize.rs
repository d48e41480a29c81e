//! May they? One question, `authorize(permission, resource)`, and an answer that is evidence.
//!
//! Worked example. Key A is owner of location *Hall*, key B operator of the machine *arm* in it.
//!
//! - A asks `write_robot` on *arm*: the lineage of *arm* is *arm*, *Hall*, the organization; A holds owner on
//!   *Hall*, the table gives `write_robot` to location owners, so A gets a [`Permit`] that names that grant.
//! - B asks the same: B's grant covers *arm*, but the table gives operators no `write_robot`. B can see *arm*,
//!   so the answer is `PermissionDenied` and names the permission.
//! - B asks `read_robot` on a machine next to *arm*: no grant covers it, so for B it is not there: `NotFound`.

use crate::id::OrganizationId;
use crate::policy::{Permission, Reach};
use crate::record::{Actor, Key, Kind, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource, ResourceType};
use crate::verify::{Holding, Principal};
use crate::view::{Lineage, View};

/// By what right something was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A grant of the caller.
    Grant(Grant),
    /// The caller is the person at the server.
    System,
}

/// One thing that was allowed: what, on what, by what right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// What was asked for.
    pub permission: Permission,
    /// On what; nothing where the thing was the authority as a whole.
    pub resource: Option<Resource>,
    /// By what right.
    pub basis: Basis,
}

/// The evidence that somebody may do something.
///
/// An [`Entry`](crate::Entry) is made from one, and only this module makes one: a change that nobody was
/// allowed to make does not compile.
#[derive(Clone, Debug)]
#[must_use]
pub struct Permit {
    actor: Actor,
    allowances: Vec<Allowance>,
}

impl Permit {
    /// Both permits as one, for an act that needs several.
    pub fn and(mut self, other: Self) -> Self {
        self.allowances.extend(other.allowances);
        self
    }

    /// Who was allowed.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// What was allowed.
    #[must_use]
    pub fn allowances(&self) -> &[Allowance] {
        &self.allowances
    }
}

/// May the principal do this to that?
///
/// # Errors
/// [`Refusal::NotFound`] where the resource is not there or the principal cannot see it, otherwise
/// [`Refusal::PermissionDenied`].
#[inline]
pub fn authorize<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    resource: Resource,
) -> Result<Permit, Refusal> {
    authorize_for(view, principal, permission, resource, None)
}

/// The same, by what is held in one organization alone if one is given.
///
/// A location may be shared: then people and keys of several organizations hold roles on it, and each
/// organization's keys are managed by its own owners only.
///
/// # Errors
/// As [`authorize`].
#[inline]
pub(crate) fn authorize_for<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    resource: Resource,
    organization: Option<OrganizationId>,
) -> Result<Permit, Refusal> {
    let not_found = || Refusal::NotFound(RecordId::from(resource).kind());
    let lineage = Lineage::of(view, resource).ok_or_else(not_found)?;
    if let Some(basis) = basis(view, principal, permission, &lineage, resource, organization) {
        let allowance = Allowance { permission, resource: Some(resource), basis };
        return Ok(Permit { actor: principal.actor(), allowances: vec![allowance] });
    }
    if visible_in(view, principal, &lineage, resource) {
        Err(Refusal::PermissionDenied { permission, resource: Some(resource) })
    } else {
        Err(not_found())
    }
}

/// The same question as a plain yes or no, for filtering lists and for `CheckPermissions`.
#[inline]
#[must_use]
pub fn holds<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    resource: Resource,
) -> bool {
    holds_for(view, principal, permission, resource, None)
}

/// [`authorize_for`] as a plain yes or no.
#[inline]
pub(crate) fn holds_for<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    resource: Resource,
    organization: Option<OrganizationId>,
) -> bool {
    Lineage::of(view, resource)
        .is_some_and(|lineage| basis(view, principal, permission, &lineage, resource, organization).is_some())
}

/// The first right by which the principal may.
#[inline]
fn basis<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    lineage: &Lineage,
    resource: Resource,
    organization: Option<OrganizationId>,
) -> Option<Basis> {
    if principal.actor() == Actor::System {
        return Some(Basis::System);
    }
    let asked = |holding: &Holding<'_>| organization.is_none_or(|only| only == holding.organization);
    principal.holdings().filter(asked).find_map(|holding| {
        let mut grants = holding.grants.iter();
        let found =
            grants.find(|grant| gives(view, holding.organization, grant, permission, lineage, resource));
        found.map(|grant| Basis::Grant(*grant))
    })
}

/// Whether a grant that is held in an organization gives a permission on a resource with this lineage.
#[inline]
fn gives<V: View + ?Sized>(
    view: &V,
    organization: OrganizationId,
    grant: &Grant,
    permission: Permission,
    lineage: &Lineage,
    resource: Resource,
) -> bool {
    if lineage.organization() != organization {
        return permission.reach() == Reach::Down
            && level_through_share(view, organization, grant, lineage)
                .is_some_and(|level| permission.given_by(grant.role, level));
    }
    if !permission.given_by(grant.role, grant.resource.resource_type()) {
        return false;
    }
    let wide = permission.reach() == Reach::Wide && resource.resource_type() == ResourceType::Organization;
    // Of a grant on a location of others that is shared with them, nothing reaches up to their own organization.
    lineage.contains(grant.resource)
        || (wide && Lineage::of(view, grant.resource).is_some_and(|of| of.contains(resource)))
}

/// At which level a grant counts on a resource of another organization, if it lies at or below a location that is
/// shared with the holder's. A role on their whole organization counts as one on the shared location.
fn level_through_share<V: View + ?Sized>(
    view: &V,
    organization: OrganizationId,
    grant: &Grant,
    lineage: &Lineage,
) -> Option<ResourceType> {
    let shared = lineage.shared_steps(view, organization);
    if shared == 0 {
        return None;
    }
    match grant.resource {
        Resource::Organization(id) => (id == organization).then_some(ResourceType::Location),
        resource => {
            lineage.iter().take(shared).any(|step| step == resource).then(|| resource.resource_type())
        }
    }
}

/// Whether the principal may know that the resource is there: it is at or below a grant, or above one.
#[must_use]
pub fn visible<V: View + ?Sized>(view: &V, principal: &Principal<'_>, resource: Resource) -> bool {
    Lineage::of(view, resource).is_some_and(|lineage| visible_in(view, principal, &lineage, resource))
}

fn visible_in<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    lineage: &Lineage,
    resource: Resource,
) -> bool {
    principal.actor() == Actor::System
        || principal.holdings().any(|holding| {
            let organization = holding.organization;
            resource == Resource::Organization(organization)
                || holding.grants.iter().any(|grant| {
                    covers(view, organization, grant, lineage)
                        || stands_above(view, organization, grant, resource)
                })
        })
}

/// Whether a resource with this lineage is at or below a grant that counts there.
fn covers<V: View + ?Sized>(
    view: &V,
    organization: OrganizationId,
    grant: &Grant,
    lineage: &Lineage,
) -> bool {
    if lineage.organization() == organization {
        lineage.contains(grant.resource)
    } else {
        level_through_share(view, organization, grant, lineage).is_some()
    }
}

/// Whether a resource is above a grant, up to where the holder's organization has a part in it.
fn stands_above<V: View + ?Sized>(
    view: &V,
    organization: OrganizationId,
    grant: &Grant,
    resource: Resource,
) -> bool {
    Lineage::of(view, grant.resource).is_some_and(|of| {
        if of.organization() == organization {
            return of.contains(resource);
        }
        let shared = of.shared_steps(view, organization);
        let within = |place: Resource| of.iter().take(shared).any(|step| step == place);
        within(grant.resource) && within(resource)
    })
}

/// Whether a grant that is held in an organization counts at all: its resource is the organization's, or still
/// shared with it.
#[must_use]
pub fn counts<V: View + ?Sized>(view: &V, organization: OrganizationId, grant: &Grant) -> bool {
    Lineage::of(view, grant.resource).is_some_and(|of| covers(view, organization, grant, &of))
}

/// May the principal do this to a key? Only who may do it to everything the key reaches, in the key's own
/// organization: otherwise the owner of a machine could rotate the organization's key and so become its owner,
/// and those whom a location is shared with could end the keys of those who share it.
///
/// # Errors
/// [`Refusal::NotFound`] where there is no such key, or nothing of what it reaches is at or below a grant of the
/// principal; otherwise [`Refusal::PermissionDenied`], which names the resource only if the principal sees it.
pub fn authorize_key<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    key: Option<&Key>,
) -> Result<Permit, Refusal> {
    let not_found = Refusal::NotFound(Kind::Key);
    let Some(key) = key else { return Err(not_found) };
    if !key_visible(view, principal, key) {
        return Err(not_found);
    }
    let mut permit = Permit { actor: principal.actor(), allowances: Vec::with_capacity(key.grants.len()) };
    for grant in key.grants.iter() {
        permit = permit.and(authorize_grant(view, principal, permission, key.organization, grant)?);
    }
    Ok(permit)
}

/// What a right over a grant of a key is asked of: its resource. One that does not count any more, because its
/// location is not shared any more, is nobody's but the organization's own.
pub(crate) fn stake<V: View + ?Sized>(view: &V, organization: OrganizationId, grant: &Grant) -> Resource {
    if counts(view, organization, grant) { grant.resource } else { Resource::Organization(organization) }
}

/// The right over one grant of a key.
fn authorize_grant<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    organization: OrganizationId,
    grant: &Grant,
) -> Result<Permit, Refusal> {
    let resource = stake(view, organization, grant);
    match authorize_for(view, principal, permission, resource, Some(organization)) {
        Err(Refusal::NotFound(_)) => Err(Refusal::PermissionDenied { permission, resource: None }),
        other => other,
    }
}

/// Whether the principal knows of a key: it is their own, which is seen also when nothing it holds counts any more, or
/// it reaches into what they hold.
fn key_visible<V: View + ?Sized>(view: &V, principal: &Principal<'_>, key: &Key) -> bool {
    if principal.actor() == Actor::System || principal.actor() == Actor::Key(key.id) {
        return true;
    }
    let own = Resource::Organization(key.organization);
    principal.holdings().filter(|holding| holding.organization == key.organization).any(|holding| {
        holding.grants.iter().any(|mine| {
            mine.resource == own
                || key.grants.iter().any(|grant| {
                    Lineage::of(view, grant.resource)
                        .is_some_and(|of| covers(view, key.organization, mine, &of))
                })
        })
    })
}

/// Where the principal holds a permission by what they hold in an organization: the organization itself, or the
/// topmost locations and machines of their grants.
///
/// # Errors
/// As [`authorize`] on the organization, where it is held nowhere.
pub fn held_in<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    organization: OrganizationId,
) -> Result<Vec<Resource>, Refusal> {
    let top = Resource::Organization(organization);
    let refusal = match authorize(view, principal, permission, top) {
        Ok(_) => return Ok(vec![top]),
        Err(refusal) => refusal,
    };
    let holdings = principal.holdings().filter(|holding| holding.organization == organization);
    let given = holdings.flat_map(|holding| holding.grants).map(|grant| grant.resource);
    let held = |resource: &Resource| holds_for(view, principal, permission, *resource, Some(organization));
    let inside: Vec<_> = given
        .filter(held)
        .filter_map(|resource| Lineage::of(view, resource).map(|of| (resource, of)))
        .collect();
    let topmost = inside
        .iter()
        .filter(|(resource, of)| !inside.iter().any(|(other, _)| other != resource && of.contains(*other)));
    let roots: Vec<_> = topmost.map(|(resource, _)| *resource).collect();
    if roots.is_empty() { Err(refusal) } else { Ok(roots) }
}

/// The permit of the person at the server for what concerns the authority as a whole.
///
/// # Errors
/// [`Refusal::PermissionDenied`] for everybody else.
pub(crate) fn authorize_system(principal: &Principal<'_>, permission: Permission) -> Result<Permit, Refusal> {
    match principal.actor() {
        Actor::System => {
            let allowance = Allowance { permission, resource: None, basis: Basis::System };
            Ok(Permit { actor: Actor::System, allowances: vec![allowance] })
        }
        _ => Err(Refusal::PermissionDenied { permission, resource: None }),
    }
}
