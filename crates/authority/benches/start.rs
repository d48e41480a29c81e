//! What a start costs with a million keys, against a bare scan of the same rows, and what stays in memory.
//!
//! `cargo bench -p authority --bench start` (`KEYS=100000` for fewer).

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

mod common;

use std::path::Path;
use std::time::Instant;

use authority::{Absent, Authority, DataDir, MasterKeySource};
use common::median;
use domain::{
    Actor, Grant, Key, KeyId, KeyValue, Kind, Location, LocationId, Machine, MachineId, Name, Organization,
    OrganizationId, Record, Resource, Role, Timestamp, encode_record,
};
use journal::{Change, Journal, NewEntry};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

const STARTS: usize = 5;
const MACHINES: usize = 10_000;
const LOCATIONS: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let keys = std::env::var("KEYS").map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::new(folder.path());
    // The first start makes the master key and what it seals; then the fleet is written beside it.
    Authority::open(data.clone(), Absent::Create, MasterKeySource::DataDir).await.unwrap().close().await;
    let names = fill(&data.database(), keys).await;
    let mut ratios = Vec::new();
    for start in 0..STARTS {
        let started = Instant::now();
        let scanned = scan(&data.database()).await;
        let bare = started.elapsed().as_secs_f64();
        let before = resident_bytes();
        let started = Instant::now();
        let authority =
            Authority::open(data.clone(), Absent::Refuse, MasterKeySource::DataDir).await.unwrap();
        let ours = started.elapsed().as_secs_f64();
        let count = authority.engine.look_as_system(|state| state.count(Kind::Key));
        assert!(count == keys && scanned > keys);
        println!("  start {ours:6.2} s, bare scan of the same rows {bare:6.2} s");
        ratios.push(ours / bare);
        if start == 0
            && let Some(grown) =
                before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before))
        {
            println!(
                "resident memory a key, beside its name (aim 300)  {} bytes",
                grown.saturating_sub(names) / keys
            );
        }
        authority.close().await;
    }
    println!("start / bare scan (aim 3.00)                      {:.2}", median(&mut ratios));
}

/// Reads every record as the database hands it out, and does nothing with it.
async fn scan(path: &Path) -> usize {
    use futures::TryStreamExt as _;
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.disable_statement_logging().connect().await.unwrap();
    let mut rows = sqlx::query("SELECT kind, id, seq, value FROM record").fetch(&mut connection);
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.try_next().await.unwrap() {
        bytes += row.get::<&str, _>("value").len() + row.get::<&str, _>("id").len();
        count += 1;
    }
    assert!(bytes > count);
    count
}

/// Writes a fleet with so many keys, and tells how many bytes their names take.
async fn fill(path: &Path, keys: usize) -> usize {
    let journal = Journal::open(path, journal::Options::default()).await.unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let at = Timestamp::from_micros(1);
    let name = |text: String| Name::parse(&text).unwrap();
    let organization = OrganizationId::generate(at, &mut rng);
    let mut records = vec![Record::Organization(Organization {
        id: organization,
        name: name("fleet".to_owned()),
        created_at: at,
        public_namespace: None,
        default_region: None,
        cid: None,
    })];
    let locations: Vec<_> = (0..LOCATIONS).map(|_| LocationId::generate(&mut rng)).collect();
    for (number, id) in locations.iter().copied().enumerate() {
        let name = name(format!("location-{number}"));
        records.push(Record::Location(Location {
            id,
            organization,
            parent: None,
            name,
            region: None,
            shared_with: vec![],
            secrets: vec![],
            created_at: at,
        }));
    }
    let machines: Vec<_> = (0..MACHINES).map(|_| MachineId::generate(at, &mut rng)).collect();
    for (number, id) in machines.iter().copied().enumerate() {
        let (location, name) = (locations[number % LOCATIONS], name(format!("machine-{number}")));
        records.push(Record::Machine(Machine { id, location, name, created_at: at }));
    }
    let mut names = 0;
    for number in 0..keys {
        let at = Timestamp::from_micros(number as i64 * 1_000);
        let name = name(format!("key-{number}"));
        names += name.as_str().len();
        let machine = machines[rng.next_u32() as usize % MACHINES];
        records.push(Record::Key(Key {
            id: KeyId::generate(at, &mut rng),
            organization,
            name,
            hash: KeyValue::generate(&mut rng).hash(),
            generation: 1,
            grants: [Grant { role: Role::Operator, resource: Resource::Machine(machine) }].into(),
            created_at: at,
            creator: Actor::System,
            expires_at: None,
        }));
    }
    for batch in records.chunks(1_000) {
        let changes = batch.iter().map(|record| Change {
            kind: record.id().kind().name(),
            id: record.id().id_text(),
            value: Some(encode_record(record).unwrap()),
        });
        let body = "{\"v\":1}".to_owned();
        let entry = NewEntry { at: 1, body, changes: changes.collect(), documents: Vec::new() };
        journal.begin().await.unwrap().commit(vec![entry]).await.unwrap();
    }
    journal.close().await.unwrap();
    names
}

/// This process's resident memory, where the system tells.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4_096)
}
