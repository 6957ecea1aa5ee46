//! Figures of how long machines were up and down.

use async_graphql::{Object, SimpleObject};
use plimsoll_domain::machine::availability::AvailabilityFigures;

use super::key::BreakdownKey;
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// Per life: up in RUNNING, down in UNREACHABLE, FAILED or silence, MAINTENANCE counted apart.
#[derive(Clone, Copy, Debug)]
pub struct AvailabilityStats {
    figures: AvailabilityFigures,
    target_ratio: f64,
}

impl AvailabilityStats {
    /// Figures and the target that they are held against.
    pub const fn new(figures: AvailabilityFigures, target_ratio: f64) -> Self {
        Self { figures, target_ratio }
    }
}

/// Whole milliseconds, rounded half up; times are never negative.
const fn ms(us: i64) -> UInt53 {
    UInt53((us as u64).saturating_add(500) / 1_000)
}

/// Per life: up in RUNNING, down in UNREACHABLE, FAILED or silence, MAINTENANCE counted apart.
#[Object]
impl AvailabilityStats {
    /// Time up in ms.
    async fn up_ms(&self) -> UInt53 {
        ms(self.figures.up_us)
    }

    /// Time down in ms, reported or silent.
    async fn down_ms(&self) -> UInt53 {
        ms(self.figures.down_us)
    }

    /// Time in maintenance in ms: neither up nor down.
    async fn maintenance_ms(&self) -> UInt53 {
        ms(self.figures.maintenance_us)
    }

    /// Up / (up + down), 0 to 1; null when the machines were neither.
    async fn availability_ratio(&self) -> Option<f64> {
        self.figures.availability_ratio()
    }

    /// Incidents that began in the window: unbroken stretches of down.
    async fn incidents(&self) -> UInt53 {
        self.figures.incidents.into()
    }

    /// Mean length in ms of the incidents that ended with RUNNING or a sample in the window, each from its beginning on; null when none did.
    async fn mean_time_to_recover_ms(&self) -> Option<f64> {
        self.figures.mean_time_to_recover_ms()
    }

    /// Whether availabilityRatio is at least targetRatio; null when availabilityRatio is.
    async fn meets_target(&self) -> Option<bool> {
        self.figures.availability_ratio().map(|ratio| ratio >= self.target_ratio)
    }
}

/// Availability by some dimensions, ordered by key.
#[derive(SimpleObject, Clone, Debug)]
pub struct AvailabilityBreakdown {
    /// The window that was answered. What lies behind asOf counts as nothing.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// The target that was asked for, 0 to 1.
    pub target_ratio: f64,
    /// The rows; those of nothing but zeros are left out.
    pub rows: Vec<AvailabilityRow>,
    /// Everything.
    pub total: AvailabilityStats,
}

/// A row of availability.
#[derive(SimpleObject, Clone, Debug)]
pub struct AvailabilityRow {
    /// What the row stands for: type, region and provider at each instant; an incident and its recovery stand where it began.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: AvailabilityStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_the_nearest_millisecond() {
        assert_eq!([0, 499, 500, 1_499, 1_500].map(ms), [0, 0, 1, 1, 2].map(UInt53));
    }
}
