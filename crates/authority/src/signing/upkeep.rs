//! What becomes of the authority's own keys by itself: successors when they come of age, and an end when all they
//! signed has run out.

use std::time::Duration;

use domain::command::RetireSigningKeys;
use domain::{SigningKeyId, Timestamp};

use super::ca::CA_DAYS;
use super::rotate::{Held, UPKEEP, add, after, held};
use super::{Purpose, SigningOptions};
use crate::engine::Engine;
use crate::failure::Failure;

/// How long before its end a CA gets a successor: well over a new one's lead and the life of a certificate.
const CA_RENEWED: Duration = Duration::from_secs(2 * 365 * 86_400);
/// For how long an old key for external tokens is published after its successor signs: the longest lifetime there may
/// be, and a little for clocks.
const RUN_OUT: Duration = Duration::from_secs(60 * (SigningOptions::MAX_EXTERNAL_MINUTES as u64 + 5));

/// Does what is due: successors for keys that have come of age, and an end to those that have run out.
///
/// # Errors
/// As [`ensure`]; it is tried again the next time.
pub(crate) async fn keep_up(engine: &Engine) -> Result<(), Failure> {
    let now = engine.shared().clock.now();
    let options = engine.shared().signing.options();
    let mut gone = Vec::new();
    for purpose in Purpose::ALL {
        let there = held(engine, *purpose);
        if due(&there, *purpose, &options, now) {
            add(engine, UPKEEP, *purpose, Vec::new()).await?;
            tracing::info!(purpose = purpose.name(), "a new key was made");
        }
        gone.extend(run_out(&there, *purpose, now));
    }
    if gone.is_empty() {
        return Ok(());
    }
    engine.command(UPKEEP, RetireSigningKeys { ids: gone }).await
}

/// Whether the newest key of a purpose is to get a successor.
fn due(held: &[Held], purpose: Purpose, options: &SigningOptions, now: Timestamp) -> bool {
    let age = match purpose {
        Purpose::TokenMac | Purpose::ExternalJwt => options.rotate_after,
        Purpose::AuthorityCa => ca_life().checked_sub(CA_RENEWED),
        // A successor would not make what is sealed any safer: the old one still opens it.
        Purpose::Sealing => None,
        // A new one makes every machine start its web service anew: for people to decide.
        Purpose::LocationSecret => None,
    };
    let newest = held.last();
    newest.zip(age).is_some_and(|((_, created_at), age)| after(*created_at, age) <= now)
}

/// Which keys have signed nothing that is still good.
fn run_out(held: &[Held], purpose: Purpose, now: Timestamp) -> Vec<SigningKeyId> {
    let over = |at: &Held, rest: &[Held]| match purpose {
        Purpose::ExternalJwt => {
            rest.iter().any(|(_, created_at)| after(after(*created_at, purpose.lead()), RUN_OUT) <= now)
        }
        Purpose::AuthorityCa => !rest.is_empty() && after(at.1, ca_life()) <= now,
        Purpose::TokenMac | Purpose::Sealing | Purpose::LocationSecret => false,
    };
    let mut rest = held;
    let mut gone = Vec::new();
    while let Some((oldest, newer)) = rest.split_first() {
        if over(oldest, newer) {
            gone.push(oldest.0);
        }
        rest = newer;
    }
    gone
}

const fn ca_life() -> Duration {
    Duration::from_secs(CA_DAYS.unsigned_abs() * 86_400)
}

#[cfg(test)]
mod tests {
    use super::super::rotate::tests::authority;
    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn made_at(created_at: &[i64]) -> Vec<Held> {
        let numbered = (1..).zip(created_at);
        numbered.map(|(number, it)| (SigningKeyId::from_bytes([number; 16]), at(*it))).collect()
    }

    #[test]
    fn keys_get_a_successor_when_they_come_of_age() {
        let options = SigningOptions::default();
        let never = SigningOptions { rotate_after: None, ..SigningOptions::default() };
        let due_at =
            |purpose, options, created: &[i64], now| due(&made_at(created), purpose, options, at(now));
        for purpose in [Purpose::TokenMac, Purpose::ExternalJwt] {
            assert!(!due_at(purpose, &options, &[0], 90 * DAY - 1));
            assert!(due_at(purpose, &options, &[0], 90 * DAY));
            assert!(!due_at(purpose, &options, &[0, 90 * DAY], 91 * DAY));
            assert!(!due_at(purpose, &never, &[0], 9_000 * DAY));
        }
        assert!(!due_at(Purpose::AuthorityCa, &options, &[0], 2_921 * DAY));
        assert!(due_at(Purpose::AuthorityCa, &never, &[0], 2_922 * DAY));
        assert!(!due_at(Purpose::Sealing, &options, &[0], 9_000 * DAY));
        // The first one is made elsewhere.
        assert!(!due_at(Purpose::TokenMac, &options, &[], 90 * DAY));
    }

    #[test]
    fn keys_go_when_all_they_signed_has_run_out() {
        let gone = |purpose, created: &[i64], now| run_out(&made_at(created), purpose, at(now)).len();
        // The successor signs after ten minutes, and an hour and a little later the last token has run out.
        let last = 1_000 + 600 + 65 * 60;
        assert_eq!(gone(Purpose::ExternalJwt, &[0, 1_000], last - 1), 0);
        assert_eq!(gone(Purpose::ExternalJwt, &[0, 1_000], last), 1);
        assert_eq!(gone(Purpose::ExternalJwt, &[0, 500, 1_000], last), 2);
        assert_eq!(gone(Purpose::ExternalJwt, &[0], 9_000 * DAY), 0);
        assert_eq!(gone(Purpose::AuthorityCa, &[0, 3_000 * DAY], CA_DAYS * DAY - 1), 0);
        assert_eq!(gone(Purpose::AuthorityCa, &[0, 3_000 * DAY], CA_DAYS * DAY), 1);
        for purpose in [Purpose::TokenMac, Purpose::Sealing] {
            assert_eq!(gone(purpose, &[0, 1_000], 9_000 * DAY), 0);
        }
    }

    #[tokio::test]
    async fn upkeep_rotates_what_is_due_and_takes_away_what_has_run_out() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path()).await;
        let engine = &authority.engine;
        let shared = engine.shared();
        let counts = || Purpose::ALL.iter().map(|purpose| held(engine, *purpose).len()).collect::<Vec<_>>();
        let caller = domain::Caller::Key { id: domain::KeyId::from_bytes([7; 16]), generation: 1 };
        let start = shared.clock.now();
        let token = shared.signing.token(caller, start).unwrap();
        let sealed = shared.signing.sealer().seal("x", b"secret").unwrap();
        let first = shared.signing.jwks();
        keep_up(engine).await.unwrap();
        assert_eq!(counts(), [1, 1, 1, 1, 1]);

        shared.clock.at_least(after(start, Duration::from_secs(91 * 86_400)));
        keep_up(engine).await.unwrap();
        keep_up(engine).await.unwrap();
        assert_eq!(counts(), [2, 1, 2, 1, 1]);
        assert_eq!(shared.signing.check(&token).unwrap().0, caller);
        assert_eq!(shared.signing.jwks()["keys"][0], first["keys"][0]);

        shared.clock.at_least(after(start, Duration::from_secs(92 * 86_400)));
        keep_up(engine).await.unwrap();
        assert_eq!(counts(), [2, 1, 1, 1, 1]);
        assert_ne!(shared.signing.jwks()["keys"][0], first["keys"][0]);
        assert_eq!(shared.signing.check(&token).unwrap().0, caller);

        let old_ca = shared.signing.ca_bundle(start);
        shared.clock.at_least(after(start, Duration::from_secs(2_923 * 86_400)));
        keep_up(engine).await.unwrap();
        assert!(shared.signing.ca_bundle(shared.clock.now()).starts_with(&old_ca));
        shared.clock.at_least(after(start, Duration::from_secs(3_653 * 86_400)));
        keep_up(engine).await.unwrap();
        assert_eq!(held(engine, Purpose::AuthorityCa).len(), 1);
        assert_eq!(shared.signing.sealer().open("x", &sealed).unwrap().as_slice(), b"secret");
        authority.close().await;
    }
}
