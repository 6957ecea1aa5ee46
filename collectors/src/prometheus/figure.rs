//! What exporters write into the units of the wire, and what they write when they know nothing.
//!
//! Invariant: a value that stands for "no data", or that nothing real can have, is no figure; it is never clamped into one.
//! Must not know: who wrote it.

use crate::gpu::GpuFigures;

/// From here on a number is a blank of DCGM: 2^47 and a little more where it has no float, just below 2^63 where it has no
/// integer. No figure that is read here comes near.
const BLANK_MIN: f64 = 140_737_488_355_328.0;
/// DCGM's blanks of 32 bits, 0x7ffffff0 and what follows. Sizes in bytes have blanks of 64 bits only.
const BLANK_INT32_MIN: f64 = 2_147_483_632.0;
const BLANK_INT32_MAX: f64 = 2_147_483_647.0;
/// A ratio that was averaged may end up so far above 1.
const RATIO_SLACK: f64 = 0.001;
/// The coldest and the hottest that a GPU could say of itself.
const TEMPERATURE_CELSIUS_MIN: f64 = -100.0;
const TEMPERATURE_CELSIUS_MAX: f64 = 1_000.0;
/// More than a board can draw.
const POWER_WATTS_MAX: f64 = 10_000.0;

const MIB_BYTES: f64 = 1_048_576.0;

/// What the uuid of a part of a GPU begins with, whose figures are not those of a GPU.
pub(super) const INSTANCE_PREFIX: &str = "MIG-";

/// The unit that an exporter writes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 0 to 1.
    Ratio,
    /// 0 to 100.
    Percent,
    /// 2^20 bytes.
    Mebibytes,
    /// Bytes.
    Bytes,
    /// Degrees Celsius.
    Celsius,
    /// Watts.
    Watts,
}

impl Unit {
    /// The figure in the unit of the wire: a ratio, bytes, degrees Celsius, watts. `None` where the value is none.
    pub(super) fn figure(self, value: f64) -> Option<f64> {
        let is_blank =
            value.is_nan() || value >= BLANK_MIN || (self != Self::Bytes && (BLANK_INT32_MIN..=BLANK_INT32_MAX).contains(&value));
        let figure = match self {
            Self::Percent => value / 100.0,
            Self::Mebibytes => value * MIB_BYTES,
            Self::Ratio | Self::Bytes | Self::Celsius | Self::Watts => value,
        };
        let is_possible = match self {
            Self::Ratio | Self::Percent => (0.0..=1.0 + RATIO_SLACK).contains(&figure),
            Self::Mebibytes | Self::Bytes => (0.0..BLANK_MIN).contains(&figure),
            Self::Celsius => (TEMPERATURE_CELSIUS_MIN..=TEMPERATURE_CELSIUS_MAX).contains(&figure),
            // No board draws nothing; exporters write 0 where they could not read it.
            Self::Watts => figure > 0.0 && figure <= POWER_WATTS_MAX,
        };
        (is_possible && !is_blank).then_some(figure)
    }
}

/// A size that [`Unit::figure`] let through, which is below 2^47 and not negative, in whole bytes.
pub(super) fn whole_bytes(size_bytes: f64) -> u64 {
    size_bytes.round() as u64
}

/// What one page says about one GPU.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScrapedGpu {
    /// The GPU's own id.
    pub(super) uuid: Option<String>,
    /// Its index in the machine, where the page tells.
    pub(super) index: Option<u16>,
    /// Its figures; uuid and name are set as well.
    pub(super) figures: GpuFigures,
}

/// What one page says about the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ScrapedMachine {
    pub(super) cpu_ratio: Option<f64>,
    pub(super) memory_used_bytes: Option<u64>,
    pub(super) memory_total_bytes: Option<u64>,
}

impl ScrapedMachine {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_into_the_units_of_the_wire() {
        assert_eq!(Unit::Percent.figure(37.0), Some(0.37));
        assert_eq!(Unit::Ratio.figure(0.37), Some(0.37));
        assert_eq!(Unit::Ratio.figure(1.000_4), Some(1.000_4));
        assert_eq!(Unit::Mebibytes.figure(81_559.0).map(whole_bytes), Some(81_559 << 20));
        assert_eq!(Unit::Bytes.figure(2_147_483_640.0).map(whole_bytes), Some(2_147_483_640), "a size may be what an int32 blank is");
        assert_eq!(Unit::Celsius.figure(-40.0), Some(-40.0));
        assert_eq!(Unit::Watts.figure(312.5), Some(312.5));
        assert_eq!(Unit::Percent.figure(0.0), Some(0.0), "idle is a figure");
    }

    #[test]
    fn what_stands_for_no_data_is_no_figure() {
        let all = [Unit::Ratio, Unit::Percent, Unit::Mebibytes, Unit::Bytes, Unit::Celsius, Unit::Watts];
        let blanks_64 = ["9223372036854775792", "9223372036854775793", "9223372036854775794", "9223372036854775795", "9223372036854776000"];
        let blanks_float = ["140737488355328", "140737488355328.000000", "140737488355329", "140737488355330", "140737488355331"];
        let numbers = ["NaN", "+Inf", "-Inf", "18446744073709551615", "-1"];
        for text in blanks_64.iter().chain(&blanks_float).chain(&numbers) {
            for unit in all.iter().filter(|unit| **unit != Unit::Celsius || *text != "-1") {
                assert_eq!(unit.figure(text.parse().unwrap()), None, "{unit:?} {text}");
            }
        }
        for blank in 2_147_483_632_u32..=2_147_483_647 {
            for unit in all.iter().filter(|unit| **unit != Unit::Bytes) {
                assert_eq!(unit.figure(f64::from(blank)), None, "{unit:?} {blank}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_left_out_and_not_bent() {
        // https://github.com/NVIDIA/DCGM/issues/199: utilization of thousands of percent, now and then.
        for (unit, value) in [
            (Unit::Percent, 4_294_967_295.0),
            (Unit::Percent, 1_543.0),
            (Unit::Ratio, 37.0),
            (Unit::Watts, 0.0),
            (Unit::Watts, 10_001.0),
            (Unit::Celsius, 1_001.0),
        ] {
            assert_eq!(unit.figure(value), None, "{unit:?} {value}");
        }
    }
}
