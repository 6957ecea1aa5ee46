//! The delta blocks of one transaction: its facts, grouped by family, day, hour and key. Pure.
//!
//! Invariant: the blocks of a family together hold every fact once.

use plimsoll_entity::value::time::HOUR_US;

use super::block::{Keys, pack};
use super::column::Column;
use super::fact::Fact;
use super::part::{Family, Key, Part};

/// Hours of a day.
const DAY_HOURS: i32 = 24;

/// The delta blocks of `facts` for each family: family, day, packed block.
#[must_use]
pub fn delta_blocks<F: Fact>(families: &[Family], facts: &[F]) -> Vec<(Family, i32, Vec<u8>)> {
    let keyed: Vec<(i32, Key)> = facts.iter().map(|fact| (fact.at().0.div_euclid(HOUR_US) as i32, fact.key())).collect();
    let mut blocks = Vec::new();
    for family in families {
        let mut order: Vec<(i32, Key, u32)> = keyed.iter().zip(0_u32..).map(|((hour, key), at)| (*hour, family.project(key), at)).collect();
        order.sort_unstable();
        for day in order.chunk_by(|a, b| a.0.div_euclid(DAY_HOURS) == b.0.div_euclid(DAY_HOURS)) {
            blocks.push((*family, day[0].0.div_euclid(DAY_HOURS), day_block(*family, day, facts)));
        }
    }
    blocks
}

fn day_block<F: Fact>(family: Family, day: &[(i32, Key, u32)], facts: &[F]) -> Vec<u8> {
    let cells: Vec<&[(i32, Key, u32)]> = day.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
    let keys = Keys {
        hours: cells.iter().map(|cell| cell[0].0.rem_euclid(DAY_HOURS) as u8).collect(),
        keys: cells.iter().map(|cell| cell[0].1).collect(),
    };
    let mut parts = vec![(Part::Keys, keys.encode(family))];
    for part in family.parts() {
        let mut column = Column::of(*part);
        column.grow(1);
        let mut bytes = Vec::with_capacity(cells.len() * 4);
        for cell in &cells {
            for (_, _, fact) in *cell {
                facts[*fact as usize].add(*part, &mut column, 0);
            }
            column.encode_row(0, &mut bytes);
            column.clear();
        }
        parts.push((*part, bytes));
    }
    pack(&parts)
}
