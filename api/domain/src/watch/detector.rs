//! Whether the newest value of a series is out of the ordinary, judged by what lies before it.
//!
//! The series is regular (one value a step, gaps allowed). Three assumptions run side by side: no season, a daily one, a weekly one; the
//! one that has foretold the last days best is believed, and a season must be clearly better than none. Under it a value is anomalous when it leaves the band of
//! ordinary deviations ([`super::extremes`]) from its last values, from its day, or for an hour ([`super::baseline`]).
//!
//! Invariants: nothing is judged by what comes after it; too little data, a gap or a constant series is quiet; false alarms
//! are worse than late ones, so what has happened several times before is ordinary; scaling a series scales its judgements.
//!
//! Why not `augurs` (0.10.3, looked at): `augurs-outlier` compares series of a group with each other and is no detector within one;
//! `augurs-mstl` decomposes a whole series at once, without gaps, and would have to do so again at each value; `augurs-ets` has neither
//! gaps nor robustness; the periodogram of `augurs-seasons` wants a series without gaps to find the length of a season, while ours are the day and the week,
//! and what matters is whether they foretell. A median over earlier days does with a few lines what 20 to 54 crates would be built for.
//! Must not know: which signal it is, the store, the clock, rules.

use std::collections::VecDeque;

use super::baseline::{Baseline, Look, Scale, Season, View, is_off};
use super::robust::lower_mean;

/// Values that are kept: four weeks of 5 minutes.
pub const HISTORY_MAX: usize = 8_064;
/// Days of history from which deviations from the level of a day are judged, when nothing repeats.
const LEVEL_DAYS_MIN: f64 = 3.0;
/// The same where days repeat: a weekend must have been seen.
const SEASON_DAYS_MIN: f64 = 8.0;
/// A daily season is believed when it leaves less than this part of the deviations.
const DAY_GAIN: f64 = 0.75;
/// A weekly season likewise, against what is believed without it.
const WEEK_GAIN: f64 = 0.85;
/// The part of the deviations that is compared; the largest are left out.
const COMPARED_RATIO: f64 = 0.95;
/// A change by less than this part of what is expected interests nobody.
const CHANGE_RATIO_MIN: f64 = 0.03;

/// What is known of a signal's values beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Least value that there can be.
    pub lowest: f64,
    /// Greatest value that there can be.
    pub highest: f64,
    /// A change by less than this interests nobody; in the unit of the signal, at least 0.
    pub least_change: f64,
}

impl Bounds {
    /// Nothing is known.
    pub const NONE: Self = Self { lowest: f64::NEG_INFINITY, highest: f64::INFINITY, least_change: 0.0 };
    /// Counts, times, sizes: never below 0.
    pub const POSITIVE: Self = Self { lowest: 0.0, ..Self::NONE };
    /// Ratios from 0 to 1, of which less than 2 percent points interest nobody.
    pub const RATIO: Self = Self { lowest: 0.0, highest: 1.0, least_change: 0.02 };
}

/// What a value was found to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// What was expected, in the unit of the signal.
    pub expected: f64,
    /// The least that is ordinary.
    pub low: f64,
    /// The most that is ordinary.
    pub high: f64,
    /// Whether the value lies outside.
    pub is_anomalous: bool,
    /// Its distance from what was expected through the distance of that side of the band: above 1 it is anomalous, at most 1,000.
    pub score: f64,
}

/// Follows one series, value by value.
#[derive(Clone, Debug)]
pub struct Detector {
    bounds: Bounds,
    scale: Scale,
    /// Newest last; not finite where there is a gap.
    history: VecDeque<f64>,
    baselines: [Baseline; 3],
    believed: usize,
    places: usize,
    /// Places since something was out of the ordinary.
    quiet_places: usize,
}

impl Detector {
    /// A detector that knows nothing yet of a series with this step, in seconds (at least one).
    #[must_use]
    pub fn new(step_seconds: f64, bounds: Bounds) -> Self {
        let scale = Scale::of(step_seconds.max(1.0));
        let baselines = [Season::None, Season::Day, Season::Week].map(|season| Baseline::new(season, scale));
        Self { bounds, scale, history: VecDeque::new(), baselines, believed: 0, places: 0, quiet_places: usize::MAX }
    }

    /// Judges the next value and learns it; none for a gap, or while too little is known.
    pub fn push(&mut self, value: Option<f64>) -> Option<Judgement> {
        let value = value.filter(|value| value.is_finite()).unwrap_or(f64::NAN);
        // The smaller of this value and the one before: a spike must not widen the band.
        let before = self.history.iter().rev().copied().find(|value| value.is_finite()).unwrap_or(value);
        let least = self.bounds.least_change.max(CHANGE_RATIO_MIN * before.abs().min(value.abs()));
        let history = &self.history;
        let looks = self.baselines.each_mut().map(|baseline| baseline.push(history, value, least));
        let judgement = if value.is_finite() { self.judge(&looks[self.believed]) } else { None };
        self.history.push_back(value);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        self.places += 1;
        if self.places.is_multiple_of(self.scale.stretch) {
            self.believed = self.most_believable();
        }
        self.quiet_places = match &judgement {
            Some(judgement) if judgement.is_anomalous => 0,
            _ => self.quiet_places.saturating_add(1),
        };
        judgement
    }

    fn judge(&self, look: &Look) -> Option<Judgement> {
        let days = self.places as f64 / self.scale.day;
        let is_seasoned = days >= if self.believed == 0 { LEVEL_DAYS_MIN } else { SEASON_DAYS_MIN };
        // After an incident the way back is no news.
        let is_aftermath = self.quiet_places < self.scale.level() && look.is_nearing;
        let jump = look.jump.filter(|view| !(is_aftermath && is_off(view)));
        let levels = [look.stray, look.shift].map(|view| view.filter(|_| is_seasoned || look.is_return));
        let score = |view: &View| score_of(view);
        let views = [jump, levels[0], levels[1]].into_iter().flatten();
        let worst = views.max_by(|left, right| score(left).total_cmp(&score(right)))?;
        Some(self.judgement(&worst))
    }

    fn judgement(&self, view: &View) -> Judgement {
        let within = |value: f64| value.clamp(self.bounds.lowest, self.bounds.highest);
        Judgement {
            expected: within(view.expected),
            low: within(view.expected - view.reach.down),
            high: within(view.expected + view.reach.up),
            is_anomalous: is_off(view),
            score: score_of(view),
        }
    }

    /// The baseline that has foretold the last days best.
    fn most_believable(&self) -> usize {
        let [none, day, week] = &self.baselines;
        let least = self.scale.level();
        let by_day = compare(none, day, least).is_some_and(|gain| gain < DAY_GAIN);
        let without_week = if by_day { day } else { none };
        match compare(without_week, week, least) {
            Some(gain) if gain < WEEK_GAIN => 2,
            _ => usize::from(by_day),
        }
    }
}

/// What part of the deviations of one baseline the other one has where both know something; none when they share too few values.
fn compare(from: &Baseline, to: &Baseline, least: usize) -> Option<f64> {
    let both = from.strays().iter().zip(to.strays()).filter(|(from, to)| from.is_finite() && to.is_finite());
    let (mut of_from, mut of_to): (Vec<f64>, Vec<f64>) = both.map(|(from, to)| (from.abs(), to.abs())).unzip();
    if of_from.len() < least {
        return None;
    }
    let from = lower_mean(&mut of_from, COMPARED_RATIO)?;
    (from > 0.0).then_some(lower_mean(&mut of_to, COMPARED_RATIO)? / from)
}

/// Highest score.
const SCORE_MAX: f64 = 1_000.0;

fn score_of(view: &View) -> f64 {
    let reach = if view.deviation < 0.0 { view.reach.down } else { view.reach.up };
    match view.deviation.abs() {
        0.0 => 0.0,
        distance => (distance / reach).min(SCORE_MAX),
    }
}

/// Judges each value of a series by those before it, oldest first.
#[must_use]
pub fn judge_each(series: &[Option<f64>], step_seconds: f64, bounds: Bounds) -> Vec<Option<Judgement>> {
    let mut detector = Detector::new(step_seconds, bounds);
    series.iter().map(|value| detector.push(*value)).collect()
}

/// Judges the newest value, the last one of a series; some ten milliseconds for two weeks of 5 minutes. Whoever has a series for
/// long keeps a [`Detector`] instead.
#[must_use]
pub fn judge_newest(series: &[Option<f64>], step_seconds: f64, bounds: Bounds) -> Option<Judgement> {
    let mut detector = Detector::new(step_seconds, bounds);
    series.iter().map(|value| detector.push(*value)).last().flatten()
}

#[cfg(test)]
mod tests;
