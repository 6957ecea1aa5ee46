//! Prints made-up event lines: `demo_lines SEED END DAYS JOBS SAMPLE_INTERVAL_S MACHINES`; `tests/oracle/make_fleet.py` reads them.

use std::error::Error;
use std::io::{BufWriter, Write, stdout};

use plimsoll_domain::demo::{Scale, events};
use plimsoll_entity::value::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [seed, end, days, jobs, interval, machines] = given.as_slice() else {
        return Err("usage: demo_lines SEED END DAYS JOBS SAMPLE_INTERVAL_S MACHINES".into());
    };
    let scale = Scale { days: days.parse()?, jobs: jobs.parse()?, sample_interval_s: interval.parse()?, machines: machines.parse()? };
    let mut out = BufWriter::new(stdout().lock());
    for line in events(seed.parse()?, Instant::parse(end)?, scale) {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}
