//! The library of `fixtures/nvml.c`, and a machine whose GPUs it tells about: what the machine's collector yields tick by tick,
//! and what is said in the log. The time is the test's.

use std::fs;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_collectors::backlog::Backlog;
use plimsoll_collectors::clock::{Clock, FixedClock};
use plimsoll_collectors::gpu::GpuCollector;
use plimsoll_collectors::gpu::nvml::NvmlDriver;
use plimsoll_collectors::interval::Interval;
use plimsoll_collectors::runner::Runner;
use plimsoll_collectors::sink::print::PrintSink;
use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use crate::contract;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nvml.c");

/// A library of its own, which says what its script has.
#[derive(Debug)]
pub struct FakeNvml {
    pub path: PathBuf,
}

impl FakeNvml {
    /// Compiles the library; the linker that built this test is there as a C compiler too.
    pub fn compile(dir: &Path, script: &str) -> Self {
        let path = dir.join("libnvidia-ml.so.1");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&path).args([SOURCE, "-ldl"]).status();
        assert!(compiled.unwrap().success());
        let fake = Self { path };
        fake.says(script);
        fake
    }

    /// From now on it says this, and what it says of its own otherwise.
    pub fn says(&self, script: &str) {
        fs::write(self.beside(".script"), script.lines().map(|line| format!("{}\n", line.trim())).collect::<String>()).unwrap();
    }

    /// How often it was started, or could not be.
    pub fn starts(&self) -> usize {
        let calls = fs::read_to_string(self.beside(".calls")).unwrap();
        let mut is_running = false;
        for call in calls.lines().filter(|call| *call != "failure") {
            assert_ne!(is_running, call == "start", "one session at a time: {calls}");
            is_running = !is_running;
        }
        calls.lines().filter(|call| *call != "end").count()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

/// Lines of the wire or of the log, until they are taken.
#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> String {
        String::from_utf8(mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A machine that is sampled each second.
pub struct Machine {
    pub nvml: FakeNvml,
    runner: Runner<PrintSink<Buffer>>,
    clock: FixedClock,
    wire: Buffer,
    log: Buffer,
    _subscriber: DefaultGuard,
    _dir: tempfile::TempDir,
}

impl Machine {
    pub fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nvml = FakeNvml::compile(dir.path(), script);
        let (wire, log) = (Buffer::default(), Buffer::default());
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(move || written.clone());
        let subscriber = tracing::subscriber::set_default(subscriber.finish());
        let driver = NvmlDriver::load_from(Some(nvml.path.clone().into())).unwrap();
        let collector = GpuCollector::new("gpu-a-01".into(), driver);
        let clock = FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap());
        let unused = Arc::new(FixedClock::at(clock.now().at));
        let interval = Interval::from_seconds(1).unwrap();
        let runner = Runner::new(unused, interval, vec![Box::new(collector)], Backlog::in_memory(), PrintSink(wire.clone()));
        Self { nvml, runner, clock, wire, log, _subscriber: subscriber, _dir: dir }
    }

    /// The samples of the next second.
    pub async fn tick(&mut self) -> Vec<Value> {
        self.clock.advance(Duration::from_secs(1));
        self.runner.run_once(self.clock.now()).await;
        self.wire.take().lines().map(contract::check).collect()
    }

    /// Ticks for so long, and takes the samples of the last second.
    pub async fn ticks(&mut self, seconds: usize) -> Vec<Value> {
        for _ in 1..seconds {
            self.tick().await;
        }
        self.tick().await
    }

    /// What has been said since this was asked last.
    pub fn said(&self) -> Vec<String> {
        self.log.take().lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// The library of a machine of three GPUs: the first tells all, the second neither utilization nor power, the third is lost.
pub fn three_gpus(dir: &Path) -> PathBuf {
    FakeNvml::compile(dir, "count =3\n1.utilization 3\n1.power 3\n2.handle 15").path
}
