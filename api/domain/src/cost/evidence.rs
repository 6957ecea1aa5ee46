//! Reads what recommendations rest on: costs, loads, cold bytes and how machines were used, all of one reading.
//!
//! Invariant: every figure is one that the operation shows which a reason names. Must not know: GraphQL, which rule wants what.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use plimsoll_entity::value::label::{Outcome, PurchaseOption, ServiceType};
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};

use super::figures::CostSums;
use super::load_evidence::LoadEvidence;
use super::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use super::rate::Prices;
use super::recommendation::{
    About, ColdPlace, CombinationCost, Evidence, IdleShare, MachineCost, RECOMMENDATIONS_MAX, Recommendation, WINDOW_US_MIN, recommend,
};
use super::rightsize::{TypeFacts, TypeOffer, TypeUse};
use super::subject::conditions;
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Reader, Reading, RowKey, check};
use crate::breakdown::filter::Filter;
use crate::breakdown::loads::{LoadFigures, LoadOrder, LoadQuestion};
use crate::breakdown::machines::MachineQuestion;
use crate::breakdown::storage::{StorageOrder, StorageQuestion};
use crate::breakdown::table::key_texts;
use crate::breakdown::usage::widened;
use crate::breakdown::{BreakdownError, ROWS_MAX};
use crate::cell::part::{KeyColumn, Part};

/// What a place of bytes is.
const PLACE: [Dimension; 4] = [Dimension::ModelVersion, Dimension::CheckpointVersion, Dimension::StorageType, Dimension::StorageLocation];

impl Reader {
    /// What would save money, by the figures of a window, the largest saving first; `currency` is an ISO 4217 code.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, its answer would be too large or the store fails.
    pub async fn cost_recommendations(
        &self,
        reading: &Reading,
        window: Window,
        currency: &str,
        limit: usize,
    ) -> Result<Vec<Recommendation>, BreakdownError> {
        if !(1..=RECOMMENDATIONS_MAX).contains(&limit) {
            return Err(BreakdownError::Question { field: "limit", message: format!("limit is 1 to {RECOMMENDATIONS_MAX}") });
        }
        check(window, &[], 0)?;
        let window = widened(window);
        // Nothing is known of the future; the hour that goes on has a bill so far.
        let known =
            Window { start: window.start, end: window.end.min(widened(Window { start: window.start, end: reading.snapshot.as_of }).end) };
        if known.length_us() < WINDOW_US_MIN {
            return Ok(Vec::new());
        }
        let evidence = Looking { reader: self, reading, window: known }.evidence(currency).await?;
        Ok(recommend(&evidence, limit))
    }
}

/// Reads for one answer.
struct Looking<'a> {
    reader: &'a Reader,
    reading: &'a Reading,
    window: Window,
}

impl Looking<'_> {
    async fn evidence(&self, currency: &str) -> Result<Evidence, BreakdownError> {
        let prices = self.reader.prices.prices(&self.reading.snapshot).await?;
        let machines = self.machines().await?;
        let (types, offers) = self.types(&machines, &prices).await?;
        let mut evidence = Evidence {
            window: self.window,
            known_us: self.window.length_us(),
            currency: currency.to_owned(),
            executions: self.reader.costed_executions(self.reading, self.window).await?,
            machines,
            combinations: Vec::new(),
            loads: self.loads().await?,
            cold: self.cold().await?,
            types,
            offers,
        };
        evidence.combinations = self.combinations(evidence.idle_vms()).await?;
        Ok(evidence)
    }

    async fn costs(&self, by: &[Dimension], filter: Filter, service_type: ServiceType) -> Result<Vec<(RowKey, CostSums)>, BreakdownError> {
        let asked = CostQuestion { window: self.window, by: by.to_vec(), limit: ROWS_MAX, idle: IdleView::Caused };
        let filter = CostFilter { filter, service_types: Some(HashSet::from([service_type])) };
        Ok(self.reader.cost_breakdown(self.reading, &asked, &filter, CostOrder::Total).await?.rows)
    }

    /// Names of keys, made of those of their dimensions.
    async fn texts(&self, by: &[Dimension], keys: &[RowKey], text: impl Fn(&[String]) -> String) -> Result<Vec<About>, BreakdownError> {
        let ids: Vec<_> = keys.iter().map(|key| key.ids).collect();
        let texts = key_texts(self.reading.sources(), by, &ids).await?;
        let conditions = conditions(self.reading.sources(), keys).await?;
        let whole = |texts: Vec<Option<String>>| text(&texts.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>());
        let about = |((key, texts), conditions): ((&RowKey, _), _)| About { key: key.clone(), text: whole(texts), conditions };
        Ok(keys.iter().zip(texts).zip(conditions).map(about).collect())
    }

    async fn machines(&self) -> Result<Vec<MachineCost>, BreakdownError> {
        let by = [Dimension::Vm, Dimension::InstanceType, Dimension::Region];
        let rows = self.costs(&by, Filter::default(), ServiceType::Compute).await?;
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let of_vm: Vec<RowKey> = keys.iter().map(|key| RowKey { by: [Dimension::Vm].into(), ids: [key.ids[0], 0, 0, 0, 0] }).collect();
        let abouts = self.texts(&by[..1], &of_vm, |texts| texts[0].clone()).await?;
        let machine = |(about, (key, sums)): (About, &(RowKey, CostSums))| MachineCost {
            about,
            vm_id: key.ids[0],
            instance_type_id: key.ids[1],
            region_id: key.ids[2],
            compute: sums.compute(),
            idle: sums.idle,
        };
        Ok(abouts.into_iter().zip(&rows).filter(|(_, (key, _))| key.ids[0] != 0).map(machine).collect())
    }

    async fn combinations(&self, idle_vms: HashSet<u32>) -> Result<Vec<CombinationCost>, BreakdownError> {
        let by = [Dimension::Combination];
        let rows = self.costs(&by, Filter::default(), ServiceType::Compute).await?;
        let mut errors = self.errors().await?;
        let mut on_idle_machines: HashMap<u32, IdleShare> = HashMap::new();
        if !idle_vms.is_empty() {
            let filter = Filter { columns: HashMap::from([(KeyColumn::Vm as usize, idle_vms)]), ..Filter::default() };
            let costs = self.costs(&by, filter, ServiceType::Compute).await?.into_iter();
            on_idle_machines.extend(costs.map(|(key, sums)| (key.ids[0], IdleShare { compute: sums.compute(), idle: sums.idle })));
        }
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let abouts = self.texts(&by, &keys, |texts| texts[0].clone()).await?;
        let mut combinations = Vec::new();
        for (about, (key, sums)) in abouts.into_iter().zip(rows).filter(|(_, (key, _))| key.ids[0] != 0) {
            let combination_id = key.ids[0];
            let errors = errors.remove(&combination_id).unwrap_or_default();
            let on_idle_machines = on_idle_machines.get(&combination_id).copied().unwrap_or_default();
            combinations.push(CombinationCost { about, combination_id, sums, errors, on_idle_machines });
        }
        Ok(combinations)
    }

    /// What failed executions of each combination cost, by error type.
    async fn errors(&self) -> Result<HashMap<u32, Vec<(String, i128)>>, BreakdownError> {
        let by = [Dimension::Combination, Dimension::ErrorType];
        let failed = HashSet::from([Outcome::Failed as u32 + 1]);
        let filter = Filter { columns: HashMap::from([(KeyColumn::Outcome as usize, failed)]), ..Filter::default() };
        let rows = self.costs(&by, filter, ServiceType::Compute).await?;
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let abouts = self.texts(&by, &keys, |texts| texts[1].clone()).await?;
        let mut errors: HashMap<u32, Vec<(String, i128)>> = HashMap::new();
        for (about, (key, sums)) in abouts.into_iter().zip(rows).filter(|(_, (key, _))| key.ids[1] != 0) {
            errors.entry(key.ids[0]).or_default().push((about.text, sums.of_failed));
        }
        Ok(errors)
    }

    async fn loads(&self) -> Result<Vec<LoadEvidence>, BreakdownError> {
        let by = [Dimension::CheckpointVersion];
        let read = async || Ok((self.loads_of(&by, false).await?, self.loads_of(&by, true).await?));
        let (misses, hits) = match read().await {
            // What is too much to be reckoned is left out: the rest can be told all the same.
            Err(BreakdownError::Limit(_)) => return Ok(Vec::new()),
            read => read?,
        };
        let hits: HashMap<u32, LoadFigures> = hits.into_iter().map(|(key, hits)| (key.ids[0], hits)).collect();
        let keys: Vec<RowKey> = misses.iter().map(|(key, _)| key.clone()).collect();
        let abouts = self.texts(&by, &keys, |texts| texts[0].clone()).await?;
        let evidence = |(about, (key, misses)): (About, &(RowKey, LoadFigures))| {
            let hit = hits.get(&key.ids[0]).and_then(|hits| hits.cost).unwrap_or_default();
            let miss = misses.cost.unwrap_or_default();
            LoadEvidence {
                about,
                misses: misses.loads,
                misses_priced: miss.compute_known,
                miss_compute: miss.compute,
                miss_transfer: miss.transfer,
                hits_priced: hit.compute_known,
                hit_compute: hit.compute,
            }
        };
        Ok(abouts.into_iter().zip(&misses).filter(|(_, (key, _))| key.ids[0] != 0).map(evidence).collect())
    }

    async fn loads_of(&self, by: &[Dimension], is_hit: bool) -> Result<Vec<(RowKey, LoadFigures)>, BreakdownError> {
        let columns = HashMap::from([(KeyColumn::CacheHit as usize, HashSet::from([u32::from(is_hit) + 1]))]);
        let filter = Filter { columns, ..Filter::default() };
        let parts = BTreeSet::from([Part::Loads]);
        let asked = LoadQuestion { window: self.window, by: by.to_vec(), parts, with_cost: true, limit: ROWS_MAX };
        Ok(self.reader.load_breakdown(self.reading, &asked, &filter, LoadOrder::Loads).await?.rows)
    }

    async fn cold(&self) -> Result<Vec<ColdPlace>, BreakdownError> {
        let asked = StorageQuestion { window: self.window, by: PLACE.to_vec(), limit: ROWS_MAX };
        let places = self.reader.storage_breakdown(self.reading, &asked, &Filter::default(), StorageOrder::Size).await?.rows;
        let costs: HashMap<RowKey, i128> =
            self.costs(&PLACE, Filter::default(), ServiceType::Storage).await?.into_iter().map(|(key, sums)| (key, sums.storage)).collect();
        let cold: Vec<_> = places.into_iter().filter(|(_, figures)| figures.is_cold()).collect();
        let keys: Vec<RowKey> = cold.iter().map(|(key, _)| key.clone()).collect();
        let abouts = self
            .texts(&PLACE, &keys, |texts| {
                let (model, checkpoint) = (&texts[0], &texts[1]);
                let artifact = match (checkpoint.as_str(), model.as_str()) {
                    ("", model) => model.to_owned(),
                    (checkpoint, "") => checkpoint.to_owned(),
                    (checkpoint, model) => format!("{checkpoint} ({model})"),
                };
                let place = [texts[2].as_str(), texts[3].as_str()].join(" ");
                format!("{artifact} in {}", place.trim())
            })
            .await?;
        let place = |(about, (key, figures)): (About, _)| {
            let figures: crate::breakdown::storage::StorageFigures = figures;
            ColdPlace { about, size_bytes: figures.size_bytes, storage: costs.get(&key).copied().unwrap_or(0) }
        };
        Ok(abouts.into_iter().zip(cold).map(place).collect())
    }

    async fn types(&self, machines: &[MachineCost], prices: &Prices) -> Result<(Vec<TypeUse>, Vec<TypeOffer>), BreakdownError> {
        let by = [Dimension::InstanceType, Dimension::Region];
        let parts = BTreeSet::from([Part::GpuRatio, Part::GpuMemoryUsed, Part::CpuRatio, Part::MemoryUsed]);
        let asked = MachineQuestion { window: self.window, by: by.to_vec(), parts, limit: ROWS_MAX };
        let rows = self.reader.machine_breakdown(self.reading, &asked, &Filter::default()).await?.rows;
        let mut compute: HashMap<(u32, u32), i128> = HashMap::new();
        for machine in machines {
            *compute.entry((machine.instance_type_id, machine.region_id)).or_default() += machine.compute;
        }
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let place = |texts: &[String]| if texts[1].is_empty() { texts[0].clone() } else { format!("{} in {}", texts[0], texts[1]) };
        let abouts = self.texts(&by, &keys, place).await?;
        let mut used = Vec::new();
        for (about, (key, figures)) in abouts.into_iter().zip(rows).filter(|(_, (key, _))| key.ids[0] != 0) {
            let gauge = |part: Part| figures.gauges.get(&part);
            used.push(TypeUse {
                about,
                instance_type_id: key.ids[0],
                region_id: key.ids[1],
                compute: compute.get(&(key.ids[0], key.ids[1])).copied().unwrap_or(0),
                gpu_ratio: gauge(Part::GpuRatio).map(|gauge| gauge.mean),
                gpu_memory_bytes_max: gauge(Part::GpuMemoryUsed).map(|gauge| gauge.max),
                cpu_ratio_p95: gauge(Part::CpuRatio).map(|gauge| gauge.p95),
                memory_bytes_max: gauge(Part::MemoryUsed).map(|gauge| gauge.max),
            });
        }
        let regions: BTreeSet<u32> = used.iter().map(|used| used.region_id).collect();
        Ok((used, self.offers(&regions, prices).await?))
    }

    /// The instance types that have a price for machines on demand in these regions.
    async fn offers(&self, regions: &BTreeSet<u32>, prices: &Prices) -> Result<Vec<TypeOffer>, BreakdownError> {
        let fleet = &self.reading.fleet;
        let mut gpu_memory_bytes: HashMap<u32, i64> = HashMap::new();
        for gpu in self.reading.snapshot.latest_gpu_sample_list(None).await? {
            let kind = fleet.place_at(gpu.sample.vm_id, gpu.sample.at).instance_type_id;
            if let Some(total) = gpu.sample.memory_total_bytes {
                gpu_memory_bytes.entry(kind).and_modify(|least| *least = total.min(*least)).or_insert(total);
            }
        }
        let kinds: BTreeMap<u32, _> = fleet.instance_types().collect();
        let ids: Vec<u32> = kinds.keys().copied().collect();
        let names = self.reading.sources().catalog.names(&self.reading.snapshot, &ids).await?;
        let at = Instant(self.window.end.0 - HOUR_US);
        let mut offers = Vec::new();
        for (id, kind) in kinds {
            let facts = TypeFacts {
                gpus: kind.gpu_count.and_then(|gpus| u32::try_from(gpus).ok()),
                gpu_memory_bytes: gpu_memory_bytes.get(&id).copied(),
                v_cpus: kind.v_cpus,
                memory_bytes: kind.memory_bytes,
            };
            for region in regions {
                if let Some(hourly) = prices.hourly_at(at, id, *region, Some(PurchaseOption::OnDemand)) {
                    let name = names.get(&id).map_or_else(String::new, |name| name.to_string());
                    offers.push(TypeOffer { name, instance_type_id: id, region_id: *region, provider_id: kind.provider_id, facts, hourly });
                }
            }
        }
        Ok(offers)
    }
}
