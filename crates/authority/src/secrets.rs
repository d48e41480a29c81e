//! Secrets of parts and locations: making them, and reading them again for their owners.
//!
//! A value is 256 random bits in base64url: nothing of it says what it is, because machines keep it in a file that
//! other programs read. It is sealed before the domain hears of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::command::NewSecret;
use domain::{DocumentKind, KeyHash, Secret, SecretId};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use wire::convert::part::OpenSecret;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::failure::Failure;

const BYTES: usize = 32;

/// A new secret, sealed. It is nobody's until a command takes it.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn make(engine: &Engine) -> Result<NewSecret, Failure> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    aws_lc_rs::rand::fill(&mut *bytes)
        .map_err(|_| Failure::Internal("the system has no randomness to give"))?;
    let value = Zeroizing::new(BASE64URL.encode(*bytes));
    let id = SecretId::generate(engine.shared().clock.now(), &mut UnwrapErr(SysRng));
    let sealed = engine.shared().signing.sealer().seal(&bound_to(id), value.as_bytes());
    let sealed = sealed.map_err(|_| Failure::Internal("a new secret could not be sealed"))?;
    Ok(NewSecret { id, hash: KeyHash::of(&value), sealed })
}

/// Secrets with their values. One that was deleted in between is left out; one that does not open any more, because
/// the master key was replaced, is told without its value: it goes on opening what it opens.
///
/// # Errors
/// Where the journal cannot be read.
pub(crate) async fn open(engine: &Engine, secrets: &[Secret]) -> Result<Vec<OpenSecret>, Failure> {
    let sealer = engine.shared().signing.sealer();
    let mut opened = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let read = engine.document(DocumentKind::Secret, &secret.id.to_string()).await?;
        let Some(sealed) = read else { continue };
        let value = sealer.open(&bound_to(secret.id), &sealed).ok();
        let value = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
        if value.is_none() {
            tracing::warn!(id = %secret.id, "a secret does not open; make another in its place");
        }
        opened.push(OpenSecret { secret: secret.clone(), value: value.unwrap_or_default() });
    }
    Ok(opened)
}

/// A sealed secret is bound to its id: put in the place of another, it does not open.
fn bound_to(id: SecretId) -> String {
    format!("secret:{id}")
}
