//! Facts of one bucket to its blocks, for families that are derived. Pure.
//!
//! Invariant: the blocks do not depend on the order of the facts. Must not know: which facts belong to the bucket.

use rustc_hash::FxHashMap;

use super::block::Keys;
use super::column::Column;
use super::fact::Fact;
use super::part::{Family, Key, Part};

/// The cells of one family in one bucket, while facts are added.
#[derive(Debug)]
pub struct BlockBuilder {
    family: Family,
    rows: FxHashMap<Key, u32>,
    keys: Vec<Key>,
    columns: Vec<(Part, Column)>,
}

impl BlockBuilder {
    /// No cells yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let columns = family.parts().iter().map(|part| (*part, Column::of(*part))).collect();
        Self { family, rows: FxHashMap::default(), keys: Vec::new(), columns }
    }

    /// Adds a fact to its cell.
    pub fn add(&mut self, fact: &impl Fact) {
        let key = self.family.project(&fact.key());
        let row = *self.rows.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() as u32 - 1
        });
        for (part, column) in &mut self.columns {
            column.grow(self.keys.len());
            fact.add(*part, column, row as usize);
        }
    }

    /// The parts of the block; none without facts.
    #[must_use]
    pub fn finish(self) -> Vec<(Part, Vec<u8>)> {
        if self.keys.is_empty() {
            return Vec::new();
        }
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by_key(|row| self.keys[*row]);
        let keys = Keys { hours: Vec::new(), keys: order.iter().map(|row| self.keys[*row]).collect() };
        let mut parts = vec![(Part::Keys, keys.encode(self.family))];
        for (part, column) in &self.columns {
            let mut bytes = Vec::with_capacity(order.len() * 4);
            order.iter().for_each(|row| column.encode_row(*row, &mut bytes));
            parts.push((*part, bytes));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::Outcome;
    use plimsoll_entity::value::time::Instant;
    use uuid::Uuid;

    use super::*;
    use crate::store::JobFact;

    fn fact(combination_id: u32, user: u32, executions: u32) -> JobFact {
        JobFact {
            key: Uuid::nil(),
            finished_at: Instant(5),
            combination_id,
            ids: [0, user, 0, 0, 0],
            outcome: Outcome::Failed,
            error_type_id: 0,
            executions,
            queue_us: None,
            processing_us: 1_500,
        }
    }

    #[test]
    fn any_order_gives_the_same_block() {
        let facts = [fact(7, 1, 1), fact(3, 2, 4), fact(7, 2, 2)];
        let block = |order: [usize; 3]| {
            let mut builder = BlockBuilder::new(Family::JobCombination);
            order.iter().for_each(|at| builder.add(&facts[*at]));
            builder.finish()
        };
        let parts = block([0, 1, 2]);
        assert_eq!(parts, block([2, 1, 0]));
        let keys = Keys::decode(Family::JobCombination, &parts[0].1).unwrap().keys;
        assert_eq!(keys.iter().map(|key| key[0]).collect::<Vec<_>>(), [3, 7]);
        let mut attempts = Column::of(Part::Attempts);
        attempts.grow(1);
        let bytes = &parts.iter().find(|(part, _)| *part == Part::Attempts).unwrap().1;
        attempts.merge_encoded(bytes, &[0, 0]).unwrap();
        assert!(matches!(attempts, Column::Sums(sums) if sums == [7]));
        assert!(BlockBuilder::new(Family::JobCaller).finish().is_empty());
    }
}
