//! The validation rules of the specification that apollo-compiler 1.33 lacks or has only in part:
//! variables inside lists and input objects, `null` as the default of a variable, fields named twice in an input object,
//! `@oneOf`, undefined variables inside custom scalars, and the one root field of a subscription after merging.
//!
//! Invariant: it sees only documents that apollo-compiler has accepted, so that every name in it is known.

use std::collections::HashSet;

use apollo_compiler::ast::{Argument, DirectiveList, InputValueDefinition, Type, Value, VariableDefinition};
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{ExecutableDocument, Node};
use async_graphql::Pos;

use crate::schema::Schema;
use crate::source::Lines;

type Errors = Vec<(String, Option<Pos>)>;

/// Returns at most `limit` violations.
pub(crate) fn check(document: &ExecutableDocument, schema: &Schema, lines: &Lines, limit: usize) -> Errors {
    let mut errors = Errors::new();
    for operation in document.operations.iter() {
        let mut rules =
            Rules { document, schema, lines, variables: &operation.variables, seen: HashSet::new(), errors: &mut errors, limit };
        rules.operation(operation);
    }
    errors
}

struct Rules<'a> {
    document: &'a ExecutableDocument,
    schema: &'a Schema,
    lines: &'a Lines,
    variables: &'a [Node<VariableDefinition>],
    seen: HashSet<&'a str>,
    errors: &'a mut Errors,
    limit: usize,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'t> {
    /// What is expected; `None` inside a custom scalar, where anything is.
    ty: Option<&'t Type>,
    /// Whether the schema has a default for it.
    has_default: bool,
    /// Whether it is the one field of a `@oneOf` input object.
    one_of: bool,
}

impl<'a> Rules<'a> {
    fn operation(&mut self, operation: &'a Operation) {
        for variable in self.variables {
            if let Some(default) = &variable.default_value {
                self.value(default, Place { ty: Some(&variable.ty), has_default: false, one_of: false });
            }
            self.directives(&variable.directives);
        }
        self.directives(&operation.directives);
        if operation.is_subscription() {
            let mut keys = HashSet::new();
            self.root_keys(&operation.selection_set, &mut keys, &mut HashSet::new());
            if keys.len() != 1 {
                self.report("a subscription must have exactly one root field", operation.selection_set_location());
            }
        }
        self.selections(&operation.selection_set);
    }

    fn root_keys(&self, set: &'a SelectionSet, keys: &mut HashSet<&'a str>, seen: &mut HashSet<&'a str>) {
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    keys.insert(field.response_key().as_str());
                }
                Selection::InlineFragment(inline) => self.root_keys(&inline.selection_set, keys, seen),
                Selection::FragmentSpread(spread) => {
                    if seen.insert(&spread.fragment_name)
                        && let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                    {
                        self.root_keys(&fragment.selection_set, keys, seen);
                    }
                }
            }
        }
    }

    fn selections(&mut self, set: &'a SelectionSet) {
        for selection in &set.selections {
            if self.errors.len() >= self.limit {
                return;
            }
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.arguments, &field.definition.arguments);
                    self.selections(&field.selection_set);
                }
                Selection::InlineFragment(inline) => self.selections(&inline.selection_set),
                Selection::FragmentSpread(spread) => {
                    if self.seen.insert(&spread.fragment_name)
                        && let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                    {
                        self.directives(&fragment.directives);
                        self.selections(&fragment.selection_set);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &DirectiveList) {
        for directive in &directives.0 {
            if let Some(definition) = self.schema.apollo.directive_definitions.get(&directive.name).cloned() {
                self.arguments(&directive.arguments, &definition.arguments);
            }
        }
    }

    fn arguments(&mut self, arguments: &[Node<Argument>], definitions: &[Node<InputValueDefinition>]) {
        for argument in arguments {
            if let Some(definition) = definitions.iter().find(|definition| definition.name == argument.name) {
                self.value(
                    &argument.value,
                    Place { ty: Some(&definition.ty), has_default: definition.default_value.is_some(), one_of: false },
                );
            }
        }
    }

    fn value(&mut self, value: &Node<Value>, place: Place<'_>) {
        match &**value {
            Value::Variable(name) => self.variable(name, value.location(), place),
            Value::List(items) => {
                let ty = match place.ty {
                    Some(Type::List(item) | Type::NonNullList(item)) => Some(&**item),
                    _ => None,
                };
                for item in items {
                    self.value(item, Place { ty, has_default: false, one_of: false });
                }
            }
            Value::Object(fields) => {
                let definition = place.ty.and_then(|ty| self.input_object(ty));
                let mut names = HashSet::new();
                for (name, field) in fields {
                    if !names.insert(name) {
                        self.report(format!("there can be only one input field named `{name}`"), name.location());
                    }
                    let known = definition.as_ref().and_then(|definition| definition.fields.get(name));
                    let place = Place {
                        ty: known.map(|known| &*known.ty),
                        has_default: known.is_some_and(|known| known.default_value.is_some()),
                        one_of: definition.as_ref().is_some_and(|definition| is_one_of(definition)),
                    };
                    self.value(field, place);
                }
                if let Some(definition) = definition.filter(|definition| is_one_of(definition))
                    && (fields.len() != 1 || fields.iter().any(|(_, field)| field.is_null()))
                {
                    self.report(format!("`{}` must have exactly one field, and it must not be null", definition.name), value.location());
                }
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &apollo_compiler::Name, at: Option<SourceSpan>, place: Place<'_>) {
        let Some(definition) = self.variables.iter().find(|definition| definition.name == *name) else {
            return self.report(format!("variable `${name}` is not defined"), at);
        };
        let Some(expected) = place.ty else { return };
        if !is_usable(definition, expected, place.has_default) {
            self.report(format!("variable `${name}` of type `{}` cannot be used where `{expected}` is expected", definition.ty), at);
        } else if place.one_of && !definition.ty.is_non_null() {
            self.report(format!("variable `${name}` of type `{}` must not be nullable in a oneOf input object", definition.ty), at);
        }
    }

    fn input_object(&self, ty: &Type) -> Option<Node<InputObjectType>> {
        match self.schema.apollo.types.get(ty.inner_named_type()) {
            Some(ExtendedType::InputObject(definition)) => Some(definition.clone()),
            _ => None,
        }
    }

    fn report(&mut self, message: impl Into<String>, at: Option<SourceSpan>) {
        if self.errors.len() < self.limit {
            self.errors.push((message.into(), at.map(|span| self.lines.pos(span.offset()))));
        }
    }
}

/// Whether the definition carries `@oneOf`.
pub(crate) fn is_one_of(definition: &InputObjectType) -> bool {
    definition.directives.has("oneOf")
}

/// `IsVariableUsageAllowed` of the specification.
fn is_usable(definition: &VariableDefinition, expected: &Type, has_default: bool) -> bool {
    if expected.is_non_null() && !definition.ty.is_non_null() {
        let default_is_value = definition.default_value.as_ref().is_some_and(|default| !default.is_null());
        return (default_is_value || has_default) && definition.ty.is_assignable_to(&expected.clone().nullable());
    }
    definition.ty.is_assignable_to(expected)
}

trait SelectionSetLocation {
    fn selection_set_location(&self) -> Option<SourceSpan>;
}

impl SelectionSetLocation for Operation {
    /// A selection set keeps no place of its own; its first field stands in for it.
    fn selection_set_location(&self) -> Option<SourceSpan> {
        self.selection_set.selections.first().and_then(|selection| match selection {
            Selection::Field(field) => field.location(),
            Selection::InlineFragment(inline) => inline.location(),
            Selection::FragmentSpread(spread) => spread.location(),
        })
    }
}
