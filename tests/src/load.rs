//! The benchmark load: 500 combinations by Zipf 1.1, 1,000 users with at most 5 combinations each, 3 applications, 200 machines,
//! 30 days; and, where they are wanted, the loads that executions waited for: one for each that loaded anything, of one of its
//! checkpoints or of its base model.
//!
//! Invariants: the same seed, count and start give the same executions; they come in the order in which they finished; nothing
//! but the names is held, whatever the count; with or without loads the executions are the same. Must not know: who takes them.

use plimsoll_domain::demo::line::Line;
use plimsoll_domain::demo::random::{Random, Zipf};
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{DAY_US, Instant};
use uuid::Uuid;

/// Combinations in the load.
pub const COMBINATIONS: usize = 500;
/// Users in the load.
pub const USERS: usize = 1_000;
/// Combinations that one user works with.
pub const COMBINATIONS_PER_USER: usize = 5;
/// Applications in the load.
pub const APPLICATIONS: [&str; 3] = ["studio", "batch", "plugin"];
/// Machines in the load, of 1, 2, 4 or 8 GPUs.
pub const MACHINES: usize = 200;
/// Length of the load.
pub const DAYS: i64 = 30;
/// Error types of the failed executions.
pub const ERROR_TYPES: [&str; 4] = ["CUDA_OUT_OF_MEMORY", "TIMEOUT", "NAN_OUTPUT", "DRIVER_RESET"];
/// Ratios of failed and of cancelled executions.
pub const FAILED_RATIO: f64 = 0.02;
/// See [`FAILED_RATIO`].
pub const CANCELLED_RATIO: f64 = 0.01;

/// Ratio of loads of what is already on the machine.
pub const CACHE_HIT_RATIO: f64 = 0.6;

const KINDS: [&str; 5] = ["LORA", "CONTROLNET", "FINE_TUNE", "EMBEDDING", "VAE"];
const MODELS: usize = 12;
const CHECKPOINTS: usize = 160;
const DEPARTMENTS: usize = 8;
const PROJECTS: usize = 40;
/// Where cache misses come from.
const STORES: [(&str, &str); 3] =
    [("NETWORK_FILESYSTEM", "nfs-weights"), ("OBJECT_STORE", "s3://weights-a"), ("OBJECT_STORE", "s3://weights-b")];

/// One execution; names are indices, see [`Load::write_line`] for what they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Identity; sorts by the end.
    pub id: Uuid,
    /// Combination, below [`COMBINATIONS`]; the most popular is 0.
    pub combination: usize,
    /// User, below [`USERS`].
    pub user: usize,
    /// Application, index into [`APPLICATIONS`].
    pub application: usize,
    /// Machine, below [`MACHINES`].
    pub vm: usize,
    /// GPU of the machine.
    pub gpu: usize,
    /// When it was asked for.
    pub queued_at: Instant,
    /// Start.
    pub started_at: Instant,
    /// End.
    pub finished_at: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// Index into [`ERROR_TYPES`], when it failed.
    pub error_type: Option<usize>,
    /// Microseconds of loading.
    pub checkpoint_load_us: i64,
    /// Microseconds of building the pipeline.
    pub model_init_us: i64,
    /// Microseconds of the work itself; null unless it succeeded.
    pub inference_us: Option<i64>,
    /// Bytes in.
    pub input_bytes: i64,
    /// Bytes out; null unless it succeeded.
    pub output_bytes: Option<i64>,
    /// Most GPU memory taken.
    pub gpu_memory_peak_bytes: i64,
}

/// The load: an iterator of [`Execution`]s in the order of their ends.
#[derive(Debug)]
pub struct Load {
    random: Random,
    start: Instant,
    count: u64,
    next: u64,
    with_loads: bool,
    popularity: Zipf,
    users_of: Vec<Vec<usize>>,
    median_us: Vec<f64>,
    combination_json: Vec<CombinationJson>,
    user_json: Vec<String>,
    vm_json: Vec<String>,
}

/// The keys that name a combination, and those that name what of it is loaded.
#[derive(Debug)]
struct CombinationJson {
    executed: String,
    /// Its checkpoints; the base model itself where it has none.
    loaded: Vec<String>,
}

impl Load {
    /// `count` executions over [`DAYS`] days from `start`.
    #[must_use]
    pub fn of(seed: u64, count: u64, start: Instant) -> Self {
        let mut random = Random::topic(seed, 10);
        let popularity = Zipf::of(COMBINATIONS, 1.1);
        let users_of = users_of(&mut random, &popularity);
        let median_us = (0..COMBINATIONS).map(|_| random.log_normal(9e6, 0.9)).collect();
        let combination_json = combinations(&mut random);
        let user_json = (0..USERS).map(|user| {
            let (department, project) = (user % DEPARTMENTS, user % PROJECTS);
            format!(r#""user":"user-{user:04}","department":"department-{department}","project":"project-{project:02}""#)
        });
        let vm_json = (0..MACHINES).map(|vm| format!(r#""vm":"vm-{vm:03}""#)).collect();
        let user_json = user_json.collect();
        Self { random, start, count, next: 0, with_loads: false, popularity, users_of, median_us, combination_json, user_json, vm_json }
    }

    /// The same executions, and the loads that they waited for.
    #[must_use]
    pub fn with_loads(self) -> Self {
        Self { with_loads: true, ..self }
    }

    /// When execution number `number` finishes: evenly over the days.
    fn finish_us(&self, number: u64) -> i64 {
        let offset = u128::from(number) * (DAYS * DAY_US) as u128 / u128::from(self.count.max(1));
        self.start.0 + offset as i64
    }

    /// Appends the execution's line and a line feed to a buffer.
    pub fn write_line(&self, execution: &Execution, text: &mut String) {
        let mut line = Line::open(text, "execution");
        line.id("id", execution.id).fragment(&self.combination_json[execution.combination].executed);
        line.text("application", APPLICATIONS[execution.application]).fragment(&self.user_json[execution.user]);
        line.fragment(&self.vm_json[execution.vm]).wholes("gpus", [execution.gpu as i64]);
        line.instant("queuedAt", execution.queued_at)
            .instant("startedAt", execution.started_at)
            .instant("finishedAt", execution.finished_at);
        line.text("outcome", execution.outcome.wire()).thousandths("checkpointLoadMs", execution.checkpoint_load_us);
        line.thousandths("modelInitMs", execution.model_init_us).thousandths_if("inferenceMs", execution.inference_us);
        line.whole("inputBytes", execution.input_bytes).whole_if("outputBytes", execution.output_bytes);
        line.whole("gpuMemoryPeakBytes", execution.gpu_memory_peak_bytes);
        line.text_if("errorType", execution.error_type.map(|index| ERROR_TYPES[index]));
        line.close();
        text.push('\n');
    }

    /// Appends the line of what an execution loaded, and a line feed, to a buffer; nothing where it loaded nothing.
    pub fn write_load_line(&self, execution: &Execution, text: &mut String) {
        if execution.checkpoint_load_us == 0 {
            return;
        }
        // What is drawn for an execution must not depend on its load, so all of this comes from its id.
        let mut drawn = Random::topic(execution.id.as_u128() as u64, 11);
        let loaded = &self.combination_json[execution.combination].loaded;
        let loaded = &loaded[drawn.below(loaded.len())];
        let cache_hit = drawn.chance(CACHE_HIT_RATIO);
        let (store, location) = if cache_hit { ("LOCAL_DISK", "nvme0") } else { STORES[drawn.below(STORES.len())] };
        let mut line = Line::open(text, "checkpointLoad");
        line.id("id", Uuid::from_u128(execution.id.as_u128() ^ 1)).fragment(loaded).fragment(&self.vm_json[execution.vm]);
        line.instant("startedAt", execution.started_at);
        line.instant("finishedAt", Instant(execution.started_at.0 + execution.checkpoint_load_us));
        line.text("storageType", store).text("storageLocation", location).flag("cacheHit", cache_hit);
        line.whole("gpu", execution.gpu as i64).id("execution", execution.id);
        line.whole("bytes", execution.checkpoint_load_us * if cache_hit { 2_000 } else { 400 });
        line.close();
        text.push('\n');
    }

    /// Appends the lines of the next `count` executions to a buffer, fewer at the end; says of how many.
    pub fn write_next(&mut self, count: usize, text: &mut String) -> usize {
        let mut written = 0;
        while written < count
            && let Some(execution) = self.next()
        {
            self.write_line(&execution, text);
            if self.with_loads {
                self.write_load_line(&execution, text);
            }
            written += 1;
        }
        written
    }
}

impl Iterator for Load {
    type Item = Execution;

    fn next(&mut self) -> Option<Execution> {
        if self.next >= self.count {
            return None;
        }
        let (from_us, until_us) = (self.finish_us(self.next), self.finish_us(self.next + 1));
        self.next += 1;
        let random = &mut self.random;
        let finished_at = Instant(from_us + random.below((until_us - from_us).max(1) as usize) as i64);
        let combination = self.popularity.rank(random);
        let user = self.users_of[combination][random.below(self.users_of[combination].len())];
        let vm = random.below(MACHINES);
        let size = spread(random, 0.5);
        let inference_us = (self.median_us[combination] * size * spread(random, 0.2)) as i64;
        let checkpoint_load_us = if random.chance(0.6) { 0 } else { (1.8e6 * spread(random, 0.8)) as i64 };
        let model_init_us = (4e5 * spread(random, 0.4)) as i64;
        let drawn = random.unit();
        let outcome = match drawn {
            _ if drawn < FAILED_RATIO => Outcome::Failed,
            _ if drawn < FAILED_RATIO + CANCELLED_RATIO => Outcome::Cancelled,
            _ => Outcome::Succeeded,
        };
        let succeeded = outcome == Outcome::Succeeded;
        let worked_us = if succeeded { inference_us } else { (inference_us as f64 * random.unit()) as i64 };
        let started_at = Instant(finished_at.0 - worked_us - checkpoint_load_us - model_init_us - 20_000);
        Some(Execution {
            id: random.id(finished_at),
            combination,
            user,
            application: random.below(APPLICATIONS.len()),
            vm,
            gpu: random.below(1 << (vm % 4)),
            queued_at: Instant(started_at.0 - (6e5 * spread(random, 1.2)) as i64),
            started_at,
            finished_at,
            outcome,
            error_type: (outcome == Outcome::Failed).then(|| random.below(ERROR_TYPES.len())),
            checkpoint_load_us,
            model_init_us,
            inference_us: succeeded.then_some(inference_us),
            input_bytes: (900_000.0 * size * spread(random, 0.6)) as i64,
            output_bytes: succeeded.then(|| (6e6 * size * spread(random, 0.15)) as i64),
            gpu_memory_peak_bytes: (9e9 * (0.7 + 0.3 * size)) as i64 + (combination as i64 % 7) * 700_000_000,
        })
    }
}

/// Log-normal about 1, from one draw: the sum of four even parts stands for the normal distribution.
fn spread(random: &mut Random, sigma: f64) -> f64 {
    let bits = random.bits();
    let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
    (sigma * (sum as f64 / 65_536.0 - 2.0) * 1.732).exp()
}

/// The users of each combination: everyone works with at most five, and every combination has someone.
fn users_of(random: &mut Random, popularity: &Zipf) -> Vec<Vec<usize>> {
    let mut users_of = vec![Vec::new(); COMBINATIONS];
    for user in 0..USERS {
        let mut chosen = vec![user % COMBINATIONS];
        for _ in 1..COMBINATIONS_PER_USER {
            let combination = popularity.rank(random);
            if !chosen.contains(&combination) {
                chosen.push(combination);
            }
        }
        for combination in chosen {
            users_of[combination].push(user);
        }
    }
    users_of
}

/// The keys that name each combination: a base model version and up to four checkpoints, all of them different sets.
fn combinations(random: &mut Random) -> Vec<CombinationJson> {
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::with_capacity(COMBINATIONS);
    while found.len() < COMBINATIONS {
        let model = random.below(MODELS);
        let mut checkpoints: Vec<usize> = (0..random.below(5)).map(|_| random.below(CHECKPOINTS)).collect();
        checkpoints.sort_unstable();
        checkpoints.dedup();
        if !seen.insert((model, checkpoints.clone())) {
            continue;
        }
        let list: Vec<String> = checkpoints
            .iter()
            .map(|c| format!(r#"{{"kind":"{}","name":"checkpoint-{:03}","version":"{}"}}"#, KINDS[c % KINDS.len()], c / 2, 1 + c % 2))
            .collect();
        let (name, version) = (model / 2, 1 + model % 2);
        let base = format!(r#""model":"model-{name}","modelVersion":"{version}.0""#);
        let mut loaded: Vec<String> = list.iter().map(|checkpoint| format!(r#"{base},"checkpoint":{checkpoint}"#)).collect();
        if loaded.is_empty() {
            loaded.push(base.clone());
        }
        found.push(CombinationJson { executed: format!(r#"{base},"checkpoints":[{}]"#, list.join(",")), loaded });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const START: Instant = Instant(1_772_323_200_000_000);

    #[test]
    fn executions_are_sound_and_in_order() {
        let (first, second): (Vec<_>, Vec<_>) = (Load::of(1, 20_000, START).collect(), Load::of(1, 20_000, START).collect());
        assert_eq!(first, second);
        assert_eq!(first.len(), 20_000);
        assert!(first.is_sorted_by_key(|e| e.finished_at));
        assert!(first.iter().all(|e| START <= e.finished_at && e.finished_at.0 < START.0 + DAYS * DAY_US));
        assert!(first.iter().all(|e| e.queued_at <= e.started_at && e.started_at <= e.finished_at));
        assert_eq!(first.iter().map(|e| e.id).collect::<HashSet<_>>().len(), first.len());
        let failed = first.iter().filter(|e| e.outcome == Outcome::Failed).count();
        assert!((300..500).contains(&failed), "{failed}");
        assert!(first.iter().all(|e| e.error_type.is_some() == (e.outcome == Outcome::Failed)));
    }

    #[test]
    fn users_keep_to_their_combinations() {
        let mut of_user: HashMap<usize, HashSet<usize>> = HashMap::new();
        let mut by_rank = vec![0_u32; COMBINATIONS];
        for execution in Load::of(1, 100_000, START) {
            of_user.entry(execution.user).or_default().insert(execution.combination);
            by_rank[execution.combination] += 1;
        }
        assert!(of_user.len() > 950, "{}", of_user.len());
        assert!(of_user.values().all(|combinations| combinations.len() <= COMBINATIONS_PER_USER));
        // By Zipf 1.1 the first has 2^1.1 times the executions of the second.
        let ratio = f64::from(by_rank[0]) / f64::from(by_rank[1]);
        assert!((2.0..2.3).contains(&ratio), "{ratio}");
    }

    #[test]
    fn lines_say_what_the_fields_say() {
        let mut load = Load::of(1, 500, START);
        let executions: Vec<_> = load.by_ref().collect();
        let mut text = String::new();
        executions.iter().for_each(|execution| load.write_line(execution, &mut text));
        for (execution, line) in executions.iter().zip(text.lines()) {
            let read: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(read["id"], execution.id.to_string());
            assert_eq!(read["vm"], format!("vm-{:03}", execution.vm));
            assert_eq!(read["finishedAt"], execution.finished_at.to_string());
            assert_eq!(read["outcome"], execution.outcome.wire());
            assert_eq!(read["inferenceMs"].as_f64(), execution.inference_us.map(|us| us as f64 / 1000.0));
        }
        assert_eq!(text.lines().count(), 500);
        assert_eq!(Load::of(1, 10, START).write_next(64, &mut String::new()), 10);
    }

    #[test]
    fn executions_that_loaded_something_send_what() {
        let (mut bare, mut both) = (String::new(), String::new());
        assert_eq!(Load::of(1, 2_000, START).write_next(3_000, &mut bare), 2_000);
        assert_eq!(Load::of(1, 2_000, START).with_loads().write_next(3_000, &mut both), 2_000);
        let lines = both.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let (executions, loads): (Vec<_>, Vec<_>) = lines.partition(|line| line["type"] == "execution");
        let alone: Vec<serde_json::Value> = bare.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(executions, alone);
        let waited: Vec<_> = executions.iter().filter(|execution| execution["checkpointLoadMs"].as_f64() > Some(0.0)).collect();
        assert_eq!(loads.len(), waited.len());
        assert!((700..900).contains(&loads.len()), "{}", loads.len());
        for (load, execution) in loads.iter().zip(waited) {
            assert_eq!((&load["execution"], &load["model"], &load["vm"]), (&execution["id"], &execution["model"], &execution["vm"]));
            let applied = execution["checkpoints"].as_array().unwrap();
            assert!(if applied.is_empty() { load["checkpoint"].is_null() } else { applied.contains(&load["checkpoint"]) });
        }
        let ids: HashSet<_> = loads.iter().chain(&executions).map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), loads.len() + executions.len());
    }
}
