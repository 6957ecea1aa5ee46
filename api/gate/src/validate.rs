//! Parses a document and checks it against the schema as the specification says.
//!
//! apollo-compiler does most of it; [`crate::rules`] adds what it lacks. Invariant: a document that comes out of here has passed
//! the limits of [`crate::walk`] before any pass that is not linear saw it. It knows nothing of variables' values.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::DiagnosticList;
use async_graphql::Pos;

use crate::code::Code;
use crate::limits::Limits;
use crate::refused::{Refused, shorten};
use crate::rules;
use crate::schema::Schema;
use crate::source::{Lines, scan};
use crate::walk::{self, Measure, within};

/// A document that fits the schema and the limits.
pub(crate) struct Checked {
    /// With the type of every field.
    pub document: ExecutableDocument,
    /// The measure of each operation, in the order of the text.
    pub measures: Vec<Measure>,
    /// Tokens of the text.
    pub tokens: usize,
}

/// Parses, measures and validates, in this order.
pub(crate) fn check(text: &str, lines: &Lines, schema: &Schema, limits: &Limits) -> Result<Checked, Refused> {
    within("bytes in its document", text.len() as u64, limits.document_size_bytes as u64, None)?;
    let tokens = scan(text, limits.tokens);
    within("tokens", tokens.count as u64, limits.tokens as u64, None)?;
    within("brackets open at once", tokens.nesting as u64, limits.bracket_nesting as u64, None)?;
    within("bytes in one name", tokens.name_size_bytes as u64, limits.name_size_bytes as u64, None)?;

    let ast = Parser::new()
        .token_limit(limits.document_size_bytes.saturating_add(2))
        .parse_ast(text, "query.graphql")
        .map_err(|failed| refuse(Code::GraphqlParseFailed, &failed.errors, lines, limits))?;
    if ast.definitions.is_empty() {
        return Err(Refused::new(Code::GraphqlParseFailed, "syntax error: the document is empty", None));
    }
    let measures = walk::measure(&ast, limits, lines)?;

    let document = match ast.to_executable_validate(&schema.apollo) {
        Ok(document) => document.into_inner(),
        Err(failed) if failed.errors.iter().all(|diagnostic| is_left_to_rules(&diagnostic.error.to_string())) => failed.partial,
        Err(failed) => return Err(refuse(Code::GraphqlValidationFailed, &failed.errors, lines, limits)),
    };
    let errors = rules::check(&document, schema, lines, limits.errors_per_answer);
    if !errors.is_empty() {
        let errors = errors.into_iter().map(|(message, at)| (shorten(message, limits.error_message_chars), at));
        return Err(Refused::many(Code::GraphqlValidationFailed, errors));
    }
    Ok(Checked { document, measures, tokens: tokens.count })
}

/// apollo-compiler counts the fields of a subscription's root before they are merged; [`crate::rules`] counts them after.
fn is_left_to_rules(message: &str) -> bool {
    message.ends_with("can only have one root field")
}

fn refuse(code: Code, diagnostics: &DiagnosticList, lines: &Lines, limits: &Limits) -> Refused {
    let errors = diagnostics.iter().take(limits.errors_per_answer).map(|diagnostic| {
        let at: Option<Pos> = apollo_compiler::diagnostic::ToCliReport::location(diagnostic.error).map(|span| lines.pos(span.offset()));
        (shorten(diagnostic.error.to_string(), limits.error_message_chars), at)
    });
    Refused::many(code, errors)
}
