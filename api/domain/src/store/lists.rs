//! Lists, a page at a time: executions, jobs, machines' names, audit entries.
//!
//! Pages are read by key, never by offset, so that a page costs the same wherever it lies.
//! Invariant: the order is total (an id decides at the end). Must not know: what a caller may see, how cursors are written.

use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::{audit_entry, event_key, execution, job_event};
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select};
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

/// The rows behind (or before) a key in the order "newest first, then id".
fn beyond<C: ColumnTrait>(at: C, id: C, key: &NewestFirst, behind: bool) -> Condition {
    let (instant, uuid) = (key.0.0, key.1);
    let (further, next) =
        if behind { (Expr::col(at).lt(instant), Expr::col(id).gt(uuid)) } else { (Expr::col(at).gt(instant), Expr::col(id).lt(uuid)) };
    let bound = if behind { Expr::col(at).lte(instant) } else { Expr::col(at).gte(instant) };
    // The first condition is what an index can use.
    Condition::all().add(bound).add(Condition::any().add(further).add(next))
}

fn paged<E: EntityTrait>(select: Select<E>, at: E::Column, id: E::Column, page: &Page<NewestFirst>) -> Select<E> {
    let mut select = select;
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
        let mut select = execution::Entity::find()
            .filter(execution::Column::FinishedAt.gte(window.start.0))
            .filter(execution::Column::FinishedAt.lt(window.end.0));
        for (column, ids) in &filter.0 {
            select = select.filter(column.is_in(ids.iter().copied()));
        }
        paged(select, execution::Column::FinishedAt, execution::Column::Id, page).all(self.tx()).await.map_err(StoreError::read)
    }

    /// One execution; none when there is none with this id.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_fetch(&self, id: Uuid) -> Result<Option<execution::Model>, StoreError> {
        let Some(key) = event_key::Entity::find_by_id(id).one(self.tx()).await.map_err(StoreError::read)? else { return Ok(None) };
        execution::Entity::find_by_id((key.at, id)).one(self.tx()).await.map_err(StoreError::read)
    }

    /// Executions of jobs.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn attempt_list(&self, job_keys: &[Uuid]) -> Result<Vec<execution::Model>, StoreError> {
        let mut found = Vec::new();
        for chunk in job_keys.chunks(500) {
            let select = execution::Entity::find().filter(execution::Column::JobKey.is_in(chunk.iter().copied()));
            found.extend(select.all(self.tx()).await.map_err(StoreError::read)?);
        }
        Ok(found)
    }

    /// Changes of jobs' states.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_event_list(&self, job_keys: &[Uuid]) -> Result<Vec<job_event::Model>, StoreError> {
        let mut found = Vec::new();
        for chunk in job_keys.chunks(500) {
            let select = job_event::Entity::find().filter(job_event::Column::JobKey.is_in(chunk.iter().copied()));
            found.extend(select.all(self.tx()).await.map_err(StoreError::read)?);
        }
        Ok(found)
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
        let mut select = audit_entry::Entity::find()
            .filter(audit_entry::Column::At.gte(window.start.0))
            .filter(audit_entry::Column::At.lt(window.end.0));
        if let Some(subjects) = subjects {
            select = select.filter(audit_entry::Column::Subject.is_in(subjects.iter().cloned()));
        }
        let rows = paged(select, audit_entry::Column::At, audit_entry::Column::Id, page).all(self.tx()).await.map_err(StoreError::read)?;
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
