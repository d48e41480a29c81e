//! What the naive model makes of the commands it lets through.

use domain::command::{NewKey, NewParent, UpdateLocation, UpdateMachine, UpdateOrganization};
use domain::{
    Actor, Change, Entry, Grant, KeyId, Location, LocationId, Machine, Name, Organization, OrganizationId,
    Part, Record, RecordId, Resource, Role, Secret, SigningKey, Timestamp,
};

use crate::acts::{Act, Reply};
use crate::naive::{Model, ModelKey};
use crate::wrong::Wrong;

impl Model {
    /// Takes in an act that was let through. Of the reply and the entry it believes the new ids and values only.
    pub(crate) fn take(&mut self, actor: Actor, act: Act, reply: &Reply, entry: &Entry) {
        match (act, reply) {
            (Act::CreateOrganization(it), Reply::Organization(new)) => self.add_organization(new.id, it.name),
            (Act::FoundOrganization(it), Reply::Founded((new, key))) => {
                self.add_organization(new.id, it.name);
                self.add_owner(actor, key, it.key_name, new.id);
            }
            (Act::RecoverOwner(it), Reply::NewKey(key)) => {
                self.add_owner(actor, key, it.key_name, it.organization);
            }
            (Act::ReplaceSigningKey(it), _) => {
                let gone = |key: &SigningKey| it.instead_of.contains(&key.id) || key.id == it.id;
                self.signing_keys.retain(|key| !gone(key));
                let (purpose, created_at) = (it.purpose.to_owned(), self.now);
                self.signing_keys.push(SigningKey { id: it.id, purpose, sealed: it.sealed, created_at });
            }
            (Act::RetireSigningKeys(it), _) => self.signing_keys.retain(|key| !it.ids.contains(&key.id)),
            (Act::ResealSigningKeys(it), _) => {
                for (id, sealed) in it.sealed {
                    let own = self.signing_keys.iter_mut().find(|own| own.id == id).unwrap();
                    own.sealed = sealed;
                }
            }
            (Act::UpdateOrganization(it), _) => {
                let own = self.organizations.iter_mut().find(|own| own.id == it.id).unwrap();
                *own = updated_organization(own, &it);
            }
            (Act::DeleteOrganization(it), _) => {
                for key in self.keys.clone().into_iter().filter(|key| key.organization == it.id) {
                    self.bury_key(&key);
                }
                for user in &mut self.users {
                    user.memberships.retain(|membership| membership.organization != it.id);
                }
                if !self.is(Wrong::SharesOutliveOrganizations) {
                    for location in &mut self.locations {
                        location.shared_with.retain(|with| *with != it.id);
                    }
                }
                self.organizations.retain(|own| own.id != it.id);
                self.buried.push(RecordId::Organization(it.id));
            }
            (Act::CreateLocation(it), Reply::Location(new)) => self.locations.push(Location {
                id: new.id,
                organization: it.organization,
                parent: it.parent,
                name: it.name,
                region: None,
                shared_with: vec![],
                secrets: vec![],
                created_at: self.now,
            }),
            (Act::UpdateLocation(it), _) => {
                let own = self.locations.iter_mut().find(|own| own.id == it.id).unwrap();
                *own = updated_location(own, &it);
            }
            (Act::DeleteLocation(it), _) => {
                self.locations.retain(|own| own.id != it.id);
                self.bury(Resource::Location(it.id));
            }
            (Act::ShareLocation(it), _) => {
                let own = self.locations.iter_mut().find(|own| own.id == it.id).unwrap();
                own.shared_with.push(it.organization);
                own.shared_with.sort_unstable();
            }
            (Act::UnshareLocation(it), _) => self.unshare(it.id, it.organization),
            (Act::CreateMachine(it), Reply::Machine(new)) => {
                let machine =
                    Machine { id: new.id, location: it.location, name: it.name, created_at: self.now };
                self.parts.extend(new_parts(entry).map(|part| Part {
                    id: part.id,
                    machine: machine.id,
                    name: Name::parse(&format!("{}-main", machine.name)).unwrap(),
                    main: true,
                    label: part.label.clone(),
                    secrets: vec![Secret { id: it.secret.id, hash: it.secret.hash, created_at: self.now }],
                    revision: 0,
                    configured_at: None,
                    restart_asked_at: None,
                    created_at: self.now,
                }));
                self.machines.push(machine);
            }
            (Act::UpdateMachine(it), _) => {
                let own = self.machines.iter_mut().find(|own| own.id == it.id).unwrap();
                *own = updated_machine(own, &it);
                for part in new_parts(entry) {
                    let own = self.parts.iter_mut().find(|own| own.id == part.id).unwrap();
                    own.label = part.label.clone();
                }
            }
            (Act::DeleteMachine(it), _) => {
                self.machines.retain(|own| own.id != it.id);
                let gone = self.parts.iter().filter(|part| part.machine == it.id);
                self.buried.extend(gone.map(|part| RecordId::Part(part.id)));
                self.parts.retain(|part| part.machine != it.id);
                self.bury(Resource::Machine(it.id));
            }
            (act, reply) => self.take_key_act(actor, act, reply),
        }
    }

    fn take_key_act(&mut self, actor: Actor, act: Act, reply: &Reply) {
        match (act, reply) {
            (Act::CreateKey(it), Reply::NewKey(new)) => {
                let tree = self.tree();
                let only = || self.eyes(&tree, actor).with_a_part(&it.grants).into_iter().next();
                let organization = it.organization.or_else(only).expect("it was let through");
                self.add_key(actor, new, it.name, organization, it.grants, it.expires_at);
            }
            (Act::DuplicateKey(it), Reply::NewKey(new)) => {
                let key = self.key(it.id).unwrap().clone();
                let name = Name::parse(&format!("{} (copy)", key.name)).unwrap();
                self.add_key(actor, new, name, key.organization, key.grants, key.expires_at);
            }
            (Act::RotateKey(it), Reply::NewKey(new)) => {
                let value = new.value.expose().to_owned();
                let key = self.key_mut(it.id);
                key.generation += 1;
                let old = (it.id, std::mem::replace(&mut key.value, value));
                self.old_values.push(old);
            }
            (Act::RenameKey(it), _) => self.key_mut(it.id).name = it.name,
            (Act::SetKeyExpiry(it), _) => self.key_mut(it.id).expires_at = it.expires_at,
            (Act::DeleteKey(it), _) => {
                let key = self.key(it.id).unwrap().clone();
                self.bury_key(&key);
            }
            (Act::AddRole(it), _) => self.regrant(it.key, None, Some(it.grant)),
            (Act::RemoveRole(it), _) => self.regrant(it.key, Some(it.grant), None),
            (Act::ChangeRole(it), _) => self.regrant(it.key, Some(it.old), Some(it.new)),
            (act, reply) => panic!("{act:?} was answered {reply:?}"),
        }
    }

    fn add_organization(&mut self, id: OrganizationId, name: Name) {
        self.organizations.push(Organization {
            id,
            name,
            created_at: self.now,
            public_namespace: None,
            default_region: None,
            cid: None,
        });
    }

    fn add_owner(&mut self, actor: Actor, new: &NewKey, name: Name, of: OrganizationId) {
        let owner = Grant { role: Role::Owner, resource: Resource::Organization(of) };
        self.add_key(actor, new, name, of, vec![owner], None);
    }

    fn add_key(
        &mut self,
        creator: Actor,
        new: &NewKey,
        name: Name,
        organization: OrganizationId,
        mut grants: Vec<Grant>,
        expires_at: Option<Timestamp>,
    ) {
        grants.sort_unstable_by_key(|grant| grant.resource);
        self.keys.push(ModelKey {
            id: new.key.id,
            organization,
            name,
            value: new.value.expose().to_owned(),
            generation: 1,
            grants,
            created_at: self.now,
            creator,
            expires_at,
        });
    }

    fn key_mut(&mut self, id: KeyId) -> &mut ModelKey {
        self.keys.iter_mut().find(|key| key.id == id).unwrap()
    }

    fn regrant(&mut self, id: KeyId, without: Option<Grant>, with: Option<Grant>) {
        let key = self.key_mut(id);
        key.grants.retain(|held| Some(*held) != without);
        key.grants.extend(with);
        key.grants.sort_unstable_by_key(|grant| grant.resource);
    }

    /// "Keep the record": what was held through the share does not count any more, but is still there.
    fn unshare(&mut self, id: LocationId, organization: OrganizationId) {
        let below = self.tree()[&Resource::Location(id)].clone();
        let own = self.locations.iter_mut().find(|own| own.id == id).unwrap();
        own.shared_with.retain(|with| *with != organization);
        if self.is(Wrong::RolesEndWithShares) {
            for key in self.keys.iter_mut().filter(|key| key.organization == organization) {
                key.grants.retain(|grant| !below.contains(&grant.resource));
            }
        }
    }

    /// A resource is gone: its grants go with it, and keys that have nothing left. People stay known.
    fn bury(&mut self, gone: Resource) {
        self.buried.push(gone.into());
        for user in self.users.iter_mut().filter(|_| self.wrong != Some(Wrong::PeopleKeepWhatIsDeleted)) {
            for membership in &mut user.memberships {
                let kept = membership.grants.iter().copied().filter(|grant| grant.resource != gone);
                membership.grants = kept.collect();
            }
            user.memberships.retain(|membership| !membership.grants.is_empty());
        }
        if self.is(Wrong::GrantsOutliveResources) {
            return;
        }
        for key in &mut self.keys {
            key.grants.retain(|grant| grant.resource != gone);
        }
        for key in self.keys.clone().iter().filter(|key| key.grants.is_empty()) {
            self.bury_key(key);
        }
    }

    fn bury_key(&mut self, key: &ModelKey) {
        self.keys.retain(|it| it.id != key.id);
        self.old_values.push((key.id, key.value.clone()));
        self.buried.push(RecordId::Key(key.id));
    }
}

fn new_parts(entry: &Entry) -> impl Iterator<Item = &Part> {
    entry.changes().iter().filter_map(|change| match change {
        Change::Put(Record::Part(part)) => Some(part),
        _ => None,
    })
}

pub(crate) fn updated_organization(before: &Organization, it: &UpdateOrganization) -> Organization {
    let it = it.clone();
    Organization {
        name: it.name.unwrap_or(before.name.clone()),
        public_namespace: it.public_namespace.or(before.public_namespace.clone()),
        default_region: it.region.or(before.default_region.clone()),
        cid: it.cid.or(before.cid.clone()),
        ..before.clone()
    }
}

pub(crate) fn updated_location(before: &Location, it: &UpdateLocation) -> Location {
    let it = it.clone();
    Location {
        name: it.name.unwrap_or(before.name.clone()),
        region: it.region.or(before.region.clone()),
        parent: match it.parent {
            None => before.parent,
            Some(NewParent::Top) => None,
            Some(NewParent::Location(id)) => Some(id),
        },
        ..before.clone()
    }
}

pub(crate) fn updated_machine(before: &Machine, it: &UpdateMachine) -> Machine {
    let it = it.clone();
    Machine {
        name: it.name.unwrap_or(before.name.clone()),
        location: it.location.unwrap_or(before.location),
        ..before.clone()
    }
}
