//! What is true now, resident in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use foldhash::fast::RandomState;

use crate::address::Label;
use crate::email::EmailHash;
use crate::entry::{Entry, Recorded};
use crate::id::{
    FileId, InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId, SigningKeyId,
    UserId,
};
use crate::module::{Module, ModuleName};
use crate::name::Name;
use crate::record::{
    Change, Invitation, Key, Kind, Location, Machine, Organization, Part, Record, RecordId, SigningKey, User,
};
use crate::resource::Resource;
use crate::table::Table;
use crate::view::{View, record_in};

/// Everything a decision needs.
///
/// It changes in two ways only: [`State::load`] at a start, [`State::apply`] with an entry that is committed.
#[derive(Debug, Default)]
pub struct State {
    organizations: Table<Organization>,
    locations: Table<Location>,
    machines: Table<Machine>,
    parts: Table<Part>,
    keys: Table<Key>,
    signing_keys: Table<SigningKey>,
    children: HashMap<RecordId, BTreeSet<RecordId>, RandomState>,
    holders: HashMap<Resource, BTreeSet<KeyId>, RandomState>,
    users: Table<User>,
    invitations: Table<Invitation>,
    people: HashMap<Resource, BTreeSet<UserId>, RandomState>,
    members: HashMap<OrganizationId, BTreeSet<UserId>, RandomState>,
    emails: HashMap<EmailHash, UserId, RandomState>,
    shared: HashMap<OrganizationId, BTreeSet<LocationId>, RandomState>,
    labels: HashMap<Label, PartId, RandomState>,
    modules: Table<Module>,
    module_names: HashMap<(OrganizationId, String), ModuleId, RandomState>,
    public_modules: BTreeSet<ModuleId>,
    namespaces: HashMap<Name, OrganizationId, RandomState>,
}

impl State {
    /// Takes in one record as it was stored. Order does not matter.
    pub fn load(&mut self, record: Record) {
        self.put(record);
    }

    /// Takes in what an entry changed.
    pub fn apply(&mut self, entry: &Entry) {
        self.change(entry.changes());
    }

    /// Takes in what an entry changed that somebody else decided and that is in the journal.
    pub fn replay(&mut self, recorded: &Recorded) {
        self.change(recorded.changes());
    }

    fn change(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(record) => self.put(record.clone()),
                Change::Delete(id) => self.delete(*id),
            }
        }
    }

    /// How many records of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Organization => self.organizations.len(),
            Kind::Location => self.locations.len(),
            Kind::Machine => self.machines.len(),
            Kind::Part => self.parts.len(),
            Kind::Key => self.keys.len(),
            Kind::SigningKey => self.signing_keys.len(),
            Kind::User => self.users.len(),
            Kind::Invitation => self.invitations.len(),
            Kind::Module => self.modules.len(),
        }
    }

    /// The keys the authority signs with, in no particular order.
    pub fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.signing_keys.iter()
    }

    /// The files of all modules.
    #[must_use]
    pub fn module_files(&self) -> HashSet<FileId> {
        self.modules.iter().flat_map(Module::files).map(|file| file.id).collect()
    }

    /// The record with this id.
    #[must_use]
    pub fn record(&self, id: RecordId) -> Option<Record> {
        record_in(self, id)
    }

    fn put(&mut self, record: Record) {
        let id = record.id();
        self.unlink(id);
        if let Some(parent) = record.parent() {
            self.children.entry(parent).or_default().insert(id);
        }
        match &record {
            Record::Key(key) => {
                for grant in key.grants.iter() {
                    self.holders.entry(grant.resource).or_default().insert(key.id);
                }
            }
            Record::User(user) => {
                self.emails.insert(user.email, user.id);
                for membership in &user.memberships {
                    self.members.entry(membership.organization).or_default().insert(user.id);
                    for grant in membership.grants.iter() {
                        self.people.entry(grant.resource).or_default().insert(user.id);
                    }
                }
            }
            Record::Organization(organization) => {
                if let Some(namespace) = &organization.public_namespace {
                    self.namespaces.insert(namespace.clone(), organization.id);
                }
            }
            Record::Module(module) => {
                self.module_names.insert((module.organization, module.name.folded()), module.id);
                if !module.visibility.is_private() {
                    self.public_modules.insert(module.id);
                }
            }
            Record::Location(location) => {
                for organization in &location.shared_with {
                    self.shared.entry(*organization).or_default().insert(location.id);
                }
            }
            Record::Part(part) => {
                self.labels.insert(part.label.clone(), part.id);
            }
            _ => {}
        }
        match record {
            Record::Organization(it) => self.organizations.insert(it),
            Record::Location(it) => self.locations.insert(it),
            Record::Machine(it) => self.machines.insert(it),
            Record::Part(it) => self.parts.insert(it),
            Record::Key(it) => self.keys.insert(it),
            Record::SigningKey(it) => self.signing_keys.insert(it),
            Record::User(it) => self.users.insert(it),
            Record::Invitation(it) => self.invitations.insert(it),
            Record::Module(it) => self.modules.insert(it),
        }
    }

    fn delete(&mut self, id: RecordId) {
        self.unlink(id);
        match id {
            RecordId::Organization(id) => self.organizations.remove(id),
            RecordId::Location(id) => self.locations.remove(id),
            RecordId::Machine(id) => self.machines.remove(id),
            RecordId::Part(id) => self.parts.remove(id),
            RecordId::Key(id) => self.keys.remove(id),
            RecordId::SigningKey(id) => self.signing_keys.remove(id),
            RecordId::User(id) => self.users.remove(id),
            RecordId::Invitation(id) => self.invitations.remove(id),
            RecordId::Module(id) => self.modules.remove(id),
        }
    }

    /// Takes the record that is there now out of the indexes.
    fn unlink(&mut self, id: RecordId) {
        // A load meets each id once, so the common case is that nothing is there.
        let Some(old) = self.record(id) else { return };
        if let Some(parent) = old.parent() {
            remove_from(&mut self.children, &parent, &id);
        }
        match &old {
            Record::Key(key) => {
                for grant in key.grants.iter() {
                    remove_from(&mut self.holders, &grant.resource, &key.id);
                }
            }
            Record::User(user) => {
                self.emails.remove(&user.email);
                for membership in &user.memberships {
                    remove_from(&mut self.members, &membership.organization, &user.id);
                    for grant in membership.grants.iter() {
                        remove_from(&mut self.people, &grant.resource, &user.id);
                    }
                }
            }
            Record::Organization(organization) => {
                if let Some(namespace) = &organization.public_namespace {
                    self.namespaces.remove(namespace);
                }
            }
            Record::Module(module) => {
                self.module_names.remove(&(module.organization, module.name.folded()));
                self.public_modules.remove(&module.id);
            }
            Record::Location(location) => {
                for organization in &location.shared_with {
                    remove_from(&mut self.shared, organization, &location.id);
                }
            }
            // Another part may have taken the label in the same entry.
            Record::Part(part) if self.labels.get(part.label.as_str()) == Some(&part.id) => {
                self.labels.remove(part.label.as_str());
            }
            _ => {}
        }
    }
}

fn remove_from<K: Eq + Hash, T: Ord>(index: &mut HashMap<K, BTreeSet<T>, RandomState>, at: &K, item: &T) {
    if let Some(set) = index.get_mut(at) {
        set.remove(item);
        if set.is_empty() {
            index.remove(at);
        }
    }
}

impl View for State {
    fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.get(id)
    }

    fn location(&self, id: LocationId) -> Option<&Location> {
        self.locations.get(id)
    }

    fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines.get(id)
    }

    fn part(&self, id: PartId) -> Option<&Part> {
        self.parts.get(id)
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.get(id)
    }

    fn signing_key(&self, id: SigningKeyId) -> Option<&SigningKey> {
        self.signing_keys.get(id)
    }

    fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(id)
    }

    fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        self.invitations.get(id)
    }

    fn module(&self, id: ModuleId) -> Option<&Module> {
        self.modules.get(id)
    }

    fn module_named(&self, organization: OrganizationId, name: &ModuleName) -> Option<ModuleId> {
        self.module_names.get(&(organization, name.folded())).copied()
    }

    fn public_modules(&self) -> Box<dyn Iterator<Item = ModuleId> + '_> {
        Box::new(self.public_modules.iter().copied())
    }

    fn organization_by_namespace(&self, namespace: &Name) -> Option<OrganizationId> {
        self.namespaces.get(namespace).copied()
    }

    fn user_by_email(&self, email: EmailHash) -> Option<UserId> {
        self.emails.get(&email).copied()
    }

    fn part_by_label(&self, label: &str) -> Option<PartId> {
        self.labels.get(label).copied()
    }

    fn organizations(&self) -> Box<dyn Iterator<Item = OrganizationId> + '_> {
        let mut ids: Vec<_> = self.organizations.iter().map(|it| it.id).collect();
        ids.sort_unstable();
        Box::new(ids.into_iter())
    }

    fn children(&self, of: RecordId, kind: Kind) -> Box<dyn Iterator<Item = RecordId> + '_> {
        // The set is ordered by kind first, so the children of one kind stand together.
        let set = self.children.get(&of).into_iter().flatten();
        Box::new(set.skip_while(move |id| id.kind() < kind).take_while(move |id| id.kind() == kind).copied())
    }

    fn holders(&self, of: Resource) -> Box<dyn Iterator<Item = KeyId> + '_> {
        Box::new(self.holders.get(&of).into_iter().flatten().copied())
    }

    fn people_on(&self, of: Resource) -> Box<dyn Iterator<Item = UserId> + '_> {
        Box::new(self.people.get(&of).into_iter().flatten().copied())
    }

    fn members(&self, of: OrganizationId) -> Box<dyn Iterator<Item = UserId> + '_> {
        Box::new(self.members.get(&of).into_iter().flatten().copied())
    }

    fn shared_with(&self, organization: OrganizationId) -> Box<dyn Iterator<Item = LocationId> + '_> {
        Box::new(self.shared.get(&organization).into_iter().flatten().copied())
    }
}
