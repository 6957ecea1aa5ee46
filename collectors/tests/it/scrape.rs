//! Endpoints that answer and endpoints that do everything else, scraped by the collector and by the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use plimsoll_collectors::clock::{Clock, FixedClock};
use plimsoll_collectors::collector::Collector;
use plimsoll_collectors::gpu::GpuCollector;
use plimsoll_collectors::gpu::recorded::RecordedGpus;
use plimsoll_collectors::interval::Interval;
use plimsoll_collectors::prometheus::{PrometheusCollector, TIMEOUT_MAX};
use plimsoll_collectors::reading::{GpuSample, Reading};

use crate::agent::{printed, run};
use crate::exporter::Exporter;
use crate::fake_nvml::three_gpus;
use crate::server::free_addr;

const DCGM: &str = include_str!("../fixtures/dcgm.prom");
const TRITON: &str = include_str!("../fixtures/triton.prom");
const VLLM: &str = include_str!("../fixtures/vllm-v1.prom");
const RECORDING: &str = include_str!("../fixtures/gpus.csv");
const UUIDS: [&str; 2] = ["GPU-5a1d2c3b-0001-4f6e-9b1a-7c2e4d5f6a01", "GPU-5a1d2c3b-0002-4f6e-9b1a-7c2e4d5f6a02"];
/// What the whole of a round may take, on a machine that has other things to do as well.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// Scrapes at an interval that leaves each endpoint all its time.
fn collector(urls: &[String]) -> PrometheusCollector {
    rustls::crypto::ring::default_provider().install_default().ok();
    let endpoints = urls.iter().map(|url| url.parse().unwrap()).collect();
    PrometheusCollector::new("gpu-a-01".into(), Interval::from_seconds(300).unwrap(), endpoints).unwrap()
}

/// One tick of `collectors`, in their order.
async fn tick<C: Collector + 'static>(mut collectors: Vec<C>) -> (Vec<C>, Vec<Reading>) {
    let now = FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap()).now();
    let ticking = tokio::task::spawn_blocking(move || {
        let mut readings = Vec::new();
        collectors.iter_mut().for_each(|collector| collector.collect(now, &mut readings).unwrap());
        (collectors, readings)
    });
    ticking.await.unwrap()
}

fn gpus(readings: &[Reading]) -> Vec<&GpuSample> {
    let mut gpus = Vec::new();
    for reading in readings {
        if let Reading::GpuSample(sample) = reading {
            gpus.push(sample);
        }
    }
    gpus
}

#[tokio::test]
async fn every_misbehaving_endpoint_costs_its_own_readings_only() {
    let exporter = Exporter::start(&[]).await;
    let bad = [
        "/hangs",
        "/trickles",
        "/redirects",
        "/fails",
        "/is-large",
        "/is-a-bomb",
        "/is-no-gzip",
        "/is-brotli",
        "/is-html",
        "/is-torn",
        "/ends-early",
        "/is-not-there",
    ];
    let refused = format!("http://{}/metrics", free_addr().await);
    let urls: Vec<String> = bad.iter().map(|path| exporter.url(path)).chain([refused, exporter.url("/is-gzip")]).collect();
    let started = Instant::now();
    let (_, readings) = tick(vec![collector(&urls)]).await;
    let elapsed = started.elapsed();
    assert!((TIMEOUT_MAX..ROUND_MAX).contains(&elapsed), "all at once: {elapsed:?}");
    assert_eq!(readings.len(), 2, "{readings:?}");
    assert_eq!(gpus(&readings).iter().map(|gpu| gpu.uuid.as_deref()).collect::<Vec<_>>(), UUIDS.map(Some));
    assert!(bad.iter().all(|path| exporter.requests(path) == 1), "each was asked once");
    assert_eq!(exporter.requests("/elsewhere"), 0, "redirects are not followed");
}

#[tokio::test]
async fn one_misbehaving_endpoint_alone_yields_nothing() {
    let exporter = Exporter::start(&[]).await;
    for path in ["/fails", "/redirects", "/is-large", "/is-a-bomb", "/is-no-gzip", "/is-brotli", "/is-html", "/is-torn", "/ends-early"] {
        let (_, readings) = tick(vec![collector(&[exporter.url(path)])]).await;
        assert_eq!(readings, [], "{path}");
    }
}

#[tokio::test]
async fn an_endpoint_that_goes_and_comes_back_leaves_a_gap() {
    let exporter = Exporter::start(&[("/metrics", DCGM)]).await;
    let collectors = vec![collector(&[exporter.url("/metrics")])];
    let (collectors, first) = tick(collectors).await;
    exporter.set_page("/metrics", None);
    let (collectors, second) = tick(collectors).await;
    exporter.set_page("/metrics", Some(include_str!("../fixtures/dcgm-torn.prom")));
    let (collectors, third) = tick(collectors).await;
    exporter.set_page("/metrics", Some(DCGM));
    let (_, fourth) = tick(collectors).await;
    assert_eq!((first.len(), second.len(), third.len()), (2, 0, 2));
    assert_eq!(fourth, first);
    let torn: Vec<_> = gpus(&third).iter().map(|gpu| (gpu.utilization_ratio, gpu.memory_used_bytes)).collect();
    assert_eq!(torn, [(Some(0.97), None), (Some(0.0), None)], "604 is not what 60444 was cut to");
}

#[tokio::test]
async fn a_recording_stands_before_the_endpoints() {
    let exporter = Exporter::start(&[("/dcgm", DCGM), ("/triton", TRITON)]).await;
    let recorded = GpuCollector::new("gpu-a-01".into(), RecordedGpus::parse(RECORDING).unwrap());
    let collectors: Vec<Box<dyn Collector>> =
        vec![Box::new(recorded), Box::new(collector(&[exporter.url("/dcgm"), exporter.url("/triton")]))];
    let now = FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap()).now();
    let readings = tokio::task::spawn_blocking(move || {
        let mut readings = Vec::new();
        for mut collector in collectors {
            collector.collect(now, &mut readings).unwrap();
        }
        readings
    });
    let readings = readings.await.unwrap();
    // The recorded GPUs have the same indices and other uuids: what is scraped is left out.
    assert_eq!(gpus(&readings).len(), 2);
    assert!(gpus(&readings).iter().all(|gpu| !UUIDS.contains(&gpu.uuid.as_deref().unwrap())), "{readings:?}");
}

/// Two ticks of an agent that scrapes `urls`, in the background since the pages come from this thread.
async fn agent(urls: Vec<String>, gpus: Option<PathBuf>) -> Output {
    let run = move || {
        let mut flags = vec!["--once", "--print", "--interval", "8s", "--vm", "gpu-a-01"];
        urls.iter().for_each(|url| flags.extend(["--scrape", url]));
        match &gpus {
            Some(library) => run(&flags, &[("PLIMSOLL_NVML_LIBRARY", library)]),
            None => run(&[flags.as_slice(), &["--no-gpu"]].concat(), &[]),
        }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn the_agent_scrapes_gpus_without_a_driver() {
    let exporter = Exporter::start(&[("/dcgm", DCGM), ("/triton", TRITON), ("/vllm", VLLM)]).await;
    let urls = ["/vllm", "/triton", "/dcgm", "/fails", "/hangs"].map(|path| exporter.url(path)).to_vec();
    let output = agent(urls, None).await;
    let events = printed(&output);
    assert_eq!(events["vmSample"].len(), 2, "the machine has one sample a tick");
    assert_eq!(events["gpuSample"].len(), 4, "two ticks of two gpus");
    for tick in [0, 1] {
        assert_eq!(events["gpuSample"][2 * tick]["at"], events["vmSample"][tick]["at"]);
    }
    let [first, second, ..] = events["gpuSample"].as_slice() else { panic!("{events:?}") };
    assert_eq!((&first["gpu"], &first["uuid"]), (&0.into(), &UUIDS[0].into()), "dcgm-exporter tells triton's index");
    assert_eq!((&first["utilizationRatio"], &first["powerWatts"]), (&0.91.into(), &498.012.into()), "triton comes first");
    assert_eq!((&first["temperatureCelsius"], &first["name"]), (&61.0.into(), &"NVIDIA H100 80GB HBM3".into()));
    assert_eq!((&second["gpu"], &second["utilizationRatio"]), (&1.into(), &0.0.into()));
    assert!(second.get("powerWatts").is_none() && second.get("memoryTotalBytes").is_none(), "blank: {second}");
    assert!(events["vmSample"][1]["memoryTotalBytes"].as_u64() != Some(2_164_094_992_384), "the machine's own stands");

    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("endpoint cannot be scraped").count(), 2, "once per change: {log}");
    assert!(log.contains("500 Internal Server Error") && log.contains("did not answer in time"), "{log}");
    assert_eq!(log.matches("vllm tells none").count(), 1, "{log}");
}

#[tokio::test]
async fn nvml_wins_over_an_exporter() {
    let dir = tempfile::tempdir().unwrap();
    let page = DCGM.replace(UUIDS[0], "GPU-0001").replace(UUIDS[1], "GPU-0002");
    let exporter = Exporter::start(&[("/dcgm", &page)]).await;
    let output = agent(vec![exporter.url("/dcgm")], Some(three_gpus(dir.path()))).await;
    let events = printed(&output);
    // NVML counts GPU-0001 as 1 and the exporter as 0, so that its index for GPU-0002, which is lost to NVML, means nothing.
    assert_eq!(events["gpuSample"].len(), 4, "two ticks of two gpus: {events:?}");
    let second = &events["gpuSample"][1];
    assert_eq!((&second["gpu"], &second["uuid"], &second["name"]), (&1.into(), &"GPU-0001".into(), &"Fake GPU 1".into()));
    assert_eq!((&second["temperatureCelsius"], &second["memoryUsedBytes"]), (&62.0.into(), &3_000_000_000_u64.into()), "nvml's own");
    assert_eq!((&second["utilizationRatio"], &second["powerWatts"]), (&0.9123.into(), &512.345.into()), "what nvml does not tell");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("nothing tells the index of gpu GPU-0002").count(), 1, "once per change: {log}");
}

#[test]
fn the_environment_and_wrong_addresses() {
    let refused = |flags: &[&str], env: &[(&str, &Path)], said: &str| {
        let output = run(&[&["--once", "--print", "--interval", "1s", "--no-gpu"], flags].concat(), env);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{stderr}");
    };
    refused(&["--scrape", "file:///proc/stat"], &[], "only http and https can be scraped");
    refused(&[], &[("PLIMSOLL_AGENT_SCRAPE", Path::new("http://127.0.0.1:9/metrics,metrics"))], "not an address");
    let many: Vec<String> = (1..=17).map(|port| format!("http://127.0.0.1:{port}/metrics")).collect();
    refused(&["--scrape", &many.join(",")], &[], "at most 16 endpoints are scraped, not 17");
    let help = String::from_utf8(run(&["--help"], &[]).stdout).unwrap();
    assert!(help.contains("PLIMSOLL_AGENT_SCRAPE") && help.contains("--scrape <URL>"), "{help}");
}

#[test]
fn fixtures_are_pages_that_end() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let pages = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path());
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "prom")) {
        let is_torn = page.file_stem().is_some_and(|stem| stem == "dcgm-torn");
        assert_eq!(fs::read_to_string(&page).unwrap().ends_with('\n'), !is_torn, "{}", page.display());
    }
}
