//! The days of loads whose cells have to be made of rows, because the loads came before there were cells of them.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Codes of the families of loads.
const FAMILIES: [i16; 2] = [6, 7];
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection
            .execute_unprepared("CREATE TABLE cell_rebuild (family SMALLINT NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (family, day))")
            .await?;
        for family in FAMILIES {
            // Division rounds towards 0, days do not.
            let days = format!("(finished_at - ((finished_at % {DAY_US}) + {DAY_US}) % {DAY_US}) / {DAY_US}");
            let insert = format!("INSERT INTO cell_rebuild (family, day) SELECT DISTINCT {family}, {days} FROM checkpoint_load");
            connection.execute_unprepared(&insert).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE cell_rebuild").await.map(|_| ())
    }
}
