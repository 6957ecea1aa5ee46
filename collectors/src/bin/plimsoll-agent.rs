//! `plimsoll-agent`: reads the machine that it runs on and reports to a Plimsoll server.
//!
//! Invariants: it says that the machine runs when it starts, and nothing when it ends, since a stopped agent is not a stopped
//! machine; what it could not deliver stays in its spool for its next start. Everything here is flags, signals and the log;
//! the work is the library's.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args, Parser};
use plimsoll_collectors::backlog::Backlog;
use plimsoll_collectors::clock::{Clock, SystemClock};
use plimsoll_collectors::collector::{CollectError, chain};
use plimsoll_collectors::gpu::recorded::{RecordedGpus, RecordingError};
use plimsoll_collectors::interval::Interval;
use plimsoll_collectors::machine::{GpuSource, NameError, ThisMachine, check_name, hostname};
use plimsoll_collectors::prometheus::{Endpoint, ScrapeError};
use plimsoll_collectors::reading::{MachineDescription, PurchaseOption, Reading, VmState, VmStateName, WHOLE_MAX};
use plimsoll_collectors::runner::{RunError, Runner, Totals};
use plimsoll_collectors::sink::Sink;
use plimsoll_collectors::sink::http::{HttpSink, HttpSinkError, Token};
use plimsoll_collectors::sink::print::PrintSink;
use plimsoll_collectors::spool::{MAX_BYTES_DEFAULT, Spool, SpoolError};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Where the spool lies unless a flag or systemd says otherwise.
const SPOOL_DIR_DEFAULT: &str = "/var/lib/plimsoll-agent";
/// systemd tells a service its `StateDirectory=` in this variable.
const STATE_DIRECTORY_VARIABLE: &str = "STATE_DIRECTORY";
/// A collector that hangs keeps the process so long after all else has ended.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

/// Reports what this machine and its GPUs are doing to a Plimsoll server.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-agent", version, group(ArgGroup::new("target").required(true).multiple(true).args(["url", "print"])))]
struct Flags {
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    instance: InstanceFlags,
    /// Sample twice, one interval apart, and end
    #[arg(long)]
    once: bool,
    /// With --once: write the lines to the standard output instead of sending them
    #[arg(long, requires = "once")]
    print: bool,
}

/// Where readings go, and where they wait.
#[derive(Debug, Args)]
struct ServerFlags {
    /// Address of the server, such as `https://plimsoll.example.com`
    #[arg(long, env = "PLIMSOLL_AGENT_URL")]
    url: Option<String>,
    /// Bearer token with the role INGEST
    #[arg(long, env = "PLIMSOLL_AGENT_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    token: Option<String>,
    /// File with the token; it is read for every request, so that it may be rotated
    #[arg(long, env = "PLIMSOLL_AGENT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Directory for what could not be delivered yet [default: $STATE_DIRECTORY or /var/lib/plimsoll-agent]
    #[arg(long, env = "PLIMSOLL_AGENT_SPOOL_DIR")]
    spool_dir: Option<PathBuf>,
    /// Bound of that directory; beyond it the oldest lines are dropped
    #[arg(long, env = "PLIMSOLL_AGENT_SPOOL_MAX_BYTES", default_value_t = MAX_BYTES_DEFAULT)]
    spool_max_bytes: u64,
}

/// What is read, how often, under which name.
#[derive(Debug, Args)]
struct MachineFlags {
    /// Name of this machine [default: its hostname]
    #[arg(long, env = "PLIMSOLL_AGENT_VM", value_parser = parse_name)]
    vm: Option<String>,
    /// Time between two samples, 1s to 300s
    #[arg(long, env = "PLIMSOLL_AGENT_INTERVAL", default_value = "10s")]
    interval: Interval,
    /// Read no GPUs from the driver, and no recorded ones
    #[arg(long, env = "PLIMSOLL_AGENT_NO_GPU", value_parser = FalseyValueParser::new())]
    no_gpu: bool,
    /// Replay GPUs from a file that nvidia-smi wrote (--query-gpu=… --format=csv) instead of reading any
    #[arg(long, env = "PLIMSOLL_AGENT_GPU_RECORDING")]
    gpu_recording: Option<PathBuf>,
    /// Scrape this Prometheus endpoint of this machine as well: dcgm-exporter or Triton; may be given up to 16 times
    ///
    /// GPU figures (utilization, memory, temperature, power) and CPU and memory of the machine are taken where the driver and
    /// the operating system do not tell them: where both do, NVML and the system win. vLLM has no such figures. In the
    /// environment, addresses are separated by commas.
    #[arg(long, env = "PLIMSOLL_AGENT_SCRAPE", value_name = "URL", value_delimiter = ',')]
    scrape: Vec<Endpoint>,
}

/// What only its owner knows of the machine, and corrections of what it seems to be.
#[derive(Debug, Args)]
struct InstanceFlags {
    /// Instance type of this machine, such as p5.48xlarge
    #[arg(long, env = "PLIMSOLL_AGENT_INSTANCE_TYPE", value_parser = parse_name)]
    instance_type: Option<String>,
    /// Who lets it
    #[arg(long, env = "PLIMSOLL_AGENT_PROVIDER", value_parser = parse_name)]
    provider: Option<String>,
    /// Where it stands
    #[arg(long, env = "PLIMSOLL_AGENT_REGION", value_parser = parse_name)]
    region: Option<String>,
    /// How it is bought: ON_DEMAND, SPOT or RESERVED
    #[arg(long, env = "PLIMSOLL_AGENT_PURCHASE_OPTION", value_parser = parse_purchase_option)]
    purchase_option: Option<PurchaseOption>,
    /// vCPUs of the instance type [default: what the machine has]
    #[arg(long, env = "PLIMSOLL_AGENT_V_CPUS", value_parser = clap::value_parser!(u32).range(1..))]
    v_cpus: Option<u32>,
    /// Memory of the instance type [default: what the machine has]
    #[arg(long, env = "PLIMSOLL_AGENT_MEMORY_BYTES", value_parser = clap::value_parser!(u64).range(1..=WHOLE_MAX))]
    memory_bytes: Option<u64>,
    /// GPU model of the instance type [default: what the driver says]
    #[arg(long, env = "PLIMSOLL_AGENT_GPU_MODEL", value_parser = parse_name)]
    gpu_model: Option<String>,
    /// GPUs of the instance type [default: what the driver says]
    #[arg(long, env = "PLIMSOLL_AGENT_GPU_COUNT")]
    gpu_count: Option<u16>,
}

impl InstanceFlags {
    /// The flags, and what was found where they say nothing.
    fn describe(self, found: MachineDescription) -> MachineDescription {
        MachineDescription {
            instance_type: self.instance_type,
            provider: self.provider,
            region: self.region,
            purchase_option: self.purchase_option,
            v_cpus: self.v_cpus.or(found.v_cpus),
            memory_bytes: self.memory_bytes.or(found.memory_bytes),
            gpu_model: self.gpu_model.or(found.gpu_model),
            gpu_count: self.gpu_count.or(found.gpu_count),
        }
    }
}

fn parse_name(text: &str) -> Result<String, NameError> {
    check_name(text).map(|()| text.to_owned())
}

fn parse_purchase_option(text: &str) -> Result<PurchaseOption, String> {
    match text.to_ascii_uppercase().replace('-', "_").as_str() {
        "ON_DEMAND" => Ok(PurchaseOption::OnDemand),
        "SPOT" => Ok(PurchaseOption::Spot),
        "RESERVED" => Ok(PurchaseOption::Reserved),
        _ => Err("not one of ON_DEMAND, SPOT, RESERVED".to_owned()),
    }
}

/// Why the agent ends early.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error("this machine has no name, give it one with --vm")]
    NoName,
    #[error("could not set up the threads")]
    Runtime(#[source] io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
    #[error("could not use the gpu recording")]
    Recording(#[source] RecordingError),
    #[error("could not look at this machine")]
    Machine(#[source] CollectError),
    #[error("could not set up the scraping")]
    Scrape(#[source] ScrapeError),
    #[error("could not set up the delivery")]
    Sink(#[source] HttpSinkError),
    #[error("could not open the spool")]
    Spool(#[source] SpoolError),
    #[error("sampling failed")]
    Run(#[source] RunError),
    #[error("{0} lines could not be delivered")]
    Undelivered(u64),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::builder()
        .with_env_var("PLIMSOLL_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&error), "plimsoll-agent ends");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: Flags) -> Result<(), AgentError> {
    // It fails where there is a provider already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::Runtime)?;
    let outcome = runtime.block_on(report(flags));
    runtime.shutdown_timeout(THREADS_END_MAX);
    outcome
}

async fn report(flags: Flags) -> Result<(), AgentError> {
    let Flags { server, machine, instance, once, print } = flags;
    let interval = machine.interval;
    if print {
        let runner = assemble(machine, instance, Backlog::in_memory(), PrintSink(io::stdout()))?;
        return report_once(runner, interval).await;
    }
    // A single report beside a running agent must not fight for its spool.
    let backlog = if once { Backlog::in_memory() } else { open_backlog(&server)? };
    let sink = open_sink(server)?;
    let runner = assemble(machine, instance, backlog, sink)?;
    if once { report_once(runner, interval).await } else { report_until_stopped(runner).await }
}

/// Opens the machine and announces that it runs.
fn assemble<S: Sink>(flags: MachineFlags, instance: InstanceFlags, backlog: Backlog, sink: S) -> Result<Runner<S>, AgentError> {
    let vm = flags.vm.or_else(hostname).ok_or(AgentError::NoName)?;
    let gpus = match flags.gpu_recording {
        _ if flags.no_gpu => GpuSource::Off,
        Some(path) => GpuSource::Recorded(RecordedGpus::open(&path).map_err(AgentError::Recording)?),
        None => GpuSource::Nvml,
    };
    let mut machine = ThisMachine::open(&vm, flags.interval, gpus).map_err(AgentError::Machine)?;
    machine.scrape(&vm, flags.interval, flags.scrape).map_err(AgentError::Scrape)?;
    let clock = SystemClock::start();
    let description = instance.describe(machine.description);
    tracing::info!(vm, interval_seconds = flags.interval.seconds(), "plimsoll-agent starts");
    let announcement = VmState::new(vm, clock.now().at, VmStateName::Running, description);
    let mut runner = Runner::new(Arc::new(clock), flags.interval, machine.collectors, backlog, sink);
    runner.announce(Reading::VmState(announcement));
    Ok(runner)
}

fn open_sink(flags: ServerFlags) -> Result<HttpSink, AgentError> {
    let token = match (flags.token, flags.token_file) {
        (Some(token), _) => Token::Fixed(token),
        (None, Some(path)) => Token::File(path),
        (None, None) => Token::Absent,
    };
    HttpSink::new(&flags.url.unwrap_or_default(), token).map_err(AgentError::Sink)
}

/// The directory that was asked for must work; the usual one may be missing, as for a user who only tries things out.
fn open_backlog(flags: &ServerFlags) -> Result<Backlog, AgentError> {
    let usual_dir = || std::env::var_os(STATE_DIRECTORY_VARIABLE).unwrap_or_else(|| SPOOL_DIR_DEFAULT.into()).into();
    let dir: PathBuf = flags.spool_dir.clone().unwrap_or_else(usual_dir);
    match Spool::open(&dir, flags.spool_max_bytes) {
        Ok(spool) => {
            if spool.line_count() > 0 {
                tracing::info!(lines = spool.line_count(), "lines wait in the spool from before");
            }
            Ok(Backlog::on_disk(spool))
        }
        Err(error @ SpoolError::File { .. }) if flags.spool_dir.is_none() => {
            warn_of_memory(&error, &dir);
            Ok(Backlog::in_memory())
        }
        Err(error) => Err(AgentError::Spool(error)),
    }
}

fn warn_of_memory(error: &SpoolError, dir: &Path) {
    let advice = "no spool, what cannot be delivered waits in memory only; name a directory with --spool-dir";
    tracing::warn!(error = chain(error), dir = %dir.display(), "{advice}");
}

/// Two ticks, one interval apart, so that the second knows what happened in between.
async fn report_once<S: Sink>(mut runner: Runner<S>, interval: Interval) -> Result<(), AgentError> {
    let clock = SystemClock::start();
    runner.run_once(clock.now()).await;
    tokio::time::sleep(interval.duration()).await;
    let totals = runner.run_once(clock.now()).await;
    runner.close();
    match totals.waiting_lines + totals.rejected_lines + totals.dropped_lines {
        0 => Ok(()),
        lines => Err(AgentError::Undelivered(lines)),
    }
}

async fn report_until_stopped<S: Sink>(runner: Runner<S>) -> Result<(), AgentError> {
    let stop = CancellationToken::new();
    let stopped = stop_on_signal(stop.clone())?;
    let totals = runner.run(stop).await;
    stopped.abort();
    let Totals { delivered_lines, rejected_lines, dropped_lines, waiting_lines } = totals.map_err(AgentError::Run)?;
    tracing::info!(delivered_lines, rejected_lines, dropped_lines, waiting_lines, "plimsoll-agent has stopped");
    Ok(())
}

/// Stops on SIGTERM, as from systemd, and on SIGINT, as from a terminal.
#[cfg(unix)]
fn stop_on_signal(stop: CancellationToken) -> Result<tokio::task::JoinHandle<()>, AgentError> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }))
}

#[cfg(not(unix))]
fn stop_on_signal(stop: CancellationToken) -> Result<tokio::task::JoinHandle<()>, AgentError> {
    Ok(tokio::spawn(async move {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "could not listen for signals");
            return;
        }
        stop.cancel();
    }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn a_target_is_needed_and_print_only_goes_with_once() {
        let parse = |flags: &[&str]| Flags::try_parse_from([&["plimsoll-agent"], flags].concat());
        assert!(parse(&["--url", "http://localhost:8000"]).is_ok());
        assert!(parse(&["--once", "--print", "--interval", "1s"]).is_ok());
        for refused in [
            &[] as &[&str],
            &["--print"],
            &["--url", "http://localhost", "--interval", "0s"],
            &["--url", "http://localhost", "--token", "a", "--token-file", "b"],
            &["--url", "http://localhost", "--vm", ""],
            &["--url", "http://localhost", "--purchase-option", "stolen"],
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn flags_correct_what_was_found() {
        let flags = ["plimsoll-agent", "--once", "--print", "--v-cpus", "192", "--purchase-option", "on-demand"];
        let instance = Flags::try_parse_from(flags).unwrap().instance;
        let found = MachineDescription { v_cpus: Some(2), memory_bytes: Some(7), gpu_count: None, ..MachineDescription::default() };
        let expected = MachineDescription {
            v_cpus: Some(192),
            memory_bytes: Some(7),
            purchase_option: Some(PurchaseOption::OnDemand),
            ..MachineDescription::default()
        };
        assert_eq!(instance.describe(found), expected);
    }
}
