//! Ordinary courses: what a series does when nothing is wrong with it.
//!
//! Invariant: the same random stream makes the same course. Must not know: anomalies.

use std::f64::consts::TAU;

use plimsoll_domain::demo::random::Random;
use plimsoll_domain::watch::detector::Bounds;

use super::series::Grid;

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
    /// A temperature: slow, a little higher by day, told in tenths of a degree.
    Temperature,
    /// A level whose noise comes in calm and restless hours.
    Restless,
    /// A few requests at a time, more by day.
    FewCounts,
}

impl Course {
    /// All.
    pub const ALL: [Self; 15] = [
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
        Self::Temperature,
        Self::Restless,
        Self::FewCounts,
    ];

    /// What is known of its values.
    pub const fn bounds(self) -> Bounds {
        match self {
            Self::SteadyLoad | Self::QuietRatio | Self::OnOff => Bounds::RATIO,
            Self::HeavyTails | Self::Wander | Self::Temperature => Bounds::NONE,
            _ => Bounds::POSITIVE,
        }
    }
}

/// Student's t with 3 degrees of freedom.
fn heavy(random: &mut Random) -> f64 {
    let squares: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
    random.normal() / (squares / 3.0).sqrt()
}

/// How busy people are at this place, 0 to 1: more by day, less at the weekend.
fn busy(at: usize, grid: Grid, phase: f64, weekend: f64) -> f64 {
    let day = at as f64 / grid.day as f64 + phase;
    let by_day = 0.5 - 0.5 * (TAU * day).cos();
    let is_weekend = (day as usize) % 7 >= 5;
    by_day.powf(1.3) * if is_weekend { weekend } else { 1.0 }
}

/// An ordinary series, and how large its noise is at each place.
pub fn ordinary(course: Course, grid: Grid, random: &mut Random) -> (Vec<f64>, Vec<f64>) {
    let level = random.log_normal(100.0, 1.0);
    let (phase, weekend) = (random.unit() * 7.0, random.between(0.4, 1.0));
    let relative = random.between(0.02, 0.08);
    let mut state = State { grid, level, value: 0.0, left: 0, is_on: false, shift: 0 };
    (0..grid.length)
        .map(|at| match course {
            Course::SteadyLoad => (0.45 + 0.45 * relative * random.normal(), 0.45 * relative),
            Course::HeavyTails => (level * (1.0 + 0.5 * relative * heavy(random)), level * relative),
            Course::Traffic => {
                let mean = level * (0.4 + 2.0 * busy(at, grid, phase, weekend));
                (mean + 1.5 * mean.sqrt() * random.normal(), 1.5 * mean.sqrt())
            }
            Course::DailyPeak => state.daily_peak(at, relative, random),
            Course::Latency => {
                let median = level * (1.0 + 0.3 * busy(at, grid, phase, weekend));
                (random.log_normal(median, 2.0 * relative), median * 2.0 * relative)
            }
            Course::Wander => {
                state.value = 0.995 * state.value + relative * level * 0.2 * random.normal();
                (level + state.value + 0.1 * relative * level * random.normal(), 0.4 * relative * level)
            }
            Course::Sawtooth => state.sawtooth(relative, random),
            Course::Trend => {
                let mean = level * (1.0 + 0.5 * at as f64 / grid.length as f64);
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
            Course::Cron => state.cron(at, relative, random),
            Course::Temperature => {
                state.value = 0.98 * state.value + 0.15 * random.normal();
                let mean = 45.0 + 6.0 * busy(at, grid, phase, 1.0) + state.value;
                (((mean + 0.3 * random.normal()) * 10.0).round() / 10.0, 0.8)
            }
            Course::Restless => state.restless(relative, random),
            Course::FewCounts => {
                let mean = 3.0 + 12.0 * busy(at, grid, phase, weekend);
                (random.poisson(mean) as f64, mean.sqrt())
            }
        })
        .unzip()
}

/// What courses carry on from value to value.
struct State {
    grid: Grid,
    level: f64,
    value: f64,
    left: usize,
    is_on: bool,
    shift: usize,
}

impl State {
    fn daily_peak(&mut self, at: usize, relative: f64, random: &mut Random) -> (f64, f64) {
        let day = self.grid.day;
        if at.is_multiple_of(day) {
            self.shift = random.below(day / 40 + 1);
        }
        let from_peak = ((at % day) as f64 - self.shift as f64) / day as f64 - 0.5;
        let mean = self.level * (1.0 + 1.5 * (-(from_peak / 0.05).powi(2)).exp());
        (mean * (1.0 + relative * random.normal()), mean * relative)
    }

    fn cron(&mut self, at: usize, relative: f64, random: &mut Random) -> (f64, f64) {
        let day = self.grid.day;
        if at.is_multiple_of(day) {
            self.shift = random.below(day / 100 + 1);
        }
        let is_running = at % day == day / 5 + self.shift;
        (self.level * if is_running { 3.0 } else { 1.0 } * (1.0 + relative * random.normal()), self.level * relative)
    }

    fn restless(&mut self, relative: f64, random: &mut Random) -> (f64, f64) {
        if self.left == 0 {
            self.is_on = !self.is_on;
            self.left = 1 + random.below(if self.is_on { self.grid.day / 6 } else { self.grid.day / 2 });
        }
        self.left -= 1;
        let noise = relative * if self.is_on { 2.5 } else { 1.0 };
        (self.level * (1.0 + noise * random.normal()), self.level * relative * 2.5)
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
