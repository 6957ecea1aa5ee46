//! Executions over HTTP, 1,000 lines a request, 4 connections, durable before the answer, against bare inserts into the same
//! table with the same durability.

use std::sync::Arc;
use std::time::Instant;

use plimsoll_domain::clock::SystemClock;
use plimsoll_domain::store::{ColumnData, OR_IGNORE, Rows, Store};
use plimsoll_tests::load::{Execution, Load};
use plimsoll_tests::process::memory_mib;
use plimsoll_tests::sender::{LINES, send};
use plimsoll_tests::{Database, Server};

use crate::{SEED, START, databases};

/// Executions of one measurement.
const EXECUTIONS: u64 = 300_000;
/// The ratio that is asked for.
const RATIO_WANTED: f64 = 1.0 / 3.0;

fn columns(rows: &[Execution]) -> Rows {
    let ints = |value: &dyn Fn(&Execution) -> i64| ColumnData::Ints(rows.iter().map(|row| Some(value(row))).collect());
    let maybe = |value: &dyn Fn(&Execution) -> Option<i64>| ColumnData::Ints(rows.iter().map(value).collect());
    let floats = |value: &dyn Fn(&Execution) -> Option<i64>| {
        ColumnData::Floats(rows.iter().map(|row| value(row).map(|us| us as f64 / 1_000.0)).collect())
    };
    let ids = || ColumnData::Uuids(rows.iter().map(|row| Some(row.id)).collect());
    let none = || ColumnData::Texts(vec![None; rows.len()]);
    Rows {
        table: "execution",
        count: rows.len(),
        columns: vec![
            ("finished_at", ints(&|row| row.finished_at.0)),
            ("id", ids()),
            ("started_at", ints(&|row| row.started_at.0)),
            ("queued_at", ints(&|row| row.queued_at.0)),
            ("job_key", ids()),
            ("job", none()),
            ("attempt", ints(&|_| 1)),
            ("combination_id", ints(&|row| row.combination as i64 + 1)),
            ("application_id", ints(&|row| row.application as i64 + 1)),
            ("user_id", ints(&|row| row.user as i64 + 1)),
            ("department_id", ints(&|row| row.user as i64 % 8 + 1)),
            ("project_id", ints(&|row| row.user as i64 % 40 + 1)),
            ("vm_id", ints(&|row| row.vm as i64 + 1)),
            ("gpus", ColumnData::Bytes(rows.iter().map(|row| Some(vec![row.gpu as u8])).collect())),
            ("outcome", ints(&|row| i64::from(row.outcome.code()))),
            ("error_type_id", maybe(&|row| row.error_type.map(|error| error as i64 + 1))),
            ("error_message", none()),
            ("checkpoint_load_ms", floats(&|row| Some(row.checkpoint_load_us))),
            ("model_init_ms", floats(&|row| Some(row.model_init_us))),
            ("inference_ms", floats(&|row| row.inference_us)),
            ("input_bytes", ints(&|row| row.input_bytes)),
            ("output_bytes", maybe(&|row| row.output_bytes)),
            ("gpu_memory_peak_bytes", ints(&|row| row.gpu_memory_peak_bytes)),
        ],
    }
}

/// Rows a second of bare inserts on SQLite: a prepared statement, 10,000 rows a transaction.
async fn bare_sqlite(database: &Database) -> f64 {
    let store = Store::open(&database.url(), Arc::new(SystemClock)).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    drop(store);
    let path = database.url().trim_start_matches("sqlite://").split('?').next().unwrap().to_owned();
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8000; PRAGMA cache_size=-32768")
        .unwrap();
    let load: Vec<Execution> = Load::of(SEED, EXECUTIONS, START).collect();
    let names: Vec<&str> = columns(&load[..1]).columns.iter().map(|(name, _)| *name).collect();
    let sql = format!("INSERT INTO execution ({}) VALUES ({})", names.join(", "), vec!["?"; names.len()].join(", "));
    let started = Instant::now();
    for chunk in load.chunks(10_000) {
        let rows = columns(chunk);
        let transaction = connection.transaction().unwrap();
        {
            let mut statement = transaction.prepare_cached(&sql).unwrap();
            for at in 0..rows.count {
                for (place, (_, data)) in rows.columns.iter().enumerate() {
                    let place = place + 1;
                    match data {
                        ColumnData::Ints(values) => statement.raw_bind_parameter(place, values[at]),
                        ColumnData::Floats(values) => statement.raw_bind_parameter(place, values[at]),
                        ColumnData::Bools(values) => statement.raw_bind_parameter(place, values[at]),
                        ColumnData::Texts(values) => statement.raw_bind_parameter(place, values[at].as_deref()),
                        ColumnData::Uuids(values) => statement.raw_bind_parameter(place, values[at].map(|id| *id.as_bytes())),
                        ColumnData::Bytes(values) => statement.raw_bind_parameter(place, values[at].as_deref()),
                    }
                    .unwrap();
                }
                statement.raw_execute().unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    EXECUTIONS as f64 / started.elapsed().as_secs_f64()
}

/// Rows a second of bare inserts on PostgreSQL: `INSERT … SELECT FROM UNNEST … ON CONFLICT`, 1,000 rows a statement and transaction.
async fn bare_postgres(database: &Database) -> f64 {
    let store = Store::open(&database.url(), Arc::new(SystemClock)).await.unwrap();
    store.migrate().await.unwrap();
    let mut tx = store.begin_write().await.unwrap();
    tx.ensure_partition("execution", "all", START.0 - 1, START.0 + 40 * 86_400_000_000).await.unwrap();
    tx.commit().await.unwrap();
    let load: Vec<Execution> = Load::of(SEED, EXECUTIONS, START).collect();
    let started = Instant::now();
    for chunk in load.chunks(LINES) {
        let mut tx = store.begin_write().await.unwrap();
        tx.insert(&columns(chunk), OR_IGNORE).await.unwrap();
        tx.commit().await.unwrap();
    }
    let rate = EXECUTIONS as f64 / started.elapsed().as_secs_f64();
    store.close().await;
    rate
}

/// Measures both databases.
pub async fn run() {
    for (name, bare_database) in databases("bench_bare").await {
        let bare = if name == "SQLite" { bare_sqlite(&bare_database).await } else { bare_postgres(&bare_database).await };
        bare_database.remove().await;
        let Some((_, database)) = databases("bench_ingest").await.into_iter().find(|(kind, _)| *kind == name) else { continue };
        let server = Server::start(&database);
        let rate = EXECUTIONS as f64 / send(&server, Load::of(SEED, EXECUTIONS, START)).await;
        let (peak_mib, _) = memory_mib(server.pid());
        println!(
            "ingest {name}: {rate:.0} executions/s over HTTP, bare inserts {bare:.0}/s: ratio {:.2} (wanted {RATIO_WANTED:.2}); peak memory {peak_mib:.0} MiB (wanted 200)",
            rate / bare
        );
        server.stop();
        database.remove().await;
    }
}
