//! The gate itself: a schema, limits and the documents that it has admitted.

use std::sync::Arc;

use crate::admit::{Admitted, Rulebook};
use crate::cache::Cache;
use crate::cost::CostTable;
use crate::limits::Limits;
use crate::refused::Refused;
use crate::schema::{Schema, SdlError};

/// Admits documents. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    book: Arc<Rulebook>,
    cache: Arc<Cache>,
}

impl Gate {
    /// A gate in front of the schema that `sdl` describes.
    ///
    /// The executor behind it must be built with `ValidationMode::Fast`, without limits of its own but
    /// `limit_recursive_depth` of at least twice [`Limits::depth`] and a few more.
    ///
    /// # Errors
    /// When `sdl` is not a valid schema.
    pub fn new(sdl: &str, limits: Limits, costs: CostTable) -> Result<Self, SdlError> {
        let schema = Schema::parse(sdl)?;
        let cache = Arc::new(Cache::new(&limits));
        Ok(Self { book: Arc::new(Rulebook { schema, limits, costs }), cache })
    }

    /// The limits that hold here.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.book.limits
    }

    /// Checks a document and chooses its operation, or finds that it has done so before.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED`, `LIMIT_EXCEEDED`, or `BAD_USER_INPUT` for an unknown operation.
    pub fn admit(&self, text: &str, operation_name: Option<&str>) -> Result<Arc<Admitted>, Refused> {
        if let Some(admitted) = self.cache.get(text, operation_name) {
            metrics::counter!("plimsoll_graphql_documents_total", "cache" => "hit").increment(1);
            return Ok(admitted);
        }
        metrics::counter!("plimsoll_graphql_documents_total", "cache" => "miss").increment(1);
        let admitted = Arc::new(Admitted::check(&self.book, text, operation_name)?);
        self.cache.insert(text, operation_name, &admitted);
        Ok(admitted)
    }
}
