//! The made-up world as event lines, in the order in which they would have been sent.
//!
//! Invariants: only the plan of the lines is held, each line is written when it is asked for; a line says nothing about an
//! instant after the window's end. Must not know: how the world came about.

use plimsoll_entity::value::label::{JobState, Outcome, VmState};
use plimsoll_entity::value::time::{Instant, Window};

use crate::demo::Scale;
use crate::demo::fleet::{Fleet, StateChange};
use crate::demo::line::Line;
use crate::demo::monitor::Monitor;
use crate::demo::random::Random;
use crate::demo::schedule::{Load, Run, Schedule};
use crate::demo::storage::{Snapshot, snapshots};
use crate::demo::studio::{
    APPLICATIONS, Artifact, CHECKPOINTS, COMBINATIONS, DEPARTMENTS, INSTANCE_TYPES, MACHINES, MODELS, PROJECTS, Reporting, USERS,
};
use crate::demo::work::{self, Job};

/// Jobs whose changes of state are told, of all; those that are not over at the end are always told.
const TOLD_JOBS: f64 = 0.2;
/// A machine with [`Reporting::Gap`] is silent for one stretch of so many hours out of so many.
const GAP_HOURS: (i64, i64) = (3, 131);

/// One line to come.
#[derive(Clone, Copy)]
enum Entry {
    State(u32),
    Snapshot(u32),
    JobChange(u32),
    Load(u32),
    Execution(u32),
    VmSample { vm: u16, bin: u32 },
    GpuSample { vm: u16, gpu: u16, bin: u32, first: bool },
}

/// A change of a job's state.
struct JobChange {
    job: usize,
    run: Option<usize>,
    attempt: u8,
    at: Instant,
    state: JobState,
}

/// Everything that happened.
pub struct World {
    seed: u64,
    window: Window,
    fleet: Fleet,
    jobs: Vec<Job>,
    schedule: Schedule,
    monitor: Monitor,
    snapshots: Vec<Snapshot>,
    job_changes: Vec<JobChange>,
}

impl World {
    /// Makes up a window of the studio's life.
    pub fn made_up(seed: u64, window: Window, scale: Scale) -> Self {
        let fleet = Fleet::made_up(seed, window, scale.machines.min(MACHINES.len()));
        let jobs = work::jobs(seed, window, scale.jobs);
        let schedule = Schedule::made_up(seed, window, &jobs, &fleet);
        let monitor = Monitor::of(window, scale.sample_interval_s, fleet.ups.len(), &jobs, &schedule.runs, &schedule.loads);
        let snapshots = snapshots(seed, window, &schedule.cached);
        let job_changes = job_changes(seed, window, &jobs, &schedule.runs);
        Self { seed, window, fleet, jobs, schedule, monitor, snapshots, job_changes }
    }

    /// The lines, without line feeds.
    pub fn into_lines(self) -> impl Iterator<Item = String> {
        let mut plan = self.plan();
        plan.sort_by_key(|(sent, _)| *sent);
        plan.into_iter().map(move |(_, entry)| {
            let mut text = String::with_capacity(512);
            self.write(entry, &mut text);
            text
        })
    }

    /// Every line that lies in the window, with the instant at which it is sent.
    fn plan(&self) -> Vec<(Instant, Entry)> {
        let mut plan = Vec::new();
        plan.extend(self.fleet.states.iter().zip(0..).map(|(change, n)| (change.at, Entry::State(n))));
        plan.extend(self.snapshots.iter().zip(0..).map(|(snapshot, n)| (snapshot.at, Entry::Snapshot(n))));
        plan.extend(self.job_changes.iter().zip(0..).map(|(change, n)| (change.at, Entry::JobChange(n))));
        plan.extend(self.schedule.loads.iter().zip(0..).map(|(load, n)| (Instant(load.end_us), Entry::Load(n))));
        plan.extend(self.schedule.runs.iter().zip(0..).map(|(run, n)| (Instant(run.end_us()), Entry::Execution(n))));
        self.plan_samples(&mut plan);
        plan.retain(|(sent, _)| *sent <= self.window.end);
        plan
    }

    fn plan_samples(&self, plan: &mut Vec<(Instant, Entry)>) {
        for (vm, ups) in self.fleet.ups.iter().enumerate().filter(|(vm, _)| MACHINES[*vm].reporting != Reporting::Silent) {
            let gpus = INSTANCE_TYPES[MACHINES[vm].kind].gpu_count;
            for up in ups {
                let mut first = true;
                for bin in self.monitor.bins_of(up) {
                    let at = self.monitor.at(bin);
                    let hour = i64::from(at.hour()) - i64::from(self.window.start.hour());
                    if MACHINES[vm].reporting == Reporting::Gap && (hour + 70).rem_euclid(GAP_HOURS.1) < GAP_HOURS.0 {
                        continue;
                    }
                    plan.push((at, Entry::VmSample { vm: vm as u16, bin: bin as u32 }));
                    plan.extend((0..gpus).map(|gpu| (at, Entry::GpuSample { vm: vm as u16, gpu: gpu as u16, bin: bin as u32, first })));
                    first = false;
                }
            }
        }
    }

    fn write(&self, entry: Entry, text: &mut String) {
        match entry {
            Entry::State(n) => self.write_state(&self.fleet.states[n as usize], text),
            Entry::Snapshot(n) => write_snapshot(&self.snapshots[n as usize], text),
            Entry::JobChange(n) => self.write_job_change(&self.job_changes[n as usize], n, text),
            Entry::Load(n) => write_load(&self.schedule.loads[n as usize], text),
            Entry::Execution(n) => self.write_execution(&self.schedule.runs[n as usize], text),
            Entry::VmSample { vm, bin } => self.write_vm_sample(usize::from(vm), bin as usize, text),
            Entry::GpuSample { vm, gpu, bin, first } => {
                self.write_gpu_sample((usize::from(vm), usize::from(gpu)), bin as usize, first, text)
            }
        }
    }

    /// Chance that belongs to one sample.
    fn noise(&self, vm: usize, gpu: usize, bin: usize) -> Random {
        Random::topic(self.seed, 0x5a00_0000_0000 + ((bin as u64) << 12) + ((vm as u64) << 6) + gpu as u64)
    }

    fn write_state(&self, change: &StateChange, text: &mut String) {
        let (machine, kind) = (&MACHINES[change.vm], &INSTANCE_TYPES[MACHINES[change.vm].kind]);
        let mut line = Line::open(text, "vmState");
        line.id("id", change.id).text("vm", machine.name).instant("at", change.at).text("state", change.state.wire());
        if change.state == VmState::Requested {
            line.text("instanceType", kind.name).text("provider", kind.provider).text("region", machine.region);
            line.text("purchaseOption", machine.purchase.wire()).whole("vCpus", kind.v_cpus);
            line.whole("memoryBytes", kind.memory_gib << 30).text_if("gpuModel", kind.gpu_model).whole("gpuCount", kind.gpu_count as i64);
        }
        line.close();
    }

    fn write_job_change(&self, change: &JobChange, number: u32, text: &mut String) {
        let job = &self.jobs[change.job];
        let mut line = Line::open(text, "job");
        line.id("id", Random::topic(self.seed, 0x10b_0000_0000 + u64::from(number)).id(change.at));
        line.text("job", &job_name(change.job))
            .instant("at", change.at)
            .text("state", change.state.wire())
            .whole("attempt", change.attempt.into());
        combination(&mut line, job.combination);
        caller(&mut line, job);
        if let Some(run) = change.run.map(|run| &self.schedule.runs[run]) {
            line.text("vm", MACHINES[run.vm].name);
            gpus(&mut line, run, job);
        }
        line.close();
    }

    fn write_execution(&self, run: &Run, text: &mut String) {
        let (job, went) = (&self.jobs[run.job], &run.went);
        let mut line = Line::open(text, "execution");
        line.id("id", run.id).text("job", &job_name(run.job)).whole("attempt", run.attempt.into());
        // A model's type needs to be told only now and then.
        let model = &MODELS[COMBINATIONS[job.combination].model];
        line.text_if("modelType", run.job.is_multiple_of(4).then_some(model.kind));
        combination(&mut line, job.combination);
        caller(&mut line, job);
        line.text("vm", MACHINES[run.vm].name);
        gpus(&mut line, run, job);
        line.instant("queuedAt", Instant(run.queued_us))
            .instant("startedAt", Instant(run.start_us))
            .instant("finishedAt", Instant(run.end_us()));
        line.text("outcome", went.outcome.wire()).thousandths("checkpointLoadMs", went.load_us);
        line.thousandths_if("modelInitMs", went.init_us).thousandths_if("inferenceMs", went.inference_us);
        line.whole("inputBytes", went.input_bytes)
            .whole_if("outputBytes", went.output_bytes)
            .whole_if("gpuMemoryPeakBytes", went.gpu_memory_peak_bytes);
        line.thousandths_if("cpuSeconds", MACHINES[run.vm].kind.is_multiple_of(2).then_some(went.cpu_ms));
        if let Some((kind, message)) = went.error {
            line.text("errorType", kind).text("errorMessage", message);
        }
        line.close();
    }

    fn write_vm_sample(&self, vm: usize, bin: usize, text: &mut String) {
        let (machine, kind) = (&MACHINES[vm], &INSTANCE_TYPES[MACHINES[vm].kind]);
        let (host, mut noise) = (self.monitor.host(vm, bin), self.noise(vm, 63, bin));
        let interval_us = self.monitor.interval_us();
        let busy_slots = (0..self.monitor.slots(vm)).filter(|&slot| self.monitor.slot(vm, slot, bin).busy_us > 0).count();
        let cpu = host.cpu_us as f64 / (interval_us * kind.v_cpus) as f64 + noise.between(0.008, 0.04);
        let memory_bytes = kind.memory_gib << 30;
        let memory = 0.09 + 0.55 * busy_slots as f64 / self.monitor.slots(vm) as f64 + noise.between(0.0, 0.05);
        let mut line = Line::open(text, "vmSample");
        line.text("vm", machine.name).instant("at", self.monitor.at(bin)).whole("intervalSeconds", interval_us / 1_000_000);
        line.thousandths("cpuRatio", thousandths(cpu));
        line.whole("memoryUsedBytes", (memory_bytes as f64 * memory) as i64).whole("memoryTotalBytes", memory_bytes);
        if machine.reporting != Reporting::NoDisk {
            let total_bytes = (400 + 600 * kind.gpu_count as i64) << 30;
            let used = 0.22 + 0.00009 * (bin % 2_000) as f64 + noise.between(0.0, 0.01);
            let moved_bytes = host.read_bytes + host.written_bytes + noise.below(40_000_000) as i64;
            line.whole("diskUsedBytes", (total_bytes as f64 * used) as i64).whole("diskTotalBytes", total_bytes);
            line.thousandths("diskBusyRatio", thousandths(moved_bytes as f64 / (interval_us as f64 * 2_600.0)));
            line.whole("diskReadBytes", host.read_bytes + noise.below(9_000_000) as i64)
                .whole("diskReadOps", host.read_bytes / 262_144 + noise.below(900) as i64);
            line.whole("diskWrittenBytes", host.written_bytes + noise.below(30_000_000) as i64);
            line.whole("diskWriteOps", host.written_bytes / 524_288 + noise.below(1_500) as i64);
        }
        if machine.reporting != Reporting::NoNetwork {
            line.whole("networkReceivedBytes", host.received_bytes + noise.below(6_000_000) as i64);
            line.whole("networkSentBytes", host.sent_bytes + noise.below(4_000_000) as i64);
            line.whole("networkErrors", if noise.chance(0.004) { 1 + noise.below(40) as i64 } else { 0 });
        }
        line.close();
    }

    fn write_gpu_sample(&self, (vm, gpu): (usize, usize), bin: usize, first: bool, text: &mut String) {
        let (machine, kind) = (&MACHINES[vm], &INSTANCE_TYPES[MACHINES[vm].kind]);
        let (cell, mut noise) = (self.monitor.slot(vm, gpu, bin), self.noise(vm, gpu, bin));
        let interval_us = self.monitor.interval_us() as f64;
        let working = (cell.busy_us - cell.loading_us) as f64 / interval_us;
        let used = working * noise.between(0.86, 0.985) + cell.loading_us as f64 / interval_us * 0.06 + noise.between(0.0, 0.004);
        let total_bytes = (kind.gpu_memory_gib * f64::from(1 << 30)) as i64;
        let held_bytes = (cell.memory_bytes + 430_000_000 + noise.below(90_000_000) as i64).min(total_bytes);
        let mut line = Line::open(text, "gpuSample");
        line.text("vm", machine.name).whole("gpu", gpu as i64).instant("at", self.monitor.at(bin));
        line.thousandths("utilizationRatio", thousandths(used));
        line.whole("memoryUsedBytes", held_bytes).whole("memoryTotalBytes", total_bytes);
        if machine.reporting != Reporting::NoDisk {
            line.thousandths("temperatureCelsius", ((33.0 + 44.0 * used + noise.between(0.0, 3.0)) * 1000.0) as i64);
        }
        if machine.reporting != Reporting::NoNetwork {
            line.thousandths("powerWatts", ((28.0 + 300.0 * kind.speed * used + noise.between(0.0, 9.0)) * 1000.0) as i64);
        }
        if first {
            let uuid = Random::topic(self.seed, 0x600_0000 + ((vm as u64) << 6) + gpu as u64).id(self.window.start);
            line.text("uuid", &format!("GPU-{uuid}")).text_if("name", kind.gpu_model);
        }
        line.close();
    }
}

/// A ratio in thousandths, at most 1.
fn thousandths(ratio: f64) -> i64 {
    (ratio.clamp(0.0, 1.0) * 1000.0) as i64
}

fn job_name(index: usize) -> String {
    format!("job-{:06}", index + 1)
}

fn combination(line: &mut Line<'_>, index: usize) {
    let combination = &COMBINATIONS[index];
    let model = &MODELS[combination.model];
    line.text("model", model.name).text("modelVersion", model.version);
    line.objects("checkpoints", combination.checkpoints, |object, &index| checkpoint(object, index));
}

fn checkpoint(object: &mut Line<'_>, index: usize) {
    let checkpoint = &CHECKPOINTS[index];
    object.text("kind", checkpoint.kind.wire()).text("name", checkpoint.name).text("version", checkpoint.version);
}

fn caller(line: &mut Line<'_>, job: &Job) {
    line.text_if("application", job.application.map(|index| APPLICATIONS[index])).text_if("user", job.user.map(|index| USERS[index].0));
    line.text_if("department", job.department.map(|index| DEPARTMENTS[index]))
        .text_if("project", job.project.map(|index| PROJECTS[index].0));
}

fn gpus(line: &mut Line<'_>, run: &Run, job: &Job) {
    let width = MODELS[COMBINATIONS[job.combination].model].gpus;
    if width > 0 {
        line.wholes("gpus", (run.slot..run.slot + width).map(|slot| slot as i64));
    }
}

fn write_load(load: &Load, text: &mut String) {
    let model = &MODELS[load.model];
    let mut line = Line::open(text, "checkpointLoad");
    line.id("id", load.id).instant("startedAt", Instant(load.start_us)).instant("finishedAt", Instant(load.end_us));
    line.text("vm", MACHINES[load.vm].name).text("storageType", load.source.storage_type.wire()).flag("cacheHit", load.source.hit);
    line.text("model", model.name).text("modelVersion", model.version);
    if let Artifact::Checkpoint(index) = load.artifact {
        line.object("checkpoint", |object| checkpoint(object, index));
    }
    if INSTANCE_TYPES[MACHINES[load.vm].kind].gpu_count > 0 {
        line.whole("gpu", load.slot as i64);
    }
    line.text_if("storageLocation", load.source.location).whole("bytes", load.artifact.size_bytes()).id("execution", load.execution);
    if load.failed {
        line.text("outcome", "FAILED").text("errorType", "CHECKSUM_MISMATCH");
    }
    line.close();
}

fn write_snapshot(snapshot: &Snapshot, text: &mut String) {
    let mut line = Line::open(text, "storageSnapshot");
    line.id("id", snapshot.id)
        .instant("at", snapshot.at)
        .text("storageType", snapshot.storage_type.wire())
        .whole("sizeBytes", snapshot.size_bytes);
    if let Artifact::Checkpoint(index) = snapshot.artifact {
        line.object("checkpoint", |object| checkpoint(object, index));
    }
    if let Some(model) = snapshot.model.map(|index| &MODELS[index]) {
        line.text("model", model.name).text("modelVersion", model.version);
    }
    line.text("storageLocation", snapshot.location);
    line.close();
}

/// The changes of the jobs that tell them.
fn job_changes(seed: u64, window: Window, jobs: &[Job], runs: &[Run]) -> Vec<JobChange> {
    let mut runs_of = vec![Vec::new(); jobs.len()];
    for (index, run) in runs.iter().enumerate() {
        runs_of[run.job].push(index);
    }
    let mut random = Random::topic(seed, 4);
    let mut changes = Vec::new();
    for (job, of_job) in runs_of.iter().enumerate() {
        let is_over = of_job.last().is_some_and(|&run| runs[run].is_last && runs[run].end_us() <= window.end.0);
        if !random.chance(TOLD_JOBS) && is_over {
            continue;
        }
        let waits_again = of_job.last().is_none_or(|&run| !runs[run].is_last);
        let mut push = |run, attempt, at_us, state| changes.push(JobChange { job, run, attempt, at: Instant(at_us), state });
        if of_job.is_empty() {
            push(None, 1, jobs[job].queued_us, JobState::Queued);
        }
        for &index in of_job {
            let run = &runs[index];
            push(None, run.attempt, run.queued_us, JobState::Queued);
            push(Some(index), run.attempt, run.start_us, JobState::Running);
            let state = match run.went.outcome {
                Outcome::Succeeded => JobState::Succeeded,
                Outcome::Failed => JobState::Failed,
                Outcome::Cancelled => JobState::Cancelled,
            };
            if run.is_last {
                push(Some(index), run.attempt, run.end_us(), state);
            }
        }
        if let (true, Some(&last)) = (waits_again, of_job.last()) {
            push(None, runs[last].attempt + 1, runs[last].end_us() + 1_000, JobState::Queued);
        }
    }
    changes
}
