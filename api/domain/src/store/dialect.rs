//! The only file that knows which database it is: opening, placeholders, bulk writes, snapshots, locks.
//!
//! Invariants: SQLite has one writer connection (`synchronous=FULL`, so that an answer means committed) and many readers; a
//! PostgreSQL snapshot is REPEATABLE READ and read only. SQL is written with `?` and rendered here.
//! Must not know: what the tables mean.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel, QueryResult, TransactionTrait,
};
use sea_orm::{SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Postgres, Row, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::StoreError;

/// Advisory lock of whoever makes partitions.
const PARTITIONS_LOCK: i64 = 0x5041_5254_0000_0001;
/// Connections that read, on either database.
const READERS_MAX: u32 = 8;
/// Connections that write on PostgreSQL (SQLite has one).
const WRITERS_MAX: u32 = 4;
/// How long a statement may run on PostgreSQL, and a snapshot's statements together on SQLite.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for a store that is opened beside the one of the server, for work that takes its time.
const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);
/// Connections of such a store.
const BESIDE_READERS_MAX: u32 = 3;
/// PostgreSQL gives up a connection whose other end has died without a word after 25 s, and with it the locks that it held: whoever goes
/// on with the work of a dead process waits no longer.
const DEAD_PEER: [(&str, &str); 3] = [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];
/// Instructions of SQLite's machine between two looks at the time: some ten microseconds.
const OPERATIONS_BETWEEN_LOOKS: i32 = 10_000;
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process' lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Values that one SQLite statement may bind.
const SQLITE_BINDS_MAX: usize = 32_766;
/// Rows of one SQLite statement at most; smaller ones are powers of two, so that few statements are prepared.
const SQLITE_ROWS_MAX: usize = 512;
/// Rows of one PostgreSQL statement at most.
const POSTGRES_ROWS_MAX: usize = 10_000;
/// Rows that SQLite's thread reads before anybody has taken them.
const ROWS_AHEAD: usize = 1_024;
/// Write-ahead pages before SQLite checkpoints (32 MiB).
const WAL_PAGES: &str = "8000";

/// From now on the statements of this connection have so long; what runs on is interrupted.
async fn limit_time(connection: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    connection.lock_handle().await?.set_progress_handler(OPERATIONS_BETWEEN_LOOKS, move || begun.elapsed() < time);
    Ok(())
}

/// A value that is bound or read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// An id.
    Uuid(Uuid),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    Null,
}

/// What a read column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 16 to 64 bits.
    Int,
    /// A text.
    Text,
    /// An id.
    Uuid,
}

/// The values of one column, one a row.
#[derive(Clone, Debug)]
pub enum ColumnData {
    /// Whole numbers of any width.
    Ints(Vec<Option<i64>>),
    /// Floats.
    Floats(Vec<Option<f64>>),
    /// Truth values.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Ids.
    Uuids(Vec<Option<Uuid>>),
    /// Bytes.
    Bytes(Vec<Option<Vec<u8>>>),
}

/// Rows for one table, a column at a time.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub table: &'static str,
    /// The columns, all of one length.
    pub columns: Vec<(&'static str, ColumnData)>,
    /// Number of rows.
    pub count: usize,
}

/// Leaves rows alone that stand there already.
pub const OR_IGNORE: &str = "ON CONFLICT DO NOTHING";

/// Pools of one database.
#[derive(Clone, Debug)]
pub enum Pools {
    /// One writer, many readers.
    Sqlite(SqlitePool, DatabaseConnection),
    /// Writers and readers.
    Postgres(PgPool, DatabaseConnection),
}

/// A transaction that writes.
#[derive(Debug)]
pub enum WriteTx {
    /// On SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Pools {
    /// Opens the pools of a URL (`sqlite://…` or `postgres://…`).
    ///
    /// # Errors
    /// [`StoreError`] when the URL is none of those or the database cannot be reached.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url).await
        } else {
            Err(StoreError::Url)
        }
    }

    async fn open_sqlite(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| StoreError::Url)?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(false)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .pragma("temp_store", "memory")
            // With fewer, the reading thread and the one that takes its rows wake each other all the time.
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().pragma("cache_size", "-32768"))
            .await
            .map_err(StoreError::connect)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(limit_time(connection, STATEMENT_TIMEOUT)))
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    limit_time(connection, STATEMENT_TIMEOUT).await?;
                    Ok(true)
                })
            })
            .connect_with(options.pragma("cache_size", "-4096").pragma("query_only", "on"))
            .await
            .map_err(StoreError::connect)?;
        Ok(Self::Sqlite(writer, SqlxSqliteConnector::from_sqlx_sqlite_pool(readers)))
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Url)?
            .application_name("plimsoll")
            .options([("statement_timeout", STATEMENT_TIMEOUT.as_millis().to_string()), ("jit", "off".to_owned())])
            .options(DEAD_PEER)
            .disable_statement_logging();
        let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = pool(WRITERS_MAX).connect_with(options.clone()).await.map_err(StoreError::connect)?;
        let readers = pool(READERS_MAX).connect_with(options).await.map_err(StoreError::connect)?;
        Ok(Self::Postgres(writer, SqlxPostgresConnector::from_sqlx_postgres_pool(readers)))
    }

    /// Opens pools that only read, with much time, beside whoever else has the database open.
    ///
    /// # Errors
    /// As [`Pools::open`].
    pub async fn open_beside(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(|_| StoreError::Url)?
                .create_if_missing(false)
                .read_only(true)
                .busy_timeout(BUSY_TIMEOUT)
                .pragma("temp_store", "memory")
                .pragma("cache_size", "-4096")
                .pragma("query_only", "on")
                .row_buffer_size(ROWS_AHEAD)
                .disable_statement_logging();
            let readers = SqlitePoolOptions::new()
                .max_connections(BESIDE_READERS_MAX)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .after_connect(|connection, _| Box::pin(limit_time(connection, LONG_STATEMENT_TIMEOUT)))
                .before_acquire(|connection, _| {
                    Box::pin(async move {
                        limit_time(connection, LONG_STATEMENT_TIMEOUT).await?;
                        Ok(true)
                    })
                })
                .connect_with(options)
                .await
                .map_err(StoreError::connect)?;
            return Ok(Self::Sqlite(readers.clone(), SqlxSqliteConnector::from_sqlx_sqlite_pool(readers)));
        }
        if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(StoreError::Url);
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Url)?
            .application_name("plimsoll exports")
            .options([
                ("statement_timeout", LONG_STATEMENT_TIMEOUT.as_millis().to_string()),
                ("default_transaction_read_only", "on".to_owned()),
                ("jit", "off".to_owned()),
            ])
            .disable_statement_logging();
        let readers = PgPoolOptions::new().max_connections(BESIDE_READERS_MAX).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options);
        let readers = readers.await.map_err(StoreError::connect)?;
        Ok(Self::Postgres(readers.clone(), SqlxPostgresConnector::from_sqlx_postgres_pool(readers)))
    }

    /// The connection that reads.
    #[must_use]
    pub const fn reader(&self) -> &DatabaseConnection {
        match self {
            Self::Sqlite(_, reader) | Self::Postgres(_, reader) => reader,
        }
    }

    /// Whether one process holds the whole database, so that its own locks are enough.
    #[must_use]
    pub const fn is_one_process(&self) -> bool {
        matches!(self, Self::Sqlite(..))
    }

    /// A connection on which migrations may run.
    #[must_use]
    pub fn migrator(&self) -> DatabaseConnection {
        match self {
            Self::Sqlite(writer, _) => SqlxSqliteConnector::from_sqlx_sqlite_pool(writer.clone()),
            Self::Postgres(writer, _) => SqlxPostgresConnector::from_sqlx_postgres_pool(writer.clone()),
        }
    }

    /// Begins a snapshot: a read transaction that sees one state of everything. It begins with its first read, whose rows are given.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin_read(&self, first: &str) -> Result<(DatabaseTransaction, Vec<QueryResult>), StoreError> {
        let transaction = match self {
            Self::Sqlite(_, reader) => reader.begin().await.map_err(StoreError::read)?,
            Self::Postgres(_, reader) => reader
                .begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly))
                .await
                .map_err(StoreError::read)?,
        };
        // A SQLite snapshot and a PostgreSQL one begin with their first read.
        let first = sea_orm::Statement::from_string(transaction.get_database_backend(), first);
        let rows = transaction.query_all_raw(first).await.map_err(StoreError::read)?;
        Ok((transaction, rows))
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin_write(&self) -> Result<WriteTx, StoreError> {
        Ok(match self {
            Self::Sqlite(writer, _) => WriteTx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::write)?),
            Self::Postgres(writer, _) => WriteTx::Postgres(writer.begin().await.map_err(StoreError::write)?),
        })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(writer, reader) => {
                let _ = reader.clone().close().await;
                writer.close().await;
            }
            Self::Postgres(writer, reader) => {
                let _ = reader.clone().close().await;
                writer.close().await;
            }
        }
    }
}

/// SQL with `?` as the backend writes it.
#[must_use]
pub fn render(sql: &str, backend: DbBackend) -> String {
    if backend != DbBackend::Postgres {
        return sql.to_owned();
    }
    let mut out = String::with_capacity(sql.len() + 16);
    for (number, piece) in sql.split('?').enumerate() {
        if number > 0 {
            let _ = write!(out, "${number}");
        }
        out.push_str(piece);
    }
    out
}

impl WriteTx {
    /// Commits.
    ///
    /// # Errors
    /// [`StoreError`] when the database refuses or does not answer; then nothing of the transaction is kept, or (when the
    /// connection broke during the commit) it is unknown, and sending again is safe.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(StoreError::write)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer (the transaction is gone all the same).
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
        .map_err(StoreError::write)
    }

    /// Runs one statement; the number of rows that it changed.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), sqlite_arguments(values)?);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(render(sql, DbBackend::Postgres)), postgres_arguments(values)?);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
        .map_err(StoreError::write)
    }

    /// Reads rows; `kinds` says what their columns hold.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn fetch(&mut self, sql: &str, values: &[Value], kinds: &[Kind]) -> Result<Vec<Vec<Value>>, StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), sqlite_arguments(values)?);
                let rows = query.fetch_all(&mut **tx).await.map_err(StoreError::write)?;
                rows.iter().map(|row| sqlite_row(row, kinds)).collect()
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(render(sql, DbBackend::Postgres)), postgres_arguments(values)?);
                let rows = query.fetch_all(&mut **tx).await.map_err(StoreError::write)?;
                rows.iter().map(|row| postgres_row(row, kinds)).collect()
            }
        }
    }

    /// Reads rows whose `{in}` matches any of `keys`, in chunks; `first` are the values before it.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn fetch_in(&mut self, sql: &str, first: &[Value], keys: &[Value], kinds: &[Kind]) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut found = Vec::new();
        for chunk in keys.chunks(SQLITE_ROWS_MAX) {
            let places = vec!["?"; chunk.len()].join(", ");
            let values = [first, chunk].concat();
            found.extend(self.fetch(&sql.replace("{in}", &format!("IN ({places})")), &values, kinds).await?);
        }
        Ok(found)
    }

    /// Inserts rows; `on_conflict` is the clause for rows that stand there already. The number of rows that were written.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn insert(&mut self, rows: &Rows, on_conflict: &str) -> Result<u64, StoreError> {
        let mut inserted = 0;
        let mut ranges = self.chunks(rows);
        let Some(first) = ranges.next() else { return Ok(0) };
        let mut next = Some(self.statement(rows, first, on_conflict)?);
        while let Some(statement) = next.take() {
            let range = ranges.next();
            let backend = self.backend();
            // The next statement is put together while the database works on this one.
            let (done, prepared) = tokio::join!(self.run(statement), async move {
                range.map(|range| Statement::new(backend, rows, range, on_conflict)).transpose()
            });
            inserted += done?;
            next = prepared?;
        }
        Ok(inserted)
    }

    /// Ranges of rows that one statement takes.
    fn chunks(&self, rows: &Rows) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (count, columns, backend) = (rows.count, rows.columns.len(), self.backend());
        let mut from = 0;
        std::iter::from_fn(move || {
            let left = count - from;
            let size = if backend == DbBackend::Postgres { left.min(POSTGRES_ROWS_MAX) } else { sqlite_chunk(left, columns) };
            from += size;
            (left > 0).then(|| from - size..from)
        })
    }

    const fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    fn statement(&self, rows: &Rows, range: std::ops::Range<usize>, on_conflict: &str) -> Result<Statement, StoreError> {
        Statement::new(self.backend(), rows, range, on_conflict)
    }

    async fn run(&mut self, statement: Statement) -> Result<u64, StoreError> {
        match (self, statement.arguments) {
            (Self::Sqlite(tx), BoundArguments::Sqlite(arguments)) => {
                let query = sqlx::query_with(AssertSqlSafe(statement.sql), arguments);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(StoreError::write)
            }
            (Self::Postgres(tx), BoundArguments::Postgres(arguments)) => {
                let query = sqlx::query_with(AssertSqlSafe(statement.sql), arguments);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(StoreError::write)
            }
            _ => Err(StoreError::Inconsistent("statement")),
        }
    }

    /// Lets the statements of this transaction take as long as they need.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn take_time(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(_) => self.execute("SET LOCAL statement_timeout = 0", &[]).await.map(|_| ()),
        }
    }

    /// Marks a point to which [`WriteTx::restore`] goes back.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT plimsoll", &[]).await.map(|_| ())
    }

    /// Undoes everything since the last [`WriteTx::savepoint`].
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn restore(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO SAVEPOINT plimsoll", &[]).await.map(|_| ())
    }

    /// Waits for a lock that lasts until the transaction ends; on SQLite the transaction itself is the lock.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn lock(&mut self, key: i64) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            self.execute("SELECT pg_advisory_xact_lock(?)", &[Value::Int(key)]).await?;
        }
        Ok(())
    }

    /// As [`WriteTx::lock`], but many may hold it at the same time, and nobody who holds it alone.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn lock_shared(&mut self, key: i64) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            self.execute("SELECT pg_advisory_xact_lock_shared(?)", &[Value::Int(key)]).await?;
        }
        Ok(())
    }

    /// Makes the monthly partitions of `table` for the months that hold `months` (first instants and ends in microseconds).
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn ensure_partition(&mut self, table: &str, suffix: &str, start_us: i64, end_us: i64) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            // Two that look at the same time both find none, and the later one is refused.
            self.lock(PARTITIONS_LOCK).await?;
            let sql =
                format!("CREATE TABLE IF NOT EXISTS {table}_{suffix} PARTITION OF {table} FOR VALUES FROM ({start_us}) TO ({end_us})");
            self.execute(&sql, &[]).await?;
        }
        Ok(())
    }
}

fn sqlite_chunk(left: usize, columns: usize) -> usize {
    let most = SQLITE_ROWS_MAX.min(SQLITE_BINDS_MAX / columns.max(1));
    let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
    if left >= most { most } else { left.next_power_of_two() / if left.is_power_of_two() { 1 } else { 2 } }
}

fn column_names(rows: &Rows) -> String {
    rows.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// An insert with its values.
struct Statement {
    sql: String,
    arguments: BoundArguments,
}

enum BoundArguments {
    Sqlite(SqliteArguments),
    Postgres(PgArguments),
}

impl Statement {
    fn new(backend: DbBackend, rows: &Rows, range: std::ops::Range<usize>, on_conflict: &str) -> Result<Self, StoreError> {
        if backend == DbBackend::Postgres { Self::postgres(rows, range, on_conflict) } else { Self::sqlite(rows, range, on_conflict) }
    }

    fn sqlite(rows: &Rows, range: std::ops::Range<usize>, on_conflict: &str) -> Result<Self, StoreError> {
        let place = format!("({})", vec!["?"; rows.columns.len()].join(", "));
        let sql =
            format!("INSERT INTO {} ({}) VALUES {} {on_conflict}", rows.table, column_names(rows), vec![place; range.len()].join(", "));
        let mut arguments = SqliteArguments::default();
        arguments.reserve(range.len() * rows.columns.len(), 0);
        for row in range {
            for (_, data) in &rows.columns {
                match data {
                    ColumnData::Ints(values) => arguments.add(values[row]),
                    ColumnData::Floats(values) => arguments.add(values[row]),
                    ColumnData::Bools(values) => arguments.add(values[row]),
                    ColumnData::Texts(values) => arguments.add(values[row].as_deref()),
                    ColumnData::Uuids(values) => arguments.add(values[row]),
                    ColumnData::Bytes(values) => arguments.add(values[row].as_deref()),
                }
                .map_err(StoreError::encode)?;
            }
        }
        Ok(Self { sql, arguments: BoundArguments::Sqlite(arguments) })
    }

    fn postgres(rows: &Rows, range: std::ops::Range<usize>, on_conflict: &str) -> Result<Self, StoreError> {
        let mut arguments = PgArguments::default();
        let mut arrays = Vec::with_capacity(rows.columns.len());
        for (at, (_, data)) in rows.columns.iter().enumerate() {
            let range = range.clone();
            let (kind, added) = match data {
                ColumnData::Ints(values) => ("bigint", arguments.add(&values[range])),
                ColumnData::Floats(values) => ("double precision", arguments.add(&values[range])),
                ColumnData::Bools(values) => ("boolean", arguments.add(&values[range])),
                ColumnData::Texts(values) => ("text", arguments.add(&values[range])),
                ColumnData::Uuids(values) => ("uuid", arguments.add(&values[range])),
                ColumnData::Bytes(values) => ("bytea", arguments.add(&values[range])),
            };
            added.map_err(StoreError::encode)?;
            arrays.push(format!("${}::{kind}[]", at + 1));
        }
        let sql = format!("INSERT INTO {} ({}) SELECT * FROM UNNEST({}) {on_conflict}", rows.table, column_names(rows), arrays.join(", "));
        Ok(Self { sql, arguments: BoundArguments::Postgres(arguments) })
    }
}

macro_rules! arguments {
    ($name:ident, $arguments:ty) => {
        fn $name(values: &[Value]) -> Result<$arguments, StoreError> {
            let mut arguments = <$arguments>::default();
            for value in values {
                match value {
                    Value::Int(value) => arguments.add(*value),
                    Value::Text(value) => arguments.add(value.as_str()),
                    Value::Uuid(value) => arguments.add(*value),
                    Value::Bytes(value) => arguments.add(value.as_slice()),
                    Value::Null => arguments.add(None::<i64>),
                }
                .map_err(StoreError::encode)?;
            }
            Ok(arguments)
        }
    };
}
arguments!(sqlite_arguments, SqliteArguments);
arguments!(postgres_arguments, PgArguments);

fn sqlite_row(row: &SqliteRow, kinds: &[Kind]) -> Result<Vec<Value>, StoreError> {
    kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| match kind {
            Kind::Int => row.try_get::<Option<i64>, _>(at).map(|value| value.map_or(Value::Null, Value::Int)),
            Kind::Text => row.try_get::<Option<String>, _>(at).map(|value| value.map_or(Value::Null, Value::Text)),
            Kind::Uuid => row.try_get::<Option<Uuid>, _>(at).map(|value| value.map_or(Value::Null, Value::Uuid)),
        })
        .collect::<Result<_, _>>()
        .map_err(StoreError::write)
}

fn postgres_row(row: &PgRow, kinds: &[Kind]) -> Result<Vec<Value>, StoreError> {
    // Integers come in three widths.
    let int = |at: usize| {
        row.try_get::<Option<i64>, _>(at)
            .or_else(|_| row.try_get::<Option<i32>, _>(at).map(|value| value.map(i64::from)))
            .or_else(|_| row.try_get::<Option<i16>, _>(at).map(|value| value.map(i64::from)))
    };
    kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| match kind {
            Kind::Int => int(at).map(|value| value.map_or(Value::Null, Value::Int)),
            Kind::Text => row.try_get::<Option<String>, _>(at).map(|value| value.map_or(Value::Null, Value::Text)),
            Kind::Uuid => row.try_get::<Option<Uuid>, _>(at).map(|value| value.map_or(Value::Null, Value::Uuid)),
        })
        .collect::<Result<_, _>>()
        .map_err(StoreError::write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_on_postgres() {
        assert_eq!(render("a = ? AND b = ?", DbBackend::Postgres), "a = $1 AND b = $2");
        assert_eq!(render("a = ?", DbBackend::Sqlite), "a = ?");
    }

    #[test]
    fn sqlite_statements_have_few_sizes() {
        assert_eq!(sqlite_chunk(5000, 24), 512);
        assert_eq!(sqlite_chunk(300, 24), 256);
        assert_eq!(sqlite_chunk(256, 24), 256);
        assert_eq!(sqlite_chunk(1, 24), 1);
        assert_eq!(sqlite_chunk(5000, 100), 256);
    }

    #[tokio::test]
    async fn a_sqlite_statement_that_runs_on_is_interrupted() {
        use sqlx::{Connection as _, Executor as _};
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        limit_time(&mut connection, Duration::from_millis(20)).await.unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let error = connection.fetch_one(endless).await.unwrap_err();
        assert!(error.to_string().contains("interrupted"), "{error}");
        limit_time(&mut connection, Duration::from_secs(60)).await.unwrap();
        connection.fetch_one("SELECT 1").await.unwrap();
    }
}
