//! May they? One question, `authorize(permission, resource)`, and an answer that is evidence.
//!
//! Worked example. Key A is owner of location *Hall*, key B operator of the machine *arm* in it.
//!
//! - A asks `write_robot` on *arm*: the lineage of *arm* is *arm*, *Hall*, the organization; A holds owner on
//!   *Hall*, the table gives `write_robot` to location owners, so A gets a [`Permit`] that names that grant.
//! - B asks the same: B's grant covers *arm*, but the table gives operators no `write_robot`. B can see *arm*,
//!   so the answer is `PermissionDenied` and names the permission.
//! - B asks `read_robot` on a machine next to *arm*: no grant covers it, so for B it is not there: `NotFound`.

use crate::policy::{Permission, Reach};
use crate::record::{Actor, Key, Kind, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource, ResourceType};
use crate::verify::Principal;
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
    let not_found = || Refusal::NotFound(RecordId::from(resource).kind());
    let lineage = Lineage::of(view, resource).ok_or_else(not_found)?;
    if let Some(basis) = basis(view, principal, permission, &lineage, resource) {
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
    Lineage::of(view, resource)
        .is_some_and(|lineage| basis(view, principal, permission, &lineage, resource).is_some())
}

/// The first right by which the principal may.
#[inline]
fn basis<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    lineage: &Lineage,
    resource: Resource,
) -> Option<Basis> {
    if principal.actor() == Actor::System {
        return Some(Basis::System);
    }
    let given = |grant: &&Grant| permission.given_by(grant.role, grant.resource.resource_type());
    let mut grants = principal.grants().iter().filter(given);
    let wide = permission.reach() == Reach::Wide && resource.resource_type() == ResourceType::Organization;
    let found = grants.find(|grant| {
        lineage.contains(grant.resource)
            || (wide && Lineage::of(view, grant.resource).is_some_and(|of| of.contains(resource)))
    });
    found.map(|grant| Basis::Grant(*grant))
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
        || principal.grants().iter().any(|grant| {
            lineage.contains(grant.resource)
                || Lineage::of(view, grant.resource).is_some_and(|of| of.contains(resource))
        })
}

/// May the principal do this to a key? Only who may do it to everything the key reaches: otherwise the owner
/// of a machine could rotate the organization's key and so become its owner.
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
        match authorize(view, principal, permission, grant.resource) {
            Ok(more) => permit = permit.and(more),
            Err(Refusal::NotFound(_)) => {
                return Err(Refusal::PermissionDenied { permission, resource: None });
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(permit)
}

fn key_visible<V: View + ?Sized>(view: &V, principal: &Principal<'_>, key: &Key) -> bool {
    let covers = |resource| {
        Lineage::of(view, resource)
            .is_some_and(|of| principal.grants().iter().any(|mine| of.contains(mine.resource)))
    };
    match principal.actor() {
        Actor::System => true,
        Actor::Key(_) => key.grants.iter().any(|grant| covers(grant.resource)),
    }
}

/// Where in an organization the principal holds a permission: the organization itself, or the topmost
/// locations and machines of its grants.
///
/// # Errors
/// As [`authorize`] on the organization, where it is held nowhere.
pub fn held_in<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    permission: Permission,
    organization: Resource,
) -> Result<Vec<Resource>, Refusal> {
    let refusal = match authorize(view, principal, permission, organization) {
        Ok(_) => return Ok(vec![organization]),
        Err(refusal) => refusal,
    };
    let grants = principal.grants().iter();
    let given = grants.filter(|grant| permission.given_by(grant.role, grant.resource.resource_type()));
    let inside = given.filter_map(|grant| Lineage::of(view, grant.resource).map(|of| (grant.resource, of)));
    let inside: Vec<_> = inside.filter(|(_, of)| of.contains(organization)).collect();
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
        Actor::Key(_) => Err(Refusal::PermissionDenied { permission, resource: None }),
    }
}
