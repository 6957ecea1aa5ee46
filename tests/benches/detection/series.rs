//! Labelled series, made from a seed: ordinary courses of several kinds, and what is out of the ordinary in them.
//!
//! Invariants: the same seed makes the same series; the first days have no anomaly, so that there is something to learn from; what a
//! window labels is large against the noise around it, but not against the whole series. Must not know: how it is judged.

use std::ops::Range;

use plimsoll_domain::demo::random::Random;
use plimsoll_domain::watch::detector::Bounds;

/// Five minutes.
pub const STEP_SECONDS: f64 = 300.0;
/// Values of a day.
pub const DAY: usize = 288;
/// Values of a series: three weeks.
pub const LENGTH: usize = 21 * DAY;
/// From here on there may be anomalies.
const FIRST_ANOMALY: usize = 4 * DAY;
/// Values of an hour.
const HOUR: usize = 12;

/// How an ordinary series goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// A load around a level, normal noise.
    SteadyLoad,
    /// A level with heavy tails (Student's t with 3 degrees of freedom).
    HeavyTails,
    /// Requests by day and week, noise as of counting.
    Traffic,
    /// The same with a peak at a time that varies.
    DailyPeak,
    /// A p95 latency: log-normal, a little higher by day.
    Latency,
    /// A value that wanders.
    Wander,
    /// Memory that grows and is freed.
    Sawtooth,
    /// A load that rises over weeks.
    Trend,
    /// Failures among few requests.
    QuietRatio,
    /// Almost constant.
    Constant,
    /// A GPU between jobs: on and off.
    OnOff,
    /// A cron job's spike at about the same time each day.
    Cron,
}

impl Course {
    /// All.
    pub const ALL: [Self; 12] = [
        Self::SteadyLoad,
        Self::HeavyTails,
        Self::Traffic,
        Self::DailyPeak,
        Self::Latency,
        Self::Wander,
        Self::Sawtooth,
        Self::Trend,
        Self::QuietRatio,
        Self::Constant,
        Self::OnOff,
        Self::Cron,
    ];

    /// What is known of its values.
    pub const fn bounds(self) -> Bounds {
        match self {
            Self::SteadyLoad | Self::QuietRatio | Self::OnOff => Bounds::RATIO,
            Self::HeavyTails | Self::Wander => Bounds::NONE,
            _ => Bounds::POSITIVE,
        }
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
    /// Nothing: a clean series.
    Clean,
}

impl Kind {
    /// All that can be found.
    pub const ANOMALIES: [Self; 6] = [Self::SpikeUp, Self::SpikeDown, Self::LevelShift, Self::Drift, Self::Zero, Self::Burst];

    /// In which courses it would strike a person who looks at the chart.
    pub fn fits(self, course: Course) -> bool {
        use Course::*;
        match self {
            Self::SpikeUp => !matches!(course, OnOff),
            Self::SpikeDown => matches!(course, SteadyLoad | HeavyTails | Traffic | DailyPeak | Wander | Trend | Constant | Cron),
            Self::LevelShift => matches!(course, SteadyLoad | HeavyTails | Traffic | DailyPeak | Latency | Trend | QuietRatio | Constant),
            Self::Drift => matches!(course, SteadyLoad | HeavyTails | Traffic | Latency | Constant),
            Self::Zero => matches!(course, SteadyLoad | Traffic | DailyPeak | Latency | Trend | Constant | Cron),
            Self::Burst => matches!(course, SteadyLoad | Traffic | Latency | Wander | Trend),
            Self::Clean => true,
        }
    }
}

/// A series and what is out of the ordinary in it.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its course.
    pub course: Course,
    /// The kind of its anomalies.
    pub kind: Kind,
    /// Five minutes apart, oldest first.
    pub values: Vec<Option<f64>>,
    /// Where it is out of the ordinary, in order.
    pub windows: Vec<Range<usize>>,
}

/// The series of a seed, of each course with each kind that fits.
pub fn of_seed(seed: u64) -> Vec<Series> {
    let kinds = || Kind::ANOMALIES.into_iter().chain([Kind::Clean]);
    Course::ALL
        .into_iter()
        .flat_map(|course| kinds().filter(move |kind| kind.fits(course)).map(move |kind| (course, kind)))
        .map(|(course, kind)| make(course, kind, &mut Random::topic(seed, course as u64 * 16 + kind as u64)))
        .collect()
}

fn make(course: Course, kind: Kind, random: &mut Random) -> Series {
    let (mut values, noise) = ordinary(course, random);
    let windows = if kind == Kind::Clean { Vec::new() } else { disturb(&mut values, &noise, kind, random) };
    let bounds = course.bounds();
    let mut values: Vec<Option<f64>> = values.into_iter().map(|value| Some(value.clamp(bounds.lowest, bounds.highest))).collect();
    if random.chance(0.5) {
        lose(&mut values, &windows, random);
    }
    Series { course, kind, values, windows }
}

/// Single values and a stretch of some hours are missing, but no anomaly.
fn lose(values: &mut [Option<f64>], windows: &[Range<usize>], random: &mut Random) {
    let stretch = {
        let start = DAY + random.below(LENGTH - 2 * DAY);
        start..start + HOUR * (2 + random.below(8))
    };
    let near = |at: usize| windows.iter().any(|window| window.start <= at + HOUR && at < window.end + HOUR);
    for (at, value) in values.iter_mut().enumerate() {
        if (stretch.contains(&at) || random.chance(0.01)) && !near(at) {
            *value = None;
        }
    }
}

/// Student's t with 3 degrees of freedom.
fn heavy(random: &mut Random) -> f64 {
    let squares: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
    random.normal() / (squares / 3.0).sqrt()
}

/// How busy people are at this place, 0 to 1: more by day, less at the weekend.
fn busy(at: usize, phase: f64, weekend: f64) -> f64 {
    let day = at as f64 / DAY as f64 + phase;
    let by_day = 0.5 - 0.5 * (std::f64::consts::TAU * day).cos();
    let is_weekend = (day as usize) % 7 >= 5;
    by_day.powf(1.3) * if is_weekend { weekend } else { 1.0 }
}

/// An ordinary series, and how large its noise is at each place.
fn ordinary(course: Course, random: &mut Random) -> (Vec<f64>, Vec<f64>) {
    let level = random.log_normal(100.0, 1.0);
    let (phase, weekend) = (random.unit() * 7.0, random.between(0.4, 1.0));
    let relative = random.between(0.02, 0.08);
    let mut state = State { level, value: 0.0, left: 0, is_on: false, shift: 0 };
    (0..LENGTH)
        .map(|at| match course {
            Course::SteadyLoad => (0.45 + 0.45 * relative * random.normal(), 0.45 * relative),
            Course::HeavyTails => (level * (1.0 + 0.5 * relative * heavy(random)), level * relative),
            Course::Traffic => {
                let mean = level * (0.4 + 2.0 * busy(at, phase, weekend));
                (mean + 1.5 * mean.sqrt() * random.normal(), 1.5 * mean.sqrt())
            }
            Course::DailyPeak => state.daily_peak(at, relative, random),
            Course::Latency => {
                let median = level * (1.0 + 0.3 * busy(at, phase, weekend));
                (random.log_normal(median, 2.0 * relative), median * 2.0 * relative)
            }
            Course::Wander => {
                state.value = 0.995 * state.value + relative * level * 0.2 * random.normal();
                (level + state.value + 0.1 * relative * level * random.normal(), 0.4 * relative * level)
            }
            Course::Sawtooth => state.sawtooth(relative, random),
            Course::Trend => {
                let mean = level * (1.0 + 0.5 * at as f64 / LENGTH as f64);
                (mean * (1.0 + relative * random.normal()), mean * relative)
            }
            Course::QuietRatio => {
                let requests = 40;
                let failed = (0..requests).filter(|_| random.chance(0.003)).count();
                (failed as f64 / requests as f64, 0.03)
            }
            Course::Constant => {
                let tiny = if random.chance(0.01) { 0.005 * random.normal() } else { 0.0 };
                (level * (1.0 + tiny), level * 0.01)
            }
            Course::OnOff => state.on_off(random),
            Course::Cron => {
                if at % DAY == 0 {
                    state.shift = random.below(3);
                }
                let is_running = at % DAY == 60 + state.shift;
                (level * if is_running { 3.0 } else { 1.0 } * (1.0 + relative * random.normal()), level * relative)
            }
        })
        .unzip()
}

/// What courses carry on from value to value.
struct State {
    level: f64,
    value: f64,
    left: usize,
    is_on: bool,
    shift: usize,
}

impl State {
    fn daily_peak(&mut self, at: usize, relative: f64, random: &mut Random) -> (f64, f64) {
        if at % DAY == 0 {
            self.shift = random.below(7);
        }
        let from_peak = (at % DAY) as f64 - 140.0 - self.shift as f64;
        let mean = self.level * (1.0 + 1.5 * (-(from_peak / 15.0).powi(2)).exp());
        (mean * (1.0 + relative * random.normal()), mean * relative)
    }

    fn sawtooth(&mut self, relative: f64, random: &mut Random) -> (f64, f64) {
        if self.left == 0 {
            (self.left, self.value) = (60 + random.below(60), 0.0);
        }
        self.left -= 1;
        self.value += self.level * 0.005;
        (self.level + self.value + self.level * relative * 0.3 * random.normal(), self.level * relative)
    }

    fn on_off(&mut self, random: &mut Random) -> (f64, f64) {
        if self.left == 0 {
            self.is_on = !self.is_on;
            self.left = 3 + random.below(if self.is_on { 60 } else { 40 });
        }
        self.left -= 1;
        let value = if self.is_on { 0.92 + 0.03 * random.normal() } else { 0.01 * random.unit() };
        (value, 0.03)
    }
}

/// Puts two to four anomalies of a kind into a series, far from each other.
fn disturb(values: &mut [f64], noise: &[f64], kind: Kind, random: &mut Random) -> Vec<Range<usize>> {
    let count = 2 + random.below(3);
    let room = (LENGTH - FIRST_ANOMALY) / count;
    (0..count)
        .map(|number| {
            let start = FIRST_ANOMALY + number * room + random.below(room - DAY);
            let length = match kind {
                Kind::SpikeUp | Kind::SpikeDown => 1 + random.below(3),
                Kind::LevelShift => HOUR * (3 + random.below(10)),
                Kind::Drift => HOUR * (6 + random.below(7)),
                Kind::Zero => HOUR * (1 + random.below(5)),
                Kind::Burst | Kind::Clean => HOUR * (1 + random.below(2)),
            };
            let window = start..start + length;
            let size = random.between(8.0, 16.0) * noise[start];
            let sign = if random.chance(0.7) { 1.0 } else { -1.0 };
            for at in window.clone() {
                let way = (at - start + 1) as f64 / length as f64;
                values[at] = match kind {
                    Kind::SpikeUp => values[at] + size,
                    Kind::SpikeDown => values[at] - size,
                    Kind::LevelShift => values[at] + sign * 0.7 * size,
                    Kind::Drift => values[at] + size * way,
                    Kind::Zero => 0.0,
                    Kind::Burst => values[at] + 8.0 * noise[at] * random.normal(),
                    Kind::Clean => values[at],
                };
            }
            window
        })
        .collect()
}
