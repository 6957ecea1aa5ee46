//! Keeps machine-hours and the day cells that are made of them up to date.
//!
//! Runs once in the fleet, under a lease whose epoch is checked in each write. Invariants: hours of a machine that come out
//! differently are replaced in one transaction, with a mark of the hour to go on with where that is not all of them, so that a stop
//! at any point leaves what the next run goes on from; marks go when everything that they name has been built; open hours stay
//! marked. Must not know: what the figures mean.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::{Instant, Window};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::day_cells::day_cells;
use super::hour::MachineView;
use super::rebuild::{Pending, Pricer, Rebuild, Rebuilt, rebuild};
use crate::catalog::Catalog;
use crate::cell::plan::DAY_HOURS;
use crate::cost::prices::PricesCache;
use crate::cost::rate::Prices;
use crate::machine::fleet::{Fleet, FleetCache};
use crate::store::{DerivedKind, DirtyMarks, Grain, Lease, Store, StoreError, WriteTx};

/// The name of the worker's lease.
const LEASE: &str = "timelines";
/// How long the worker may be silent before another one takes over.
pub const LEASE_US: i64 = crate::store::LEASE_US;
/// Machine-hours that one transaction replaces: they are built within a lease.
const HOURS_PER_WRITE: usize = 250;
/// Hours of what finished without a machine that one transaction replaces.
const MACHINELESS_HOURS_PER_WRITE: usize = 24;
/// Machines whose hours are built at the same time: one is read while another is reckoned.
const MACHINES_AT_ONCE: usize = 2;
/// Days of cells that one run makes, so that marks never wait for long.
const DAYS_PER_RUN: u64 = 2;

/// The timeline worker of one process.
#[derive(Debug)]
pub struct TimelineWorker {
    store: Store,
    fleets: FleetCache,
    sources: Arc<Sources>,
    holder: Uuid,
    machines_at_once: usize,
    /// Machine-hours that one transaction replaces.
    hours_per_write: usize,
    /// Transactions after which a run is cut short.
    writes_per_run: usize,
}

/// What costs are made from, of all runs.
#[derive(Debug, Default)]
struct Sources {
    prices: PricesCache,
    catalog: Catalog,
}

impl Sources {
    fn pricer<'a>(&'a self, prices: &'a Prices) -> Pricer<'a> {
        Pricer { prices, catalog: &self.catalog, spreads: true }
    }
}

/// What is due of one machine.
#[derive(Clone, Debug)]
struct Due {
    /// Hours that have changed.
    dirty: Hours,
    /// Hours whose costs alone have changed.
    priced: Hours,
}

impl Due {
    fn first(&self) -> Option<i32> {
        self.dirty.first().into_iter().chain(self.priced.first()).min()
    }
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Machine-hours built.
    pub hours: usize,
    /// Days of cells made.
    pub days: usize,
    /// Whether another process holds the lease.
    pub is_elsewhere: bool,
    /// Whether there was more to do than one run does.
    pub is_cut: bool,
}

impl TimelineWorker {
    /// A worker of this store; `holder` names it for ever.
    #[must_use]
    pub fn new(store: Store, holder: Uuid) -> Self {
        Self {
            store,
            fleets: FleetCache::default(),
            sources: Arc::default(),
            holder,
            machines_at_once: MACHINES_AT_ONCE,
            hours_per_write: HOURS_PER_WRITE,
            writes_per_run: usize::MAX,
        }
    }

    /// The worker with small writes, one machine after the other, and runs that stop after some of them: for tests of what a stop leaves
    /// behind.
    #[must_use]
    pub const fn with_stops(mut self, hours_per_write: usize, writes_per_run: usize) -> Self {
        self.machines_at_once = 1;
        (self.hours_per_write, self.writes_per_run) = (hours_per_write, writes_per_run);
        self
    }

    /// Builds what is due at `now`.
    ///
    /// # Errors
    /// [`StoreError`] from the database; what was done before stays done.
    pub async fn run_once(&mut self, now: Instant) -> Result<Progress, StoreError> {
        let Some(lease) = self.store.lease_take(LEASE, self.holder, now, LEASE_US).await? else {
            return Ok(Progress { is_elsewhere: true, ..Progress::default() });
        };
        let snapshot = self.store.snapshot().await?;
        let fleet = self.fleets.fleet(&snapshot).await?;
        let pending = Arc::new(Pending::of(&snapshot, &fleet, now).await?);
        drop(snapshot);
        let mut progress = self.build_hours(lease, &fleet, &pending, now).await?;
        if !progress.is_cut {
            progress.hours += self.count_machineless(lease, &pending, now).await?;
        }
        if progress.is_cut {
            return Ok(progress);
        }
        self.settle(lease, &pending, now).await?;
        progress.is_cut = pending.is_cut;
        if !pending.is_cut {
            progress.days = self.make_days(lease, now).await?;
            progress.is_cut = progress.days as u64 == DAYS_PER_RUN;
        }
        Ok(progress)
    }

    /// Gives the lease back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&self, now: Instant) -> Result<(), StoreError> {
        match self.store.lease_take(LEASE, self.holder, now, LEASE_US).await? {
            Some(lease) => self.store.lease_release(lease).await,
            None => Ok(()),
        }
    }

    async fn build_hours(&self, lease: Lease, fleet: &Arc<Fleet>, pending: &Arc<Pending>, now: Instant) -> Result<Progress, StoreError> {
        let builder = Builder {
            store: self.store.clone(),
            sources: Arc::clone(&self.sources),
            fleet: Arc::clone(fleet),
            pending: Arc::clone(pending),
            lease,
            now,
            hours_per_write: self.hours_per_write,
            writes_left: Arc::new(AtomicUsize::new(self.writes_per_run)),
        };
        let mut building = JoinSet::new();
        let built = build_machines(&builder, &mut building, self.machines_at_once).await;
        // Whoever comes next must not find a machine that is still being written.
        building.shutdown().await;
        built
    }

    /// Counts what finished without a machine in closed hours; returns how many hours were counted.
    async fn count_machineless(&self, lease: Lease, pending: &Pending, now: Instant) -> Result<usize, StoreError> {
        let due: Vec<i32> = pending.machineless.stretches().flat_map(|(first, last)| first..=last.min(now.hour() - 1)).collect();
        for hours in due.chunks(MACHINELESS_HOURS_PER_WRITE) {
            let snapshot = self.store.snapshot().await?;
            let prices = self.sources.prices.prices(&snapshot).await?;
            let mut costs = BTreeMap::new();
            for hour in hours {
                costs.insert(*hour, self.sources.pricer(&prices).machineless(&snapshot, *hour).await?);
            }
            drop(snapshot);
            let days = hours.iter().map(|hour| hour.div_euclid(DAY_HOURS)).collect();
            let mut tx = self.store.begin_write().await?;
            tx.lease_extend(lease, self.store.clock().now(), LEASE_US).await?;
            put_costs(&mut tx, 0, costs, &days).await?;
            tx.commit().await?;
        }
        Ok(due.len())
    }

    /// Everything that the marks named has been built, but for the hours that are open: those are marked again, once.
    async fn settle(&self, lease: Lease, pending: &Pending, now: Instant) -> Result<(), StoreError> {
        let mut open = DirtyMarks::default();
        for (vm, hours) in &pending.hours {
            for (first, last) in hours.from(now.hour()).stretches() {
                open.machine_hours(*vm, first, last);
            }
        }
        for (first, last) in pending.machineless.from(now.hour()).stretches() {
            (first..=last).for_each(|hour| open.machineless(Window::of_hour(hour).start));
        }
        let mut tx = self.store.begin_write().await?;
        tx.lease_check(lease).await?;
        if !pending.marks.is_empty() {
            tx.dirty_delete(&pending.marks).await?;
            tx.dirty_append(open).await?;
        }
        tx.built_replace(&pending.built).await?;
        tx.timeline_next_hour_set(now.hour()).await?;
        tx.commit().await
    }

    /// Makes the cells of closed days that have none that hold.
    async fn make_days(&self, lease: Lease, now: Instant) -> Result<usize, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let timelines = snapshot.timeline_day_list(now.day(), DAYS_PER_RUN).await?;
        let costs = snapshot.cost_day_list(now.day(), DAYS_PER_RUN).await?;
        drop(snapshot);
        let count = timelines.len().max(costs.len());
        let due = timelines.into_iter().map(|day| (DerivedKind::Timeline, day));
        for (kind, day) in due.chain(costs.into_iter().map(|day| (DerivedKind::Cost, day))) {
            // A day may take seconds: it begins with a whole lease.
            if self.store.lease_take(LEASE, self.holder, self.store.clock().now(), LEASE_US).await? != Some(lease) {
                return Err(StoreError::Contended);
            }
            let snapshot = self.store.snapshot().await?;
            let cells = day_cells(&snapshot, kind, day).await?;
            drop(snapshot);
            let mut tx = self.store.begin_write().await?;
            // Only the holder of the lease changes hours, so nothing has changed since they were read.
            tx.lease_check(lease).await?;
            for (family, parts) in cells {
                tx.cell_replace(family, Grain::Day, day, parts).await?;
            }
            tx.derived_day_hold(kind, day).await?;
            tx.commit().await?;
        }
        Ok(count)
    }
}

/// What builds the hours of machines in one run.
#[derive(Clone, Debug)]
struct Builder {
    store: Store,
    sources: Arc<Sources>,
    fleet: Arc<Fleet>,
    pending: Arc<Pending>,
    lease: Lease,
    now: Instant,
    hours_per_write: usize,
    writes_left: Arc<AtomicUsize>,
}

impl Builder {
    /// What is due of each machine.
    fn due(&self) -> Vec<(u32, Due)> {
        let nothing = Hours::default();
        let pending = &self.pending;
        let machines: BTreeSet<u32> = pending.hours.keys().chain(pending.priced.keys()).copied().collect();
        let of = |hours: &BTreeMap<u32, Hours>, vm| hours.get(&vm).unwrap_or(&nothing).clone();
        let due = machines.into_iter().map(|vm| (vm, Due { dirty: of(&pending.hours, vm), priced: of(&pending.priced, vm) }));
        due.filter(|(_, due)| due.first().is_some_and(|first| first < self.now.hour())).collect()
    }

    /// Builds what is due of a machine, until the run is cut short.
    async fn build(self, vm: u32, due: Due) -> Result<Progress, StoreError> {
        let (mut progress, mut rest) = (Progress::default(), Some(due));
        while let Some(due) = rest {
            if self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
                progress.is_cut = true;
                break;
            }
            let (built, left) = self.build_some(self.pending.view(&self.fleet, vm), &due).await?;
            progress.hours += built;
            rest = left;
        }
        Ok(progress)
    }

    /// Builds what is due of a machine, as much as one transaction writes; returns how many hours, and what is left.
    async fn build_some(&self, machine: MachineView<'_>, due: &Due) -> Result<(usize, Option<Due>), StoreError> {
        // A snapshot of its own: a long run must not hold an old one.
        let snapshot = self.store.snapshot().await?;
        let prices = self.sources.prices.prices(&snapshot).await?;
        let (now, until, hours_max) = (self.now, self.now.hour(), self.hours_per_write);
        let pricer = Some(self.sources.pricer(&prices));
        let Due { dirty, priced } = due;
        let asked = Rebuild { snapshot: &snapshot, machine, jobs: &[], dirty, priced, pricer, until, now, hours_max };
        let Rebuilt { hours, costs, count, rest } = rebuild(asked).await?;
        drop(snapshot);
        let days = |hours: &mut dyn Iterator<Item = &i32>| -> BTreeSet<i32> { hours.map(|hour| hour.div_euclid(DAY_HOURS)).collect() };
        let (built_days, cost_days) = (days(&mut hours.keys()), days(&mut costs.keys()));
        let mut tx = self.store.begin_write().await?;
        tx.lease_extend(self.lease, self.store.clock().now(), LEASE_US).await?;
        tx.machine_hour_replace(machine.vm_id, hours).await?;
        tx.derived_day_drop(DerivedKind::Timeline, &built_days).await?;
        put_costs(&mut tx, machine.vm_id, costs, &cost_days).await?;
        if let Some(rest) = rest {
            // Whoever goes on after a stop finds the hours before as they should be, and would not see that this one follows.
            let mut marks = DirtyMarks::default();
            marks.machine_hours(machine.vm_id, rest, rest);
            tx.dirty_append(marks).await?;
        }
        tx.commit().await?;
        let left = rest.map(|rest| {
            let mut left = Due { dirty: dirty.from(rest), priced: priced.from(rest) };
            left.dirty.insert(rest, rest);
            left
        });
        Ok((count, left))
    }
}

/// Builds what is due of every machine, some machines at a time. A machine is built by one task alone: each hour follows from the one before.
async fn build_machines(
    builder: &Builder,
    building: &mut JoinSet<Result<Progress, StoreError>>,
    at_once: usize,
) -> Result<Progress, StoreError> {
    let (mut progress, mut due) = (Progress::default(), builder.due().into_iter());
    loop {
        while building.len() < at_once
            && !progress.is_cut
            && let Some((vm, due)) = due.next()
        {
            building.spawn(builder.clone().build(vm, due));
        }
        let Some(built) = building.join_next().await else { return Ok(progress) };
        let built = built.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Nobody ends a task before it has been joined.
            Err(_) => Err(StoreError::Contended),
        })?;
        progress.hours += built.hours;
        progress.is_cut |= built.is_cut;
    }
}

async fn put_costs(tx: &mut WriteTx, vm_id: u32, costs: BTreeMap<i32, Vec<u8>>, days: &BTreeSet<i32>) -> Result<(), StoreError> {
    if costs.is_empty() {
        return Ok(());
    }
    // No month is closed until this transaction has ended.
    tx.prices_hold().await?;
    let closed_until = tx.closed_until().await?.hour();
    tx.cost_hour_replace(vm_id, costs, closed_until).await?;
    let open: BTreeSet<i32> = days.iter().copied().filter(|day| (day + 1) * DAY_HOURS > closed_until).collect();
    tx.derived_day_drop(DerivedKind::Cost, &open).await
}
