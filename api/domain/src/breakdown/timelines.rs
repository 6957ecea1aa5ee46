//! Reads what is derived from timelines: days from day cells, hours from machine-hours, and what the worker has not got to yet, or
//! what cuts an hour, built from facts for the question.
//!
//! Jobs that run hold slots in the hours of the last day; those are built for the question, never kept.
//! Invariant: what is gathered does not depend on how far the worker has come. Must not know: what the figures mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, Window};

use super::BreakdownError;
use super::executions::Reading;
use super::filter::Filter;
use super::gather::{Buckets, Gathered, Gathering, chunk_of, runs, wanted};
use crate::cell::block::unpack;
use crate::cell::part::{Family, KeyColumn, Part};
use crate::cell::plan::{Breaks, DAY_HOURS};
use crate::cost::price::BillPart;
use crate::cost::question::IdleView;
use crate::cost::rate::Prices;
use crate::job::running::{running, since};
use crate::store::{DerivedKind, Grain, HOURS_PER_READ, MachineHour, StoreError};
use crate::timeline::carry::block_of;
use crate::timeline::hour::{HourFacts, MachineView};
use crate::timeline::rebuild::{Pending, Pricer, Rebuild, Rebuilt, derive, rebuild};
use crate::timeline::sweep::Holder;

/// Machine-hours that one question builds by itself; the worker keeps them far below.
const BUILT_MAX: usize = 40_000;

/// Machine-hours of the last day in which jobs run, which a question builds besides: a thousand machines for a day.
const JOB_HOURS_MAX: usize = 25_000;

/// Timelines as one snapshot sees them.
#[derive(Debug)]
pub struct Timelines<'a> {
    reading: &'a Reading,
    pending: Pending,
    /// What was built for this question, by machine and hour.
    rebuilt: BTreeMap<u32, BTreeMap<i32, MachineHour>>,
    /// What hours cost that were built or priced for this question, by hour and machine; machine 0: without a machine.
    costs: BTreeMap<(i32, u32), Vec<u8>>,
    /// Likewise, what hours of closed months would cost.
    late: BTreeMap<(i32, u32), Vec<u8>>,
    /// Jobs that hold slots without an execution.
    jobs: BTreeMap<u32, Vec<Holder>>,
}

/// The day family that holds what is asked about; none: machine-hours must be read.
#[must_use]
pub fn day_family(asked: &Gathering<'_>, families: &[Family]) -> Option<Family> {
    let mut used: Vec<KeyColumn> = asked.by.iter().map(|dimension| dimension.column()).collect();
    used.extend(asked.filter.columns_used());
    families.iter().copied().find(|family| used.iter().all(|column| family.columns().contains(column)))
}

impl<'a> Timelines<'a> {
    /// Timelines of executions up to an instant.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when too much has to be built first; what the store says.
    pub async fn until(reading: &'a Reading, until: Instant) -> Result<Self, BreakdownError> {
        Self::of(reading, Window { start: Instant(0), end: until }, BTreeMap::new(), None).await
    }

    /// Timelines up to an instant in which jobs that run hold slots before their executions arrive.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when too much has to be built first; what the store says.
    pub async fn with_jobs(reading: &'a Reading, until: Instant) -> Result<Self, BreakdownError> {
        Self::of(reading, Window { start: Instant(0), end: until }, Self::jobs(reading, until).await?, None).await
    }

    /// Timelines up to the end of a window, and what the hours of the window cost.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when too much has to be built first; what the store says.
    pub async fn with_costs(reading: &'a Reading, prices: &Prices, window: Window, idle: IdleView) -> Result<Self, BreakdownError> {
        let pricer = Pricer { prices, catalog: reading.sources().catalog, spreads: idle == IdleView::Spread };
        Self::of(reading, window, Self::jobs(reading, window.end).await?, Some(pricer)).await
    }

    /// Timelines of closed months, up to their end, and what they would cost: without jobs, as hours are kept.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when too much has to be built first; what the store says.
    pub async fn of_closed(reading: &'a Reading, prices: &Prices, closed_until: Instant) -> Result<Self, BreakdownError> {
        let pricer = Pricer { prices, catalog: reading.sources().catalog, spreads: false };
        Self::of(reading, Window { start: Instant(0), end: closed_until }, BTreeMap::new(), Some(pricer)).await
    }

    async fn jobs(reading: &Reading, until: Instant) -> Result<BTreeMap<u32, Vec<Holder>>, BreakdownError> {
        let now = reading.snapshot.as_of;
        Ok(if since(now) < until { running(&reading.snapshot, now).await? } else { BTreeMap::new() })
    }

    async fn of(
        reading: &'a Reading,
        window: Window,
        jobs: BTreeMap<u32, Vec<Holder>>,
        pricer: Option<Pricer<'_>>,
    ) -> Result<Self, BreakdownError> {
        let (snapshot, now) = (&reading.snapshot, reading.snapshot.as_of);
        let until = Instant(window.end.0.saturating_add(HOUR_US - 1)).hour();
        let mut pending = Pending::of(snapshot, &reading.fleet, now).await?;
        // Prices hand nothing on: only hours of the window have to be priced for the question.
        pending.priced.values_mut().for_each(|hours| *hours = hours.from(window.start.hour()));
        pending.machineless = pending.machineless.from(window.start.hour());
        if pricer.is_none() {
            pending.priced.clear();
            pending.machineless = Hours::default();
        }
        let count = |hours: &Hours| hours.from(0).count_before(until);
        let mut waiting: u64 = pending.hours.values().chain([&pending.machineless]).map(count).sum();
        let to_price: u64 = pending.priced.values().map(count).sum();
        // Only hours that are kept are priced anew: they are counted where it may matter.
        waiting += if to_price > BUILT_MAX as u64 { to_price.min(snapshot.machine_hour_count(until).await?) } else { to_price };
        if pending.is_cut || waiting > BUILT_MAX as u64 {
            return Err(too_many(waiting));
        }
        let hours_left = BUILT_MAX + JOB_HOURS_MAX;
        let mut job_hours: usize = 0;
        for (vm, jobs) in &jobs {
            let first = jobs.iter().map(|job| job.started_at.hour()).min().unwrap_or(i32::MAX);
            let last = now.hour().min(until - 1);
            pending.hours.entry(*vm).or_default().insert(first, last);
            job_hours += usize::try_from(last - first + 1).unwrap_or(0);
        }
        if job_hours > JOB_HOURS_MAX {
            return Err(BreakdownError::Limit(format!(
                "jobs run on too many machines to tell what they hold ({job_hours} machine-hours of the last day): ask about hours that are older"
            )));
        }
        let mut timelines = Self { reading, pending, rebuilt: BTreeMap::new(), costs: BTreeMap::new(), late: BTreeMap::new(), jobs };
        timelines.build(pricer, until, hours_left, waiting).await?;
        if let Some(pricer) = pricer {
            for (first, last) in timelines.pending.machineless.stretches() {
                for hour in first..=last.min(until - 1) {
                    timelines.costs.insert((hour, 0), pricer.machineless(snapshot, hour).await?);
                }
            }
            // What comes late for a closed month changes no figure of it.
            let open = timelines.costs.split_off(&(snapshot.closed_until().await?.hour(), 0));
            timelines.late = std::mem::replace(&mut timelines.costs, open);
        }
        Ok(timelines)
    }

    async fn build(&mut self, pricer: Option<Pricer<'_>>, until: i32, hours_max: usize, waiting: u64) -> Result<(), BreakdownError> {
        let (snapshot, fleet, now) = (&self.reading.snapshot, &*self.reading.fleet, self.reading.snapshot.as_of);
        let mut hours_left = hours_max;
        let nothing = Hours::default();
        let machines: BTreeSet<u32> = self.pending.hours.keys().chain(self.pending.priced.keys()).copied().collect();
        for vm in machines {
            let jobs = self.jobs.get(&vm).map_or(&[][..], Vec::as_slice);
            let of = |hours: &'_ BTreeMap<u32, Hours>| hours.get(&vm).unwrap_or(&nothing).clone();
            let (dirty, priced) = (of(&self.pending.hours), of(&self.pending.priced));
            let machine = self.pending.view(fleet, vm);
            let asked = Rebuild { snapshot, machine, jobs, dirty: &dirty, priced: &priced, pricer, until, now, hours_max: hours_left };
            let Rebuilt { hours, costs, count, rest } = rebuild(asked).await?;
            if rest.is_some() {
                return Err(too_many(waiting));
            }
            hours_left -= count;
            self.costs.extend(costs.into_iter().map(|(hour, block)| ((hour, vm), block)));
            if !hours.is_empty() {
                self.rebuilt.insert(vm, hours);
            }
        }
        Ok(())
    }

    /// The parts of the bill of one hour of a machine.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when the store fails.
    pub async fn bill(&self, prices: &Prices, vm: u32, hour: i32) -> Result<Vec<BillPart>, BreakdownError> {
        let (snapshot, machine) = (&self.reading.snapshot, self.machine(vm));
        let jobs = self.jobs.get(&vm).map_or(&[][..], Vec::as_slice);
        let (_, parts) = derive(snapshot, machine, self.rebuilt.get(&vm), jobs, Window::of_hour(hour)).await?;
        let pricer = Pricer { prices, catalog: self.reading.sources().catalog, spreads: false };
        Ok(pricer.bill(snapshot, machine, hour, &parts).await?)
    }

    /// A machine as its hours need it.
    #[must_use]
    pub fn machine(&self, vm: u32) -> MachineView<'_> {
        self.pending.view(&self.reading.fleet, vm)
    }

    /// What the hours `from..to` cost, a block a machine: those made for this question, and those kept of which none was made.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when the store fails.
    pub async fn cost_hours(&self, from: i32, to: i32) -> Result<Vec<(i32, Cow<'_, [u8]>)>, BreakdownError> {
        let mut hours: Vec<(i32, Cow<'_, [u8]>)> =
            self.costs.range((from, 0)..(to, 0)).map(|((hour, _), block)| (*hour, Cow::Borrowed(block.as_slice()))).collect();
        for (hour, vm, block) in self.reading.snapshot.cost_hour_list(from, to).await? {
            if !self.costs.contains_key(&(hour, vm)) {
                hours.push((hour, Cow::Owned(block)));
            }
        }
        Ok(hours)
    }

    /// Blocks of what hours of closed months would cost by what came late and was made for this question, by hour and machine.
    #[must_use]
    pub const fn costs_late(&self) -> &BTreeMap<(i32, u32), Vec<u8>> {
        &self.late
    }

    /// Days (since 1970) in which something was made for this question of what hours cost.
    #[must_use]
    pub fn cost_days_made(&self) -> BTreeSet<i32> {
        self.costs.keys().map(|(hour, _)| hour.div_euclid(DAY_HOURS)).collect()
    }

    /// Gathers parts of a family of machine-hours; `days` are the families that its days may be read from.
    ///
    /// # Errors
    /// [`BreakdownError`] when the answer would be too large or the store fails.
    pub async fn gather(&self, asked: &Gathering<'_>, family: Family, days: &[Family]) -> Result<Gathered, BreakdownError> {
        let mut gathered = Gathered::default();
        for part in asked.parts {
            gathered.columns.entry(*part).or_insert_with(|| crate::cell::column::Column::of(*part));
        }
        let places = asked.by.iter().any(|dimension| dimension.is_place()) || asked.filter.asks_place();
        let whole = match (asked.tiles.first(), asked.tiles.last()) {
            (Some(first), Some(last)) => Window { start: first.start, end: last.end },
            _ => return Ok(gathered),
        };
        let breaks = if places { self.reading.fleet.breaks(whole) } else { Breaks::default() };
        let mut buckets = Buckets::new(asked.tiles, asked.coarseness, &breaks);
        let day_family = day_family(asked, days);
        self.read_days(&mut gathered, asked, day_family, &mut buckets).await?;
        self.read_hours(&mut gathered, asked, family, &buckets.hours).await?;
        for (window, tile) in &buckets.facts {
            for clip in window.tiles(plimsoll_entity::value::time::Step::Hour) {
                self.read_clip(&mut gathered, asked, family, clip, *tile).await?;
            }
        }
        gathered.grow()?;
        Ok(gathered)
    }

    /// Days whose cells hold and that nothing was built in for this question; the others become hours.
    async fn read_days(
        &self,
        gathered: &mut Gathered,
        asked: &Gathering<'_>,
        family: Option<Family>,
        buckets: &mut Buckets,
    ) -> Result<(), BreakdownError> {
        let (Some(first), Some(last)) = (buckets.days.keys().next().copied(), buckets.days.keys().next_back().copied()) else {
            return Ok(());
        };
        let snapshot = &self.reading.snapshot;
        let touched = self.touched_days();
        let mut held = match family {
            Some(_) => snapshot.derived_day_list(DerivedKind::Timeline, first, last).await?,
            None => BTreeSet::new(),
        };
        held.retain(|day| buckets.days.contains_key(day) && !touched.contains(day));
        if let Some(family) = family {
            for (from, to) in runs(held.iter().copied(), chunk_of(family)) {
                let blocks = snapshot.cell_list(family, Grain::Day, from, to, &wanted(family, asked.parts)).await?;
                for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                    let tile = buckets.days[&day[0].bucket];
                    let at = Instant(i64::from(day[0].bucket) * i64::from(DAY_HOURS) * HOUR_US);
                    let parts: Vec<(Part, &[u8])> = day.iter().map(|block| (block.part, block.block.as_slice())).collect();
                    gathered.add_block(self.reading.sources(), asked, family, &parts, |_| Some((tile, at))).await?;
                }
            }
        }
        for (day, tile) in buckets.days.iter().filter(|(day, _)| !held.contains(day)) {
            buckets.hours.extend((0..DAY_HOURS).map(|hour| (day * DAY_HOURS + hour, *tile)));
        }
        Ok(())
    }

    /// Days of a window whose cells hold and in which nothing was built for this question, and the windows between them.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when the store fails.
    pub async fn held_days(&self, window: Window) -> Result<(Vec<i32>, Vec<Window>), BreakdownError> {
        let (first, behind) = (Instant(window.start.0 + DAY_US - 1).day(), window.end.day());
        let mut held = self.reading.snapshot.derived_day_list(DerivedKind::Timeline, first, behind - 1).await?;
        let touched = self.touched_days();
        held.retain(|day| (first..behind).contains(day) && !touched.contains(day));
        let (mut between, mut start) = (Vec::new(), window.start);
        let start_of = |day: i32| Instant(i64::from(day) * DAY_US);
        for day in &held {
            between.push(Window { start, end: start_of(*day) });
            start = start_of(day + 1);
        }
        between.push(Window { start, end: window.end });
        between.retain(|window| window.start < window.end);
        Ok((held.into_iter().collect(), between))
    }

    fn touched_days(&self) -> BTreeSet<i32> {
        self.rebuilt.values().flat_map(|hours| hours.keys().map(|hour| hour.div_euclid(DAY_HOURS))).collect()
    }

    async fn read_hours(
        &self,
        gathered: &mut Gathered,
        asked: &Gathering<'_>,
        family: Family,
        hours: &BTreeMap<i32, u32>,
    ) -> Result<(), BreakdownError> {
        for (from, to) in runs(hours.keys().copied(), HOURS_PER_READ) {
            let stored = self.reading.snapshot.machine_hour_list(from, to + 1).await?;
            let kept = stored.iter().filter(|(hour, vm, _)| self.rebuilt_hour(*vm, *hour).is_none());
            let blocks = kept.map(|(hour, _, block)| (*hour, block.as_slice()));
            let rebuilt = self.rebuilt.values().flat_map(|hours| hours.range(from..=to));
            let blocks = blocks.chain(rebuilt.map(|(hour, built)| (*hour, built.block.as_slice())));
            for (hour, bytes) in blocks {
                let Some(block) = block_of(family, bytes).map_err(StoreError::from)? else { continue };
                let parts = unpack(block).map_err(StoreError::from)?;
                let place = (hours[&hour], Instant(i64::from(hour) * HOUR_US));
                gathered.add_block(self.reading.sources(), asked, family, &parts, |_| Some(place)).await?;
            }
        }
        Ok(())
    }

    fn rebuilt_hour(&self, vm: u32, hour: i32) -> Option<&MachineHour> {
        self.rebuilt.get(&vm)?.get(&hour)
    }

    /// What lies in a part of an hour, or in an hour in which a machine's place changes.
    async fn read_clip(
        &self,
        gathered: &mut Gathered,
        asked: &Gathering<'_>,
        family: Family,
        clip: Window,
        tile: u32,
    ) -> Result<(), BreakdownError> {
        let hour = clip.start.hour();
        let (snapshot, fleet) = (&self.reading.snapshot, &*self.reading.fleet);
        let stored = snapshot.machine_hour_list(hour, hour + 1).await?;
        let machines: BTreeSet<u32> = stored
            .into_iter()
            .map(|(_, vm, _)| vm)
            .chain(self.rebuilt.iter().filter(|(_, hours)| hours.contains_key(&hour)).map(|(vm, _)| *vm))
            .filter(|vm| allows_machine(asked.filter, *vm))
            .collect();
        for vm in machines {
            let jobs = self.jobs.get(&vm).map_or(&[][..], Vec::as_slice);
            let (facts, _) = derive(snapshot, self.pending.view(fleet, vm), self.rebuilt.get(&vm), jobs, clip).await?;
            self.add_facts(gathered, asked, family, &facts, tile).await?;
        }
        Ok(())
    }

    async fn add_facts(
        &self,
        gathered: &mut Gathered,
        asked: &Gathering<'_>,
        family: Family,
        facts: &HourFacts,
        tile: u32,
    ) -> Result<(), BreakdownError> {
        let sources = self.reading.sources();
        match family {
            Family::Timeline => gathered.add_facts(sources, asked, &facts.timeline, tile).await,
            Family::Transition => gathered.add_facts(sources, asked, &facts.transitions, tile).await,
            Family::OwnedSample => gathered.add_facts(sources, asked, &facts.samples, tile).await,
            _ => gathered.add_facts(sources, asked, &facts.time, tile).await,
        }
    }
}

fn too_many(waiting: u64) -> BreakdownError {
    BreakdownError::Limit(format!("the timelines of {waiting} machine-hours are being built after a large ingest: ask again in a minute"))
}

fn allows_machine(filter: &Filter, vm: u32) -> bool {
    filter.columns.get(&(KeyColumn::Vm as usize)).is_none_or(|ids| ids.contains(&vm))
}
