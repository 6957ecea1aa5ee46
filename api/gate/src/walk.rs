//! Measures a document before anything else looks at it: one walk, in which each fragment is measured once.
//!
//! A fragment that is spread twice counts twice, but is walked once, so that a document whose written-out form has 2^25 fields is
//! refused in the time that it takes to read it. It must not know the schema: nothing here depends on types.

use std::collections::HashMap;

use apollo_compiler::Node;
use apollo_compiler::ast::{Definition, DirectiveList, Document, FragmentDefinition, OperationDefinition, Selection};
use async_graphql::Pos;

use crate::code::Code;
use crate::limits::Limits;
use crate::refused::Refused;
use crate::source::Lines;

/// What a selection set amounts to once every fragment is written out. Counts saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    pub fields: u64,
    /// Fields of this level alone.
    pub level_fields: u64,
    pub aliases: u64,
    pub directives: u64,
    pub depth: usize,
    /// Selection sets within each other, those of fragments as well.
    pub nesting: usize,
    /// Whether `__schema` or `__type` is asked for.
    pub introspects: bool,
}

impl Measure {
    /// Adds what stands on the same level.
    fn beside(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.level_fields = self.level_fields.saturating_add(other.level_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.introspects |= other.introspects;
    }
}

enum Fragment {
    Open,
    Done(Measure),
}

struct Walk<'d> {
    limits: &'d Limits,
    lines: &'d Lines,
    definitions: HashMap<&'d str, &'d Node<FragmentDefinition>>,
    fragments: HashMap<&'d str, Fragment>,
}

/// Checks every operation of the document against the limits and returns the measure of each, in order.
pub(crate) fn measure(document: &Document, limits: &Limits, lines: &Lines) -> Result<Vec<Measure>, Refused> {
    let mut operations = Vec::new();
    let mut definitions = HashMap::new();
    let mut fragments = 0;
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            Definition::FragmentDefinition(fragment) => {
                fragments += 1;
                definitions.entry(fragment.name.as_str()).or_insert(fragment);
            }
            _ => {}
        }
    }
    within("operations", operations.len() as u64, limits.operations as u64, None)?;
    within("fragments", fragments, limits.fragments as u64, None)?;
    let mut walk = Walk { limits, lines, definitions, fragments: HashMap::new() };
    // Fragments that no operation reaches are measured as well: validation is going to walk them.
    let names: Vec<_> = walk.definitions.values().copied().collect();
    for fragment in names {
        walk.fragment(fragment, 0)?;
    }
    operations.into_iter().map(|operation| walk.operation(operation)).collect()
}

impl<'d> Walk<'d> {
    fn operation(&mut self, operation: &'d Node<OperationDefinition>) -> Result<Measure, Refused> {
        let at = self.pos(operation.location());
        let mut measure = self.selections(&operation.selection_set, 0)?;
        measure.directives = measure.directives.saturating_add(count(&operation.directives));
        for variable in &operation.variables {
            measure.directives = measure.directives.saturating_add(count(&variable.directives));
        }
        let limits = self.limits;
        within("variables", operation.variables.len() as u64, limits.variables as u64, at)?;
        within("root fields", measure.level_fields, limits.root_fields as u64, at)?;
        within("aliases", measure.aliases, limits.aliases as u64, at)?;
        within("directives", measure.directives, limits.directives as u64, at)?;
        within("levels of depth", measure.depth as u64, limits.depth as u64, at)?;
        within("fields", measure.fields, limits.expanded_fields as u64, at)?;
        Ok(measure)
    }

    fn selections(&mut self, selections: &'d [Selection], nesting: usize) -> Result<Measure, Refused> {
        if nesting >= self.limits.selection_nesting {
            return Err(too_many("nested selections", self.limits.selection_nesting as u64, None));
        }
        let mut total = Measure::default();
        for selection in selections {
            let mut one = match selection {
                Selection::Field(field) => {
                    let below = if field.selection_set.is_empty() {
                        Measure::default()
                    } else {
                        self.selections(&field.selection_set, nesting + 1)?
                    };
                    Measure {
                        fields: below.fields.saturating_add(1),
                        level_fields: 1,
                        aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
                        depth: below.depth + 1,
                        introspects: below.introspects || matches!(field.name.as_str(), "__schema" | "__type"),
                        ..below
                    }
                }
                Selection::InlineFragment(inline) => self.selections(&inline.selection_set, nesting + 1)?,
                // Validation is going to say that there is no such fragment.
                Selection::FragmentSpread(spread) => match self.definitions.get(spread.fragment_name.as_str()).copied() {
                    Some(fragment) => self.fragment(fragment, nesting + 1)?,
                    None => Measure::default(),
                },
            };
            one.directives = one.directives.saturating_add(count(selection.directives()));
            total.beside(one);
        }
        total.nesting += 1;
        if nesting + total.nesting > self.limits.selection_nesting {
            return Err(too_many("nested selections", self.limits.selection_nesting as u64, None));
        }
        Ok(total)
    }

    fn fragment(&mut self, fragment: &'d Node<FragmentDefinition>, nesting: usize) -> Result<Measure, Refused> {
        let name = fragment.name.as_str();
        match self.fragments.get(name) {
            Some(Fragment::Done(measure)) if nesting + measure.nesting > self.limits.selection_nesting => {
                Err(too_many("nested selections", self.limits.selection_nesting as u64, None))
            }
            Some(Fragment::Done(measure)) => Ok(*measure),
            Some(Fragment::Open) => Err(Refused::new(
                Code::GraphqlValidationFailed,
                crate::refused::shorten(format!("fragment `{name}` spreads itself"), self.limits.error_message_chars),
                self.pos(fragment.location()),
            )),
            None => {
                self.fragments.insert(name, Fragment::Open);
                let mut measure = self.selections(&fragment.selection_set, nesting)?;
                measure.directives = measure.directives.saturating_add(count(&fragment.directives));
                self.fragments.insert(name, Fragment::Done(measure));
                Ok(measure)
            }
        }
    }

    fn pos(&self, span: Option<apollo_compiler::parser::SourceSpan>) -> Option<Pos> {
        span.map(|span| self.lines.pos(span.offset()))
    }
}

trait Directives {
    fn directives(&self) -> &DirectiveList;
}

impl Directives for Selection {
    fn directives(&self) -> &DirectiveList {
        match self {
            Self::Field(field) => &field.directives,
            Self::FragmentSpread(spread) => &spread.directives,
            Self::InlineFragment(inline) => &inline.directives,
        }
    }
}

fn count(directives: &DirectiveList) -> u64 {
    directives.0.len() as u64
}

pub(crate) fn within(what: &str, number: u64, limit: u64, at: Option<Pos>) -> Result<(), Refused> {
    if number > limit { Err(too_many(what, limit, at)) } else { Ok(()) }
}

fn too_many(what: &str, limit: u64, at: Option<Pos>) -> Refused {
    Refused::new(Code::LimitExceeded, format!("the operation has more than {limit} {what}"), at)
}
