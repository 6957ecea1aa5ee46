//! Ids on the wire: a prefix that names the type, an underscore, and the key.
//!
//! Invariant: an id that was given out is read back as the same thing, and as nothing else.

use async_graphql::ID;
use uuid::Uuid;

/// The types that have ids; which of them `node` finds, it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Base model.
    Model,
    /// Base model version.
    ModelVersion,
    /// Checkpoint.
    Checkpoint,
    /// Checkpoint version.
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
    /// Instance type.
    InstanceType,
    /// Machine.
    Vm,
    /// Execution.
    Execution,
    /// Job.
    Job,
    /// Audit entry.
    AuditEntry,
    /// Alert.
    Alert,
    /// Alert rule.
    AlertRule,
    /// Rate card.
    RateCard,
    /// Business value.
    BusinessValue,
}

impl NodeKind {
    const ALL: [Self; 18] = [
        Self::Model,
        Self::ModelVersion,
        Self::Checkpoint,
        Self::CheckpointVersion,
        Self::Combination,
        Self::Application,
        Self::User,
        Self::Department,
        Self::Project,
        Self::InstanceType,
        Self::Vm,
        Self::Execution,
        Self::Job,
        Self::AuditEntry,
        Self::Alert,
        Self::AlertRule,
        Self::RateCard,
        Self::BusinessValue,
    ];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::ModelVersion => "modelversion",
            Self::Checkpoint => "checkpoint",
            Self::CheckpointVersion => "checkpointversion",
            Self::Combination => "combination",
            Self::Application => "application",
            Self::User => "user",
            Self::Department => "department",
            Self::Project => "project",
            Self::InstanceType => "instancetype",
            Self::Vm => "vm",
            Self::Execution => "execution",
            Self::Job => "job",
            Self::AuditEntry => "audit",
            Self::Alert => "alert",
            Self::AlertRule => "alertrule",
            Self::RateCard => "ratecard",
            Self::BusinessValue => "businessvalue",
        }
    }

    /// The id of something with a numeric key.
    #[must_use]
    pub fn id(self, key: u32) -> ID {
        ID(format!("{}_{key}", self.prefix()))
    }

    /// The id of something with a key of several parts.
    #[must_use]
    pub fn text_id(self, key: &str) -> ID {
        ID(format!("{}_{key}", self.prefix()))
    }

    /// The id of something with a UUID.
    #[must_use]
    pub fn uuid_id(self, key: Uuid) -> ID {
        ID(format!("{}_{}", self.prefix(), key.simple()))
    }
}

/// Type and key of an id; none when it is not one of ours.
#[must_use]
pub fn parse(id: &str) -> Option<(NodeKind, &str)> {
    let (prefix, key) = id.split_once('_')?;
    NodeKind::ALL.into_iter().find(|kind| kind.prefix() == prefix).map(|kind| (kind, key))
}

/// The key of an id of one type; a plain UUID is taken as it is.
#[must_use]
pub fn parse_uuid(kind: NodeKind, id: &str) -> Option<Uuid> {
    match parse(id) {
        Some((found, key)) if found == kind => Uuid::try_parse(key).ok(),
        Some(_) => None,
        None => Uuid::try_parse(id).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_both_ways() {
        assert_eq!(parse(&NodeKind::CheckpointVersion.id(12).0), Some((NodeKind::CheckpointVersion, "12")));
        let uuid = Uuid::from_u128(0xabcd);
        assert_eq!(parse_uuid(NodeKind::Execution, &NodeKind::Execution.uuid_id(uuid).0), Some(uuid));
        assert_eq!(parse_uuid(NodeKind::Execution, &uuid.to_string()), Some(uuid));
        assert_eq!(parse_uuid(NodeKind::Execution, &NodeKind::Job.uuid_id(uuid).0), None);
        assert_eq!(parse("nope_1"), None);
    }
}
