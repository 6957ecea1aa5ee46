//! The benchmark of samples: 1,000 machines with 8 GPUs each, sampled every 5 seconds, as they come in and as a year of them is asked.
//!
//! Ingest, folding and rolling a day up are the product's own code. A year is made of one hour of samples: its cells stand in each hour
//! of a day, the compactor makes that day, and the day's blocks are copied to the other 364.
//! `cargo bench -p plimsoll-tests --bench utilization`, on SQLite, or on the empty database at `PLIMSOLL_BENCH_DATABASE`. Not a test: it
//! fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_domain::cell::builder::BlockBuilder;
use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::cell::part::{Family, Part};
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::demo::random::Random;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::{GpuSampleFact, Grain, Store, VmSampleFact};
use plimsoll_domain::utilization::{OfGpus, utilization_list};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, SECOND_US, Step, Window};

const MACHINES: u32 = 1_000;
const GPUS: u32 = 8;
/// Seconds between two samples.
const INTERVAL_S: i64 = 5;
/// Rounds of samples that are ingested.
const ROUNDS: i64 = 24;
const DAYS: i32 = 365;
/// 2026-03-02T00:00:00Z: what is asked ends here.
const NOW: Instant = Instant(1_772_409_600_000_000);
/// Measurements of one question.
const RUNS: usize = 5;
/// Milliseconds that an answer may take at the median.
const WANTED_MS: f64 = 1_000.0;
/// Samples a second that such a fleet sends.
const SENT_PER_S: f64 = (MACHINES * (1 + GPUS)) as f64 / INTERVAL_S as f64;

fn vm_line(vm: u32, at: Instant, random: &mut Random) -> String {
    let (at, cpu) = (at.to_rfc3339(), random.unit());
    let bytes = (random.unit() * 1e9) as u64;
    format!(
        r#"{{"type":"vmSample","vm":"vm-{vm:04}","at":"{at}","intervalSeconds":5,"cpuRatio":{cpu:.4},"memoryUsedBytes":{bytes},"memoryTotalBytes":68719476736,"diskUsedBytes":{bytes},"diskTotalBytes":1099511627776,"diskBusyRatio":{cpu:.3},"networkReceivedBytes":{bytes},"networkSentBytes":{bytes},"networkErrors":0,"diskReadBytes":{bytes},"diskWrittenBytes":{bytes},"diskReadOps":17,"diskWriteOps":4}}"#
    )
}

fn gpu_line(vm: u32, gpu: u32, at: Instant, random: &mut Random) -> String {
    let (at, ratio) = (at.to_rfc3339(), random.unit());
    let bytes = (random.unit() * 8e10) as u64;
    format!(
        r#"{{"type":"gpuSample","vm":"vm-{vm:04}","gpu":{gpu},"at":"{at}","utilizationRatio":{ratio:.3},"memoryUsedBytes":{bytes},"memoryTotalBytes":85899345920,"temperatureCelsius":{:.1},"powerWatts":{:.1},"name":"NVIDIA H100"}}"#,
        40.0 + 40.0 * ratio,
        80.0 + 600.0 * ratio
    )
}

/// One round of the whole fleet, read as the server reads it.
fn round(at: Instant, random: &mut Random) -> Vec<(u32, Event)> {
    let context = ReadContext { now: NOW, strict: true, oldest: None };
    let lines = (0..MACHINES).flat_map(|vm| {
        let own = vm_line(vm, at, random);
        let gpus: Vec<String> = (0..GPUS).map(|gpu| gpu_line(vm, gpu, at, random)).collect();
        std::iter::once(own).chain(gpus)
    });
    (1..).zip(lines.map(|line| read_line(line.as_bytes(), &context).unwrap().event)).collect()
}

async fn ingest(store: &Store, handle: &WriterHandle) {
    let mut random = Random::topic(5, 1);
    let mut compactor = Compactor::new(store.clone());
    let (mut writing, mut folding, mut slowest) = (0.0, 0.0, 0.0_f64);
    for number in 0..ROUNDS {
        let events = round(Instant(NOW.0 - HOUR_US + number * INTERVAL_S * SECOND_US), &mut random);
        let started = Stopwatch::now();
        let written = handle.write(events, 0).await.unwrap();
        writing += started.elapsed().as_secs_f64();
        assert_eq!(written.accepted, u64::from(MACHINES * (1 + GPUS)));
        // A delta of each family a round: folded when they are 32, or 20 seconds old.
        let started = Stopwatch::now();
        compactor.run_once(Instant(NOW.0 + number * INTERVAL_S * SECOND_US)).await.unwrap();
        folding += started.elapsed().as_secs_f64();
        slowest = slowest.max(started.elapsed().as_secs_f64());
    }
    let samples = (ROUNDS * i64::from(MACHINES * (1 + GPUS))) as f64;
    println!(
        "  ingest: {:.0} samples/s durable; {:.2} of the {SENT_PER_S:.0} that come (wanted below 1)",
        samples / writing,
        SENT_PER_S * writing / samples
    );
    let of_time = folding / (ROUNDS * INTERVAL_S) as f64;
    println!("  folding them: {folding:.2} s for {} s of samples, slowest run {slowest:.2} s; {of_time:.3} of a core", ROUNDS * INTERVAL_S);
    let reading = Reader::new(store.clone());
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let started = Stopwatch::now();
        let reading = reading.begin().await.unwrap();
        let list = utilization_list(&reading, &Filter::default(), None, 1_000, OfGpus::Combinations).await.unwrap();
        assert_eq!(list.len() as u32, MACHINES);
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    println!("  newest samples of {MACHINES} machines and their GPUs: median {:.1} ms", median(&mut times));
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Cells, by part.
type Block = Vec<(Part, Vec<u8>)>;

/// The cells of one hour of samples.
fn hour_blocks(vms: &[u32], random: &mut Random) -> [(Family, Block); 2] {
    let (mut machines, mut gpus) = (BlockBuilder::new(Family::VmSample), BlockBuilder::new(Family::GpuSample));
    for &vm_id in vms {
        let load = random.unit();
        for second in (0..3_600).step_by(INTERVAL_S as usize) {
            let at = Instant(NOW.0 - DAY_US + second * SECOND_US);
            let mut bytes = |most: f64| Some((random.log_normal(most * 0.05, 1.0)).min(most) as i64);
            let levels = [bytes(6e10), Some(68_719_476_736), bytes(9e11), Some(1_099_511_627_776)];
            let amounts = [bytes(5e9), bytes(5e9), Some(0), bytes(5e9), bytes(5e9), bytes(5e4), bytes(5e4)];
            let cpu_ratio = Some((load + 0.3 * random.unit()).min(1.0));
            machines.add(&VmSampleFact {
                at,
                vm_id,
                interval_seconds: 5.0,
                cpu_ratio,
                disk_busy_ratio: Some(random.unit()),
                levels,
                amounts,
            });
            // Of eight GPUs in turn: a sketch hardly grows with the number of samples.
            let ratio = if random.unit() < 0.2 { 0.0 } else { random.unit() };
            let memory_used_bytes = Some((ratio * 8e10) as i64);
            let (temperature_celsius, power_watts) = (Some(40.0 + 40.0 * ratio), Some(80.0 + 600.0 * ratio));
            gpus.add(&GpuSampleFact {
                at,
                vm_id,
                utilization_ratio: Some(ratio),
                memory_used_bytes,
                memory_total_bytes: Some(85_899_345_920),
                temperature_celsius,
                power_watts,
            });
        }
    }
    [(Family::VmSample, machines.finish()), (Family::GpuSample, gpus.finish())]
}

/// A year of cells that ends at [`NOW`].
async fn year(store: &Store, vms: &[u32]) {
    let day = NOW.day() - 1;
    for (family, parts) in hour_blocks(vms, &mut Random::topic(5, 2)) {
        let mut tx = store.lock_blocks(family, day).await.unwrap().begin().await.unwrap();
        for hour in 0..24 {
            tx.cell_replace(family, Grain::Hour, day * 24 + hour, parts.clone()).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let started = Stopwatch::now();
    let done = Compactor::new(store.clone()).run_to_end(NOW).await.unwrap();
    println!("  rolling a day of {MACHINES} machines up: {:.2} s for {} days of a family", started.elapsed().as_secs_f64(), done.days);
    let mut tx = store.begin_write().await.unwrap();
    for before in 1..DAYS {
        let sql = "INSERT INTO cell (family, grain, bucket, part, block) SELECT family, grain, bucket - ?, part, block FROM cell \
             WHERE family IN (4, 5) AND grain = ? AND bucket = ?";
        let values = [i64::from(before), Grain::Day as i64, i64::from(day)].map(plimsoll_domain::store::Value::Int);
        tx.execute(sql, &values).await.unwrap();
    }
    tx.commit().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    for family in [Family::VmSample, Family::GpuSample] {
        let blocks = snapshot.cell_list(family, Grain::Day, day, day, family.parts()).await.unwrap();
        let bytes: usize = blocks.iter().map(|block| block.block.len()).sum();
        println!("  {family:?}: {:.0} bytes a machine and day", bytes as f64 / f64::from(MACHINES));
    }
}

async fn ask(store: &Store) {
    let reader = Reader::new(store.clone());
    let window = Window { start: Instant(NOW.0 - i64::from(DAYS) * DAY_US), end: NOW };
    let every: BTreeSet<Part> = Part::OF_VM_SAMPLES.into_iter().chain(Part::OF_GPU_SAMPLES).collect();
    let some = BTreeSet::from([Part::CpuRatio, Part::GpuRatio]);
    let sums = BTreeSet::from([Part::NetworkReceived, Part::NetworkSent, Part::DiskRead, Part::DiskWritten]);
    for (parts, named) in [(sums, "4 sums"), (some, "2 gauges"), (every, "every figure")] {
        for (step, limit) in [(None, 1_000), (Some(Step::Month), 50), (Some(Step::Day), 50)] {
            let asked = MachineQuestion { window, by: vec![Dimension::Vm], parts: parts.clone(), limit };
            let mut times = Vec::new();
            for _ in 0..RUNS {
                let reading = reader.begin().await.unwrap();
                let started = Stopwatch::now();
                match step {
                    None => assert_eq!(
                        reader.machine_breakdown(&reading, &asked, &Filter::default()).await.unwrap().rows.len() as u32,
                        MACHINES
                    ),
                    Some(step) => {
                        assert_eq!(reader.machine_series(&reading, &asked, &Filter::default(), step).await.unwrap().rows.len(), limit)
                    }
                }
                times.push(started.elapsed().as_secs_f64() * 1_000.0);
            }
            let what = step.map_or("machineBreakdown by VM".to_owned(), |step| format!("machineSeries by VM, {step:?}, limit {limit}"));
            let median = median(&mut times);
            println!(
                "  {DAYS} days, {named}: {what}: median {median:.0} ms; {:.2} of the limit (wanted below 1); memory so far {}",
                median / WANTED_MS,
                memory_peak()
            );
        }
    }
}

/// The most memory that this process has held.
fn memory_peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or_else(|| "unknown".to_owned(), |kib| kib.trim().to_owned())
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let own = format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display());
    let url = std::env::var("PLIMSOLL_BENCH_DATABASE").unwrap_or(own);
    println!("utilization");
    let store = Store::open(&url, Arc::new(FixedClock::at(NOW))).await.unwrap();
    store.migrate().await.unwrap();
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    ingest(&store, &handle).await;
    let samples = store.snapshot().await.unwrap().latest_sample_list(None).await.unwrap();
    year(&store, &samples.iter().map(|sample| sample.vm_id).collect::<Vec<_>>()).await;
    ask(&store).await;
    drop(handle);
    store.close().await;
}
