//! `plimsoll-agent` as its own process: what it prints, what it sends, and that killing it loses nothing.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command as AsyncCommand};

use crate::contract;
use crate::server::{Answer, Server, free_addr, wait_for};

const AGENT: &str = env!("CARGO_BIN_EXE_plimsoll-agent");
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gpus.csv");

/// Runs the agent to its end.
pub fn run(flags: &[&str], env: &[(&str, &Path)]) -> Output {
    Command::new(AGENT).args(flags).envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

/// The events that it printed, by type.
pub fn printed(output: &Output) -> HashMap<String, Vec<Value>> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let mut events: HashMap<String, Vec<Value>> = HashMap::new();
    for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
        let event = contract::check(line);
        events.entry(event["type"].as_str().unwrap().to_owned()).or_default().push(event);
    }
    events
}

fn spawn(url: &str, spool: &Path) -> Child {
    AsyncCommand::new(AGENT)
        .args(["--url", url, "--token", "t", "--vm", "gpu-a-01", "--interval", "1s", "--gpu-recording", RECORDING])
        .arg("--spool-dir")
        .arg(spool)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The lines in the spool's files, oldest first.
fn spooled(spool: &Path) -> Vec<String> {
    let files = fs::read_dir(spool).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")).collect();
    segments.sort();
    segments.iter().flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn terminate(mut agent: Child) -> std::process::ExitStatus {
    let pid = agent.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    agent.wait().await.unwrap()
}

#[test]
fn prints_two_ticks_that_the_contract_accepts() {
    let output = run(&["--once", "--print", "--interval", "1s", "--vm", "köln-01", "--no-gpu", "--region", "eu-1"], &[]);
    let events = printed(&output);
    let [state] = events["vmState"].as_slice() else { panic!("{events:?}") };
    assert_eq!((&state["vm"], &state["region"]), (&"köln-01".into(), &"eu-1".into()));
    assert!(state["vCpus"].as_u64() >= Some(1) && state["memoryBytes"].as_u64() > Some(1 << 20));
    assert!(state.get("gpuCount").is_none(), "without a driver nothing is said about gpus");
    let [first, second] = events["vmSample"].as_slice() else { panic!("{events:?}") };
    for gauge in ["memoryUsedBytes", "memoryTotalBytes", "diskUsedBytes", "diskTotalBytes"] {
        assert!(first[gauge].is_u64() && second[gauge].is_u64(), "{gauge}: {first} {second}");
    }
    assert!(first.get("cpuRatio").is_none() && first.get("networkSentBytes").is_none());
    assert!(second["cpuRatio"].is_f64() && second["networkSentBytes"].is_u64(), "{second}");
    assert!((0.9..10.0).contains(&second["intervalSeconds"].as_f64().unwrap()));
    assert!(!events.contains_key("gpuSample"));
}

#[test]
fn replays_recorded_gpus() {
    let output = run(&["--once", "--print", "--interval", "1s", "--gpu-recording", RECORDING], &[]);
    let events = printed(&output);
    assert_eq!(events["vmState"][0]["gpuCount"], 2);
    assert_eq!(events["vmState"][0]["gpuModel"], "NVIDIA H100 80GB HBM3");
    let gpus: Vec<_> = events["gpuSample"].iter().map(|sample| sample["gpu"].as_u64().unwrap()).collect();
    // The third frame has lost its second GPU; the count at the start took the first.
    assert_eq!(gpus, [0, 1, 0]);
}

#[test]
fn refuses_what_it_cannot_use() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "not a directory").unwrap();
    let spool = text.to_str().unwrap();
    for (flags, said) in [
        (&["--url", "http://127.0.0.1:9", "--spool-dir", spool] as &[&str], "could not open the spool"),
        (&["--url", "http://127.0.0.1:9", "--spool-dir", spool, "--spool-max-bytes", "1"], "a spool needs at least"),
        (&["--url", "gopher://127.0.0.1", "--once"], "could not set up the delivery"),
        (&["--once", "--print", "--gpu-recording", spool], "could not use the gpu recording"),
    ] {
        let output = run(flags, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{flags:?}: {stderr}");
    }
}

#[tokio::test]
async fn sends_once_and_tells_by_its_exit_whether_that_worked() {
    let server = Server::start().await;
    let url = server.url();
    let once = move |url: String| tokio::task::spawn_blocking(move || run(&["--once", "--url", &url, "--interval", "1s", "--no-gpu"], &[]));
    assert!(once(url.clone()).await.unwrap().status.success());
    assert_eq!(server.lines().len(), 3);
    server.script([Answer::Status(401, None), Answer::Status(401, None)]);
    let output = once(url).await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 lines could not be delivered"));
}

#[tokio::test]
async fn a_killed_agent_loses_nothing_and_its_successor_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let addr = free_addr().await;
    let url = format!("http://{addr}");

    // The server is down; the agent is killed in the middle of it.
    let mut agent = spawn(&url, dir.path());
    wait_for("two ticks in the spool", || spooled(dir.path()).len() >= 6).await;
    agent.kill().await.unwrap();
    let before = spooled(dir.path());
    assert_eq!(contract::check(&before[0])["type"], "vmState");

    // The server takes a request and never answers; the agent is killed while it waits.
    let server = Server::start_at(addr).await;
    server.script([Answer::Silence]);
    let mut agent = spawn(&url, dir.path());
    wait_for("a request", || !server.requests().is_empty()).await;
    wait_for("a tick during it", || spooled(dir.path()).len() >= before.len() + 4).await;
    agent.kill().await.unwrap();
    let before = spooled(dir.path());
    assert!(server.lines().is_empty());

    // The third delivers what the two left, in order, and then its own.
    let agent = spawn(&url, dir.path());
    wait_for("all lines", || server.lines().len() > before.len() + 3).await;
    let status = terminate(agent).await;
    assert!(status.success(), "{status}");
    let lines = server.lines();
    assert_eq!(lines[..before.len()], before);
    assert_eq!(spooled(dir.path()), Vec::<String>::new());
    let states = lines.iter().filter(|line| contract::check(line)["type"] == "vmState").count();
    assert_eq!(states, 3, "one announcement a start, and none at the end");
}

#[tokio::test]
async fn two_agents_do_not_share_a_spool() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}", free_addr().await);
    let _first = spawn(&url, dir.path());
    wait_for("the first to run", || !spooled(dir.path()).is_empty()).await;
    let status = spawn(&url, dir.path()).wait().await.unwrap();
    assert!(!status.success());
}
