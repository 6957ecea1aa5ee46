//! What a client is told of its batch: the JSON of `contract/events.md`.

use metrics::counter;
use plimsoll_domain::ingest::Written;
use plimsoll_domain::ingest::batch::Batch;
use plimsoll_domain::ingest::limit::REJECTIONS_LISTED_MAX;
use plimsoll_domain::ingest::rejection::{RejectedLine, Rejection, RejectionCode};
use serde::Serialize;

/// The body of a 200.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    accepted: u64,
    duplicate: u64,
    rejected: Vec<Rejected>,
    rejected_count: u64,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    line: u32,
    id: Option<String>,
    code: &'static str,
    field: Option<String>,
    message: String,
}

#[derive(Debug, Serialize)]
struct Warning {
    key: String,
    lines: u64,
}

impl Answer {
    /// What reading and writing found, put together. The lowest lines are listed.
    pub(super) fn new(batch: Batch, written: Written) -> Self {
        let rejected_count = batch.rejected_count + (written.conflicts.len() + written.refused.len() + written.too_old.len()) as u64;
        let conflicts = written.conflicts.into_iter().map(|(line, id)| RejectedLine {
            line,
            rejection: Rejection {
                id: id.map(|id| id.to_string()),
                code: RejectionCode::Conflict,
                field: id.map(|_| "id".to_owned()),
                message: match id {
                    Some(_) => "id was sent before with other content; the first stays".to_owned(),
                    None => "this sample was sent before with other content; the first stays".to_owned(),
                },
            },
        });
        let refused = written.refused.into_iter().map(|(line, id, field)| RejectedLine {
            line,
            rejection: Rejection {
                id: id.map(|id| id.to_string()),
                code: RejectionCode::InvalidValue,
                field: Some(field.to_owned()),
                message: format!("{field} brings more new names today than are allowed"),
            },
        });
        let too_old = written.too_old.into_iter().map(|(line, id)| RejectedLine {
            line,
            rejection: Rejection {
                id: id.map(|id| id.to_string()),
                code: RejectionCode::TooOld,
                field: None,
                message: "it lies before the instant since when events are kept".to_owned(),
            },
        });
        let mut rejected: Vec<RejectedLine> = batch.rejected.into_iter().chain(conflicts).chain(refused).chain(too_old).collect();
        rejected.sort_by_key(|rejected| rejected.line);
        rejected.truncate(REJECTIONS_LISTED_MAX);
        let mut warnings = batch.warnings;
        for (key, lines) in written.capped {
            *warnings.entry(key).or_default() += lines;
        }
        Self {
            accepted: written.accepted,
            duplicate: written.duplicate,
            rejected: rejected.into_iter().map(Rejected::from).collect(),
            rejected_count,
            warnings: warnings.into_iter().map(|(key, lines)| Warning { key, lines }).collect(),
        }
    }

    /// Counts what became of the lines.
    pub(super) fn count(&self) {
        for (result, lines) in [("accepted", self.accepted), ("duplicate", self.duplicate), ("rejected", self.rejected_count)] {
            counter!("plimsoll_ingest_lines_total", "result" => result).increment(lines);
        }
    }
}

impl From<RejectedLine> for Rejected {
    fn from(RejectedLine { line, rejection }: RejectedLine) -> Self {
        Self { line, id: rejection.id, code: rejection.code.wire(), field: rejection.field, message: rejection.message }
    }
}
