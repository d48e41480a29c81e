//! One connection: TLS if it is on, then HTTP/2 or HTTP/1.1, whichever the client speaks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::layer::Peer;

/// The longest a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest a running call may take to finish once the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long an answer may take from the last handler to the socket.
const WRITTEN: Duration = Duration::from_millis(20);
/// The streams one connection may have open; the others wait in the client.
const STREAMS: u32 = 1_024;

/// Serves one connection until the client leaves or the server stops.
pub(super) async fn serve<S>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    service: S,
    stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = http::Response<Body>, Error = std::convert::Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    // Small answers go out at once; waiting for more halves the throughput.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let peer = peer.ip().to_canonical();
    let Some(config) = tls else {
        return speak(stream, peer, service, stopped).await;
    };
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, peer, service, stopped).await,
        // Probes, port scans and clients that do not trust the certificate.
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
        Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
    }
}

async fn speak<I, S>(io: I, peer: IpAddr, service: S, mut stopped: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = http::Response<Body>, Error = std::convert::Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let running = Running::default();
    let counted = running.clone();
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (mut service, running) = (service.clone(), counted.clone());
        async move {
            let _call = running.begin();
            service.ready().await?.call(request).await
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
    let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = super::stopped(&mut stopped) => {
            // Some clients hang up at the first word of the end, so it is said when their calls are answered.
            let idle = tokio::time::timeout(GRACE, running.idle());
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = idle => connection.as_mut().graceful_shutdown(),
            }
            match tokio::time::timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(%peer, "a call did not finish in time and was ended");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %error, "a connection ended badly");
    }
}

/// The calls that run on a connection.
#[derive(Clone, Default)]
struct Running(Arc<(AtomicUsize, Notify)>);

/// One of them; over when it is dropped.
struct RunningCall(Running);

impl Running {
    fn begin(&self) -> RunningCall {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        RunningCall(self.clone())
    }

    /// Waits until none runs and the last answers had a moment to be written.
    async fn idle(&self) {
        loop {
            let changed = self.0.1.notified();
            if self.0.0.load(Ordering::Acquire) == 0 {
                return tokio::time::sleep(WRITTEN).await;
            }
            changed.await;
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::AcqRel);
        self.0.0.1.notify_waiters();
    }
}
