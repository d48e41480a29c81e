//! People: there is no command that makes one yet, so they come as records.

use domain::{EmailHash, Grant, Membership, Resource, Role, User, UserId};
use rand_core::Rng as _;

use crate::dice::Dice;
use crate::naive::{Model, owner_of};

/// Somebody who holds a few things in one organization or in several, and not always has a password.
pub(crate) fn somebody(model: &Model, dice: &mut Dice) -> User {
    let tree = model.tree();
    let mut memberships = vec![];
    for organization in &model.organizations {
        if dice.percent(30) {
            continue;
        }
        let part = model.part_of(&tree, organization.id);
        let foreign = |it: &&Resource| **it != Resource::Organization(organization.id);
        let below: Vec<_> = part.iter().filter(foreign).copied().collect();
        let mut grants = vec![];
        if dice.percent(20) {
            let role = dice.one(&Role::ALL);
            grants.push(Grant { role, ..owner_of(organization.id) });
        }
        for _ in 0..dice.below(3) {
            let role = dice.one(&Role::ALL);
            grants.extend(dice.pick(&below).map(|resource| Grant { role, resource }));
        }
        grants.sort_unstable_by_key(|grant| grant.resource);
        grants.dedup_by_key(|grant| grant.resource);
        if !grants.is_empty() {
            let (organization, since) = (organization.id, model.now);
            memberships.push(Membership { organization, grants: grants.into(), since });
        }
    }
    memberships.sort_unstable_by_key(|membership| membership.organization);
    let mut email = [0; 32];
    dice.0.fill_bytes(&mut email);
    User {
        id: UserId::generate(model.now, &mut dice.0),
        email: EmailHash::from_bytes(email),
        memberships,
        generation: 1 + u32::try_from(dice.below(3)).unwrap(),
        can_sign_in: dice.percent(50),
        created_at: model.now,
    }
}
