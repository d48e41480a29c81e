//! Binding, accepting, stopping.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{State, View as _};
use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tower::{Layer as _, Service};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use wire::claviger::v1::node_service_server::NodeServiceServer;

use super::browsers::ForBrowsers;
use super::layer::{Gate, Gated, RequestIds, Sample};
use super::methods::Methods;
use super::tls::{Tls, TlsError, TlsSource};
use super::web::Web;
use super::{Options, observe, transport};
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::{FileOptions, Files, FilesError};
use crate::logs;
use crate::origin::Origins;
use crate::rpc::{App, Node, Signaling};
use crate::signing::{Purpose, rotate, upkeep};
use crate::usage::KEPT_DAYS;

/// How often what was used is written.
const FLUSH: Duration = Duration::from_secs(10);

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Plaintext where others could listen.
    #[error(
        "`{0}` is not a loopback address, and keys would cross the network in clear: give a certificate \
         (--tls-certificate, --tls-key), or --tls-self-signed, or --tls-terminated-by-proxy if a proxy in front \
         of this server speaks TLS"
    )]
    Plaintext(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on `{address}`: is something else listening there?")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The socket for the person who runs the server cannot be made.
    #[error("cannot listen on the socket `{}`", .path.display())]
    Socket {
        /// Which path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys for external tokens or the CA could not be made.
    #[error("the authority's own keys could not be stored")]
    Keys(#[source] Failure),
    /// Files cannot be kept.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Our own descriptors cannot be read: a broken build.
    #[error("this build is broken: its descriptors cannot be read")]
    Broken,
}

/// What listens.
pub struct Listening {
    address: SocketAddr,
    observe: Option<SocketAddr>,
    tls: bool,
    ca: Option<PathBuf>,
    tasks: JoinSet<()>,
    socket: PathBuf,
    upkeep: JoinHandle<((), ())>,
}

impl Listening {
    pub(super) async fn start(
        authority: &Authority,
        options: Options,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let Options {
            listen,
            tls,
            tls_terminated_by_proxy,
            trusted_proxies,
            observe,
            signing,
            public_url,
            files,
            domain,
        } = options;
        if tls == TlsSource::Off && !listen.ip().is_loopback() && !tls_terminated_by_proxy {
            return Err(ServeError::Plaintext(listen));
        }
        let engine = &authority.engine;
        engine.shared().signing.configure(signing);
        // Made when they are first served: before that nobody can ask for what they sign.
        rotate::ensure(engine, Purpose::ALL).await.map_err(ServeError::Keys)?;
        let tls = Tls::start(&tls, &authority.data, engine)?;
        let (listener, address) = bind(listen).await?;
        let started_at = engine.shared().clock.now();
        let files = open_files(authority, &files).await?;
        let secure = tls.is_some() || tls_terminated_by_proxy;
        let signaling = match &public_url {
            Some(given) => Signaling { address: given.host_and_port(), insecure: !given.secure() },
            None => Signaling { address: format!("localhost:{}", address.port()), insecure: !secure },
        };
        let gate = Gate {
            engine: engine.clone(),
            methods: Methods::new().map_err(|_| ServeError::Broken)?,
            proxies: trusted_proxies,
            requests: RequestIds::new(started_at.as_micros()),
            sample: Sample::default(),
            origins: match public_url {
                Some(given) => Origins::Given(given),
                None => Origins::AsCalled(if secure { "https" } else { "http" }),
            },
        };
        let app = App { engine: engine.clone(), files, domain, signaling };
        let service = service(&app, gate)?;
        let ca = tls.as_ref().and_then(|tls| tls.ca.clone());
        let config = tls.map(|tls| tls.config);
        let tls = config.is_some();

        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, config, service, stopped.clone()));
        let observe = match observe {
            Some(wanted) => {
                let (listener, address) = bind(wanted).await?;
                tasks.spawn(observe::serve(listener, engine.clone(), stopped.clone()));
                Some(address)
            }
            None => None,
        };
        let socket = authority.data.socket();
        let node = Node { engine: engine.clone(), data: authority.data.clone(), started_at };
        tasks.spawn(serve_node(listen_privately(&socket)?, node, stopped));
        let engine = engine.clone();
        let upkeep = tokio::spawn(async { tokio::join!(keep_up(engine.clone()), logs::keep(engine)) });
        Ok(Self { address, observe, tls, ca, tasks, socket, upkeep })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn observe_address(&self) -> Option<SocketAddr> {
        self.observe
    }

    pub(super) const fn tls(&self) -> bool {
        self.tls
    }

    pub(super) fn local_ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Waits until every task that listened has ended.
    pub(super) async fn finished(self) {
        let Self { tasks, socket, upkeep, .. } = self;
        tasks.join_all().await;
        upkeep.abort();
        // Aborted is how it ends.
        drop(upkeep.await);
        if let Err(error) = fs::remove_file(&socket) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

/// The store of files, without what an earlier process left behind in it.
async fn open_files(authority: &Authority, options: &FileOptions) -> Result<Files, ServeError> {
    let files = Files::open(&authority.data, options)?;
    // A state that waits to be confirmed may not be the one that counts: nothing is deleted by its word.
    if authority.unconfirmed.is_none() {
        let known = authority.engine.look_as_system(State::module_files);
        files.sweep(&known, authority.engine.shared().clock.now()).await;
    }
    Ok(files)
}

async fn bind(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Everything that answers callers, from the outside in.
fn service(
    app: &App,
    gate: Gate,
) -> Result<
    impl Service<
        Request<Incoming>,
        Response = http::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
    ServeError,
> {
    let ours = wire::descriptors_for_callers().map_err(|_| ServeError::Broken)?;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&ours)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().map_err(|_| ServeError::Broken)?;
    let v1alpha = reflection().build_v1alpha().map_err(|_| ServeError::Broken)?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let routes = app.routes().add_service(v1).add_service(v1alpha).add_service(health).prepare();
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([http::Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(Duration::from_secs(7_200));
    let gate = Arc::new(gate);
    let gated = Gated(Arc::clone(&gate)).layer(routes);
    let grpc = ForBrowsers::new(&cors, tonic_web::GrpcWebLayer::new().layer(gated));
    Ok(Web::new(gate, app.files.clone(), grpc))
}

/// Accepts until the server stops, then waits for the connections.
async fn accept<S>(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    service: S,
    mut stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = http::Response<Body>, Error = std::convert::Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let mut connections = JoinSet::new();
    let connection_stopped = stopped.clone();
    loop {
        let accepted: io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            accepted = listener.accept() => accepted,
            // What ended is taken out, so that the set is as large as there are connections.
            Some(_) = connections.join_next() => continue,
            () = super::stopped(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (tls, service) = (tls.clone(), service.clone());
                connections.spawn(transport::serve(stream, peer, tls, service, connection_stopped.clone()));
            }
            Err(error) => {
                // Too many open files, mostly: the ones that are open go on, and room comes back.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.join_all().await;
}

fn listen_privately(path: &Path) -> Result<UnixListener, ServeError> {
    let failed = |source| ServeError::Socket { path: path.to_owned(), source };
    // One left behind by a crash: the journal's lock says that nobody is using it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // The folder is private already; the mode is for those who made it theirs.
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

async fn serve_node(listener: UnixListener, node: Node, mut stopped: watch::Receiver<bool>) {
    let stop = async move { super::stopped(&mut stopped).await };
    let served = tonic::transport::Server::builder()
        .add_service(NodeServiceServer::new(node))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the socket is not served any more");
    }
}

/// What has to be done from time to time.
async fn keep_up(engine: crate::engine::Engine) {
    let mut day = 0;
    loop {
        tokio::time::sleep(FLUSH).await;
        let shared = engine.shared();
        if let Err(error) = shared.usage.flush(engine.journal()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "uses are not written; they are kept");
        }
        // A restored state is left as it is until somebody has confirmed it.
        if engine.confirmed()
            && let Err(error) = upkeep::keep_up(&engine).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the authority's own keys are not renewed"
            );
        }
        let now = shared.clock.now();
        if let Err(error) = shared.parts.flush_now_and_then(engine.journal(), now).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "calls of parts are not written; they are kept"
            );
        }
        let today = now.day();
        if today != day {
            day = today;
            if let Err(error) = engine.journal().forget_tallies(today.saturating_sub(KEPT_DAYS)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "old uses are not forgotten");
            }
            shared.usage.retain(|known| {
                let gone =
                    |state: &State| known.iter().copied().filter(|key| state.key(*key).is_none()).collect();
                engine.look_as_system(gone)
            });
            shared.parts.retain(|known| {
                let gone = |state: &State| {
                    known.iter().copied().filter(|part| state.part(*part).is_none()).collect()
                };
                engine.look_as_system(gone)
            });
        }
    }
}
