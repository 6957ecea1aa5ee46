//! Work that takes a core for a while runs off the threads that serve requests.

use async_graphql::Result;
use tokio::sync::Semaphore;

use super::error::{bad_input, internal};
use plimsoll_domain::breakdown::ROWS_MAX;

/// Pieces of work at the same time; the others wait for their turn, as long as a question may take. Fewer than connections to read by,
/// so that what waits holds none, and a lookup finds one.
const WORK_AT_ONCE: usize = 5;

static TURNS: Semaphore = Semaphore::const_new(WORK_AT_ONCE);

/// Runs work to its end on a thread where it may compute for as long as it needs. The future is made there and stays there.
///
/// # Errors
/// What the work says; INTERNAL when it panicked.
pub async fn heavy<T: Send + 'static, F: Future<Output = Result<T>>>(work: impl FnOnce() -> F + Send + 'static) -> Result<T> {
    let runtime = tokio::runtime::Handle::current();
    let turn = TURNS.acquire().await.map_err(internal)?;
    let work = move || {
        // Work that nobody waits for any more goes on, so it keeps its turn.
        let _turn = turn;
        runtime.block_on(work())
    };
    tokio::task::spawn_blocking(work).await.map_err(internal)?
}

/// The `limit` of rows.
///
/// # Errors
/// BAD_USER_INPUT outside 0 to 10,000.
pub fn rows_limit(limit: i32) -> Result<usize> {
    match usize::try_from(limit) {
        Ok(limit) if limit <= ROWS_MAX => Ok(limit),
        _ => Err(bad_input("limit", format!("limit is 0 to {ROWS_MAX}"))),
    }
}
