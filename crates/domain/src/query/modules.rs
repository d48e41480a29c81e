//! Modules, as far as the caller may have them.

use std::collections::BTreeSet;

use crate::authorize::{authorize, holds, visible};
use crate::id::{ModuleId, OrganizationId};
use crate::module::{Module, ModuleRef, Visibility};
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Actor, Kind, Organization};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::verify::Principal;
use crate::view::{Lineage, View};

/// The module of this name, whoever asks. The first part is an organization's id or its namespace.
pub(crate) fn find_module<'a, V: View + ?Sized>(view: &'a V, module: &ModuleRef) -> Option<&'a Module> {
    let by_id = module.prefix.as_str().parse().ok().filter(|id| view.organization(*id).is_some());
    let organization = by_id.or_else(|| view.organization_by_namespace(&module.prefix))?;
    let found = view.module(view.module_named(organization, &module.name)?)?;
    // The name is compared without capitals where one is made, and exactly where one is asked for.
    (found.name == module.name).then_some(found)
}

/// A module that everybody may have.
///
/// # Errors
/// [`Refusal::NotFound`] where there is none, or it is private.
pub fn get_public_module<'a, V: View + ?Sized>(
    view: &'a V,
    module: &ModuleRef,
) -> Result<&'a Module, Refusal> {
    let found = find_module(view, module).filter(|found| !found.visibility.is_private());
    found.ok_or(Refusal::NotFound(Kind::Module))
}

/// A module: a public one for everybody, a private one with `read_private_registry_item` on its organization, or for
/// the machines of that.
///
/// # Errors
/// Without that; [`Refusal::NotFound`] where the caller does not even see the organization.
pub fn get_module<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    module: &ModuleRef,
) -> Result<&'a Module, Refusal> {
    let found = find_module(view, module).ok_or(Refusal::NotFound(Kind::Module))?;
    if !found.visibility.is_private() || runs_in(view, principal, found.organization) {
        return Ok(found);
    }
    let resource = Resource::Organization(found.organization);
    match authorize(view, principal, Permission::ReadPrivateRegistryItem, resource) {
        Ok(_permit) => Ok(found),
        Err(Refusal::NotFound(_)) => Err(Refusal::NotFound(Kind::Module)),
        Err(refusal) => Err(refusal),
    }
}

/// Whether the caller is a part of a machine of the organization.
fn runs_in<V: View + ?Sized>(view: &V, principal: &Principal<'_>, organization: OrganizationId) -> bool {
    let Actor::Part(part) = principal.actor() else { return false };
    let machine = view.part(part).map(|part| Resource::Machine(part.machine));
    let lineage = machine.and_then(|machine| Lineage::of(view, machine));
    lineage.is_some_and(|lineage| lineage.organization() == organization)
}

/// The modules that the caller may have and that are listed: all public ones, and those of the organization, or of
/// all in which the caller holds anything, with `read_private_registry_item` on it. The oldest first.
///
/// # Errors
/// Where the caller does not see the organization.
pub fn list_modules<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    organization: Option<OrganizationId>,
) -> Result<Vec<&'a Module>, Refusal> {
    let organizations: Vec<_> = match organization {
        Some(one) if visible(view, principal, Resource::Organization(one)) => vec![one],
        Some(_) => return Err(Refusal::NotFound(Kind::Organization)),
        None => principal.holdings().map(|holding| holding.organization).collect(),
    };
    let readable = |id: &OrganizationId| {
        holds(view, principal, Permission::ReadPrivateRegistryItem, Resource::Organization(*id))
    };
    let own = organizations.into_iter().filter(readable).flat_map(|id| view.modules_of(id));
    let own = own.map(|module| module.id);
    let listed = |id: &ModuleId| view.module(*id).is_some_and(|it| it.visibility == Visibility::Public);
    let ids: BTreeSet<_> = own.chain(view.public_modules().filter(listed)).collect();
    Ok(ids.into_iter().filter_map(|id| view.module(id)).collect())
}

/// Whether an organization could have this namespace. Whoever asks for nobody learns whether it is free.
///
/// # Errors
/// Where it is no namespace, or the caller may not read the organization.
pub fn namespace_available<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    namespace: &Name,
    organization: Option<OrganizationId>,
) -> Result<bool, Refusal> {
    let own = organization.map(|id| super::get_organization(view, principal, id)).transpose()?;
    crate::command::check_namespace(namespace)?;
    let given = own.and_then(|own| own.public_namespace.as_ref());
    let holder = view.organization_by_namespace(namespace);
    let is_own = |own: &Organization| holder.is_none_or(|holder| holder == own.id);
    Ok(match own {
        // It can be given once.
        Some(own) => is_own(own) && given.is_none_or(|given| given == namespace),
        None => holder.is_none(),
    })
}
