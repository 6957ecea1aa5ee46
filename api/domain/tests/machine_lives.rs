//! Provisioning and availability from a database say what the pure rules say of all states and samples, whatever the window, on
//! both databases, before and after the compactor ran.
//!
//! Cases are random and named by a seed, which a failure prints.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod database;
#[path = "any_plan/random.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machine_lives::LifeQuestion;
use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::cell::part::KeyColumn;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::Writer;
use plimsoll_domain::machine::availability::{AvailabilityFigures, Gap, availability, known_spans};
use plimsoll_domain::machine::provisioning::{ProvisioningFigures, steps};
use plimsoll_domain::store::{NameDimension, Store};
use plimsoll_domain::timeline::life::{StateChange, Timeline};
use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, SECOND_US, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;
use random::Random;

const CASES: u64 = 3;
const QUESTIONS: usize = 60;
const MACHINES: u64 = 6;
const DAYS: i64 = 5;
const REGIONS: [&str; 2] = ["here", "there"];

/// One machine, as it was made up.
#[derive(Default)]
struct Made {
    changes: Vec<StateChange>,
    /// Instant and interval in seconds.
    samples: BTreeMap<i64, f64>,
}

impl Made {
    fn touched(&self) -> Option<Window> {
        Some(Window::of(*self.samples.keys().next()?, *self.samples.keys().last()?))
    }

    fn gaps(&self, known_until: i64) -> Vec<Gap> {
        let known: Vec<(i64, f64)> = self.samples.range(..known_until).map(|(at, interval)| (*at, *interval)).collect();
        let next = |number: usize| known.get(number + 1).map(|next| Instant(next.0));
        let all = known.iter().enumerate().map(|(number, (at, interval))| Gap::after(Instant(*at), *interval, next(number)));
        all.filter(Gap::is_long).collect()
    }
}

fn first() -> i64 {
    Instant::parse("2026-03-29T00:00:00Z").unwrap().0
}

fn now() -> Instant {
    Instant(first() + DAYS * DAY_US)
}

/// The last machine has no state at all; the one before it sends no samples.
fn machine(random: &mut Random, number: u64) -> Made {
    let mut made = Made::default();
    if number + 1 < MACHINES {
        for at in 0..random.between(1, 14) {
            let likely = [VmState::Running, VmState::Running, VmState::Unreachable];
            let state = if random.chance(70) { random.pick(&likely) } else { random.pick(VmState::ALL) };
            made.changes.push(StateChange {
                at: Instant(first() + random.between(0, DAYS * DAY_US / MINUTE_US) * MINUTE_US),
                state,
                id: Uuid::from_u64_pair(number + 1, at as u64),
                instance_type_id: 0,
                provider_id: 0,
                region_id: if random.chance(40) { random.between(1, 3) as u32 } else { 0 },
                purchase_option: None,
            });
        }
    }
    if number + 2 != MACHINES {
        let interval_s = random.pick(&[60.0, 300.0, 300.5]);
        let mut at = first() + random.between(0, DAY_US);
        while at < now().0 {
            made.samples.insert(at, interval_s);
            at += (interval_s * SECOND_US as f64) as i64 * random.between(1, 4);
            if random.chance(1) {
                at += random.between(0, 2 * DAY_US);
            }
        }
    }
    made
}

fn lines(name: &str, made: &Made) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    for change in &made.changes {
        let region = (change.region_id != 0).then(|| REGIONS[change.region_id as usize - 1]);
        lines.push(json!({"type": "vmState", "id": change.id, "vm": name, "at": change.at.to_rfc3339(), "state": change.state.wire(), "region": region}));
    }
    for (at, interval) in &made.samples {
        lines.push(json!({"type": "vmSample", "vm": name, "at": Instant(*at).to_rfc3339(), "intervalSeconds": interval, "cpuRatio": 0.5}));
    }
    lines
}

async fn write(store: &Store, lines: &[Value]) {
    let context = ReadContext { now: now(), strict: true, oldest: None };
    let (writer, handle) = Writer::new(store.clone());
    let running = tokio::spawn(writer.run());
    for batch in lines.chunks(400) {
        let events = batch.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event);
        let written = handle.write((1..).zip(events).collect(), 0).await.unwrap();
        assert_eq!(written.accepted, batch.len() as u64, "{written:?}");
    }
    drop(handle);
    running.await.unwrap();
}

/// Windows whose ends often stand on something that happened.
fn window(random: &mut Random, fleet: &[Made]) -> Window {
    let mut instant = || {
        let made = &fleet[random.below(MACHINES) as usize];
        match random.below(4) {
            0 if !made.changes.is_empty() => made.changes[random.below(made.changes.len() as u64) as usize].at.0,
            1 if !made.samples.is_empty() => *made.samples.keys().nth(random.below(made.samples.len() as u64) as usize).unwrap(),
            2 => first() + random.between(-1, DAYS + 2) * DAY_US,
            _ => first() + random.between(0, DAYS * DAY_US + HOUR_US),
        }
    };
    let (one, other) = (instant(), instant());
    Window::of(one.min(other), one.max(other) + 1)
}

/// What the pure rules say, by machine and by region.
struct Expected {
    availability: BTreeMap<(usize, u32), AvailabilityFigures>,
    provisioning: BTreeMap<(usize, u32), ProvisioningFigures>,
}

fn expected(fleet: &[Made], window: Window) -> Expected {
    let mut expected = Expected { availability: BTreeMap::new(), provisioning: BTreeMap::new() };
    let known = Window { start: window.start, end: window.end.min(now()) };
    for (number, made) in fleet.iter().enumerate() {
        let timeline = Timeline::new(made.changes.clone());
        let spans = known_spans(&timeline, made.touched(), known.end);
        for piece in availability(&spans, &made.gaps(known.end.0), known) {
            expected.availability.entry((number, timeline.place_at(piece.at).region_id)).or_default().merge(&piece.figures);
        }
        for step in steps(&timeline, window) {
            expected.provisioning.entry((number, timeline.place_at(step.at).region_id)).or_default().add(step);
        }
    }
    expected
}

/// Asks about one window and compares.
async fn ask(random: &mut Random, store: &Store, fleet: &[Made], seed: u64) {
    let reader = Reader::new(store.clone());
    let reading = reader.begin().await.unwrap();
    let (mut vms, mut regions) = (BTreeMap::new(), BTreeMap::from([(0, 0)]));
    for number in 0..fleet.len() {
        let found = reading.snapshot.name_ids(NameDimension::Vm, &[format!("m{number}")]).await.unwrap();
        vms.extend(found.into_iter().map(|id| (id, number)));
    }
    for (number, region) in (1..).zip(REGIONS) {
        let found = reading.snapshot.name_ids(NameDimension::Region, &[region.to_owned()]).await.unwrap();
        regions.extend(found.into_iter().map(|id| (id, number)));
    }
    let few = random.chance(30);
    let mut filter = Filter::default();
    if few {
        filter.columns.insert(KeyColumn::Vm as usize, vms.keys().copied().take(2).collect());
    }
    let counts = |number: usize| !few || vms.iter().take(2).any(|(_, named)| *named == number);
    let asked = LifeQuestion { window: window(random, fleet), by: vec![Dimension::Vm, Dimension::Region] };
    let mut expected = expected(fleet, asked.window);
    expected.availability.retain(|key, _| counts(key.0));
    expected.provisioning.retain(|key, _| counts(key.0));

    let answer = reader.availability_breakdown(&reading, &asked, &filter).await.unwrap();
    let got: BTreeMap<_, _> = answer.rows.iter().map(|(key, figures)| ((vms[&key.ids[0]], regions[&key.ids[1]]), *figures)).collect();
    assert_eq!(got, expected.availability, "seed {seed}, {:?}", asked.window);
    let mut total = AvailabilityFigures::default();
    got.values().for_each(|figures| total.merge(figures));
    assert_eq!(answer.total, total);
    assert_eq!((answer.row_count, answer.rows.len()), (got.len(), got.len()));

    let answer = reader.provisioning_breakdown(&reading, &asked, &filter).await.unwrap();
    let got: BTreeMap<_, _> = answer.rows.into_iter().map(|(key, figures)| ((vms[&key.ids[0]], regions[&key.ids[1]]), figures)).collect();
    assert_eq!(got, expected.provisioning, "seed {seed}, {:?}", asked.window);
}

async fn case(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = Arc::new(FixedClock::at(now()));
    let store = database.open(Arc::clone(&clock) as _).await;
    let fleet: Vec<Made> = (0..MACHINES).map(|number| machine(&mut random, number)).collect();
    let mut sent: Vec<Value> = fleet.iter().enumerate().flat_map(|(number, made)| lines(&format!("m{number}"), made)).collect();
    random.shuffle(&mut sent);
    write(&store, &sent).await;
    for question in 0..QUESTIONS {
        if question == QUESTIONS / 2 {
            Compactor::new(store.clone()).run_to_end(clock.now()).await.unwrap();
        }
        ask(&mut random, &store, &fleet, seed).await;
    }
    store.close().await;
}

#[tokio::test]
async fn the_database_says_what_the_rules_say_on_sqlite() {
    for seed in 0..CASES {
        case(&Database::sqlite("machine_lives", seed).await.unwrap(), seed).await;
    }
}

#[tokio::test]
async fn the_database_says_what_the_rules_say_on_postgres() {
    for seed in 100..100 + CASES {
        let Some(database) = Database::postgres("machine_lives", seed).await else { return };
        let database = Arc::new(database);
        let running = Arc::clone(&database);
        // A failure must not leave the database behind.
        let outcome = tokio::spawn(async move { case(&running, seed).await }).await;
        database.remove().await;
        outcome.unwrap();
    }
}
