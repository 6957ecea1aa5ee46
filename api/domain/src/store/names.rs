//! Names and what is made of them: models, checkpoints, their versions, combinations.
//!
//! Invariants: a name never changes and is never deleted, so that its id may be cached; names are ordered by their bytes.
//! Must not know: what a caller may see.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::label::CheckpointKind;
use sea_orm::QueryResult;
use uuid::Uuid;

use super::dialect::{ColumnData, Kind, OR_IGNORE, Rows, Value, WriteTx};
use super::{Snapshot, StoreError};

/// Ids in one statement.
const IDS_PER_STATEMENT: usize = 500;

/// What a name is a name of. Codes stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum NameDimension {
    /// Base model.
    Model = 1,
    /// Type of a base model.
    ModelType = 2,
    /// Calling application.
    Application = 3,
    /// User.
    User = 4,
    /// Department.
    Department = 5,
    /// Project.
    Project = 6,
    /// Machine.
    Vm = 7,
    /// Instance type.
    InstanceType = 8,
    /// Region.
    Region = 9,
    /// Provider.
    Provider = 10,
    /// Storage location.
    StorageLocation = 11,
    /// Error type.
    ErrorType = 12,
    /// Checkpoint (a table of its own).
    Checkpoint = 13,
    /// Combination (a table of its own).
    Combination = 14,
    /// Version of a base model (a table of its own).
    ModelVersion = 15,
    /// Version of a checkpoint (a table of its own).
    CheckpointVersion = 16,
}

impl NameDimension {
    /// The code that the database keeps.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Table, column of the name, and whether the table holds more dimensions than this.
    const fn table(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Checkpoint => ("checkpoint", "name", false),
            Self::Combination => ("combination", "label", false),
            Self::ModelVersion => ("model_version", "version", false),
            Self::CheckpointVersion => ("checkpoint_version", "version", false),
            _ => ("name", "name", true),
        }
    }
}

/// A name and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRow {
    /// Id within its table.
    pub id: u32,
    /// The name.
    pub name: String,
}

/// Which part of a dimension's names is asked for, in order of name, then id.
#[derive(Clone, Debug, Default)]
pub struct NamePage {
    /// A part of the name, whatever its case.
    pub search: Option<String>,
    /// Only behind this one.
    pub after: Option<(String, u32)>,
    /// Only before this one.
    pub before: Option<(String, u32)>,
    /// From the end.
    pub backwards: bool,
    /// Rows at most.
    pub limit: u64,
}

/// A name as it is searched for.
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn like_pattern(search: &str) -> String {
    let escaped = fold(search).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

fn named_row(row: &QueryResult) -> Result<NamedRow, StoreError> {
    let id: i32 = row.try_get_by_index(0).map_err(StoreError::read)?;
    Ok(NamedRow { id: id as u32, name: row.try_get_by_index(1).map_err(StoreError::read)? })
}

fn list(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

impl Snapshot {
    /// One page of a dimension's names, in order (also when it is read backwards).
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn name_page(&self, dimension: NameDimension, page: &NamePage) -> Result<Vec<NamedRow>, StoreError> {
        let (table, column, shared) = dimension.table();
        let mut sql = format!("SELECT id, {column} FROM {table} WHERE 1 = 1");
        let mut values: Vec<sea_orm::Value> = Vec::new();
        if shared {
            sql.push_str(" AND dimension = ?");
            values.push(dimension.code().into());
        }
        if let Some(search) = &page.search {
            sql.push_str(" AND folded LIKE ? ESCAPE '\\'");
            values.push(like_pattern(search).into());
        }
        for (bound, sign) in [(&page.after, '>'), (&page.before, '<')] {
            if let Some((name, id)) = bound {
                sql.push_str(&format!(" AND ({column}, id) {sign} (?, ?)"));
                values.extend([name.clone().into(), (*id as i32).into()]);
            }
        }
        let order = if page.backwards { "DESC" } else { "ASC" };
        sql.push_str(&format!(" ORDER BY {column} {order}, id {order} LIMIT {}", page.limit));
        let mut rows = self.rows(&sql, values).await?.iter().map(named_row).collect::<Result<Vec<_>, _>>()?;
        if page.backwards {
            rows.reverse();
        }
        Ok(rows)
    }

    /// Names of ids of the `name` table.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn name_list(&self, ids: &[u32]) -> Result<Vec<NamedRow>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let rows = self.rows(&format!("SELECT id, name FROM name WHERE id IN ({})", list(chunk)), Vec::new()).await?;
            for row in &rows {
                found.push(named_row(row)?);
            }
        }
        Ok(found)
    }

    /// Ids of names of one dimension; names that nobody has brought are left out.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn name_ids(&self, dimension: NameDimension, names: &[String]) -> Result<Vec<u32>, StoreError> {
        let mut found = Vec::with_capacity(names.len());
        for chunk in names.chunks(IDS_PER_STATEMENT) {
            let places = vec!["?"; chunk.len()].join(", ");
            let mut values: Vec<sea_orm::Value> = vec![dimension.code().into()];
            values.extend(chunk.iter().map(|name| sea_orm::Value::from(name.clone())));
            let rows = self.rows(&format!("SELECT id, name FROM name WHERE dimension = ? AND name IN ({places})"), values).await?;
            for row in &rows {
                found.push(named_row(row)?.id);
            }
        }
        Ok(found)
    }

    /// Names of one dimension with their ids; those that nobody has brought are left out.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn names_called(&self, dimension: NameDimension, names: &[String]) -> Result<Vec<(String, u32)>, StoreError> {
        let select = format!("SELECT id, name FROM name WHERE dimension = {}", dimension.code());
        self.called(&select, names).await
    }

    /// Checkpoints of any kind by name, with their ids; those that nobody has brought are left out.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoints_named(&self, names: &[String]) -> Result<Vec<(String, u32)>, StoreError> {
        // By kind, so that the index finds them.
        let kinds = CheckpointKind::ALL.iter().map(|kind| kind.code().to_string()).collect::<Vec<_>>().join(", ");
        self.called(&format!("SELECT id, name FROM checkpoint WHERE kind IN ({kinds})"), names).await
    }

    async fn called(&self, select: &str, names: &[String]) -> Result<Vec<(String, u32)>, StoreError> {
        let mut found = Vec::new();
        for chunk in names.chunks(IDS_PER_STATEMENT) {
            let places = vec!["?"; chunk.len()].join(", ");
            let values = chunk.iter().map(|name| name.clone().into()).collect();
            for row in self.rows(&format!("{select} AND name IN ({places})"), values).await? {
                let NamedRow { id, name } = named_row(&row)?;
                found.push((name, id));
            }
        }
        Ok(found)
    }

    /// Dimension of a name's id; none when there is no such name.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn name_fetch(&self, dimension: NameDimension, id: u32) -> Result<Option<NamedRow>, StoreError> {
        let rows = self
            .rows("SELECT id, name FROM name WHERE dimension = ? AND id = ?", vec![dimension.code().into(), (id as i32).into()])
            .await?;
        rows.first().map(named_row).transpose()
    }

    /// Base model and version of model versions: id, model, version.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn model_version_list(&self, ids: &[u32]) -> Result<Vec<(u32, u32, String)>, StoreError> {
        self.pair_list("SELECT id, model_id, version FROM model_version", ids).await
    }

    /// Checkpoint and version of checkpoint versions: id, checkpoint, version.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoint_version_list(&self, ids: &[u32]) -> Result<Vec<(u32, u32, String)>, StoreError> {
        self.pair_list("SELECT id, checkpoint_id, version FROM checkpoint_version", ids).await
    }

    async fn pair_list(&self, select: &str, ids: &[u32]) -> Result<Vec<(u32, u32, String)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            for row in self.rows(&format!("{select} WHERE id IN ({})", list(chunk)), Vec::new()).await? {
                let id = |at| row.try_get_by_index::<i32>(at).map(|id| id as u32).map_err(StoreError::read);
                found.push((id(0)?, id(1)?, row.try_get_by_index(2).map_err(StoreError::read)?));
            }
        }
        Ok(found)
    }

    /// Kinds and names of checkpoints: id, kind, name.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoint_list(&self, ids: &[u32]) -> Result<Vec<(u32, CheckpointKind, String)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            for row in self.rows(&format!("SELECT id, kind, name FROM checkpoint WHERE id IN ({})", list(chunk)), Vec::new()).await? {
                let id: i32 = row.try_get_by_index(0).map_err(StoreError::read)?;
                let code: i16 = row.try_get_by_index(1).map_err(StoreError::read)?;
                let kind = CheckpointKind::from_code(code).ok_or(StoreError::Inconsistent("checkpoint"))?;
                found.push((id as u32, kind, row.try_get_by_index(2).map_err(StoreError::read)?));
            }
        }
        Ok(found)
    }

    /// Combinations: id, model version, label, checkpoint versions in canonical order.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn combination_list(&self, ids: &[u32]) -> Result<Vec<(u32, u32, String, Vec<u32>)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let mut applied: HashMap<u32, Vec<u32>> = HashMap::new();
            let sql = "SELECT combination_id, checkpoint_version_id FROM combination_checkpoint WHERE combination_id IN";
            for row in self.rows(&format!("{sql} ({}) ORDER BY combination_id, position", list(chunk)), Vec::new()).await? {
                let id = |at| row.try_get_by_index::<i32>(at).map(|id| id as u32).map_err(StoreError::read);
                applied.entry(id(0)?).or_default().push(id(1)?);
            }
            for (id, model_version_id, label) in self.pair_list("SELECT id, model_version_id, label FROM combination", chunk).await? {
                found.push((id, model_version_id, label, applied.remove(&id).unwrap_or_default()));
            }
        }
        Ok(found)
    }

    async fn first_id(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<Option<u32>, StoreError> {
        let rows = self.rows(sql, values).await?;
        rows.first().map(|row| row.try_get_by_index::<i32>(0).map(|id| id as u32).map_err(StoreError::read)).transpose()
    }

    /// Id of a base model version by its names.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn model_version_id(&self, model: &str, version: &str) -> Result<Option<u32>, StoreError> {
        let sql =
            "SELECT v.id FROM model_version v JOIN name n ON n.id = v.model_id WHERE n.dimension = ? AND n.name = ? AND v.version = ?";
        self.first_id(sql, vec![NameDimension::Model.code().into(), model.into(), version.into()]).await
    }

    /// Id of a checkpoint by kind and name.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoint_id(&self, kind: CheckpointKind, name: &str) -> Result<Option<u32>, StoreError> {
        self.first_id("SELECT id FROM checkpoint WHERE kind = ? AND name = ?", vec![kind.code().into(), name.into()]).await
    }

    /// Id of a checkpoint version by its names.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoint_version_id(&self, kind: CheckpointKind, name: &str, version: &str) -> Result<Option<u32>, StoreError> {
        let sql = "SELECT v.id FROM checkpoint_version v JOIN checkpoint c ON c.id = v.checkpoint_id WHERE c.kind = ? AND c.name = ? AND v.version = ?";
        self.first_id(sql, vec![kind.code().into(), name.into(), version.into()]).await
    }

    /// Id of a combination by its fingerprint.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn combination_fetch_id(&self, fingerprint: Uuid) -> Result<Option<u32>, StoreError> {
        self.first_id("SELECT id FROM combination WHERE fingerprint = ?", vec![fingerprint.into()]).await
    }

    /// The newest value of an attribute of each subject: subject, value.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn attribute_list(&self, kind: Attribute) -> Result<Vec<(u32, u32)>, StoreError> {
        let rows = self.rows("SELECT subject_id, value_id FROM attribute WHERE kind = ?", vec![(kind as i16).into()]).await?;
        rows.iter()
            .map(|row| {
                let id = |at| row.try_get_by_index::<i32>(at).map(|id| id as u32).map_err(StoreError::read);
                Ok((id(0)?, id(1)?))
            })
            .collect()
    }
}

/// What events tell of a name, the newest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Attribute {
    /// The type of a model.
    ModelType = 1,
    /// The department of a project.
    ProjectDepartment = 2,
}

impl WriteTx {
    /// Tells an attribute of each subject (instant, event, value), unless something newer has been told.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn attribute_tell(&mut self, kind: Attribute, told: &BTreeMap<u32, (i64, Uuid, u32)>) -> Result<(), StoreError> {
        let column = |value: &dyn Fn(&(i64, Uuid, u32)) -> i64| ColumnData::Ints(told.values().map(|told| Some(value(told))).collect());
        let rows = Rows {
            table: "attribute",
            count: told.len(),
            columns: vec![
                ("kind", ColumnData::Ints(vec![Some(kind as i64); told.len()])),
                ("subject_id", ColumnData::Ints(told.keys().map(|subject| Some(i64::from(*subject))).collect())),
                ("value_id", column(&|told| i64::from(told.2))),
                ("told_at", column(&|told| told.0)),
                ("told_by", ColumnData::Uuids(told.values().map(|told| Some(told.1)).collect())),
            ],
        };
        self.insert(
            &rows,
            "ON CONFLICT (kind, subject_id) DO UPDATE SET value_id = excluded.value_id, told_at = excluded.told_at, told_by = excluded.told_by \
             WHERE excluded.told_at > attribute.told_at OR (excluded.told_at = attribute.told_at AND excluded.told_by > attribute.told_by)",
        )
        .await
        .map(|_| ())
    }

    /// Number of names of a dimension that first arrived on a day.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn name_count_of_day(&mut self, dimension: NameDimension, day: i32) -> Result<u64, StoreError> {
        let (table, _, shared) = dimension.table();
        let condition = if shared { format!(" AND dimension = {}", dimension.code()) } else { String::new() };
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE created_day = ?{condition}");
        match self.fetch(&sql, &[Value::Int(day.into())], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(count)]) => Ok(*count as u64),
            _ => Err(StoreError::Inconsistent("count")),
        }
    }

    /// Ids of names by (owner, name); `names` must be distinct. Missing ones are made when `create_day` says on which day.
    /// The owner is the dimension's code for simple names, the kind of a checkpoint, the model or checkpoint of a version.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn name_ids(
        &mut self,
        dimension: NameDimension,
        names: &[(i64, String)],
        create_day: Option<i32>,
    ) -> Result<HashMap<(i64, String), u32>, StoreError> {
        let mut found = self.name_ids_present(dimension, names).await?;
        let mut missing: Vec<(i64, String)> = names.iter().filter(|name| !found.contains_key(*name)).cloned().collect();
        if let (Some(day), false) = (create_day, missing.is_empty()) {
            // One order for everybody, so that two writers never wait for each other in a circle.
            missing.sort_unstable();
            self.name_insert(dimension, &missing, day).await?;
            found.extend(self.name_ids_present(dimension, &missing).await?);
        }
        Ok(found)
    }

    async fn name_ids_present(
        &mut self,
        dimension: NameDimension,
        names: &[(i64, String)],
    ) -> Result<HashMap<(i64, String), u32>, StoreError> {
        let (table, column, owner) = dimension.owned_table();
        let sql = format!("SELECT {column}, id FROM {table} WHERE {owner} = ? AND {column} {{in}}");
        let mut by_owner: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for (owner, name) in names {
            by_owner.entry(*owner).or_default().push(Value::Text(name.clone()));
        }
        let mut found = HashMap::new();
        for (owner, texts) in by_owner {
            for row in self.fetch_in(&sql, &[Value::Int(owner)], &texts, &[Kind::Text, Kind::Int]).await? {
                if let [Value::Text(name), Value::Int(id)] = &row[..] {
                    found.insert((owner, name.clone()), *id as u32);
                }
            }
        }
        Ok(found)
    }

    async fn name_insert(&mut self, dimension: NameDimension, names: &[(i64, String)], day: i32) -> Result<(), StoreError> {
        let (table, column, owner) = dimension.owned_table();
        let mut columns = vec![
            (owner, ColumnData::Ints(names.iter().map(|(owner, _)| Some(*owner)).collect())),
            (column, ColumnData::Texts(names.iter().map(|(_, name)| Some(name.clone())).collect())),
            ("created_day", ColumnData::Ints(vec![Some(day.into()); names.len()])),
        ];
        if !matches!(dimension, NameDimension::ModelVersion | NameDimension::CheckpointVersion) {
            columns.push(("folded", ColumnData::Texts(names.iter().map(|(_, name)| Some(fold(name))).collect())));
        }
        self.insert(&Rows { table, count: names.len(), columns }, OR_IGNORE).await.map(|_| ())
    }

    /// Ids of combinations by fingerprint.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn combination_ids(&mut self, fingerprints: &[Uuid]) -> Result<HashMap<Uuid, u32>, StoreError> {
        let keys: Vec<Value> = fingerprints.iter().map(|fingerprint| Value::Uuid(*fingerprint)).collect();
        let mut found = HashMap::new();
        for row in
            self.fetch_in("SELECT fingerprint, id FROM combination WHERE fingerprint {in}", &[], &keys, &[Kind::Uuid, Kind::Int]).await?
        {
            if let [Value::Uuid(fingerprint), Value::Int(id)] = row[..] {
                found.insert(fingerprint, id as u32);
            }
        }
        Ok(found)
    }

    /// Makes combinations: fingerprint, model version, label, checkpoint versions in canonical order. Sorted by fingerprint.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn combination_insert(
        &mut self,
        combinations: &[(Uuid, u32, String, Vec<u32>)],
        day: i32,
    ) -> Result<HashMap<Uuid, u32>, StoreError> {
        let rows = Rows {
            table: "combination",
            count: combinations.len(),
            columns: vec![
                ("fingerprint", ColumnData::Uuids(combinations.iter().map(|(fingerprint, ..)| Some(*fingerprint)).collect())),
                ("model_version_id", ColumnData::Ints(combinations.iter().map(|(_, model, ..)| Some(i64::from(*model))).collect())),
                ("label", ColumnData::Texts(combinations.iter().map(|(_, _, label, _)| Some(label.clone())).collect())),
                ("folded", ColumnData::Texts(combinations.iter().map(|(_, _, label, _)| Some(fold(label))).collect())),
                ("created_day", ColumnData::Ints(vec![Some(day.into()); combinations.len()])),
            ],
        };
        self.insert(&rows, OR_IGNORE).await?;
        let fingerprints: Vec<Uuid> = combinations.iter().map(|(fingerprint, ..)| *fingerprint).collect();
        let ids = self.combination_ids(&fingerprints).await?;
        let (mut owners, mut positions, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        for (fingerprint, _, _, applied) in combinations {
            let id = ids.get(fingerprint).ok_or(StoreError::Inconsistent("combination"))?;
            for (position, version) in applied.iter().enumerate() {
                owners.push(Some(i64::from(*id)));
                positions.push(Some(position as i64));
                versions.push(Some(i64::from(*version)));
            }
        }
        let count = owners.len();
        let columns = vec![
            ("combination_id", ColumnData::Ints(owners)),
            ("position", ColumnData::Ints(positions)),
            ("checkpoint_version_id", ColumnData::Ints(versions)),
        ];
        self.insert(&Rows { table: "combination_checkpoint", count, columns }, OR_IGNORE).await?;
        Ok(ids)
    }
}

impl NameDimension {
    /// Table, column of the name, column of its owner.
    const fn owned_table(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Checkpoint => ("checkpoint", "name", "kind"),
            Self::ModelVersion => ("model_version", "version", "model_id"),
            Self::CheckpointVersion => ("checkpoint_version", "version", "checkpoint_id"),
            _ => ("name", "name", "dimension"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_takes_signs_as_they_are() {
        assert_eq!(like_pattern("50%_A\\"), "%50\\%\\_a\\\\%");
    }
}
