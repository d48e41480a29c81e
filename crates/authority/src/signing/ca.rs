//! The authority's own CA: certificates for parts, and for the authority itself where it is told to make its own.
//!
//! A certificate is asked for by its names and is the same until it is renewed, so that whatever holds it stays the
//! same byte for byte. It is kept in memory only: after a restart there is another, as good.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use domain::{SigningKeyId, Timestamp};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SigningError;
use super::opened::{Opened, signs};
use super::purpose::Purpose;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// How long a CA certificate is good.
pub(super) const CA_DAYS: i64 = 3_652;
/// How long a certificate is good, and how much of that is left when it is renewed.
const LEAF_DAYS: i64 = 90;
const RENEWED_DAYS: i64 = 30;
/// Clocks of machines are wrong by less than this, mostly.
const BACK_DATED: i64 = 3_600 * SECOND;

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, then the CA's, in PEM.
    pub chain: String,
    /// Its private key, in PEM.
    pub key: Zeroizing<String>,
    /// Until when it is good.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate until {}", self.not_after)
    }
}

/// The CA keys, the oldest first.
pub(super) struct CaKeys {
    keys: Vec<CaKey>,
}

struct CaKey {
    id: SigningKeyId,
    created_at: Timestamp,
    not_after: Timestamp,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What is sealed: all it takes to go on being this CA.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    key: Zeroizing<String>,
    certificate: String,
    not_after: Timestamp,
}

/// The certificates that were issued, by their names.
#[derive(Default)]
pub(super) struct Issued {
    by_names: Mutex<HashMap<Vec<String>, (SigningKeyId, Certificate)>>,
}

impl CaKeys {
    /// # Errors
    /// Where one is no CA.
    pub(super) fn new(keys: &[Opened]) -> Result<Self, SigningError> {
        let of = |key: &Opened| {
            let damaged = SigningError::Damaged(key.id);
            let stored = serde_json::from_slice::<Stored>(&key.secret).map_err(|_| damaged)?;
            let pair = KeyPair::from_pem(&stored.key).map_err(|_| SigningError::Damaged(key.id))?;
            Ok(CaKey {
                id: key.id,
                created_at: key.created_at,
                not_after: stored.not_after,
                certificate: stored.certificate,
                issuer: Issuer::new(ca_params(&stored.name), pair),
            })
        };
        keys.iter().map(of).collect::<Result<_, _>>().map(|keys| Self { keys })
    }

    /// A new CA. Its name holds a part of its id, so that an old one and a new one are two.
    pub(super) fn make(
        authority: &str,
        id: SigningKeyId,
        now: Timestamp,
    ) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let text = id.to_string();
        let name = format!("{authority} CA {}", text.rsplit('-').next().unwrap_or_default());
        let not_after = later(now, CA_DAYS * DAY);
        let mut params = ca_params(&name);
        params.not_before = calendar(later(now, -BACK_DATED)).into();
        params.not_after = calendar(not_after).into();
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let stored = Stored { name, key: Zeroizing::new(key.serialize_pem()), certificate, not_after };
        serde_json::to_vec(&stored).map(Zeroizing::new).map_err(|_| SigningError::NotMade)
    }

    /// What to trust: every CA certificate that is still good, the oldest first, in PEM.
    pub(super) fn bundle(&self, now: Timestamp) -> String {
        self.good(now).map(|key| key.certificate.as_str()).collect()
    }

    /// The certificate for these names: the one issued before, unless it is time for another.
    pub(super) fn certificate_for(
        &self,
        issued: &Issued,
        names: &[String],
        now: Timestamp,
    ) -> Result<Certificate, SigningError> {
        // Held while one is made, so that two who ask at once get the same.
        let mut by_names = issued.by_names.lock();
        if let Some((by, certificate)) = by_names.get(names)
            && later(now, RENEWED_DAYS * DAY) < certificate.not_after
            && self.keys.iter().any(|key| key.id == *by)
        {
            return Ok(certificate.clone());
        }
        let certificates: Vec<_> = self.good(now).collect();
        let signer = signs(&certificates, Purpose::AuthorityCa, |key| key.created_at, now);
        let signer = signer.ok_or(SigningError::NoKey(Purpose::AuthorityCa))?;
        let certificate = signer.issue(names, now)?;
        // Those of parts that are no more go when they have run out.
        by_names.retain(|_, (_, certificate)| certificate.not_after > now);
        by_names.insert(names.to_vec(), (signer.id, certificate.clone()));
        Ok(certificate)
    }

    fn good(&self, now: Timestamp) -> impl Iterator<Item = &CaKey> {
        self.keys.iter().filter(move |key| now < key.not_after)
    }
}

impl CaKey {
    fn issue(&self, names: &[String], now: Timestamp) -> Result<Certificate, SigningError> {
        let first = names.first().ok_or(SigningError::NoNames)?;
        let not_after = later(now, LEAF_DAYS * DAY).min(self.not_after);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = called(first);
        params.not_before = calendar(later(now, -BACK_DATED)).into();
        params.not_after = calendar(not_after).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Parts of one machine show each other their certificates, both ways.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = certificate.pem() + &self.certificate;
        Ok(Certificate { chain, key: Zeroizing::new(key.serialize_pem()), not_after })
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn later(time: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}

/// Certificates count in seconds.
fn calendar(time: Timestamp) -> SystemTime {
    let seconds = u64::try_from(time.as_micros().div_euclid(SECOND)).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000 * SECOND + days * DAY)
    }

    fn opened(id: u8, created_at: Timestamp) -> Opened {
        let id = SigningKeyId::from_bytes([id; 16]);
        Opened { id, created_at, secret: CaKeys::make("claviger", id, created_at).unwrap() }
    }

    fn names(name: &str) -> Vec<String> {
        vec![name.to_owned(), format!("other-{name}")]
    }

    /// The CA's certificate stands behind the part's.
    fn signed_by(certificate: &Certificate, ca: &str) -> bool {
        certificate.chain.ends_with(ca) && certificate.chain.len() > ca.len()
    }

    #[test]
    fn a_certificate_is_the_same_until_it_is_renewed() {
        let (ca, issued) = (CaKeys::new(&[opened(1, at(0))]).unwrap(), Issued::default());
        let get = |name, now| ca.certificate_for(&issued, &names(name), now).unwrap();
        let first = get("a.example", at(0));
        assert_eq!(first.not_after, at(90));
        assert_eq!(format!("{first:?}"), format!("Certificate until {}", at(90)));
        for days in [1, 59] {
            let again = get("a.example", at(days));
            assert_eq!((&again.chain, &*again.key), (&first.chain, &*first.key), "day {days}");
        }
        let renewed = get("a.example", at(60));
        assert_ne!(renewed.chain, first.chain);
        assert_eq!(renewed.not_after, at(150));
        assert_ne!(get("b.example", at(60)).chain, renewed.chain);
        assert_eq!(issued.by_names.lock().len(), 2);
        get("c.example", at(200));
        assert_eq!(issued.by_names.lock().len(), 1);
    }

    #[test]
    fn a_new_ca_is_published_before_it_signs_and_the_old_one_until_it_has_run_out() {
        let (old, new) = (opened(1, at(0)), opened(2, at(3_000)));
        let alone = CaKeys::new(std::slice::from_ref(&old)).unwrap();
        let both = CaKeys::new(&[old, new]).unwrap();
        let (old, bundle) = (alone.bundle(at(0)), both.bundle(at(3_000)));
        let new = bundle.strip_prefix(&old).unwrap();
        let sign = |now| both.certificate_for(&Issued::default(), &names("a"), now).unwrap();
        assert!(signed_by(&sign(at(3_000)), &old));
        assert!(signed_by(&sign(at(3_029)), &old));
        assert!(signed_by(&sign(at(3_030)), new));
        assert_eq!(both.bundle(at(CA_DAYS)), new);
        assert_eq!(
            alone.certificate_for(&Issued::default(), &names("a"), at(3_600)).unwrap().not_after,
            at(CA_DAYS)
        );
        assert!(alone.certificate_for(&Issued::default(), &names("a"), at(CA_DAYS)).is_err());
    }

    #[test]
    fn what_a_distrusted_ca_signed_is_issued_anew() {
        let (old, new) = (opened(1, at(0)), opened(2, at(1)));
        let issued = Issued::default();
        let before = CaKeys::new(&[old]).unwrap().certificate_for(&issued, &names("a"), at(1)).unwrap();
        let alone = CaKeys::new(&[new]).unwrap();
        let after = alone.certificate_for(&issued, &names("a"), at(1)).unwrap();
        assert_ne!(before.chain, after.chain);
        assert!(signed_by(&after, &alone.bundle(at(1))));
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let ca = CaKeys::new(&[opened(1, at(0))]).unwrap();
        let refused = |names: &[String]| ca.certificate_for(&Issued::default(), names, at(0)).is_err();
        assert!(refused(&[]));
        assert!(refused(&["ümlaut".to_owned()]));
    }
}
