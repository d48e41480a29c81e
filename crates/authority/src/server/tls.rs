//! Certificates: from files, reloaded when they change, or made here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::data::{DataDir, write_private};
use crate::engine::Engine;
use crate::signing::SigningError;

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
    /// Issued by the authority's own CA, which clients are told to trust.
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
    /// A certificate could not be issued.
    #[error("the authority could not issue a certificate to itself")]
    Issuing(#[from] SigningError),
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
    /// The authority's own CA, if it issued the certificate.
    pub(super) ca: Option<PathBuf>,
}

impl Tls {
    /// Prepares TLS, and keeps the certificate as new as its files.
    pub(super) fn start(
        source: &TlsSource,
        data: &DataDir,
        engine: &Engine,
    ) -> Result<Option<Self>, TlsError> {
        let (certificate, key, own) = match source {
            TlsSource::Off => return Ok(None),
            TlsSource::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            TlsSource::SelfSigned { names } => {
                let folder = data.tls();
                let own = OwnCertificate { engine: engine.clone(), names: all_names(names), folder };
                own.write()?;
                (own.folder.join("server.pem"), own.folder.join("server.key"), Some(own))
            }
        };
        let ca = own.as_ref().map(OwnCertificate::ca);
        let current = Arc::new(Current(RwLock::new(load(&certificate, &key)?)));
        tokio::spawn(reload(Arc::clone(&current), certificate, key, own));
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
async fn reload(current: Arc<Current>, certificate: PathBuf, key: PathBuf, own: Option<OwnCertificate>) {
    let mut seen = changed_at(&certificate, &key);
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(Err(error)) = own.as_ref().map(OwnCertificate::write) {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                error,
                "the authority's own certificate is not renewed; the one before it serves on"
            );
        }
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

/// A certificate of the authority for itself, in files: clients are told to trust one of them, and the others are what
/// an administrator looks for.
struct OwnCertificate {
    engine: Engine,
    names: Vec<String>,
    folder: PathBuf,
}

impl OwnCertificate {
    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Writes what has changed: all of it at a start, the CA's file when there is a new CA, the certificate when it
    /// is time to renew it.
    fn write(&self) -> Result<(), TlsError> {
        let shared = self.engine.shared();
        let now = shared.clock.now();
        let issued = shared.signing.certificate_for(&self.names, now)?;
        DataDir::new(&self.folder).create().map_err(|source| failed("make", &self.folder, source))?;
        write(&self.ca(), &shared.signing.ca_bundle(now))?;
        write(&self.folder.join("server.key"), &issued.key)?;
        write(&self.folder.join("server.pem"), &issued.chain)
    }
}

/// The names and addresses of this computer to itself, then those that were asked for.
fn all_names(asked: &[String]) -> Vec<String> {
    const OWN: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
    let others = asked.iter().map(String::as_str).filter(|name| !OWN.contains(name));
    OWN.into_iter().chain(others).map(str::to_owned).collect()
}

fn write(path: &Path, pem: &str) -> Result<(), TlsError> {
    if fs::read(path).is_ok_and(|there| there == pem.as_bytes()) {
        return Ok(());
    }
    write_private(path, pem.as_bytes()).map_err(|source| failed("write", path, source))
}

fn failed(attempt: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::File { attempt, path: path.to_owned(), source }
}
