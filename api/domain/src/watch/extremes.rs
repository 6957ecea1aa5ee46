//! How far a series usually strays at most: the largest deviations of each stretch of some hours, upwards and downwards.
//!
//! The band comes from what the largest deviations of ordinary stretches were, whatever the noise looks like: for heavy tails they vary
//! much and the band is wide, for skewed values its sides differ, for sparse ones it holds the rare blip. Invariants: what happened in few stretches (an
//! incident) moves the band little; what comes back again and again is ordinary. Must not know: what a deviation is taken from.

use std::collections::VecDeque;

use super::robust::descending;

/// Fewest stretches from which anything can be said.
pub const STRETCHES_MIN: usize = 4;
/// Stretches that are remembered: four weeks of six hours.
const STRETCHES_MAX: usize = 112;
/// The part of stretches that may be out of the ordinary without moving the band.
const UNUSUAL_RATIO: f64 = 0.1;
/// From the middle of the largest deviations to their 90th percentile it is 1.9 units (Gumbel), and 3.2 more to what is reached once in
/// two months; as a power, since tails may be heavy, and a little more, since the two are known from few stretches.
const BEYOND_EXPONENT: f64 = 2.0;
/// Least and most that the band goes beyond the 90th percentile.
const BEYOND: (f64, f64) = (1.6, 3.0);
/// Few stretches know little: with `n` of them the band is wider by this through `n`.
const FEW_WIDENING: f64 = 2.0;
/// Of a coarse signal, such as failures among few requests, so many steps more are no surprise.
const STEPS_BEYOND: f64 = 1.5;
/// Stretches for each size that there is at most, in a coarse signal.
const STRETCHES_PER_SIZE: usize = 3;
/// Sizes nearer to each other than this part of the largest are the same.
const SAME_RATIO: f64 = 1e-3;
/// So many times something must have been there to be ordinary, and one more for every so many stretches.
const ORDINARY_TIMES: usize = 3;
const STRETCHES_PER_TIME: usize = 28;

/// How far up and down a deviation may go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reach {
    /// Above, at least 0.
    pub up: f64,
    /// Below, at least 0.
    pub down: f64,
}

impl Reach {
    /// So many times as far.
    pub fn times(self, factor: f64) -> Self {
        Self { up: self.up * factor, down: self.down * factor }
    }

    /// The farther one on each side.
    pub fn at_least(self, other: Self) -> Self {
        Self { up: self.up.max(other.up), down: self.down.max(other.down) }
    }
}

/// The largest deviations of past stretches.
#[derive(Clone, Debug)]
pub struct Extremes {
    /// Places of a stretch.
    length: usize,
    past: VecDeque<Reach>,
    current: Reach,
    /// Places and values of the stretch that has begun.
    places: usize,
    values: usize,
    reach: Option<Reach>,
}

impl Extremes {
    /// Nothing yet; a stretch has so many places.
    pub const fn new(length: usize) -> Self {
        Self { length, past: VecDeque::new(), current: Reach { up: 0.0, down: 0.0 }, places: 0, values: 0, reach: None }
    }

    /// How far deviations may go; none while too few stretches are known.
    pub const fn reach(&self) -> Option<Reach> {
        self.reach
    }

    /// Adds the next place; none where there is no value.
    pub fn add(&mut self, deviation: Option<f64>) {
        if let Some(deviation) = deviation {
            self.current.up = self.current.up.max(deviation);
            self.current.down = self.current.down.max(-deviation);
            self.values += 1;
        }
        self.places += 1;
        if self.places < self.length {
            return;
        }
        // A stretch that is mostly missing would look calmer than it was.
        if self.values * 2 > self.length {
            self.past.push_back(self.current);
            if self.past.len() > STRETCHES_MAX {
                self.past.pop_front();
            }
            self.reach = self.reach_of_past();
        }
        (self.current, self.places, self.values) = (Reach::default(), 0, 0);
    }

    fn reach_of_past(&self) -> Option<Reach> {
        let side = |of: fn(&Reach) -> f64| limit(self.past.iter().map(of).collect());
        Some(Reach { up: side(|reach| reach.up)?, down: side(|reach| reach.down)? })
    }
}

/// The limit for what had these largest values.
fn limit(mut largest: Vec<f64>) -> Option<f64> {
    let count = largest.len();
    if count < STRETCHES_MIN {
        return None;
    }
    largest.sort_unstable_by(descending);
    let ordinary_from = (count as f64 * UNUSUAL_RATIO) as usize;
    let high = largest[ordinary_from];
    let middle = largest[count / 2];
    let beyond = if middle > 0.0 { (high / middle).powf(BEYOND_EXPONENT).clamp(BEYOND.0, BEYOND.1) } else { BEYOND.1 };
    let ordinary = largest[(ORDINARY_TIMES - 1 + count / STRETCHES_PER_TIME).min(count - 1)];
    let limit = (high * beyond).max(ordinary).max(high + STEPS_BEYOND * coarseness(&largest[ordinary_from..]));
    Some(limit * (1.0 + FEW_WIDENING / count as f64))
}

/// The least distance between largest values, where there are so few of them that they must be whole numbers of something; else 0.
fn coarseness(sorted: &[f64]) -> f64 {
    let distances = || sorted.windows(2).map(|pair| pair[0] - pair[1]).filter(|distance| *distance > sorted[0] * SAME_RATIO);
    if distances().count() * STRETCHES_PER_SIZE > sorted.len() { 0.0 } else { distances().reduce(f64::min).unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach_of(stretches: impl IntoIterator<Item = f64>) -> Option<Reach> {
        let mut extremes = Extremes::new(2);
        for largest in stretches {
            extremes.add(Some(largest));
            extremes.add(Some(-0.5));
        }
        extremes.reach()
    }

    #[test]
    fn few_stretches_say_nothing() {
        assert_eq!(reach_of([1.0; STRETCHES_MIN - 1]), None);
        assert!(reach_of([1.0; STRETCHES_MIN]).is_some());
    }

    #[test]
    fn one_incident_moves_nothing_and_what_comes_back_is_ordinary() {
        let calm = reach_of([1.0; 40]).unwrap();
        assert_eq!(reach_of((0..40).map(|at| if at == 7 { 100.0 } else { 1.0 })), Some(calm));
        assert!(reach_of((0..40).map(|at| if at % 8 == 0 { 100.0 } else { 1.0 })).unwrap().up > 100.0);
        // Downwards it has always been the same.
        assert!(calm.down < calm.up && calm.down > 0.5);
    }

    #[test]
    fn a_step_more_of_a_coarse_signal_is_ordinary() {
        let coarse = reach_of((0..40).map(|at| f64::from(at % 3) * 0.025)).unwrap();
        assert!(coarse.up > 0.085, "{coarse:?}");
        let fine = reach_of((0..40).map(|at| 0.048 + f64::from(at) * 5e-5)).unwrap();
        assert!(fine.up < 0.085, "{fine:?}");
    }

    #[test]
    fn stretches_with_gaps_do_not_count() {
        let mut extremes = Extremes::new(2);
        for _ in 0..40 {
            extremes.add(Some(1.0));
            extremes.add(None);
        }
        assert_eq!(extremes.reach(), None);
    }
}
