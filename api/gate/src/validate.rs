//! Parses a document and checks it against the schema as the specification says.
//!
//! apollo-compiler does most of it; [`crate::rules`] adds what it lacks. Invariant: a document that comes out of here has passed
//! the limits of [`crate::walk`] before any pass that is not linear saw it. It knows nothing of variables' values.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::DiagnosticList;

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
        .map_err(|failed| refuse(Code::GraphqlParseFailed, &failed.errors, text, lines, limits))?;
    if ast.definitions.is_empty() {
        return Err(Refused::new(Code::GraphqlParseFailed, "syntax error: the document is empty", None));
    }
    let measures = walk::measure(&ast, limits, lines)?;

    let document = match ast.to_executable_validate(&schema.apollo) {
        Ok(document) => document.into_inner(),
        Err(failed) if failed.errors.iter().all(|diagnostic| is_left_to_rules(&diagnostic.error.to_string())) => failed.partial,
        Err(failed) => return Err(refuse(Code::GraphqlValidationFailed, &failed.errors, text, lines, limits)),
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

fn refuse(code: Code, diagnostics: &DiagnosticList, text: &str, lines: &Lines, limits: &Limits) -> Refused {
    let mut first = Vec::new();
    let mut echoes = Vec::new();
    for diagnostic in diagnostics.iter() {
        let span = ToCliReport::location(diagnostic.error);
        // apollo-compiler leaves out fields that it does not know, and then misses a selection where all of them are unknown.
        let message = diagnostic.error.to_string();
        let is_echo = message.ends_with("must have a subselection set")
            && span.and_then(|span| text.get(span.offset()..span.end_offset())).is_some_and(|field| field.contains('{'));
        let list = if is_echo { &mut echoes } else { &mut first };
        list.push((shorten(message, limits.error_message_chars), span.map(|span| lines.pos(span.offset()))));
        if first.len() >= limits.errors_per_answer {
            break;
        }
    }
    if first.is_empty() {
        first = echoes;
    }
    first.truncate(limits.errors_per_answer);
    Refused::many(code, first)
}
