//! Coerces the values of variables as the specification says, and fills in defaults.
//!
//! async-graphql takes a string for a number and the like; what comes out of here has exactly the declared type, with lists made
//! of single values, the defaults of input fields in place and enum values checked. A variable that is neither given nor has a default is
//! absent, which is not null. Invariant: messages name the place of a value and what was expected, never the value.

use std::fmt;

use apollo_compiler::Node;
use apollo_compiler::ast::{Type, Value as Literal, VariableDefinition};
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, Pos, Value};
use serde_json::{Map, Number, Value as Json};

use crate::code::Code;
use crate::refused::{Refused, shorten};
use crate::rules::is_one_of;
use crate::schema::Schema;

/// Coerced variables by name. What is absent has no entry.
pub(crate) type Variables = IndexMap<Name, Value>;

/// A variable of an operation, with the place of its definition.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub definition: Node<VariableDefinition>,
    pub at: Pos,
}

/// Coerces what the caller sent. Values of variables that the operation does not declare are ignored.
pub(crate) fn variables(
    declared: &[Declared],
    mut sent: Map<String, Json>,
    schema: &Schema,
    message_chars: usize,
    errors: usize,
) -> Result<Variables, Refused> {
    let mut coerced = Variables::with_capacity(declared.len());
    let mut wrong = Vec::new();
    for Declared { definition, at } in declared {
        let root = Path { parent: None, step: Step::Variable(&definition.name) };
        let value = match sent.remove(definition.name.as_str()) {
            Some(value) => coerce(schema, &definition.ty, value, &root),
            None => match &definition.default_value {
                Some(default) => Ok(literal(schema, &definition.ty, default)),
                None if definition.ty.is_non_null() => Err(root.expected(&definition.ty, "nothing")),
                None => continue,
            },
        };
        match value {
            Ok(value) => drop(coerced.insert(Name::new(&definition.name), value)),
            Err(message) => wrong.push((shorten(message, message_chars), Some(*at))),
        }
        if wrong.len() >= errors {
            break;
        }
    }
    if wrong.is_empty() { Ok(coerced) } else { Err(Refused::many(Code::BadUserInput, wrong)) }
}

/// Where a value stands, for messages.
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Variable(&'p str),
    Field(&'p str),
    Item(usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Variable(name) => write!(f, "${name}"),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

impl Path<'_> {
    fn expected(&self, ty: &Type, found: &str) -> String {
        format!("variable `{self}` must be of type `{ty}`, found {found}")
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_f64() => "a number with a fraction or out of range",
        Json::Number(_) => "an integer",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn coerce(schema: &Schema, ty: &Type, value: Json, path: &Path<'_>) -> Result<Value, String> {
    if value.is_null() {
        return if ty.is_non_null() { Err(path.expected(ty, "null")) } else { Ok(Value::Null) };
    }
    match ty {
        Type::List(item) | Type::NonNullList(item) => match value {
            Json::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(index, value)| coerce(schema, item, value, &Path { parent: Some(path), step: Step::Item(index) }))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::List),
            single => Ok(Value::List(vec![coerce(schema, item, single, path)?])),
        },
        Type::Named(name) | Type::NonNullNamed(name) => match schema.apollo.types.get(name) {
            Some(ExtendedType::InputObject(definition)) => object(schema, definition, ty, value, path),
            Some(ExtendedType::Enum(definition)) => match value {
                Json::String(text) if definition.values.contains_key(text.as_str()) => Ok(Value::Enum(Name::new(text))),
                Json::String(_) => Err(path.expected(ty, "a string that is none of its values")),
                other => Err(path.expected(ty, kind(&other))),
            },
            _ => scalar(name, ty, value, path),
        },
    }
}

fn scalar(name: &str, ty: &Type, value: Json, path: &Path<'_>) -> Result<Value, String> {
    match (name, value) {
        ("Int", Json::Number(number)) if whole(&number).is_some_and(|whole| i32::try_from(whole).is_ok()) => {
            Ok(whole(&number).map_or(Value::Null, Value::from))
        }
        ("Float", Json::Number(number)) => Ok(Value::Number(number)),
        ("String" | "ID", Json::String(text)) => Ok(Value::String(text)),
        ("Boolean", Json::Bool(boolean)) => Ok(Value::Boolean(boolean)),
        ("ID", Json::Number(number)) if number.is_i64() || number.is_u64() => Ok(Value::String(number.to_string())),
        ("ID", Json::Number(number)) if whole(&number).is_some() => {
            Ok(Value::String(whole(&number).map(|whole| whole.to_string()).unwrap_or_default()))
        }
        ("Int" | "Float" | "String" | "Boolean" | "ID", other) => Err(path.expected(ty, kind(&other))),
        // What a custom scalar accepts is for its parser to say.
        (_, other) => Ok(anything(other)),
    }
}

/// The number as an integer; `1.0` and `1e3` are integers of JSON.
fn whole(number: &Number) -> Option<i64> {
    /// 2^53: beyond it not every integer is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53 is an i64")]
        Some(float as i64)
    })
}

fn object(schema: &Schema, definition: &InputObjectType, ty: &Type, value: Json, path: &Path<'_>) -> Result<Value, String> {
    let Json::Object(mut given) = value else {
        return Err(path.expected(ty, kind(&value)));
    };
    let mut fields = IndexMap::with_capacity(definition.fields.len());
    let (count, nulls) = (given.len(), given.values().any(Json::is_null));
    for (name, field) in &definition.fields {
        let below = Path { parent: Some(path), step: Step::Field(name) };
        let value = match given.remove(name.as_str()) {
            Some(value) => coerce(schema, &field.ty, value, &below)?,
            None => match &field.default_value {
                Some(default) => literal(schema, &field.ty, default),
                None if field.ty.is_non_null() => return Err(below.expected(&field.ty, "nothing")),
                None => continue,
            },
        };
        fields.insert(Name::new(name), value);
    }
    if let Some(unknown) = given.keys().next() {
        let unknown = shorten(unknown.clone(), 64);
        return Err(format!("variable `{path}` has a field `{unknown}` that `{}` does not define", definition.name));
    }
    if is_one_of(definition) && (count != 1 || nulls) {
        return Err(format!("variable `{path}` must have exactly one field of `{}`, and it must not be null", definition.name));
    }
    Ok(Value::Object(fields))
}

/// Any JSON, for custom scalars.
fn anything(value: Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(boolean) => Value::Boolean(boolean),
        Json::Number(number) => Value::Number(number),
        Json::String(text) => Value::String(text),
        Json::Array(values) => Value::List(values.into_iter().map(anything).collect()),
        Json::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (Name::new(name), anything(value))).collect()),
    }
}

/// Coerces a literal without variables that validation has accepted: a default.
fn literal(schema: &Schema, ty: &Type, value: &Literal) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    match ty {
        Type::List(item) | Type::NonNullList(item) => match value {
            Literal::List(values) => Value::List(values.iter().map(|value| literal(schema, item, value)).collect()),
            single => Value::List(vec![literal(schema, item, single)]),
        },
        Type::Named(name) | Type::NonNullNamed(name) => match (schema.apollo.types.get(name), value) {
            (Some(ExtendedType::InputObject(definition)), Literal::Object(given)) => {
                let fields = definition.fields.iter().filter_map(|(name, field)| {
                    let value = given.iter().find(|(given, _)| given == name).map(|(_, value)| value).or(field.default_value.as_ref())?;
                    Some((Name::new(name), literal(schema, &field.ty, value)))
                });
                Value::Object(fields.collect())
            }
            _ if name == "ID" => match value {
                Literal::Int(int) => Value::String(int.as_str().to_owned()),
                other => plain(other),
            },
            _ => plain(value),
        },
    }
}

fn plain(value: &Literal) -> Value {
    constant(value).into_const().unwrap_or_default()
}

/// A literal in the form that async-graphql executes, variables kept.
pub(crate) fn constant(value: &Literal) -> async_graphql_value::Value {
    use async_graphql_value::Value as Out;
    match value {
        Literal::Null => Out::Null,
        Literal::Variable(name) => Out::Variable(Name::new(name)),
        Literal::Enum(name) => Out::Enum(Name::new(name)),
        Literal::String(text) => Out::String(text.clone()),
        Literal::Boolean(boolean) => Out::Boolean(*boolean),
        Literal::Int(int) => number(int.as_str()),
        Literal::Float(float) => number(float.as_str()),
        Literal::List(values) => Out::List(values.iter().map(|value| constant(value)).collect()),
        Literal::Object(fields) => Out::Object(fields.iter().map(|(name, value)| (Name::new(name), constant(value))).collect()),
    }
}

/// Beyond 64 bits only custom scalars and floats take a number, as a double; what is no double either is null.
fn number(text: &str) -> async_graphql_value::Value {
    let exact = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    let number = exact.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    number.map_or(async_graphql_value::Value::Null, async_graphql_value::Value::Number)
}
