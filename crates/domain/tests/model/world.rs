//! A fleet and its naive model, living through the same random history.

use std::collections::BTreeSet;

use domain::command::{CreateKey, CreateLocation, CreateMachine, FoundOrganization, ShareLocation};
use domain::{
    Actor, Caller, Context, Draft, Entry, Grant, KeyValue, Name, OrganizationId, Overlay, Record, RecordId,
    Recorded, Resource, Role, State, Timestamp, User, View, present,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::acts::{Act, Reply};
use crate::chooser::{Chooser, new_secret};
use crate::compare::{Differs, compare_key, compare_rights, compare_state, compare_view, no, same};
use crate::compare_doors::compare_doors;
use crate::compare_lists::compare_lists;
use crate::dice::Dice;
use crate::invariants;
use crate::naive::Model;
use crate::people::somebody;
use crate::standing::Standing;
use crate::tally::{Tally, outcome};
use crate::wrong::Wrong;

/// 2026-11-23T08:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

pub(crate) struct World {
    state: State,
    model: Model,
    dice: Dice,
    /// The randomness of the commands themselves.
    rng: ChaCha20Rng,
    journal: Vec<Entry>,
    /// The people, as they came, which is in no entry.
    people: Vec<User>,
    /// The organizations that have had an owner for good.
    owned: BTreeSet<OrganizationId>,
    /// What tells whether a revocation is to be waited for: [`Entry::narrows`], unless it is wrong on purpose.
    narrows: fn(&Entry) -> bool,
    /// After how many of a hundred turns somebody looks at everything.
    looks: usize,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, wrong: Option<Wrong>, narrows: fn(&Entry) -> bool) -> Self {
        Self {
            state: State::default(),
            model: Model::new(START, wrong),
            dice: Dice::new(seed),
            rng: ChaCha20Rng::seed_from_u64(seed ^ 1),
            journal: vec![],
            people: vec![],
            owned: BTreeSet::new(),
            narrows,
            // What is wrong is looked for through many turns rather than many eyes.
            looks: if wrong.is_some() { 12 } else { 60 },
            tally: Tally::default(),
        }
    }

    /// Lives through so many turns; what is left is then read back from its stored forms.
    pub(crate) fn history(&mut self, turns: usize) -> Differs {
        self.opening()?;
        for _ in 0..turns {
            self.turn()?;
        }
        self.replay()?;
        self.reload()
    }

    /// Two organizations, each with locations three deep, machines, and a key of every sort; each shares a location
    /// with the other, which has keys there. A third has nothing but what is shared with it; and a few people.
    fn opening(&mut self) -> Differs {
        for _ in 0..2 {
            self.open_organization()?;
        }
        let [one, other] = [0, 1].map(|place| self.model.organizations[place].id);
        for (place, with) in [(1, other), (4, one)] {
            let (shared, nested) = (self.model.locations[place].id, self.model.machines[place + 1].id);
            self.system(Act::ShareLocation(ShareLocation { id: shared, organization: with }))?;
            for resource in [Resource::Location(shared), Resource::Machine(nested)] {
                self.open_keys(with, resource)?;
            }
        }
        let name = || Name::parse("a").unwrap();
        self.system(Act::FoundOrganization(FoundOrganization { name: name(), key_name: name() }))?;
        let (id, organization) = (self.model.locations[1].id, self.model.organizations[2].id);
        self.system(Act::ShareLocation(ShareLocation { id, organization }))?;
        self.open_keys(organization, Resource::Location(id))?;
        for _ in 0..3 {
            self.arrive();
        }
        compare_state(&self.state, &self.model)
    }

    fn open_organization(&mut self) -> Differs {
        let name = || Name::parse("a").unwrap();
        self.system(Act::FoundOrganization(FoundOrganization { name: name(), key_name: name() }))?;
        let organization = self.model.organizations[self.model.organizations.len() - 1].id;
        let mut parent = None;
        for _ in 0..3 {
            self.system(Act::CreateLocation(CreateLocation { organization, parent, name: name() }))?;
            let location = self.model.locations[self.model.locations.len() - 1].id;
            let secret = new_secret(&mut self.dice);
            self.system(Act::CreateMachine(CreateMachine { location, name: name(), secret }))?;
            parent = Some(location);
        }
        let middle = self.model.locations.len() - 2;
        for resource in [
            Resource::Organization(organization),
            Resource::Location(self.model.locations[middle].id),
            Resource::Machine(self.model.machines[middle].id),
        ] {
            self.open_keys(organization, resource)?;
        }
        Ok(())
    }

    fn open_keys(&mut self, organization: OrganizationId, resource: Resource) -> Differs {
        // The organization has its founder: that an only owner stays is tried the more often.
        let whole = matches!(resource, Resource::Organization(_));
        for role in Role::ALL.into_iter().filter(|role| !whole || *role == Role::Operator) {
            let (name, grants) = (Name::parse("a").unwrap(), vec![Grant { role, resource }]);
            let organization = Some(organization);
            self.system(Act::CreateKey(CreateKey { organization, name, grants, expires_at: None }))?;
        }
        Ok(())
    }

    /// There is no command for it: somebody is there.
    fn arrive(&mut self) {
        let user = somebody(&self.model, &mut self.dice);
        self.state.load(Record::User(user.clone()));
        self.people.push(user.clone());
        self.model.users.push(user);
    }

    fn system(&mut self, act: Act) -> Differs {
        let entry = self.act(&Overlay::default(), Some(act))?.ok_or("nothing was done")?;
        self.state.apply(&entry);
        self.journal.push(entry);
        compare_state(&self.state, &self.model)
    }

    /// A few commands on a draft, then all of them on the state; now and then the commit fails.
    fn turn(&mut self) -> Differs {
        let passed = self.dice.one(&[0, 1, 1_000, 1_000_000, 60_000_000, 600_000_000]);
        self.model.now = Timestamp::from_micros(self.model.now.as_micros() + passed);
        let members = self.model.users.iter().filter(|user| !user.memberships.is_empty()).count();
        if members < 4 && self.dice.percent(30) {
            self.arrive();
        }
        let before = self.model.clone();
        let (mut overlay, mut entries) = (Overlay::default(), vec![]);
        for _ in 0..=self.dice.below(4) {
            if let Some(entry) = self.act(&overlay, None)? {
                overlay.apply(&entry);
                entries.push(entry);
                compare_view(&Draft::new(&self.state, &overlay), &self.model)
                    .map_err(|differs| format!("in the draft after {:?}: {differs}", entries.last()))?;
            }
        }
        if self.dice.percent(self.looks / 2) {
            let state = std::mem::take(&mut self.state);
            self.look(&Draft::new(&state, &overlay)).map_err(|differs| format!("in the draft: {differs}"))?;
            self.state = state;
        }
        if self.dice.percent(5) {
            self.model = before;
        } else {
            for entry in &entries {
                self.state.apply(entry);
            }
            self.journal.extend(entries);
        }
        compare_state(&self.state, &self.model)?;
        invariants::check(&self.state, &self.model, &mut self.owned)?;
        if self.dice.percent(self.looks) {
            let state = std::mem::take(&mut self.state);
            self.look(&state)?;
            self.state = state;
        }
        Ok(())
    }

    /// One command by somebody, or this one by the system, judged by both.
    fn act(&mut self, overlay: &Overlay, given: Option<Act>) -> Result<Option<Entry>, String> {
        let draft = Draft::new(&self.state, overlay);
        let now = self.model.now;
        let tree = self.model.tree();
        let mut chooser = Chooser { dice: &mut self.dice, model: &self.model, tree: &tree };
        let caller = if given.is_some() { Caller::System } else { chooser.caller() };
        let real = present(&draft, caller, now);
        let naive = self.model.let_in(caller, now);
        same(real.map(|it| it.actor()), naive, || format!("whether {caller:?} is let in"))?;
        let (Ok(principal), Ok(actor)) = (real, naive) else { return Ok(None) };
        let act = given.unwrap_or_else(|| chooser.act(actor));
        let about = || format!("{act:?} by {actor:?}");
        let naive = self.model.eyes(&tree, actor).judge(&act);
        let mut context =
            Context { view: &draft, principal, now, via: "/test.Service/Call", rng: &mut self.rng };
        let real = act.clone().decide(&mut context).map_err(|refusal| no(&refusal));
        let changes = real.as_ref().map(|(entry, _)| entry.is_some()).map_err(Clone::clone);
        same(&changes, &naive, about)?;
        *self.tally.outcomes.entry((act.name(), outcome(&changes))).or_default() += 1;
        let Ok((entry, reply)) = real else { return Ok(None) };
        if let Some(entry) = &entry {
            let before = Standing::of(&self.model);
            self.model.take(actor, act.clone(), &reply, entry);
            self.check_entry(actor, entry, &before).map_err(|differs| format!("{}: {differs}", about()))?;
        }
        check_reply(&reply, &self.model).map_err(|differs| format!("{}: {differs}", about()))?;
        Ok(entry)
    }

    /// The most important line of all: nobody loses anything by an entry that does not say so.
    fn check_entry(&mut self, actor: Actor, entry: &Entry, before: &Standing) -> Differs {
        same(
            (entry.actor(), entry.at(), entry.via()),
            (actor, self.model.now, "/test.Service/Call"),
            || "what the entry says of itself".to_owned(),
        )?;
        same(entry.allowances().is_empty(), false, || "whether it was allowed by nothing".to_owned())?;
        let text = entry.encode().map_err(|error| error.to_string())?;
        same(text.contains(KeyValue::PREFIX), false, || "whether the entry holds a key value".to_owned())?;
        let says = (self.narrows)(entry);
        if says {
            self.tally.narrowing += 1;
        } else {
            self.tally.widening += 1;
        }
        match before.lost(&Standing::of(&self.model)) {
            Some(lost) if !says => Err(format!("nobody would wait for it, though {lost}")),
            _ => Ok(()),
        }
    }

    /// Looks at everything through somebody's eyes.
    fn look<V: View>(&mut self, view: &V) -> Differs {
        self.tally.doors += compare_doors(view, &self.model, &mut self.dice)?;
        let tree = self.model.tree();
        let caller = match (self.dice.pick(&self.model.keys), self.dice.pick(&self.model.users)) {
            (_, Some(user)) if self.dice.percent(35) => {
                Caller::User { id: user.id, generation: user.generation }
            }
            (Some(key), _) if !self.dice.percent(5) => Caller::Key { id: key.id, generation: key.generation },
            _ => Caller::System,
        };
        let Ok(principal) = present(view, caller, self.model.now) else { return Ok(()) };
        let eyes = self.model.eyes(&tree, principal.actor());
        self.tally.authorizations += compare_rights(view, &principal, &eyes)?;
        self.tally.questions += compare_lists(view, &principal, &eyes, &mut self.dice)?;
        Ok(())
    }

    /// The journal, read back from its stored form onto nothing, gives the same state.
    fn replay(&self) -> Differs {
        let mut replayed = State::default();
        for user in &self.people {
            replayed.load(Record::User(user.clone()));
        }
        for (seq, entry) in (1..).zip(&self.journal) {
            let text = entry.encode().map_err(|error| error.to_string())?;
            let recorded = Recorded::decode(seq, entry.at(), &text).map_err(|error| error.to_string())?;
            replayed.replay(&recorded);
        }
        compare_state(&replayed, &self.model).map_err(|differs| format!("replayed: {differs}"))
    }

    /// The records, read back in any order, give the same state.
    fn reload(&mut self) -> Differs {
        let mut records = self.records();
        let mut loaded = State::default();
        while !records.is_empty() {
            let record = records.swap_remove(self.dice.below(records.len()));
            let text = domain::encode_record(&record).map_err(|error| error.to_string())?;
            let (kind, id) = (record.id().kind().name(), record.id().id_text());
            loaded.load(domain::decode_record(kind, &id, &text).map_err(|error| error.to_string())?);
        }
        compare_state(&loaded, &self.model).map_err(|differs| format!("loaded: {differs}"))
    }

    fn records(&self) -> Vec<Record> {
        let model = &self.model;
        let mut ids: Vec<_> = model.resources().into_iter().map(RecordId::from).collect();
        ids.extend(model.parts.iter().map(|it| RecordId::Part(it.id)));
        ids.extend(model.keys.iter().map(|it| RecordId::Key(it.id)));
        ids.extend(model.users.iter().map(|it| RecordId::User(it.id)));
        ids.extend(model.signing_keys.iter().map(|it| RecordId::SigningKey(it.id)));
        ids.into_iter().filter_map(|id| self.state.record(id)).collect()
    }
}

/// The caller is told what is then there.
fn check_reply(reply: &Reply, model: &Model) -> Differs {
    let about = || "the reply".to_owned();
    let key = |key: &domain::Key| {
        let naive = model.key(key.id).ok_or_else(|| format!("key {} was answered", key.id))?;
        compare_key(key, naive)
    };
    match reply {
        Reply::Nothing(()) => Ok(()),
        Reply::Organization(it) => same(Some(it), model.organization(it.id), about),
        Reply::Location(it) => {
            same(it.id.to_string().parse(), Ok(it.id), about)?;
            same(Some(it), model.location(it.id), about)
        }
        Reply::Machine(it) => {
            same(it.id.to_string().parse(), Ok(it.id), about)?;
            same(Some(it), model.machine(it.id), about)
        }
        Reply::Key(it) => key(it),
        Reply::NewKey(it) => {
            same(it.key.id.to_string().parse(), Ok(it.key.id), about)?;
            same(KeyValue::check(it.value.expose()), Ok(()), about)?;
            key(&it.key)
        }
        Reply::Founded((organization, it)) => {
            same(organization.id.to_string().parse(), Ok(organization.id), about)?;
            same(Some(organization), model.organization(organization.id), about)?;
            key(&it.key)
        }
    }
}
