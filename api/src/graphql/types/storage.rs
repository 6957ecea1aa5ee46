//! What lies where: what it is broken down by, and its figures.

use async_graphql::{Enum, InputObject, Object, Result, SimpleObject};
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reading, RowKey};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::storage::{self, StorageFigures};

use super::enums::StorageType;
use super::filter::{CheckpointInput, CheckpointVersionInput};
use super::key::BreakdownKey;
use super::load::LoadFilter;
use super::window::TimeWindow;
use crate::graphql::ask::AskedFilter;
use crate::graphql::scalar::{DateTime, UInt53};

/// What storage can be broken down by. In every `by`: at most 4 dimensions, none twice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageDimension {
    /// Base model that lies there, or that the checkpoint is told to be of; null for checkpoints of which none was told.
    Model,
    /// Version of that base model.
    ModelVersion,
    /// Checkpoint; null for base models.
    Checkpoint,
    /// Checkpoint version; null for base models.
    CheckpointVersion,
    /// Type of the storage.
    StorageType,
    /// Location of the storage; null where none was told.
    StorageLocation,
}

impl From<StorageDimension> for Dimension {
    fn from(dimension: StorageDimension) -> Self {
        match dimension {
            StorageDimension::Model => Self::Model,
            StorageDimension::ModelVersion => Self::ModelVersion,
            StorageDimension::Checkpoint => Self::Checkpoint,
            StorageDimension::CheckpointVersion => Self::CheckpointVersion,
            StorageDimension::StorageType => Self::StorageType,
            StorageDimension::StorageLocation => Self::StorageLocation,
        }
    }
}

/// Which places count, and the loads that came from such. All conditions hold together; within a list any one matches.
#[derive(InputObject, Clone, Debug, Default)]
pub struct StorageFilter {
    /// Base models that lie there, or that checkpoints are told to be of.
    pub models: Option<Vec<String>>,
    /// Checkpoints, in any version.
    pub checkpoints: Option<Vec<CheckpointInput>>,
    /// Checkpoint versions.
    pub checkpoint_versions: Option<Vec<CheckpointVersionInput>>,
    /// Types of storage.
    pub storage_types: Option<Vec<StorageType>>,
    /// Locations of storage.
    pub storage_locations: Option<Vec<String>>,
}

impl AskedFilter for StorageFilter {
    type Ids = Filter;

    async fn ids(self, reading: &Reading) -> Result<Filter> {
        let same = LoadFilter {
            models: self.models,
            checkpoints: self.checkpoints,
            checkpoint_versions: self.checkpoint_versions,
            storage_types: self.storage_types,
            storage_locations: self.storage_locations,
            ..LoadFilter::default()
        };
        same.ids(reading).await
    }
}

/// What the rows of a breakdown of storage are ordered by, largest first, null last; equal: by the names of the key.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "storage::StorageOrder")]
pub enum StorageOrder {
    /// Bytes at the window's end.
    Size,
    /// Number of loads.
    Loads,
    /// Latest load, the newest first.
    LastLoaded,
}

/// Figures of storage.
#[derive(Clone, Debug)]
pub struct StorageStats(StorageFigures);

/// Bytes at the window's end; loads that ended in the window.
#[Object]
impl StorageStats {
    /// Bytes that lie there at the window's end.
    async fn size_bytes(&self) -> UInt53 {
        self.0.size_bytes.into()
    }

    /// Places with bytes at the window's end; a place is a base model version or checkpoint version on one storage type and location.
    async fn replicas(&self) -> UInt53 {
        self.0.replicas.into()
    }

    /// Bytes x hours over the window.
    async fn byte_hours(&self) -> f64 {
        self.0.byte_hours()
    }

    /// Loads that finished in the window and came from there, those that failed included.
    async fn loads(&self) -> UInt53 {
        self.0.loads.into()
    }

    /// Loads over the length of the window in days.
    async fn loads_per_day(&self) -> f64 {
        self.0.loads_per_day()
    }

    /// The end of the latest load ever, up to the window's end; null when there was none.
    async fn last_loaded_at(&self) -> Option<DateTime> {
        self.0.last_loaded_at.map(DateTime)
    }

    /// True when there were bytes at every instant of the window and no load came in it.
    async fn cold(&self) -> bool {
        self.0.is_cold()
    }
}

/// Storage by some dimensions.
#[derive(SimpleObject, Clone, Debug)]
pub struct StorageBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`: those that had bytes or a load in the window.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<StorageRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<StorageStats>,
    /// Everything.
    pub total: StorageStats,
}

/// A row of storage.
#[derive(SimpleObject, Clone, Debug)]
pub struct StorageRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: StorageStats,
}

impl From<Breakdown<StorageFigures>> for StorageBreakdown {
    fn from(of: Breakdown<StorageFigures>) -> Self {
        let row = |(key, figures): (RowKey, StorageFigures)| StorageRow { key: BreakdownKey(key), stats: StorageStats(figures) };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(StorageStats),
            total: StorageStats(of.total),
        }
    }
}
