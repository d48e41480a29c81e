//! Certificates: from files, reloaded when they change, or made here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::data::{DataDir, write_private};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Where certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsSource {
    /// Nowhere: plaintext.
    #[default]
    Off,
    /// From PEM files.
    Files {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made here, by a local CA that clients are told to trust.
    SelfSigned {
        /// The names and addresses it is for, besides localhost.
        names: Vec<String>,
    },
}

/// What is wrong with the certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("could not {attempt} `{}`", .path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` holds no {what}: it must be a PEM file", .path.display())]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the certificate and its key cannot be used together")]
    Unusable(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Making(#[source] rcgen::Error),
}

/// A certificate that is looked up anew on each handshake.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// TLS for the listener.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// The local CA, if we made it.
    pub(super) ca: Option<PathBuf>,
}

impl Tls {
    /// Prepares TLS, and keeps the certificate as new as its files.
    pub(super) fn start(source: &TlsSource, data: &DataDir) -> Result<Option<Self>, TlsError> {
        let (certificate, key, ca) = match source {
            TlsSource::Off => return Ok(None),
            TlsSource::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            TlsSource::SelfSigned { names } => {
                let ca = make_certificates(&data.tls(), names)?;
                (data.tls().join("server.pem"), data.tls().join("server.key"), Some(ca))
            }
        };
        let current = Arc::new(Current(RwLock::new(load(&certificate, &key)?)));
        tokio::spawn(reload(Arc::clone(&current), certificate, key));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self { config: Arc::new(config), ca }))
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read(certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(TlsError::NotPem { path: certificate.to_owned(), what: "certificate" });
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?);
    let secret = secret.map_err(|_| TlsError::NotPem { path: key.to_owned(), what: "private key" })?;
    let loaded = CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider());
    loaded.map(Arc::new).map_err(TlsError::Unusable)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { attempt: "read", path: path.to_owned(), source })
}

/// Takes over changed files. Files that cannot be used are said so, and the certificate before them serves on.
async fn reload(current: Arc<Current>, certificate: PathBuf, key: PathBuf) {
    let mut seen = changed_at(&certificate, &key);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = changed_at(&certificate, &key);
        if now == seen {
            continue;
        }
        seen = now;
        match load(&certificate, &key) {
            Ok(loaded) => {
                *current.0.write() = loaded;
                tracing::info!("the certificate was reloaded");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the changed certificate cannot be used; the one before it serves on");
            }
        }
    }
}

fn changed_at(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| fs::metadata(path).and_then(|it| it.modified()).ok())
}

/// Makes a local CA once, and a certificate for this start, and tells where the CA's certificate is.
fn make_certificates(folder: &Path, names: &[String]) -> Result<PathBuf, TlsError> {
    DataDir::new(folder).create().map_err(|source| failed("make", folder, source))?;
    let (ca_certificate, ca_key) = (folder.join("ca.pem"), folder.join("ca.key"));
    if !ca_certificate.exists() || !ca_key.exists() {
        let key = KeyPair::generate().map_err(TlsError::Making)?;
        let ca = ca_params().self_signed(&key).map_err(TlsError::Making)?;
        write(&ca_key, &key.serialize_pem())?;
        write(&ca_certificate, &ca.pem())?;
    }
    let not_pem = |what| move |_| TlsError::NotPem { path: ca_key.clone(), what };
    let text = String::from_utf8(read(&folder.join("ca.key"))?).unwrap_or_default();
    let signer = KeyPair::from_pem(&text).map_err(not_pem("private key"))?;
    let issuer = Issuer::new(ca_params(), signer);
    let key = KeyPair::generate().map_err(TlsError::Making)?;
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    all.extend(
        names.iter().filter(|name| !matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1")).cloned(),
    );
    let mut params = CertificateParams::new(all).map_err(TlsError::Making)?;
    params.distinguished_name = called("Claviger");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(TlsError::Making)?;
    write(&folder.join("server.key"), &key.serialize_pem())?;
    write(&folder.join("server.pem"), &certificate.pem())?;
    Ok(ca_certificate)
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called("Claviger local CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn write(path: &Path, pem: &str) -> Result<(), TlsError> {
    write_private(path, pem.as_bytes()).map_err(|source| failed("write", path, source))
}

fn failed(attempt: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::File { attempt, path: path.to_owned(), source }
}
