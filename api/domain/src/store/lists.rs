//! Lists, a page at a time: executions, jobs, machines' names, audit entries.
//!
//! Pages are read by key, never by offset, so that a page costs the same wherever it lies.
//! Invariant: the order is total (an id decides at the end). Must not know: what a caller may see, how cursors are written.

use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::{audit_entry, event_key, execution};
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QueryResult, QuerySelect, Select};
use uuid::Uuid;

use super::audit::SEPARATOR;
use super::{AuditRow, Snapshot, StoreError};

/// Where a page begins and how it runs. `K` is what the list is ordered by.
#[derive(Clone, Debug, Default)]
pub struct Page<K> {
    /// Only behind this one.
    pub after: Option<K>,
    /// Only before this one.
    pub before: Option<K>,
    /// From the end.
    pub backwards: bool,
    /// Rows at most.
    pub limit: u64,
}

/// Instant and id: newest first, then by id.
pub type NewestFirst = (Instant, Uuid);

/// Column ids that a row must have one of, for each column that is asked about.
#[derive(Clone, Debug, Default)]
pub struct ColumnFilter(pub Vec<(execution::Column, Vec<i32>)>);

/// The rows behind (or before) a key in the order "newest first, then id", of those that [`narrowed`] leaves.
fn beyond<C: ColumnTrait>(at: C, id: C, key: &NewestFirst, behind: bool) -> Condition {
    let (instant, uuid) = (key.0.0, key.1);
    let (further, next) =
        if behind { (Expr::col(at).lt(instant), Expr::col(id).gt(uuid)) } else { (Expr::col(at).gt(instant), Expr::col(id).lt(uuid)) };
    Condition::any().add(further).add(next)
}

/// The window without the instants that lie on the other side of a key.
///
/// SQLite takes one bound of each side into an index and tests the rest row by row: were the window's bounds left beside those of
/// the keys, a page would cost as much as all pages before it.
fn narrowed(window: Window, page: &Page<NewestFirst>) -> Window {
    let end = page.after.map_or(window.end, |(at, _)| window.end.min(Instant(at.0.saturating_add(1))));
    let start = page.before.map_or(window.start, |(at, _)| window.start.max(at));
    Window { start, end }
}

fn paged<E: EntityTrait>(at: E::Column, id: E::Column, window: Window, page: &Page<NewestFirst>) -> Select<E> {
    let window = narrowed(window, page);
    let mut select = E::find().filter(at.gte(window.start.0)).filter(at.lt(window.end.0));
    if let Some(key) = &page.after {
        select = select.filter(beyond(at, id, key, true));
    }
    if let Some(key) = &page.before {
        select = select.filter(beyond(at, id, key, false));
    }
    let (by_at, by_id) = if page.backwards { (Order::Asc, Order::Desc) } else { (Order::Desc, Order::Asc) };
    select.order_by(at, by_at).order_by(id, by_id).limit(page.limit)
}

impl Snapshot {
    /// Executions that finished in the window, newest first, then id; backwards: the last ones of the page, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_page(
        &self,
        window: Window,
        filter: &ColumnFilter,
        page: &Page<NewestFirst>,
    ) -> Result<Vec<execution::Model>, StoreError> {
        self.facts_from(window.start)?;
        let mut select = paged::<execution::Entity>(execution::Column::FinishedAt, execution::Column::Id, window, page);
        for (column, ids) in &filter.0 {
            select = select.filter(column.is_in(ids.iter().copied()));
        }
        select.all(self.tx()).await.map_err(StoreError::read)
    }

    /// One execution; none when there is none with this id.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_fetch(&self, id: Uuid) -> Result<Option<execution::Model>, StoreError> {
        let Some(key) = event_key::Entity::find_by_id(id).one(self.tx()).await.map_err(StoreError::read)? else { return Ok(None) };
        execution::Entity::find_by_id((key.at, id)).one(self.tx()).await.map_err(StoreError::read)
    }

    /// Machine (0: none), start and end of executions, by id; those that there are not are left out.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_edge_list(&self, ids: &[Uuid]) -> Result<Vec<(Uuid, u32, Window)>, StoreError> {
        let mut edges = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(super::KEYS_PER_STATEMENT) {
            let sql = format!(
                "SELECT e.id, e.vm_id, e.started_at, e.finished_at FROM event_key AS k \
                 JOIN execution AS e ON e.finished_at = k.at AND e.id = k.id WHERE k.id IN ({})",
                vec!["?"; chunk.len()].join(", ")
            );
            let rows = self.rows(&sql, chunk.iter().map(|id| (*id).into()).collect()).await?;
            let read = |row: &QueryResult| {
                let vm = row.try_get_by_index::<Option<i32>>(1)?.map_or(0, |vm| vm as u32);
                Ok((row.try_get_by_index(0)?, vm, Window::of(row.try_get_by_index(2)?, row.try_get_by_index(3)?)))
            };
            for row in &rows {
                edges.push(read(row).map_err(StoreError::read)?);
            }
        }
        Ok(edges)
    }

    /// Audit entries of the window, newest first, then id; `subjects` none: of everybody.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn audit_page(
        &self,
        window: Window,
        subjects: Option<&[String]>,
        page: &Page<NewestFirst>,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let rows = audit_select(window, subjects, page).all(self.tx()).await.map_err(StoreError::read)?;
        Ok(rows.into_iter().map(audit_row).collect())
    }

    /// One audit entry; none when there is none with this id. `at` stands in its id on the wire.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn audit_fetch(&self, at: Instant, id: Uuid) -> Result<Option<AuditRow>, StoreError> {
        let row = audit_entry::Entity::find_by_id((at.0, id)).one(self.tx()).await.map_err(StoreError::read)?;
        Ok(row.map(audit_row))
    }
}

fn audit_select(window: Window, subjects: Option<&[String]>, page: &Page<NewestFirst>) -> Select<audit_entry::Entity> {
    let select = paged::<audit_entry::Entity>(audit_entry::Column::At, audit_entry::Column::Id, window, page);
    match subjects {
        Some(subjects) => select.filter(audit_entry::Column::Subject.is_in(subjects.iter().cloned())),
        None => select,
    }
}

fn audit_row(row: audit_entry::Model) -> AuditRow {
    let list = |text: &str| text.split(SEPARATOR).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    AuditRow {
        at: Instant(row.at),
        id: row.id,
        roles: list(&row.roles),
        fields: list(&row.fields),
        subject: row.subject,
        operation: row.operation,
        allowed: row.allowed,
        address: row.address,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_entity::value::label::{JobState, Outcome};
    use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement};
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::clock::FixedClock;
    use crate::store::dialect::render;
    use crate::store::job_pages::statement;
    use crate::store::jobs::fact_statement;
    use crate::store::{JobColumns, JobSource, Store};

    #[test]
    fn a_key_cuts_the_window() {
        let key = |at: i64| Some((Instant(at), Uuid::nil()));
        let narrow = |after, before| narrowed(Window::of(10, 20), &Page { after, before, backwards: false, limit: 1 });
        assert_eq!(narrow(None, None), Window::of(10, 20));
        // Others may share the instant of a key.
        assert_eq!(narrow(key(15), None), Window::of(10, 16));
        assert_eq!(narrow(None, key(15)), Window::of(15, 20));
        assert_eq!(narrow(key(17), key(12)), Window::of(12, 18));
        assert_eq!(narrow(key(i64::MAX), key(i64::MIN)), Window::of(10, 20));
    }

    fn of(backend: DbBackend, sql: &str, values: Vec<sea_orm::Value>) -> Statement {
        Statement::from_sql_and_values(backend, render(sql, backend), values)
    }

    async fn plan(store: &Store, statement: impl Fn(DbBackend) -> Statement) -> String {
        let snapshot = store.snapshot().await.unwrap();
        let backend = ConnectionTrait::get_database_backend(snapshot.tx());
        let (explain, column) = if backend == DbBackend::Postgres { ("EXPLAIN", 0) } else { ("EXPLAIN QUERY PLAN", 3) };
        if backend == DbBackend::Postgres {
            // Of an empty table a scan is the cheapest; this leaves it only where no index serves.
            snapshot.rows("SET LOCAL enable_seqscan = off", Vec::new()).await.unwrap();
        }
        let mut statement = statement(backend);
        statement.sql = format!("{explain} {}", statement.sql);
        let rows = snapshot.tx().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(column).unwrap()).collect::<Vec<_>>().join("\n")
    }

    async fn assert_indexed(url: &str) {
        let store = Store::open(url, Arc::new(FixedClock::at(Instant(0)))).await.unwrap();
        store.migrate().await.unwrap();
        let mut tx = store.begin_write().await.unwrap();
        for table in ["execution", "job_event"] {
            tx.ensure_partition(table, "test", 0, 1_000).await.unwrap();
        }
        tx.commit().await.unwrap();
        let key = (Instant(500), Uuid::from_u128(7));
        let (mut plans, mut by_subject) = (Vec::new(), Vec::new());
        for (after, before, backwards) in
            [(None, None, false), (Some(key), None, false), (None, Some(key), true), (Some(key), Some(key), true)]
        {
            let page = Page { after, before, backwards, limit: 51 };
            let (executions, entries) = (
                paged::<execution::Entity>(execution::Column::FinishedAt, execution::Column::Id, Window::of(0, 1_000), &page),
                audit_select(Window::of(0, 1_000), None, &page),
            );
            let of_one = audit_select(Window::of(0, 1_000), Some(&["somebody".to_owned()]), &page);
            plans.push(plan(&store, |backend| executions.build(backend)).await);
            plans.push(plan(&store, |backend| entries.build(backend)).await);
            by_subject.push(plan(&store, |backend| of_one.build(backend)).await);
            // Before and behind one key there is nothing to read.
            let page = Page { after: page.after.filter(|_| page.before.is_none()), ..page };
            for source in [JobSource::Told(JobState::Running), JobSource::Single(Outcome::ALL.to_vec())] {
                let (sql, values) = statement(&source, &[None, Some(vec![7]), None, None, None], &page, Instant(0));
                plans.push(plan(&store, |backend| of(backend, &sql, values.clone())).await);
            }
        }
        plans.push(plan(&store, |backend| execution::Entity::find_by_id((500, key.1)).build(backend)).await);
        for table in ["execution", "job_event"] {
            let sql = format!("SELECT id FROM {table} WHERE job_key IN (?, ?)");
            plans.push(plan(&store, |backend| of(backend, &sql, vec![key.1.into(), key.1.into()])).await);
        }
        let (facts, values) = fact_statement(Window::of(0, 1_000), JobColumns { caller: true, vm: true, queue: true });
        plans.push(plan(&store, |backend| of(backend, &facts, values.to_vec())).await);
        let marks = "SELECT seq, subjects FROM dirty_mark WHERE kind = ? AND seq > ? ORDER BY seq LIMIT 5";
        plans.push(plan(&store, |backend| of(backend, marks, vec![2.into(), 7.into()])).await);
        for plan in by_subject {
            assert!(plan.contains("audit_entry_by_subject"), "{plan}");
        }
        for plan in plans {
            assert!(!plan.contains("SCAN") && !plan.contains("Seq Scan"), "{plan}");
            assert!(["PRIMARY KEY", "INDEX", "Index"].iter().any(|way| plan.contains(way)), "{plan}");
            // Only rows of one instant may have to be sorted.
            assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{plan}");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn pages_are_read_from_an_index_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        assert_indexed(&format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display())).await;
    }

    #[tokio::test]
    async fn pages_are_read_from_an_index_on_postgres() {
        let Ok(server) = std::env::var("PLIMSOLL_TEST_POSTGRES_URL") else {
            println!("skipped: pages_are_read_from_an_index on PostgreSQL (PLIMSOLL_TEST_POSTGRES_URL is not set)");
            return;
        };
        let name = format!("plimsoll_list_plans_{}", std::process::id());
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let options: sqlx::postgres::PgConnectOptions = server.parse().unwrap();
        let url = options.database(&name).to_url_lossy().to_string();
        // A failure must not leave the database behind.
        let outcome = tokio::spawn(async move { assert_indexed(&url).await }).await;
        execute(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        outcome.unwrap();
    }

    async fn execute(server: &str, sql: String) {
        let mut connection = PgConnection::connect(server).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }
}
