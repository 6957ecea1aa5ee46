//! The rules of recommendations, on small evidence.

use std::sync::Arc;

use plimsoll_entity::value::time::Instant;
use proptest::prelude::*;

use super::super::rightsize::TypeFacts;
use super::*;
use crate::breakdown::dimension::Dimension;

const UNIT: i128 = NANOS;
const NOWHERE: IdleShare = IdleShare { compute: 0, idle: 0 };

fn about(dimension: Dimension, id: u32, text: &str) -> About {
    About {
        key: RowKey { by: Arc::from([dimension]), ids: [id, 0, 0, 0, 0] },
        text: text.to_owned(),
        conditions: vec![(dimension, format!("own: [{id}]"))],
    }
}

fn evidence() -> Evidence {
    Evidence {
        window: Window { start: Instant(0), end: Instant(15 * DAY_US) },
        known_us: 15 * DAY_US,
        currency: "USD".to_owned(),
        executions: 1_000,
        machines: Vec::new(),
        combinations: Vec::new(),
        loads: Vec::new(),
        cold: Vec::new(),
        types: Vec::new(),
        offers: Vec::new(),
    }
}

fn machine(vm_id: u32, compute: i128, idle: i128) -> MachineCost {
    let about = about(Dimension::Vm, vm_id, &format!("gpu-{vm_id}"));
    MachineCost { about, vm_id, instance_type_id: 1, region_id: 1, compute, idle }
}

fn combination(combination_id: u32, sums: CostSums, on_idle_machines: IdleShare) -> CombinationCost {
    CombinationCost {
        about: about(Dimension::Combination, combination_id, &format!("model {combination_id}")),
        combination_id,
        sums,
        errors: Vec::new(),
        on_idle_machines,
    }
}

fn found(evidence: &Evidence) -> Vec<(RecommendationKind, String, i128)> {
    recommend(evidence, 100).into_iter().map(|found| (found.kind, found.about.text, found.saving)).collect()
}

#[test]
fn idle_machines_are_cut_beyond_what_a_busy_one_idles() {
    let machines = vec![machine(1, 200 * UNIT, 80 * UNIT), machine(2, 100 * UNIT, 20 * UNIT), machine(3, 0, 0)];
    let evidence = Evidence { machines, ..evidence() };
    assert_eq!(found(&evidence), [(RecommendationKind::CutIdle, "gpu-1".to_owned(), 120 * UNIT)]);
    let reason = recommend(&evidence, 1).remove(0).reason;
    assert_eq!(
        reason,
        "The machine idled for 80.00 USD of 200.00 USD of compute in 15 days, 40 %. A busy machine idles 10 %; what is beyond can be saved \
         by stopping or sharing machines: 60.00 USD. In 30 days that is 120.00 USD. See costBreakdown(window: {start: \
         \"1970-01-01T00:00:00Z\", end: \"1970-01-16T00:00:00Z\"}, by: [VM], orderBy: IDLE)."
    );
}

#[test]
fn idle_time_is_cut_once() {
    // The combination idled on both machines, one of which is told to be idle itself.
    let sums = CostSums { inference: 50 * UNIT, idle: 150 * UNIT, executions: [500, 0, 0], ..CostSums::default() };
    let combinations = vec![combination(7, sums, IdleShare { compute: 100 * UNIT, idle: 90 * UNIT })];
    let evidence =
        Evidence { machines: vec![machine(1, 100 * UNIT, 90 * UNIT), machine(2, 900 * UNIT, 60 * UNIT)], combinations, ..evidence() };
    let kind = RecommendationKind::CutIdle;
    assert_eq!(found(&evidence), [(kind, "gpu-1".to_owned(), 160 * UNIT), (kind, "model 7".to_owned(), 100 * UNIT)]);
}

#[test]
fn failures_name_what_came_of_them() {
    let sums = CostSums { inference: 100 * UNIT, of_failed: 20 * UNIT, executions: [40, 10, 0], ..CostSums::default() };
    let errors = vec![("TIMEOUT".to_owned(), 5 * UNIT), ("OOM".to_owned(), 15 * UNIT)];
    let few = CostSums { executions: [40, 2, 0], ..sums };
    let combinations = vec![CombinationCost { errors, ..combination(1, sums, NOWHERE) }, combination(2, few, NOWHERE)];
    let evidence = Evidence { combinations, ..evidence() };
    assert_eq!(found(&evidence), [(RecommendationKind::FixFailures, "model 1".to_owned(), 40 * UNIT)]);
    let reason = recommend(&evidence, 1).remove(0).reason;
    assert!(reason.contains("10 of 50 executions failed") && reason.contains("Most of it came of OOM: 15.00 USD"), "{reason}");
}

#[test]
fn what_loses_money_and_hardly_runs_is_given_up_with_all_that_is_its() {
    let sums = CostSums {
        inference: 60 * UNIT,
        idle: 40 * UNIT,
        of_failed: 30 * UNIT,
        executions: [30, 10, 0],
        value: 10 * UNIT,
        valued: 30,
        ..CostSums::default()
    };
    let on_idle_machines = IdleShare { compute: 70 * UNIT, idle: 30 * UNIT };
    let given = |sums| Evidence {
        machines: vec![machine(1, 60 * UNIT, 30 * UNIT)],
        combinations: vec![combination(7, sums, on_idle_machines)],
        ..evidence()
    };
    // 100 - 30 that the machine saves - 10.
    let told = [
        (RecommendationKind::DeprecateCombination, "model 7".to_owned(), 120 * UNIT),
        (RecommendationKind::CutIdle, "gpu-1".to_owned(), 48 * UNIT),
    ];
    assert_eq!(found(&given(sums)), told);
    let kept = |sums| found(&given(sums)).iter().all(|(kind, ..)| *kind != RecommendationKind::DeprecateCombination);
    assert!(kept(CostSums { value: 100 * UNIT, ..sums }), "it pays for itself");
    assert!(kept(CostSums { valued: 0, value: 0, ..sums }), "nobody said what it is worth");
    assert!(kept(CostSums { executions: [50, 0, 0], ..sums }), "5 % of all executions");
}

#[test]
fn misses_save_what_hits_would_not_cost() {
    let loads = LoadEvidence {
        about: about(Dimension::CheckpointVersion, 3, "LORA anime 3"),
        misses: 10,
        misses_priced: 10,
        miss_compute: 50 * UNIT,
        miss_transfer: 20 * UNIT,
        hits_priced: 5,
        hit_compute: 5 * UNIT,
    };
    let told = |loads: LoadEvidence| found(&Evidence { loads: vec![loads], ..evidence() }).first().map(|(.., saving)| *saving);
    assert_eq!(told(loads.clone()), Some(120 * UNIT));
    assert_eq!(told(LoadEvidence { hits_priced: 0, ..loads.clone() }), Some(40 * UNIT), "no hit tells what one costs");
    let reason = recommend(&Evidence { loads: vec![loads.clone()], ..evidence() }, 1).remove(0).reason;
    assert!(reason.ends_with("by: [CHECKPOINT_VERSION], orderBy: MISSES, filter: {own: [3]})."), "{reason}");
    assert_eq!(told(LoadEvidence { hit_compute: 900 * UNIT, ..loads.clone() }), Some(40 * UNIT), "hits never cost more than misses");
    assert_eq!(told(LoadEvidence { misses: 4, ..loads }), None);
}

#[test]
fn bytes_are_cold_after_a_week() {
    let place = ColdPlace { about: about(Dimension::CheckpointVersion, 3, "LORA old 1"), size_bytes: 5 << 30, storage: 3 * UNIT };
    let evidence = Evidence { cold: vec![place], ..evidence() };
    assert_eq!(found(&evidence), [(RecommendationKind::DeleteColdStorage, "LORA old 1".to_owned(), 6 * UNIT)]);
    assert!(found(&Evidence { known_us: 6 * DAY_US, ..evidence.clone() }).is_empty());
    assert!(found(&Evidence { known_us: HOUR_US, ..evidence }).is_empty());
}

fn offer(instance_type_id: u32, gpu_memory_gib: i64, hourly: i64) -> TypeOffer {
    let facts = TypeFacts { gpus: Some(1), gpu_memory_bytes: Some(gpu_memory_gib << 30), v_cpus: Some(8), memory_bytes: Some(64 << 30) };
    TypeOffer { name: format!("type-{instance_type_id}"), instance_type_id, region_id: 1, provider_id: 1, facts, hourly }
}

#[test]
fn a_type_gives_way_to_the_cheapest_that_is_large_enough() {
    let used = TypeUse {
        about: about(Dimension::InstanceType, 1, "type-1"),
        instance_type_id: 1,
        region_id: 1,
        compute: 100 * UNIT,
        gpu_ratio: Some(0.2),
        gpu_memory_bytes_max: Some(20.0 * 1_073_741_824.0),
        cpu_ratio_p95: Some(0.5),
        memory_bytes_max: Some(1e9),
    };
    let offers = vec![offer(1, 80, 4_000_000_000), offer(2, 24, 1_000_000_000), offer(3, 16, 500_000_000), offer(4, 48, 2_000_000_000)];
    let told = |used: &TypeUse, offers: &[TypeOffer]| {
        let machines = vec![machine(1, 100 * UNIT, 30 * UNIT)];
        let evidence = Evidence { types: vec![used.clone()], offers: offers.to_vec(), machines, ..evidence() };
        recommend(&evidence, 9).into_iter().find(|found| found.kind == RecommendationKind::RightsizeInstance)
    };
    let taken = told(&used, &offers).unwrap();
    // 20 of 100 are cut as idle time.
    assert_eq!(taken.saving, 120 * UNIT);
    assert!(taken.reason.contains("type-2 is large enough and costs 1.00 USD an hour instead of 4.00 USD, 75 % less"), "{}", taken.reason);
    let busy = TypeUse { gpu_ratio: Some(0.9), gpu_memory_bytes_max: Some(70e9), ..used.clone() };
    assert!(told(&busy, &offers).is_none());
    let unknown = TypeUse { memory_bytes_max: None, ..used.clone() };
    assert!(told(&unknown, &offers).is_none(), "nobody knows whether it is large enough");
    assert!(told(&used, &offers[1..]).is_none(), "it has no price");
    let elsewhere: Vec<TypeOffer> = offers.iter().skip(1).map(|offer| TypeOffer { provider_id: 2, ..offer.clone() }).collect();
    assert!(told(&used, &[&offers[..1], &elsewhere].concat()).is_none(), "another provider is another matter");
}

#[test]
fn the_order_is_by_saving_then_kind_then_subject() {
    let machines = vec![machine(2, 100 * UNIT, 60 * UNIT), machine(1, 100 * UNIT, 60 * UNIT), machine(3, 100 * UNIT, 90 * UNIT)];
    let place = ColdPlace { about: about(Dimension::CheckpointVersion, 3, "a"), size_bytes: 1, storage: 50 * UNIT };
    let evidence = Evidence { machines, cold: vec![place], ..evidence() };
    let texts: Vec<String> = found(&evidence).into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(texts, ["gpu-3", "gpu-1", "gpu-2", "a"]);
    assert_eq!(recommend(&evidence, 2).len(), 2);
}

proptest! {
    #[test]
    fn savings_are_sound_and_never_more_than_the_bill(
        costs in prop::collection::vec((0_i128..1_000_000, 0_i128..=100, 0_i128..=100, 0_u64..200, 0_u64..100), 0..20),
    ) {
        let mut machines = Vec::new();
        let mut combinations = Vec::new();
        let mut executions = 0;
        for (id, (compute, idle, failed, succeeded_count, failed_count)) in (1_u32..).zip(costs) {
            let (compute, idle) = (compute * UNIT, compute * UNIT * idle / 100);
            let productive = compute - idle;
            let sums = CostSums {
                inference: productive, idle, of_failed: productive * failed / 100,
                executions: [succeeded_count, failed_count, 0], valued: succeeded_count, value: i128::from(succeeded_count) * UNIT,
                ..CostSums::default()
            };
            executions += succeeded_count + failed_count;
            machines.push(machine(id, compute, idle));
            combinations.push(combination(id, sums, IdleShare { compute, idle }));
        }
        let bill: i128 = machines.iter().map(|machine| machine.compute).sum();
        let mut evidence = Evidence { machines, executions, ..evidence() };
        let idle_vms = evidence.idle_vms();
        combinations.iter_mut().filter(|one| !idle_vms.contains(&one.combination_id)).for_each(|one| one.on_idle_machines = NOWHERE);
        evidence.combinations = combinations;
        let found = recommend(&evidence, 100);
        prop_assert!(found.iter().all(|found| found.saving >= SAVING_NANOS_MIN));
        prop_assert!(found.iter().map(|found| found.saving).sum::<i128>() <= 2 * bill + 100);
        prop_assert!(found.windows(2).all(|pair| pair[0].saving >= pair[1].saving));
    }
}
