//! A small fleet that is changed by commands only, and one key of every sort on it.

use domain::command::{CreateKey, CreateLocation, CreateMachine, FoundOrganization, NewSecret};
use domain::{
    Caller, Command, Context, Entry, Grant, KeyHash, KeyId, LocationId, MachineId, Name, OrganizationId,
    Principal, Refusal, Resource, Role, SecretId, State, Timestamp, present,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// 2026-11-23T08:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

/// The fleet:
///
/// ```text
/// organization
///   hall
///     cell          arm, belt
///       nook        eye
///     annex
///   yard            cart
/// elsewhere
///   depot           crane
/// ```
pub(crate) struct Fleet {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) rng: ChaCha20Rng,
    /// Everything that was decided, in order.
    pub(crate) journal: Vec<Entry>,
    pub(crate) organization: OrganizationId,
    pub(crate) hall: LocationId,
    pub(crate) cell: LocationId,
    pub(crate) nook: LocationId,
    pub(crate) annex: LocationId,
    pub(crate) yard: LocationId,
    pub(crate) arm: MachineId,
    pub(crate) belt: MachineId,
    pub(crate) eye: MachineId,
    pub(crate) cart: MachineId,
    /// The key the organization was founded with.
    pub(crate) owner: KeyId,
    pub(crate) elsewhere: OrganizationId,
    pub(crate) depot: LocationId,
    pub(crate) crane: MachineId,
    /// The owner of the other organization.
    pub(crate) stranger: KeyId,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut seed = Seedling {
            state: State::default(),
            now: START,
            rng: ChaCha20Rng::seed_from_u64(20_261_123),
            journal: vec![],
        };
        let (organization, owner) = seed.found("organization");
        let hall = seed.locate(organization, None, "hall");
        let cell = seed.locate(organization, Some(hall), "cell");
        let nook = seed.locate(organization, Some(cell), "nook");
        let annex = seed.locate(organization, Some(hall), "annex");
        let yard = seed.locate(organization, None, "yard");
        let [arm, belt] = ["arm", "belt"].map(|machine| seed.install(cell, machine));
        let eye = seed.install(nook, "eye");
        let cart = seed.install(yard, "cart");
        let (elsewhere, stranger) = seed.found("elsewhere");
        let depot = seed.locate(elsewhere, None, "depot");
        let crane = seed.install(depot, "crane");
        let Seedling { state, now, rng, journal } = seed;
        Self {
            state,
            now,
            rng,
            journal,
            organization,
            hall,
            cell,
            nook,
            annex,
            yard,
            arm,
            belt,
            eye,
            cart,
            owner,
            elsewhere,
            depot,
            crane,
            stranger,
        }
    }

    /// Who calls with this key, or the system.
    pub(crate) fn principal(&self, who: impl Into<Who>) -> Principal<'_> {
        let caller = who.into().caller(&self.state);
        present(&self.state, caller, self.now).expect("the key of a test is live")
    }

    /// Decides a command and, if it is allowed, applies it.
    pub(crate) fn run<C: Command>(&mut self, who: impl Into<Who>, command: C) -> Result<C::Reply, Refusal> {
        run(&mut self.state, &mut self.journal, self.now, &mut self.rng, who.into(), command)
    }

    /// Runs a command that finds everything as it should be already.
    pub(crate) fn run_in_vain<C: Command>(&mut self, who: impl Into<Who>, command: C) -> C::Reply {
        let entries = self.journal.len();
        let reply = self.run(who, command).map_err(|refusal| refusal.to_string()).unwrap();
        assert_eq!(self.journal.len(), entries, "there was nothing to write down");
        reply
    }

    /// What the caller reads who is refused; nothing changes then.
    pub(crate) fn refused<C: Command>(&mut self, who: impl Into<Who>, command: C) -> Refusal {
        let entries = self.journal.len();
        let refusal = self.run(who, command).err().expect("it is refused");
        assert_eq!(self.journal.len(), entries, "a refusal writes nothing down");
        refusal
    }

    /// A key with these grants, made by the system.
    pub(crate) fn key<const N: usize>(&mut self, grants: [Grant; N]) -> KeyId {
        let name = name("a key");
        let create = CreateKey { organization: None, name, grants: grants.into(), expires_at: None };
        self.run(Who::System, create).unwrap().key.id
    }
}

/// Who runs a command.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    System,
    Key(KeyId),
}

impl From<KeyId> for Who {
    fn from(id: KeyId) -> Self {
        Self::Key(id)
    }
}

impl Who {
    fn caller(self, state: &State) -> Caller {
        use domain::View as _;
        match self {
            Self::System => Caller::System,
            Self::Key(id) => {
                let generation = state.key(id).expect("the key of a test is there").generation;
                Caller::Key { id, generation }
            }
        }
    }
}

pub(crate) fn owner(of: impl IntoResource) -> Grant {
    Grant { role: Role::Owner, resource: of.resource() }
}

pub(crate) fn operator(of: impl IntoResource) -> Grant {
    Grant { role: Role::Operator, resource: of.resource() }
}

/// A resource, or the id of one.
pub(crate) trait IntoResource {
    fn resource(self) -> Resource;
}

impl IntoResource for Resource {
    fn resource(self) -> Resource {
        self
    }
}

impl IntoResource for OrganizationId {
    fn resource(self) -> Resource {
        Resource::Organization(self)
    }
}

impl IntoResource for LocationId {
    fn resource(self) -> Resource {
        Resource::Location(self)
    }
}

impl IntoResource for MachineId {
    fn resource(self) -> Resource {
        Resource::Machine(self)
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A secret whose value is this text; what seals it is not the domain's business.
pub(crate) fn secret(text: &str) -> NewSecret {
    let hash = KeyHash::of(text);
    let (id, _) = hash.as_bytes().split_first_chunk().unwrap();
    NewSecret { id: SecretId::from_bytes(*id), hash, sealed: format!("sealed {text}").into_bytes() }
}

/// A fleet that is still being set up.
struct Seedling {
    state: State,
    now: Timestamp,
    rng: ChaCha20Rng,
    journal: Vec<Entry>,
}

impl Seedling {
    fn run<C: Command>(&mut self, command: C) -> C::Reply {
        run(&mut self.state, &mut self.journal, self.now, &mut self.rng, Who::System, command).unwrap()
    }

    fn found(&mut self, text: &str) -> (OrganizationId, KeyId) {
        let (organization, key) =
            self.run(FoundOrganization { name: name(text), key_name: name(&format!("owner of {text}")) });
        (organization.id, key.key.id)
    }

    fn locate(&mut self, organization: OrganizationId, parent: Option<LocationId>, text: &str) -> LocationId {
        self.run(CreateLocation { organization, parent, name: name(text) }).id
    }

    fn install(&mut self, location: LocationId, text: &str) -> MachineId {
        self.run(CreateMachine { location, name: name(text), secret: secret(text) }).id
    }
}

fn run<C: Command>(
    state: &mut State,
    journal: &mut Vec<Entry>,
    now: Timestamp,
    rng: &mut ChaCha20Rng,
    who: Who,
    command: C,
) -> Result<C::Reply, Refusal> {
    let principal = present(state, who.caller(state), now).map_err(Refusal::Unauthenticated)?;
    let mut context = Context { view: state, principal, now, via: "/test.Service/Call", rng };
    let decision = command.decide(&mut context)?;
    if let Some(entry) = decision.entry {
        state.apply(&entry);
        journal.push(entry);
    }
    Ok(decision.reply)
}
