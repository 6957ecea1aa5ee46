//! Turns a checked operation into the form that is executed: fields collected and merged as the specification says.
//!
//! async-graphql runs a field once for each time that it is written, which runs a mutation twice, and merges what comes back by
//! guesswork. So nothing is left to merge: in a [`Plan`] conditions are decided, fragments are written out, and every answer key
//! of a selection stands once. Beside the document stands the [`Shape`] of the answer, by which [`crate::complete`] puts it right.
//! It knows the values of variables only as far as `@skip` and `@include` depend on them.

use std::collections::HashSet;

use apollo_compiler::ast::{OperationType as ApolloOperationType, Type, Value as Literal};
use apollo_compiler::executable::{Field, Operation, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{ExecutableDocument, Node};
use async_graphql::parser::types::{
    Field as OutField, InlineFragment, OperationDefinition, OperationType, Selection as OutSelection, SelectionSet as OutSelectionSet,
    TypeCondition,
};
use async_graphql::{Name, Pos, Positioned, Value};

use crate::coerce::constant;
use crate::cost::CostTable;
use crate::limits::Limits;
use crate::refused::Refused;
use crate::schema::{Schema, TypeSet};
use crate::source::Lines;
use crate::walk::within;

/// The answer key under which an object says its type where the gate needs to know. No client can choose it: it is not a name.
pub(crate) const MARK: &str = "#";

/// async-graphql forgets the path of an error in a field that it resolves through an interface, so such a field is written once for
/// each type; where there are more types than this, it is written once, and the path of an error is lost.
const WRITTEN_BY_TYPE_MAX: usize = 16;

/// An operation with nothing left to decide but the values of arguments.
#[derive(Debug)]
pub(crate) struct Plan {
    pub operation: OperationDefinition,
    pub shape: Shape,
    /// Whether an argument holds a variable.
    pub has_variables: bool,
    /// Fields at all levels.
    pub fields: u64,
}

/// What the answer to a selection set looks like.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// In the order of the answer.
    pub fields: Vec<FieldShape>,
    /// Whether the executor was asked for [`MARK`].
    pub marked: bool,
}

/// One key of an answer.
#[derive(Debug)]
pub(crate) struct FieldShape {
    pub key: Name,
    pub ty: Type,
    /// For composite types.
    pub below: Option<Shape>,
    /// The concrete types that have this key, where not all of them do.
    pub only: Option<TypeSet>,
    /// What stands there whatever the executor says.
    pub fixed: Option<Value>,
    pub own_cost: u32,
    pub factor: Factor,
}

/// What the cost below a field is multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Factor {
    Fixed(u64),
    /// The value of this variable, or the number where it has none.
    Variable(Name, u64),
}

/// What a plan is made from.
pub(crate) struct Source<'a> {
    pub document: &'a ExecutableDocument,
    pub operation: &'a Operation,
    pub schema: &'a Schema,
    pub lines: &'a Lines,
    pub limits: &'a Limits,
    pub costs: &'a CostTable,
}

/// Plans an operation. `condition` gives the value of a boolean variable; where it gives none, the variable counts as false.
pub(crate) fn plan(source: &Source<'_>, condition: &dyn Fn(&str) -> bool) -> Result<Plan, Refused> {
    let mut planner = Planner { source, condition, written: 0, has_variables: false };
    let (items, shape, _) = planner.selection(&source.operation.selection_set.ty, &[&source.operation.selection_set], 0)?;
    let ty = match source.operation.operation_type {
        ApolloOperationType::Query => OperationType::Query,
        ApolloOperationType::Mutation => OperationType::Mutation,
        ApolloOperationType::Subscription => OperationType::Subscription,
    };
    let operation = OperationDefinition {
        ty,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(OutSelectionSet { items }, Pos { line: 1, column: 1 }),
    };
    Ok(Plan { operation, shape, has_variables: planner.has_variables, fields: planner.written })
}

/// The variables that `@skip` and `@include` of an operation depend on, each once.
pub(crate) fn condition_variables(document: &ExecutableDocument, operation: &Operation) -> Vec<apollo_compiler::Name> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    let mut open = vec![&operation.selection_set];
    while let Some(set) = open.pop() {
        for selection in &set.selections {
            for directive in &selection.directives().0 {
                if let Some(Literal::Variable(name)) = directive.specified_argument_by_name("if").map(|value| &**value)
                    && !names.contains(name)
                {
                    names.push(name.clone());
                }
            }
            match selection {
                Selection::Field(field) => open.push(&field.selection_set),
                Selection::InlineFragment(inline) => open.push(&inline.selection_set),
                Selection::FragmentSpread(spread) if seen.insert(&spread.fragment_name) => {
                    open.extend(document.fragments.get(&spread.fragment_name).map(|fragment| &fragment.selection_set));
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    names
}

/// Fields of one answer key that hold for the same concrete types.
struct Group<'a> {
    key: &'a str,
    types: TypeSet,
    fields: Vec<&'a Node<Field>>,
}

impl Group<'_> {
    /// Whether a resolver answers it.
    fn key_is_resolved(&self) -> bool {
        self.fields.first().is_some_and(|field| field.name != "__typename")
    }
}

struct Planner<'a> {
    source: &'a Source<'a>,
    condition: &'a dyn Fn(&str) -> bool,
    /// Fields written so far.
    written: u64,
    has_variables: bool,
}

type Written = (Vec<Positioned<OutSelection>>, Shape, u64);

impl<'a> Planner<'a> {
    /// Writes the merged selection of `sets` on `parent`, and says how many fields it has at all levels.
    fn selection(&mut self, parent: &str, sets: &[&'a SelectionSet], schema_lists: usize) -> Result<Written, Refused> {
        let all = self.source.schema.possible(parent).cloned().unwrap_or_else(|| self.source.schema.none());
        let is_abstract = self.source.schema.index_of(parent).is_none();
        let mut groups = Vec::new();
        let mut seen = HashSet::new();
        for set in sets {
            self.collect(set, &all, &mut groups, &mut seen)?;
        }
        let mut items = Vec::with_capacity(groups.len());
        let mut shape = Shape { fields: Vec::with_capacity(groups.len()), marked: false };
        let mut size = 0;
        for group in groups {
            let is_of_parent = self.is_defined(parent, &group);
            let only = (group.types != all || !is_of_parent).then(|| group.types.clone());
            shape.marked |= only.is_some();
            let is_by_type = only.is_some() || (is_abstract && all.len() <= WRITTEN_BY_TYPE_MAX && group.key_is_resolved());
            let (field, field_shape, below) = self.field(parent, &group, only, schema_lists)?;
            let copies = if is_by_type { group.types.len() as u64 } else { 1 };
            size += copies * (below + 1);
            self.write(1 + (copies.saturating_sub(1)) * (below + 1))?;
            if is_by_type {
                items.extend(group.types.iter().filter_map(|index| self.source.schema.object(index)).map(|object| on(object, &field)));
            } else {
                items.push(field.position_node(OutSelection::Field(field.clone())));
            }
            shape.fields.push(field_shape);
        }
        if (shape.marked || shape.fields.is_empty()) && self.source.schema.takes_mark(parent) {
            shape.marked = true;
            items.push(mark());
        }
        Ok((items, shape, size))
    }

    /// Whether the parent itself has the field: one of a fragment may hold for all of its types without that.
    fn is_defined(&self, parent: &str, group: &Group<'_>) -> bool {
        group.fields.first().is_some_and(|field| self.source.schema.apollo.type_field(parent, &field.name).is_ok())
    }

    fn write(&mut self, fields: u64) -> Result<(), Refused> {
        self.written = self.written.saturating_add(fields);
        within("fields", self.written, self.source.limits.expanded_fields as u64, None)
    }

    /// `CollectFields` of the specification, for every concrete type at once.
    fn collect(
        &self,
        set: &'a SelectionSet,
        types: &TypeSet,
        groups: &mut Vec<Group<'a>>,
        seen: &mut HashSet<(&'a str, TypeSet)>,
    ) -> Result<(), Refused> {
        for selection in &set.selections {
            if !self.is_included(selection) {
                continue;
            }
            let (condition, below) = match selection {
                Selection::Field(field) => {
                    merge(groups, field, types.clone());
                    within("fields", groups.len() as u64, self.source.limits.expanded_fields as u64, None)?;
                    continue;
                }
                Selection::InlineFragment(inline) => (inline.type_condition.as_ref(), &inline.selection_set),
                Selection::FragmentSpread(spread) => match self.source.document.fragments.get(&spread.fragment_name) {
                    Some(fragment) if seen.insert((&spread.fragment_name, types.clone())) => {
                        (Some(fragment.type_condition()), &fragment.selection_set)
                    }
                    _ => continue,
                },
            };
            let narrowed = match condition.map(|condition| self.source.schema.possible(condition)) {
                Some(Some(possible)) => types.intersect(possible),
                Some(None) => continue,
                None => types.clone(),
            };
            if !narrowed.is_empty() {
                self.collect(below, &narrowed, groups, seen)?;
            }
        }
        Ok(())
    }

    fn is_included(&self, selection: &Selection) -> bool {
        selection.directives().0.iter().all(|directive| {
            let wanted = match directive.name.as_str() {
                "include" => true,
                "skip" => false,
                _ => return true,
            };
            let given = match directive.specified_argument_by_name("if").map(|value| &**value) {
                Some(Literal::Boolean(value)) => *value,
                Some(Literal::Variable(name)) => (self.condition)(name),
                _ => return true,
            };
            given == wanted
        })
    }

    fn field(
        &mut self,
        parent: &str,
        group: &Group<'a>,
        only: Option<TypeSet>,
        schema_lists: usize,
    ) -> Result<(Positioned<OutField>, FieldShape, u64), Refused> {
        let Some(first) = group.fields.first() else { return Err(Refused::new(crate::Code::Internal, "internal error", None)) };
        // A field of an object type may have a narrower type than the same field of its interface.
        let owner = match &only {
            Some(types) if types.len() == 1 => types.iter().next().and_then(|index| self.source.schema.object(index)),
            _ => None,
        };
        let owner = owner.map_or(parent, |owner| owner.as_str());
        let definition = self.source.schema.apollo.type_field(owner, &first.name).map_or(&first.definition, |definition| &definition.node);
        let at = self.pos(first.location());
        let in_schema = owner.starts_with("__");
        let schema_lists = schema_lists
            + usize::from(in_schema && matches!(first.name.as_str(), "fields" | "interfaces" | "possibleTypes" | "inputFields"));
        within(
            "lists of schema members within each other",
            schema_lists as u64,
            self.source.limits.introspection_list_depth as u64,
            Some(at),
        )?;

        let sets: Vec<_> = group.fields.iter().map(|field| &field.selection_set).filter(|set| !set.is_empty()).collect();
        let (items, below, size) = if sets.is_empty() {
            (Vec::new(), None, 0)
        } else {
            let (items, shape, size) = self.selection(definition.ty.inner_named_type(), &sets, schema_lists)?;
            (items, Some(shape), size)
        };
        let arguments = first.arguments.iter().map(|argument| {
            let at = self.pos(argument.location());
            (Positioned::new(Name::new(&argument.name), at), Positioned::new(constant(&argument.value), at))
        });
        let arguments: Vec<_> = arguments.collect();
        self.has_variables |= first.arguments.iter().any(|argument| holds_variable(&argument.value));
        let field = OutField {
            alias: first.alias.as_ref().map(|alias| Positioned::new(Name::new(alias), at)),
            name: Positioned::new(Name::new(&first.name), at),
            arguments,
            directives: Vec::new(),
            selection_set: Positioned::new(OutSelectionSet { items }, at),
        };
        let shape = FieldShape {
            key: Name::new(group.key),
            ty: definition.ty.clone(),
            below,
            only,
            fixed: (owner == "__Schema" && first.name == "description").then(|| self.source.schema.description()),
            own_cost: self.source.costs.own(owner, &first.name),
            factor: self.factor(first, definition),
        };
        Ok((Positioned::new(field, at), shape, size))
    }

    fn factor(&self, field: &Field, definition: &apollo_compiler::schema::FieldDefinition) -> Factor {
        for argument in definition.arguments.iter().filter(|argument| self.source.costs.is_list_argument(&argument.name)) {
            let default = argument.default_value.as_ref().and_then(|value| natural(value));
            match field.specified_argument_by_name(&argument.name).map(|value| &**value) {
                Some(Literal::Variable(name)) => return Factor::Variable(Name::new(name), default.unwrap_or(1)),
                Some(given) => return Factor::Fixed(natural(given).or(default).unwrap_or(1)),
                None => {
                    if let Some(default) = default {
                        return Factor::Fixed(default);
                    }
                }
            }
        }
        Factor::Fixed(1)
    }

    fn pos(&self, span: Option<SourceSpan>) -> Pos {
        span.map_or(Pos { line: 1, column: 1 }, |span| self.source.lines.pos(span.offset()))
    }
}

/// Adds a field to the groups, splitting those that hold for some of its types only. The order of keys stays right for every type.
fn merge<'a>(groups: &mut Vec<Group<'a>>, field: &'a Node<Field>, mut types: TypeSet) {
    let key = field.response_key().as_str();
    let mut at = 0;
    while at < groups.len() && !types.is_empty() {
        if groups[at].key == key {
            let both = groups[at].types.intersect(&types);
            if !both.is_empty() {
                let rest = groups[at].types.without(&both);
                types = types.without(&both);
                if !rest.is_empty() {
                    let fields = groups[at].fields.clone();
                    groups.insert(at, Group { key, types: rest, fields });
                    at += 1;
                }
                groups[at].types = both;
                groups[at].fields.push(field);
            }
        }
        at += 1;
    }
    if !types.is_empty() {
        groups.push(Group { key, types, fields: vec![field] });
    }
}

fn on(object: &str, field: &Positioned<OutField>) -> Positioned<OutSelection> {
    let inline = InlineFragment {
        type_condition: Some(field.position_node(TypeCondition { on: field.position_node(Name::new(object)) })),
        directives: Vec::new(),
        selection_set: field.position_node(OutSelectionSet { items: vec![field.position_node(OutSelection::Field(field.clone()))] }),
    };
    field.position_node(OutSelection::InlineFragment(field.position_node(inline)))
}

fn mark() -> Positioned<OutSelection> {
    let at = Pos { line: 1, column: 1 };
    let field = OutField {
        alias: Some(Positioned::new(Name::new(MARK), at)),
        name: Positioned::new(Name::new("__typename"), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(OutSelectionSet::default(), at),
    };
    Positioned::new(OutSelection::Field(Positioned::new(field, at)), at)
}

fn holds_variable(value: &Literal) -> bool {
    match value {
        Literal::Variable(_) => true,
        Literal::List(values) => values.iter().any(|value| holds_variable(value)),
        Literal::Object(fields) => fields.iter().any(|(_, value)| holds_variable(value)),
        _ => false,
    }
}

/// An integer literal as a factor; what is negative counts as nothing here, its resolver refuses it.
fn natural(value: &Literal) -> Option<u64> {
    match value {
        Literal::Int(int) => int.as_str().parse::<i64>().ok().map(|value| u64::try_from(value).unwrap_or(0)),
        _ => None,
    }
}
