//! Every read of the crate beside the naive model's.

use domain::query::{
    ListedKey, check_permissions, get_key, get_location, get_machine, get_organization, get_part, list_keys,
    list_locations, list_machines, list_managers, list_organizations, list_parts, list_roles,
    machines_in_organization, may_see_inside, organizations_of, robot_keys,
};
use domain::{Kind, LocationId, OrganizationId, Permission, Principal, RecordId, Refusal, Resource, View};

use crate::compare::{Differs, no, same};
use crate::dice::Dice;
use crate::eyes::Eyes;
use crate::lists::Shown;
use crate::naive::No;

/// Asks everything that can be asked; returns how many questions that were.
pub(crate) fn compare_lists<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
    dice: &mut Dice,
) -> Result<usize, String> {
    let mut questions = 1;
    let real: Vec<_> = list_organizations(view, principal).iter().map(|it| it.id).collect();
    same(real, eyes.organizations(), || "the list of organizations".to_owned())?;
    let buried = eyes.model.buried_resources();
    for resource in eyes.model.resources().into_iter().chain(buried.iter().rev().take(3).copied()) {
        match resource {
            Resource::Organization(id) => compare_organization(view, principal, eyes, id, dice)?,
            Resource::Location(id) => compare_location(view, principal, eyes, id)?,
            Resource::Machine(_) => compare_machine(view, principal, eyes, resource)?,
        }
        let real = answer(list_managers(view, principal, resource))
            .map(|found| found.into_iter().map(|(key, grant)| (key.id, grant)).collect());
        same(real, eyes.managers(resource), || format!("who manages {resource}"))?;
        compare_check(view, principal, eyes, resource, dice)?;
        questions += 5;
    }
    for id in eyes.model.buried.iter().rev().take(10) {
        if let RecordId::Part(id) = *id {
            same(answer(get_part(view, principal, id)).map(drop), Err(No::NotFound(Kind::Part)), || {
                format!("part {id}, which is gone")
            })?;
        }
        if let RecordId::Key(id) = *id {
            same(answer(get_key(view, principal, id)).map(drop), Err(No::NotFound(Kind::Key)), || {
                format!("key {id}, which is gone")
            })?;
        }
        questions += 1;
    }
    for key in &eyes.model.keys {
        let real = answer(get_key(view, principal, key.id)).map(|it| shown(&it));
        same(real, eyes.one_key(key.id), || format!("key {}", key.id))?;
        questions += 1;
    }
    Ok(questions)
}

fn answer<T>(real: Result<T, Refusal>) -> Result<T, No> {
    real.map_err(|refusal| no(&refusal))
}

fn shown(listed: &ListedKey<'_>) -> Shown {
    Shown { key: listed.key.id, grants: listed.grants.clone(), manageable: listed.manageable() }
}

fn compare_organization<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
    id: OrganizationId,
    dice: &mut Dice,
) -> Differs {
    let about = |what: &str| format!("{what} of organization {id} for {:?}", eyes.actor);
    let real = answer(get_organization(view, principal, id)).map(|it| it.id);
    let naive = eyes.ask(Permission::ReadOrganization, Resource::Organization(id)).map(|()| id);
    same(real, naive, || about("the record"))?;

    let real = answer(list_locations(view, principal, id));
    if let Ok(locations) = &real {
        let order: Vec<_> = locations.iter().map(|it| it.id).collect();
        same(parents_first(eyes, &order), true, || format!("{}, {order:?}", about("the order")))?;
    }
    let real = real.map(|found| sorted(found.iter().map(|it| it.id)));
    same(real, eyes.locations(id), || about("the locations"))?;

    let real = answer(machines_in_organization(view, principal, id));
    let real = real.map(|found| sorted(found.iter().map(|it| it.id)));
    same(real, eyes.all_machines(id), || about("the machines"))?;

    let real = answer(list_keys(view, principal, id)).map(|found| found.iter().map(shown).collect());
    same(real, eyes.keys(id), || about("the keys"))?;

    let pool: Vec<_> = eyes.model.resources().into_iter().chain([Resource::Organization(id)]).collect();
    let named: Vec<_> = (0..dice.below(3)).map(|_| dice.one(&pool)).collect();
    let real = answer(list_roles(view, principal, id, &named))
        .map(|found| found.into_iter().map(|held| (held.key, held.grant)).collect());
    same(real, eyes.roles(id, &named), || format!("{} on {named:?}", about("the roles")))
}

/// "Parents before what is nested in them", as far as both are listed.
fn parents_first(eyes: &Eyes<'_>, order: &[LocationId]) -> bool {
    order.iter().enumerate().all(|(place, id)| {
        let inside = &eyes.tree[&Resource::Location(*id)];
        order[..place].iter().all(|earlier| !inside.contains(&Resource::Location(*earlier)))
    })
}

fn compare_location<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
    id: LocationId,
) -> Differs {
    let about = |what: &str| format!("{what} of location {id} for {:?}", eyes.actor);
    let real = answer(get_location(view, principal, id)).map(|it| it.id);
    same(real, eyes.one_location(id).map(|()| id), || about("the record"))?;
    let real =
        answer(organizations_of(view, principal, id)).map(|found| found.iter().map(|it| it.id).collect());
    same(real, eyes.organizations_with(id), || about("the organizations"))?;
    let inside = eyes.may(Permission::ReadLocation, Resource::Location(id));
    same(may_see_inside(view, principal, id), inside, || about("the inside"))?;
    let real = answer(list_machines(view, principal, id)).map(|found| found.iter().map(|it| it.id).collect());
    let real = real.map(|found: Vec<_>| sorted(found.into_iter()));
    same(real, eyes.machines(id), || about("the machines"))
}

fn compare_machine<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
    resource: Resource,
) -> Differs {
    let Resource::Machine(id) = resource else { return Err(format!("{resource} is no machine")) };
    let about = |what: &str| format!("{what} of machine {id} for {:?}", eyes.actor);
    let naive = eyes.ask(Permission::ReadRobot, resource);
    let real = answer(get_machine(view, principal, id)).map(|it| it.id);
    same(real, naive.clone().map(|()| id), || about("the record"))?;

    let parts = eyes.model.parts.iter().filter(|part| part.machine == id);
    let parts: Vec<_> = parts.map(|part| part.id).collect();
    let real = answer(list_parts(view, principal, id)).map(|found| found.iter().map(|it| it.id).collect());
    same(real, naive.clone().map(|()| parts.clone()), || about("the parts"))?;
    for part in parts {
        let real = answer(get_part(view, principal, part)).map(|it| it.id);
        let naive = naive.clone().map(|()| part).map_err(|refusal| match refusal {
            No::NotFound(_) => No::NotFound(Kind::Part),
            other => other,
        });
        same(real, naive, || about("a part"))?;
    }

    let real = answer(robot_keys(view, principal, id, eyes.model.now))
        .map(|found| found.iter().map(shown).collect());
    same(real, eyes.keys_of_machine(id), || about("the keys"))
}

/// A handful of names, some of them nobody's and some of them twice, answered in the order they were asked in.
fn compare_check<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
    resource: Resource,
    dice: &mut Dice,
) -> Differs {
    let asked: Vec<_> = (0..dice.below(8))
        .map(|_| if dice.percent(20) { "no_such_name" } else { dice.one(Permission::ALL).name() })
        .collect();
    let held = |name: &&&str| {
        let known = Permission::ALL.iter().find(|permission| permission.name() == **name);
        known.is_some_and(|permission| eyes.may(*permission, resource))
    };
    let naive: Vec<_> = asked.iter().filter(held).copied().collect();
    let real = check_permissions(view, principal, resource, asked.iter().copied());
    same(real, naive, || format!("{asked:?} on {resource}"))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items
}
