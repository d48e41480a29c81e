//! What a row of a list costs, in fleets of three sizes: no call may grow faster than what it returns.
//!
//! Whole calls over loopback, gRPC and all, by the organization's owner and by the owner of one location.
//! `cargo bench -p authority --bench lists`.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use authority::engine::Engine;
use authority::server::{Options, Server, TlsSource, TrustedProxies};
use authority::signing::SigningOptions;
use authority::{Absent, Authority, DataDir, MasterKeySource};
use common::{found, median};
use domain::command::{Command, CreateKey, CreateLocation, CreateMachine, NewFleet, NewKey};
use domain::{Grant, LocationId, MachineId, Name, Resource, Role};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use wire::proto::rpc::v1::auth_service_client::AuthServiceClient;
use wire::proto::rpc::v1::{AuthenticateRequest, Credentials};
use wire::viam::app::v1::app_service_client::AppServiceClient;
use wire::viam::app::v1::{
    ListAuthorizationsRequest, ListKeysRequest, ListLocationsRequest, ListRobotsForOrgRequest,
    ListRobotsRequest,
};

/// Locations, machines and keys of the largest fleet; the others have a tenth and a hundredth of each.
const LARGEST: [usize; 3] = [1_000, 10_000, 2_500];
const CALLS: usize = 15;
/// The largest answer, in bytes.
const ANSWER: usize = 32 << 20;

type Client = AppServiceClient<Channel>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
}

async fn run() {
    let mut costs = BTreeMap::<String, Vec<(usize, f64)>>::new();
    for share in [100, 10, 1] {
        let size = LARGEST.map(|count| count / share);
        println!("{} locations, {} machines, {} keys", size[0], size[1], size[2]);
        for (call, rows, micros) in measured(size).await {
            println!("  {call:45} {rows:6} rows, {micros:9.1} us, {:7.2} us a row", micros / rows as f64);
            costs.entry(call).or_default().push((rows, micros / rows as f64));
        }
    }
    for (call, costs) in costs {
        let smallest = costs[0].1;
        let ratios: Vec<_> =
            costs.iter().map(|(rows, a_row)| format!("{rows}: {:.2}", a_row / smallest)).collect();
        println!("{call:47} a row, against the smallest fleet: {}", ratios.join(", "));
    }
}

/// Every list of one fleet: its name, how many rows it has, how many microseconds it takes.
async fn measured(size: [usize; 3]) -> Vec<(String, usize, f64)> {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::new(folder.path());
    let authority = Authority::open(data, Absent::Create, MasterKeySource::DataDir).await.unwrap();
    let fleet = found(&authority.engine).await;
    let (locations, site_owner) = grown(&authority.engine, &fleet, size).await;
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
    let url = format!("http://{}", server.address());
    let serving = tokio::spawn(server.serve_until(std::future::pending()));
    let mut found = Vec::new();
    for (who, key) in [("organization's owner", &fleet.owner_key), ("location's owner", &site_owner)] {
        let channel = Endpoint::from_shared(url.clone()).unwrap().tcp_nodelay(true).connect().await.unwrap();
        let token = authenticated(&channel, key).await;
        let client = AppServiceClient::new(channel).max_decoding_message_size(ANSWER);
        let organization = fleet.organization.id.to_string();
        for (list, rows, micros) in lists(&client, &token, &organization, locations[0]).await {
            found.push((format!("{list}, {who}"), rows, micros));
        }
    }
    serving.abort();
    found
}

/// Makes the locations flat and nested, the machines spread over them, and keys on all levels.
async fn grown(
    engine: &Engine,
    fleet: &NewFleet,
    [locations, machines, keys]: [usize; 3],
) -> (Vec<LocationId>, NewKey) {
    let name = |text: String| Name::parse(&text).unwrap();
    let organization = fleet.organization.id;
    let mut places: Vec<LocationId> = Vec::new();
    for number in 0..locations {
        // Ten at the top, the others inside them.
        let parent = (number >= 10).then(|| places[number % 10]);
        let name = name(format!("location-{number}"));
        places.push(made(engine, CreateLocation { organization, parent, name }).await.id);
    }
    let mut stand: Vec<MachineId> = Vec::new();
    for number in 0..machines {
        let location = places[spread(number, places.len())];
        stand.push(
            made(
                engine,
                CreateMachine {
                    location,
                    name: name(format!("machine-{number}")),
                    secret: authority::secrets::make(engine).unwrap(),
                },
            )
            .await
            .id,
        );
    }
    for number in 0..keys {
        let resource = match number % 10 {
            0 => Resource::Organization(organization),
            1..4 => Resource::Location(places[spread(number, places.len())]),
            _ => Resource::Machine(stand[spread(number, stand.len())]),
        };
        made(engine, key(resource, Role::Operator, &format!("key-{number}"))).await;
    }
    let owner = made(engine, key(Resource::Location(places[0]), Role::Owner, "site")).await;
    (places, owner)
}

/// A place that has nothing to do with the number's last digit.
fn spread(number: usize, places: usize) -> usize {
    number.wrapping_mul(7_919) / 11 % places
}

fn key(resource: Resource, role: Role, name: &str) -> CreateKey {
    let name = Name::parse(name).unwrap();
    CreateKey { organization: None, name, grants: vec![Grant { role, resource }], expires_at: None }
}

async fn made<C: Command>(engine: &Engine, command: C) -> C::Reply {
    engine.command("bench", command).await.unwrap()
}

async fn authenticated(channel: &Channel, key: &NewKey) -> String {
    let credentials = Credentials { r#type: "api-key".to_owned(), payload: key.value.expose().to_owned() };
    let request = AuthenticateRequest { entity: key.key.id.to_string(), credentials: Some(credentials) };
    let answer = AuthServiceClient::new(channel.clone()).authenticate(request).await.unwrap();
    format!("Bearer {}", answer.into_inner().access_token)
}

async fn lists(
    client: &Client,
    token: &str,
    organization: &str,
    location: LocationId,
) -> Vec<(&'static str, usize, f64)> {
    let (org_id, organization_id) = (organization.to_owned(), organization.to_owned());
    macro_rules! timed {
        ($list:literal, $method:ident, $request:expr, $rows:ident) => {{
            let (mut took, mut rows) = (Vec::new(), 0);
            for _ in 0..CALLS {
                let mut client = client.clone();
                let request = with_token($request, token);
                let started = Instant::now();
                rows = client.$method(request).await.unwrap().into_inner().$rows.len();
                took.push(started.elapsed().as_secs_f64() * 1e6);
            }
            ($list, rows, median(&mut took))
        }};
    }
    vec![
        timed!("ListKeys", list_keys, ListKeysRequest { org_id: org_id.clone() }, api_keys),
        timed!(
            "ListLocations",
            list_locations,
            ListLocationsRequest { organization_id: organization_id.clone() },
            locations
        ),
        timed!(
            "ListRobotsForOrg",
            list_robots_for_org,
            ListRobotsForOrgRequest { org_id: org_id.clone() },
            robots
        ),
        timed!("ListRobots", list_robots, ListRobotsRequest { location_id: location.to_string() }, robots),
        timed!(
            "ListAuthorizations",
            list_authorizations,
            ListAuthorizationsRequest { organization_id: organization_id.clone(), resource_ids: vec![] },
            authorizations
        ),
    ]
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.parse::<MetadataValue<_>>().unwrap());
    request
}
