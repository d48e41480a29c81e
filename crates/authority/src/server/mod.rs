//! The listener: from bytes to calls.
//!
//! One port speaks everything: gRPC over HTTP/2 with prior knowledge or ALPN, and gRPC-Web over HTTP/1.1 and
//! HTTP/2 with CORS. A call passes, from the outside in: CORS (browsers only), gRPC-Web, [`layer`] (request id, credential,
//! counters), and the routes of `rpc`. Beside all that, [`web`] answers plain HTTP on a few paths.

mod addresses;
mod browsers;
mod download;
mod layer;
mod listener;
mod methods;
mod modules;
mod observe;
mod tls;
mod transport;
mod web;

pub use addresses::TrustedProxies;
pub use listener::{Listening, ServeError};
pub use tls::{TlsError, TlsSource};

use std::net::SocketAddr;

use domain::Domain;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::files::FileOptions;
pub use crate::origin::{InvalidPublicUrl, PublicUrl};
use crate::signing::SigningOptions;

/// How the authority is to be reached.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificates, or none for plaintext.
    pub tls: TlsSource,
    /// Somebody in front of us terminates TLS, so that plaintext is right on an address that is not loopback.
    pub tls_terminated_by_proxy: bool,
    /// Whose word on the client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// Where health and figures are served; nowhere if absent.
    pub observe: Option<SocketAddr>,
    /// How the authority's own keys are used and renewed.
    pub signing: SigningOptions,
    /// The domain that the addresses of machines lie in.
    pub domain: Domain,
    /// Under which address callers reach us, if it is not the one they call.
    pub public_url: Option<PublicUrl>,
    /// Where the files of modules are kept.
    pub files: FileOptions,
}

/// A server that listens. It serves until it is told to stop.
pub struct Server {
    authority: Authority,
    listening: Listening,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Binds everything, so that whatever is wrong with an address or a certificate is said before anything is
    /// served.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn bind(authority: Authority, options: Options) -> Result<Self, ServeError> {
        let (stop, stopped) = watch::channel(false);
        let listening = Listening::start(&authority, options, stopped).await?;
        Ok(Self { authority, listening, stop })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Where health and figures are served.
    #[must_use]
    pub const fn observe_address(&self) -> Option<SocketAddr> {
        self.listening.observe_address()
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.listening.tls()
    }

    /// The certificate that clients have to trust, if it is one we made.
    #[must_use]
    pub fn local_ca(&self) -> Option<&std::path::Path> {
        self.listening.local_ca()
    }

    /// The authority it serves.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Serves until `stop` is done, then lets running calls finish and closes everything.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        let Self { authority, listening, stop: tell } = self;
        stop.await;
        tracing::info!("stopping");
        authority.engine.shared().streams.stop();
        // The receivers are the tasks that listen; none of them may be left by now.
        tell.send_replace(true);
        listening.finished().await;
        authority.close().await;
    }
}

/// Waits until the server stops. That it is gone is a stop as well.
async fn stopped(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}
