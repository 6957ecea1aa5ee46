//! What costs are going to be: daily expectations for each row and for everything, from a history of days.
//!
//! Only whole days that were over when the answer was read are learned from: neither the day that goes on nor one that the history cuts
//! drags an expectation. Days before anything cost anything are no history. Points are 24 hours each, from the end of the history on; a
//! point that lies in two UTC days takes of each what it covers. Invariants: amounts are whole nano-units, low <= expected <= high, none
//! is negative; the total is the sum of the rows, those that `limit` cut included as one. Must not know: GraphQL.

use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, Step, Window};

use super::figures::CostSums;
use super::projection::{BackTest, Method, Projection, project};
use super::question::{CostFilter, CostQuestion};
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading, RowKey};

/// Days ahead at most.
pub const HORIZON_DAYS_MAX: usize = 366;
/// Rows at most: each is fitted by itself.
pub const FORECAST_ROWS_MAX: usize = 200;
/// The largest amount that a point shows, nano-units: so many of them can be summed.
const POINT_NANOS_MAX: f64 = 1e30;

/// A day ahead. Amounts in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecastPoint {
    /// 24 hours.
    pub window: Window,
    /// What is expected.
    pub expected: i128,
    /// The band around it; none with too little history.
    pub band: Option<(i128, i128)>,
}

/// A history and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// What was, by UTC day; the first and the last are cut to the history.
    pub history: Vec<(Window, i128)>,
    /// What is expected, by day.
    pub points: Vec<ForecastPoint>,
    /// How.
    pub method: Method,
    /// Whether it was then scaled, so that the rows come to what is expected of everything by itself.
    pub is_scaled: bool,
    /// Mean absolute error on held-back days over that of the seasonal naive forecast; none with too little history, and where only that
    /// one was right.
    pub backtest_mase: Option<f64>,
}

impl Course {
    /// The sum of the points.
    #[must_use]
    pub fn expected_total(&self) -> i128 {
        self.points.iter().map(|point| point.expected).sum()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct CostForecast {
    /// The instant of the snapshot.
    pub as_of: Instant,
    /// The largest rows of the history.
    pub rows: Vec<(RowKey, Course)>,
    /// Everything.
    pub total: Course,
}

/// Amounts of days that are learned from, and days that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Days {
    tiles: Vec<Window>,
    /// The tiles that are learned from.
    first: usize,
    until: usize,
    /// The time that is known from the first cost on, microseconds.
    known_us: i64,
    points: Vec<Window>,
}

impl Days {
    /// Of the days of a history, of which everything cost so much.
    fn new(tiles: &[Window], total: &[i128], as_of: Instant, horizon_days: usize) -> Self {
        let is_whole = |tile: &Window| tile.length_us() == DAY_US && tile.end <= as_of;
        let from = tiles.iter().position(is_whole).unwrap_or(tiles.len());
        let until = tiles.iter().rposition(is_whole).map_or(from, |last| last + 1);
        let silent = total[from..until].iter().take_while(|amount| **amount == 0).count();
        let end = tiles.last().map_or(as_of, |tile| tile.end);
        let spoken = total.iter().position(|amount| *amount != 0).unwrap_or(tiles.len());
        let known_us = tiles[spoken..].iter().map(|tile| Window { start: tile.start, end: tile.end.min(as_of) }.length_us()).sum();
        let points = (0..horizon_days as i64).map(|day| Window::of(end.0 + day * DAY_US, end.0 + (day + 1) * DAY_US)).collect();
        Self { tiles: tiles.to_vec(), first: from + silent, until, known_us, points }
    }

    /// The start of the first day that is projected.
    fn next(&self) -> i64 {
        match self.tiles[..self.until].last() {
            Some(tile) if self.until > self.first => tile.end.0,
            _ => self.points.first().map_or(0, |point| point.start.0.div_euclid(DAY_US) * DAY_US),
        }
    }

    fn steps(&self) -> usize {
        let end = self.points.last().map_or(0, |point| point.end.0);
        (end - self.next() + DAY_US - 1).div_euclid(DAY_US).max(0) as usize
    }

    fn project(&self, amounts: &[i128]) -> Projection {
        let known = &amounts[self.first..self.until];
        if !known.is_empty() || self.known_us < HOUR_US {
            return project(known, self.steps());
        }
        // Not one whole day: what there is, by the hour.
        let day = amounts.iter().sum::<i128>() as f64 / self.known_us as f64 * DAY_US as f64;
        Projection { method: Method::Mean, days: vec![day.max(0.0); self.steps()], held_back: Vec::new() }
    }

    /// What each point takes of values of the days that were projected.
    fn of_points(&self, days: &[f64]) -> Vec<f64> {
        let share = |point: &Window| {
            let from = (point.start.0 - self.next()).div_euclid(DAY_US) as usize;
            let of_day = |(day, value): (usize, &f64)| {
                let start = self.next() + day as i64 * DAY_US;
                let covered = Window::of(start.max(point.start.0), (start + DAY_US).min(point.end.0)).length_us();
                value * (covered as f64 / DAY_US as f64)
            };
            days.iter().enumerate().skip(from).take(2).map(of_day).sum()
        };
        self.points.iter().map(share).collect()
    }

    fn course(&self, amounts: &[i128], method: Method, expected: &[i128], held_back: &[f64]) -> Course {
        let test = BackTest::of(&amounts[self.first..self.until], held_back);
        let widths = test.map(|test| {
            let of_days: Vec<f64> = (1..=self.steps()).map(|day| test.half_width(day)).collect();
            self.of_points(&of_days)
        });
        let point = |(place, (window, expected)): (usize, (&Window, &i128))| {
            let width = widths.as_ref().map(|widths| nanos(widths[place]));
            ForecastPoint { window: *window, expected: *expected, band: width.map(|width| ((expected - width).max(0), expected + width)) }
        };
        Course {
            history: self.tiles.iter().copied().zip(amounts.iter().copied()).collect(),
            points: self.points.iter().zip(expected).enumerate().map(point).collect(),
            method,
            is_scaled: false,
            backtest_mase: test.and_then(|test| test.mase),
        }
    }
}

/// Whole nano-units of a float.
fn nanos(amount: f64) -> i128 {
    amount.clamp(0.0, POINT_NANOS_MAX).round() as i128
}

/// Forecasts of some rows, and of everything: of what no row holds, too.
///
/// What repeats in everything may drown in the noise of each row. Where the total, forecast by itself, was less off than the sum of the
/// rows, the rows are scaled to it, day by day.
fn courses(days: &Days, rows: &[Vec<i128>], total: &[i128]) -> (Vec<Course>, Course) {
    let rest: Vec<i128> = (0..total.len()).map(|tile| total[tile] - rows.iter().map(|row| row[tile]).sum::<i128>()).collect();
    let has_rest = rows.is_empty() || rest.iter().any(|amount| *amount != 0);
    let parts: Vec<&[i128]> = rows.iter().map(Vec::as_slice).chain(has_rest.then_some(rest.as_slice())).collect();
    let mut projections: Vec<Projection> = parts.iter().map(|part| days.project(part)).collect();
    let whole = days.project(total);
    let known = &total[days.first..days.until];
    let error = |held_back: &[f64]| BackTest::of(known, held_back).map_or(0.0, |test| test.deviation);
    let mut method = Method::SumOfRows;
    let sums = sum_of(&projections);
    if error(&whole.held_back) < error(&sums.held_back) {
        method = whole.method;
        projections.iter_mut().for_each(|projection| scale(projection, &sums, &whole));
    }
    let mut expected_of_all = vec![0_i128; days.points.len()];
    let mut courses = Vec::with_capacity(parts.len());
    for (part, projection) in parts.iter().zip(&projections) {
        let expected: Vec<i128> = days.of_points(&projection.days).into_iter().map(nanos).collect();
        expected_of_all.iter_mut().zip(&expected).for_each(|(sum, expected)| *sum += expected);
        let course = days.course(part, projection.method, &expected, &projection.held_back);
        courses.push(Course { is_scaled: method != Method::SumOfRows, ..course });
    }
    courses.truncate(rows.len());
    let total = days.course(total, method, &expected_of_all, &sum_of(&projections).held_back);
    (courses, total)
}

/// What some projections come to.
fn sum_of(projections: &[Projection]) -> Projection {
    let mut sum = Projection { method: Method::SumOfRows, days: Vec::new(), held_back: Vec::new() };
    for projection in projections {
        for (sum, more) in [(&mut sum.days, &projection.days), (&mut sum.held_back, &projection.held_back)] {
            sum.resize(more.len(), 0.0);
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    sum
}

/// Scales the days of a part as those of everything are scaled from a sum to what is expected; a day on which the sum is 0 stays.
fn scale(part: &mut Projection, from: &Projection, to: &Projection) {
    let days = part.days.iter_mut().zip(from.days.iter().zip(&to.days));
    let held_back = part.held_back.iter_mut().zip(from.held_back.iter().zip(&to.held_back));
    for (day, (from, to)) in days.chain(held_back).filter(|(_, (from, _))| **from > 0.0) {
        *day *= to / from;
    }
}

impl Reader {
    /// Forecasts costs; the rows are the largest of the history. Idle time is with what causes it. It computes for a while: not on a
    /// thread that serves requests.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, its answer would be too large or the store fails.
    pub async fn cost_forecast(
        &self,
        reading: &Reading,
        asked: &CostQuestion,
        filter: &CostFilter,
        horizon_days: usize,
    ) -> Result<CostForecast, BreakdownError> {
        let wrong = |field, message| Err(BreakdownError::Question { field, message });
        if !(1..=HORIZON_DAYS_MAX).contains(&horizon_days) {
            return wrong("horizonDays", format!("horizonDays is 1 to {HORIZON_DAYS_MAX}"));
        }
        if asked.limit > FORECAST_ROWS_MAX {
            return wrong("limit", format!("a forecast has at most {FORECAST_ROWS_MAX} rows"));
        }
        let series = self.cost_series(reading, asked, filter, Step::Day).await.map_err(|error| match error {
            BreakdownError::Question { field: "window", message } => BreakdownError::Question { field: "history", message },
            error => error,
        })?;
        let totals = |sums: &[CostSums]| -> Vec<i128> { sums.iter().map(CostSums::total).collect() };
        let (keys, rows): (Vec<RowKey>, Vec<Vec<i128>>) = series.rows.iter().map(|(key, sums)| (key.clone(), totals(sums))).unzip();
        let total = totals(&series.total);
        let days = Days::new(&series.tiles, &total, series.as_of, horizon_days);
        let (courses, total) = courses(&days, &rows, &total);
        Ok(CostForecast { as_of: series.as_of, rows: keys.into_iter().zip(courses).collect(), total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant(100 * DAY_US);

    fn history(first_us: i64, end_us: i64) -> Vec<Window> {
        Window::of(first_us, end_us).tiles(Step::Day)
    }

    fn forecast(tiles: &[Window], rows: &[Vec<i128>], as_of: Instant, horizon_days: usize) -> (Vec<Course>, Course) {
        let total: Vec<i128> = (0..tiles.len()).map(|tile| rows.iter().map(|row| row[tile]).sum()).collect();
        courses(&Days::new(tiles, &total, as_of, horizon_days), rows, &total)
    }

    fn expected(course: &Course) -> Vec<i128> {
        course.points.iter().map(|point| point.expected).collect()
    }

    #[test]
    fn points_tile_the_days_behind_the_history() {
        let tiles = history(70 * DAY_US, 100 * DAY_US);
        let (rows, total) = forecast(&tiles, &[vec![7; 30], vec![0; 30]], NOW, 3);
        let windows: Vec<Window> = rows[0].points.iter().map(|point| point.window).collect();
        assert_eq!(windows, Window::of(100 * DAY_US, 103 * DAY_US).tiles(Step::Day));
        assert_eq!((expected(&rows[0]), expected(&rows[1])), (vec![7; 3], vec![0; 3]));
        assert_eq!((total.expected_total(), rows[0].backtest_mase, rows[0].points[0].band), (21, Some(1.0), Some((7, 7))));
    }

    #[test]
    fn a_day_that_goes_on_drags_nothing() {
        let tiles = history(70 * DAY_US, 101 * DAY_US);
        let mut amounts = vec![100; 31];
        amounts[30] = 3;
        let (rows, _) = forecast(&tiles, &[amounts.clone()], Instant(100 * DAY_US + HOUR_US), 2);
        assert_eq!(expected(&rows[0]), [100, 100]);
        assert_eq!((rows[0].points[0].window.start, rows[0].history.len()), (Instant(101 * DAY_US), 31));
        // The same with a history that ends in the middle of a day: a point lies in two days.
        let tiles = history(70 * DAY_US, 100 * DAY_US + 6 * HOUR_US);
        let (rows, _) = forecast(&tiles, &[amounts], Instant(100 * DAY_US + 6 * HOUR_US), 2);
        assert_eq!(expected(&rows[0]), [100, 100]);
        assert_eq!(rows[0].points[1].window, Window::of(101 * DAY_US + 6 * HOUR_US, 102 * DAY_US + 6 * HOUR_US));
    }

    #[test]
    fn points_between_days_take_of_each_what_they_cover() {
        let tiles = history(0, 14 * DAY_US + 6 * HOUR_US);
        let week = [240, 0, 0, 0, 0, 0, 0];
        let amounts: Vec<i128> = (0..14).map(|day| week[day % 7]).chain([0]).collect();
        let (rows, _) = forecast(&tiles, &[amounts], NOW, 7);
        assert_eq!(rows[0].method, Method::SeasonalNaive);
        assert_eq!(expected(&rows[0]), [180, 0, 0, 0, 0, 0, 60]);
    }

    #[test]
    fn one_day_or_a_part_of_one_is_a_mean() {
        let (rows, total) = forecast(&history(99 * DAY_US, 100 * DAY_US), &[vec![9]], NOW, 2);
        assert_eq!((expected(&rows[0]), rows[0].backtest_mase, rows[0].points[0].band), (vec![9, 9], None, None));
        assert_eq!(total.backtest_mase, None);
        let (rows, _) = forecast(&history(100 * DAY_US - 6 * HOUR_US, 100 * DAY_US), &[vec![6]], NOW, 2);
        assert_eq!(expected(&rows[0]), [24, 24]);
        let (rows, total) = forecast(&history(100 * DAY_US, 101 * DAY_US), &[], NOW, 2);
        assert_eq!((rows.len(), expected(&total)), (0, vec![0, 0]));
    }

    #[test]
    fn silence_before_the_first_cost_is_no_history() {
        let tiles = history(0, 60 * DAY_US);
        let amounts: Vec<i128> = (0..60).map(|day| if day < 30 { 0 } else { 50 }).collect();
        let (rows, _) = forecast(&tiles, &[amounts], NOW, 2);
        assert_eq!((rows[0].method, expected(&rows[0])), (Method::Mean, vec![50, 50]));
    }

    #[test]
    fn silent_days_before_a_part_of_one_are_no_history() {
        let tiles = history(97 * DAY_US, 101 * DAY_US);
        let (rows, _) = forecast(&tiles, &[vec![0, 0, 0, 6]], Instant(100 * DAY_US + 6 * HOUR_US), 2);
        assert_eq!((rows[0].method, expected(&rows[0])), (Method::Mean, vec![24, 24]));
    }

    #[test]
    fn what_limit_cut_is_in_the_total() {
        let tiles = history(70 * DAY_US, 100 * DAY_US);
        let days = Days::new(&tiles, &[10; 30], NOW, 4);
        let (rows, total) = courses(&days, &[vec![7; 30]], &[10; 30]);
        assert_eq!((rows[0].expected_total(), total.expected_total(), total.method), (28, 40, Method::SumOfRows));
    }

    #[test]
    fn what_repeats_in_everything_is_not_lost_in_the_noise_of_rows() {
        let tiles = history(70 * DAY_US, 98 * DAY_US);
        let noise = |day: i128, row: i128| (day * 7_919 + row * 104_729) % 97 * 20;
        let row =
            |row: i128| (0..28).map(|day| if day % 7 < 5 { 1_000 } else { 300 } + noise(day, row) - noise(day, (row + 1) % 8)).collect();
        let rows: Vec<Vec<i128>> = (0..8).map(row).collect();
        let (courses, total) = forecast(&tiles, &rows, NOW, 7);
        assert_eq!((total.backtest_mase, total.method), (Some(1.0), Method::SeasonalNaive));
        assert!(expected(&total)[5] < expected(&total)[2] / 2, "{:?}", expected(&total));
        assert!(courses.iter().all(|course| course.is_scaled) && !total.is_scaled);
        assert_eq!(courses.iter().map(Course::expected_total).sum::<i128>(), total.expected_total());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn bands_are_ordered_and_sums_are_exact(
            rows in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0_i128), 0..9_000_000_000_000_000_i128, Just(1 << 110)], 40), 0..4),
            (first_hour, hours) in (0_i64..48, 1_i64..900),
            (ahead_hours, horizon_days) in (-30_i64..30, 1_usize..20),
        ) {
            let tiles = history(first_hour * HOUR_US, (first_hour + hours) * HOUR_US);
            let rows: Vec<Vec<i128>> = rows.into_iter().map(|row| row[..tiles.len()].to_vec()).collect();
            let as_of = Instant((first_hour + hours + ahead_hours) * HOUR_US);
            let (courses, total) = forecast(&tiles, &rows, as_of, horizon_days);
            for course in courses.iter().chain([&total]) {
                prop_assert_eq!(course.points.len(), horizon_days);
                prop_assert_eq!(course.points[0].window.start, tiles.last().unwrap().end);
                prop_assert!(course.points.windows(2).all(|pair| pair[0].window.end == pair[1].window.start));
                for point in &course.points {
                    prop_assert!(point.expected >= 0);
                    prop_assert!(point.band.is_none_or(|(low, high)| 0 <= low && low <= point.expected && point.expected <= high));
                }
            }
            for place in 0..horizon_days {
                prop_assert_eq!(courses.iter().map(|course| course.points[place].expected).sum::<i128>(), total.points[place].expected);
            }
            prop_assert_eq!(courses.iter().map(Course::expected_total).sum::<i128>(), total.expected_total());
        }
    }
}
