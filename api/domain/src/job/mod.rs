//! Jobs: what a job is from its attempts and changes, which jobs stand in the table, how they are listed.
//!
//! A **told** job has a change of state or several executions, and stands in the table `job`; every other job is its only
//! execution and is read from there, so that a fleet without retries writes nothing twice. Ingestion **marks** jobs that may not be
//! what the table says (`ingest::job_marks`), the worker works marks off, and whoever reads works out what its snapshot still has
//! marked (`pending`). Invariant: so no answer depends on when, or whether, the worker ran.
//! Must not know: GraphQL, figures.

pub mod history;
pub mod listing;
pub mod pending;
pub mod running;
pub mod updates;
pub mod worker;
