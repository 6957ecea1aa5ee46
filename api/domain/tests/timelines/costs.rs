//! Prices that change while the fleet runs, and what every answer about costs must keep.

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reader, Reading};
use plimsoll_domain::breakdown::usage::widened;
use plimsoll_domain::cost::card::{BusinessValue, InstanceEntry, RateCard};
use plimsoll_domain::cost::figures::CostSums;
use plimsoll_domain::cost::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use plimsoll_entity::value::label::PurchaseOption;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, Step, Window};
use uuid::Uuid;

use super::answers::window;
use super::events::{NOW_US, START_US};
use super::random::Random;

/// Windows that are looked at.
const WINDOWS: usize = 3;
const MOST: usize = 10_000;
const DIMENSIONS: [Dimension; 12] = [
    Dimension::Model,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::Combination,
    Dimension::User,
    Dimension::Department,
    Dimension::Vm,
    Dimension::InstanceType,
    Dimension::Region,
    Dimension::Provider,
    Dimension::ErrorType,
    Dimension::ServiceType,
];

/// Cards that take effect before everything, in the middle of an hour, and for one type again.
pub fn cards() -> Vec<RateCard> {
    let entry = |kind: &str, region: Option<&str>, hourly| InstanceEntry {
        instance_type: kind.to_owned(),
        region: region.map(str::to_owned),
        purchase_option: None,
        hourly,
    };
    let spot = |kind: &str, hourly| InstanceEntry { purchase_option: Some(PurchaseOption::Spot), ..entry(kind, None, hourly) };
    let card = |id, effective_from, instance_rates| RateCard {
        id: Uuid::from_u128(id),
        currency: "USD".to_owned(),
        effective_from: Instant(effective_from),
        instance_rates,
        storage_rates: Vec::new(),
        transfer_rates: Vec::new(),
        created_at: Instant(0),
        created_by: "test".to_owned(),
    };
    let hours = |hours: i64| START_US + hours * HOUR_US;
    vec![
        card(
            1,
            hours(-5),
            vec![entry("type-0", None, 1_000_000_007), entry("type-1", Some("region-1"), 27_513_811_000), spot("type-0", 400_000_001)],
        ),
        card(2, hours(20) + 23 * MINUTE_US + 17, vec![entry("type-0", None, 999), entry("type-0", Some("region-0"), 3_333_333_333)]),
        card(3, hours(30), vec![entry("type-1", None, 12_345_678_901), spot("type-1", 5), spot("type-2", 7_000_000_001)]),
    ]
}

/// Values of which one model has a second one later.
pub fn values() -> Vec<BusinessValue> {
    let value = |id, effective_from, model: Option<&str>, checkpoint: Option<&str>, per_success| BusinessValue {
        id: Uuid::from_u128(id),
        model: model.map(str::to_owned),
        checkpoint: checkpoint.map(str::to_owned),
        application: None,
        per_success,
        currency: "USD".to_owned(),
        effective_from: Instant(effective_from),
        created_at: Instant(0),
        created_by: "test".to_owned(),
    };
    vec![
        value(1, START_US, Some("model-0"), None, 350_000_001),
        value(2, START_US + DAY_US + 7 * MINUTE_US, Some("model-0"), None, 77),
        value(3, START_US, None, Some("anime"), 10_000_000_000),
    ]
}

async fn costs(reader: &Reader, reading: &Reading, window: Window, by: &[Dimension], limit: usize, idle: IdleView) -> Breakdown<CostSums> {
    let asked = CostQuestion { window, by: by.to_vec(), limit, idle };
    reader.cost_breakdown(reading, &asked, &CostFilter::default(), CostOrder::Total).await.unwrap()
}

/// The amounts and times; counts stand in several rows where checkpoints are asked about.
fn amounts(sums: &CostSums) -> CostSums {
    let mut amounts = *sums;
    amounts.keep_counts(std::iter::empty());
    amounts
}

fn sum<'a>(parts: impl Iterator<Item = &'a CostSums>) -> CostSums {
    let mut sum = CostSums::default();
    parts.for_each(|part| sum.add(part));
    sum
}

/// Rows + other = total, whatever the dimensions; both views of idle time have one total; windows of whole hours add up.
pub async fn adds_up(reader: &Reader, reading: &Reading, random: &mut Random) {
    for _ in 0..WINDOWS {
        let window = widened(window(random));
        let all = costs(reader, reading, window, &[], 1, IdleView::Caused).await.total;
        let spread = costs(reader, reading, window, &[], 1, IdleView::Spread).await.total;
        assert_eq!((all.total(), all.productive(), all.overhead), (spread.total(), spread.productive(), spread.overhead), "{window:?}");
        assert_eq!(all.of_succeeded + all.of_failed + all.of_cancelled, all.productive(), "{window:?}");
        let mut by = DIMENSIONS.to_vec();
        random.shuffle(&mut by);
        for by in [&by[..1], &by[1..2], &by[2..4], &by[4..7]] {
            for (limit, idle) in [(MOST, IdleView::Caused), (2, IdleView::Spread)] {
                let answer = costs(reader, reading, window, by, limit, idle).await;
                let whole = if idle == IdleView::Caused { all } else { spread };
                assert_eq!(answer.total, whole, "{window:?} by {by:?}");
                let told = sum(answer.rows.iter().map(|(_, sums)| sums).chain(&answer.other));
                assert_eq!(amounts(&told), amounts(&whole), "{window:?} by {by:?}");
                if !by.iter().any(|dimension| dimension.is_checkpoint()) {
                    assert_eq!(told, whole, "{window:?} by {by:?}");
                }
            }
        }
        let middle = Instant(window.start.0 + random.between(0, window.length_us() / HOUR_US) * HOUR_US);
        let halves = [Window { start: window.start, end: middle }, Window { start: middle, end: window.end }];
        let mut parts = Vec::new();
        for half in halves.into_iter().filter(|half| half.start < half.end) {
            parts.push(costs(reader, reading, half, &[], 1, IdleView::Caused).await.total);
        }
        assert_eq!(sum(parts.iter()), all, "{window:?} split at {middle:?}");
        let asked = CostQuestion { window, by: vec![Dimension::Checkpoint], limit: MOST, idle: IdleView::Caused };
        let series = reader.cost_series(reading, &asked, &CostFilter::default(), Step::Day).await.unwrap();
        assert_eq!(sum(series.total.iter()), all, "{window:?} by day");
    }
    let whole = Window::of(START_US - DAY_US, NOW_US + DAY_US);
    let all = costs(reader, reading, whole, &[], 1, IdleView::Caused).await.total;
    assert!(all.total() > 0 || all.unpriced_ps > 0, "nothing was held");
}
