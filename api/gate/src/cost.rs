//! What fields cost: the numbers that the host gives, and how list arguments multiply them.
//!
//! The cost of an operation is the sum over its fields, written out and merged, of `own + factor * below`: `own` is 1 unless the
//! table says otherwise, `factor` is the value of the field's list argument (`limit`, `first`, `last`), from a literal, a variable
//! or the default in the schema, at least 1 and at most [`crate::Limits::cost_factor_max`]. It knows no database and no time.

use std::collections::HashMap;

/// The price of each field that does not cost 1.
#[derive(Clone, Debug)]
pub struct CostTable {
    fields: HashMap<String, HashMap<String, u32>>,
    list_arguments: Vec<String>,
}

impl Default for CostTable {
    fn default() -> Self {
        Self { fields: HashMap::new(), list_arguments: ["limit", "first", "last"].map(str::to_owned).to_vec() }
    }
}

impl CostTable {
    /// Sets the cost of one field of one object or interface type.
    #[must_use]
    pub fn field(mut self, type_name: &str, field_name: &str, cost: u32) -> Self {
        self.fields.entry(type_name.to_owned()).or_default().insert(field_name.to_owned(), cost);
        self
    }

    /// Replaces the names of integer arguments that multiply what stands below their field.
    #[must_use]
    pub fn list_arguments(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.list_arguments = names.into_iter().map(Into::into).collect();
        self
    }

    /// The cost of a field itself.
    #[must_use]
    pub fn own(&self, type_name: &str, field_name: &str) -> u32 {
        self.fields.get(type_name).and_then(|fields| fields.get(field_name)).copied().unwrap_or(1)
    }

    pub(crate) fn is_list_argument(&self, name: &str) -> bool {
        self.list_arguments.iter().any(|argument| argument == name)
    }
}
