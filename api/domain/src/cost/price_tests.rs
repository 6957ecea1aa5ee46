//! The rules of the contract that a bill keeps, and a second, brute-force computation of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_bigint::BigInt;
use plimsoll_entity::value::label::{PurchaseOption, VmState};
use plimsoll_entity::value::time::MINUTE_US;
use proptest::prelude::*;

use super::*;
use crate::cost::card::{BusinessValue, InstanceEntry, PlaceEntry, RateCard};
use crate::cost::rate::PriceNames;
use crate::machine::fleet::{Fleet, InstanceType, StateRow};
use crate::timeline::facts::Class;
use crate::timeline::hour::{Carry, HourFacts, HourInput, Run, build};
use crate::timeline::life::StateChange;

const VM: u32 = 9;
const KIND: u32 = 5;
const REGION: u32 = 70;
/// A combination with three checkpoint versions: (11, 1), (12, 1), (20, 2).
const WITH_CHECKPOINTS: u32 = 3;

fn at(minute: i64) -> Instant {
    Instant(minute * MINUTE_US)
}

fn state(minute: i64, state: VmState, purchase_option: Option<PurchaseOption>) -> StateRow {
    let told = InstanceType { v_cpus: Some(4), memory_bytes: Some(16 << 30), gpu_count: Some(2), ..InstanceType::default() };
    let id = Uuid::from_u128(minute as u128 + 1);
    let change = StateChange { at: at(minute), state, id, instance_type_id: KIND, provider_id: 0, region_id: REGION, purchase_option };
    StateRow { vm_id: VM, change, told }
}

fn run(combination_id: u32, start: i64, end: i64, gpus: &[u16], department: u32) -> Run {
    let mut key = [0; KEY_WIDTH];
    key[KeyColumn::Combination as usize] = combination_id;
    key[KeyColumn::Department as usize] = department;
    key[KeyColumn::Vm as usize] = VM;
    key[KeyColumn::Outcome as usize] = 1 + combination_id % 3;
    let holder = Holder {
        id: Uuid::from_u64_pair(u64::from(combination_id), start as u64),
        started_at: at(start),
        finished_at: at(end),
        gpus: gpus.to_vec(),
        key,
        phases_us: [MINUTE_US, 2 * MINUTE_US],
    };
    Run { holder, gpu_memory_peak_bytes: None, checkpoint_load_ms: None, class: Class::default() }
}

fn card(minute: i64, rates: &[(Option<&str>, Option<PurchaseOption>, i64)]) -> RateCard {
    let rate = |(region, purchase_option, hourly): &(Option<&str>, Option<PurchaseOption>, i64)| InstanceEntry {
        instance_type: "kind".to_owned(),
        region: region.map(str::to_owned),
        purchase_option: *purchase_option,
        hourly: *hourly,
    };
    RateCard {
        id: Uuid::from_u128(minute as u128 + 100),
        currency: "USD".to_owned(),
        effective_from: at(minute),
        instance_rates: rates.iter().map(rate).collect(),
        storage_rates: Vec::new(),
        transfer_rates: vec![PlaceEntry { storage_type: StorageType::ObjectStore, location: None, per_gib: 3 }],
        created_at: at(0),
        created_by: String::new(),
    }
}

fn value(minute: i64, per_success: i64) -> BusinessValue {
    BusinessValue {
        id: Uuid::from_u128(minute as u128 + 500),
        model: None,
        checkpoint: None,
        application: None,
        per_success,
        currency: "USD".to_owned(),
        effective_from: at(minute),
        created_at: at(0),
        created_by: String::new(),
    }
}

fn prices(cards: &[RateCard], values: &[BusinessValue]) -> Prices {
    let names = PriceNames {
        instance_types: [("kind".to_owned(), KIND)].into_iter().collect(),
        regions: [("here".to_owned(), REGION)].into_iter().collect(),
        ..PriceNames::default()
    };
    Prices::new(cards, values, &names)
}

fn combinations() -> ById<Combination> {
    let combination = |checkpoints: &[(u32, u32)]| {
        Arc::new(Combination { model_version_id: 1, model_id: 1, label: "m 1".into(), checkpoints: checkpoints.to_vec() })
    };
    (1..9).map(|id| (id, if id == WITH_CHECKPOINTS { combination(&[(11, 1), (12, 1), (20, 2)]) } else { combination(&[]) })).collect()
}

/// The first hour of a machine, priced.
struct Priced {
    bill: Vec<BillPart>,
    costs: CostHour,
    facts: HourFacts,
}

fn first_hour(fleet: &Fleet, runs: &[Run], prices: &Prices, loads: &[LoadFact]) -> Priced {
    let machine = MachineView { fleet, vm_id: VM, touched: None, gpu_memory_bytes: None };
    let hour = Window::of_hour(0);
    let input = HourInput { machine, hour, as_of: Instant(i64::MAX), started: runs, jobs: &[], samples: &[] };
    let (facts, _, parts) = build(&input, hour, &Carry::default());
    let combinations = combinations();
    let pricing = Pricing { prices, combinations: &combinations, spreads: true };
    let unpriced = Unpriced { machine, hour, parts: &parts, timeline: &facts.timeline, loads };
    Priced { bill: pricing.bill(&unpriced), costs: pricing.price(&unpriced), facts }
}

fn sum(costs: &CostHour, part: Part) -> i128 {
    costs.costs.iter().map(|fact| fact.amounts[place_of(part)]).sum()
}

fn running() -> Fleet {
    Fleet::new(1, vec![state(0, VmState::Running, None)], Vec::new())
}

#[test]
fn the_bill_is_divided_by_slot_and_phase() {
    // 2 GPUs at 6 an hour: a slot costs 50 nano-units a minute.
    let prices = prices(&[card(0, &[(None, None, 6_000)])], &[]);
    let priced = first_hour(&running(), &[run(1, 10, 40, &[0], 8)], &prices, &[]);
    let told: Vec<_> = priced.bill.iter().map(|part| (part.phase, part.amount)).collect();
    let expected = [
        (Phase::Load, 50),
        (Phase::Init, 100),
        (Phase::Inference, 1_350),
        (Phase::Idle, 1_000),
        (Phase::Overhead, 500),
        (Phase::Overhead, 3_000),
    ];
    assert_eq!(told, expected);
    // 0.95 x 2 / (0.95 x 2 + 4 x 0.031611 + 16 x 0.004237) = 0.90729…
    assert_eq!(sum(&priced.costs, Part::CostGpu), 45 + 91 + 1_225);
    assert_eq!(sum(&priced.costs, Part::CostAttributed), 2_500);
    assert_eq!(sum(&priced.costs, Part::GpuTime), i128::from(30 * MINUTE_US) * MICROSECOND_PS);
    assert_eq!(priced.costs.runs[0].counts, [1, 1, 0]);
}

#[test]
fn a_rate_that_changes_within_the_hour_weighs_each_stretch() {
    let cards = [card(0, &[(None, None, 6_000)]), card(30, &[(None, None, 12_000), (Some("here"), None, 60_000)])];
    let priced = first_hour(&running(), &[run(1, 0, 30, &[], 0), run(2, 30, 60, &[], 0)], &prices(&cards, &[]), &[]);
    let of = |id: u32| -> i128 {
        priced.bill.iter().filter(|part| part.key[KeyColumn::Combination as usize] == id).map(|part| part.amount).sum()
    };
    // The card of the region is the one with more fields that match.
    assert_eq!((of(1), of(2)), (3_000, 30_000));
}

#[test]
fn without_a_rate_there_is_time_and_no_amount() {
    let cards = [card(30, &[(None, Some(PurchaseOption::Spot), 6_000)])];
    let fleet = Fleet::new(1, vec![state(0, VmState::Running, Some(PurchaseOption::Spot))], Vec::new());
    let priced = first_hour(&fleet, &[run(1, 0, 20, &[], 0), run(2, 20, 40, &[], 0)], &prices(&cards, &[]), &[]);
    assert_eq!(sum(&priced.costs, Part::UnpricedTime), i128::from(30 * MINUTE_US) * MICROSECOND_PS);
    assert_eq!(priced.bill.iter().map(|part| part.amount).sum::<i128>(), 3_000);
    let costed: Vec<i128> = priced.costs.runs.iter().map(|run| run.counts[1]).collect();
    assert_eq!(costed, [0, 1]);
    let none = first_hour(&fleet, &[run(1, 0, 20, &[], 0)], &Prices::default(), &[]);
    assert!(none.bill.is_empty());
    assert_eq!(sum(&none.costs, Part::UnpricedTime), i128::from(60 * MINUTE_US) * MICROSECOND_PS);
}

#[test]
fn checkpoints_bear_their_shares_in_canonical_order() {
    let prices = prices(&[card(0, &[(None, None, 10)])], &[value(0, 8)]);
    let mut three = run(WITH_CHECKPOINTS, 0, 59, &[], 0);
    three.holder.phases_us = [0, 0];
    let priced = first_hour(&running(), &[three], &prices, &[]);
    let mut shares: Vec<(u32, i128, i128)> = priced
        .costs
        .costs
        .iter()
        .map(|fact| {
            let amount = |part| fact.amounts[place_of(part)];
            (fact.key[KeyColumn::CheckpointVersion as usize], amount(Part::CostInference), amount(Part::CostValue))
        })
        .collect();
    shares.sort_unstable();
    // Two slots of 5: 2, 2, 1 each; a value of 8: 3, 3, 2.
    assert_eq!(shares, [(11, 4, 3), (12, 4, 3), (20, 2, 2)]);
    assert_eq!(priced.costs.runs[0].counts, [1, 1, 1]);
}

#[test]
fn idle_time_spreads_to_the_hour_or_stays_with_nobody() {
    let prices = prices(&[card(0, &[(None, None, 12_000)])], &[]);
    let priced = first_hour(&running(), &[run(1, 0, 10, &[0], 0), run(2, 10, 40, &[1], 8)], &prices, &[]);
    assert_eq!(sum(&priced.costs, Part::CostIdle), 5_000 + 2_000);
    assert_eq!(sum(&priced.costs, Part::CostSpread), 7_000);
    let by_combination = |id: u32| -> i128 {
        let facts = priced.costs.costs.iter().filter(|fact| fact.key[KeyColumn::Combination as usize] == id);
        facts.map(|fact| fact.amounts[SPREAD]).sum()
    };
    assert_eq!((by_combination(1), by_combination(2)), (1_750, 5_250));
    let alone = first_hour(&running(), &[run(1, 5, 5, &[], 0)], &prices, &[]);
    let nobody: Vec<_> = alone.costs.costs.iter().filter(|fact| fact.amounts[SPREAD] != 0).map(|fact| fact.key).collect();
    assert_eq!((nobody.len(), nobody[0][KeyColumn::Combination as usize], nobody[0][KeyColumn::Vm as usize]), (1, 0, VM));
}

#[test]
fn loads_cost_machine_time_and_charges() {
    let prices = prices(&[card(0, &[(None, None, 7_200)])], &[]);
    let load = |cache_hit, storage_type: StorageType| LoadFact {
        started_at: at(10),
        finished_at: at(11),
        vm_id: VM,
        storage_type: storage_type.code(),
        cache_hit,
        size_bytes: Some(1 << 29),
        ..LoadFact::default()
    };
    let loads = [load(false, StorageType::ObjectStore), load(true, StorageType::ObjectStore), load(false, StorageType::LocalDisk)];
    let priced = first_hour(&running(), &[], &prices, &loads);
    let told: Vec<_> = priced.costs.loads.iter().map(|load| load.amounts).collect();
    // 60 a minute and slot; half a GiB at 3: 1.5, half up.
    assert_eq!(told, [[60, 1, 2, 1, 1], [60, 1, 0, 0, 1], [60, 1, 0, 0, 1]]);
}

/// Brute force: every elementary stretch between two changes, exact fractions, largest remainders.
fn brute_force(fleet: &Fleet, runs: &[Run], prices: &Prices) -> BTreeMap<(u32, bool, Instant, Uuid, Phase), i128> {
    let hour = Window::of_hour(0);
    let timeline = &fleet.machine(VM).unwrap().timeline;
    let mut cuts: Vec<i64> = vec![hour.start.0, hour.end.0];
    for run in runs {
        let (start, end) = (run.holder.started_at.0, run.holder.finished_at.0);
        let loaded = start + run.holder.phases_us[0].min(end - start);
        cuts.extend([start, end, loaded, loaded + run.holder.phases_us[1].min(end - loaded)]);
    }
    cuts.extend((0..=60).map(|minute| minute * MINUTE_US));
    cuts.retain(|cut| hour.start.0 <= *cut && *cut <= hour.end.0);
    cuts.sort_unstable();
    cuts.dedup();
    let units = BigInt::from((1..=12_i64).product::<i64>());
    let mut weights: BTreeMap<_, BigInt> = BTreeMap::new();
    let mut bill = BigInt::ZERO;
    for pair in cuts.windows(2) {
        let (start, end) = (Instant(pair[0]), Instant(pair[1]));
        let Some(span) = timeline.spans(Window { start, end }).into_iter().find(|span| span.is_held()) else { continue };
        let life = span.life_began_at.unwrap();
        let Some(rate) = prices.hourly_at(start, KIND, REGION, timeline.purchase_option_at(start)) else { continue };
        bill += BigInt::from(rate) * (end.0 - start.0);
        for slot in 0..2_u32 {
            let holders: Vec<&Holder> = runs
                .iter()
                .map(|run| &run.holder)
                .filter(|holder| holder.holds(slot, 2) && holder.started_at <= start && end <= holder.finished_at)
                .collect();
            let mut add = |standing, share: BigInt| *weights.entry(standing).or_insert(BigInt::ZERO) += share;
            let weight = &units * rate * (end.0 - start.0);
            if !holders.is_empty() {
                for holder in &holders {
                    let loaded = holder.started_at.0 + holder.phases_us[0].min(holder.finished_at.0 - holder.started_at.0);
                    let ready = loaded + holder.phases_us[1].min(holder.finished_at.0 - loaded);
                    let phase = if start.0 < loaded {
                        Phase::Load
                    } else if start.0 < ready {
                        Phase::Init
                    } else {
                        Phase::Inference
                    };
                    add((slot, false, holder.started_at, holder.id, phase), &weight / holders.len());
                }
                continue;
            }
            let finished = runs
                .iter()
                .map(|run| &run.holder)
                .filter(|holder| holder.holds(slot, 2) && life <= holder.finished_at && holder.finished_at <= start);
            match finished.max_by_key(|holder| (holder.finished_at, holder.id)) {
                Some(cause) if span.state == VmState::Running => add((slot, false, cause.started_at, cause.id, Phase::Idle), weight),
                _ => add((slot, true, Instant(0), Uuid::nil(), Phase::Overhead), weight),
            }
        }
    }
    let total = i128::try_from((bill * 2 + HOUR_US) / (2 * HOUR_US)).unwrap();
    // Two slots share the machine.
    let divisor = units * 2 * HOUR_US;
    let mut shares: Vec<(BigInt, usize, i128)> = Vec::new();
    for (place, weight) in weights.values().enumerate() {
        let floor = weight / &divisor;
        shares.push((weight - &floor * &divisor, place, i128::try_from(floor).unwrap()));
    }
    let mut left = total - shares.iter().map(|share| share.2).sum::<i128>();
    shares.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for share in &mut shares {
        share.2 += i128::from(left > 0);
        left -= 1;
    }
    shares.sort_by_key(|share| share.1);
    weights.into_keys().zip(shares.into_iter().map(|share| share.2)).collect()
}

/// States by minute; the machine runs from 0 on.
fn states() -> impl Strategy<Value = Vec<(i64, VmState, Option<PurchaseOption>)>> {
    let later = prop_oneof![
        Just(VmState::Running),
        Just(VmState::Maintenance),
        Just(VmState::Stopped),
        Just(VmState::Unreachable),
        Just(VmState::Terminated),
    ];
    let bought = prop_oneof![Just(None), Just(Some(PurchaseOption::Spot)), Just(Some(PurchaseOption::OnDemand))];
    prop::collection::btree_map(1_i64..60, (later, bought), 0..5)
        .prop_map(|states| states.into_iter().map(|(minute, (state, bought))| (minute, state, bought)).collect())
}

proptest! {
    #[test]
    fn the_parts_are_those_of_brute_force(
        states in states(),
        executions in prop::collection::vec((1_u32..9, 0_i64..60, 0_i64..30, prop::collection::btree_set(0_u16..2, 0..3), 0_u32..3), 0..12),
        rates in prop::collection::btree_map(0_i64..60, (prop::option::of(0_i64..5_000_000_000), prop::option::of(1_i64..40_000_000_000)), 0..4),
    ) {
        let rows = std::iter::once(state(0, VmState::Running, None)).chain(states.iter().map(|(minute, kind, bought)| state(*minute, *kind, *bought)));
        let fleet = Fleet::new(1, rows.collect(), Vec::new());
        let mut runs: Vec<Run> = Vec::new();
        for (id, (combination, start, length, gpus, department)) in (1_u128..).zip(&executions) {
            let gpus: Vec<u16> = gpus.iter().copied().collect();
            let mut run = run(*combination, *start, (start + length).min(60), &gpus, *department);
            run.holder.id = Uuid::from_u128(id);
            runs.push(run);
        }
        let cards: Vec<RateCard> = rates
            .iter()
            .map(|(minute, (any, spot))| {
                let mut entries = Vec::new();
                entries.extend(any.map(|hourly| (None, None, hourly)));
                entries.extend(spot.map(|hourly| (None, Some(PurchaseOption::Spot), hourly)));
                card(*minute, &entries)
            })
            .collect();
        let prices = prices(&cards, &[value(7, 11)]);
        // Those that end with the hour finish in the next.
        let priced = first_hour(&fleet, &runs, &prices, &[]);
        let expected: Vec<i128> = brute_force(&fleet, &runs, &prices).into_values().collect();
        prop_assert_eq!(priced.bill.iter().map(|part| part.amount).collect::<Vec<_>>(), expected);
        let costs = &priced.costs;
        let bill: i128 = priced.bill.iter().map(|part| part.amount).sum();
        let productive = sum(costs, Part::CostInference) + sum(costs, Part::CostLoad) + sum(costs, Part::CostInit);
        prop_assert_eq!(productive + sum(costs, Part::CostIdle) + sum(costs, Part::CostOverhead), bill);
        prop_assert_eq!(sum(costs, Part::CostSpread), sum(costs, Part::CostIdle));
        prop_assert_eq!(sum(costs, Part::CostSucceeded) + sum(costs, Part::CostFailed) + sum(costs, Part::CostCancelled), productive);
        prop_assert!(sum(costs, Part::CostGpu) <= productive);
        let finished = runs.iter().filter(|run| run.holder.finished_at < Window::of_hour(0).end).count();
        prop_assert_eq!(costs.runs.iter().map(|run| run.counts[0]).sum::<i128>(), finished as i128);
        let (mut held, mut timed) = (0, 0);
        for fact in &priced.facts.timeline {
            if let TimelineFact::Time { productive, .. } = fact {
                held += productive.gpu_ps;
            }
        }
        costs.costs.iter().for_each(|fact| timed += fact.amounts[GPU_TIME]);
        prop_assert_eq!(held, timed);
    }
}
