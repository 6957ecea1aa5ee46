//! What would make the bill smaller, by rules over the figures of a window. Pure.
//!
//! Each saving is reckoned from the window's figures, for 30 days, and told in words with the operation that shows them. What two rules
//! would save twice is saved once: idle time of a machine is not counted again with what caused it, nor in a smaller instance type, nor
//! in a combination to be given up; a combination to be given up has no idle time or failures of its own to be cut. What the loads of a
//! checkpoint cost is time that stands in the bill as well, of executions or idle: that overlap is small and stays.
//! Invariants: savings are whole nano-units above [`SAVING_NANOS_MIN`]; the order never changes by chance. Must not know: where the
//! figures come from, GraphQL.

use std::collections::HashSet;

use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::money::{NANOS, decimal, divide};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Window};

use super::figures::CostSums;
use super::load_evidence::LoadEvidence;
use super::rightsize::{TypeOffer, TypeUse, rightsize};
use super::subject::{Condition, filter};
use super::value::{RoiFigures, RoiVerdict};
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::RowKey;

/// Recommendations at most.
pub const RECOMMENDATIONS_MAX: usize = 100;
/// Savings are told for so many days.
const SAVING_DAYS: i64 = 30;
/// A shorter window says nothing of 30 days.
pub const WINDOW_US_MIN: i64 = DAY_US;
/// Bytes that nobody wanted for so long are cold.
const COLD_US_MIN: i64 = 7 * DAY_US;
/// What saves less in 30 days is not worth a sentence.
pub const SAVING_NANOS_MIN: i128 = NANOS;
/// Idle time is a matter from this part of the compute cost on, per cent.
const IDLE_PERCENT_MIN: i128 = 25;
/// The part that idles on a busy machine too, per cent.
const IDLE_PERCENT_KEPT: i128 = 10;
/// Failures are a matter from this part of the productive cost on, per cent.
const FAILED_PERCENT_MIN: i128 = 5;
/// Failed executions at least.
const FAILED_MIN: u64 = 3;
/// Cache misses at least.
pub(super) const MISSES_MIN: u64 = 5;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecommendationKind {
    /// Stop or fill machines that idle.
    CutIdle,
    /// Keep a checkpoint on the machines that load it.
    CacheCheckpoint,
    /// Delete bytes that nobody loads.
    DeleteColdStorage,
    /// Take a cheaper instance type that is large enough.
    RightsizeInstance,
    /// Make executions succeed.
    FixFailures,
    /// Give up what costs more than it is worth and hardly runs.
    DeprecateCombination,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The key.
    pub key: RowKey,
    /// Its name for people.
    pub text: String,
    /// What chooses it in filters.
    pub conditions: Vec<Condition>,
}

/// A recommendation.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// What is to be done.
    pub kind: RecommendationKind,
    /// With what.
    pub about: About,
    /// Why: the arithmetic of the saving, and where its figures can be seen.
    pub reason: String,
    /// Nano-units in 30 days.
    pub saving: i128,
}

/// What a machine cost.
#[derive(Clone, Debug)]
pub struct MachineCost {
    /// The machine.
    pub about: About,
    /// Its name's id.
    pub vm_id: u32,
    /// Its instance type, 0 where unknown.
    pub instance_type_id: u32,
    /// Its region, 0 where unknown.
    pub region_id: u32,
    /// Its bill.
    pub compute: i128,
    /// The idle part of it.
    pub idle: i128,
}

/// What a combination cost.
#[derive(Clone, Debug)]
pub struct CombinationCost {
    /// The combination.
    pub about: About,
    /// Its id.
    pub combination_id: u32,
    /// Everything, idle time with what caused it.
    pub sums: CostSums,
    /// The errors that cost most, nano-units of failed executions.
    pub errors: Vec<(String, i128)>,
    /// What of it lies on machines that are told to be idle themselves.
    pub on_idle_machines: IdleShare,
}

/// Compute, and the idle part of it, in nano-units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleShare {
    /// Compute.
    pub compute: i128,
    /// The idle part of it.
    pub idle: i128,
}

/// Bytes at a place that were there all the time and that nobody loaded.
#[derive(Clone, Debug)]
pub struct ColdPlace {
    /// The artifact and the place.
    pub about: About,
    /// Bytes at the window's end.
    pub size_bytes: u64,
    /// What they cost.
    pub storage: i128,
}

/// What is known of a window.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The window, whole hours.
    pub window: Window,
    /// The part of it that is over, microseconds.
    pub known_us: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Executions that finished.
    pub executions: u64,
    /// Machines.
    pub machines: Vec<MachineCost>,
    /// Combinations.
    pub combinations: Vec<CombinationCost>,
    /// Loads by checkpoint version.
    pub loads: Vec<LoadEvidence>,
    /// Cold bytes.
    pub cold: Vec<ColdPlace>,
    /// Instance types by region, and what they were used for.
    pub types: Vec<TypeUse>,
    /// Instance types that can be had.
    pub offers: Vec<TypeOffer>,
}

impl Evidence {
    /// An amount of the window, in 30 days.
    #[must_use]
    pub const fn in_30_days(&self, amount: i128) -> i128 {
        divide(amount * (SAVING_DAYS * DAY_US / HOUR_US) as i128, (self.known_us / HOUR_US) as i128)
    }

    /// An amount in words, to the cent.
    #[must_use]
    pub fn money(&self, nanos: i128) -> String {
        const CENT: i128 = NANOS / 100;
        format!("{} {}", decimal(divide(nanos, CENT) * CENT), self.currency)
    }

    /// How long the window is, in words.
    #[must_use]
    pub fn length(&self) -> String {
        let hours = self.known_us / HOUR_US;
        if hours % 24 == 0 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
    }

    /// Machines that are told to be idle, each with what is told.
    fn idle_machines(&self) -> Vec<(&MachineCost, Recommendation)> {
        self.machines.iter().filter_map(|machine| Some((machine, idle_machine(self, machine)?))).collect()
    }

    /// The ids of machines that are told to be idle.
    #[must_use]
    pub fn idle_vms(&self) -> HashSet<u32> {
        self.idle_machines().into_iter().map(|(machine, _)| machine.vm_id).collect()
    }

    /// An operation with its arguments behind the window; `filter` is what stands in its filter, empty for none.
    #[must_use]
    pub fn operation(&self, field: &str, arguments: &str, filter: &str) -> String {
        let Window { start, end } = self.window;
        let filter = if filter.is_empty() { String::new() } else { format!(", filter: {{{filter}}}") };
        format!("{field}(window: {{start: \"{start}\", end: \"{end}\"}}, {arguments}{filter})")
    }

    /// A recommendation, where it saves enough. `saved` is an amount of the window.
    #[must_use]
    pub fn recommend(&self, kind: RecommendationKind, about: &About, saved: i128, why: &str, operation: &str) -> Option<Recommendation> {
        let saving = self.in_30_days(saved);
        let told = format!("{why} In 30 days that is {}. See {operation}.", self.money(saving));
        (saving >= SAVING_NANOS_MIN).then(|| Recommendation { kind, about: about.clone(), reason: told, saving })
    }
}

/// Everything that is recommended: the largest saving first, then by kind and subject.
#[must_use]
pub fn recommend(evidence: &Evidence, limit: usize) -> Vec<Recommendation> {
    if evidence.known_us < WINDOW_US_MIN {
        return Vec::new();
    }
    let machines = evidence.idle_machines();
    let mut found: Vec<Recommendation> = Vec::new();
    for combination in &evidence.combinations {
        match deprecate(evidence, combination) {
            Some(given_up) => found.push(given_up),
            None => found.extend(idle_combination(evidence, combination).into_iter().chain(failures(evidence, combination))),
        }
    }
    found.extend(evidence.loads.iter().filter_map(|loads| loads.recommendation(evidence)));
    found.extend(evidence.cold.iter().filter_map(|place| cold_storage(evidence, place)));
    let cut = |kind: &TypeUse| {
        let own = |machine: &&&MachineCost| (machine.instance_type_id, machine.region_id) == (kind.instance_type_id, kind.region_id);
        machines.iter().map(|(machine, _)| machine).filter(own).map(|machine| cut_idle(machine.compute, machine.idle)).sum::<i128>()
    };
    found.extend(evidence.types.iter().filter_map(|kind| rightsize(evidence, kind, cut(kind))));
    found.extend(machines.into_iter().map(|(_, recommendation)| recommendation));
    found.sort_by(|a, b| {
        let order = b.saving.cmp(&a.saving).then_with(|| a.kind.cmp(&b.kind)).then_with(|| a.about.text.cmp(&b.about.text));
        order.then_with(|| a.about.key.ids.cmp(&b.about.key.ids))
    });
    found.truncate(limit);
    found
}

/// Whether a part is at least so many per cent of a whole above 0.
const fn is_at_least(part: i128, percent: i128, whole: i128) -> bool {
    whole > 0 && part * 100 >= whole * percent
}

/// How many per cent a part is of a whole above 0, half up.
pub(super) const fn percent(part: i128, whole: i128) -> i128 {
    divide(part * 100, whole)
}

/// The idle part that can be cut.
const fn cut_idle(compute: i128, idle: i128) -> i128 {
    idle - divide(compute * IDLE_PERCENT_KEPT, 100)
}

fn idle_words(evidence: &Evidence, who: &str, compute: i128, idle: i128) -> String {
    format!(
        "{who} {} of {} of compute in {}, {} %. A busy machine idles {IDLE_PERCENT_KEPT} %; what is beyond can be saved by stopping or \
         sharing machines: {}.",
        evidence.money(idle),
        evidence.money(compute),
        evidence.length(),
        percent(idle, compute),
        evidence.money(cut_idle(compute, idle)),
    )
}

fn idle_machine(evidence: &Evidence, machine: &MachineCost) -> Option<Recommendation> {
    let MachineCost { about, compute, idle, .. } = machine;
    if !is_at_least(*idle, IDLE_PERCENT_MIN, *compute) {
        return None;
    }
    let why = idle_words(evidence, "The machine idled for", *compute, *idle);
    let operation = evidence.operation("costBreakdown", "by: [VM], orderBy: IDLE", "");
    evidence.recommend(RecommendationKind::CutIdle, about, cut_idle(*compute, *idle), &why, &operation)
}

/// Idle time that a combination caused on machines that are not told to be idle themselves.
fn idle_combination(evidence: &Evidence, combination: &CombinationCost) -> Option<Recommendation> {
    let CombinationCost { sums, on_idle_machines, .. } = combination;
    let (compute, idle) = (sums.compute() - on_idle_machines.compute, sums.idle - on_idle_machines.idle);
    if !is_at_least(idle, IDLE_PERCENT_MIN, compute) {
        return None;
    }
    let who = "On machines that are busy as a whole, GPUs that it ran on last then idled for";
    let why = idle_words(evidence, who, compute, idle);
    let own = filter(&combination.about.conditions, &[Dimension::Combination]);
    let operation = evidence.operation("costBreakdown", "by: [COMBINATION, VM], orderBy: IDLE", &own);
    evidence.recommend(RecommendationKind::CutIdle, &combination.about, cut_idle(compute, idle), &why, &operation)
}

fn failures(evidence: &Evidence, combination: &CombinationCost) -> Option<Recommendation> {
    let CombinationCost { about, sums, errors, .. } = combination;
    let failed = sums.executions[Outcome::Failed as usize];
    if failed < FAILED_MIN || !is_at_least(sums.of_failed, FAILED_PERCENT_MIN, sums.productive()) {
        return None;
    }
    let worst =
        errors.iter().filter(|(_, amount)| *amount > 0).max_by(|(a_name, a), (b_name, b)| a.cmp(b).then_with(|| b_name.cmp(a_name)));
    let most = worst.map(|(name, amount)| format!(" Most of it came of {name}: {}.", evidence.money(*amount))).unwrap_or_default();
    let why = format!(
        "{failed} of {} executions failed in {} and cost {} of {} that was productive, {} %.{most}",
        sums.executions(),
        evidence.length(),
        evidence.money(sums.of_failed),
        evidence.money(sums.productive()),
        percent(sums.of_failed, sums.productive()),
    );
    let own = filter(&about.conditions, &[Dimension::Combination]);
    let failed = [own.as_str(), "outcomes: [FAILED]"].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let operation = evidence.operation("costBreakdown", "by: [COMBINATION, ERROR_TYPE]", &failed);
    evidence.recommend(RecommendationKind::FixFailures, about, sums.of_failed, &why, &operation)
}

/// What is told to be deprecated where its value is shown. Idle time that is cut with its machine is not saved again.
fn deprecate(evidence: &Evidence, combination: &CombinationCost) -> Option<Recommendation> {
    let CombinationCost { about, sums, on_idle_machines, .. } = combination;
    let (cost, value) = (sums.total(), sums.value()?);
    if RoiFigures::of(sums, evidence.executions, evidence.window).verdict() != RoiVerdict::Deprecate {
        return None;
    }
    let counted = on_idle_machines.idle;
    let without = match counted {
        0 => String::new(),
        counted => format!(", without {} of idle time on machines that are idle anyway", evidence.money(counted)),
    };
    let why = format!(
        "It cost {} in {} and was worth {}, with {} of {} executions. Without it the difference is saved{without}: {}.",
        evidence.money(cost),
        evidence.length(),
        evidence.money(value),
        sums.executions(),
        evidence.executions,
        evidence.money(cost - counted - value),
    );
    let own = filter(&about.conditions, &[Dimension::Combination]);
    let operation = evidence.operation("roiBreakdown", "by: [COMBINATION]", &own);
    evidence.recommend(RecommendationKind::DeprecateCombination, about, cost - counted - value, &why, &operation)
}

fn cold_storage(evidence: &Evidence, place: &ColdPlace) -> Option<Recommendation> {
    const MIB: u64 = 1 << 20;
    if evidence.known_us < COLD_US_MIN {
        return None;
    }
    let why = format!(
        "{} MiB lay there for all of the {} and were not loaded once; keeping them cost {}.",
        place.size_bytes.div_ceil(MIB),
        evidence.length(),
        evidence.money(place.storage),
    );
    let by = "[MODEL_VERSION, CHECKPOINT_VERSION, STORAGE_TYPE, STORAGE_LOCATION]";
    let conditions = &place.about.conditions;
    let in_storage = [Dimension::Model, Dimension::CheckpointVersion, Dimension::StorageType, Dimension::StorageLocation];
    let in_costs = [Dimension::ModelVersion, Dimension::CheckpointVersion];
    let operations = format!(
        "{} and {}",
        evidence.operation("storageBreakdown", &format!("by: {by}"), &filter(conditions, &in_storage)),
        evidence.operation("costBreakdown", &format!("by: {by}, orderBy: STORAGE"), &filter(conditions, &in_costs)),
    );
    evidence.recommend(RecommendationKind::DeleteColdStorage, &place.about, place.storage, &why, &operations)
}

#[cfg(test)]
#[path = "recommendation_tests.rs"]
mod tests;
