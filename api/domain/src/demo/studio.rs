//! The made-up studio: what it owns, who works there, what they run. Constants only.
//!
//! Invariants: an index in one table points into the table named beside it; fewer than 64 artifacts, so that a set of them
//! is one word. Must not know: time and chance.

use plimsoll_entity::value::label::{CheckpointKind, PurchaseOption};

/// Bytes of one GiB.
pub const GIB: i64 = 1 << 30;

/// What a machine can be.
pub struct InstanceType {
    /// Name at the provider.
    pub name: &'static str,
    /// Provider.
    pub provider: &'static str,
    /// vCPUs.
    pub v_cpus: i64,
    /// Memory in GiB.
    pub memory_gib: i64,
    /// Product name of its GPUs.
    pub gpu_model: Option<&'static str>,
    /// GPUs.
    pub gpu_count: usize,
    /// Memory of one GPU in GiB.
    pub gpu_memory_gib: f64,
    /// Speed against an L40S.
    pub speed: f64,
}

const fn kind(
    name: &'static str,
    provider: &'static str,
    v_cpus: i64,
    memory_gib: i64,
    gpus: (Option<&'static str>, usize, f64, f64),
) -> InstanceType {
    InstanceType { name, provider, v_cpus, memory_gib, gpu_model: gpus.0, gpu_count: gpus.1, gpu_memory_gib: gpus.2, speed: gpus.3 }
}

/// Instance types.
pub const INSTANCE_TYPES: [InstanceType; 5] = [
    kind("g6.2xlarge", "aws", 8, 32, (Some("NVIDIA L4"), 1, 24.0, 0.55)),
    kind("a2-ultragpu-2g", "gcp", 24, 340, (Some("NVIDIA A100-SXM4-80GB"), 2, 80.0, 1.3)),
    kind("g6e.24xlarge", "aws", 96, 768, (Some("NVIDIA L40S"), 4, 48.0, 1.0)),
    kind("p4d.24xlarge", "aws", 96, 1152, (Some("NVIDIA A100-SXM4-40GB"), 8, 40.0, 1.15)),
    kind("c3-standard-22", "gcp", 22, 88, (None, 0, 0.0, 0.8)),
];

/// The instance type that had a bad day.
pub const REGRESSED_TYPE: usize = 2;

/// How a machine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// All the time, with a maintenance and now and then unreachable.
    Always,
    /// On workdays from morning to evening.
    Workdays,
    /// Until the provider wants it back, and again some time later.
    Spot,
    /// Stopped at weekends.
    WeekendStop,
    /// Asked for twice and never got.
    Failing,
}

/// What a machine's samples lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// Everything.
    Full,
    /// No disk figures and no GPU temperature.
    NoDisk,
    /// No network figures and no power.
    NoNetwork,
    /// Stops for some hours while the machine runs on.
    Gap,
    /// Nothing at all.
    Silent,
}

/// One machine.
pub struct Machine {
    /// Name.
    pub name: &'static str,
    /// Index into [`INSTANCE_TYPES`].
    pub kind: usize,
    /// Region.
    pub region: &'static str,
    /// How it is bought.
    pub purchase: PurchaseOption,
    /// How it lives.
    pub rhythm: Rhythm,
    /// What it reports.
    pub reporting: Reporting,
    /// Executions that share a slot.
    pub lanes: usize,
}

const fn machine(
    name: &'static str,
    kind: usize,
    region: &'static str,
    purchase: PurchaseOption,
    rhythm: Rhythm,
    reporting: Reporting,
    lanes: usize,
) -> Machine {
    Machine { name, kind, region, purchase, rhythm, reporting, lanes }
}

use PurchaseOption::{OnDemand, Reserved, Spot};

/// The fleet. A smaller fleet takes the first ones.
pub const MACHINES: [Machine; 16] = [
    machine("g6-01", 0, "us-east-1", OnDemand, Rhythm::Always, Reporting::Full, 1),
    machine("a2-01", 1, "europe-west4", OnDemand, Rhythm::Always, Reporting::NoDisk, 1),
    machine("g6e-01", 2, "us-east-1", OnDemand, Rhythm::Always, Reporting::Full, 1),
    machine("c3-01", 4, "europe-west4", OnDemand, Rhythm::Always, Reporting::Full, 2),
    machine("g6-02", 0, "us-east-1", Spot, Rhythm::Spot, Reporting::Gap, 2),
    machine("p4d-01", 3, "us-east-1", Reserved, Rhythm::Always, Reporting::Full, 1),
    machine("g6-03", 0, "eu-central-1", OnDemand, Rhythm::Workdays, Reporting::NoNetwork, 1),
    machine("g6-04", 0, "eu-central-1", Spot, Rhythm::Failing, Reporting::Full, 1),
    machine("a2-02", 1, "europe-west4", Spot, Rhythm::Spot, Reporting::NoDisk, 1),
    machine("c3-02", 4, "europe-west4", Spot, Rhythm::WeekendStop, Reporting::Silent, 2),
    machine("g6e-02", 2, "us-east-1", Spot, Rhythm::Spot, Reporting::NoNetwork, 1),
    machine("g6e-03", 2, "eu-central-1", OnDemand, Rhythm::Workdays, Reporting::Full, 1),
    machine("g6-05", 0, "eu-central-1", OnDemand, Rhythm::Workdays, Reporting::Full, 1),
    machine("g6-06", 0, "us-east-1", Spot, Rhythm::Spot, Reporting::Full, 1),
    machine("a2-03", 1, "europe-west4", OnDemand, Rhythm::Workdays, Reporting::Gap, 1),
    machine("g6-07", 0, "us-east-1", OnDemand, Rhythm::Workdays, Reporting::Silent, 1),
];

/// One base model version.
pub struct Model {
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// Type.
    pub kind: &'static str,
    /// Size of its weights in GiB.
    pub size_gib: f64,
    /// GPU memory that it needs in GiB, over all its GPUs; 0: runs on CPUs.
    pub memory_gib: f64,
    /// GPUs that it needs.
    pub gpus: usize,
    /// Inference of a job of ordinary size on an L40S, in seconds.
    pub inference_s: f64,
    /// Ordinary input and output, in MiB.
    pub io_mib: (f64, f64),
}

const fn model(
    name: (&'static str, &'static str, &'static str),
    size_gib: f64,
    memory_gib: f64,
    gpus: usize,
    inference_s: f64,
    io_mib: (f64, f64),
) -> Model {
    Model { name: name.0, version: name.1, kind: name.2, size_gib, memory_gib, gpus, inference_s, io_mib }
}

/// Base model versions. The last one is stored and never used.
pub const MODELS: [Model; 9] = [
    model(("sdxl", "1.0", "TEXT_TO_IMAGE"), 6.5, 11.0, 1, 260.0, (0.4, 22.0)),
    model(("flux", "dev", "TEXT_TO_IMAGE"), 22.2, 20.5, 1, 560.0, (0.3, 30.0)),
    model(("flux", "1.1", "TEXT_TO_IMAGE"), 22.6, 20.8, 1, 470.0, (0.3, 30.0)),
    model(("wan-video", "2.1", "IMAGE_TO_VIDEO"), 26.8, 33.0, 1, 1500.0, (3.5, 140.0)),
    model(("wan-video", "2.2", "IMAGE_TO_VIDEO"), 53.0, 58.0, 2, 1350.0, (3.5, 150.0)),
    model(("hunyuan-video", "1.0", "TEXT_TO_VIDEO"), 25.6, 62.0, 2, 2300.0, (0.1, 210.0)),
    model(("qwen-image-edit", "2509", "IMAGE_TO_IMAGE"), 38.0, 36.0, 1, 340.0, (9.0, 26.0)),
    model(("whisper", "large-v3", "SPEECH_TO_TEXT"), 2.9, 0.0, 0, 620.0, (60.0, 0.05)),
    model(("sdxl", "0.9", "TEXT_TO_IMAGE"), 6.6, 11.0, 1, 260.0, (0.4, 22.0)),
];

/// One checkpoint version.
pub struct Checkpoint {
    /// Kind.
    pub kind: CheckpointKind,
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// Size in GiB.
    pub size_gib: f64,
    /// Inference time with it against without.
    pub slowdown: f64,
    /// Probability that its output is not a number.
    pub nan_ratio: f64,
}

const fn checkpoint(
    kind: CheckpointKind,
    name: &'static str,
    version: &'static str,
    size_gib: f64,
    slowdown: f64,
    nan_ratio: f64,
) -> Checkpoint {
    Checkpoint { kind, name, version, size_gib, slowdown, nan_ratio }
}

use CheckpointKind::{Controlnet, Embedding, FineTune, Lora, Other, Vae};

/// Checkpoint versions of 21 checkpoints. The last two are stored and never used.
pub const CHECKPOINTS: [Checkpoint; 28] = [
    checkpoint(Lora, "ink-wash", "2", 0.21, 1.04, 0.004),
    checkpoint(Lora, "ink-wash", "3", 0.22, 1.05, 0.31), // trained with a broken learning rate: the bad version
    checkpoint(Lora, "anime-lines", "4", 0.34, 1.03, 0.003),
    checkpoint(Lora, "anime-lines", "5", 0.36, 1.03, 0.003),
    checkpoint(Lora, "turbo", "2", 0.75, 0.52, 0.008),
    checkpoint(Lora, "film-grain", "1", 0.11, 1.02, 0.003),
    checkpoint(Lora, "neon-city", "7", 0.44, 1.05, 0.004),
    checkpoint(Lora, "hero-mira", "12", 0.17, 1.03, 0.003),
    checkpoint(Lora, "hero-mira", "13", 0.17, 1.03, 0.003),
    checkpoint(Lora, "camera-orbit", "1", 0.62, 1.06, 0.006),
    checkpoint(Lora, "motion-smooth", "3", 1.2, 1.1, 0.006),
    checkpoint(Lora, "storyboard", "1", 0.3, 1.03, 0.003),
    checkpoint(Controlnet, "depth", "1", 2.3, 1.32, 0.004),
    checkpoint(Controlnet, "depth", "2", 2.4, 1.21, 0.004),
    checkpoint(Controlnet, "canny", "1", 2.3, 1.28, 0.004),
    checkpoint(Controlnet, "pose", "1.1", 2.5, 1.3, 0.004),
    checkpoint(Controlnet, "union-pro", "2", 6.1, 1.38, 0.005),
    checkpoint(FineTune, "product-shots", "3", 6.5, 1.0, 0.003),
    checkpoint(FineTune, "noir", "1", 23.1, 1.0, 0.005),
    checkpoint(FineTune, "harbor-series", "8", 26.9, 1.0, 0.004),
    checkpoint(FineTune, "dialects-de", "2", 2.9, 1.0, 0.001),
    checkpoint(Vae, "sharp-vae", "1", 0.31, 1.01, 0.006),
    checkpoint(Vae, "video-vae", "2", 0.5, 1.04, 0.004),
    checkpoint(Embedding, "bad-hands", "5", 0.01, 1.0, 0.002),
    checkpoint(Embedding, "studio-look", "1", 0.01, 1.0, 0.002),
    checkpoint(Other, "ip-adapter", "2", 1.6, 1.18, 0.004),
    checkpoint(Lora, "pixel-art", "1", 0.2, 1.0, 0.0),
    checkpoint(FineTune, "noir", "0.3", 23.1, 1.0, 0.0),
];

/// A base model version and the checkpoints applied to it.
pub struct Combination {
    /// Index into [`MODELS`].
    pub model: usize,
    /// Indices into [`CHECKPOINTS`].
    pub checkpoints: &'static [usize],
}

const fn combination(model: usize, checkpoints: &'static [usize]) -> Combination {
    Combination { model, checkpoints }
}

/// What people run, the most popular first.
pub const COMBINATIONS: [Combination; 46] = [
    combination(0, &[2]),
    combination(1, &[]),
    combination(0, &[]),
    combination(3, &[9]),
    combination(1, &[7]),
    combination(0, &[2, 12]),
    combination(7, &[]),
    combination(2, &[8]),
    combination(6, &[]),
    combination(0, &[17]),
    combination(4, &[]),
    combination(1, &[1]),
    combination(0, &[4]),
    combination(3, &[]),
    combination(0, &[17, 23]),
    combination(2, &[]),
    combination(1, &[0]),
    combination(0, &[3]),
    combination(4, &[10]),
    combination(5, &[]),
    combination(6, &[25]),
    combination(1, &[7, 16]),
    combination(0, &[3, 13]),
    combination(7, &[20]),
    combination(0, &[2, 21]),
    combination(3, &[9, 22]),
    combination(1, &[6]),
    combination(2, &[8, 16]),
    combination(0, &[17, 14, 23]),
    combination(4, &[10, 22]),
    combination(1, &[18]),
    combination(0, &[4, 13]),
    combination(3, &[19]),
    combination(0, &[15]),
    combination(1, &[5, 24]),
    combination(2, &[6]),
    combination(0, &[2, 3]), // two versions of one checkpoint at once
    combination(3, &[19, 9]),
    combination(5, &[22]),
    combination(1, &[1, 5]),
    combination(0, &[12, 14, 23, 21]),
    combination(6, &[25, 11]),
    combination(2, &[0, 6]),
    combination(4, &[19]),
    combination(1, &[11]),
    combination(0, &[2, 12, 14, 15, 21, 23]),
];

/// Departments, by how much they run.
pub const DEPARTMENTS: [&str; 4] = ["Animation", "Advertising", "R&D", "Localization"];

/// Projects and the index of their department.
pub const PROJECTS: [(&str, usize); 12] = [
    ("Harbor, season 2", 0),
    ("Mira and the Fox", 0),
    ("Paper Moon", 0),
    ("Title sequences", 0),
    ("Spring catalogue", 1),
    ("Northwind cars", 1),
    ("Café Lumière", 1),
    ("Look development", 2),
    ("Fast previews", 2),
    ("Model evaluation", 2),
    ("Harbor subtitles", 3),
    ("Podcast archive", 3),
];

/// People and the index of their department.
pub const USERS: [(&str, usize); 30] = [
    ("anna", 0),
    ("björn", 0),
    ("chiara", 0),
    ("dmitri", 0),
    ("elif", 0),
    ("farid", 0),
    ("grace", 0),
    ("haruto", 0),
    ("ines", 0),
    ("jonas", 0),
    ("katya", 0),
    ("liam", 0),
    ("maría", 0),
    ("nils", 1),
    ("olivia", 1),
    ("pavel", 1),
    ("quynh", 1),
    ("rosa", 1),
    ("sam", 1),
    ("tariq", 1),
    ("uma", 1),
    ("viktor", 2),
    ("wei", 2),
    ("ximena", 2),
    ("yusuf", 2),
    ("zoë", 2),
    ("nightly-eval", 2),
    ("amara", 3),
    ("bastien", 3),
    ("subtitle-bot", 3),
];

/// Applications.
pub const APPLICATIONS: [&str; 3] = ["studio-web", "batch-render", "nuke-plugin"];

/// Something that is stored and loaded: a base model version or a checkpoint version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// Index into [`MODELS`].
    Model(usize),
    /// Index into [`CHECKPOINTS`].
    Checkpoint(usize),
}

impl Artifact {
    /// Its bit in a set of artifacts.
    #[must_use]
    pub const fn bit(self) -> u64 {
        match self {
            Self::Model(index) => 1 << index,
            Self::Checkpoint(index) => 1 << (MODELS.len() + index),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size_bytes(self) -> i64 {
        let gib = match self {
            Self::Model(index) => MODELS[index].size_gib,
            Self::Checkpoint(index) => CHECKPOINTS[index].size_gib,
        };
        (gib * GIB as f64) as i64 + 4_096 * (self.bit().trailing_zeros() as i64 + 1)
    }

    /// Every artifact.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..MODELS.len()).map(Self::Model).chain((0..CHECKPOINTS.len()).map(Self::Checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_studio_has_no_repeats() {
        let sets: HashSet<_> =
            COMBINATIONS.iter().map(|c| (c.model, c.checkpoints.iter().fold(0, |set, &k| set | Artifact::Checkpoint(k).bit()))).collect();
        assert_eq!(sets.len(), COMBINATIONS.len());
        let versions: HashSet<_> = CHECKPOINTS.iter().map(|c| (c.kind, c.name, c.version)).collect();
        assert_eq!(versions.len(), CHECKPOINTS.len());
        assert!(MODELS.len() + CHECKPOINTS.len() < 64);
    }
}
