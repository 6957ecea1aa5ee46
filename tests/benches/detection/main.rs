//! How well anomalies are found: precision and recall on labelled series that are made here, beside two plain rules.
//!
//! `cargo bench -p plimsoll-tests --bench detection`. The seeds are held out: the detector was tuned on others
//! (`PLIMSOLL_BENCH_SEEDS=tuning`). A window is found when a value in it, or within a grace after its start, is flagged; flags side by
//! side that touch no window are one false alarm. Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod rules;
mod series;

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::time::{Duration, Instant};

use plimsoll_domain::watch::detector::judge_each;
use series::{Course, DAY, Kind, STEP_SECONDS, Series};

/// Seeds that nobody tuned on.
const HELD_OUT: Range<u64> = 9_000..9_012;
/// Seeds to tune on.
const TUNING: Range<u64> = 0..6;
/// A window may be as short as one value; a flag within an hour of its start finds it, too.
const GRACE: usize = 12;
/// Flags with less than this between them are one alarm.
const ALARM_GAP: usize = 2;

/// What became of windows and flags.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    found: usize,
    missed: usize,
    false_alarms: usize,
    weeks: f64,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.missed += other.missed;
        self.false_alarms += other.false_alarms;
        self.weeks += other.weeks;
    }
}

impl Score {
    fn of(series: &Series, flags: &[bool]) -> Self {
        let windows: Vec<Range<usize>> = series.windows.iter().map(|window| window.start..window.end.max(window.start + GRACE)).collect();
        let found = windows.iter().filter(|window| flags[(*window).clone()].contains(&true)).count();
        let mut alarms: Vec<Range<usize>> = Vec::new();
        for at in flags.iter().enumerate().filter_map(|(at, is_flagged)| is_flagged.then_some(at)) {
            match alarms.last_mut() {
                Some(last) if at < last.end + ALARM_GAP => last.end = at + 1,
                _ => alarms.push(at..at + 1),
            }
        }
        let touches = |alarm: &&Range<usize>| windows.iter().any(|window| alarm.start < window.end && window.start < alarm.end);
        let touching = alarms.iter().filter(touches).count();
        let weeks = flags.len() as f64 / (7 * DAY) as f64;
        Self { found, missed: windows.len() - found, false_alarms: alarms.len() - touching, weeks }
    }

    fn precision(&self) -> f64 {
        self.found as f64 / ((self.found + self.false_alarms) as f64).max(1.0)
    }

    fn recall(&self) -> f64 {
        self.found as f64 / ((self.found + self.missed) as f64).max(1.0)
    }

    fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    }
}

type Rule = (&'static str, fn(&Series) -> Vec<bool>);

const RULES: [Rule; 3] = [
    ("detector", |series| {
        let judged = judge_each(&series.values, STEP_SECONDS, series.course.bounds());
        judged.into_iter().map(|judgement| judgement.is_some_and(|judgement| judgement.is_anomalous)).collect()
    }),
    ("3 sigma", |series| rules::three_sigma(&series.values)),
    ("3.5 median deviations", |series| rules::median_deviations(&series.values)),
];

fn main() {
    let is_tuning = std::env::var("PLIMSOLL_BENCH_SEEDS").is_ok_and(|seeds| seeds == "tuning");
    let seeds = if is_tuning { TUNING } else { HELD_OUT };
    let all: Vec<Series> = seeds.clone().flat_map(series::of_seed).collect();
    println!(
        "detection, seeds {seeds:?} ({}), {} series of {} values",
        if is_tuning { "tuning" } else { "held out" },
        all.len(),
        series::LENGTH
    );
    for (name, rule) in RULES {
        let begun = Instant::now();
        let flags: Vec<Vec<bool>> = all.iter().map(rule).collect();
        report(name, &all, &flags, begun.elapsed());
    }
}

fn report(name: &str, all: &[Series], flags: &[Vec<bool>], took: Duration) {
    let (mut by_kind, mut by_course) = (BTreeMap::<Kind, Score>::new(), BTreeMap::<Course, Score>::new());
    let mut disturbed = Score::default();
    for (series, flags) in all.iter().zip(flags) {
        let score = Score::of(series, flags);
        *by_kind.entry(series.kind).or_default() += score;
        *by_course.entry(series.course).or_default() += score;
        if series.kind != Kind::Clean {
            disturbed += score;
        }
    }
    let per_value_us = took.as_secs_f64() * 1e6 / (all.len() * series::LENGTH) as f64;
    println!(
        "{name}: precision {:.3}, recall {:.3}, F1 {:.3} ({per_value_us:.1} us a value)",
        disturbed.precision(),
        disturbed.recall(),
        disturbed.f1()
    );
    for (kind, score) in by_kind {
        match kind {
            Kind::Clean => println!("  clean series: {:.2} false alarms a week", score.false_alarms as f64 / score.weeks),
            _ => println!(
                "  {kind:?}: precision {:.3}, recall {:.3} ({} of {}), F1 {:.3}",
                score.precision(),
                score.recall(),
                score.found,
                score.found + score.missed,
                score.f1()
            ),
        }
    }
    for (course, score) in by_course {
        let weekly = score.false_alarms as f64 / score.weeks;
        println!("  in {course:?}: {weekly:.2} false alarms a week, recall {:.3} of {}", score.recall(), score.found + score.missed);
    }
}
