//! Watching signals: what is out of the ordinary.
//!
//! Who may import whom: `detector -> baseline -> extremes -> robust`, all of them pure: no store, no clock, no network.

mod baseline;
pub mod detector;
mod extremes;
mod robust;
