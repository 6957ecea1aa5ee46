//! Connections of machines, names and audit entries.

use async_graphql::{Enum, ID, Object, SimpleObject};
use plimsoll_domain::store::{AuditRow, NameDimension};
use plimsoll_entity::value::label;

use super::id::NodeKind;
use super::vm::Vm;
use crate::graphql::connection::PageInfo;
use crate::graphql::guard::Role;
use crate::graphql::scalar::DateTime;

/// Machines by name.
#[derive(SimpleObject, Clone, Debug)]
pub struct VmConnection {
    /// The nodes with their cursors.
    pub edges: Vec<VmEdge>,
    /// The nodes.
    pub nodes: Vec<Vm>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// A machine and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct VmEdge {
    /// Opaque place in the list.
    pub cursor: String,
    /// The machine.
    pub node: Vm,
}

/// What `dimensionValues` lists.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedDimension {
    /// Types of base models.
    ModelType,
    /// Base models.
    Model,
    /// Checkpoints.
    Checkpoint,
    /// Combinations, by their labels.
    Combination,
    /// Applications.
    Application,
    /// Users.
    User,
    /// Departments.
    Department,
    /// Projects.
    Project,
    /// Machines.
    Vm,
    /// Instance types.
    InstanceType,
    /// Regions.
    Region,
    /// Providers.
    Provider,
    /// Storage locations.
    StorageLocation,
    /// Error types.
    ErrorType,
}

impl From<NamedDimension> for NameDimension {
    fn from(dimension: NamedDimension) -> Self {
        match dimension {
            NamedDimension::ModelType => Self::ModelType,
            NamedDimension::Model => Self::Model,
            NamedDimension::Checkpoint => Self::Checkpoint,
            NamedDimension::Combination => Self::Combination,
            NamedDimension::Application => Self::Application,
            NamedDimension::User => Self::User,
            NamedDimension::Department => Self::Department,
            NamedDimension::Project => Self::Project,
            NamedDimension::Vm => Self::Vm,
            NamedDimension::InstanceType => Self::InstanceType,
            NamedDimension::Region => Self::Region,
            NamedDimension::Provider => Self::Provider,
            NamedDimension::StorageLocation => Self::StorageLocation,
            NamedDimension::ErrorType => Self::ErrorType,
        }
    }
}

impl NamedDimension {
    /// The type whose id a value of this dimension has; none for dimensions that are no type.
    pub const fn node_kind(self) -> Option<NodeKind> {
        match self {
            Self::Model => Some(NodeKind::Model),
            Self::Checkpoint => Some(NodeKind::Checkpoint),
            Self::Combination => Some(NodeKind::Combination),
            Self::Application => Some(NodeKind::Application),
            Self::User => Some(NodeKind::User),
            Self::Department => Some(NodeKind::Department),
            Self::Project => Some(NodeKind::Project),
            Self::Vm => Some(NodeKind::Vm),
            Self::InstanceType => Some(NodeKind::InstanceType),
            Self::ModelType | Self::Region | Self::Provider | Self::StorageLocation | Self::ErrorType => None,
        }
    }
}

/// A name for a picker.
#[derive(SimpleObject, Clone, Debug)]
pub struct DimensionValue {
    /// Stable id; that of the object where the dimension is one.
    pub id: ID,
    /// The name.
    pub name: String,
}

/// Names by name.
#[derive(SimpleObject, Clone, Debug)]
pub struct DimensionValueConnection {
    /// The nodes with their cursors.
    pub edges: Vec<DimensionValueEdge>,
    /// The nodes.
    pub nodes: Vec<DimensionValue>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// A name and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct DimensionValueEdge {
    /// Opaque place in the list.
    pub cursor: String,
    /// The name.
    pub node: DimensionValue,
}

/// Who asked what, and whether it was allowed.
#[derive(Clone, Debug)]
pub struct AuditEntry(pub(crate) AuditRow);

/// Who asked what, and whether it was allowed.
#[Object]
impl AuditEntry {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::AuditEntry.text_id(&format!("{}.{}", self.0.at.0, self.0.id.simple()))
    }

    /// When it was answered.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Subject of the token.
    async fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Roles of the token.
    async fn roles(&self) -> Vec<Role> {
        self.0.roles.iter().filter_map(|role| label::Role::from_wire(role)).map(Role::from).collect()
    }

    /// Name that the client gave the operation; empty when it gave none.
    async fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Root fields that were asked for.
    async fn fields(&self) -> &[String] {
        &self.0.fields
    }

    /// False when any field was refused.
    async fn allowed(&self) -> bool {
        self.0.allowed
    }

    /// Address that the request came from; null when unknown.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }
}

/// Audit entries, newest first.
#[derive(SimpleObject, Clone, Debug)]
pub struct AuditConnection {
    /// The nodes with their cursors.
    pub edges: Vec<AuditEdge>,
    /// The nodes.
    pub nodes: Vec<AuditEntry>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// An audit entry and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct AuditEdge {
    /// Opaque place in the list.
    pub cursor: String,
    /// The entry.
    pub node: AuditEntry,
}
