//! What figures can be broken down by, and which key columns that takes. Pure.

use crate::cell::part::KeyColumn;

/// A dimension of executions or loads; machines have machine, instance type, region and provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Type of the base model.
    ModelType,
    /// Base model.
    Model,
    /// Base model version.
    ModelVersion,
    /// Checkpoint: an execution counts in the row of each that it applied.
    Checkpoint,
    /// Checkpoint version: likewise.
    CheckpointVersion,
    /// Combination.
    Combination,
    /// Application.
    Application,
    /// User.
    User,
    /// Department.
    Department,
    /// Project.
    Project,
    /// Machine.
    Vm,
    /// Instance type of the machine.
    InstanceType,
    /// Region of the machine.
    Region,
    /// Provider of the machine.
    Provider,
    /// Error type.
    ErrorType,
    /// The combination before, of a switch; nobody can ask for it.
    Previous,
    /// Type of the storage that a load came from.
    StorageType,
    /// Location of the storage that a load came from.
    StorageLocation,
    /// Whether a cost is for computing, storage or transfer: the code of the service type + 1. Only costs have it.
    ServiceType,
}

/// The dimensions of executions by the names that they have in the schema.
const EXECUTION_DIMENSIONS: [(Dimension, &str); 15] = [
    (Dimension::ModelType, "MODEL_TYPE"),
    (Dimension::Model, "MODEL"),
    (Dimension::ModelVersion, "MODEL_VERSION"),
    (Dimension::Checkpoint, "CHECKPOINT"),
    (Dimension::CheckpointVersion, "CHECKPOINT_VERSION"),
    (Dimension::Combination, "COMBINATION"),
    (Dimension::Application, "APPLICATION"),
    (Dimension::User, "USER"),
    (Dimension::Department, "DEPARTMENT"),
    (Dimension::Project, "PROJECT"),
    (Dimension::Vm, "VM"),
    (Dimension::InstanceType, "INSTANCE_TYPE"),
    (Dimension::Region, "REGION"),
    (Dimension::Provider, "PROVIDER"),
    (Dimension::ErrorType, "ERROR_TYPE"),
];

impl Dimension {
    /// The name in the schema; none for what is no dimension of executions.
    #[must_use]
    pub fn wire(self) -> Option<&'static str> {
        EXECUTION_DIMENSIONS.iter().find(|(dimension, _)| *dimension == self).map(|(_, name)| *name)
    }

    /// The dimension of executions with a name of the schema.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        EXECUTION_DIMENSIONS.iter().find(|(_, known)| *known == name).map(|(dimension, _)| *dimension)
    }

    /// The key column that it follows from.
    #[must_use]
    pub const fn column(self) -> KeyColumn {
        match self {
            Self::ModelType | Self::Model | Self::ModelVersion | Self::Checkpoint | Self::CheckpointVersion | Self::Combination => {
                KeyColumn::Combination
            }
            Self::Application => KeyColumn::Application,
            Self::User => KeyColumn::User,
            Self::Department => KeyColumn::Department,
            Self::Project => KeyColumn::Project,
            Self::Vm | Self::InstanceType | Self::Region | Self::Provider => KeyColumn::Vm,
            Self::ErrorType => KeyColumn::ErrorType,
            Self::Previous => KeyColumn::Previous,
            Self::StorageType => KeyColumn::StorageType,
            Self::StorageLocation => KeyColumn::StorageLocation,
            // Which family a cost stands in says it; no key has it.
            Self::ServiceType => KeyColumn::Previous,
        }
    }

    /// Whether an execution may count in several rows.
    #[must_use]
    pub const fn is_checkpoint(self) -> bool {
        matches!(self, Self::Checkpoint | Self::CheckpointVersion)
    }

    /// Whether it follows from the combination or the machine alone.
    #[must_use]
    pub const fn is_of_samples(self) -> bool {
        matches!(self.column(), KeyColumn::Combination | KeyColumn::Vm)
    }

    /// Whether it is joined from the fleet, and may change inside of a cell.
    #[must_use]
    pub const fn is_place(self) -> bool {
        matches!(self, Self::InstanceType | Self::Region | Self::Provider)
    }
}
