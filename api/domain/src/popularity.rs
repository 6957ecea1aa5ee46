//! Which checkpoints are used most with each base model (contract, "Popularity").
//!
//! Invariant: an execution counts once for each version that it applied, and once for its base model. Must not know: GraphQL.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use plimsoll_entity::value::time::{Instant, Window};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Reader, Reading, check};
use crate::breakdown::figures::ratio;
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::{Gathered, Gathering, OUTCOMES, family_for};
use crate::breakdown::table;
use crate::breakdown::{BreakdownError, ROWS_MAX};
use crate::cell::column::Column;
use crate::cell::part::Part;

const BY: [Dimension; 2] = [Dimension::Model, Dimension::CheckpointVersion];

/// How much one checkpoint version was used with one base model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Popular {
    /// The version.
    pub checkpoint_version_id: u32,
    /// Executions that applied it.
    pub executions: u64,
    /// Distinct known users of it.
    pub users: u64,
    /// Of the executions of the base model, 0 to 1.
    pub ratio: f64,
    /// Against the window of equal length before; none when there were none.
    pub change: Option<f64>,
}

/// A base model and its checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPopularity {
    /// The base model.
    pub model_id: u32,
    /// Its executions.
    pub executions: u64,
    /// The versions used most, first the most.
    pub ranking: Vec<Popular>,
}

/// Counts of one version of one model.
#[derive(Clone, Debug, Default)]
struct Counts {
    before: u64,
    executions: u64,
    users: RoaringBitmap,
}

/// Executions of each model, and counts of each of its versions.
#[derive(Debug, Default)]
struct Counted {
    models: BTreeMap<u32, u64>,
    versions: FxHashMap<(u32, u32), Counts>,
}

impl Counted {
    fn of(gathered: &Gathered) -> Self {
        let mut counted = Self::default();
        for (atom, key) in gathered.atoms.iter().enumerate() {
            let executions: u64 = gathered.outcomes[atom * OUTCOMES..(atom + 1) * OUTCOMES].iter().sum();
            let is_before = key.tile == 0;
            if !is_before && executions > 0 {
                *counted.models.entry(key.ids[0]).or_default() += executions;
            }
            for ids in table::rows_of(key, &BY, &gathered.combinations).into_iter().filter(|ids| ids[1] != 0) {
                let counts = counted.versions.entry((ids[0], ids[1])).or_default();
                if is_before {
                    counts.before += executions;
                } else {
                    counts.executions += executions;
                    if let Some(Column::Ids(users)) = gathered.columns.get(&Part::Users) {
                        counts.users |= &users[atom];
                    }
                }
            }
        }
        counted
    }

    /// The versions of each model that were used, in no order.
    fn by_model(self) -> Vec<ModelPopularity> {
        let mut rankings: FxHashMap<u32, Vec<Popular>> = FxHashMap::default();
        for ((model, checkpoint_version_id), counts) in self.versions.into_iter().filter(|(_, counts)| counts.executions > 0) {
            let executions = counts.executions as f64;
            rankings.entry(model).or_default().push(Popular {
                checkpoint_version_id,
                executions: counts.executions,
                users: counts.users.len(),
                ratio: ratio(executions, self.models.get(&model).copied().unwrap_or(0) as f64).unwrap_or(0.0),
                change: ratio(executions, counts.before as f64).map(|ratio| ratio - 1.0),
            });
        }
        let model =
            |(model_id, executions)| ModelPopularity { model_id, executions, ranking: rankings.remove(&model_id).unwrap_or_default() };
        self.models.into_iter().map(model).collect()
    }
}

impl Reader {
    /// Ranks the checkpoint versions of each base model, at most `limit` of each; models by executions, then by name.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, the answer would be too large, or the store fails.
    pub async fn popularity(
        &self,
        reading: &Reading,
        window: Window,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<ModelPopularity>, BreakdownError> {
        check(window, &BY, limit)?;
        let before = Window { start: Instant(window.start.0 - window.length_us()), end: window.start };
        let (tiles, sources) = ([before, window], reading.sources());
        let gathering = Gathering { tiles: &tiles, by: &BY, filter, parts: &[Part::Users], coarseness: self.coarseness };
        let mut gathered = Gathered::default();
        gathered.read(sources, &gathering, family_for(&BY, filter)).await?;
        let mut models = Counted::of(&gathered).by_model();
        let ids: Vec<u32> = models.iter().map(|model| model.model_id).collect();
        let names = sources.catalog.names(sources.snapshot, &ids).await?;
        models.sort_by_key(|model| (Reverse(model.executions), names.get(&model.model_id).cloned()));
        let mut rows = 0;
        for model in &mut models {
            self.rank(reading, &mut model.ranking, limit).await?;
            rows += 1 + model.ranking.len();
            if rows > ROWS_MAX {
                return Err(BreakdownError::Limit(format!(
                    "the answer has more than {ROWS_MAX} rows: ask for fewer models or a lower limit"
                )));
            }
        }
        Ok(models)
    }

    /// Most executions first, then most users, then by name, version and kind.
    async fn rank(&self, reading: &Reading, ranking: &mut Vec<Popular>, limit: usize) -> Result<(), BreakdownError> {
        let sources = reading.sources();
        let figures = |popular: &Popular| (Reverse(popular.executions), Reverse(popular.users));
        ranking.sort_by_key(figures);
        // Only those need a name that may stand before the cut.
        let last = ranking.get(limit.saturating_sub(1)).map(figures);
        let contenders = last.map_or(ranking.len(), |last| ranking.partition_point(|popular| figures(popular) <= last));
        ranking.truncate(if limit == 0 { 0 } else { contenders });
        let ids: Vec<u32> = ranking.iter().map(|popular| popular.checkpoint_version_id).collect();
        let versions = sources.catalog.checkpoint_versions(sources.snapshot, &ids).await?;
        let ids: Vec<u32> = versions.values().map(|version| version.checkpoint_id).collect();
        let checkpoints = sources.catalog.checkpoints(sources.snapshot, &ids).await?;
        ranking.sort_by_cached_key(|popular| {
            let version = versions.get(&popular.checkpoint_version_id);
            let checkpoint = version.and_then(|version| checkpoints.get(&version.checkpoint_id));
            let text = checkpoint.map(|checkpoint| (checkpoint.name.to_string(), version.map(|version| version.version.to_string())));
            (figures(popular), text, checkpoint.map(|checkpoint| checkpoint.kind.wire()))
        });
        ranking.truncate(limit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::breakdown::gather::AtomKey;
    use crate::catalog::Combination;

    #[test]
    fn versions_count_in_their_model_and_are_held_against_the_time_before() {
        let combination = |checkpoints: &[(u32, u32)]| {
            Arc::new(Combination { model_version_id: 1, model_id: 7, label: "m 1".into(), checkpoints: checkpoints.to_vec() })
        };
        let mut gathered = Gathered::default();
        gathered.combinations.extend([(1, combination(&[(11, 5)])), (2, combination(&[(11, 5), (12, 5)])), (3, combination(&[]))]);
        let atom = |tile, combination| AtomKey { tile, ids: [7, combination, 0, 0, 0] };
        gathered.atoms = vec![atom(0, 1), atom(1, 1), atom(1, 2), atom(1, 3)];
        gathered.outcomes = vec![4, 0, 0, 1, 1, 0, 3, 0, 0, 0, 0, 5];
        let users = |ids: &[u32]| ids.iter().copied().collect::<RoaringBitmap>();
        gathered.columns.insert(Part::Users, Column::Ids(vec![users(&[9]), users(&[1]), users(&[1, 2]), users(&[3])]));
        let mut models = Counted::of(&gathered).by_model();
        models[0].ranking.sort_by_key(|popular| popular.checkpoint_version_id);
        let popular = |checkpoint_version_id, executions, users, change| Popular {
            checkpoint_version_id,
            executions,
            users,
            ratio: executions as f64 / 10.0,
            change,
        };
        assert_eq!(
            models,
            [ModelPopularity { model_id: 7, executions: 10, ranking: vec![popular(11, 5, 2, Some(0.25)), popular(12, 3, 2, None)] }]
        );
    }
}
