//! What an operation asks, as a key: two documents that ask the same have the same.
//!
//! A planned operation has its conditions decided, its fragments written out and its variables filled in; written down without white
//! space, with arguments in the order of their names, it depends on nothing but what is asked. The key is its SHA-256, so that it is
//! small, and nobody can make another operation with the same. Must not know: who asks.

use std::fmt::{self, Write};

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet};
use async_graphql_value::Value;
use sha2::{Digest as _, Sha256};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View([u8; 32]);

struct Digest(Sha256);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl View {
    /// What a planned document asks.
    pub fn of(document: &ExecutableDocument) -> Self {
        let mut digest = Digest(Sha256::new());
        // Writing into a digest cannot fail.
        let _ = write_document(&mut digest, document);
        Self(digest.0.finalize().into())
    }
}

/// A document whose root fields have lost an argument, and whether any of them had a value for it.
pub(crate) fn without_argument(mut document: ExecutableDocument, name: &str) -> (ExecutableDocument, bool) {
    let mut had = false;
    let mut strip = |operation: &mut OperationDefinition| {
        for selection in &mut operation.selection_set.node.items {
            if let Selection::Field(field) = &mut selection.node {
                field.node.arguments.retain(|(argument, value)| {
                    let is_it = argument.node == *name;
                    had |= is_it && value.node != Value::Null;
                    !is_it
                });
            }
        }
    };
    match &mut document.operations {
        DocumentOperations::Single(operation) => strip(&mut operation.node),
        DocumentOperations::Multiple(operations) => operations.values_mut().for_each(|operation| strip(&mut operation.node)),
    }
    (document, had)
}

fn write_document(to: &mut impl Write, document: &ExecutableDocument) -> fmt::Result {
    match &document.operations {
        DocumentOperations::Single(operation) => write_operation(to, &operation.node),
        // The gate plans one operation, without fragments.
        DocumentOperations::Multiple(operations) => {
            let mut named: Vec<_> = operations.iter().collect();
            named.sort_unstable_by_key(|(name, _)| (*name).clone());
            named.into_iter().try_for_each(|(_, operation)| write_operation(to, &operation.node))
        }
    }
}

fn write_operation(to: &mut impl Write, operation: &OperationDefinition) -> fmt::Result {
    write!(to, "{}", operation.ty)?;
    write_selection(to, &operation.selection_set.node)
}

fn write_selection(to: &mut impl Write, set: &SelectionSet) -> fmt::Result {
    to.write_char('{')?;
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let field = &field.node;
                if let Some(alias) = &field.alias {
                    write!(to, "{}:", alias.node)?;
                }
                write!(to, "{}", field.name.node)?;
                let mut arguments: Vec<_> = field.arguments.iter().map(|(name, value)| (name.node.as_str(), &value.node)).collect();
                arguments.sort_unstable_by_key(|(name, _)| *name);
                to.write_char('(')?;
                for (name, value) in arguments {
                    write!(to, "{name}:")?;
                    write_value(to, value)?;
                    to.write_char(',')?;
                }
                to.write_char(')')?;
                if !field.selection_set.node.items.is_empty() {
                    write_selection(to, &field.selection_set.node)?;
                }
                to.write_char(' ')?;
            }
            Selection::InlineFragment(inline) => {
                to.write_str("...")?;
                if let Some(condition) = &inline.node.type_condition {
                    write!(to, "{}", condition.node.on.node)?;
                }
                write_selection(to, &inline.node.selection_set.node)?;
            }
            Selection::FragmentSpread(spread) => write!(to, "...{} ", spread.node.fragment_name.node)?,
        }
    }
    to.write_char('}')
}

fn write_value(to: &mut impl Write, value: &Value) -> fmt::Result {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            to.write_char('{')?;
            for (name, value) in fields {
                write!(to, "{name}:")?;
                write_value(to, value)?;
                to.write_char(',')?;
            }
            to.write_char('}')
        }
        Value::List(items) => {
            to.write_char('[')?;
            for item in items {
                write_value(to, item)?;
                to.write_char(',')?;
            }
            to.write_char(']')
        }
        // Texts stand in quotes and are escaped.
        other => write!(to, "{other}"),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn view(text: &str) -> View {
        View::of(&parse_query(text).unwrap())
    }

    #[test]
    fn what_asks_the_same_has_the_same_key() {
        let one = view("subscription { a(x: 1, y: {p: \"q\", r: [A]}) { b ... on T { c } } }");
        assert_eq!(one, view("subscription S {\n a(y: {r: [A], p: \"q\"} x: 1) # word\n { b, ...on T{c} } }"));
        for other in [
            "subscription { a(x: 2, y: {p: \"q\", r: [A]}) { b ... on T { c } } }",
            "subscription { a(x: 1, y: {p: \"q\", r: [\"A\"]}) { b ... on T { c } } }",
            "subscription { a(x: 1, y: {p: \"q\", r: [A]}) { b c } }",
            "subscription { a(x: 1, y: {p: \"q\", r: [A]}) { d: b ... on T { c } } }",
            "subscription { d: a(x: 1, y: {p: \"q\", r: [A]}) { b ... on T { c } } }",
            "query { a(x: 1, y: {p: \"q\", r: [A]}) { b ... on T { c } } }",
        ] {
            assert_ne!(one, view(other), "{other}");
        }
        assert_ne!(view("{ a(x: \"b,y:c\") }"), view("{ a(x: \"b\", y: c) }"));
    }

    #[test]
    fn a_cursor_is_taken_out_of_the_root_only() {
        let strip = |text: &str| without_argument(parse_query(text).unwrap(), "after");
        let (bare, had) = strip("subscription { a(after: \"x\", b: 1) { c(after: 2) } }");
        assert!(had);
        assert_eq!(View::of(&bare), view("subscription { a(b: 1) { c(after: 2) } }"));
        assert!(!strip("subscription { a(after: null) }").1);
        assert!(!strip("subscription { a }").1);
    }
}
