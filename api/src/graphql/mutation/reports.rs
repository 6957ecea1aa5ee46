//! Closing months.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::cost::close::{CLOSE_WAIT_MAX, CloseFault, close_month, while_busy};
use plimsoll_domain::cost::report::{ReportQuestion, month};
use plimsoll_gate::Code;

use crate::auth::Caller;
use crate::graphql::error::of_breakdown;
use crate::graphql::guard;
use crate::graphql::heavy::heavy;
use crate::graphql::types::alert::UserError;
use crate::graphql::types::report::CostReportPayload;

/// Root fields that change reports.
#[derive(Default)]
pub struct ReportMutation;

#[Object]
impl ReportMutation {
    /// Freezes a month that has ended, months in order and each once: what arrives for it later becomes a correction in the next open month. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.costReportClose")))]
    async fn cost_report_close(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "YYYY-MM, in UTC.")] month: String,
    ) -> Result<Option<CostReportPayload>> {
        if !guard::allows(ctx, "Mutation.costReportClose") {
            return Ok(None);
        }
        let refused = |code: Code, message: String| {
            Some(CostReportPayload { closed: None, user_errors: vec![UserError::new(code, &["month"], message)] })
        };
        let Some(closing) = month::parse(&month) else {
            return Ok(refused(Code::BadUserInput, format!("month {}", month::EXPECTED)));
        };
        let (reader, by) = (ctx.data::<Reader>()?.clone(), ctx.data::<Caller>()?.subject.to_string());
        let attempt = || {
            let (reader, by) = (reader.clone(), by.clone());
            heavy(move || async move { close_month(&reader, closing, &by).await.map_err(of_breakdown) })
        };
        if let Some(fault) = while_busy(CLOSE_WAIT_MAX, attempt).await? {
            return Ok(refused(code_of(fault), format!("{month} {}", fault.message())));
        }
        let asked = ReportQuestion { month: closing, ..ReportQuestion::default() };
        Ok(Some(CostReportPayload { closed: Some(asked), user_errors: Vec::new() }))
    }
}

const fn code_of(fault: CloseFault) -> Code {
    match fault {
        CloseFault::NotEnded | CloseFault::NotNext(_) | CloseFault::Nothing => Code::BadUserInput,
        CloseFault::Closed | CloseFault::Busy => Code::Conflict,
    }
}
