//! Running the statements of a migration on either database.
//!
//! Must not know: which tables there are.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261124_000001_foundation::render;

/// Runs templates, one after the other.
pub async fn execute(manager: &SchemaManager<'_>, templates: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Postgres {
        // A pass over a large table may take longer than what a request's statement is given.
        connection.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
    }
    for template in templates {
        connection.execute_unprepared(&render(template, connection.get_database_backend())).await?;
    }
    Ok(())
}

/// Keeps PostgreSQL from compressing a column of blocks: they are dense already, so that it costs time and saves nothing.
pub async fn keep_dense(manager: &SchemaManager<'_>, table: &str, column: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared(&format!("ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")).await?;
    }
    Ok(())
}

/// Keeps room in the pages of a table on PostgreSQL whose rows are replaced again and again, so that a new version of a row finds place
/// beside the old one and no index has to learn of it.
pub async fn keep_room(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared(&format!("ALTER TABLE {table} SET (fillfactor = 50)")).await?;
    }
    Ok(())
}
