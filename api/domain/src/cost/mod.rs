//! What everything costs, to the nano-unit: prices, the bill of machine-hours and its parts, storage, transfer, value.
//!
//! `card` (what a person enters), `rate` (which price holds), `price` (one machine-hour), `split` (shares of a part), `figures` and
//! `value` (what is worth its cost) are pure; `entering` keeps prices, `prices` knows those of a snapshot;
//! the timeline worker keeps what `price` gives; `single` writes down what executions and loads cost
//! one by one (pure); `gather` reads it, `question` answers, `execution`, `load` and `roi` do so for single
//! executions, for loads, and for cost beside value. `forecast` goes on from there with what `projection` says (pure); `recommendation`,
//! `load_evidence` and `rightsize` say what would save money (pure) by what `evidence` reads; `subject` writes what that is about as
//! conditions of filters. `report` charges a month to those who caused it, `close` freezes one, `correction` knows what came late for it. One sweep, one truth: the
//! parts are those of the timeline (contract, "Money").
//! Invariant: parts add up to the bill, rows to the total, whatever the dimensions. Must not know: GraphQL, HTTP, roles.

pub mod card;
pub mod close;
pub mod correction;
pub mod entering;
pub mod evidence;
pub mod execution;
pub mod facts;
pub mod figures;
pub mod forecast;
pub mod gather;
pub mod load;
pub mod load_evidence;
pub mod price;
pub mod prices;
pub mod projection;
pub mod question;
pub mod rate;
pub mod recommendation;
pub mod report;
pub mod rightsize;
pub mod roi;
pub mod single;
pub mod split;
pub mod storage;
pub mod subject;
pub mod value;
