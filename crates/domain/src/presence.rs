//! Whether a part or a machine is there: what its last call tells.

use crate::time::Timestamp;

/// How long after its last call a part still counts as online. It calls every few seconds, so this is several
/// calls that did not come.
const ONLINE_SECONDS: i64 = 30;

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlineState {
    /// It called a moment ago.
    Online,
    /// It called once.
    Offline,
    /// It never called.
    AwaitingSetup,
}

/// What is known of somebody's being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is.
    pub state: OnlineState,
    /// When it last called.
    pub last_access: Option<Timestamp>,
    /// For how long it has not been there; 0 while it is, and where it never was.
    pub seconds_since_online: i64,
}

impl Presence {
    /// What the time of the last call tells at this moment.
    #[must_use]
    pub fn at(last_access: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(last) = last_access else {
            return Self { state: OnlineState::AwaitingSetup, last_access, seconds_since_online: 0 };
        };
        let passed = now.as_micros().saturating_sub(last.as_micros()).div_euclid(1_000_000);
        if passed <= ONLINE_SECONDS {
            return Self { state: OnlineState::Online, last_access, seconds_since_online: 0 };
        }
        Self { state: OnlineState::Offline, last_access, seconds_since_online: passed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_there_while_it_calls() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let known = |last, now| {
            let it = Presence::at(last, at(now));
            (it.state, it.last_access, it.seconds_since_online)
        };
        assert_eq!(known(None, 100), (OnlineState::AwaitingSetup, None, 0));
        let last = Some(at(100));
        assert_eq!(known(last, 100), (OnlineState::Online, last, 0));
        assert_eq!(known(last, 130), (OnlineState::Online, last, 0));
        assert_eq!(known(last, 131), (OnlineState::Offline, last, 31));
        // Written by a process whose clock was ahead.
        assert_eq!(known(last, 50), (OnlineState::Online, last, 0));
    }
}
