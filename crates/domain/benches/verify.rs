//! What a check costs, against what it cannot do without: one hash of the value, and one look-up in a table of
//! the same size. Prints ratios of one run; absolute times belong to the machine.
//!
//! `cargo bench -p domain` (a million keys; `KEYS=100000 cargo bench -p domain` for fewer).

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use domain::{
    Actor, Grant, Key, KeyHash, KeyId, KeyValue, Location, LocationId, Machine, MachineId, Name,
    Organization, OrganizationId, Permission, Record, Resource, Role, State, Timestamp, View as _, holds,
    verify,
};
use foldhash::fast::RandomState;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

const LOCATIONS: usize = 1_000;
const MACHINES: usize = 10_000;
const ROUNDS: usize = 9;
const CHECKS: usize = 200_000;

/// A presented credential and the machine it is for; the texts lie in it, as they would lie in the message that was
/// just read, so that fetching them is not what is measured.
struct Ask {
    id: [u8; 36],
    value: [u8; KeyValue::LEN],
    machine: MachineId,
}

impl Ask {
    fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap()
    }

    fn value(&self) -> &str {
        std::str::from_utf8(&self.value).unwrap()
    }
}

/// What is measured, and how to do it once.
type Part<'a> = (&'a str, &'a dyn Fn(&Ask) -> bool);

struct Fleet {
    state: State,
    table: HashMap<KeyId, KeyHash, RandomState>,
    asks: Vec<Ask>,
}

fn main() {
    let keys = std::env::var("KEYS").map_or(1_000_000, |text| text.parse().unwrap());
    let before = resident_bytes();
    let (fleet, names) = fleet(keys);
    println!("{keys} keys over {MACHINES} machines in {LOCATIONS} locations, three levels deep");
    let now = Timestamp::from_micros(2);
    let parts: [Part<'_>; 6] = [
        ("SHA-256 of the value", &|ask| KeyHash::of(ask.value()).as_bytes()[0] == 7),
        ("look-up in a HashMap of ids to hashes", &|ask| {
            fleet.table.get(&ask.id().parse().unwrap()).is_some_and(|hash| hash.as_bytes()[0] == 7)
        }),
        ("parsing the id", &|ask| ask.id().parse::<KeyId>().unwrap().as_bytes()[0] == 7),
        ("form and checksum of the value", &|ask| KeyValue::check(ask.value()).is_ok()),
        ("verify (id and value to principal)", &|ask| {
            verify(&fleet.state, ask.id(), ask.value(), now).is_ok()
        }),
        ("verify and decide on a machine", &|ask| {
            let principal = verify(&fleet.state, ask.id(), ask.value(), now).unwrap();
            holds(&fleet.state, &principal, Permission::ControlRobot, Resource::Machine(ask.machine))
        }),
    ];
    let nanos: Vec<f64> = medians(&fleet.asks, &parts);
    for ((what, _), nanos) in parts.iter().zip(&nanos) {
        println!("  {what:40} {nanos:7.0} ns");
    }
    let [hash, look_up, parse, _, verify, decide] = nanos[..] else { return };
    let floor = hash + (look_up - parse);
    println!("floor: one hash and one look-up                {floor:7.0} ns");
    println!("verify / floor                                 {:7.2}", verify / floor);
    println!("verify and decide / floor (limit 2.00)         {:7.2}", decide / floor);
    drop(fleet.table);
    let bytes = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    if let Some(bytes) = bytes {
        let asks = fleet.asks.capacity() * size_of::<Ask>();
        let each = (bytes.saturating_sub(asks).saturating_sub(names)) / keys;
        println!("resident memory a key, beside its name         {each:7} bytes (aim 300)");
    }
}

/// The median over the rounds of the mean nanoseconds of each part, all parts in turn in every round, so that a
/// machine that slows down slows all of them.
fn medians(asks: &[Ask], parts: &[Part<'_>]) -> Vec<f64> {
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); parts.len()];
    for round in 0..ROUNDS {
        for (times, (_, part)) in rounds.iter_mut().zip(parts) {
            let asks = asks.iter().cycle().skip(round * 7_919).take(CHECKS);
            let started = Instant::now();
            let mut yes = 0_usize;
            for ask in asks {
                yes += usize::from(black_box(part(black_box(ask))));
            }
            black_box(yes);
            let took: Duration = started.elapsed();
            times.push(took.as_nanos() as f64 / CHECKS as f64);
        }
    }
    rounds
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect()
}

fn fleet(keys: usize) -> (Fleet, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let at = Timestamp::from_micros(1);
    let mut state = State::default();
    let organization = OrganizationId::generate(at, &mut rng);
    let name = |text: String| Name::parse(&text).unwrap();
    state.load(Record::Organization(Organization {
        id: organization,
        name: name("fleet".to_owned()),
        created_at: at,
        public_namespace: None,
        default_region: None,
        cid: None,
    }));
    let machines = places(&mut state, organization, &mut rng);
    let mut table = HashMap::with_hasher(RandomState::default());
    let mut asks = Vec::new();
    let mut names = 0;
    for number in 0..keys {
        let value = KeyValue::generate(&mut rng);
        let machine = machines[rng.next_u32() as usize % machines.len()];
        let at = Timestamp::from_micros(number as i64 * 1_000);
        let id = KeyId::generate(at, &mut rng);
        let name = name(format!("key-{number}"));
        names += name.as_str().len();
        table.insert(id, value.hash());
        // Enough different ones that neither the keys nor the machines stay in the processor's caches.
        if asks.len() < 400_000 {
            let value = value.expose().as_bytes().try_into().unwrap();
            // Drawn on its own: nearly always another machine than the key's, so the walk goes to the top.
            let machine = machines[rng.next_u32() as usize % machines.len()];
            asks.push(Ask { id: id.to_string().as_bytes().try_into().unwrap(), value, machine });
        }
        state.load(Record::Key(Key {
            id,
            organization,
            name,
            hash: value.hash(),
            generation: 1,
            grants: [Grant { role: Role::Operator, resource: Resource::Machine(machine) }].into(),
            created_at: at,
            creator: Actor::System,
            expires_at: None,
        }));
    }
    for place in (1..asks.len()).rev() {
        asks.swap(place, rng.next_u32() as usize % (place + 1));
    }
    (Fleet { state, table, asks }, names)
}

/// Locations nested to three levels, machines in the lowest.
fn places(state: &mut State, organization: OrganizationId, rng: &mut ChaCha8Rng) -> Vec<MachineId> {
    let at = Timestamp::from_micros(1);
    let mut levels: [Vec<LocationId>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for number in 0..LOCATIONS {
        let level = if number < 10 {
            0
        } else if number < 110 {
            1
        } else {
            2
        };
        let parent =
            if level == 0 { None } else { levels[level - 1].get(number % levels[level - 1].len()).copied() };
        let id = LocationId::generate(rng);
        let name = Name::parse(&format!("location-{number}")).unwrap();
        state.load(Record::Location(Location {
            id,
            organization,
            parent,
            name,
            region: None,
            shared_with: vec![],
            secrets: vec![],
            created_at: at,
        }));
        levels[level].push(id);
    }
    let mut machines = Vec::new();
    for number in 0..MACHINES {
        let id = MachineId::generate(at, rng);
        let location = levels[2][number % levels[2].len()];
        let name = Name::parse(&format!("machine-{number}")).unwrap();
        state.load(Record::Machine(Machine { id, location, name, created_at: at }));
        assert!(state.machine(id).is_some());
        machines.push(id);
    }
    machines
}

/// This process's resident memory, where the system tells.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4_096)
}
