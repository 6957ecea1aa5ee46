//! The migrations of the database, SQLite and PostgreSQL.
//!
//! Invariants: a migration owns its table names and never imports an entity; it only adds (expand, then contract in a later
//! release), because replicas of the release before may still run. Must not know: anything else of Plimsoll.

use sea_orm_migration::prelude::MigrationTrait;
pub use sea_orm_migration::prelude::MigratorTrait;

mod m20261124_000001_foundation;
mod m20261124_000002_timelines;
mod m20261124_000003_jobs;
mod m20261124_000004_reach;
mod m20261124_000005_commits;
mod m20261124_000006_cell_rebuild;
mod m20261124_000007_job_updates;
mod m20261124_000008_more_day_cells;
mod m20261124_000009_concurrency_hours;
mod m20261124_000010_alerts;
mod m20261124_000011_storage_retention;
mod m20261124_000012_webhooks;
mod m20261124_000013_latest_samples;
mod m20261124_000014_job_counted;
mod m20261124_000015_prices;
mod m20261124_000016_costs;
mod m20261124_000017_report;
mod statements;

/// Runs the migrations in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_foundation::Migration),
            Box::new(m20261124_000002_timelines::Migration),
            Box::new(m20261124_000003_jobs::Migration),
            Box::new(m20261124_000004_reach::Migration),
            Box::new(m20261124_000005_commits::Migration),
            Box::new(m20261124_000006_cell_rebuild::Migration),
            Box::new(m20261124_000007_job_updates::Migration),
            Box::new(m20261124_000008_more_day_cells::Migration),
            Box::new(m20261124_000009_concurrency_hours::Migration),
            Box::new(m20261124_000010_alerts::Migration),
            Box::new(m20261124_000011_storage_retention::Migration),
            Box::new(m20261124_000012_webhooks::Migration),
            Box::new(m20261124_000013_latest_samples::Migration),
            Box::new(m20261124_000014_job_counted::Migration),
            Box::new(m20261124_000015_prices::Migration),
            Box::new(m20261124_000016_costs::Migration),
            Box::new(m20261124_000017_report::Migration),
        ]
    }
}
