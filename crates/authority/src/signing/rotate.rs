//! Making the authority's own keys, and putting new ones beside or in the place of old ones.

use domain::SigningKeyId;
use domain::command::ReplaceSigningKey;

use super::{NewKey, Purpose};
use crate::engine::Engine;
use crate::failure::Failure;

/// Through what the authority changes its own keys by itself.
const UPKEEP: &str = "claviger";

/// Makes the first key of each purpose that has none.
///
/// # Errors
/// Where it cannot be made or written.
pub(crate) async fn ensure(engine: &Engine, purposes: &[Purpose]) -> Result<(), Failure> {
    for purpose in purposes {
        if held(engine, *purpose).is_empty() {
            add(engine, UPKEEP, *purpose, Vec::new()).await?;
        }
    }
    Ok(())
}

/// Puts a new key in the place of all that are there.
///
/// # Errors
/// As [`ensure`].
pub(crate) async fn replace(engine: &Engine, purpose: Purpose) -> Result<(), Failure> {
    add(engine, UPKEEP, purpose, held(engine, purpose)).await
}

/// The keys of a purpose that are stored.
fn held(engine: &Engine, purpose: Purpose) -> Vec<SigningKeyId> {
    engine.look_as_system(|state| {
        let keys = state.signing_keys().filter(|key| key.purpose == purpose.name());
        keys.map(|key| key.id).collect()
    })
}

/// Makes a key and stores it instead of others.
async fn add(
    engine: &Engine,
    via: &'static str,
    purpose: Purpose,
    instead_of: Vec<SigningKeyId>,
) -> Result<(), Failure> {
    let making = engine.clone();
    // Some take a tenth of a second; calls go on meanwhile.
    let made = tokio::task::spawn_blocking(move || {
        let shared = making.shared();
        shared.signing.make(purpose, shared.clock.now())
    });
    let failed = Failure::Internal("a key of the authority's own could not be made");
    let NewKey { id, sealed, .. } = match made.await {
        Ok(Ok(key)) => key,
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no new key for {}", purpose.name());
            return Err(failed);
        }
        Err(_) => return Err(failed),
    };
    engine.command(via, ReplaceSigningKey { purpose: purpose.name(), id, sealed, instead_of }).await
}
