//! What is asked of the audit log, and where the answer is looked for.

use std::collections::{BTreeSet, HashMap};

use domain::audit::{self, Subject};
use domain::{
    Actor, KeyId, OrganizationId, Principal, RecordId, Refusal, Resource, State, Timestamp, View as _,
};
use journal::{Between, Direction, Journal};
use wire::claviger::v1 as pb;
use wire::convert::{self, claviger};

use crate::engine::Engine;
use crate::failure::Failure;
use crate::trail::{History, Shown, first_of, last_name, unread};

/// How many entries are found at once.
const AT_ONCE: u32 = 1_000;
/// The most entries that one call looks at: no call takes for ever.
const LOOKED_AT: u32 = 10_000;

/// Which entries are asked for; every condition that is given must hold.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) organization: OrganizationId,
    pub(super) resource: Option<Resource>,
    actor: Option<Actor>,
    key: Option<KeyId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Question {
    pub(super) fn parse(organization: &str, filter: pb::EntryFilter) -> Result<Self, Refusal> {
        let pb::EntryFilter { resource, actor, key_id, from, to } = filter;
        let resource = resource.map(|it| claviger::parse_resource("filter.resource", Some(&it)));
        let from = convert::optional_timestamp("filter.from", from)?;
        let to = convert::optional_timestamp("filter.to", to)?;
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(Refusal::invalid("filter.to", "must not be earlier than filter.from"));
        }
        Ok(Self {
            organization: convert::id("organization_id", organization)?,
            resource: resource.transpose()?,
            actor: actor.map(|it| claviger::parse_actor("filter.actor", it)).transpose()?,
            key: convert::optional_id("filter.key_id", &key_id)?,
            from,
            to,
        })
    }

    /// Where the caller may read, and whether the resource that is asked for is there.
    pub(super) fn scope(
        &self,
        state: &State,
        principal: &Principal<'_>,
    ) -> Result<(Vec<Resource>, bool), Refusal> {
        let roots = audit::roots(state, principal, self.organization)?;
        let there =
            self.resource.map(|resource| audit::asked_for(state, principal, self.organization, resource));
        Ok((roots, there.transpose()?.unwrap_or(true)))
    }

    /// What an entry must concern besides what the caller may read.
    fn wanted(&self) -> Vec<Subject> {
        let key = self.key.map(|key| Subject::Changed(RecordId::Key(key)));
        let actor = self.actor.map(Subject::By);
        // The most telling first.
        [key, actor, self.resource.map(Subject::Within)].into_iter().flatten().collect()
    }
}

/// A question with the rights of the one who asks.
pub(super) struct Answering {
    pub(super) engine: Engine,
    pub(super) question: Question,
    pub(super) roots: Vec<Resource>,
    wanted: Vec<Subject>,
    history: History,
    /// The names of what is gone, which do not change any more.
    gone: HashMap<RecordId, String>,
}

impl Answering {
    pub(super) fn new(engine: Engine, question: Question, roots: Vec<Resource>) -> Self {
        let (wanted, history) = (question.wanted(), History::new(roots.clone()));
        Self { engine, question, roots, wanted, history, gone: HashMap::new() }
    }

    /// Between which entries the times that are asked for lie.
    pub(super) async fn bounds(&self, newest: u64) -> Result<Between, Failure> {
        let journal = self.engine.journal();
        let after = match self.question.from {
            Some(from) => first_at(journal, from, newest).await?.saturating_sub(1),
            None => 0,
        };
        let before = match self.question.to {
            Some(to) => first_at(journal, to, newest).await?,
            None => newest + 1,
        };
        Ok(Between { after, before })
    }

    /// The newest entries, and before which one the next page begins; nothing if this is the last.
    pub(super) async fn page(
        &mut self,
        mut between: Between,
        size: usize,
    ) -> Result<(Vec<pb::AuditEntry>, Option<u64>), Failure> {
        let mut entries: Vec<pb::AuditEntry> = Vec::new();
        for _ in 0..LOOKED_AT / AT_ONCE {
            let candidates = self.candidates(between, Direction::Backward).await?;
            let Some(last) = candidates.last().copied() else { return Ok((entries, None)) };
            for seq in candidates {
                entries.extend(self.entry(seq).await?);
                // One more than fits: that there are more is told of what is seen, not of what may be.
                if entries.len() > size {
                    entries.truncate(size);
                    let next = entries.last().map(|last| last.seq);
                    return Ok((entries, next));
                }
            }
            between.before = last;
        }
        Ok((entries, Some(between.before)))
    }

    /// The next entries that may be what is asked for.
    pub(super) async fn candidates(
        &self,
        between: Between,
        direction: Direction,
    ) -> Result<Vec<u64>, Failure> {
        let roots = self.roots.iter().copied().map(Subject::Within);
        let subjects = self.wanted.first().map_or_else(|| roots.collect(), |subject| vec![*subject]);
        let mut found = BTreeSet::new();
        for subject in subjects {
            let trail = &self.engine.shared().trail;
            found.extend(trail.find(self.engine.journal(), subject, between, AT_ONCE, direction).await?);
        }
        Ok(first_of(&found, AT_ONCE, direction))
    }

    /// The entry, if it is what is asked for and the caller sees anything of it.
    pub(super) async fn entry(&mut self, seq: u64) -> Result<Option<pb::AuditEntry>, Failure> {
        let (trail, journal) = (&self.engine.shared().trail, self.engine.journal());
        let shown = self.history.show(trail, journal, seq, &self.wanted).await?;
        let Some(Shown { entry, seen, hash }) = shown else { return Ok(None) };
        let actor = match entry.actor {
            Some(actor) => self.name(actor).await?,
            None => String::new(),
        };
        Ok(Some(convert::audit::entry(entry, seen, actor, hash)))
    }

    /// The name of an actor, as it is or was last. Those of people are not in the journal.
    async fn name(&mut self, actor: Actor) -> Result<String, Failure> {
        let id = match actor {
            Actor::Key(id) => RecordId::Key(id),
            Actor::Part(id) => RecordId::Part(id),
            Actor::User(_) | Actor::System => return Ok(String::new()),
        };
        let live = self.engine.look_as_system(|state| match actor {
            Actor::Key(id) => state.key(id).map(|key| key.name.to_string()),
            Actor::Part(id) => state.part(id).map(|part| part.name.to_string()),
            Actor::User(_) | Actor::System => None,
        });
        if let Some(name) = live.or_else(|| self.gone.get(&id).cloned()) {
            return Ok(name);
        }
        let name = last_name(&self.engine.shared().trail, self.engine.journal(), id).await?;
        let name = name.unwrap_or_default();
        self.gone.insert(id, name.clone());
        Ok(name)
    }

    /// Whether the caller sees any entry that concerned a resource.
    pub(super) async fn ever(&self, resource: Resource, newest: u64) -> Result<bool, Failure> {
        let filter = Question {
            resource: Some(resource),
            actor: None,
            key: None,
            from: None,
            to: None,
            ..self.question.clone()
        };
        let mut any = Self::new(self.engine.clone(), filter, self.roots.clone());
        // The last thing that is known of it is that it went: mostly the first entry tells.
        let (entries, _) = any.page(Between { after: 0, before: newest + 1 }, 1).await?;
        Ok(!entries.is_empty())
    }
}

/// The first entry at this time or later; one after the newest if there is none. Times never run backwards.
async fn first_at(journal: &Journal, at: Timestamp, newest: u64) -> Result<u64, Failure> {
    let (mut low, mut high) = (1, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = journal.entries(middle - 1, 1).await.map_err(|error| unread(&error))?;
        match entry.first() {
            Some(entry) if entry.at < at.as_micros() => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
