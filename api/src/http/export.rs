//! `GET /exports/{month}/{file}`: the report of a month as a file.
//!
//! Invariants: only the FINANCIAL_DIRECTOR gets one, and every asking of a known caller is audited; a file is written whole to a place on
//! disk that has no name before its first byte is sent, so that a failure has a status of its own and a slow client holds nothing of the
//! database; few are written at a time. Must not know: what stands in a file.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::clock::IdSource;
use plimsoll_domain::cost::report::ReportQuestion;
use plimsoll_domain::cost::report::export::{ExportError, ExportFormat, export};
use plimsoll_entity::value::label::Role;
use serde_json::json;
use tokio::sync::{Semaphore, TryAcquireError};
use tokio_util::io::ReaderStream;
use url::form_urlencoded;

use super::graphql::Auditor;
use super::refusal::{Refusal, internal};
use crate::auth::Authenticator;
use crate::telemetry::chain;

/// Files that are written at a time.
pub const EXPORTS_AT_ONCE: usize = 2;
/// When it is worth another try.
const RETRY_AFTER_S: u32 = 10;
/// Bytes of a file that are read at a time.
const CHUNK_SIZE_BYTES: usize = 64 * 1024;

/// What the path works with.
pub struct Exports {
    /// Recognises callers.
    pub authenticator: Arc<Authenticator>,
    /// Hears of every asking.
    pub auditor: Arc<dyn Auditor>,
    /// Reads figures, with the time that a large month takes.
    pub reader: Reader,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// Ids of faults.
    pub ids: Arc<dyn IdSource>,
}

struct Shared {
    exports: Exports,
    turns: Arc<Semaphore>,
}

impl Exports {
    /// The path.
    pub fn routes(self) -> Router {
        let shared = Arc::new(Shared { exports: self, turns: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)) });
        Router::new().route("/exports/{month}/{file}", get(answer)).with_state(shared)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((month, file)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    let exports = &shared.exports;
    let peer = peer.map(|peer| peer.0.0);
    let caller = match exports.authenticator.authenticate(&headers, peer).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    let may = caller.roles.contains(Role::FinancialDirector);
    let operation = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
    exports.auditor.operation(&caller, operation, &[Arc::from("exports")], may);
    if !may {
        return refused(StatusCode::FORBIDDEN, "FORBIDDEN", "exports need the role FINANCIAL_DIRECTOR");
    }
    let Some(format) = ExportFormat::of_file_name(&file) else { return Refusal::NOT_FOUND.into_response() };
    let asked = match question(&month, uri.query().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(message) => return refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", &message),
    };
    match write(&shared, asked, format).await {
        Ok(Some((file, size_bytes))) => found(file, size_bytes, &month, format),
        Ok(None) => {
            let message = "other exports are being written: try again in a moment";
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "LIMIT_EXCEEDED", message);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            response
        }
        Err(ExportError::Report(BreakdownError::Question { field, message })) => {
            refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", &format!("{field} {message}"))
        }
        Err(ExportError::Report(BreakdownError::Limit(message))) => refused(StatusCode::UNPROCESSABLE_ENTITY, "LIMIT_EXCEEDED", &message),
        Err(error) => {
            let id = exports.ids.next_id().to_string();
            tracing::error!(error = chain(&error), error_id = id, "cannot write an export");
            internal(&id)
        }
    }
}

/// The question of a path: `department` and `project` may stand in the query any number of times.
fn question(month: &str, query: &str) -> Result<ReportQuestion, String> {
    let (mut departments, mut projects) = (None::<Vec<String>>, None::<Vec<String>>);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let list = match &*name {
            "department" => &mut departments,
            "project" => &mut projects,
            _ => return Err("the only query parameters are department and project".to_owned()),
        };
        list.get_or_insert_default().push(value.into_owned());
    }
    ReportQuestion::new(month, departments, projects).map_err(|error| match error {
        BreakdownError::Question { field, message } => format!("{field} {message}"),
        error => error.to_string(),
    })
}

/// The file and its bytes; none when as many are being written as may be.
async fn write(shared: &Arc<Shared>, asked: ReportQuestion, format: ExportFormat) -> Result<Option<(File, u64)>, ExportError> {
    let turn = match Arc::clone(&shared.turns).try_acquire_owned() {
        Ok(turn) => turn,
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Ok(None),
    };
    let (runtime, writing) = (tokio::runtime::Handle::current(), Arc::clone(shared));
    let written = tokio::task::spawn_blocking(move || -> Result<_, ExportError> {
        // A file that nobody waits for any more is still written, so it keeps its turn.
        let _turn = turn;
        let mut file = tempfile::tempfile()?;
        let Exports { reader, currency, .. } = &writing.exports;
        runtime.block_on(export(reader, &asked, currency, format, &file))?;
        let size_bytes = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok((file, size_bytes))
    });
    written.await.map_err(std::io::Error::other)?.map(Some)
}

fn found(file: File, size_bytes: u64, month: &str, format: ExportFormat) -> Response {
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_SIZE_BYTES);
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    // The month has been read, so it is digits and a dash.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"plimsoll-{month}-{}\"", format.file_name())) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn refused(status: StatusCode, code: &'static str, message: &str) -> Response {
    (status, Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_export_asks_for_its_report() {
        let mut asked = ReportQuestion::new("2026-10", None, None).unwrap();
        asked.departments = Some(vec!["R&D".to_owned(), "a b".to_owned()]);
        let path = ExportFormat::Csv.path(&asked);
        assert_eq!(question("2026-10", path.split_once('?').unwrap().1), Ok(asked));
        assert!(question("2026-13", "").is_err());
        assert!(question("2026-10", "departments=x").is_err());
    }
}
