//! Each change of an alert, in the order of commits.
//!
//! Invariants: whoever goes on from a position misses nothing and gets nothing twice; an alert is shown as the change left it.
//! Must not know: GraphQL, cursors, who waits.

use plimsoll_entity::value::label::{AlertState, Signal};
use plimsoll_entity::value::time::DAY_US;

use crate::breakdown::BreakdownError;
use crate::live::ordered::{Position, Step};
use crate::store::{Alert, Snapshot};

/// How long it is known what changed.
pub const KNOWN_US: i64 = 7 * DAY_US;
/// Changes that one step reads.
const CHANGES_PER_STEP: u64 = 500;

/// The next changes behind a position of alerts of some signals; `states` none: in any.
///
/// # Errors
/// [`BreakdownError::Question`] when it is no longer known what followed, or never was; what the store says.
pub async fn updates(
    snapshot: &Snapshot,
    signals: &[Signal],
    states: Option<&[AlertState]>,
    after: Position,
) -> Result<Step<Alert>, BreakdownError> {
    let newest = snapshot.commit_number().await?;
    if after < Position::behind(snapshot.alert_changes_forgotten().await?) {
        return Err(unknown(format!(
            "after is too old: changes are known for {} days; ask for alerts, then subscribe without it",
            KNOWN_US / DAY_US
        )));
    }
    if after.number > newest {
        return Err(unknown("after is no cursor of alertUpdates of this server".to_owned()));
    }
    let changes = snapshot.alert_change_list(after.number, after.index, CHANGES_PER_STEP).await?;
    let is_end = (changes.len() as u64) < CHANGES_PER_STEP;
    let at = |number, index| Position { number, index };
    let reached = match changes.last() {
        Some(last) if !is_end => at(last.number, last.place),
        _ => Position::behind(newest),
    };
    let is_wanted = |alert: &Alert| signals.contains(&alert.signal) && states.is_none_or(|states| states.contains(&alert.state));
    let updates = changes.into_iter().filter(|change| is_wanted(&change.alert));
    Ok(Step { updates: updates.map(|change| (at(change.number, change.place), change.alert)).collect(), reached, is_end })
}

fn unknown(message: String) -> BreakdownError {
    BreakdownError::Question { field: "after", message }
}
