//! Settings: from a TOML file, `CLAVIGER_*` variables and flags. A flag beats a variable, a variable beats the
//! file, the file beats the default. One struct is all three, so no setting can be in one and not in the others.

use std::fs;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use authority::files::FileOptions;
use authority::server::{Options, TlsSource, TrustedProxies};
use authority::signing::SigningOptions;
use authority::{DataDir, MasterKey, MasterKeySource};
use clap::{Args, ValueEnum};
use domain::Domain;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// Where everything is kept, unless told otherwise.
const DATA: &str = "claviger-data";
/// A name that no public DNS server knows.
const DOMAIN: &str = "claviger.internal";
const LISTEN: &str = "127.0.0.1:8080";
/// Holds the master key itself; there is no flag, because arguments can be read by everybody on the machine.
const MASTER_KEY: &str = "CLAVIGER_MASTER_KEY";

/// In which form the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the data is.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataArguments {
    /// The folder that holds everything: database, master key, certificates [default: claviger-data]
    #[arg(long, env = "CLAVIGER_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl DataArguments {
    pub(crate) fn dir(&self) -> DataDir {
        DataDir::new(self.data.clone().unwrap_or_else(|| PathBuf::from(DATA)))
    }
}

/// How the authority is reached and what it says. In the file, names are written with underscores.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// A TOML file with the settings that are given neither as a flag nor as a variable
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The folder that holds everything: database, master key, certificates [default: claviger-data]
    #[arg(long, env = "CLAVIGER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "CLAVIGER_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A PEM file with the certificate and its chain; read again when it changes
    #[arg(long, env = "CLAVIGER_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// A PEM file with the certificate's private key
    #[arg(long, env = "CLAVIGER_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Serve a certificate of the authority's own CA (DIR/tls/ca.pem), which clients trust through SSL_CERT_FILE
    #[arg(long, env = "CLAVIGER_TLS_SELF_SIGNED", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    tls_self_signed: Option<bool>,
    /// Names and addresses the self-made certificate is for, besides localhost
    #[arg(long, env = "CLAVIGER_TLS_NAMES", value_delimiter = ',', value_name = "NAME")]
    tls_names: Option<Vec<String>>,
    /// A proxy in front of this server speaks TLS: allow plaintext on an address that is not loopback
    #[arg(long, env = "CLAVIGER_TLS_TERMINATED_BY_PROXY", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    tls_terminated_by_proxy: Option<bool>,
    /// Addresses or networks of proxies whose X-Forwarded-For is believed
    #[arg(long, env = "CLAVIGER_TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORK")]
    trusted_proxies: Option<Vec<String>>,
    /// Where to serve /healthz, /readyz and /metrics [default: nowhere]
    #[arg(long, env = "CLAVIGER_OBSERVE", value_name = "ADDR")]
    observe: Option<SocketAddr>,
    /// The domain that the addresses of machines lie in, as in name-location.DOMAIN [default: claviger.internal]
    #[arg(long, env = "CLAVIGER_DOMAIN", value_name = "NAME")]
    domain: Option<String>,
    /// What the authority is called in the tokens and certificates it issues [default: claviger]
    #[arg(long, env = "CLAVIGER_NAME", value_name = "NAME")]
    name: Option<String>,
    /// How long a token that machines check by themselves lives, 1 to 60 [default: 5]
    #[arg(long, env = "CLAVIGER_EXTERNAL_TOKEN_MINUTES", value_name = "MINUTES")]
    external_token_minutes: Option<u16>,
    /// At which age the keys that sign tokens get a successor; 0 for never by itself [default: 90]
    #[arg(long, env = "CLAVIGER_ROTATE_KEYS_DAYS", value_name = "DAYS")]
    rotate_keys_days: Option<u16>,
    /// The address under which clients reach this server, for answers that hand out addresses [default: the one they
    /// call]
    #[arg(long, env = "CLAVIGER_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Where to keep the files of modules, such as s3://bucket/folder; AWS_* variables say how [default: DIR/files]
    #[arg(long, env = "CLAVIGER_OBJECT_STORE_URL", value_name = "URL")]
    object_store_url: Option<String>,
    /// The largest file of a module, in MiB [default: 1024]
    #[arg(long, env = "CLAVIGER_MODULE_SIZE_LIMIT", value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    module_size_limit: Option<u32>,
    /// What to log: error, warn, info, debug, trace, or a filter such as authority=debug [default: info]
    #[arg(long, env = "CLAVIGER_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// In which form to log [default: text]
    #[arg(long, env = "CLAVIGER_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// `self` where it says something, the file otherwise; field by field, so that none is forgotten.
macro_rules! layered {
    ($over:ident, $under:ident, $($field:ident)*) => {
        Settings { config: $over.config, $($field: $over.$field.or($under.$field)),* }
    };
}

impl Settings {
    /// With the file's settings under those given.
    pub(crate) fn layered(self) -> anyhow::Result<Self> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let file = read(&path)?;
        Ok(layered!(self, file, data listen tls_certificate tls_key tls_self_signed tls_names
            tls_terminated_by_proxy trusted_proxies observe domain name external_token_minutes rotate_keys_days
            public_url object_store_url module_size_limit log log_format))
    }

    pub(crate) fn data(&self) -> DataDir {
        DataDir::new(self.data.clone().unwrap_or_else(|| PathBuf::from(DATA)))
    }

    /// Everything about the listener, checked before anything is opened.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let proxies = self.trusted_proxies.iter().flatten().map(String::as_str);
        Ok(Options {
            listen: match self.listen {
                Some(address) => address,
                None => LISTEN.parse()?,
            },
            tls: self.tls()?,
            tls_terminated_by_proxy: self.tls_terminated_by_proxy.unwrap_or(false),
            trusted_proxies: TrustedProxies::parse(proxies).context("--trusted-proxies")?,
            observe: self.observe,
            signing: self.signing()?,
            domain: Domain::parse(self.domain.as_deref().unwrap_or(DOMAIN)).context("--domain")?,
            public_url: self.public_url.as_deref().map(str::parse).transpose().context("--public-url")?,
            files: FileOptions {
                store_url: self.object_store_url.clone(),
                limit: u64::from(self.module_size_limit.unwrap_or(FileOptions::LIMIT_MIB)) << 20,
            },
        })
    }

    fn signing(&self) -> anyhow::Result<SigningOptions> {
        let name = self.name.as_deref().unwrap_or(SigningOptions::NAME);
        // It stands in certificates, whose names hold 64 characters; ours add a word and an id.
        if name.is_empty() || name.len() > 40 || !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            bail!("--name: must be 1 to 40 printable ASCII characters");
        }
        let minutes = self.external_token_minutes.unwrap_or(SigningOptions::EXTERNAL_MINUTES);
        let most = SigningOptions::MAX_EXTERNAL_MINUTES;
        if !(1..=most).contains(&minutes) {
            bail!("--external-token-minutes: must be 1 to {most}");
        }
        let days = self.rotate_keys_days.unwrap_or(SigningOptions::ROTATE_DAYS);
        Ok(SigningOptions {
            name: name.to_owned(),
            external_lifetime: Duration::from_secs(60 * u64::from(minutes)),
            rotate_after: (days > 0).then(|| Duration::from_secs(86_400 * u64::from(days))),
        })
    }

    fn tls(&self) -> anyhow::Result<TlsSource> {
        let made = self.tls_self_signed.unwrap_or(false);
        match (&self.tls_certificate, &self.tls_key, made) {
            (None, None, false) => Ok(TlsSource::Off),
            (None, None, true) => {
                Ok(TlsSource::SelfSigned { names: self.tls_names.clone().unwrap_or_default() })
            }
            (Some(certificate), Some(key), false) => {
                Ok(TlsSource::Files { certificate: certificate.clone(), key: key.clone() })
            }
            (Some(_), Some(_), true) => bail!("give either certificate files or --tls-self-signed, not both"),
            _ => bail!("--tls-certificate and --tls-key belong together: give both"),
        }
    }

    /// Starts logging to stderr.
    pub(crate) fn start_logging(&self) -> anyhow::Result<()> {
        let filter = self.log.as_deref().unwrap_or("info");
        check_filter(filter)?;
        let filter = EnvFilter::builder().parse(filter).context("--log")?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .log_internal_errors(false);
        let log = log.with_ansi(std::io::stderr().is_terminal());
        match self.log_format.unwrap_or_default() {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().init(),
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` holds a setting that is wrong", path.display()))
}

/// A word alone must be a level: the library takes any other for the name of a crate, and then logs nothing.
fn check_filter(filter: &str) -> anyhow::Result<()> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let bare = filter.split(',').map(str::trim).filter(|part| !part.contains('='));
    for word in bare {
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            bail!(
                "--log `{word}`: must be one of {}, or say for what, such as authority=debug",
                LEVELS.join(", ")
            );
        }
    }
    Ok(())
}

/// The master key, if the environment holds it.
pub(crate) fn master_key() -> anyhow::Result<MasterKeySource> {
    match std::env::var(MASTER_KEY) {
        Ok(text) => Ok(MasterKeySource::Given(MasterKey::parse(MASTER_KEY, &text)?)),
        Err(std::env::VarError::NotPresent) => Ok(MasterKeySource::DataDir),
        Err(error @ std::env::VarError::NotUnicode(_)) => Err(error).context(MASTER_KEY),
    }
}
