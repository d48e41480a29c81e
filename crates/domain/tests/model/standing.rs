//! What somebody can rely on, and what they have lost.

use std::collections::BTreeMap;

use domain::{KeyId, Permission, SigningKey};

use crate::naive::{Model, ModelKey, Rights};

/// Everything that somebody can rely on at a moment.
pub(crate) struct Standing {
    keys: BTreeMap<KeyId, (ModelKey, Rights)>,
    signing_keys: Vec<SigningKey>,
}

impl Standing {
    pub(crate) fn of(model: &Model) -> Self {
        let tree = model.tree();
        let live = model.keys.iter().filter(|key| !model.dead(key, model.now));
        let keys = live.map(|key| (key.id, (key.clone(), model.rights(&tree, &key.grants)))).collect();
        Self { keys, signing_keys: model.signing_keys.clone() }
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
        for (id, (key, rights)) in &self.keys {
            let Some((now, left)) = after.keys.get(id) else { return Some(format!("key {id} is gone")) };
            if now.value != key.value || now.generation != key.generation {
                return Some(format!("the value of key {id} is void"));
            }
            if now.expires_at.is_some_and(|end| key.expires_at.is_none_or(|before| end < before)) {
                return Some(format!("key {id} ends sooner"));
            }
            for &resource in rights.allowed.keys() {
                let missing = |it: &&Permission| rights.may(**it, resource) && !left.may(**it, resource);
                if let Some(missing) = Permission::ALL.iter().find(missing) {
                    return Some(format!("key {id} lost {} on {resource}", missing.name()));
                }
            }
        }
        None
    }
}
