//! Who does what to which fleet, chosen at random.

use domain::command::{
    AddRole, ChangeRole, CreateKey, CreateLocation, CreateMachine, CreateOrganization, DeleteKey,
    DeleteLocation, DeleteMachine, DeleteOrganization, DuplicateKey, FoundOrganization, NewParent, NewSecret,
    RecoverOwner, RemoveRole, RenameKey, ReplaceSigningKey, ResealSigningKeys, RetireSigningKeys, RotateKey,
    SetKeyExpiry, ShareLocation, UnshareLocation, UpdateLocation, UpdateMachine, UpdateOrganization,
};
use domain::{
    Actor, Caller, Grant, KeyHash, KeyId, LocationId, MachineId, Name, OrganizationId, RecordId, Resource,
    Role, SecretId, SigningKeyId, Timestamp,
};

use crate::acts::Act;
use crate::dice::Dice;
use crate::naive::{Model, ModelKey, Tree, owner_of};

/// What a machine is made with.
pub(crate) fn new_secret(dice: &mut Dice) -> NewSecret {
    let id = SecretId::generate(Timestamp::EPOCH, &mut dice.0);
    NewSecret { id, hash: KeyHash::of(&id.to_string()), sealed: vec![] }
}

/// Chooses who does what to which fleet.
pub(crate) struct Chooser<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) model: &'a Model,
    pub(crate) tree: &'a Tree,
}

impl Chooser<'_> {
    /// Mostly somebody who is let in: a key, now and then a person.
    pub(crate) fn caller(&mut self) -> Caller {
        if self.dice.percent(10) {
            return Caller::System;
        }
        if self.dice.percent(30) {
            return self.person().unwrap_or(Caller::System);
        }
        let owns = |key: &&ModelKey| key.grants.iter().any(|grant| grant.role == Role::Owner);
        let owners: Vec<_> = self.model.keys.iter().filter(owns).collect();
        let anybody: Vec<_> = self.model.keys.iter().collect();
        let from = if self.dice.percent(70) { owners } else { anybody };
        let Some(key) = self.dice.pick(&from) else { return Caller::System };
        match self.dice.below(40) {
            0 => Caller::Key { id: key.id, generation: key.generation + 1 },
            1 => Caller::Key { id: key.id, generation: key.generation - 1 },
            2 => Caller::Key { id: self.buried_key().unwrap_or(key.id), generation: key.generation },
            _ => Caller::Key { id: key.id, generation: key.generation },
        }
    }

    fn person(&mut self) -> Option<Caller> {
        let user = self.dice.pick(&self.model.users)?;
        let generation = match self.dice.below(30) {
            0 => user.generation + 1,
            1 => user.generation - 1,
            _ => user.generation,
        };
        Some(Caller::User { id: user.id, generation })
    }

    /// Something to do, mostly about what the caller can reach.
    pub(crate) fn act(&mut self, actor: Actor) -> Act {
        let near = self.near(actor);
        let organizations = if actor == Actor::System { 45 } else { 14 };
        match self.dice.below(100) {
            roll if roll < organizations => self.act_on_organizations(actor),
            roll if roll < 52 => self.act_on_the_fleet(actor, &near),
            roll if roll < 60 => self.act_on_shares(actor, &near),
            _ => self.act_on_keys(actor, &near),
        }
    }

    fn act_on_organizations(&mut self, actor: Actor) -> Act {
        let few = self.model.organizations.len() < 5;
        let (organization, name) = (self.organization(actor), self.name());
        match self.dice.below(9) {
            0 if few => Act::FoundOrganization(FoundOrganization { name, key_name: self.name() }),
            1 if few => Act::CreateOrganization(CreateOrganization { name }),
            2 => Act::RecoverOwner(RecoverOwner { organization, key_name: name }),
            3 | 4 => Act::DeleteOrganization(DeleteOrganization { id: self.empty_organization(actor) }),
            5 | 6 => self.act_on_signing_keys(),
            // Namespaces are few and given once, so most of these meet a rule.
            _ => Act::UpdateOrganization(UpdateOrganization {
                id: organization,
                name: self.maybe(40, Self::name),
                public_namespace: self.maybe(60, Self::name),
                region: self.maybe(20, Self::name),
                cid: self.maybe(20, Self::name),
            }),
        }
    }

    fn act_on_the_fleet(&mut self, actor: Actor, near: &[Resource]) -> Act {
        let size = self.model.resources().len();
        let growing = size < 25 && self.dice.percent(30);
        match self.dice.below(if growing { 3 } else { 9 }) {
            0 if size < 40 => Act::CreateLocation(CreateLocation {
                organization: self.organization(actor),
                parent: self.maybe(60, |it| it.location(near)),
                name: self.name(),
            }),
            1 | 2 if size < 40 => Act::CreateMachine(CreateMachine {
                location: self.location(near),
                name: self.name(),
                secret: new_secret(self.dice),
            }),
            0 | 3 => Act::DeleteLocation(DeleteLocation { id: self.empty_location(near) }),
            1 | 2 | 4 => Act::DeleteMachine(DeleteMachine { id: self.machine(near) }),
            5 | 6 => Act::UpdateLocation(UpdateLocation {
                id: self.location(near),
                name: self.maybe(30, Self::name),
                parent: self.maybe(80, |it| it.new_parent(near)),
                region: self.maybe(20, Self::name),
            }),
            _ => Act::UpdateMachine(UpdateMachine {
                id: self.machine(near),
                name: self.maybe(30, Self::name),
                location: self.maybe(80, |it| it.location(near)),
            }),
        }
    }

    fn act_on_shares(&mut self, actor: Actor, near: &[Resource]) -> Act {
        let (shared, all): (Vec<_>, Vec<_>) = (
            self.model.locations.iter().filter(|it| !it.shared_with.is_empty()).cloned().collect(),
            self.model.organizations.iter().map(|it| it.id).collect(),
        );
        if self.dice.percent(50) {
            let organization = match self.dice.below(12) {
                0 => self.organization(actor),
                _ => self.dice.one(&all),
            };
            return Act::ShareLocation(ShareLocation { id: self.location(near), organization });
        }
        let mine = |it: &domain::Location| near.contains(&Resource::Location(it.id));
        let mine: Vec<_> = shared.into_iter().filter(mine).collect();
        let Some(location) = self.dice.pick(&mine) else {
            let (id, organization) = (self.location(near), self.organization(actor));
            return Act::UnshareLocation(UnshareLocation { id, organization });
        };
        let organization = match self.dice.below(10) {
            0 => location.organization,
            1 => self.organization(actor),
            _ => self.dice.one(&location.shared_with),
        };
        Act::UnshareLocation(UnshareLocation { id: location.id, organization })
    }

    fn act_on_keys(&mut self, actor: Actor, near: &[Resource]) -> Act {
        let few = self.model.keys.len() < 36;
        let id = self.key(actor);
        match self.dice.below(13) {
            0 | 1 if few => Act::CreateKey(CreateKey {
                organization: self.maybe(50, |it| it.organization(actor)),
                name: self.name(),
                grants: self.grants(near),
                expires_at: self.expiry(),
            }),
            2 if few => Act::DuplicateKey(DuplicateKey { id }),
            0..=3 => Act::DeleteKey(DeleteKey { id }),
            4 => Act::RotateKey(RotateKey { id }),
            5 => Act::RenameKey(RenameKey { id, name: self.name() }),
            6 => Act::SetKeyExpiry(SetKeyExpiry { id, expires_at: self.expiry() }),
            7 | 8 => Act::AddRole(AddRole { key: id, grant: self.grant_like(id, near) }),
            9 | 10 => Act::RemoveRole(RemoveRole { key: id, grant: self.grant_of(id, near) }),
            _ => {
                let (old, new) = (self.grant_of(id, near), self.grant_like(id, near));
                Act::ChangeRole(ChangeRole { key: id, old, new })
            }
        }
    }

    /// What the caller has to do with: most of the time what lies at or below their grants, what is shared with
    /// their organizations included.
    fn near(&mut self, actor: Actor) -> Vec<Resource> {
        let holdings = self.model.holdings(actor);
        let Some((organization, _)) = self.dice.pick(&holdings) else { return self.model.resources() };
        if self.dice.percent(20) {
            return self.model.part_of(self.tree, organization);
        }
        if self.dice.percent(15) {
            return self.model.shared(self.tree, organization);
        }
        let grants = holdings.iter().flat_map(|(_, grants)| grants);
        grants.filter_map(|grant| self.tree.get(&grant.resource)).flatten().copied().collect()
    }

    fn maybe<T>(&mut self, chance: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.dice.percent(chance).then(|| make(self))
    }

    /// One of few, so that the same one comes up again; some are no namespaces.
    pub(crate) fn name(&mut self) -> Name {
        Name::parse(self.dice.one(&["a", "b", "c", "d-e", "-f", "G h"])).unwrap()
    }

    fn any(&mut self, near: &[Resource], wanted: fn(&Resource) -> bool) -> Option<Resource> {
        let only = |of: Vec<Resource>| of.into_iter().filter(wanted).collect::<Vec<_>>();
        let from = match self.dice.below(20) {
            0 => only(self.model.buried_resources()),
            1 | 2 => only(self.model.resources()),
            _ => only(near.to_vec()),
        };
        self.dice.pick(&from)
    }

    /// Mostly the caller's own.
    fn organization(&mut self, actor: Actor) -> OrganizationId {
        let own = self.own_organization(actor);
        let all: Vec<_> = self.model.organizations.iter().map(|it| it.id).collect();
        match (own, self.dice.below(12)) {
            (Some(own), 0..8) => own,
            (_, 11) => OrganizationId::generate(self.model.now, &mut self.dice.0),
            _ => self.dice.one(&all),
        }
    }

    fn own_organization(&mut self, actor: Actor) -> Option<OrganizationId> {
        let holdings = self.model.holdings(actor);
        self.dice.pick(&holdings).map(|(organization, _)| organization)
    }

    /// Mostly one that holds nothing, if there is one.
    fn empty_organization(&mut self, actor: Actor) -> OrganizationId {
        let alone = |id: &OrganizationId| self.tree[&Resource::Organization(*id)].len() == 1;
        let empty: Vec<_> = self.model.organizations.iter().map(|it| it.id).filter(alone).collect();
        let chosen = if self.dice.percent(75) { self.dice.pick(&empty) } else { None };
        chosen.unwrap_or_else(|| self.organization(actor))
    }

    fn location(&mut self, near: &[Resource]) -> LocationId {
        match self.any(near, |it| matches!(it, Resource::Location(_))) {
            Some(Resource::Location(id)) => id,
            _ => self
                .dice
                .pick(&self.model.locations)
                .map_or_else(|| LocationId::generate(&mut self.dice.0), |it| it.id),
        }
    }

    /// Mostly one that holds nothing, if there is one.
    fn empty_location(&mut self, near: &[Resource]) -> LocationId {
        let alone = |resource: &&Resource| self.tree.get(resource).is_some_and(|below| below.len() == 1);
        let empty: Vec<_> = near.iter().filter(alone).copied().collect();
        if self.dice.percent(50) { self.location(&empty) } else { self.location(near) }
    }

    fn machine(&mut self, near: &[Resource]) -> MachineId {
        match self.any(near, |it| matches!(it, Resource::Machine(_))) {
            Some(Resource::Machine(id)) => id,
            _ => self
                .dice
                .pick(&self.model.machines)
                .map_or_else(|| MachineId::generate(self.model.now, &mut self.dice.0), |it| it.id),
        }
    }

    fn new_parent(&mut self, near: &[Resource]) -> NewParent {
        if self.dice.percent(25) { NewParent::Top } else { NewParent::Location(self.location(near)) }
    }

    /// Mostly a key of the caller's organization, now and then an owner of it, sometimes their own.
    fn key(&mut self, actor: Actor) -> KeyId {
        let organizations: Vec<_> = self.model.organizations.iter().map(|it| it.id).collect();
        let own = self.own_organization(actor).or_else(|| self.dice.pick(&organizations));
        if let Some(own) = own {
            let mates: Vec<_> =
                self.model.keys.iter().filter(|it| it.organization == own).map(|it| it.id).collect();
            let owns = |it: &&ModelKey| it.organization == own && it.grants.contains(&owner_of(own));
            let owners: Vec<_> = self.model.keys.iter().filter(owns).map(|it| it.id).collect();
            let chosen = match (self.dice.below(20), actor) {
                (0..11, _) => self.dice.pick(&mates),
                (11..16, _) => self.dice.pick(&owners),
                (16..18, Actor::Key(id)) => Some(id),
                _ => None,
            };
            if let Some(chosen) = chosen {
                return chosen;
            }
        }
        let buried = self.maybe(10, Self::buried_key).flatten();
        let any = self.dice.pick(&self.model.keys).map(|it| it.id);
        buried.or(any).unwrap_or_else(|| KeyId::generate(self.model.now, &mut self.dice.0))
    }

    pub(crate) fn buried_key(&mut self) -> Option<KeyId> {
        let key = |id: &RecordId| match id {
            RecordId::Key(id) => Some(*id),
            _ => None,
        };
        let keys: Vec<_> = self.model.buried.iter().filter_map(key).collect();
        self.dice.pick(&keys)
    }

    fn role(&mut self) -> Role {
        self.dice.one(&Role::ALL)
    }

    fn grant(&mut self, near: &[Resource]) -> Grant {
        let (role, any) = (self.role(), self.any(near, |_| true));
        let resource = any.unwrap_or_else(|| Resource::Organization(self.organization(Actor::System)));
        Grant { role, resource }
    }

    /// None, one, or several, among them now and then one twice.
    fn grants(&mut self, near: &[Resource]) -> Vec<Grant> {
        let count = self.dice.one(&[0, 1, 1, 1, 1, 2, 2, 2, 3, 3]);
        (0..count).map(|_| self.grant(near)).collect()
    }

    /// A grant the key has, or nearly.
    fn grant_of(&mut self, key: KeyId, near: &[Resource]) -> Grant {
        let held = self.model.key(key).map_or(vec![], |it| it.grants.clone());
        let Some(grant) = self.dice.pick(&held) else { return self.grant(near) };
        match self.dice.below(12) {
            0 => self.grant(near),
            1 => Grant { role: self.role(), ..grant },
            _ => grant,
        }
    }

    /// A grant the key could have, or has, in the one role or the other.
    fn grant_like(&mut self, key: KeyId, near: &[Resource]) -> Grant {
        if self.dice.percent(75) {
            return self.grant(near);
        }
        let held = self.grant_of(key, near);
        Grant { role: self.role(), ..held }
    }

    /// Most keys do not expire; the others do soon, or should have.
    fn expiry(&mut self) -> Option<Timestamp> {
        let seconds = match self.dice.below(10) {
            0..5 => return None,
            5 => -60,
            6 => 0,
            _ => 1 + i64::try_from(self.dice.below(3_600)).unwrap(),
        };
        Some(Timestamp::from_micros(self.model.now.as_micros() + seconds * 1_000_000))
    }

    fn act_on_signing_keys(&mut self) -> Act {
        let present: Vec<_> = self.model.signing_keys.iter().map(|it| it.id).collect();
        let mut some: Vec<_> = present.iter().copied().filter(|_| self.dice.percent(40)).collect();
        if some.is_empty() {
            some.extend(self.dice.pick(&present));
        }
        if self.dice.percent(10) {
            some.push(SigningKeyId::generate(self.model.now, &mut self.dice.0));
        }
        match self.dice.below(4) {
            0 => Act::RetireSigningKeys(RetireSigningKeys { ids: some }),
            1 => {
                let anew = |id| (id, self.dice.one(&["c2VhbGVk", "b3RoZXI="]).to_owned());
                Act::ResealSigningKeys(ResealSigningKeys { sealed: some.into_iter().map(anew).collect() })
            }
            _ => Act::ReplaceSigningKey(self.replace_signing_key()),
        }
    }

    fn replace_signing_key(&mut self) -> ReplaceSigningKey {
        let present: Vec<_> = self.model.signing_keys.iter().map(|it| it.id).collect();
        let again = self.maybe(30, |it| it.dice.pick(&present)).flatten();
        let id = again.unwrap_or_else(|| SigningKeyId::generate(self.model.now, &mut self.dice.0));
        ReplaceSigningKey {
            purpose: self.dice.one(&["token-mac", "jwt"]),
            id,
            sealed: self.dice.one(&["c2VhbGVk", "b3RoZXI="]).to_owned(),
            instead_of: present.into_iter().filter(|_| self.dice.percent(30)).collect(),
        }
    }
}
