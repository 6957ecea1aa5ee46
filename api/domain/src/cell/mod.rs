//! What adds up: additive cells, kept as columnar blocks.
//!
//! A **cell** holds the figures of one key in one hour or day; a **block** holds all cells of one family and bucket, a column a
//! part, so that a question reads only the parts that it asks for. Ingestion appends **delta** blocks; the compactor folds them
//! into hour blocks and rolls closed days up into day blocks.
//! Invariant: every part merges by addition, so that any plan, order of arrival and point of compaction gives the same answer.
//! Must not know: names, GraphQL, HTTP. `part`, `stat`, `block`, `column` and `plan` are pure.

pub mod block;
pub mod builder;
pub mod column;
pub mod compactor;
pub mod delta;
pub mod fact;
pub mod family;
pub mod part;
pub mod plan;
pub mod rebuild;
pub mod stat;
