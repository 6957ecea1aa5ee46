//! The newest sample of each machine and GPU, whatever the order of arrival and however many write at once; on both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/random.rs"]
#[expect(dead_code, reason = "shared with another test")]
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::{NameDimension, NamePage, Store};
use plimsoll_domain::utilization::fill_latest_samples;
use plimsoll_entity::value::time::{HOUR_US, Instant};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use database::Database;
use random::Random;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);
const MACHINES: u64 = 7;

/// What is known of the newest sample of a machine (gpu none) or GPU: instant, and a measure or name of it.
type Newest = BTreeMap<(String, Option<u16>), (i64, Option<f64>, Option<String>)>;

/// Samples of a few machines over three days, in no order, some of them twice; of the last machine only GPUs send any.
fn samples(random: &mut Random, numbers: std::ops::Range<i64>) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    for number in numbers {
        let (vm, at) = (random.below(MACHINES), Instant(NOW.0 - random.below(72) as i64 * HOUR_US - number));
        let (name, at) = (format!("vm {vm}"), at.to_rfc3339());
        let ratio = number as f64 / 1_000_000.0;
        lines.push(if vm == MACHINES - 1 || random.chance(50) {
            let called = random.chance(50).then(|| format!("GPU of {number}"));
            json!({"type": "gpuSample", "vm": name, "gpu": random.below(3), "at": at, "utilizationRatio": ratio, "name": called})
        } else {
            let ratio = random.chance(80).then_some(ratio);
            json!({"type": "vmSample", "vm": name, "at": at, "intervalSeconds": 5, "cpuRatio": ratio, "networkSentBytes": number})
        });
        if random.chance(10) {
            lines.push(lines[random.below(lines.len() as u64) as usize].clone());
        }
    }
    lines
}

fn newest_of(lines: &[Value]) -> Newest {
    let mut newest = Newest::new();
    for line in lines {
        let at = Instant::parse(line["at"].as_str().unwrap()).unwrap().0;
        let gpu = line["gpu"].as_u64().map(|gpu| gpu as u16);
        let ratio = if gpu.is_some() { &line["utilizationRatio"] } else { &line["cpuRatio"] }.as_f64();
        let told = (at, ratio, line["name"].as_str().map(str::to_owned));
        let known = newest.entry((line["vm"].as_str().unwrap().to_owned(), gpu)).or_insert_with(|| told.clone());
        if known.0 < at {
            *known = told;
        }
    }
    newest
}

async fn newest_in(store: &Store) -> Newest {
    let snapshot = store.snapshot().await.unwrap();
    let names = snapshot.name_page(NameDimension::Vm, &NamePage { limit: 100, ..NamePage::default() }).await.unwrap();
    let name = |id: u32| names.iter().find(|row| row.id == id).unwrap().name.clone();
    let machines = snapshot.latest_sample_list(None).await.unwrap();
    assert!(machines.is_sorted_by_key(|sample| sample.vm_id));
    assert!(machines.iter().all(|sample| sample.interval_seconds == 5.0 && sample.amounts[1].is_some()));
    let gpus = snapshot.latest_gpu_sample_list(None).await.unwrap();
    assert!(gpus.is_sorted_by_key(|latest| (latest.sample.vm_id, latest.gpu)));
    // Asked for by machine they are the same.
    let mut ids: Vec<u32> = names.iter().rev().map(|row| row.id).collect();
    ids.push(1_000_000);
    assert_eq!(snapshot.latest_sample_list(Some(&ids)).await.unwrap(), machines);
    assert_eq!(snapshot.latest_gpu_sample_list(Some(&ids)).await.unwrap(), gpus);
    assert!(snapshot.latest_sample_list(Some(&[])).await.unwrap().is_empty());
    let by_gpus_alone: Vec<(u32, Instant)> = snapshot.latest_gpu_only_list().await.unwrap();
    let alone: Vec<u32> = ids.iter().copied().filter(|id| gpus.iter().any(|latest| latest.sample.vm_id == *id)).collect();
    let alone = alone.into_iter().filter(|id| machines.iter().all(|sample| sample.vm_id != *id)).collect::<Vec<_>>();
    assert_eq!(by_gpus_alone.iter().map(|(vm, _)| *vm).collect::<Vec<_>>(), alone);
    let of_gpus = gpus
        .into_iter()
        .map(|latest| ((name(latest.sample.vm_id), Some(latest.gpu)), (latest.sample.at.0, latest.sample.utilization_ratio, latest.name)));
    machines.into_iter().map(|sample| ((name(sample.vm_id), None), (sample.at.0, sample.cpu_ratio, None))).chain(of_gpus).collect()
}

async fn write(handle: WriterHandle, lines: Vec<Value>) {
    let context = ReadContext { now: NOW, strict: true, oldest: None };
    for some in lines.chunks(40) {
        let events = (1..).zip(some.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event));
        let written = handle.write(events.collect(), 0).await.unwrap();
        assert_eq!(written.accepted + written.duplicate, some.len() as u64);
    }
}

fn writer(store: &Store) -> WriterHandle {
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    handle
}

async fn newest_are_kept(database: Database) {
    let clock = Arc::new(FixedClock::at(NOW));
    let store = database.open(Arc::clone(&clock) as _).await;
    // PostgreSQL has several processes that write.
    let mut stores = vec![store.clone()];
    if matches!(database, Database::Postgres { .. }) {
        stores.extend([database.open(Arc::clone(&clock) as _).await, database.open(Arc::clone(&clock) as _).await]);
    }
    let mut random = Random::new(5);
    let mut lines = samples(&mut random, 1..2_000);
    let mut writing = JoinSet::new();
    for (number, part) in lines.chunks(lines.len().div_ceil(6)).enumerate() {
        writing.spawn(write(writer(&stores[number % stores.len()]), part.to_vec()));
    }
    writing.join_all().await;
    assert_eq!(newest_in(&store).await, newest_of(&lines));
    assert_eq!(newest_of(&lines).len() as u64, MACHINES - 1 + MACHINES * 3);

    // As an upgrade finds it: none is kept, and more come while two processes fill in.
    let mut tx = store.begin_write().await.unwrap();
    for sql in ["DELETE FROM vm_latest", "DELETE FROM gpu_latest", "INSERT INTO counter (name, value) VALUES ('latest_samples_until', 0)"] {
        tx.execute(sql, &[]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let more: Vec<Value> = samples(&mut random, 2_000..4_000);
    let last = stores.last().unwrap();
    let (first, second, ()) =
        tokio::join!(fill_latest_samples(&store, usize::MAX), fill_latest_samples(last, usize::MAX), write(writer(last), more.clone()));
    assert!(first.unwrap() + second.unwrap() >= 3, "three hours at least");
    lines.extend(more);
    assert_eq!(newest_in(&store).await, newest_of(&lines));
    assert_eq!(fill_latest_samples(&store, usize::MAX).await.unwrap(), 0);
    for store in stores {
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_samples_are_kept_on_sqlite() {
    newest_are_kept(Database::sqlite("newest_samples_are_kept_on_sqlite", 0).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_samples_are_kept_on_postgres() {
    let Some(database) = Database::postgres("newest_samples_are_kept_on_postgres", 130).await else { return };
    newest_are_kept(database).await;
}
