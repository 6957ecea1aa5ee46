//! Lists and look-ups.

use async_graphql::{Context, ID, Interface, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, check};
use plimsoll_domain::listing;
use plimsoll_domain::store::{NameDimension, NamePage, NewestFirst, Page};
use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use crate::graphql::connection::{Asked, asked, page};
use crate::graphql::error::{bad_input, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::heavy;
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

/// Something with an id that can be asked for again. Jobs are reached through their executions.
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
}

/// Root fields that list and look up.
#[derive(Default)]
pub struct ListQuery;

fn rows<T>(asked: &Asked<NewestFirst>, mut rows: Vec<T>) -> Vec<T> {
    if asked.backwards {
        rows.reverse();
    }
    rows
}

fn newest_first(asked: &Asked<NewestFirst>) -> Page<NewestFirst> {
    Page { after: asked.after, before: asked.before, backwards: asked.backwards, limit: asked.rows_to_read() }
}

fn by_name(asked: &Asked<(String, u32)>, search: Option<String>) -> NamePage {
    NamePage { search, after: asked.after.clone(), before: asked.before.clone(), backwards: asked.backwards, limit: asked.rows_to_read() }
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
        #[graphql(desc = "Nodes at most from the front, 0 to 200; 50 when neither first nor last is given.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to 200; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<ExecutionConnection>> {
        if !guard::allows(ctx, "Query.executions") {
            return Ok(None);
        }
        let asked = asked::<NewestFirst>(first, after, last, before)?;
        let window = Window::from(window);
        check(window, &[], 0).map_err(of_breakdown)?;
        let (reader, filter, wanted) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default(), newest_first(&asked));
        let found = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let filter = filter.resolve(&reading).await?;
            listing::executions(&reading, window, &filter, &wanted).await.map_err(of_breakdown)
        })
        .await?;
        let (edges, page_info) = page(&asked, rows(&asked, found), |row| (Instant(row.finished_at), row.id));
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
        #[graphql(desc = "Nodes at most from the front, 0 to 200; 50 when neither first nor last is given.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to 200; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<VmConnection>> {
        if !guard::allows(ctx, "Query.vms") {
            return Ok(None);
        }
        let asked = asked::<(String, u32)>(first, after, last, before)?;
        let (reader, filter, wanted) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default(), by_name(&asked, None));
        let found = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let (filter, states) = filter.resolve(&reading).await?;
            listing::machines(&reading, &filter, states.as_deref(), &wanted).await.map_err(of_store)
        })
        .await?;
        let (edges, page_info) = page(&asked, found, |row| (row.name.clone(), row.id));
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
        #[graphql(desc = "Nodes at most from the front, 0 to 200; 50 when neither first nor last is given.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to 200; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<DimensionValueConnection>> {
        if !guard::allows(ctx, "Query.dimensionValues") {
            return Ok(None);
        }
        if search.as_ref().is_some_and(|search| search.chars().count() > SEARCH_CHARS_MAX || search.contains('\0')) {
            return Err(bad_input("search", format!("search has at most {SEARCH_CHARS_MAX} characters, and no NUL")));
        }
        let asked = asked::<(String, u32)>(first, after, last, before)?;
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let found = snapshot.name_page(dimension.into(), &by_name(&asked, search)).await.map_err(of_store)?;
        let (edges, page_info) = page(&asked, found, |row| (row.name.clone(), row.id));
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
        #[graphql(desc = "Nodes at most from the front, 0 to 200; 50 when neither first nor last is given.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to 200; not together with first.")] last: Option<i32>,
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
        let asked = asked::<NewestFirst>(first, after, last, before)?;
        let window = Window::from(window);
        check(window, &[], 0).map_err(of_breakdown)?;
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let found = snapshot.audit_page(window, subjects.as_deref(), &newest_first(&asked)).await.map_err(of_store)?;
        let (edges, page_info) = page(&asked, rows(&asked, found), |row| (row.at, row.id));
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
            _ => "Query.dimensionValues",
        };
        if !guard::allows(ctx, guarded) {
            return Ok(None);
        }
        match kind {
            NodeKind::Execution => match Uuid::try_parse(key) {
                Ok(uuid) => Ok(execution(ctx, uuid).await?.map(Node::from)),
                Err(_) => Ok(None),
            },
            // Its fields have other types than those of executions and machines, so that one selection could not hold them all.
            NodeKind::Job => Ok(None),
            NodeKind::AuditEntry => audit_entry(ctx, key).await,
            kind => match key.parse::<u32>() {
                Ok(key) if i32::try_from(key).is_ok() => named(ctx, kind, key).await,
                _ => Ok(None),
            },
        }
    }
}

async fn execution(ctx: &Context<'_>, id: Uuid) -> Result<Option<Execution>> {
    let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
    Ok(snapshot.execution_fetch(id).await.map_err(of_store)?.map(Execution))
}

async fn audit_entry(ctx: &Context<'_>, key: &str) -> Result<Option<Node>> {
    let parsed = key.split_once('.').and_then(|(at, id)| Some((Instant(at.parse().ok()?), Uuid::try_parse(id).ok()?)));
    let Some((at, id)) = parsed else { return Ok(None) };
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
        NodeKind::Execution | NodeKind::Job | NodeKind::AuditEntry => Ok(None),
    }
}
