//! An admitted document and what becomes of it for one request.
//!
//! Admission (parse, limits, validation) depends on the text alone and is done once; [`Admitted::prepare`] depends on the variables
//! and is done for each request. Invariant: what is prepared has passed every limit.

use std::sync::{Arc, Mutex, PoisonError};

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::OperationType as ApolloOperationType;
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument as OutDocument, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Pos, Positioned, Request, Response, Value};
use async_graphql_value::Value as Input;
use serde_json::{Map, Value as Json};

use crate::code::Code;
use crate::coerce::{self, Declared, Variables};
use crate::complete::{self, Answer};
use crate::cost::CostTable;
use crate::limits::Limits;
use crate::plan::{self, Factor, Plan, Shape};
use crate::refused::Refused;
use crate::schema::Schema;
use crate::source::Lines;
use crate::validate;
use crate::walk::within;

/// Estimated memory of a token of an admitted document, and of a field of a plan. Measured: 130 to 560 for both together.
const MEMORY_BYTES_PER_NODE: usize = 400;

/// Plans of up to as many fields are kept whatever their document has.
const SMALL_PLAN_FIELDS: u64 = 64;

/// What a gate holds for all documents.
pub(crate) struct Rulebook {
    pub schema: Schema,
    pub limits: Limits,
    pub costs: CostTable,
}

/// What kind of operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes something.
    Mutation,
    /// Goes on.
    Subscription,
}

impl OperationKind {
    /// As a label of metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

/// What is known of an operation before it runs, for logs and metrics.
#[derive(Clone, Debug)]
pub struct OperationFacts {
    /// The name that the client gave the operation.
    pub name: Option<Arc<str>>,
    /// Its kind.
    pub kind: OperationKind,
    /// Names (not aliases) of the fields of its root, as the client wrote them, fragments written out, conditions left aside, each once.
    pub root_fields: Arc<[Arc<str>]>,
    /// Whether it asks for `__schema` or `__type`.
    pub introspects: bool,
    /// Its cost by the host's [`CostTable`].
    pub cost: u64,
}

/// A document that has passed every check that depends on its text, for one of its operations.
pub struct Admitted {
    book: Arc<Rulebook>,
    document: ExecutableDocument,
    operation_name: Option<Arc<str>>,
    kind: OperationKind,
    root_fields: Arc<[Arc<str>]>,
    introspects: bool,
    declared: Vec<Declared>,
    conditions: Vec<apollo_compiler::Name>,
    lines: Lines,
    tokens: usize,
    /// Fields of the operation, written out.
    fields: u64,
    /// The plans made so far, by the values of the conditions.
    plans: Mutex<Vec<(Vec<bool>, Arc<Plan>)>>,
}

/// An operation that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// For [`async_graphql::Executor`]; its document is already parsed and its variables are written into it.
    pub request: Request,
    /// For logs and metrics.
    pub facts: OperationFacts,
    /// Puts what the executor answers right; an operation that goes on uses it for each event.
    pub completion: Completion,
    /// The coerced values of the variables, for whoever has to know whether two operations ask the same.
    pub variables: Vec<(String, Value)>,
}

/// Knows what the answer to an operation must look like.
#[derive(Clone)]
pub struct Completion {
    book: Arc<Rulebook>,
    plan: Arc<Plan>,
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completion").field("shape", &self.plan.shape).finish_non_exhaustive()
    }
}

impl Completion {
    /// Completes an answer of the executor. `next_error_id` names a fault of the service in the log.
    #[must_use]
    pub fn finish(&self, response: Response, next_error_id: &dyn Fn() -> String) -> Answer {
        complete::complete(response, &self.plan.shape, &self.book.schema, &self.book.limits, next_error_id)
    }
}

impl Admitted {
    /// Checks a text and chooses the operation that `operation_name` names, or the only one.
    pub(crate) fn check(book: &Arc<Rulebook>, text: &str, operation_name: Option<&str>) -> Result<Self, Refused> {
        let lines = Lines::of(text);
        let checked = validate::check(text, &lines, &book.schema, &book.limits)?;
        let document = checked.document;
        let (position, operation) = choose(&document, operation_name, book.limits.error_message_chars)?;
        let measure = checked.measures.get(position).copied().unwrap_or_default();
        let kind = match operation.operation_type {
            ApolloOperationType::Query => OperationKind::Query,
            ApolloOperationType::Mutation => OperationKind::Mutation,
            ApolloOperationType::Subscription => OperationKind::Subscription,
        };
        let declared = operation.variables.iter().map(|definition| Declared {
            definition: definition.clone(),
            at: definition.location().map_or(Pos { line: 1, column: 1 }, |span| lines.pos(span.offset())),
        });
        let mut root_fields: Vec<Arc<str>> = Vec::new();
        for field in operation.root_fields(&document) {
            if !root_fields.iter().any(|name| **name == *field.name.as_str()) {
                root_fields.push(Arc::from(field.name.as_str()));
            }
        }
        Ok(Self {
            book: Arc::clone(book),
            operation_name: operation.name.as_ref().map(|name| Arc::from(name.as_str())),
            kind,
            root_fields: root_fields.into(),
            introspects: measure.introspects,
            fields: measure.fields.max(SMALL_PLAN_FIELDS),
            declared: declared.collect(),
            conditions: plan::condition_variables(&document, operation),
            tokens: checked.tokens,
            plans: Mutex::new(Vec::new()),
            lines,
            document,
        })
    }

    /// The kind of the chosen operation.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        self.kind
    }

    /// Whether the chosen operation asks for `__schema` or `__type`.
    #[must_use]
    pub const fn introspects(&self) -> bool {
        self.introspects
    }

    /// Estimated memory of the document and of all the plans that it may keep.
    pub(crate) fn memory_size_bytes(&self) -> usize {
        let plans = if self.conditions.is_empty() { 1 } else { self.book.limits.cached_forms_per_document };
        let fields = usize::try_from(self.fields).unwrap_or(usize::MAX);
        fields.saturating_mul(plans).saturating_add(self.tokens).saturating_mul(MEMORY_BYTES_PER_NODE)
    }

    /// Coerces the variables, decides the conditions, weighs the cost and writes the request for the executor.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when a variable does not fit, `LIMIT_EXCEEDED` when the operation costs too much.
    pub fn prepare(&self, variables: Map<String, Json>) -> Result<Prepared, Refused> {
        let limits = &self.book.limits;
        let variables =
            coerce::variables(&self.declared, variables, &self.book.schema, limits.error_message_chars, limits.errors_per_answer)?;
        let plan = self.plan(&variables)?;
        let cost = cost(&plan.shape, &variables, limits.cost_factor_max);
        within("cost units", cost, limits.cost, None)?;

        let mut operation = plan.operation.clone();
        if plan.has_variables {
            fill_in(&mut operation.selection_set.node, &variables);
        }
        Ok(Prepared {
            request: request(operation),
            facts: OperationFacts {
                name: self.operation_name.clone(),
                kind: self.kind,
                root_fields: Arc::clone(&self.root_fields),
                introspects: self.introspects,
                cost,
            },
            completion: Completion { book: Arc::clone(&self.book), plan },
            variables: variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        })
    }

    fn plan(&self, variables: &Variables) -> Result<Arc<Plan>, Refused> {
        if let Some(name) = self.conditions.iter().find(|name| variables.get(name.as_str()) == Some(&Value::Null)) {
            let message = crate::refused::shorten(
                format!("variable `${name}` decides a condition and must not be null"),
                self.book.limits.error_message_chars,
            );
            return Err(Refused::new(Code::BadUserInput, message, None));
        }
        let is_true = |name: &str| variables.get(name) == Some(&Value::Boolean(true));
        let values: Vec<_> = self.conditions.iter().map(|name| is_true(name)).collect();
        let find = |plans: &[(Vec<bool>, Arc<Plan>)]| plans.iter().find(|(key, _)| *key == values).map(|(_, plan)| Arc::clone(plan));
        if let Some(plan) = find(&self.plans.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(plan);
        }
        let operation = match &self.operation_name {
            Some(name) => self.document.operations.named.get(&**name),
            None => self.document.operations.anonymous.as_ref(),
        };
        let Some(operation) = operation else { return Err(unknown_operation()) };
        let source = plan::Source {
            document: &self.document,
            operation,
            schema: &self.book.schema,
            lines: &self.lines,
            limits: &self.book.limits,
            costs: &self.book.costs,
        };
        let plan = Arc::new(plan::plan(&source, &is_true)?);
        if plan.fields > self.fields {
            // Fields of interfaces are written once for each type; a plan larger than its document is made anew each time.
            return Ok(plan);
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= self.book.limits.cached_forms_per_document {
            plans.remove(0);
        }
        plans.push((values, Arc::clone(&plan)));
        Ok(plan)
    }
}

/// `GetOperation` of the specification, with the position of the operation among those of the document.
fn choose<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
    message_chars: usize,
) -> Result<(usize, &'d apollo_compiler::executable::Operation), Refused> {
    let mut operations = document.operations.iter().enumerate();
    let chosen = match name {
        Some(name) => operations.find(|(_, operation)| operation.name.as_ref().is_some_and(|other| other == name)),
        None if document.operations.len() > 1 => {
            let message = "the document has several operations: `operationName` must name one";
            return Err(Refused::new(Code::BadUserInput, message, None));
        }
        None => operations.next(),
    };
    match (chosen, name) {
        (Some((position, operation)), _) => Ok((position, operation)),
        (None, Some(name)) => {
            let message = crate::refused::shorten(format!("the document has no operation named `{name}`"), message_chars);
            Err(Refused::new(Code::BadUserInput, message, None))
        }
        (None, None) => Err(unknown_operation()),
    }
}

fn unknown_operation() -> Refused {
    Refused::new(Code::GraphqlValidationFailed, "the document has no operation", None)
}

/// See [`crate::cost`].
fn cost(shape: &Shape, variables: &Variables, factor_max: u64) -> u64 {
    let mut total = 0_u64;
    for field in &shape.fields {
        let below = field.below.as_ref().map_or(0, |below| cost(below, variables, factor_max));
        let factor = match &field.factor {
            Factor::Fixed(factor) => *factor,
            Factor::Variable(name, default) => match variables.get(name) {
                Some(Value::Number(number)) => number.as_i64().map_or(factor_max, |number| u64::try_from(number).unwrap_or(0)),
                _ => *default,
            },
        };
        let below = below.saturating_mul(factor.clamp(1, factor_max.max(1)));
        total = total.saturating_add(u64::from(field.own_cost)).saturating_add(below);
    }
    total
}

fn request(operation: OperationDefinition) -> Request {
    let at = operation.selection_set.pos;
    let mut request = Request::new("");
    request.set_parsed_query(OutDocument {
        operations: DocumentOperations::Single(Positioned::new(operation, at)),
        fragments: std::collections::HashMap::default(),
    });
    request
}

/// Writes the values of variables into the arguments. An argument whose variable is absent is absent.
fn fill_in(set: &mut SelectionSet, variables: &Variables) {
    for selection in &mut set.items {
        match &mut selection.node {
            Selection::Field(field) => {
                field.node.arguments.retain_mut(|(_, value)| {
                    let taken = std::mem::take(&mut value.node);
                    filled(taken, variables).is_some_and(|filled| {
                        value.node = filled;
                        true
                    })
                });
                fill_in(&mut field.node.selection_set.node, variables);
            }
            Selection::InlineFragment(inline) => fill_in(&mut inline.node.selection_set.node, variables),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn filled(value: Input, variables: &Variables) -> Option<Input> {
    Some(match value {
        Input::Variable(name) => variables.get(&name)?.clone().into_value(),
        Input::List(items) => Input::List(items.into_iter().map(|item| filled(item, variables).unwrap_or(Input::Null)).collect()),
        Input::Object(fields) => {
            Input::Object(fields.into_iter().filter_map(|(name, value)| Some((name, filled(value, variables)?))).collect())
        }
        other => other,
    })
}
