//! How well anomalies are found: precision and recall on labelled series that are made here, beside two plain rules.
//!
//! `cargo bench -p plimsoll-tests --bench detection`. The seeds are held out: the detector was tuned on others
//! (`PLIMSOLL_BENCH_SEEDS=tuning`). A window is found when a value in it, or within a grace after its start, is flagged; flags side by
//! side that touch no window are one false alarm. Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod courses;
mod rules;
mod series;

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::time::{Duration, Instant};

use plimsoll_domain::watch::detector::judge_each;
use series::{Grid, Kind, Series};

/// Seeds that nobody tuned on; odd ones are hourly.
const HELD_OUT: Range<u64> = 9_000..9_012;
/// Seeds to tune on.
const TUNING: Range<u64> = 0..8;
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
        let graced = |window: &Range<usize>| window.start..window.end.max(window.start + series.grid.grace);
        let windows: Vec<Range<usize>> = series.windows.iter().map(graced).collect();
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
        let weeks = flags.len() as f64 / (7 * series.grid.day) as f64;
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

    fn weekly(&self) -> f64 {
        self.false_alarms as f64 / self.weeks
    }
}

type Rule = (&'static str, fn(&Series) -> Vec<bool>);

const RULES: [Rule; 3] = [
    ("detector", |series| {
        let judged = judge_each(&series.values, series.grid.step_seconds(), series.course.bounds());
        judged.into_iter().map(|judgement| judgement.is_some_and(|judgement| judgement.is_anomalous)).collect()
    }),
    ("3 sigma", rules::three_sigma),
    ("3.5 MAD", rules::median_deviations),
];

/// What the rules made of some of the series, and how long it took them.
#[derive(Clone, Copy, Debug, Default)]
struct Compared([Score; RULES.len()]);

impl Compared {
    fn add(&mut self, scores: &[Score; RULES.len()]) {
        for (sum, score) in self.0.iter_mut().zip(scores) {
            *sum += *score;
        }
    }

    fn print(&self, of: &str) {
        let [score, ..] = &self.0;
        let each = |say: fn(&Score) -> String| self.0.iter().map(|score| format!("{:>15}", say(score))).collect::<String>();
        match score.found + score.missed {
            0 => println!("{of:<34}{:>5}{}", "", each(|score| format!("{:.2} a week", score.weekly()))),
            windows => println!(
                "{of:<34}{windows:>5}{}",
                each(|score| format!("{:.2}/{:.2}/{:.2}", score.precision(), score.recall(), score.f1()))
            ),
        }
    }
}

fn main() {
    let is_tuning = std::env::var("PLIMSOLL_BENCH_SEEDS").is_ok_and(|seeds| seeds == "tuning");
    let seeds = if is_tuning { TUNING } else { HELD_OUT };
    let all: Vec<Series> = seeds.clone().flat_map(series::of_seed).collect();
    let values = all.iter().map(|series| series.values.len()).sum::<usize>();
    println!("detection, seeds {seeds:?} ({}): {} series, {values} values", if is_tuning { "tuning" } else { "held out" }, all.len());
    let mut took = [Duration::ZERO; RULES.len()];
    let (mut in_all, mut groups) = (Compared::default(), BTreeMap::<(&str, String), Compared>::new());
    for series in &all {
        let mut rules = RULES.iter().zip(&mut took);
        let scores = std::array::from_fn(|_| {
            let ((_, rule), took) = rules.next().expect("as many scores as rules");
            let begun = Instant::now();
            let flags = rule(series);
            *took += begun.elapsed();
            Score::of(series, &flags)
        });
        for (title, of) in titles(series, is_tuning) {
            groups.entry((title, of)).or_default().add(&scores);
        }
        if series.kind != Kind::Clean {
            in_all.add(&scores);
        }
    }
    println!("precision/recall/F1, or false alarms a week{:>1}{}", "", RULES.map(|(name, _)| format!("{name:>15}")).concat());
    in_all.print("in all");
    for ((title, of), compared) in groups {
        compared.print(&format!("{title} {of}"));
    }
    let [detector, plain, _] = took.map(|took| took.as_secs_f64());
    println!("time of a value: {:.1} of that of {}", detector / plain, RULES[1].0);
}

/// The groups in which a series counts.
fn titles(series: &Series, is_tuning: bool) -> Vec<(&'static str, String)> {
    let (course, kind) = (format!("{:?}", series.course), format!("{:?}", series.kind));
    if series.kind == Kind::Clean {
        return vec![("by kind", kind), ("clean", course)];
    }
    let step = if series.grid == Grid::HOURLY { "an hour" } else { "5 minutes" };
    let each = is_tuning.then(|| ("each", format!("{course} {kind}")));
    [("by kind", kind), ("by step", step.to_owned()), ("with", course)].into_iter().chain(each).collect()
}
