//! The bill of one hour of one machine and its parts, from the swept hour and the prices.
//!
//! Invariants: the parts add up to the bill, to the nano; every execution is one count; the order in which facts are given does not
//! matter (contract, "Money", 1 to 7, 9 and 10). Pure; must not know the database.

use std::borrow::Cow;

use num_bigint::BigInt;
use num_integer::Integer as _;
use plimsoll_entity::value::label::{Outcome, StorageType};
use plimsoll_entity::value::money::divide;
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::facts::{CostFact, CostHour, CostRunFact, LoadCostFact};
use super::rate::Prices;
use super::single::ExecutionCosts;
use super::split::{GIB, GpuShare, even, spread};
use crate::catalog::{ById, Combination};
use crate::cell::fact::Fact as _;
use crate::cell::part::{KEY_WIDTH, Key, KeyColumn, Part};
use crate::store::LoadFact;
use crate::timeline::apportion::{apportion, settle};
use crate::timeline::facts::TimelineFact;
use crate::timeline::hour::{HourParts, MICROSECOND_PS, MachineView, Piece};
use crate::timeline::life::Place;
use crate::timeline::sweep::{Holder, Phase, Segment, Swept, sweep};

/// What prices are applied with.
#[derive(Clone, Copy, Debug)]
pub struct Pricing<'a> {
    /// Every price.
    pub prices: &'a Prices,
    /// The combinations of all holders.
    pub combinations: &'a ById<Combination>,
    /// Whether idle time is spread as well.
    pub spreads: bool,
}

/// An hour of a machine that is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Unpriced<'a> {
    /// The machine.
    pub machine: MachineView<'a>,
    /// The whole hour.
    pub hour: Window,
    /// What was swept.
    pub parts: &'a HourParts,
    /// What was derived of executions: their slot time is taken from here.
    pub timeline: &'a [TimelineFact],
    /// Loads that finished in the hour.
    pub loads: &'a [LoadFact],
}

/// A part of a bill.
#[derive(Clone, Debug)]
pub struct BillPart {
    /// The execution, or the cause of the idle time; none for overhead.
    pub owner: Option<Uuid>,
    /// What the time was spent on.
    pub phase: Phase,
    /// Everything that it is counted by.
    pub key: Key,
    /// What of it pays for GPUs.
    pub share: GpuShare,
    /// Nano-units.
    pub amount: i128,
}

/// What a stretch with one rate is made of.
struct Stretch<'a> {
    window: Window,
    slots: u32,
    swept: Cow<'a, Swept>,
    place: Place,
    rate: Option<i64>,
}

/// Parts of equal standing are one, and remainders are served in this order: slot, overhead last, start, id, phase.
type Standing = (u32, bool, Instant, Uuid, Phase);

impl Pricing<'_> {
    /// Prices an hour.
    #[must_use]
    pub fn price(&self, hour: &Unpriced<'_>) -> CostHour {
        let stretches = self.stretches(hour);
        let mut amounts = Amounts::new(self, hour.hour.start);
        for stretch in stretches.iter().filter(|stretch| stretch.rate.is_none()) {
            amounts.add_unpriced(hour.machine.vm_id, stretch);
        }
        let bill = bill(&hour.machine, &stretches);
        amounts.add_bill(hour.machine.vm_id, &bill);
        amounts.add_time(&hour.machine, hour.timeline);
        let priced: Vec<Window> = stretches.iter().filter(|stretch| stretch.rate.is_some()).map(|stretch| stretch.window).collect();
        let mut executions = execution_costs(&bill);
        let finished = hour.parts.finished.iter().map(|at| &hour.parts.holders[*at]);
        let mut runs = Vec::with_capacity(hour.parts.finished.len());
        for holder in finished {
            let is_costed = self.is_costed(hour, holder, &priced);
            if is_costed {
                executions.entry(holder.id).or_default();
            }
            runs.push(run(hour, holder, is_costed, &mut amounts));
        }
        let loads = hour.loads.iter().map(|load| self.load(&hour.machine, load)).collect();
        CostHour { costs: amounts.facts(), runs, loads, executions }
    }

    /// The parts of the bill of an hour.
    #[must_use]
    pub fn bill(&self, hour: &Unpriced<'_>) -> Vec<BillPart> {
        bill(&hour.machine, &self.stretches(hour))
    }

    /// Executions that finished without a machine: they cost nothing, and are counted.
    #[must_use]
    pub fn machineless(&self, at: Instant, finished: &[Holder]) -> CostHour {
        let mut amounts = Amounts::new(self, at);
        let runs = finished
            .iter()
            .map(|holder| {
                let valued = amounts.add_value(holder, holder.key);
                CostRunFact { at, key: holder.key, counts: [1, 0, i128::from(valued)] }
            })
            .collect();
        CostHour { costs: amounts.facts(), runs, ..CostHour::default() }
    }

    /// The hour in stretches of one rate.
    fn stretches<'h>(&self, hour: &Unpriced<'h>) -> Vec<Stretch<'h>> {
        let mut stretches = Vec::new();
        for piece in &hour.parts.pieces {
            let rates = self.rates(&hour.machine, piece.segment.window);
            match &rates[..] {
                [(window, rate)] => stretches.push(stretch(&hour.machine, &piece.segment, *window, *rate, Cow::Borrowed(&piece.swept))),
                _ => sweep_apart(hour, piece, rates, &mut stretches),
            }
        }
        stretches
    }

    /// A window of one place in stretches of one hourly rate; none: no rate is in force.
    fn rates(&self, machine: &MachineView<'_>, window: Window) -> Vec<(Window, Option<i64>)> {
        let known = machine.fleet.machine(machine.vm_id).map(|machine| &machine.timeline);
        let place = machine.fleet.place_at(machine.vm_id, window.start);
        let mut cuts = self.prices.hourly_changes(place.instance_type_id, window);
        cuts.extend(known.into_iter().flat_map(|timeline| timeline.purchase_changes(window)));
        cuts.sort_unstable();
        cuts.dedup();
        let starts = std::iter::once(window.start).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([window.end]);
        let mut rates: Vec<(Window, Option<i64>)> = Vec::with_capacity(cuts.len() + 1);
        for (start, end) in starts.zip(ends) {
            let bought = known.and_then(|timeline| timeline.purchase_option_at(start));
            let rate = self.prices.hourly_at(start, place.instance_type_id, place.region_id, bought);
            match rates.last_mut() {
                Some((last, same)) if *same == rate => last.end = end,
                _ => rates.push((Window { start, end }, rate)),
            }
        }
        rates
    }

    /// Whether its machine was held and priced at some instant of it; at its start, if it has no length.
    fn is_costed(&self, hour: &Unpriced<'_>, holder: &Holder, priced: &[Window]) -> bool {
        let whole = Window { start: holder.started_at, end: holder.finished_at.max(Instant(holder.started_at.0 + 1)) };
        let touches = |window: &Window| window.start < whole.end && whole.start < window.end;
        priced.iter().any(touches) || self.is_priced(&hour.machine, Window { end: whole.end.min(hour.hour.start), ..whole })
    }

    /// Whether a machine was held and priced at some instant of a window.
    #[must_use]
    pub fn is_priced(&self, machine: &MachineView<'_>, window: Window) -> bool {
        let has_rate = |window: Window| self.rates(machine, window).iter().any(|(_, rate)| rate.is_some());
        window.start < window.end && machine.segments(window).iter().any(|segment| has_rate(segment.window))
    }

    /// What a load cost on its machine.
    #[must_use]
    pub fn load(&self, machine: &MachineView<'_>, load: &LoadFact) -> LoadCostFact {
        let at = load.finished_at;
        let place = machine.fleet.place_at(machine.vm_id, at);
        let bought = machine.fleet.machine(machine.vm_id).and_then(|machine| machine.timeline.purchase_option_at(at));
        let slots = machine.fleet.shape_at(machine.vm_id, at).slots.max(1);
        let rate = self.prices.hourly_at(at, place.instance_type_id, place.region_id, bought);
        let duration_us = i128::from(at.0 - load.started_at.0);
        let compute = rate.map(|rate| divide(duration_us * i128::from(rate), i128::from(HOUR_US) * i128::from(slots)));
        let transfer = self.transfer(load);
        let known = |amount: Option<i128>| i128::from(amount.is_some());
        LoadCostFact {
            at,
            key: placed(load.key(), place),
            amounts: [
                compute.unwrap_or(0),
                known(compute),
                transfer.unwrap_or(0),
                known(transfer),
                i128::from(compute.is_some() || transfer.is_some()),
            ],
        }
    }

    /// What the bytes of a cache miss are charged; none: nothing is known of a charge.
    fn transfer(&self, load: &LoadFact) -> Option<i128> {
        let bytes = load.size_bytes.filter(|_| !load.cache_hit)?;
        let from = StorageType::from_code(load.storage_type)?;
        let per_gib = self.prices.transfer_at(load.finished_at, from, load.storage_location_id)?;
        Some(divide(i128::from(bytes) * i128::from(per_gib), GIB))
    }
}

fn stretch<'a>(machine: &MachineView<'_>, segment: &Segment, window: Window, rate: Option<i64>, swept: Cow<'a, Swept>) -> Stretch<'a> {
    Stretch { window, slots: segment.slots, swept, place: machine.fleet.place_at(machine.vm_id, window.start), rate }
}

/// A price changes inside of a piece: each stretch is swept for itself.
fn sweep_apart(hour: &Unpriced<'_>, piece: &Piece, rates: Vec<(Window, Option<i64>)>, stretches: &mut Vec<Stretch<'_>>) {
    let mut causes = piece.causes.clone();
    for (window, rate) in rates {
        let cut = |running: &Window| Window { start: running.start.max(window.start), end: running.end.min(window.end) };
        let running = piece.segment.running.iter().map(cut).filter(|running| running.start < running.end).collect();
        let segment = Segment { window, running, ..piece.segment.clone() };
        let swept = sweep(&segment, &hour.parts.holders, &mut causes);
        stretches.push(stretch(&hour.machine, &segment, window, rate, Cow::Owned(swept)));
    }
}

/// Counts an execution that finished in the hour, and what it was worth.
fn run(hour: &Unpriced<'_>, holder: &Holder, is_costed: bool, amounts: &mut Amounts<'_>) -> CostRunFact {
    let key = placed(holder.key, hour.machine.fleet.place_at(hour.machine.vm_id, holder.finished_at));
    let is_valued = amounts.add_value(holder, key);
    CostRunFact { at: hour.hour.start, key, counts: [1, i128::from(is_costed), i128::from(is_valued)] }
}

/// The productive parts of a bill, by execution.
#[must_use]
pub fn execution_costs(parts: &[BillPart]) -> ExecutionCosts {
    let mut costs = ExecutionCosts::new();
    for part in parts.iter().filter(|part| phase_column(part.phase).is_some()) {
        if let Some(owner) = part.owner {
            *costs.entry(owner).or_default() += part.amount;
        }
    }
    costs
}

/// The key with the columns of a place.
fn placed(mut key: Key, place: Place) -> Key {
    key[KeyColumn::InstanceType as usize] = place.instance_type_id;
    key[KeyColumn::Region as usize] = place.region_id;
    key[KeyColumn::Provider as usize] = place.provider_id;
    key
}

/// The key of a part: that of its owner, or of the machine alone.
fn part_key(vm_id: u32, place: Place, owner: Option<&Key>) -> Key {
    let mut alone = [0; KEY_WIDTH];
    alone[KeyColumn::Vm as usize] = vm_id;
    placed(owner.copied().unwrap_or(alone), place)
}

/// The bill, apportioned.
fn bill(machine: &MachineView<'_>, stretches: &[Stretch<'_>]) -> Vec<BillPart> {
    let priced: Vec<(&Stretch<'_>, i64)> = stretches.iter().filter_map(|stretch| Some((stretch, stretch.rate?))).collect();
    let units: i128 = priced.iter().map(|(stretch, rate)| i128::from(*rate) * i128::from(stretch.window.length_us())).sum();
    let (factors, divisor) = factors(&priced);
    let mut parts: Vec<(Standing, BillPart, BigInt)> = Vec::new();
    for ((stretch, _), factor) in priced.iter().zip(factors) {
        let shape = machine.fleet.shape_at(machine.vm_id, stretch.window.start);
        let kind = machine.fleet.instance_type(stretch.place.instance_type_id);
        let share = GpuShare::of(shape.gpus, shape.v_cpus, kind.and_then(|kind| kind.memory_bytes));
        for part in &stretch.swept.parts {
            let owner = part.owner.as_ref();
            let standing = match owner {
                Some(owner) => (part.slot, false, owner.started_at, owner.id, part.phase),
                None => (part.slot, true, Instant(0), Uuid::nil(), part.phase),
            };
            let key = part_key(machine.vm_id, stretch.place, owner.map(|owner| &owner.key));
            let weight = &part.weight * &factor;
            let part = BillPart { owner: owner.map(|owner| owner.id), phase: part.phase, key, share, amount: 0 };
            parts.push((standing, part, weight));
        }
    }
    // Stable: of parts that are one, the first decides on place and share.
    parts.sort_by_key(|(standing, ..)| *standing);
    parts.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same {
            first.2 += std::mem::take(&mut later.2);
        }
        same
    });
    let (parts, weights): (Vec<BillPart>, Vec<BigInt>) = parts.into_iter().map(|(_, part, weight)| (part, weight)).unzip();
    let shares = settle(divide(units, i128::from(HOUR_US)), &weights, &divisor);
    parts.into_iter().zip(shares).map(|(part, amount)| BillPart { amount, ..part }).collect()
}

/// What the weights of each stretch are multiplied with, and what that is divided by, to be nano-units: rate / (denominator x slots x hour).
fn factors(priced: &[(&Stretch<'_>, i64)]) -> (Vec<BigInt>, BigInt) {
    let unit = |stretch: &Stretch<'_>| &stretch.swept.denominator * stretch.slots.max(1);
    let common = priced.iter().fold(BigInt::from(1), |common, (stretch, _)| common.lcm(&unit(stretch)));
    let factors = priced.iter().map(|(stretch, rate)| &common / unit(stretch) * *rate).collect();
    (factors, common * HOUR_US)
}

/// Amounts by key, as they are added up.
struct Amounts<'a> {
    pricing: &'a Pricing<'a>,
    at: Instant,
    by_key: FxHashMap<Key, [i128; Part::OF_COSTS.len()]>,
}

const fn place_of(part: Part) -> usize {
    let mut place = 0;
    while Part::OF_COSTS[place] as i16 != part as i16 {
        place += 1;
    }
    place
}

const IDLE: usize = place_of(Part::CostIdle);
const SPREAD: usize = place_of(Part::CostSpread);
const OVERHEAD: usize = place_of(Part::CostOverhead);
const GPU: usize = place_of(Part::CostGpu);
const ATTRIBUTED: usize = place_of(Part::CostAttributed);
const ATTRIBUTED_SPREAD: usize = place_of(Part::CostAttributedSpread);
const VALUE: usize = place_of(Part::CostValue);
const UNPRICED: usize = place_of(Part::UnpricedTime);
const UNPRICED_SPREAD: usize = place_of(Part::UnpricedSpreadTime);
const GPU_TIME: usize = place_of(Part::GpuTime);
const CPU_TIME: usize = place_of(Part::CpuTime);

impl<'a> Amounts<'a> {
    fn new(pricing: &'a Pricing<'a>, at: Instant) -> Self {
        Self { pricing, at, by_key: FxHashMap::default() }
    }

    fn checkpoints(&self, key: &Key) -> &'a [(u32, u32)] {
        let combinations = self.pricing.combinations;
        combinations.get(&key[KeyColumn::Combination as usize]).map_or(&[][..], |combination| &combination.checkpoints[..])
    }

    /// Splits amounts evenly among the checkpoint versions of a key; each goes to the columns that it names.
    fn add(&mut self, key: &Key, amounts: &[(usize, i128)]) {
        let checkpoints = self.checkpoints(key);
        if checkpoints.is_empty() {
            let row = self.by_key.entry(*key).or_default();
            amounts.iter().for_each(|(column, amount)| row[*column] += amount);
            return;
        }
        let mut key = *key;
        for (place, (version, _)) in checkpoints.iter().enumerate() {
            key[KeyColumn::CheckpointVersion as usize] = *version;
            let row = self.by_key.entry(key).or_default();
            amounts.iter().for_each(|(column, amount)| row[*column] += even(*amount, checkpoints.len(), place));
        }
    }

    fn add_unpriced(&mut self, vm_id: u32, stretch: &Stretch<'_>) {
        let weights: Vec<&BigInt> = stretch.swept.parts.iter().map(|part| &part.weight).collect();
        let held_ps = i128::from(stretch.window.length_us()) * MICROSECOND_PS;
        for (part, ps) in stretch.swept.parts.iter().zip(apportion(held_ps, &weights)) {
            let key = part_key(vm_id, stretch.place, part.owner.as_ref().map(|owner| &owner.key));
            self.add(&key, &[(UNPRICED, ps)]);
            let spread_to = if part.phase == Phase::Idle { part_of_nobody(vm_id, &key) } else { key };
            self.add(&spread_to, &[(UNPRICED_SPREAD, ps)]);
        }
    }

    fn add_bill(&mut self, vm_id: u32, parts: &[BillPart]) {
        for part in parts {
            let mut amounts = Vec::with_capacity(5);
            match phase_column(part.phase) {
                Some(column) => {
                    amounts.extend([(column, part.amount), (GPU, part.share.part(part.amount))]);
                    amounts.extend(outcome_column(&part.key).map(|column| (column, part.amount)));
                }
                None if part.phase == Phase::Idle => amounts.push((IDLE, part.amount)),
                None => amounts.push((OVERHEAD, part.amount)),
            }
            if knows_department(&part.key) {
                amounts.push((ATTRIBUTED, part.amount));
                amounts.extend(phase_column(part.phase).map(|_| (ATTRIBUTED_SPREAD, part.amount)));
            }
            self.add(&part.key, &amounts);
        }
        if self.pricing.spreads {
            self.spread(vm_id, parts);
        }
    }

    /// The idle time of the hour goes to its executions, each part by itself; where there is none, to nobody.
    fn spread(&mut self, vm_id: u32, parts: &[BillPart]) {
        let productive: Vec<&BillPart> = parts.iter().filter(|part| phase_column(part.phase).is_some() && part.amount > 0).collect();
        let among: Vec<u64> = productive.iter().map(|part| part.amount as u64).collect();
        let sum: u64 = among.iter().sum();
        // What each checkpoint version of each productive part bears: the shares of a part are split one by one.
        let mut borne: Vec<Vec<i128>> = productive.iter().map(|part| vec![0; self.checkpoints(&part.key).len().max(1)]).collect();
        let (mut shares, mut room) = (vec![0_u64; among.len()], Vec::with_capacity(among.len()));
        for idle in parts.iter().filter(|part| part.phase == Phase::Idle && part.amount > 0) {
            if sum == 0 {
                self.add(&part_of_nobody(vm_id, &idle.key), &[(SPREAD, idle.amount)]);
                continue;
            }
            spread(idle.amount as u64, &among, sum, &mut shares, &mut room);
            for (share, borne) in shares.iter().zip(&mut borne) {
                match &mut borne[..] {
                    [whole] => *whole += i128::from(*share),
                    several => {
                        let count = several.len();
                        several.iter_mut().enumerate().for_each(|(place, borne)| *borne += even(i128::from(*share), count, place));
                    }
                }
            }
        }
        for (part, borne) in productive.iter().zip(borne) {
            self.add_borne(&part.key, &borne);
        }
    }

    fn add_borne(&mut self, key: &Key, borne: &[i128]) {
        let checkpoints = self.checkpoints(key);
        let mut key = *key;
        for (place, amount) in borne.iter().enumerate() {
            if let Some((version, _)) = checkpoints.get(place) {
                key[KeyColumn::CheckpointVersion as usize] = *version;
            }
            let row = self.by_key.entry(key).or_default();
            row[SPREAD] += amount;
            if knows_department(&key) {
                row[ATTRIBUTED_SPREAD] += amount;
            }
        }
    }

    /// Slot time that executions held.
    fn add_time(&mut self, machine: &MachineView<'_>, timeline: &[TimelineFact]) {
        for fact in timeline {
            if let TimelineFact::Time { at, key, productive, .. } = fact {
                let key = placed(*key, machine.fleet.place_at(machine.vm_id, *at));
                self.add(&key, &[(GPU_TIME, productive.gpu_ps), (CPU_TIME, productive.cpu_ps)]);
            }
        }
    }

    /// What an execution was worth, if it succeeded; whether a value was in force when it finished.
    fn add_value(&mut self, holder: &Holder, key: Key) -> bool {
        let combination = self.pricing.combinations.get(&key[KeyColumn::Combination as usize]);
        let model_id = combination.map_or(0, |combination| combination.model_id);
        let checkpoints: Vec<u32> =
            combination.map_or_else(Vec::new, |combination| combination.checkpoints.iter().map(|(_, checkpoint)| *checkpoint).collect());
        let application_id = key[KeyColumn::Application as usize];
        let value = self.pricing.prices.value_at(holder.finished_at, model_id, &checkpoints, application_id);
        if let (Some(value), true) = (value, key[KeyColumn::Outcome as usize] == Outcome::Succeeded as u32 + 1) {
            self.add(&key, &[(VALUE, i128::from(value))]);
        }
        value.is_some()
    }

    fn facts(self) -> Vec<CostFact> {
        let at = self.at;
        let by_key = self.by_key.into_iter().filter(|(_, amounts)| amounts.iter().any(|amount| *amount != 0));
        by_key.map(|(key, amounts)| CostFact { at, key, amounts }).collect()
    }
}

/// The key of idle time that nobody bears: the machine, and where it was.
fn part_of_nobody(vm_id: u32, key: &Key) -> Key {
    let mut nobody = [0; KEY_WIDTH];
    nobody[KeyColumn::Vm as usize] = vm_id;
    for column in [KeyColumn::InstanceType, KeyColumn::Region, KeyColumn::Provider] {
        nobody[column as usize] = key[column as usize];
    }
    nobody
}

const fn knows_department(key: &Key) -> bool {
    key[KeyColumn::Department as usize] != 0
}

/// The column of productive time; none for what nobody held.
const fn phase_column(phase: Phase) -> Option<usize> {
    match phase {
        Phase::Load => Some(place_of(Part::CostLoad)),
        Phase::Init => Some(place_of(Part::CostInit)),
        Phase::Inference => Some(place_of(Part::CostInference)),
        Phase::Idle | Phase::Overhead => None,
    }
}

fn outcome_column(key: &Key) -> Option<usize> {
    let code = i16::try_from(key[KeyColumn::Outcome as usize]).ok()? - 1;
    Some(match Outcome::from_code(code)? {
        Outcome::Succeeded => place_of(Part::CostSucceeded),
        Outcome::Failed => place_of(Part::CostFailed),
        Outcome::Cancelled => place_of(Part::CostCancelled),
    })
}

#[cfg(test)]
#[path = "price_tests.rs"]
mod tests;
