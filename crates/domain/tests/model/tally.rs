//! What was covered.

use std::collections::BTreeMap;

use crate::acts::Act;
use crate::naive::No;

/// What a history has covered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) authorizations: usize,
    pub(crate) doors: usize,
    pub(crate) questions: usize,
    pub(crate) narrowing: usize,
    pub(crate) widening: usize,
    /// How often each act came to what.
    pub(crate) outcomes: BTreeMap<(&'static str, &'static str), usize>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        let Self { authorizations, doors, questions, narrowing, widening, outcomes } = other;
        self.authorizations += authorizations;
        self.doors += doors;
        self.questions += questions;
        self.narrowing += narrowing;
        self.widening += widening;
        for (outcome, count) in outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }

    /// A run that compared nothing would agree as well.
    pub(crate) fn assert_broad(&self) {
        assert!(self.authorizations > 300_000, "{} authorizations", self.authorizations);
        assert!(self.doors > 20_000 && self.questions > 50_000, "{self:?}");
        assert!(self.narrowing > 100 && self.widening > 100, "{self:?}");
        let came_to = |act, outcome| self.outcomes.contains_key(&(act, outcome));
        for act in Act::NAMES {
            assert!(
                came_to(act, "done") && came_to(act, "denied"),
                "{act} was not done and refused: {self:?}"
            );
        }
    }
}

pub(crate) const fn outcome(judged: &Result<bool, No>) -> &'static str {
    match judged {
        Ok(true) => "done",
        Ok(false) => "unchanged",
        Err(No::NotFound(_)) => "not found",
        Err(No::Denied(..)) => "denied",
        Err(No::Invalid(_)) => "invalid",
        Err(No::AlreadyExists) => "already exists",
        Err(No::Aborted) => "aborted",
        Err(No::FailedPrecondition) => "failed precondition",
        Err(No::Unauthenticated(_)) => "unauthenticated",
    }
}
