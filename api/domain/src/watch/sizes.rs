//! How large deviations are at this time of day: noise is louder at noon than at night, and a flank of each morning is no anomaly.
//!
//! Invariant: an incident of one day moves the middle over a week little. Must not know: what a deviation is taken from.

use std::collections::VecDeque;

use super::baseline::Scale;
use super::robust::median;

/// Days that are looked at, and places on each side of the time of day.
const DAYS: usize = 7;
const NEIGHBOURS: usize = 6;
/// Fewest deviations that tell how large they are at a time of day.
const VALUES_MIN: usize = 18;
/// A middle of `n` sizes is off by some 1.2 through the root of `n` by chance; what is less than this through it says nothing.
const CHANCE: f64 = 2.0;
/// Least and most that the time of day makes deviations smaller and larger.
const WEIGHTS: (f64, f64) = (0.25, 4.0);
/// Shorter days have no times.
const DAY_PLACES_MIN: f64 = 12.0;

/// The deviations of the last days.
#[derive(Clone, Debug)]
pub struct Sizes {
    scale: Scale,
    /// Newest last; not finite where nothing was known.
    deviations: VecDeque<f64>,
    /// The middle size at all times of day; 0 while it is not known.
    usual: f64,
    places: usize,
}

impl Sizes {
    /// Nothing yet.
    pub const fn new(scale: Scale) -> Self {
        Self { scale, deviations: VecDeque::new(), usual: 0.0, places: 0 }
    }

    /// Newest last; not finite where nothing was known.
    pub const fn deviations(&self) -> &VecDeque<f64> {
        &self.deviations
    }

    /// Adds the next place; none where there is no value.
    pub fn add(&mut self, deviation: Option<f64>) {
        self.deviations.push_back(deviation.unwrap_or(f64::NAN));
        if self.deviations.len() > DAYS * self.scale.level() + NEIGHBOURS {
            self.deviations.pop_front();
        }
        self.places += 1;
        if self.places.is_multiple_of(self.scale.stretch) {
            let mut sizes: Vec<f64> = self.deviations.iter().filter(|size| size.is_finite()).map(|size| size.abs()).collect();
            self.usual = median(&mut sizes).unwrap_or(0.0);
        }
    }

    /// How many times as large as usual deviations are at the time of day of the next place; 1 while nobody knows.
    pub fn weight(&self) -> f64 {
        if self.usual <= 0.0 || self.scale.day < DAY_PLACES_MIN {
            return 1.0;
        }
        let mut sizes = [0.0; DAYS * (2 * NEIGHBOURS + 1)];
        let mut count = 0;
        let neighbours = NEIGHBOURS.min((self.scale.day / 12.0) as usize);
        for number in 1..=DAYS {
            let back = (number as f64 * self.scale.day).round() as usize;
            let Some(middle) = self.deviations.len().checked_sub(back) else { break };
            for at in middle.saturating_sub(neighbours)..=middle + neighbours {
                if let Some(size) = self.deviations.get(at).filter(|size| size.is_finite()) {
                    sizes[count] = size.abs();
                    count += 1;
                }
            }
        }
        if count < VALUES_MIN {
            return 1.0;
        }
        let Some(size) = median(&mut sizes[..count]).filter(|size| *size > 0.0) else { return 1.0 };
        let logarithm = (size / self.usual).ln();
        let certain = (logarithm.abs() - CHANCE / (count as f64).sqrt()).max(0.0);
        certain.copysign(logarithm).exp().clamp(WEIGHTS.0, WEIGHTS.1)
    }
}
