//! What somebody can rely on, and what they have lost.

use std::collections::BTreeMap;

use domain::{Actor, KeyId, OrganizationId, Permission, SigningKey};

use crate::naive::{Model, ModelKey};
use crate::rights::Rights;

/// Everything that somebody can rely on at a moment.
pub(crate) struct Standing {
    keys: BTreeMap<KeyId, ModelKey>,
    /// By who holds them, and in which organization.
    rights: BTreeMap<(Actor, OrganizationId), Rights>,
    signing_keys: Vec<SigningKey>,
}

impl Standing {
    pub(crate) fn of(model: &Model) -> Self {
        let tree = model.tree();
        let live = model.keys.iter().filter(|key| !model.dead(key, model.now));
        let keys: BTreeMap<_, _> = live.map(|key| (key.id, key.clone())).collect();
        let people = model.users.iter().map(|user| Actor::User(user.id));
        let mut rights = BTreeMap::new();
        for actor in keys.keys().map(|id| Actor::Key(*id)).chain(people) {
            for (organization, grants) in model.holdings(actor) {
                rights.insert((actor, organization), model.rights(&tree, organization, &grants));
            }
        }
        Self { keys, rights, signing_keys: model.signing_keys.clone() }
    }

    /// Something that went from yes to no, now or later than now.
    pub(crate) fn lost(&self, after: &Self) -> Option<String> {
        for key in &self.signing_keys {
            let same = |other: &&SigningKey| {
                (other.id, &other.purpose, &other.sealed) == (key.id, &key.purpose, &key.sealed)
            };
            if !after.signing_keys.iter().any(|other| same(&other)) {
                return Some(format!("what signing key {} signed is void", key.id));
            }
        }
        for (id, key) in &self.keys {
            let Some(now) = after.keys.get(id) else { return Some(format!("key {id} is gone")) };
            if now.value != key.value || now.generation != key.generation {
                return Some(format!("the value of key {id} is void"));
            }
            if now.expires_at.is_some_and(|end| key.expires_at.is_none_or(|before| end < before)) {
                return Some(format!("key {id} ends sooner"));
            }
        }
        let nothing = Rights::default();
        self.rights.iter().find_map(|(who, rights)| {
            let left = after.rights.get(who).unwrap_or(&nothing);
            lost_right(rights, left).map(|lost| format!("{who:?} lost {lost}"))
        })
    }
}

fn lost_right(before: &Rights, after: &Rights) -> Option<String> {
    before.allowed.keys().find_map(|&resource| {
        let missing = |it: &&Permission| before.may(**it, resource) && !after.may(**it, resource);
        let missing = Permission::ALL.iter().find(missing)?;
        Some(format!("{} on {resource}", missing.name()))
    })
}
