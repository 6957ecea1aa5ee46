//! What `plimsoll-agent` costs at an interval of one second on a machine of eight GPUs: beside what it may cost, and beside
//! `prometheus-node-exporter` that is scraped every second in the same run.
//!
//! `cargo build --release -p plimsoll-collectors && cargo bench -p plimsoll-tests --bench agent`; an agent that is there is not built
//! again. Environment:
//! `PLIMSOLL_BENCH_SECONDS` (default 60), `PLIMSOLL_BENCH_AGENT` (another binary than `target/release/plimsoll-agent`). The GPUs are
//! those of the collectors' fake NVML library, which needs a C compiler; the exporter is Debian's, and where it is not installed that
//! is said. Processor time counts, so that other work on the machine disturbs little. Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod sink;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use plimsoll_tests::process::{cpu_seconds, memory_mib};
use sink::Sink;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// Between the start and the measurement: connections are made, names known, buffers grown.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the exporter may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);
/// What the agent may cost: percent of a core, MiB of memory.
const CPU_PERCENT_WANTED: f64 = 1.0;
const MEMORY_MIB_WANTED: f64 = 20.0;
/// GPUs of the fake library, and lines that a tick has with them.
const GPUS: u64 = 8;
const LINES_PER_TICK: u64 = GPUS + 1;
const NVML_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../collectors/tests/fixtures/nvml.c");
const EXPORTER: &str = "prometheus-node-exporter";

/// What a process cost while it was watched.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_percent: f64,
    memory_mib: f64,
    peak_mib: f64,
}

/// A process that is watched, and its processor time when that began.
struct Watched {
    child: Child,
    began_at: Instant,
    cpu_seconds: f64,
}

impl Watched {
    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    fn begin(&mut self) {
        (self.began_at, self.cpu_seconds) = (Instant::now(), cpu_seconds(self.pid()));
    }

    fn cost(&self) -> Cost {
        let cpu_percent = (cpu_seconds(self.pid()) - self.cpu_seconds) / self.began_at.elapsed().as_secs_f64() * 100.0;
        let (peak_mib, memory_mib) = memory_mib(self.pid());
        Cost { cpu_percent, memory_mib, peak_mib }
    }
}

fn spawn(command: &mut Command) -> std::io::Result<Watched> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    Ok(Watched { child, began_at: Instant::now(), cpu_seconds: 0.0 })
}

/// The released binary, built once if it is not there; that of another profile would be measured for nothing.
async fn agent_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("PLIMSOLL_BENCH_AGENT") {
        return named.into();
    }
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().nth(3).expect("target/PROFILE/deps").join("release/plimsoll-agent");
    if !binary.exists() {
        let build = ["build", "--release", "-p", "plimsoll-collectors", "--bin", "plimsoll-agent"];
        assert!(Command::new(env!("CARGO")).args(build).status().await.expect("cargo").success(), "the agent cannot be built");
    }
    binary
}

async fn compile_nvml(folder: &Path) -> PathBuf {
    let library = folder.join("libnvidia-ml.so.1");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).args([NVML_SOURCE, "-ldl"]).status().await;
    assert!(compiled.expect("a C compiler").success());
    library
}

async fn start_agent(sink: &Sink, library: &Path, spool: &Path) -> Watched {
    let mut command = Command::new(agent_binary().await);
    command.args(["--url", &sink.url(), "--token", "token", "--vm", "gpu-a-01", "--interval", "1s", "--spool-dir"]).arg(spool);
    spawn(command.env("PLIMSOLL_NVML_LIBRARY", library)).unwrap()
}

/// Starts the exporter as its package would, on a port of its own; `None` where it is not installed.
async fn start_exporter() -> Option<(Watched, String)> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exporter = spawn(Command::new(EXPORTER).arg(format!("--web.listen-address={address}"))).ok()?;
    let page = format!("http://{address}/metrics");
    let answers = async {
        while reqwest::get(&page).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(START_MAX, answers).await.expect("the exporter answers");
    Some((exporter, page))
}

/// Asks for the page every second until it is stopped.
async fn scrape(page: String) {
    let client = reqwest::Client::new();
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let page = client.get(&page).send().await.unwrap().bytes().await.unwrap();
        assert!(page.windows(9).any(|word| word == b"node_load"), "a page of the exporter's");
    }
}

fn say(agent: Cost, exporter: Option<Cost>, seconds: u64) {
    let Cost { cpu_percent, memory_mib, peak_mib } = agent;
    println!(
        "agent, interval 1 s, {GPUS} GPUs, {seconds} s: {cpu_percent:.2} % of a core: ratio {:.2} (wanted 1.00 of {CPU_PERCENT_WANTED} %); {memory_mib:.1} MiB, peak {peak_mib:.1} MiB: ratio {:.2} (wanted 1.00 of {MEMORY_MIB_WANTED} MiB)",
        cpu_percent / CPU_PERCENT_WANTED,
        peak_mib / MEMORY_MIB_WANTED,
    );
    let Some(exporter) = exporter else {
        println!("agent beside {EXPORTER}: skipped, it is not installed (apt-get install {EXPORTER})");
        return;
    };
    println!(
        "agent beside {EXPORTER} scraped every second: the exporter {:.2} % of a core, {:.1} MiB, peak {:.1} MiB: the agent's part {:.2} of the processor time, {:.2} of the peak",
        exporter.cpu_percent,
        exporter.memory_mib,
        exporter.peak_mib,
        cpu_percent / exporter.cpu_percent,
        peak_mib / exporter.peak_mib,
    );
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let seconds = std::env::var("PLIMSOLL_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let folder = tempfile::tempdir().unwrap();
    let library = compile_nvml(folder.path()).await;
    let sink = Sink::start().await;
    let mut agent = start_agent(&sink, &library, &folder.path().join("spool")).await;
    let mut exporter = start_exporter().await;
    let scraping = exporter.as_ref().map(|(_, page)| tokio::spawn(scrape(page.clone())));
    sleep(WARM_UP).await;

    let lines_before = sink.lines();
    agent.begin();
    exporter.iter_mut().for_each(|(exporter, _)| exporter.begin());
    sleep(Duration::from_secs(seconds)).await;
    let agent_cost = agent.cost();
    let exporter_cost = exporter.as_ref().map(|(exporter, _)| exporter.cost());
    let lines = sink.lines() - lines_before;

    assert!(scraping.is_none_or(|scraping| !scraping.is_finished()), "the exporter stopped to answer");
    // A tick at either end may lie beyond it.
    assert!(lines + 2 * LINES_PER_TICK >= seconds * LINES_PER_TICK, "only {lines} lines in {seconds} s");
    say(agent_cost, exporter_cost, seconds);
}
