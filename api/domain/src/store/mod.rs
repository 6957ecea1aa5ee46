//! The only door to the database.
//!
//! Invariants: whoever reads for an answer does so in one [`Snapshot`]; whoever writes does so in one [`WriteTx`]. Database
//! text never leaves this layer but in the error chain that is logged.
//! Must not know: GraphQL, HTTP, what the figures mean.

mod alert_rules;
mod alert_series;
mod alerts;
mod audit;
mod backlog;
mod cells;
mod commits;
mod concurrency_hours;
mod costs;
mod derived;
mod dialect;
mod dirty;
mod facts;
mod job_marks;
mod job_pages;
mod job_updates;
mod jobs;
mod latest_samples;
mod leases;
mod lists;
mod loads;
mod machines;
mod names;
mod prices;
mod retention;
mod silences;
mod spans;
mod storage;
mod timelines;
mod touches;
mod webhooks;

use std::sync::Arc;

use plimsoll_entity::value::time::Instant;
use plimsoll_entity::value::varint::Truncated;
use plimsoll_migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement};

use crate::cell::part::Family;
use crate::clock::Clock;

pub use alert_series::SeriesDay;
pub use alerts::{Alert, AlertChange, RuleSubject};
pub use audit::AuditRow;
pub use backlog::Backlog;
pub use cells::{CellBlock, DeltaBlock, Grain};
pub use commits::{Edges, Passing};
pub use concurrency_hours::ReachingHour;
pub use costs::CostBlock;
pub use derived::DerivedKind;
pub use dialect::{ColumnData, Kind, OR_IGNORE, Pools, Rows, Value, WriteTx};
pub use dirty::{DirtyKind, DirtyMarks, MachineMarks, PriceMarks, Repriced};
pub use facts::{ExecutionColumns, ExecutionFact, GpuSampleFact, VmSampleFact, decode_gpus, encode_gpus};
pub use job_marks::JobMarks;
pub use job_pages::{JobIds, JobSource, state_of};
pub use job_updates::{CommitEntries, JobEntry};
pub use jobs::{Attempt, Counted, Job, JobChange, JobColumns, JobFact, ToldJob};
pub use latest_samples::LatestGpuSample;
pub use leases::{LEASE_US, Lease, Leasehold};
pub use lists::{ColumnFilter, NewestFirst, Page};
pub use loads::LoadFact;
pub use names::{Attribute, NameDimension, NamePage, NamedRow};
pub use retention::{Kept, LOOK_BACK_US, RawKind, RawTable};
pub use silences::SampleEdge;
pub use spans::{ExecutionSpan, OpenJob};
pub use storage::{LoadReach, StorageSize};
pub use timelines::{Built, HOURS_PER_READ, MachineHour, RunRow, Touches};
pub use webhooks::{Delivery, WEBHOOKS_QUEUED_MAX, WebhookQueue};

/// Keys that one statement of a snapshot names.
const KEYS_PER_STATEMENT: usize = 500;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that Plimsoll knows.
    #[error("the database URL must begin with sqlite:// or postgres://")]
    Url,
    /// The database cannot be opened or reached.
    #[error("cannot open the database")]
    Connect(#[source] Box<sqlx::Error>),
    /// Another process holds the database file.
    #[error("another plimsoll process has the database open")]
    Locked,
    /// The database was written by a newer version.
    #[error("the database was made by a newer plimsoll (it has the migration `{0}`): upgrade this binary")]
    Newer(String),
    /// The database was written by an older version.
    #[error("the database was made by an older plimsoll: run `plimsoll migrate`, or start the server once")]
    Older,
    /// A migration failed.
    #[error("cannot migrate the database")]
    Migrate(#[source] Box<DbErr>),
    /// A read failed.
    #[error("cannot read from the database")]
    Read(#[source] Box<DbErr>),
    /// A write failed.
    #[error("cannot write to the database")]
    Write(#[source] Box<sqlx::Error>),
    /// A value could not be encoded for the database.
    #[error("cannot encode a value for the database")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored cell block is damaged.
    #[error("a stored cell block is damaged")]
    Block(#[source] Truncated),
    /// A stored row cannot be what it should be.
    #[error("a stored {0} has a value that it cannot have")]
    Inconsistent(&'static str),
    /// Rows that the question needs have been dropped by age.
    #[error("{what} from before {since} are not kept any more")]
    Dropped {
        /// What is gone.
        what: &'static str,
        /// Since when it is kept.
        since: Instant,
    },
    /// Somebody else changed what this transaction had read; doing it again is safe.
    #[error("somebody else was faster")]
    Contended,
}

impl StoreError {
    pub(crate) fn connect(source: sqlx::Error) -> Self {
        Self::Connect(Box::new(source))
    }

    pub(crate) fn read(source: DbErr) -> Self {
        Self::Read(Box::new(source))
    }

    pub(crate) fn write(source: sqlx::Error) -> Self {
        Self::Write(Box::new(source))
    }

    pub(crate) fn encode(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Encode(source)
    }

    /// Whether the same transaction may succeed at once: a deadlock, a serialization failure, or somebody faster.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::Write(source) => source
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| matches!(&*code, "40001" | "40P01" | "23505" | "42P07")),
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether a lock was not to be had within the time that was set for it.
    #[must_use]
    pub fn is_unavailable_lock(&self) -> bool {
        matches!(self, Self::Write(source) if source.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03"))
    }

    /// Whether the database cannot be reached at all, so that trying something smaller is no use.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Locked => true,
            Self::Write(source) => source.as_database_error().is_none(),
            _ => false,
        }
    }
}

impl From<Truncated> for StoreError {
    fn from(source: Truncated) -> Self {
        Self::Block(source)
    }
}

/// The lock of whoever brings the tables up to date: "migr" in ASCII.
const MIGRATION_LOCK: i64 = 0x6d69_6772 << 32;

/// The store.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    clock: Arc<dyn Clock>,
    // SQLite has no advisory locks, and one process: this lock stands for all of them.
    blocks: Arc<tokio::sync::Mutex<()>>,
    // Held for as long as the store lives.
    _lock: Option<Arc<std::fs::File>>,
}

/// The right to change the blocks of one family and day, before anything of it has been read.
#[derive(Debug)]
pub struct BlockLock {
    store: Store,
    tx: Option<WriteTx>,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

/// A transaction that changes the blocks of one family and day.
#[derive(Debug)]
pub struct BlockTx {
    tx: WriteTx,
    // Given back after the commit.
    _guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl BlockLock {
    /// Begins to write what was worked out under the lock.
    ///
    /// # Errors
    /// [`StoreError::Write`] when the database does not answer.
    pub async fn begin(self) -> Result<BlockTx, StoreError> {
        let tx = match self.tx {
            Some(tx) => tx,
            None => self.store.begin_write().await?,
        };
        Ok(BlockTx { tx, _guard: self.guard })
    }
}

impl BlockTx {
    /// Commits and gives the lock back.
    ///
    /// # Errors
    /// [`StoreError::Write`] when the database refuses.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}

impl std::ops::Deref for BlockTx {
    type Target = WriteTx;

    fn deref(&self) -> &WriteTx {
        &self.tx
    }
}

impl std::ops::DerefMut for BlockTx {
    fn deref_mut(&mut self) -> &mut WriteTx {
        &mut self.tx
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// One state of everything, for one answer.
#[derive(Debug)]
pub struct Snapshot {
    tx: DatabaseTransaction,
    kept: Kept,
    /// Everything committed before this instant is in it.
    pub as_of: Instant,
}

impl Store {
    /// Opens the database. A SQLite file is held exclusively: a second process is told so.
    ///
    /// # Errors
    /// [`StoreError`] when the URL is wrong, the file is held or the database cannot be reached.
    pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let lock = sqlite_lock(url)?;
        let pools = Pools::open(url).await?;
        Ok(Self { pools, clock, blocks: Arc::default(), _lock: lock.map(Arc::new) })
    }

    /// Opens a database to read from it beside whoever has it open, with much time for each question. A SQLite file is not held: the lock
    /// keeps two processes from writing, and SQLite lets one read while the other writes. Every write fails.
    ///
    /// # Errors
    /// [`StoreError`] when the URL is wrong, the database is not there or cannot be reached.
    pub async fn open_beside(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Ok(Self { pools: Pools::open_beside(url).await?, clock, blocks: Arc::default(), _lock: None })
    }

    /// Whether the tables are those of this version.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Older`] when they are not; what the database says.
    pub async fn check_tables(&self) -> Result<(), StoreError> {
        let connection = self.pools.reader();
        let applied = Statement::from_string(connection.get_database_backend(), "SELECT version FROM seaql_migrations ORDER BY version");
        let rows = connection.query_all_raw(applied).await.map_err(StoreError::read)?;
        let mut known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        for row in rows {
            let version: String = row.try_get_by_index(0).map_err(StoreError::read)?;
            match known.iter().position(|known| *known == version) {
                Some(place) => _ = known.swap_remove(place),
                None => return Err(StoreError::Newer(version)),
            }
        }
        if known.is_empty() { Ok(()) } else { Err(StoreError::Older) }
    }

    /// Brings the tables up to this version.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer version has been here, [`StoreError::Migrate`] when a migration fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Replicas that start together wait for each other. SQLite has one process, and one connection that writes.
        let _turn = match self.pools.is_one_process() {
            true => None,
            false => {
                let mut turn = self.begin_write().await?;
                turn.take_time().await?;
                turn.lock(MIGRATION_LOCK).await?;
                Some(turn)
            }
        };
        let connection = self.pools.migrator();
        let migrate = |error| StoreError::Migrate(Box::new(error));
        Migrator::install(&connection).await.map_err(migrate)?;
        let applied = Statement::from_string(connection.get_database_backend(), "SELECT version FROM seaql_migrations ORDER BY version");
        let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        for row in connection.query_all_raw(applied).await.map_err(migrate)? {
            let version: String = row.try_get_by_index(0).map_err(migrate)?;
            if !known.contains(&version) {
                return Err(StoreError::Newer(version));
            }
        }
        Migrator::up(&connection, None).await.map_err(migrate)
    }

    /// Begins a snapshot.
    ///
    /// # Errors
    /// [`StoreError::Read`] when the database does not answer.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let as_of = self.clock.now();
        let (tx, counters) = self.pools.begin_read(retention::COUNTERS).await?;
        Ok(Snapshot { tx, kept: Kept::read(&counters)?, as_of })
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`StoreError::Write`] when the database does not answer.
    pub async fn begin_write(&self) -> Result<WriteTx, StoreError> {
        self.pools.begin_write().await
    }

    /// Waits for the right to change the blocks of one family and day. What is read after this is what the last holder left.
    ///
    /// # Errors
    /// [`StoreError::Write`] when the database does not answer.
    pub async fn lock_blocks(&self, family: Family, day: i32) -> Result<BlockLock, StoreError> {
        if self.pools.is_one_process() {
            return Ok(BlockLock { store: self.clone(), tx: None, guard: Some(Arc::clone(&self.blocks).lock_owned().await) });
        }
        let mut tx = self.begin_write().await?;
        tx.cell_lock(family, day).await?;
        Ok(BlockLock { store: self.clone(), tx: Some(tx), guard: None })
    }

    /// Whether the database answers and has its tables.
    ///
    /// # Errors
    /// [`StoreError::Read`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.snapshot().await.map(|_| ())
    }

    /// Whether the tables of facts are partitioned by month.
    #[must_use]
    pub const fn is_partitioned(&self) -> bool {
        !self.pools.is_one_process()
    }

    /// The clock that instants of this store come from.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

impl Snapshot {
    pub(crate) const fn tx(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Rows of a statement with `?` placeholders.
    pub(crate) async fn rows(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<Vec<QueryResult>, StoreError> {
        let backend = self.tx.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, dialect::render(sql, backend), values);
        self.tx.query_all_raw(statement).await.map_err(StoreError::read)
    }
}

/// Takes the lock file beside a SQLite database file.
fn sqlite_lock(url: &str) -> Result<Option<std::fs::File>, StoreError> {
    let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) else { return Ok(None) };
    let path = path.split('?').next().unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(StoreError::Url);
    }
    let connect = |source| StoreError::connect(sqlx::Error::Io(source));
    let file = std::fs::File::options().create(true).append(true).open(format!("{path}.lock")).map_err(connect)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(std::fs::TryLockError::Error(source)) => Err(connect(source)),
    }
}
