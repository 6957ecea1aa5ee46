//! Lists and look-ups.

use async_graphql::{Context, ID, Interface, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading, check};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::listing;
use plimsoll_domain::store::{AuditRow, NameDimension, NamePage, NamedRow, NewestFirst, Page, Snapshot};
use plimsoll_entity::execution::Model as ExecutionRow;
use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use super::alerts;
use super::service::ServiceConfig;
use crate::graphql::connection::{PageArguments, PageSizes, Pages, part};
use crate::graphql::error::{bad_input, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::heavy;
use crate::graphql::types::alert::AlertRule;
use crate::graphql::types::execution::{Execution, ExecutionConnection, ExecutionEdge};
use crate::graphql::types::filter::{ExecutionFilter, LIST_ENTRIES_MAX, MachineFilter};
use crate::graphql::types::id::{self, NodeKind};
use crate::graphql::types::list::{
    AuditConnection, AuditEdge, AuditEntry, DimensionValue, DimensionValueConnection, DimensionValueEdge, NamedDimension, VmConnection,
    VmEdge,
};
use crate::graphql::types::name::{
    Application, Checkpoint, CheckpointVersion, Combination, Department, Model, ModelVersion, Project, User,
};
use crate::graphql::types::vm::{InstanceType, Vm};
use crate::graphql::types::window::TimeWindowInput;

/// Characters of a search at most.
const SEARCH_CHARS_MAX: usize = 200;

/// Something with an id that can be asked for again. Jobs are reached through their executions; alerts, rate cards and business values through their lists.
#[derive(Interface, Clone, Debug)]
#[graphql(field(name = "id", ty = "ID", desc = "Stable id."))]
pub enum Node {
    /// Base model.
    Model(Model),
    /// Base model version.
    ModelVersion(ModelVersion),
    /// Checkpoint.
    Checkpoint(Checkpoint),
    /// Checkpoint version.
    CheckpointVersion(CheckpointVersion),
    /// Combination.
    Combination(Combination),
    /// Application.
    Application(Application),
    /// User.
    User(User),
    /// Department.
    Department(Department),
    /// Project.
    Project(Project),
    /// Instance type.
    InstanceType(InstanceType),
    /// Machine.
    Vm(Vm),
    /// Execution.
    Execution(Execution),
    /// Audit entry.
    AuditEntry(AuditEntry),
    /// Alert rule.
    AlertRule(AlertRule),
}

/// Root fields that list and look up.
#[derive(Default)]
pub struct ListQuery;

/// The sizes of a page that are in force, which `serviceConfig` tells.
pub(super) fn sizes(ctx: &Context<'_>) -> Result<PageSizes> {
    let config = ctx.data::<ServiceConfig>()?;
    Ok(PageSizes { default: config.page_size_default, max: config.page_size_max })
}

struct Executions<'a> {
    reading: &'a Reading,
    window: Window,
    filter: Filter,
}

impl Pages for Executions<'_> {
    type Key = NewestFirst;
    type Row = ExecutionRow;
    const LIST: &'static str = "executions";

    fn key(row: &ExecutionRow) -> NewestFirst {
        (Instant(row.finished_at), row.id)
    }

    async fn read(&self, page: &Page<NewestFirst>) -> Result<Vec<ExecutionRow>> {
        let rows = listing::executions(self.reading, self.window, &self.filter, page).await.map_err(of_breakdown)?;
        Ok(in_order(page, rows))
    }
}

struct Machines<'a> {
    reading: &'a Reading,
    filter: Filter,
    states: Option<Vec<VmState>>,
}

impl Pages for Machines<'_> {
    type Key = (String, u32);
    type Row = NamedRow;
    const LIST: &'static str = "vms";

    fn key(row: &NamedRow) -> (String, u32) {
        (row.name.clone(), row.id)
    }

    async fn read(&self, page: &Page<(String, u32)>) -> Result<Vec<NamedRow>> {
        listing::machines(self.reading, &self.filter, self.states.as_deref(), &by_name(page, None)).await.map_err(of_store)
    }
}

struct Names<'a> {
    snapshot: &'a Snapshot,
    dimension: NameDimension,
    search: Option<String>,
}

impl Pages for Names<'_> {
    type Key = (String, u32);
    type Row = NamedRow;
    const LIST: &'static str = "names";

    fn key(row: &NamedRow) -> (String, u32) {
        (row.name.clone(), row.id)
    }

    async fn read(&self, page: &Page<(String, u32)>) -> Result<Vec<NamedRow>> {
        self.snapshot.name_page(self.dimension, &by_name(page, self.search.clone())).await.map_err(of_store)
    }
}

struct AuditEntries<'a> {
    snapshot: &'a Snapshot,
    window: Window,
    subjects: Option<Vec<String>>,
}

impl Pages for AuditEntries<'_> {
    type Key = NewestFirst;
    type Row = AuditRow;
    const LIST: &'static str = "audit";

    fn key(row: &AuditRow) -> NewestFirst {
        (row.at, row.id)
    }

    async fn read(&self, page: &Page<NewestFirst>) -> Result<Vec<AuditRow>> {
        let rows = self.snapshot.audit_page(self.window, self.subjects.as_deref(), page).await.map_err(of_store)?;
        Ok(in_order(page, rows))
    }
}

/// Lists by time are read from either end.
pub(super) fn in_order<T>(page: &Page<NewestFirst>, mut rows: Vec<T>) -> Vec<T> {
    if page.backwards {
        rows.reverse();
    }
    rows
}

fn by_name(page: &Page<(String, u32)>, search: Option<String>) -> NamePage {
    NamePage { search, after: page.after.clone(), before: page.before.clone(), backwards: page.backwards, limit: page.limit }
}

#[Object]
impl ListQuery {
    /// Executions that finished in the window, newest first, then by id. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.executions")))]
    #[allow(clippy::too_many_arguments)]
    async fn executions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Executions that finished in it.")] window: TimeWindowInput,
        #[graphql(desc = "Which executions; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<ExecutionConnection>> {
        if !guard::allows(ctx, "Query.executions") {
            return Ok(None);
        }
        let asked = PageArguments { first, after, last, before }.page::<Executions<'_>>(sizes(ctx)?)?;
        let window = Window::from(window);
        check(window, &[], 0).map_err(of_breakdown)?;
        let (reader, filter) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default());
        let (edges, page_info) = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let filter = filter.resolve(&reading).await?;
            part(&Executions { reading: &reading, window, filter }, &asked).await
        })
        .await?;
        let edges: Vec<ExecutionEdge> = edges.into_iter().map(|(cursor, row)| ExecutionEdge { cursor, node: Execution(row) }).collect();
        Ok(Some(ExecutionConnection { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }))
    }

    /// One execution; null when there is none with this id, and without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.execution")))]
    async fn execution(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id, or the UUID that the event carried.")] id: ID,
    ) -> Result<Option<Execution>> {
        if !guard::allows(ctx, "Query.execution") {
            return Ok(None);
        }
        match id::parse_uuid(NodeKind::Execution, &id) {
            Some(uuid) => execution(ctx, uuid).await,
            None => Ok(None),
        }
    }

    /// Machines by name. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.vms")))]
    #[allow(clippy::too_many_arguments)]
    async fn vms(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which machines, as they are now; null: all.")] filter: Option<MachineFilter>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<VmConnection>> {
        if !guard::allows(ctx, "Query.vms") {
            return Ok(None);
        }
        let asked = PageArguments { first, after, last, before }.page::<Machines<'_>>(sizes(ctx)?)?;
        let (reader, filter) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default());
        let (edges, page_info) = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let (filter, states) = filter.resolve(&reading).await?;
            part(&Machines { reading: &reading, filter, states }, &asked).await
        })
        .await?;
        let edges: Vec<VmEdge> = edges.into_iter().map(|(cursor, row)| VmEdge { cursor, node: Vm(row.id) }).collect();
        Ok(Some(VmConnection { nodes: edges.iter().map(|edge| edge.node).collect(), edges, page_info }))
    }

    /// Names for a picker, in order of name. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.dimensionValues")))]
    #[allow(clippy::too_many_arguments)]
    async fn dimension_values(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose names.")] dimension: NamedDimension,
        #[graphql(desc = "A part of the name, whatever its case; null: all.")] search: Option<String>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<DimensionValueConnection>> {
        if !guard::allows(ctx, "Query.dimensionValues") {
            return Ok(None);
        }
        if search.as_ref().is_some_and(|search| search.chars().count() > SEARCH_CHARS_MAX || search.contains('\0')) {
            return Err(bad_input("search", format!("search has at most {SEARCH_CHARS_MAX} characters, and no NUL")));
        }
        let asked = PageArguments { first, after, last, before }.page::<Names<'_>>(sizes(ctx)?)?;
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let (edges, page_info) = part(&Names { snapshot: &snapshot, dimension: dimension.into(), search }, &asked).await?;
        let node = |id: u32, name: String| DimensionValue {
            id: dimension.node_kind().map_or_else(|| ID(format!("name_{id}")), |kind| kind.id(id)),
            name,
        };
        let edges: Vec<DimensionValueEdge> =
            edges.into_iter().map(|(cursor, row)| DimensionValueEdge { cursor, node: node(row.id, row.name) }).collect();
        Ok(Some(DimensionValueConnection { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }))
    }

    /// Who asked what in the window, newest first, then by id. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.auditLog")))]
    #[allow(clippy::too_many_arguments)]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries whose instant lies in it.")] window: TimeWindowInput,
        #[graphql(desc = "Subjects of the tokens; null: everybody's.")] subjects: Option<Vec<String>>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<AuditConnection>> {
        if !guard::allows(ctx, "Query.auditLog") {
            return Ok(None);
        }
        if subjects
            .as_ref()
            .is_some_and(|subjects| subjects.len() > LIST_ENTRIES_MAX || subjects.iter().any(|subject| subject.contains('\0')))
        {
            return Err(bad_input("subjects", format!("at most {LIST_ENTRIES_MAX} subjects, without NUL")));
        }
        let asked = PageArguments { first, after, last, before }.page::<AuditEntries<'_>>(sizes(ctx)?)?;
        let window = Window::from(window);
        check(window, &[], 0).map_err(of_breakdown)?;
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let (edges, page_info) = part(&AuditEntries { snapshot: &snapshot, window, subjects }, &asked).await?;
        let edges: Vec<AuditEdge> = edges.into_iter().map(|(cursor, row)| AuditEdge { cursor, node: AuditEntry(row) }).collect();
        Ok(Some(AuditConnection { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }))
    }

    /// Whatever has this id; null when nothing has, or when the caller may not read it where it stands in the schema.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: ID) -> Result<Option<Node>> {
        let Some((kind, key)) = id::parse(&id) else { return Ok(None) };
        let guarded = match kind {
            NodeKind::Execution | NodeKind::Job => "Query.execution",
            NodeKind::Vm | NodeKind::InstanceType => "Query.vms",
            NodeKind::AuditEntry => "Query.auditLog",
            NodeKind::Alert => "Query.alerts",
            NodeKind::AlertRule => "Query.alertRules",
            NodeKind::RateCard => "Query.rateCards",
            NodeKind::BusinessValue => "Query.businessValues",
            _ => "Query.dimensionValues",
        };
        if !guard::allows(ctx, guarded) {
            return Ok(None);
        }
        match kind {
            NodeKind::Execution => match uuid_key(key) {
                Some(uuid) => Ok(execution(ctx, uuid).await?.map(Node::from)),
                None => Ok(None),
            },
            // Its fields have other types than those of executions and machines, so that one selection could not hold them all.
            NodeKind::Job | NodeKind::Alert | NodeKind::RateCard | NodeKind::BusinessValue => Ok(None),
            NodeKind::AuditEntry => audit_entry(ctx, key).await,
            NodeKind::AlertRule => match uuid_key(key) {
                Some(uuid) => Ok(alerts::readable_rule(ctx, uuid).await?.map(|rule| AlertRule(rule).into())),
                None => Ok(None),
            },
            kind => match number_key(key) {
                Some(key) => named(ctx, kind, key).await,
                None => Ok(None),
            },
        }
    }
}

/// The key of an id as it was given out: another spelling would be another id of the same object.
fn uuid_key(key: &str) -> Option<Uuid> {
    Uuid::try_parse(key).ok().filter(|uuid| uuid.simple().to_string() == key)
}

fn number_key(key: &str) -> Option<u32> {
    key.parse::<i32>().ok().filter(|number| *number > 0 && number.to_string() == key).map(|number| number as u32)
}

async fn execution(ctx: &Context<'_>, id: Uuid) -> Result<Option<Execution>> {
    let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
    Ok(snapshot.execution_fetch(id).await.map_err(of_store)?.map(Execution))
}

async fn audit_entry(ctx: &Context<'_>, key: &str) -> Result<Option<Node>> {
    let parsed = key.split_once('.').and_then(|(at, id)| Some((at, Instant(at.parse().ok()?), uuid_key(id)?)));
    let parsed = parsed.filter(|(text, at, _)| at.0.to_string() == *text);
    let Some((_, at, id)) = parsed else { return Ok(None) };
    let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
    Ok(snapshot.audit_fetch(at, id).await.map_err(of_store)?.map(|row| Node::from(AuditEntry(row))))
}

/// A node that is hardly more than a name, when there is one with this key.
async fn named(ctx: &Context<'_>, kind: NodeKind, key: u32) -> Result<Option<Node>> {
    let reader = ctx.data::<Reader>()?;
    let snapshot = reader.store.snapshot().await.map_err(of_store)?;
    let simple = |dimension: NameDimension, node: Node| {
        let snapshot = &snapshot;
        async move { snapshot.name_fetch(dimension, key).await.map(|found| found.map(|_| node)).map_err(of_store) }
    };
    match kind {
        NodeKind::Model => simple(NameDimension::Model, Model(key).into()).await,
        NodeKind::Application => simple(NameDimension::Application, Application(key).into()).await,
        NodeKind::User => simple(NameDimension::User, User(key).into()).await,
        NodeKind::Department => simple(NameDimension::Department, Department(key).into()).await,
        NodeKind::Project => simple(NameDimension::Project, Project(key).into()).await,
        NodeKind::InstanceType => simple(NameDimension::InstanceType, InstanceType(key).into()).await,
        NodeKind::Vm => simple(NameDimension::Vm, Vm(key).into()).await,
        NodeKind::ModelVersion => {
            let found = reader.catalog.model_versions(&snapshot, &[key]).await.map_err(of_store)?;
            Ok(found.get(&key).map(|_| ModelVersion(key).into()))
        }
        NodeKind::Checkpoint => {
            let found = reader.catalog.checkpoints(&snapshot, &[key]).await.map_err(of_store)?;
            Ok(found.get(&key).map(|_| Checkpoint(key).into()))
        }
        NodeKind::CheckpointVersion => {
            let found = reader.catalog.checkpoint_versions(&snapshot, &[key]).await.map_err(of_store)?;
            Ok(found.get(&key).map(|_| CheckpointVersion(key).into()))
        }
        NodeKind::Combination => {
            let found = reader.catalog.combinations(&snapshot, &[key]).await.map_err(of_store)?;
            Ok(found.get(&key).map(|_| Combination(key).into()))
        }
        NodeKind::Execution
        | NodeKind::Job
        | NodeKind::AuditEntry
        | NodeKind::Alert
        | NodeKind::AlertRule
        | NodeKind::RateCard
        | NodeKind::BusinessValue => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_as_given_out_are_read() {
        assert_eq!(number_key("12"), Some(12));
        for odd in ["", "0", "-1", "+1", "012", "1x", "4294967295"] {
            assert_eq!(number_key(odd), None, "{odd}");
        }
        let uuid = Uuid::from_u128(0xab);
        assert_eq!(uuid_key(&uuid.simple().to_string()), Some(uuid));
        for odd in [uuid.to_string(), uuid.simple().to_string().to_uppercase(), String::new()] {
            assert_eq!(uuid_key(&odd), None, "{odd}");
        }
    }
}
