//! A real call against one that does nothing: same process, same runtime, same client, over loopback.
//!
//! The peer is a bare tonic server whose `Authenticate` returns a constant. Ours does everything a call goes
//! through: CORS, gRPC-Web, the layer with its token check, the state, the counters. `cargo bench -p authority
//! --bench calls`.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

mod common;

use authority::server::{Options, Server, TlsSource, TrustedProxies};
use authority::signing::SigningOptions;
use authority::{Absent, Authority, DataDir, MasterKeySource};
use common::{ROUNDS, found, in_flight, median};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use wire::proto::rpc::v1::auth_service_client::AuthServiceClient;
use wire::proto::rpc::v1::auth_service_server::{AuthService, AuthServiceServer};
use wire::proto::rpc::v1::{AuthenticateRequest, AuthenticateResponse, Credentials};
use wire::viam::app::v1::app_service_client::AppServiceClient;
use wire::viam::app::v1::{AuthorizedPermissions, CheckPermissionsRequest};

/// Does nothing.
struct Nothing;

#[tonic::async_trait]
impl AuthService for Nothing {
    async fn authenticate(
        &self,
        _request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        Ok(Response::new(AuthenticateResponse { access_token: "x".repeat(108) }))
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::new(folder.path());
    let authority = Authority::open(data, Absent::Create, MasterKeySource::DataDir).await.unwrap();
    let fleet = found(&authority.engine).await;
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: TlsSource::Off,
        tls_terminated_by_proxy: false,
        trusted_proxies: TrustedProxies::default(),
        signing: SigningOptions::default(),
        observe: None,
        domain: domain::Domain::parse("claviger.internal").unwrap(),
        public_url: None,
        files: authority::files::FileOptions::default(),
    };
    let server = Server::bind(authority, options).await.unwrap();
    let ours = format!("http://{}", server.address());
    let nothing = serve_nothing().await;

    let key =
        Credentials { r#type: "api-key".to_owned(), payload: fleet.operator_key.value.expose().to_owned() };
    let authenticate =
        AuthenticateRequest { entity: fleet.operator_key.key.id.to_string(), credentials: Some(key) };
    let token =
        AuthServiceClient::new(connect(&ours).await).authenticate(authenticate.clone()).await.unwrap();
    let token = format!("Bearer {}", token.into_inner().access_token);
    let question = AuthorizedPermissions {
        resource_type: "robot".to_owned(),
        resource_id: fleet.machine.id.to_string(),
        permissions: vec!["control_robot".to_owned()],
    };
    let check = CheckPermissionsRequest { permissions: vec![question] };

    for many in [32, 256] {
        // A connection carries a hundred streams or so well; more callers bring more connections.
        let (mut ours_open, mut nothing_open) = (Vec::new(), Vec::new());
        for _ in 0..many / 32 {
            ours_open.push(connect(&ours).await);
            nothing_open.push(connect(&nothing).await);
        }
        let (mut checks, mut logins) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let idle = in_flight(many, |n| authenticating(&nothing_open, n, &authenticate)).await;
            let check = in_flight(many, |n| checking(&ours_open, n, &check, &token)).await;
            let login = in_flight(many, |n| authenticating(&ours_open, n, &authenticate)).await;
            println!(
                "  {many:3} in flight: nothing {idle:8.0}/s, CheckPermissions {check:8.0}/s, Authenticate {login:8.0}/s"
            );
            checks.push(check / idle);
            logins.push(login / idle);
        }
        println!("{many} in flight: CheckPermissions / nothing (limit 0.85) {:.2}", median(&mut checks));
        println!("{many} in flight: Authenticate / nothing (limit 0.85)     {:.2}", median(&mut logins));
    }
    server.serve_until(async {}).await;
    compare_runtimes(&nothing, &authenticate).await;
}

/// Would a server of one single-threaded runtime a core, each with a listener of its own on the same port, do better
/// than one runtime with stealing workers? Asked of the peer that does nothing, where it would show the most.
async fn compare_runtimes(nothing: &str, authenticate: &AuthenticateRequest) {
    let split = serve_nothing_on_each_core();
    for many in [32, 256] {
        let (mut shared_open, mut split_open) = (Vec::new(), Vec::new());
        for _ in 0..many / 32 * 2 {
            shared_open.push(connect(nothing).await);
            split_open.push(connect(&split).await);
        }
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let shared = in_flight(many, |n| authenticating(&shared_open, n, authenticate)).await;
            let split = in_flight(many, |n| authenticating(&split_open, n, authenticate)).await;
            ratios.push(split / shared);
        }
        println!("{many} in flight: a runtime a core / one runtime for all     {:.2}", median(&mut ratios));
    }
}

fn serve_nothing_on_each_core() -> String {
    let cores = std::thread::available_parallelism().unwrap().get();
    let first = reusing("127.0.0.1:0".parse().unwrap());
    let address = first.local_addr().unwrap();
    let others = (1..cores).map(|_| reusing(address));
    for socket in std::iter::once(first).chain(others).collect::<Vec<_>>() {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = tonic::transport::server::TcpIncoming::from(socket.listen(1_024).unwrap());
                let server = tonic::transport::Server::builder().add_service(AuthServiceServer::new(Nothing));
                server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.unwrap();
            });
        });
    }
    format!("http://{address}")
}

fn reusing(address: std::net::SocketAddr) -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn serve_nothing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(AuthServiceServer::new(Nothing));
    tokio::spawn(server.serve_with_incoming(incoming));
    format!("http://{address}")
}

async fn connect(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap()
}

fn authenticating(
    open: &[Channel],
    number: usize,
    request: &AuthenticateRequest,
) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    let client = AuthServiceClient::new(open[number % open.len()].clone());
    let request = request.clone();
    move || {
        let (mut client, request) = (client.clone(), request.clone());
        Box::pin(async move {
            client.authenticate(request).await.unwrap();
        })
    }
}

fn checking(
    open: &[Channel],
    number: usize,
    request: &CheckPermissionsRequest,
    token: &str,
) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    let client = AppServiceClient::new(open[number % open.len()].clone());
    let (message, token) = (request.clone(), token.parse::<tonic::metadata::MetadataValue<_>>().unwrap());
    move || {
        let (mut client, message, token) = (client.clone(), message.clone(), token.clone());
        Box::pin(async move {
            let mut request = Request::new(message);
            request.metadata_mut().insert("authorization", token);
            let answer = client.check_permissions(request).await.unwrap().into_inner();
            assert_eq!(answer.authorized_permissions[0].permissions.len(), 1);
        })
    }
}
