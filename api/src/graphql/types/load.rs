//! Loads of base models and checkpoints: what they are broken down by, and their figures.

use std::collections::BTreeSet;

use async_graphql::{Context, Enum, InputObject, Lookahead, Object, Result, SimpleObject};
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reading, RowKey};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::loads::{self, LoadFigures};
use plimsoll_domain::cell::part::{KeyColumn, Part};
use plimsoll_domain::cost::load::LoadCostSums;
use plimsoll_domain::store::NameDimension;
use plimsoll_entity::value::label;

use super::enums::StorageType;
use super::execution_stats::Distribution;
use super::filter::{CheckpointInput, CheckpointVersionInput, ExecutionFilter, check, names};
use super::key::BreakdownKey;
use super::money::Money;
use super::window::TimeWindow;
use crate::graphql::ask::AskedFilter;
use crate::graphql::guard;
use crate::graphql::scalar::{DateTime, UInt53};

/// What loads can be broken down by. In every `by`: at most 4 dimensions, none twice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadDimension {
    /// Type of the base model, the newest that an event told.
    ModelType,
    /// Base model that was loaded, or that the checkpoint was loaded for.
    Model,
    /// Version of that base model.
    ModelVersion,
    /// Checkpoint; null for loads of the base model itself.
    Checkpoint,
    /// Checkpoint version; null for loads of the base model itself.
    CheckpointVersion,
    /// Machine.
    Vm,
    /// Instance type of the machine when the load finished.
    InstanceType,
    /// Region of the machine when the load finished.
    Region,
    /// Provider of the machine when the load finished.
    Provider,
    /// Type of the storage that it came from.
    StorageType,
    /// Location of the storage that it came from; null where none was told.
    StorageLocation,
    /// Error type; null for loads without one.
    ErrorType,
}

impl From<LoadDimension> for Dimension {
    fn from(dimension: LoadDimension) -> Self {
        match dimension {
            LoadDimension::ModelType => Self::ModelType,
            LoadDimension::Model => Self::Model,
            LoadDimension::ModelVersion => Self::ModelVersion,
            LoadDimension::Checkpoint => Self::Checkpoint,
            LoadDimension::CheckpointVersion => Self::CheckpointVersion,
            LoadDimension::Vm => Self::Vm,
            LoadDimension::InstanceType => Self::InstanceType,
            LoadDimension::Region => Self::Region,
            LoadDimension::Provider => Self::Provider,
            LoadDimension::StorageType => Self::StorageType,
            LoadDimension::StorageLocation => Self::StorageLocation,
            LoadDimension::ErrorType => Self::ErrorType,
        }
    }
}

/// Which loads count. All conditions hold together; within a list any one matches.
#[derive(InputObject, Clone, Debug, Default)]
pub struct LoadFilter {
    /// Base models that were loaded, or that checkpoints were loaded for.
    pub models: Option<Vec<String>>,
    /// Checkpoints, in any version.
    pub checkpoints: Option<Vec<CheckpointInput>>,
    /// Checkpoint versions.
    pub checkpoint_versions: Option<Vec<CheckpointVersionInput>>,
    /// Machines.
    pub vms: Option<Vec<String>>,
    /// Instance types of the machines when the loads finished.
    pub instance_types: Option<Vec<String>>,
    /// Regions of the machines when the loads finished.
    pub regions: Option<Vec<String>>,
    /// Types of the storage that they came from.
    pub storage_types: Option<Vec<StorageType>>,
    /// Locations of the storage that they came from.
    pub storage_locations: Option<Vec<String>>,
    /// Error types.
    pub error_types: Option<Vec<String>>,
    /// Only loads of what was already on the machine, or only of what was not; null: both.
    pub cache_hit: Option<bool>,
}

impl AskedFilter for LoadFilter {
    type Ids = Filter;

    async fn ids(self, reading: &Reading) -> Result<Filter> {
        check("filter.storageTypes", self.storage_types.as_ref())?;
        let location = "filter.storageLocations";
        let locations = names(reading, NameDimension::StorageLocation, location, self.storage_locations.as_ref()).await?;
        // What it asks like a filter of executions is found in the same way.
        let same = ExecutionFilter {
            models: self.models,
            checkpoints: self.checkpoints,
            checkpoint_versions: self.checkpoint_versions,
            vms: self.vms,
            instance_types: self.instance_types,
            regions: self.regions,
            error_types: self.error_types,
            ..ExecutionFilter::default()
        };
        let mut filter = same.resolve(reading).await?;
        if let Some(ids) = locations {
            filter.columns.insert(KeyColumn::StorageLocation as usize, ids);
        }
        if let Some(types) = self.storage_types {
            let codes = types.into_iter().map(|kind| label::StorageType::from(kind).code() as u32 + 1).collect();
            filter.columns.insert(KeyColumn::StorageType as usize, codes);
        }
        if let Some(cache_hit) = self.cache_hit {
            filter.columns.insert(KeyColumn::CacheHit as usize, [u32::from(cache_hit) + 1].into());
        }
        Ok(filter)
    }
}

/// What the rows of a breakdown of loads are ordered by, largest first, null last; equal: by the names of the key.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "loads::LoadOrder")]
pub enum LoadOrder {
    /// Number of loads.
    Loads,
    /// Loads of what was not on the machine.
    Misses,
    /// Bytes loaded.
    Bytes,
    /// 95th percentile of the duration.
    DurationP95,
}

/// Figures of loads.
#[derive(Clone, Debug)]
pub struct LoadStats(LoadFigures);

/// Loads that finished in the window, those that failed included.
#[Object]
impl LoadStats {
    /// Number of loads.
    async fn loads(&self) -> UInt53 {
        self.0.loads.into()
    }

    /// Loads of what was already on the machine.
    async fn cache_hits(&self) -> UInt53 {
        self.0.cache_hits.into()
    }

    /// Loads of what was not.
    async fn cache_misses(&self) -> UInt53 {
        self.0.cache_misses().into()
    }

    /// Cache hits / loads, 0 to 1; null without loads.
    async fn hit_ratio(&self) -> Option<f64> {
        self.0.hit_ratio()
    }

    /// Loads that failed.
    async fn failed(&self) -> UInt53 {
        self.0.failed.into()
    }

    /// Bytes of the loads that told them.
    async fn bytes(&self) -> UInt53 {
        self.0.size_bytes.into()
    }

    /// Time that loads took, finishedAt - startedAt; null without loads.
    async fn duration(&self) -> Option<Distribution> {
        self.0.duration.as_ref().map(Distribution::from)
    }

    /// Time that cache hits took; null without any.
    async fn hit_duration(&self) -> Option<Distribution> {
        self.0.hit_duration.as_ref().map(Distribution::from)
    }

    /// Time that cache misses took; null without any.
    async fn miss_duration(&self) -> Option<Distribution> {
        self.0.miss_duration.as_ref().map(Distribution::from)
    }

    /// Bytes of misses over the time that they took, of those that told their bytes; null where that is no time.
    async fn throughput_bytes_per_second(&self) -> Option<f64> {
        self.0.throughput_bytes_per_second
    }

    /// GPU time spent loading plus transfer charges. Null when neither is known for any load of the row, and without the role.
    #[graphql(directive = guard::requires::apply(guard::required("LoadStats.cost")))]
    async fn cost(&self, ctx: &Context<'_>) -> Option<LoadCost> {
        if !guard::allows(ctx, "LoadStats.cost") {
            return None;
        }
        self.0.cost.filter(LoadCostSums::is_known).map(LoadCost)
    }
}

/// What loads cost, in nano-units.
#[derive(Clone, Copy, Debug)]
pub struct LoadCost(LoadCostSums);

/// What loads cost, a view beside the bill: total = compute + transfer.
#[Object]
impl LoadCost {
    /// compute + transfer.
    async fn total(&self) -> Money {
        Money(self.0.total())
    }

    /// Duration x hourly rate of the machine when the load finished / its slots, half up, of the loads whose machine had a rate.
    async fn compute(&self) -> Money {
        Money(self.0.compute)
    }

    /// What the bill charges for the bytes of the cache misses.
    async fn transfer(&self) -> Money {
        Money(self.0.transfer)
    }

    /// Total / loads of which either is known, half up.
    async fn per_load(&self) -> Option<Money> {
        self.0.per_load().map(Money)
    }
}

/// Whether what loads cost is asked of `stats` objects, and the caller may read it: for others it is not worked out.
pub fn is_cost_asked(ctx: &Context<'_>, stats: &[Lookahead<'_>]) -> bool {
    stats.iter().any(|stats| stats.field("cost").exists()) && guard::demand(ctx, "LoadStats.cost").is_ok()
}

/// The parts that the fields asked of `stats` objects need.
pub fn load_parts_asked(stats: &[Lookahead<'_>]) -> BTreeSet<Part> {
    const PARTS: &[(&str, &[Part])] = &[
        ("loads", &[Part::Loads]),
        ("cacheHits", &[Part::CacheHits]),
        ("cacheMisses", &[Part::Loads, Part::CacheHits]),
        ("hitRatio", &[Part::Loads, Part::CacheHits]),
        ("failed", &[Part::FailedLoads]),
        ("bytes", &[Part::LoadSize]),
        ("duration", &[Part::HitDuration, Part::MissDuration]),
        ("hitDuration", &[Part::HitDuration]),
        ("missDuration", &[Part::MissDuration]),
        ("throughputBytesPerSecond", &[Part::MissSize, Part::SizedMissTime]),
    ];
    let asked = |field: &str| stats.iter().any(|stats| stats.field(field).exists());
    PARTS.iter().filter(|(field, _)| asked(field)).flat_map(|(_, parts)| parts.iter().copied()).collect()
}

/// Loads by some dimensions.
#[derive(SimpleObject, Clone, Debug)]
pub struct LoadBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<LoadBreakdownRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<LoadStats>,
    /// Everything.
    pub total: LoadStats,
}

/// A row of loads.
#[derive(SimpleObject, Clone, Debug)]
pub struct LoadBreakdownRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: LoadStats,
}

impl From<Breakdown<LoadFigures>> for LoadBreakdown {
    fn from(of: Breakdown<LoadFigures>) -> Self {
        let row = |(key, figures): (RowKey, LoadFigures)| LoadBreakdownRow { key: BreakdownKey(key), stats: LoadStats(figures) };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(LoadStats),
            total: LoadStats(of.total),
        }
    }
}
