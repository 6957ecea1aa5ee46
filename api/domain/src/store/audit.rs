//! Who asked what.
//!
//! Invariant: entries are only appended, and pruned by age.

use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::{ColumnData, Rows, Store, StoreError, Value};

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: Instant,
    /// Identity.
    pub id: Uuid,
    /// Subject of the token.
    pub subject: String,
    /// Wire names of its roles.
    pub roles: Vec<String>,
    /// Name that the client gave the operation; may be empty.
    pub operation: String,
    /// Root fields.
    pub fields: Vec<String>,
    /// False when any field was refused.
    pub allowed: bool,
    /// Where it came from.
    pub address: Option<String>,
}

/// What separates the names of a list; none of them holds it.
pub(super) const SEPARATOR: &str = ",";

impl Store {
    /// Appends entries.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database; then none was kept.
    pub async fn audit_append(&self, entries: Vec<AuditRow>) -> Result<(), StoreError> {
        let text = |value: &dyn Fn(&AuditRow) -> String| ColumnData::Texts(entries.iter().map(|entry| Some(value(entry))).collect());
        let rows = Rows {
            table: "audit_entry",
            count: entries.len(),
            columns: vec![
                ("at", ColumnData::Ints(entries.iter().map(|entry| Some(entry.at.0)).collect())),
                ("id", ColumnData::Uuids(entries.iter().map(|entry| Some(entry.id)).collect())),
                ("subject", text(&|entry| entry.subject.replace('\0', "\u{fffd}"))),
                ("roles", text(&|entry| entry.roles.join(SEPARATOR))),
                ("operation", text(&|entry| entry.operation.clone())),
                ("fields", text(&|entry| entry.fields.join(SEPARATOR))),
                ("allowed", ColumnData::Bools(entries.iter().map(|entry| entry.allowed).collect())),
                ("address", ColumnData::Texts(entries.iter().map(|entry| entry.address.clone()).collect())),
            ],
        };
        let mut tx = self.begin_write().await?;
        tx.insert(&rows, "").await?;
        tx.commit().await
    }

    /// Deletes entries from before an instant.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn audit_prune(&self, before: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.execute("DELETE FROM audit_entry WHERE at < ?", &[Value::Int(before.0)]).await?;
        tx.commit().await
    }
}
