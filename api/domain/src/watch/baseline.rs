//! What is expected next under one assumption about seasons, and how far from it values have strayed.
//!
//! A value = the season (the middle of what stood at this place of earlier periods) + a level (the middle of what remained lately).
//! Deviations are looked at in three ways: from the level of the last few values (a jump), from that of the last day (a stray), and the
//! middle of the strays of the last hour (a shift). Invariants: a value is judged only by what lies before it; a level that has lasted
//! becomes the level, and the one before it is remembered, so that the way back is no news. Must not know: other seasons.

use std::collections::VecDeque;

use super::extremes::{Extremes, Reach};
use super::robust::{between, median};
use super::sizes::Sizes;

/// Values that make the level of a jump, and the places in which they must lie.
const LATE_VALUES: usize = 5;
const LATE_PLACES: usize = 12;
/// Fewest values that make a level.
const LEVEL_VALUES_MIN: usize = 6;
/// Levels of days over which it is looked where values usually lie, and the part of them at each end that does not count.
const USUAL_LEVELS: usize = 7;
const USUAL_TAIL_RATIO: f64 = 0.05;
/// Where values usually lie is widened by so much.
const USUAL_WIDENING: f64 = 1.1;
/// A shift must be at least this part of what a single value may be off.
const SHIFT_RATIO_MIN: f64 = 0.25;
/// Whoever comes so much nearer to the level of the day is on the way back.
const WAY_BACK_RATIO: f64 = 0.5;
/// The level of the day is worked out again so many times a day.
const LEVELS_PER_DAY: usize = 48;
/// After so many places in a row at the level from before, it is the level again.
const RETURN_PLACES: usize = 6;
/// Earlier days and weeks that a season is read from.
const DAYS_MAX: usize = 14;
const WEEKS_MAX: usize = 4;
/// With fewer earlier days the neighbouring places are read as well.
const DAYS_ALONE: usize = 4;
/// Neighbours on each side that are read of earlier weeks, which are few.
const WEEK_NEIGHBOURS: usize = 2;
/// Fewest values of earlier periods.
const SEASON_VALUES_MIN: usize = 2;
/// Lengths in places of a series, from its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Places of a day, maybe not whole.
    pub day: f64,
    /// Places of a stretch whose largest deviation counts.
    pub stretch: usize,
    /// Places whose middle stray is looked at.
    pub hour: usize,
    /// A shift that has lasted for so many places is the new level.
    pub lasting: usize,
}

impl Scale {
    /// The lengths for a step in seconds.
    pub fn of(step_seconds: f64) -> Self {
        let places = |seconds: f64, least: usize, most: usize| ((seconds / step_seconds).round() as usize).clamp(least, most);
        Self {
            day: 86_400.0 / step_seconds,
            stretch: places(6.0 * 3_600.0, 24, 360),
            hour: places(3_600.0, 6, 12),
            lasting: places(3.0 * 3_600.0, 12, 36),
        }
    }

    /// Places over which the level of the day is taken.
    pub fn level(&self) -> usize {
        (self.day.round() as usize).clamp(24, 1_440)
    }
}

/// What repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// Nothing.
    None,
    /// Each day.
    Day,
    /// Each week.
    Week,
}

impl Season {
    /// What the season says of the place after the last one of the history; none while it is not known.
    fn next(self, history: &VecDeque<f64>, scale: &Scale) -> Option<f64> {
        let (period, most) = match self {
            Self::None => return Some(0.0),
            Self::Day => (scale.day, DAYS_MAX),
            Self::Week => (scale.day * 7.0, WEEKS_MAX),
        };
        // Shorter than that it has no shape.
        if period < 4.0 {
            return None;
        }
        let known = ((history.len() as f64 / period) as usize).min(most);
        let neighbours = match self {
            Self::Week => WEEK_NEIGHBOURS.min((scale.day / 12.0) as usize),
            _ => usize::from(known < DAYS_ALONE),
        };
        let mut values = [0.0; DAYS_MAX * 3 + WEEKS_MAX * (2 * WEEK_NEIGHBOURS + 1)];
        let mut count = 0;
        for number in 1..=known {
            let back = (number as f64 * period).round() as usize;
            let Some(middle) = history.len().checked_sub(back) else { break };
            for at in middle.saturating_sub(neighbours)..=middle + neighbours {
                if let Some(value) = history.get(at).filter(|value| value.is_finite()) {
                    values[count] = *value;
                    count += 1;
                }
            }
        }
        if count < SEASON_VALUES_MIN { None } else { median(&mut values[..count]) }
    }
}

/// One way to look at a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// What was expected.
    pub expected: f64,
    /// How far the value is from it; of a shift, how far the middle value is.
    pub deviation: f64,
    /// How far it may be.
    pub reach: Reach,
}

/// What one value looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// From the level of the last few values.
    pub jump: Option<View>,
    /// From the level of the last day.
    pub stray: Option<View>,
    /// The middle stray of the last hour.
    pub shift: Option<View>,
    /// The level from before the present one is back.
    pub is_return: bool,
    /// The value has come nearer to the level of the day than the last few were.
    pub is_nearing: bool,
}

/// How many times as large as usual deviations are at this time of day.
#[derive(Clone, Copy, Debug)]
struct Weights {
    stray: f64,
    jump: f64,
}

/// Where the values of the last days lie, without their season.
#[derive(Clone, Copy, Debug)]
struct Level {
    middle: f64,
    /// Between these lie almost all.
    low: f64,
    high: f64,
}

/// One assumption about seasons, kept up with a series.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// What is assumed to repeat.
    pub season: Season,
    scale: Scale,
    /// What remains of the last values without their season, newest last; not finite where nothing is known.
    remains: VecDeque<f64>,
    /// The deviations from the level of the day, and from that of the last few values, at the same places.
    strays: Sizes,
    jumps: Sizes,
    jumps_past: Extremes,
    strays_past: Extremes,
    shifts_past: Extremes,
    level: Option<Level>,
    level_age: usize,
    /// Places since the level holds that is the present one.
    level_places: usize,
    level_before: Option<f64>,
    /// Places in a row that are off, or at the level from before.
    off_places: usize,
    returned_places: usize,
}

impl Baseline {
    /// Nothing is known yet.
    pub fn new(season: Season, scale: Scale) -> Self {
        let extremes = || Extremes::new(scale.stretch);
        Self {
            season,
            scale,
            remains: VecDeque::new(),
            strays: Sizes::new(scale),
            jumps: Sizes::new(scale),
            jumps_past: extremes(),
            strays_past: extremes(),
            shifts_past: extremes(),
            level: None,
            level_age: 0,
            level_places: 0,
            level_before: None,
            off_places: 0,
            returned_places: 0,
        }
    }

    /// Deviations of the last days from what was expected, newest last; not finite where nothing was.
    pub const fn strays(&self) -> &VecDeque<f64> {
        self.strays.deviations()
    }

    /// Looks at the next value with what lies before it, then learns it. A deviation below `least` is none.
    pub fn push(&mut self, history: &VecDeque<f64>, value: f64, least: f64) -> Look {
        let season = self.season.next(history, &self.scale);
        self.renew_level();
        let remain = season.map_or(f64::NAN, |season| value - season);
        let weights = self.weights();
        let look = match season {
            Some(season) if value.is_finite() => self.look(season, remain, weights, least),
            _ => Look::default(),
        };
        self.learn(remain, weights, &look);
        look
    }

    fn renew_level(&mut self) {
        self.level_age += 1;
        if self.level.is_some() && self.level_age * LEVELS_PER_DAY < self.scale.level() {
            return;
        }
        let latest = |places: usize| -> Vec<f64> {
            self.remains.iter().rev().take(self.level_places.min(places)).copied().filter(|remain| remain.is_finite()).collect()
        };
        let (mut values, mut usual) = (latest(self.scale.level()), latest(USUAL_LEVELS * self.scale.level()));
        if values.len() < LEVEL_VALUES_MIN {
            return;
        }
        if let (Some(middle), Some((low, high))) = (median(&mut values), between(&mut usual, USUAL_TAIL_RATIO)) {
            (self.level, self.level_age) = (Some(Level { middle, low, high }), 0);
        }
    }

    /// How large strays and jumps are at this time of day.
    fn weights(&self) -> Weights {
        let stray = if self.season == Season::None { 1.0 } else { self.strays.weight() };
        Weights { stray, jump: self.jumps.weight() }
    }

    fn late_level(&self) -> Option<f64> {
        let late = self.remains.iter().rev().take(LATE_PLACES).copied().filter(|remain| remain.is_finite());
        let mut values: Vec<f64> = late.take(LATE_VALUES).collect();
        if values.len() < LATE_VALUES { None } else { median(&mut values) }
    }

    fn look(&self, season: f64, remain: f64, weights: Weights, least: f64) -> Look {
        let late = self.late_level();
        let reach_of =
            |past: &Extremes, weight: f64| past.reach().map(|reach| reach.times(weight).at_least(Reach { up: least, down: least }));
        let view = |level: f64, reach: Reach| View { expected: season + level, deviation: remain - level, reach };
        let jump = late.and_then(|late| Some(view(late, reach_of(&self.jumps_past, weights.jump)?)));
        let Some(level) = self.level else { return Look { jump, ..Look::default() } };
        // Out of an incident that nobody saw begin, a jump to where the days lie is no news.
        let is_way_back = late.is_some_and(|late| (remain - level.middle).abs() < WAY_BACK_RATIO * (late - level.middle).abs());
        let jump = jump.filter(|jump| !(is_way_back && is_off(jump)));
        let usual = Reach { up: level.high - level.middle, down: level.middle - level.low }.times(USUAL_WIDENING);
        let stray = reach_of(&self.strays_past, weights.stray).map(|reach| view(level.middle, reach.at_least(usual)));
        let shift = stray.and_then(|stray| {
            let reach = reach_of(&self.shifts_past, weights.stray)?.at_least(stray.reach.times(SHIFT_RATIO_MIN)).at_least(usual);
            let middle = self.middle_stray(remain)?;
            // The middle alone may be off long after the value has come back.
            let nearer = if stray.deviation.abs() < middle.abs() { stray.deviation } else { middle };
            Some(View { deviation: if nearer * middle > 0.0 { nearer } else { 0.0 }, reach, ..stray })
        });
        let is_any_off = [jump, stray, shift].iter().flatten().any(is_off);
        if let (Some(before), Some(stray)) = (self.level_before, stray.filter(|_| is_any_off)) {
            let back = view(before, stray.reach);
            if !is_off(&back) && back.deviation.abs() < stray.deviation.abs() {
                return Look { stray: Some(back), is_return: true, ..Look::default() };
            }
        }
        let is_nearing = late.is_some_and(|late| (remain - level.middle).abs() < (late - level.middle).abs());
        Look { jump, stray, shift, is_return: false, is_nearing }
    }

    /// The middle of the strays of the last hour, with this one.
    fn middle_stray(&self, remain: f64) -> Option<f64> {
        let level = self.level?.middle;
        let past = self.remains.iter().rev().take(self.scale.hour - 1).copied().filter(|remain| remain.is_finite());
        let mut values: Vec<f64> = past.chain([remain]).map(|remain| remain - level).collect();
        if values.len() * 2 <= self.scale.hour { None } else { median(&mut values) }
    }

    fn learn(&mut self, remain: f64, weights: Weights, look: &Look) {
        let known = remain.is_finite();
        let jump = self.late_level().map(|level| remain - level).filter(|_| known);
        let stray = self.level.map(|level| remain - level.middle).filter(|_| known);
        let shift = if known { self.middle_stray(remain) } else { None };
        // What is at a level that is known is no deviation.
        let is_new = !look.is_return;
        self.jumps_past.add(jump.filter(|_| is_new).map(|jump| jump / weights.jump));
        self.strays_past.add(if is_new { stray } else { look.stray.map(|view| view.deviation) }.map(|stray| stray / weights.stray));
        self.shifts_past.add(shift.filter(|_| is_new).map(|shift| shift / weights.stray));
        self.strays.add(stray);
        self.jumps.add(jump);
        self.remains.push_back(remain);
        if self.remains.len() > USUAL_LEVELS * self.scale.level() {
            self.remains.pop_front();
        }
        self.level_places += 1;
        if known {
            self.settle(look);
        }
    }

    /// Takes over a level that has lasted, or the one from before.
    fn settle(&mut self, look: &Look) {
        if look.is_return {
            self.returned_places += 1;
            if self.returned_places >= RETURN_PLACES {
                self.take_over(RETURN_PLACES);
                // What it was in between was the incident.
                self.level_before = None;
            }
            return;
        }
        self.returned_places = 0;
        let is_off = [look.stray, look.shift].into_iter().flatten().any(|view| is_off(&view));
        self.off_places = if is_off { self.off_places + 1 } else { 0 };
        if self.off_places >= self.scale.lasting {
            self.take_over(self.scale.lasting);
        }
    }

    fn take_over(&mut self, places: usize) {
        // Of several levels within a day, the way into one incident, the first one is where it came from.
        if self.level_before.is_none() || self.level_places > self.scale.level() {
            self.level_before = self.level.map(|level| level.middle);
        }
        (self.level, self.level_places) = (None, places);
        (self.off_places, self.returned_places) = (0, 0);
    }
}

/// Whether a value is farther away than it may be.
pub fn is_off(view: &View) -> bool {
    view.deviation > view.reach.up || -view.deviation > view.reach.down
}
