//! What the loads of a checkpoint version that missed the cache cost beyond what a hit costs. Pure.
//!
//! Invariant: nothing is saved that a hit would cost as well. Must not know: where the figures come from, GraphQL.

use plimsoll_entity::value::money::divide;

use super::recommendation::{About, Evidence, MISSES_MIN, Recommendation, RecommendationKind};
use super::subject::filter;
use crate::breakdown::dimension::Dimension;

/// Loads of one checkpoint version. Amounts in nano-units.
#[derive(Clone, Debug)]
pub struct LoadEvidence {
    /// The checkpoint version.
    pub about: About,
    /// Loads that missed the cache.
    pub misses: u64,
    /// Those of them whose machine had a rate.
    pub misses_priced: u64,
    /// Slot time of the misses.
    pub miss_compute: i128,
    /// What the bill charges for the bytes of the misses.
    pub miss_transfer: i128,
    /// Loads that hit the cache and whose machine had a rate.
    pub hits_priced: u64,
    /// Slot time of the hits.
    pub hit_compute: i128,
}

impl LoadEvidence {
    /// What hits instead of the misses would have cost; none where no hit says so.
    fn as_hits(&self) -> Option<i128> {
        let hits = i128::from(self.hits_priced);
        (hits > 0).then(|| divide(self.hit_compute * i128::from(self.misses_priced), hits).min(self.miss_compute))
    }

    /// To keep it in the caches, where that saves enough.
    pub(super) fn recommendation(&self, evidence: &Evidence) -> Option<Recommendation> {
        if self.misses < MISSES_MIN {
            return None;
        }
        let (less, saved) = match self.as_hits() {
            Some(as_hits) => {
                let less = format!(", less {} that as many hits would have cost", evidence.money(as_hits));
                (less, self.miss_transfer + self.miss_compute - as_hits)
            }
            // A hit takes time too, nobody knows how much.
            None => (", which is not counted, since no hit tells what one costs".to_owned(), self.miss_transfer),
        };
        let why = format!(
            "{} loads missed the cache in {}. Their bytes cost {} of transfer and their time {} of compute{less}: {}.",
            self.misses,
            evidence.length(),
            evidence.money(self.miss_transfer),
            evidence.money(self.miss_compute),
            evidence.money(saved),
        );
        let own = filter(&self.about.conditions, &[Dimension::CheckpointVersion]);
        let operation = evidence.operation("loadBreakdown", "by: [CHECKPOINT_VERSION], orderBy: MISSES", &own);
        evidence.recommend(RecommendationKind::CacheCheckpoint, &self.about, saved, &why, &operation)
    }
}
