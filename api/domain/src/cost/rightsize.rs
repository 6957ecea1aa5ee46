//! Instance types that are larger than what runs on them, and cheaper ones that are large enough. Pure.
//!
//! Another type of the same provider is large enough when it has as many GPUs, and memory of GPUs, memory and vCPUs for what was used at most, with some room. What
//! is not known of a type makes it none. How fast another GPU is nobody knows from here: the words say so. Must not know: where the
//! figures come from, GraphQL.

use plimsoll_entity::value::money::divide;

use super::recommendation::{About, Evidence, Recommendation, RecommendationKind, percent};
use super::subject::filter;
use crate::breakdown::dimension::Dimension;

/// GPUs that are used less than this on average are more than is needed.
const LOW_GPU_RATIO: f64 = 0.4;
/// GPUs of which no more memory than this was ever used are more than is needed.
const LOW_GPU_MEMORY_RATIO: f64 = 0.5;
/// The part of memory that may be used at most.
const MEMORY_ROOM_RATIO: f64 = 0.9;
/// The part of the vCPUs that may be used at the 95th percentile.
const CPU_ROOM_RATIO: f64 = 0.8;

/// What is known of an instance type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TypeFacts {
    /// GPUs.
    pub gpus: Option<u32>,
    /// Memory of one GPU, bytes.
    pub gpu_memory_bytes: Option<i64>,
    /// vCPUs.
    pub v_cpus: Option<i32>,
    /// Memory, bytes.
    pub memory_bytes: Option<i64>,
}

/// An instance type that has a price in a region.
#[derive(Clone, Debug)]
pub struct TypeOffer {
    /// Its name.
    pub name: String,
    /// Its name's id.
    pub instance_type_id: u32,
    /// The region.
    pub region_id: u32,
    /// Who lets it; 0 where unknown.
    pub provider_id: u32,
    /// What is known of it.
    pub facts: TypeFacts,
    /// Nano-units an hour, bought on demand, at the window's end.
    pub hourly: i64,
}

/// How the machines of a type in a region were used. None: no sample says so.
#[derive(Clone, Debug)]
pub struct TypeUse {
    /// The type and the region.
    pub about: About,
    /// Its name's id.
    pub instance_type_id: u32,
    /// The region.
    pub region_id: u32,
    /// Its bill.
    pub compute: i128,
    /// Mean utilization of its GPUs.
    pub gpu_ratio: Option<f64>,
    /// The most memory of one GPU that was used, bytes.
    pub gpu_memory_bytes_max: Option<f64>,
    /// Utilization of the vCPUs, 95th percentile.
    pub cpu_ratio_p95: Option<f64>,
    /// The most memory that was used, bytes.
    pub memory_bytes_max: Option<f64>,
}

impl TypeUse {
    /// Whether it has more than is needed.
    fn is_large(&self, facts: &TypeFacts) -> bool {
        let memory = self.gpu_memory_bytes_max.zip(facts.gpu_memory_bytes);
        let is_memory_low = memory.is_some_and(|(used, total)| used <= LOW_GPU_MEMORY_RATIO * total as f64);
        self.gpu_ratio.is_some_and(|ratio| ratio <= LOW_GPU_RATIO) || is_memory_low
    }

    /// Whether another type is large enough for what ran here; none where something is not known.
    fn fits(&self, own: &TypeFacts, other: &TypeFacts) -> Option<bool> {
        let gpus = other.gpus? >= own.gpus?;
        let gpu_memory = self.gpu_memory_bytes_max? <= MEMORY_ROOM_RATIO * other.gpu_memory_bytes? as f64;
        let memory = self.memory_bytes_max? <= MEMORY_ROOM_RATIO * other.memory_bytes? as f64;
        let v_cpus = self.cpu_ratio_p95? * f64::from(own.v_cpus?) <= CPU_ROOM_RATIO * f64::from(other.v_cpus?);
        Some(gpus && gpu_memory && memory && v_cpus)
    }
}

/// To take a cheaper type, where there is one that is large enough; `cut` of the bill is idle time that is cut already.
pub(super) fn rightsize(evidence: &Evidence, used: &TypeUse, cut: i128) -> Option<Recommendation> {
    let in_region = || evidence.offers.iter().filter(|offer| offer.region_id == used.region_id);
    let own = in_region().find(|offer| offer.instance_type_id == used.instance_type_id)?;
    if own.facts.gpus? == 0 || !used.is_large(&own.facts) {
        return None;
    }
    let fits = |offer: &&TypeOffer| {
        offer.provider_id == own.provider_id && offer.hourly < own.hourly && used.fits(&own.facts, &offer.facts) == Some(true)
    };
    let other = in_region().filter(fits).min_by(|a, b| a.hourly.cmp(&b.hourly).then_with(|| a.name.cmp(&b.name)))?;
    let compute = used.compute - cut;
    let (own_hourly, other_hourly) = (i128::from(own.hourly), i128::from(other.hourly));
    let saved = divide(compute * (own_hourly - other_hourly), own_hourly);
    let without = if cut > 0 { format!(" without {} of idle time that is to be cut anyway", evidence.money(cut)) } else { String::new() };
    // How much of it was used only an ADMIN may read.
    let why = format!(
        "What ran on it in {} needed much less. {} is large enough and costs {} an hour instead of {}, {} % less: of {} of \
         compute{without} {} is saved, if it is fast enough.",
        evidence.length(),
        other.name,
        evidence.money(other_hourly),
        evidence.money(own_hourly),
        percent(own_hourly - other_hourly, own_hourly),
        evidence.money(compute),
        evidence.money(saved),
    );
    let of_type = filter(&used.about.conditions, &[Dimension::InstanceType, Dimension::Region]);
    let computed = [of_type.as_str(), "serviceTypes: [COMPUTE]"].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let operations = format!("{} and rateCards", evidence.operation("costBreakdown", "by: [INSTANCE_TYPE, REGION]", &computed));
    evidence.recommend(RecommendationKind::RightsizeInstance, &used.about, saved, &why, &operations)
}
