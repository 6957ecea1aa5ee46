//! Where the weights lie: a shared file system and an object store per provider, and the machines' own disks.
//!
//! Invariant: a place is an artifact, a storage type and a location; it is told when its size changes. Must not know: jobs.

use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use uuid::Uuid;

use crate::demo::random::Random;
use crate::demo::schedule::Cached;
use crate::demo::studio::{Artifact, CHECKPOINTS, COMBINATIONS, INSTANCE_TYPES, MACHINES, MODELS};

/// Where a load came from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Kind of storage.
    pub storage_type: StorageType,
    /// Where in it.
    pub location: Option<&'static str>,
    /// It was on the machine.
    pub hit: bool,
    /// Speed.
    pub bytes_per_us: f64,
}

/// Object store and shared file system of a provider.
fn shared(provider: &str) -> (&'static str, &'static str) {
    if provider == "gcp" { ("gs://studio-weights-eu", "filestore-01") } else { ("s3://studio-weights", "fsx-weights") }
}

/// Chooses where a load comes from.
pub fn source(random: &mut Random, vm: usize, cached: bool) -> Source {
    let (store, files) = shared(INSTANCE_TYPES[MACHINES[vm].kind].provider);
    let of = |storage_type, location, hit, bytes_per_us| Source { storage_type, location, hit, bytes_per_us };
    match (cached, random.unit()) {
        (true, drawn) if drawn < 0.12 => of(StorageType::HostMemory, None, true, 9_000.0),
        (true, _) => of(StorageType::LocalDisk, Some(disk(vm)), true, 2_600.0),
        (false, drawn) if drawn < 0.62 => of(StorageType::NetworkFilesystem, Some(files), false, 1_100.0),
        (false, _) => of(StorageType::ObjectStore, Some(store), false, 420.0),
    }
}

/// The disk of a machine.
const fn disk(vm: usize) -> &'static str {
    const DISKS: [&str; MACHINES.len()] = [
        "g6-01/nvme0",
        "a2-01/nvme0",
        "g6e-01/nvme0",
        "c3-01/nvme0",
        "g6-02/nvme0",
        "p4d-01/nvme0",
        "g6-03/nvme0",
        "g6-04/nvme0",
        "a2-02/nvme0",
        "c3-02/nvme0",
        "g6e-02/nvme0",
        "g6e-03/nvme0",
        "g6-05/nvme0",
        "g6-06/nvme0",
        "a2-03/nvme0",
        "g6-07/nvme0",
    ];
    DISKS[vm]
}

/// Bytes held in one place from an instant on.
pub struct Snapshot {
    /// Identity.
    pub id: Uuid,
    /// From when.
    pub at: Instant,
    /// What.
    pub artifact: Artifact,
    /// A base model that it belongs to, where told.
    pub model: Option<usize>,
    /// Kind of storage.
    pub storage_type: StorageType,
    /// Where in it.
    pub location: &'static str,
    /// Bytes; 0: deleted.
    pub size_bytes: i64,
}

/// Snapshots of the stores in the first minute and every week, and of the disks when something comes or goes.
pub fn snapshots(seed: u64, window: Window, cached: &[Cached]) -> Vec<Snapshot> {
    let mut random = Random::topic(seed, 3);
    let mut found = Vec::new();
    for provider in ["aws", "gcp"] {
        let (store, files) = shared(provider);
        for artifact in Artifact::all() {
            let model = of_model(artifact);
            let copies: &[_] = if is_used(artifact) {
                &[(StorageType::ObjectStore, store), (StorageType::NetworkFilesystem, files)]
            } else {
                &[(StorageType::ObjectStore, store)]
            };
            for &(storage_type, location) in copies {
                let mut at_us = window.start.0 + random.below(50_000_000) as i64;
                while at_us <= window.end.0 {
                    // The oldest version of all is thrown away in the last week.
                    let thrown =
                        artifact == Artifact::Checkpoint(CHECKPOINTS.len() - 1) && provider == "gcp" && at_us > window.end.0 - 7 * DAY_US;
                    let size_bytes = if thrown { 0 } else { artifact.size_bytes() };
                    found.push(Snapshot {
                        id: random.id(Instant(at_us)),
                        at: Instant(at_us),
                        artifact,
                        model,
                        storage_type,
                        location,
                        size_bytes,
                    });
                    at_us += 7 * DAY_US + random.below(60_000_000) as i64;
                }
            }
        }
    }
    for change in cached.iter().filter(|change| change.at_us <= window.end.0) {
        let (at, size_bytes) = (Instant(change.at_us), if change.present { change.artifact.size_bytes() } else { 0 });
        let (artifact, model, location) = (change.artifact, of_model(change.artifact), disk(change.vm));
        found.push(Snapshot { id: random.id(at), at, artifact, model, storage_type: StorageType::LocalDisk, location, size_bytes });
    }
    found
}

fn is_used(artifact: Artifact) -> bool {
    COMBINATIONS.iter().any(|combination| match artifact {
        Artifact::Model(index) => combination.model == index,
        Artifact::Checkpoint(index) => combination.checkpoints.contains(&index),
    })
}

/// The base model of a checkpoint that belongs to exactly one; of a model itself.
fn of_model(artifact: Artifact) -> Option<usize> {
    let Artifact::Checkpoint(wanted) = artifact else {
        let Artifact::Model(index) = artifact else { return None };
        return Some(index);
    };
    let mut models = (0..MODELS.len()).filter(|&model| COMBINATIONS.iter().any(|c| c.model == model && c.checkpoints.contains(&wanted)));
    let first = models.next();
    first.filter(|_| models.next().is_none())
}
