//! Puts an executed answer right: keys in the order of the request and all of them there, nulls carried up to the nearest field
//! that may be null, `{}` where every leaf was skipped, errors with a code and few enough.
//!
//! async-graphql leaves a key out when its field fails, whether or not it may be null, and orders keys by who finished first.
//! Invariant: no error leaves here without a [`Code`], and no text of a fault of ours leaves at all.

use std::collections::HashMap;

use apollo_compiler::ast::Type;
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, PathSegment, Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;

use crate::code::Code;
use crate::limits::Limits;
use crate::plan::{FieldShape, MARK, Shape};
use crate::refused::{Refused, coded, shorten};
use crate::schema::Schema;

/// What a client gets.
#[derive(Debug)]
pub struct Answer {
    /// `None` where nothing was run.
    pub data: Option<Value>,
    /// At most [`Limits::errors_per_answer`] and one for each root field, each with a code.
    pub errors: Vec<ServerError>,
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
}

impl Answer {
    /// The code of the first error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.errors.first().and_then(code_of)
    }

    /// The errors alone as JSON.
    #[must_use]
    pub fn errors_to_json(&self) -> Bytes {
        serde_json::to_vec(&self.errors).map(Bytes::from).unwrap_or_else(|error| {
            tracing::error!(error = %error, "failed to serialize errors");
            Bytes::from_static(br#"[{"message":"internal error","extensions":{"code":"INTERNAL"}}]"#)
        })
    }

    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let wire = Wire { data: self.data.as_ref(), errors: &self.errors };
        match serde_json::to_vec(&wire) {
            Ok(json) => json.into(),
            Err(error) => {
                // Only a value of an upload or a map with keys that are no strings gets here; the gate hands out neither.
                tracing::error!(error = %error, "failed to serialize an answer");
                Bytes::from_static(br#"{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}]}"#)
            }
        }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self { data: None, errors: refused.into_errors() }
    }
}

/// The code of an error that has one of the closed list.
pub(crate) fn code_of(error: &ServerError) -> Option<Code> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Code::from_wire(code),
        Value::Enum(code) => Code::from_wire(code),
        _ => None,
    }
}

/// Completes what the executor answered.
pub(crate) fn complete(
    mut response: Response,
    shape: &Shape,
    schema: &Schema,
    limits: &Limits,
    next_error_id: &dyn Fn() -> String,
) -> Answer {
    let failed = Failed::below(&response.errors);
    if !(Completer { schema }).object(&mut response.data, shape, failed.as_ref()) {
        response.data = Value::Null;
    }
    let told = response.errors.len();
    let mut left = limits.errors_per_answer;
    let mut errors: Vec<_> = response.errors.into_iter().map(|error| presentable(error, limits, next_error_id)).collect();
    // A root field that failed always says so: there are few of them, and a client asks by alias why each is null.
    errors.retain(|error| {
        let fits = left > 0;
        left = left.saturating_sub(1);
        fits || error.path.len() == 1
    });
    if errors.len() < told {
        tracing::info!(dropped = told - errors.len(), "left errors out of an answer");
    }
    Answer { data: Some(response.data), errors }
}

/// The places of errors, as a tree. async-graphql answers an object of which every field failed with null; that errors stand below
/// it tells it from one that is null.
#[derive(Debug, Default)]
struct Failed<'e> {
    keys: HashMap<&'e str, Self>,
    items: HashMap<usize, Self>,
}

impl<'e> Failed<'e> {
    fn below(errors: &'e [ServerError]) -> Option<Self> {
        if errors.is_empty() {
            return None;
        }
        let mut root = Self::default();
        for error in errors {
            let mut at = &mut root;
            for segment in &error.path {
                at = match segment {
                    PathSegment::Field(name) => at.keys.entry(name.as_str()).or_default(),
                    PathSegment::Index(index) => at.items.entry(*index).or_default(),
                };
            }
        }
        Some(root)
    }
}

struct Completer<'s> {
    schema: &'s Schema,
}

impl Completer<'_> {
    /// Completes a value; false where it is null and must not be.
    fn value(&self, value: &mut Value, ty: &Type, below: Option<&Shape>, failed: Option<&Failed<'_>>) -> bool {
        let is_right = match (ty, &mut *value, below) {
            (Type::List(item) | Type::NonNullList(item), Value::List(items), _) => {
                // A list of leaves that may be null has nothing to complete.
                let is_plain = below.is_none() && matches!(**item, Type::Named(_));
                is_plain
                    || items.iter_mut().enumerate().all(|(index, one)| {
                        let failed = failed.and_then(|failed| failed.items.get(&index));
                        self.value(one, item, below, failed)
                    })
            }
            (Type::List(_) | Type::NonNullList(_), Value::Null, _) | (_, Value::Null, None) => return !ty.is_non_null(),
            (_, Value::Null, Some(_)) if failed.is_none_or(|failed| failed.keys.is_empty()) => return !ty.is_non_null(),
            (_, _, Some(shape)) => self.object(value, shape, failed),
            (_, _, None) => true,
        };
        if is_right {
            return true;
        }
        *value = Value::Null;
        !ty.is_non_null()
    }

    /// Completes an object; false where a key that must not be null is, so that the object itself has to be null.
    fn object(&self, value: &mut Value, shape: &Shape, failed: Option<&Failed<'_>>) -> bool {
        if matches!(value, Value::Null) && failed.is_some_and(|failed| !failed.keys.is_empty()) {
            *value = Value::Object(IndexMap::new());
        }
        let Value::Object(fields) = value else { return false };
        let type_index = if shape.marked { take_mark(fields, self.schema) } else { None };
        let applies = |field: &&FieldShape| field.only.as_ref().is_none_or(|only| type_index.is_some_and(|index| only.contains(index)));
        let is_ordered = fields.len() == shape.fields.iter().filter(applies).count()
            && fields.keys().zip(shape.fields.iter().filter(applies)).all(|(key, field)| *key == field.key);
        if !is_ordered {
            let mut ordered = IndexMap::with_capacity(shape.fields.len());
            for field in shape.fields.iter().filter(applies) {
                let value = fields.swap_remove(field.key.as_str()).unwrap_or_default();
                ordered.insert(field.key.clone(), value);
            }
            *fields = ordered;
        }
        shape.fields.iter().filter(applies).zip(fields.values_mut()).all(|(field, one)| {
            if let Some(fixed) = &field.fixed {
                one.clone_from(fixed);
            }
            let failed = failed.and_then(|failed| failed.keys.get(field.key.as_str()));
            self.value(one, &field.ty, field.below.as_ref(), failed)
        })
    }
}

fn take_mark(fields: &mut IndexMap<Name, Value>, schema: &Schema) -> Option<usize> {
    match fields.swap_remove(MARK)? {
        Value::String(name) => schema.index_of(&name),
        _ => None,
    }
}

/// Gives an error a code, and hides what clients must not see.
fn presentable(mut error: ServerError, limits: &Limits, next_error_id: &dyn Fn() -> String) -> ServerError {
    error.source = None;
    match code_of(&error) {
        Some(Code::Internal) | None => {}
        Some(_) => {
            error.message = shorten(error.message, limits.error_message_chars);
            return error;
        }
    }
    if error.extensions.is_none() && is_about_argument(&error.message) {
        let message = error.message.split(", found ").next().unwrap_or_default().to_owned();
        let mut coded = coded(Code::BadUserInput, shorten(message, limits.error_message_chars), None);
        coded.locations = error.locations;
        coded.path = error.path;
        return coded;
    }
    // A host that has logged the fault itself has named it.
    let named = error.extensions.as_ref().and_then(|extensions| match extensions.get("id") {
        Some(Value::String(id)) if code_of(&error).is_some() => Some(id.clone()),
        _ => None,
    });
    let id = named.unwrap_or_else(next_error_id);
    tracing::error!(error.id = %id, error.path = ?error.path, error.message = %error.message, "an operation failed");
    let mut hidden = coded(Code::Internal, "internal error", None);
    if let Some(extensions) = hidden.extensions.as_mut() {
        extensions.set("id", Value::from(id));
    }
    hidden.locations = error.locations;
    hidden.path = error.path;
    hidden
}

/// Whether async-graphql says that a value did not fit the type of its argument.
fn is_about_argument(message: &str) -> bool {
    message.starts_with("Expected input type \"") || (message.starts_with("Failed to parse \"") && message.contains("\": "))
}
