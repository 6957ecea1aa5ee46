//! From atoms to rows: which atoms each row holds, in which order rows stand, what `limit` cuts off.
//!
//! Rows are sorted by a value, largest first, none last, then by the texts of their keys in the order of `by`, by bytes, none
//! last (contract, "Belonging and order"). Invariant: the order never changes by chance: ids decide at the very end.
//! Must not know: what the values mean.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_entity::value::label::{ServiceType, StorageType};
use rustc_hash::FxHashMap;

use super::BreakdownError;
use super::dimension::Dimension;
use super::gather::{AtomKey, Ids, Sources};
use crate::catalog::Combination;

/// A row before it is ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its key: an id for each dimension, 0 where unknown.
    pub ids: Ids,
    /// The atoms that count in it.
    pub atoms: Vec<u32>,
    /// What it is ordered by.
    pub value: Option<f64>,
}

/// Rows in order, as many as were asked for.
#[derive(Clone, Debug)]
pub struct Table {
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows before the limit.
    pub row_count: usize,
    /// Atoms that count in a row that was cut off; empty when none was.
    pub other: Vec<u32>,
}

/// The rows in which an atom counts: one, or one for each checkpoint of its combination.
#[must_use]
pub fn rows_of(key: &AtomKey, by: &[Dimension], combinations: &FxHashMap<u32, Arc<Combination>>) -> Vec<Ids> {
    let mut own = key.ids;
    // What stands behind the dimensions is there for figures, not for rows.
    own[by.len()..].fill(0);
    let Some(slot) = by.iter().position(|dimension| dimension.is_checkpoint()) else { return vec![own] };
    let checkpoints = combinations.get(&key.ids[slot]).map_or(&[][..], |combination| &combination.checkpoints[..]);
    let fill = |(version, checkpoint): (u32, u32)| {
        let mut ids = own;
        for (id, dimension) in ids.iter_mut().zip(by) {
            match dimension {
                Dimension::Checkpoint => *id = checkpoint,
                Dimension::CheckpointVersion => *id = version,
                _ => {}
            }
        }
        ids
    };
    if checkpoints.is_empty() {
        return vec![fill((0, 0))];
    }
    let mut rows: Vec<Ids> = checkpoints.iter().copied().map(fill).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Every row, unordered and without a value.
#[must_use]
pub fn rows(atoms: &[AtomKey], by: &[Dimension], combinations: &FxHashMap<u32, Arc<Combination>>) -> Vec<Row> {
    let mut places: FxHashMap<Ids, usize> = FxHashMap::default();
    let mut rows: Vec<Row> = Vec::new();
    for (atom, key) in (0_u32..).zip(atoms) {
        for ids in rows_of(key, by, combinations) {
            let place = *places.entry(ids).or_insert_with(|| {
                rows.push(Row { ids, atoms: Vec::new(), value: None });
                rows.len() - 1
            });
            rows[place].atoms.push(atom);
        }
    }
    rows
}

fn by_value(a: &Row, b: &Row) -> Ordering {
    match (a.value, b.value) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Orders the rows and cuts them at `limit`. Texts are looked up only for rows that may stand before the cut.
///
/// # Errors
/// [`BreakdownError::Store`] when names cannot be read.
pub async fn order(sources: Sources<'_>, by: &[Dimension], mut rows: Vec<Row>, limit: usize) -> Result<Table, BreakdownError> {
    let row_count = rows.len();
    rows.sort_by(by_value);
    // Rows that are equal to the last one before the cut contend for its place.
    let contenders = if row_count > limit && limit > 0 {
        rows.partition_point(|row| by_value(row, &rows[limit - 1]) != Ordering::Greater)
    } else {
        row_count.min(if limit == 0 { 0 } else { row_count })
    };
    let texts = texts(sources, by, &rows[..contenders]).await?;
    let mut order: Vec<usize> = (0..contenders).collect();
    order.sort_by(|a, b| {
        by_value(&rows[*a], &rows[*b]).then_with(|| compare_texts(&texts[*a], &texts[*b])).then_with(|| rows[*a].ids.cmp(&rows[*b].ids))
    });
    let mut kept: Vec<Row> = Vec::with_capacity(limit.min(contenders));
    kept.extend(order.iter().take(limit).map(|at| rows[*at].clone()));
    let mut other: Vec<u32> = Vec::new();
    let cut = order.iter().skip(limit).copied().chain(contenders..row_count);
    cut.for_each(|at| other.extend_from_slice(&rows[at].atoms));
    other.sort_unstable();
    other.dedup();
    Ok(Table { rows: kept, row_count, other })
}

/// The text of one dimension of a key, and what decides between equal texts.
type Text = Option<(String, &'static str)>;

fn compare_texts(a: &[Text], b: &[Text]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => a.0.as_bytes().cmp(b.0.as_bytes()).then_with(|| a.1.cmp(b.1)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        })
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// The texts of some keys, one a dimension; none where it is unknown. Those of checkpoints tell their kind: `LORA anime 3`.
///
/// # Errors
/// [`BreakdownError::Store`] when names cannot be read.
pub async fn key_texts(sources: Sources<'_>, by: &[Dimension], keys: &[Ids]) -> Result<Vec<Vec<Option<String>>>, BreakdownError> {
    let rows: Vec<Row> = keys.iter().map(|ids| Row { ids: *ids, atoms: Vec::new(), value: None }).collect();
    let texts = texts(sources, by, &rows).await?;
    let whole = |(text, kind): (String, &'static str)| if kind.is_empty() { text } else { format!("{kind} {text}") };
    Ok(texts.into_iter().map(|row| row.into_iter().map(|text| text.map(whole)).collect()).collect())
}

async fn texts(sources: Sources<'_>, by: &[Dimension], rows: &[Row]) -> Result<Vec<Vec<Text>>, BreakdownError> {
    let mut columns: Vec<BTreeMap<u32, (String, &'static str)>> = Vec::new();
    for (slot, dimension) in by.iter().enumerate() {
        let ids: Vec<u32> = rows.iter().map(|row| row.ids[slot]).collect();
        columns.push(texts_of(sources, *dimension, ids).await?);
    }
    Ok(rows.iter().map(|row| columns.iter().zip(row.ids).map(|(texts, id)| texts.get(&id).cloned()).collect()).collect())
}

async fn texts_of(
    sources: Sources<'_>,
    dimension: Dimension,
    mut ids: Vec<u32>,
) -> Result<BTreeMap<u32, (String, &'static str)>, BreakdownError> {
    ids.sort_unstable();
    ids.dedup();
    let Sources { snapshot, catalog, .. } = sources;
    Ok(match dimension {
        Dimension::Combination => {
            let found = catalog.combinations(snapshot, &ids).await?;
            found.iter().map(|(id, combination)| (*id, (combination.label.to_string(), ""))).collect()
        }
        Dimension::ModelVersion => {
            let found = catalog.model_versions(snapshot, &ids).await?;
            let models: Vec<u32> = found.values().map(|version| version.model_id).collect();
            let models = catalog.names(snapshot, &models).await?;
            let text = |model: u32, version: &str| format!("{} {version}", models.get(&model).map_or("", |name| name));
            found.iter().map(|(id, version)| (*id, (text(version.model_id, &version.version), ""))).collect()
        }
        Dimension::Checkpoint => {
            let found = catalog.checkpoints(snapshot, &ids).await?;
            found.iter().map(|(id, checkpoint)| (*id, (checkpoint.name.to_string(), checkpoint.kind.wire()))).collect()
        }
        Dimension::CheckpointVersion => {
            let found = catalog.checkpoint_versions(snapshot, &ids).await?;
            let checkpoints: Vec<u32> = found.values().map(|version| version.checkpoint_id).collect();
            let checkpoints = catalog.checkpoints(snapshot, &checkpoints).await?;
            found
                .iter()
                .filter_map(|(id, version)| {
                    let checkpoint = checkpoints.get(&version.checkpoint_id)?;
                    Some((*id, (format!("{} {}", checkpoint.name, version.version), checkpoint.kind.wire())))
                })
                .collect()
        }
        Dimension::StorageType => {
            let wire = |id: &u32| Some((*id, (StorageType::from_code(i16::try_from(*id).ok()? - 1)?.wire().to_owned(), "")));
            ids.iter().filter_map(wire).collect()
        }
        Dimension::ServiceType => {
            let wire = |id: &u32| Some((*id, (ServiceType::from_code(i16::try_from(*id).ok()? - 1)?.wire().to_owned(), "")));
            ids.iter().filter_map(wire).collect()
        }
        _ => catalog.names(snapshot, &ids).await?.iter().map(|(id, name)| (*id, (name.to_string(), ""))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atom_counts_once_in_the_row_of_each_checkpoint() {
        let combination =
            Combination { model_version_id: 1, model_id: 1, label: "m 1".into(), checkpoints: vec![(11, 5), (12, 5), (20, 6)] };
        let combinations: FxHashMap<u32, Arc<Combination>> = [(3, Arc::new(combination))].into_iter().collect();
        let key = AtomKey { tile: 0, ids: [9, 3, 0, 0, 7] };
        assert_eq!(rows_of(&key, &[Dimension::User, Dimension::Checkpoint], &combinations), [[9, 5, 0, 0, 0], [9, 6, 0, 0, 0]]);
        assert_eq!(rows_of(&key, &[Dimension::User, Dimension::CheckpointVersion], &combinations).len(), 3);
        assert_eq!(rows_of(&key, &[Dimension::User, Dimension::Combination], &combinations), [[9, 3, 0, 0, 0]]);
        let alone = AtomKey { tile: 0, ids: [9, 4, 0, 0, 7] };
        assert_eq!(rows_of(&alone, &[Dimension::User, Dimension::Checkpoint], &combinations), [[9, 0, 0, 0, 0]]);
    }

    #[test]
    fn texts_are_compared_by_bytes_and_none_is_last() {
        let text = |text: &str| Some((text.to_owned(), ""));
        assert_eq!(compare_texts(&[text("Z")], &[text("a")]), Ordering::Less);
        assert_eq!(compare_texts(&[text("z")], &[None]), Ordering::Less);
        assert_eq!(compare_texts(&[text("a"), None], &[text("a"), text("é")]), Ordering::Greater);
    }
}
