//! The schema as the gate knows it: parsed once from the SDL, with the sets of concrete types behind each abstract one.
//!
//! Invariant: it is read only after it is made. It knows nothing of documents, resolvers or what the fields mean.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::Schema as ApolloSchema;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use async_graphql::Value;

/// The SDL is not a schema. A fault of whoever builds the service, never of a caller.
#[derive(Debug, thiserror::Error)]
#[error("schema definition is not valid: {detail}")]
pub struct SdlError {
    detail: String,
}

/// What async-graphql adds to the introspection types of the 2021 specification.
const INTROSPECTION_ADDITIONS: &str = "extend type __Type { isOneOf: Boolean }";

/// A set of object types, one bit a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TypeSet(Vec<u64>);

impl TypeSet {
    pub fn intersect(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|index| self.contains(*index))
    }
}

/// The schema that documents are checked against.
#[derive(Clone)]
pub(crate) struct Schema {
    /// As apollo-compiler parsed it.
    pub apollo: Arc<Valid<ApolloSchema>>,
    objects: Vec<apollo_compiler::Name>,
    index_by_name: HashMap<apollo_compiler::Name, usize>,
    possible: HashMap<apollo_compiler::Name, TypeSet>,
}

impl Schema {
    pub fn parse(sdl: &str) -> Result<Self, SdlError> {
        let builder = ApolloSchema::builder().parse(sdl, "schema.graphql").parse(INTROSPECTION_ADDITIONS, "introspection.graphql");
        let schema = builder.build().map_err(|failed| SdlError { detail: failed.errors.to_string() })?;
        let apollo = schema.validate().map_err(|failed| SdlError { detail: failed.errors.to_string() })?;

        let objects: Vec<_> = apollo.types.values().filter(|ty| ty.is_object()).map(|ty| ty.name().clone()).collect();
        let index_by_name: HashMap<_, _> = objects.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        let implementers = apollo.implementers_map();
        let set_of = |names: &mut dyn Iterator<Item = &apollo_compiler::Name>| {
            let mut words = vec![0_u64; objects.len().div_ceil(64)];
            for index in names.filter_map(|name| index_by_name.get(name)) {
                words[index / 64] |= 1 << (index % 64);
            }
            TypeSet(words)
        };
        let mut possible = HashMap::new();
        for ty in apollo.types.values() {
            let set = match ty {
                ExtendedType::Object(object) => set_of(&mut std::iter::once(&object.name)),
                ExtendedType::Interface(interface) => {
                    set_of(&mut implementers.get(&interface.name).into_iter().flat_map(|implementers| &implementers.objects))
                }
                ExtendedType::Union(union) => set_of(&mut union.members.iter().map(|member| &member.name)),
                _ => continue,
            };
            possible.insert(ty.name().clone(), set);
        }
        Ok(Self { apollo: Arc::new(apollo), objects, index_by_name, possible })
    }

    /// The object types that a value of this composite type can have.
    pub fn possible(&self, name: &str) -> Option<&TypeSet> {
        self.possible.get(name)
    }

    /// The description of the schema; async-graphql answers with that of the type `__Schema` in its place.
    pub fn description(&self) -> Value {
        self.apollo.schema_definition.description.as_deref().map_or(Value::Null, Value::from)
    }

    /// The empty set.
    pub fn none(&self) -> TypeSet {
        TypeSet(vec![0; self.objects.len().div_ceil(64)])
    }

    /// Whether a selection on this type may ask for `__typename` beside what the client asked for: the root of a subscription may not.
    pub fn takes_mark(&self, name: &str) -> bool {
        self.apollo.schema_definition.subscription.as_ref().is_none_or(|subscription| subscription.name != name)
    }

    /// The number of an object type in every [`TypeSet`].
    pub fn index_of(&self, object: &str) -> Option<usize> {
        self.index_by_name.get(object).copied()
    }

    /// The object type with this number.
    pub fn object(&self, index: usize) -> Option<&apollo_compiler::Name> {
        self.objects.get(index)
    }
}
