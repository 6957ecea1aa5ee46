//! Labelled series, made from a seed: an ordinary course ([`super::courses`]), and what is out of the ordinary in it.
//!
//! Invariants: the same seed makes the same series; the first days have no anomaly, so that there is something to learn from; what a
//! window labels is large against the noise around it, but not against the whole series. Must not know: how it is judged.

use std::ops::Range;

use plimsoll_domain::demo::random::Random;

use super::courses::{Course, ordinary};

/// From this day on there may be anomalies.
const FIRST_DAY: usize = 4;
/// From this day on, those that only a season can tell.
const FIRST_SHAPE_DAY: usize = 10;
/// Places that are looked at for one where an odd shape strikes.
const PLACES_TRIED: usize = 50;

/// The steps of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Values of a day.
    pub day: usize,
    /// Values of a series.
    pub length: usize,
    /// A window may be as short as one value; a flag within so many values of its start finds it, too.
    pub grace: usize,
}

impl Grid {
    /// Three weeks of 5 minutes, an hour of grace.
    pub const FIVE_MINUTES: Self = Self { day: 288, length: 21 * 288, grace: 12 };
    /// Six weeks of hours, three of grace.
    pub const HOURLY: Self = Self { day: 24, length: 42 * 24, grace: 3 };

    /// Length of a step in seconds.
    pub fn step_seconds(self) -> f64 {
        86_400.0 / self.day as f64
    }

    /// Values of so many hours.
    pub const fn hours(self, hours: usize) -> usize {
        hours * self.day / 24
    }
}

/// What is out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One to three values far too high.
    SpikeUp,
    /// One to three values far too low.
    SpikeDown,
    /// Another level for hours.
    LevelShift,
    /// A slow way off, for hours.
    Drift,
    /// Nothing comes any more.
    Zero,
    /// Noise that is many times larger.
    Burst,
    /// Hours that look like those of half a day before.
    Shape,
    /// Nothing: a clean series.
    Clean,
}

impl Kind {
    /// All that can be found.
    pub const ANOMALIES: [Self; 7] = [Self::SpikeUp, Self::SpikeDown, Self::LevelShift, Self::Drift, Self::Zero, Self::Burst, Self::Shape];

    /// In which courses it would strike a person who looks at the chart.
    pub fn fits(self, course: Course) -> bool {
        use Course::*;
        match self {
            Self::SpikeUp => !matches!(course, OnOff),
            Self::SpikeDown => {
                matches!(course, SteadyLoad | HeavyTails | Traffic | DailyPeak | Wander | Trend | Constant | Cron | Temperature | Restless)
            }
            Self::LevelShift => !matches!(course, Wander | Sawtooth | OnOff | Cron),
            Self::Drift => matches!(course, SteadyLoad | HeavyTails | Traffic | Latency | Constant | Temperature | Restless),
            Self::Zero => matches!(course, SteadyLoad | Traffic | DailyPeak | Latency | Trend | Constant | Cron | Temperature | Restless),
            Self::Burst => matches!(course, SteadyLoad | Traffic | Latency | Wander | Trend | Temperature),
            Self::Shape => matches!(course, Traffic | DailyPeak | Temperature),
            Self::Clean => true,
        }
    }
}

/// A series and what is out of the ordinary in it.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its steps.
    pub grid: Grid,
    /// Its course.
    pub course: Course,
    /// The kind of its anomalies.
    pub kind: Kind,
    /// Oldest first.
    pub values: Vec<Option<f64>>,
    /// Where it is out of the ordinary, in order.
    pub windows: Vec<Range<usize>>,
}

/// The series of a seed, of each course with each kind that fits: of odd seeds hourly, else of 5 minutes.
pub fn of_seed(seed: u64) -> Vec<Series> {
    let grid = if seed.is_multiple_of(2) { Grid::FIVE_MINUTES } else { Grid::HOURLY };
    let kinds = || Kind::ANOMALIES.into_iter().chain([Kind::Clean]);
    Course::ALL
        .into_iter()
        .flat_map(|course| kinds().filter(move |kind| kind.fits(course)).map(move |kind| (course, kind)))
        .map(|(course, kind)| make(grid, course, kind, &mut Random::topic(seed, course as u64 * 16 + kind as u64)))
        .collect()
}

fn make(grid: Grid, course: Course, kind: Kind, random: &mut Random) -> Series {
    let (mut values, noise) = ordinary(course, grid, random);
    let windows = if kind == Kind::Clean { Vec::new() } else { disturb(&mut values, &noise, grid, kind, random) };
    let bounds = course.bounds();
    let mut values: Vec<Option<f64>> = values.into_iter().map(|value| Some(value.clamp(bounds.lowest, bounds.highest))).collect();
    if random.chance(0.5) {
        lose(&mut values, &windows, grid, random);
    }
    Series { grid, course, kind, values, windows }
}

/// Single values and a stretch of some hours are missing, but no anomaly.
fn lose(values: &mut [Option<f64>], windows: &[Range<usize>], grid: Grid, random: &mut Random) {
    let stretch = {
        let start = grid.day + random.below(grid.length - 2 * grid.day);
        start..start + grid.hours(2 + random.below(8))
    };
    let near = |at: usize| windows.iter().any(|window| window.start <= at + grid.hours(1) && at < window.end + grid.hours(1));
    for (at, value) in values.iter_mut().enumerate() {
        if (stretch.contains(&at) || random.chance(0.01)) && !near(at) {
            *value = None;
        }
    }
}

/// Puts two to four anomalies of a kind into a series, far from each other.
fn disturb(values: &mut [f64], noise: &[f64], grid: Grid, kind: Kind, random: &mut Random) -> Vec<Range<usize>> {
    let count = 2 + random.below(3);
    let first = grid.day * if kind == Kind::Shape { FIRST_SHAPE_DAY } else { FIRST_DAY };
    let room = (grid.length - first) / count;
    let ordinary = values.to_vec();
    (0..count)
        .filter_map(|number| {
            let length = match kind {
                Kind::SpikeUp | Kind::SpikeDown => 1 + random.below(3),
                Kind::LevelShift => grid.hours(3 + random.below(10)),
                Kind::Drift => grid.hours(6 + random.below(7)),
                Kind::Zero => grid.hours(1 + random.below(5)),
                Kind::Shape => grid.hours(6 + random.below(5)),
                Kind::Burst | Kind::Clean => grid.hours(1 + random.below(2)).max(6),
            };
            let size = random.between(8.0, 16.0);
            let falls = random.chance(0.3);
            let mut strikes = |_| {
                let start = first + number * room + random.below(room - grid.day);
                let window = start..start + length;
                let is_seen = |at: usize| (ordinary[at - grid.day / 2] - ordinary[at]).abs() > 8.0 * noise[at];
                // What is cut off at 0 must have been well above.
                let is_high = ordinary[start] > 8.0 * noise[start];
                let strikes = match kind {
                    Kind::Shape => window.clone().filter(|at| is_seen(*at)).count() * 2 > length,
                    Kind::SpikeDown => is_high,
                    _ => true,
                };
                strikes.then_some(window)
            };
            let window = (0..PLACES_TRIED).find_map(&mut strikes)?;
            let size = size * noise[window.start];
            let sign = if falls && ordinary[window.start] > 0.7 * size { -1.0 } else { 1.0 };
            for at in window.clone() {
                let way = (at - window.start + 1) as f64 / length as f64;
                values[at] = match kind {
                    Kind::SpikeUp => values[at] + size,
                    Kind::SpikeDown => values[at] - size,
                    Kind::LevelShift => values[at] + sign * 0.7 * size,
                    Kind::Drift => values[at] + size * way,
                    Kind::Zero => 0.0,
                    Kind::Burst => values[at] + 8.0 * noise[at] * random.normal(),
                    Kind::Shape => ordinary[at - grid.day / 2],
                    Kind::Clean => values[at],
                };
            }
            Some(window)
        })
        .collect()
}
