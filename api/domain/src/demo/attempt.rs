//! How one attempt of a job goes: how long it loads and computes, how much memory it takes, and how it ends.
//!
//! Invariant: the phases never add up to more than the attempt's length. Must not know: queues and other jobs.

use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::SECOND_US;

use crate::demo::random::Random;
use crate::demo::studio::{CHECKPOINTS, COMBINATIONS, GIB, INSTANCE_TYPES, InstanceType, MODELS, REGRESSED_TYPE};
use crate::demo::work::Job;

/// An error: its type and what it says.
pub type Error = (&'static str, &'static str);

const OUT_OF_MEMORY: Error = ("CUDA_OUT_OF_MEMORY", "CUDA out of memory while allocating activations");
const NAN_OUTPUT: Error = ("NAN_OUTPUT", "the decoder returned values that are not numbers");
const INVALID_INPUT: Error = ("INVALID_INPUT", "the input image could not be decoded");
const DRIVER_RESET: Error = ("DRIVER_RESET", "the GPU fell off the bus (Xid 79)");
const TIMEOUT: Error = ("TIMEOUT", "the job ran longer than its limit");
const LOAD_FAILED: Error = ("CHECKPOINT_LOAD_FAILED", "a checkpoint's checksum did not match");

/// An attempt that takes this many times as long as an ordinary one is stopped.
const TIMEOUT_FACTOR: f64 = 2.6;
/// On the bad day a driver update made one instance type this much slower, and less stable.
const REGRESSION: (f64, f64) = (1.75, 0.09);

/// How an attempt goes once it has its slots.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Time from start to end.
    pub duration_us: i64,
    /// Time spent on loading checkpoints and weights.
    pub load_us: i64,
    /// Time spent on building the pipeline; null: it did not come so far.
    pub init_us: Option<i64>,
    /// Time spent on the work itself; null: it did not come so far, or was stopped in it.
    pub inference_us: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<Error>,
    /// Bytes in.
    pub input_bytes: i64,
    /// Bytes out; null: there were none.
    pub output_bytes: Option<i64>,
    /// Most GPU memory taken at once, over all its GPUs; null on CPUs.
    pub gpu_memory_peak_bytes: Option<i64>,
    /// CPU time.
    pub cpu_ms: i64,
}

/// What an attempt finds.
pub struct Circumstances<'a> {
    /// The job.
    pub job: &'a Job,
    /// Index into [`INSTANCE_TYPES`].
    pub kind: usize,
    /// Time that its loads take.
    pub load_us: i64,
    /// A load failed: the attempt ends there.
    pub load_failed: bool,
    /// The slot had another model before.
    pub fresh_model: bool,
    /// It is the day of the bad driver.
    pub bad_day: bool,
}

/// GPU memory that a job needs over all its GPUs, in GiB.
pub fn memory_need_gib(job: &Job) -> f64 {
    let combination = &COMBINATIONS[job.combination];
    let model = &MODELS[combination.model];
    if model.gpus == 0 {
        return 0.0;
    }
    let checkpoints: f64 =
        combination.checkpoints.iter().map(|&c| CHECKPOINTS[c].size_gib * if CHECKPOINTS[c].size_gib > 6.0 { 0.1 } else { 1.15 }).sum();
    model.memory_gib * (0.86 + 0.14 * job.size) + checkpoints
}

/// Time that the work itself takes on an instance type, before chance.
pub fn inference_s(job: &Job, kind: usize) -> f64 {
    let combination = &COMBINATIONS[job.combination];
    let slowdown: f64 = combination.checkpoints.iter().map(|&c| CHECKPOINTS[c].slowdown).product();
    MODELS[combination.model].inference_s * slowdown * job.size.powf(0.9) / INSTANCE_TYPES[kind].speed
}

impl Attempt {
    /// Makes up an attempt.
    pub fn made_up(random: &mut Random, found: &Circumstances<'_>) -> Self {
        let (job, kind) = (found.job, &INSTANCE_TYPES[found.kind]);
        let model = &MODELS[COMBINATIONS[job.combination].model];
        let regressed = found.bad_day && found.kind == REGRESSED_TYPE;
        let slow = if regressed { REGRESSION.0 } else { 1.0 };
        let full_us = micros(random.log_normal(inference_s(job, found.kind) * slow, 0.11));
        let init_us = micros(random.log_normal(if found.fresh_model { 2.2 + model.size_gib * 0.16 } else { 0.3 }, 0.25));
        let tail_us = micros(random.between(0.05, 0.9));
        let need_gib = memory_need_gib(job) * random.between(0.97, 1.03);
        let mib = |ordinary: f64, random: &mut Random| (random.log_normal(ordinary * job.size, 0.16) * f64::from(1 << 20)) as i64;
        let mut attempt = Self {
            duration_us: found.load_us + init_us + full_us + tail_us,
            load_us: found.load_us,
            init_us: Some(init_us),
            inference_us: Some(full_us),
            outcome: Outcome::Succeeded,
            error: None,
            input_bytes: mib(model.io_mib.0, random),
            output_bytes: Some(mib(model.io_mib.1, random)),
            gpu_memory_peak_bytes: (need_gib > 0.0).then(|| (need_gib.min(held_gib(kind, model.gpus) * 0.995) * GIB as f64) as i64),
            cpu_ms: 0,
        };
        attempt.go_wrong(random, found, need_gib, full_us);
        let busy = if model.gpus == 0 { 0.85 * kind.v_cpus as f64 / 2.0 } else { random.between(0.9, 1.6) };
        attempt.cpu_ms = (attempt.duration_us as f64 / 1000.0 * busy) as i64;
        attempt
    }

    fn go_wrong(&mut self, random: &mut Random, found: &Circumstances<'_>, need_gib: f64, full_us: i64) {
        let combination = &COMBINATIONS[found.job.combination];
        let model = &MODELS[combination.model];
        let tightness = need_gib / held_gib(&INSTANCE_TYPES[found.kind], model.gpus).max(f64::MIN_POSITIVE);
        let nan_ratio = 0.002 + combination.checkpoints.iter().map(|&c| CHECKPOINTS[c].nan_ratio).sum::<f64>();
        let reset_ratio = if found.bad_day && found.kind == REGRESSED_TYPE { REGRESSION.1 } else { 0.003 };
        if found.load_failed {
            self.fail(LOAD_FAILED, found.load_us, None);
            self.init_us = None;
            self.gpu_memory_peak_bytes = None;
        } else if model.gpus > 0 && (tightness > 1.0 && random.chance(0.88) || tightness > 0.93 && random.chance(0.07)) {
            self.stop(random, OUT_OF_MEMORY, 0.02, 0.6);
        } else if random.chance(0.006) {
            self.fail(INVALID_INPUT, self.load_us + micros(random.between(0.2, 2.5)), None);
            self.init_us = None;
        } else if random.chance(nan_ratio) {
            self.fail(NAN_OUTPUT, self.duration_us, Some(full_us));
        } else if random.chance(reset_ratio) {
            self.stop(random, DRIVER_RESET, 0.05, 0.95);
        } else if full_us as f64 > TIMEOUT_FACTOR * micros(model.inference_s) as f64 * found.job.size.max(1.0) {
            let limit_us = (TIMEOUT_FACTOR * micros(model.inference_s) as f64 * found.job.size.max(1.0)) as i64;
            self.fail(TIMEOUT, self.load_us + self.init_us.unwrap_or(0) + limit_us, None);
        } else if random.chance(0.024) {
            self.stop(random, TIMEOUT, 0.05, 0.95);
            self.outcome = Outcome::Cancelled;
            self.error = None;
        }
    }

    fn fail(&mut self, error: Error, duration_us: i64, inference_us: Option<i64>) {
        self.outcome = Outcome::Failed;
        self.error = Some(error);
        self.duration_us = duration_us;
        self.inference_us = inference_us;
        self.output_bytes = None;
    }

    /// Ends somewhere in the work itself.
    fn stop(&mut self, random: &mut Random, error: Error, from: f64, to: f64) {
        let done_us = (self.inference_us.unwrap_or(0) as f64 * random.between(from, to)) as i64;
        self.fail(error, self.load_us + self.init_us.unwrap_or(0) + done_us, None);
    }

    /// The machine went away after `duration_us`.
    pub fn lose(&mut self, kind: &'static str, duration_us: i64) {
        self.fail((kind, "the machine went away"), duration_us, None);
        if self.load_us > duration_us {
            self.load_us = duration_us;
        }
        self.init_us = self.init_us.filter(|init_us| self.load_us + init_us <= duration_us);
    }

    /// Whether another attempt may go better.
    pub fn is_worth_retrying(&self) -> bool {
        self.error.is_some_and(|(kind, _)| kind != INVALID_INPUT.0)
    }
}

fn held_gib(kind: &InstanceType, gpus: usize) -> f64 {
    kind.gpu_memory_gib * gpus as f64
}

fn micros(seconds: f64) -> i64 {
    (seconds * SECOND_US as f64) as i64
}
