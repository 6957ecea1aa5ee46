//! Which machine-hours have to be built again, and building them from a snapshot.
//!
//! Used by the worker, which keeps what comes out, and by questions, which need what the worker has not got to yet. Building goes
//! forward from the first hour that changed, for as long as an hour hands on something else than before.
//! Invariant: what is built depends on the snapshot and the clock alone. Must not know: who writes it where.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::{Instant, Window};

use super::carry::{decode, encode, pack_costs, pack_hour};
use super::facts::Class;
use super::hour::{Carry, HourFacts, HourInput, HourParts, MachineView, Run, build};
use super::shapes::{Billings, STATELESS, decode_billings, decode_lives, differences, encode_lives, last_hour_at, lives_of};
use super::sweep::Holder;
use crate::catalog::Catalog;
use crate::cell::part::{KEY_WIDTH, KeyColumn};
use crate::cost::price::{BillPart, Pricing, Unpriced};
use crate::cost::rate::Prices;
use crate::machine::fleet::Fleet;
use crate::store::{
    Built, GpuSampleFact, LoadFact, MachineHour, MachineMarks, NameDimension, PriceMarks, Repriced, RunRow, Snapshot, StoreError, Touches,
};

/// Marks that are looked at together.
const MARKS_MAX: u64 = 20_000;
/// Hours of which facts are read at once.
const HOURS_PER_STEP: i32 = 48;

/// What has to be built.
#[derive(Debug, Default)]
pub struct Pending {
    /// Hours of each machine.
    pub hours: BTreeMap<u32, Hours>,
    /// Hours of each machine whose costs alone have to be made again, as far as they have been built.
    pub priced: BTreeMap<u32, Hours>,
    /// Hours in which executions finished without a machine.
    pub machineless: Hours,
    /// The marks that said so.
    pub marks: Vec<i64>,
    /// What the hours will have been built with, where that is news.
    pub built: BTreeMap<u32, Built>,
    /// What machines were touched by.
    pub touches: BTreeMap<u32, Touches>,
    /// Whether there are more marks than were looked at.
    pub is_cut: bool,
}

impl Pending {
    /// What has to be built as of `now`, up to and with its hour.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn of(snapshot: &Snapshot, fleet: &Fleet, now: Instant) -> Result<Self, StoreError> {
        let MachineMarks { seqs, mut hours, has_more } = snapshot.machine_mark_list(MARKS_MAX).await?;
        let touches = snapshot.touches_list().await?;
        let machineless = hours.remove(&0).unwrap_or_default();
        let mut pending = Self { hours, machineless, marks: seqs, touches, is_cut: has_more, ..Self::default() };
        let (built, next_hour) = (snapshot.built_list().await?, snapshot.timeline_next_hour().await?);
        let machines: BTreeSet<u32> = fleet.machines().map(|(vm, _)| vm).chain(pending.touches.keys().copied()).collect();
        for vm in machines {
            pending.add_changed_lives(fleet, vm, built.get(&vm), now)?;
            pending.add_unbuilt(fleet, vm, next_hour, now);
        }
        pending.add_repriced(snapshot, fleet).await?;
        // What lies before stays as it was built: its facts are gone.
        let derivable = snapshot.kept().derivable_since().hour();
        if derivable > 0 {
            for hours in pending.hours.values_mut().chain(pending.priced.values_mut()).chain([&mut pending.machineless]) {
                *hours = hours.from(derivable);
            }
            pending.hours.retain(|_, hours| !hours.is_empty());
            pending.priced.retain(|_, hours| !hours.is_empty());
        }
        Ok(pending)
    }

    /// Lives that have another shape than the one that their hours were built with; a machine without states whose touches reach
    /// further than they did.
    fn add_changed_lives(&mut self, fleet: &Fleet, vm: u32, built: Option<&Built>, now: Instant) -> Result<(), StoreError> {
        let touches = self.touches.get(&vm).copied().unwrap_or_default();
        let lives = lives_of(fleet, vm, &touches);
        let billings = fleet.machine(vm).map_or_else(Default::default, |machine| machine.billings(fleet, vm));
        let news = Built { lives: encode_lives(&lives), billings: Some(billings.1.clone()), touched: touches.touched };
        if let Some(built) = built {
            self.add_changed_bills(vm, built, &news, &billings.0)?;
        }
        if built == Some(&news) {
            return Ok(());
        }
        let known = built.map_or(Ok(BTreeMap::new()), |built| decode_lives(&built.lives))?;
        let stateless = lives.contains_key(&STATELESS);
        let hours = self.hours.entry(vm).or_default();
        // Facts may lie before the first life and behind the last.
        let first_life = lives.first_key_value().map(|(start, _)| Instant(*start)).filter(|_| !stateless);
        let first = touches.touched.map(|(first, _)| first).into_iter().chain(first_life).min();
        if let (Some(first), false) = (first, known.is_empty()) {
            let last = last_hour_at(fleet, vm, &touches, now);
            for (from, to) in differences(&known, &lives) {
                hours.insert(Instant(from).max(first).hour(), Instant(to).min(last).hour());
            }
        }
        let known_touched = built.and_then(|built| built.touched);
        if let (false, true, Some((from, to))) = (stateless, known.contains_key(&STATELESS), known_touched) {
            // It was taken as RUNNING for as long as it was touched.
            hours.insert(from.hour(), to.hour());
        }
        if let (true, Some((from, to))) = (stateless, touches.touched) {
            match known_touched {
                Some((known_from, known_to)) => {
                    if from < known_from {
                        hours.insert(from.hour(), known_from.hour());
                    }
                    if to > known_to {
                        hours.insert(known_to.hour(), to.hour());
                    }
                }
                None => hours.insert(from.hour(), to.hour()),
            }
        }
        self.built.insert(vm, news);
        Ok(())
    }

    /// Hours in which the bill of a machine depends on something else than when they were made.
    fn add_changed_bills(&mut self, vm: u32, built: &Built, news: &Built, billings: &Billings) -> Result<(), StoreError> {
        if built.billings == news.billings {
            return Ok(());
        }
        let priced = self.priced.entry(vm).or_default();
        match &built.billings {
            None => priced.insert(0, i32::MAX - 1),
            Some(known) => {
                for (from, to) in differences(&decode_billings(known)?, billings) {
                    priced.insert(Instant(from).hour(), Instant(to).hour());
                }
            }
        }
        Ok(())
    }

    /// Hours that a change of prices touches.
    async fn add_repriced(&mut self, snapshot: &Snapshot, fleet: &Fleet) -> Result<(), StoreError> {
        let PriceMarks { seqs, hours, has_more } = snapshot.price_mark_list(MARKS_MAX).await?;
        self.marks.extend(seqs);
        self.is_cut |= has_more;
        let machines: BTreeSet<u32> = fleet.machines().map(|(vm, _)| vm).chain(self.touches.keys().copied()).collect();
        for (what, hours) in hours {
            match what {
                Repriced::InstanceType(name) => {
                    // A name that nothing bears yet prices no hour.
                    for id in snapshot.name_ids(NameDimension::InstanceType, &[name]).await? {
                        self.add_repriced_type(fleet, id, &hours);
                    }
                }
                Repriced::Transfers => machines.iter().for_each(|vm| extend(self.priced.entry(*vm).or_default(), &hours)),
                Repriced::Values => {
                    machines.iter().for_each(|vm| extend(self.priced.entry(*vm).or_default(), &hours));
                    for (first, last) in hours.stretches() {
                        let made = snapshot.machineless_hour_list(first, last).await?;
                        made.into_iter().for_each(|hour| self.machineless.insert(hour, hour));
                    }
                }
            }
        }
        Ok(())
    }

    fn add_repriced_type(&mut self, fleet: &Fleet, instance_type_id: u32, hours: &Hours) {
        for (vm, machine) in fleet.machines() {
            let lives = machine.timeline.lives();
            // What is known of the first life holds before it as well, and of each until the next.
            let starts = lives.iter().enumerate().map(|(at, life)| if at == 0 { i32::MIN } else { life.start.hour() });
            let ends = lives.iter().skip(1).map(|life| life.start.hour()).chain([i32::MAX]);
            for ((life, from), to) in lives.iter().zip(starts).zip(ends) {
                if life.instance_type_id == instance_type_id {
                    for (first, last) in hours.stretches() {
                        self.priced.entry(vm).or_default().insert(first.max(from), last.min(to));
                    }
                }
            }
        }
    }

    /// Hours in which a machine was held and which nobody has built, because they were open.
    fn add_unbuilt(&mut self, fleet: &Fleet, vm: u32, next_hour: i32, now: Instant) {
        let Some(machine) = fleet.machine(vm).filter(|machine| !machine.timeline.is_empty()) else { return };
        let Some(began) = machine.timeline.lives().iter().find_map(|life| life.began_at) else { return };
        let first = next_hour.max(began.hour());
        let view = MachineView { fleet, vm_id: vm, touched: None, gpu_memory_bytes: None };
        let hours = self.hours.entry(vm).or_default();
        for Window { start, end } in view.segments(Window::of_hours(first, now.hour() + 1)).into_iter().map(|segment| segment.window) {
            hours.insert(start.hour(), Instant(end.0 - 1).hour());
        }
    }

    /// A machine as its hours need it.
    #[must_use]
    pub fn view<'a>(&self, fleet: &'a Fleet, vm_id: u32) -> MachineView<'a> {
        let touches = self.touches.get(&vm_id).copied().unwrap_or_default();
        MachineView { fleet, vm_id, touched: touches.touched, gpu_memory_bytes: touches.gpu_memory_bytes }
    }
}

fn extend(hours: &mut Hours, more: &Hours) {
    more.stretches().for_each(|(first, last)| hours.insert(first, last));
}

/// An execution as it holds slots.
fn run(vm_id: u32, row: RunRow) -> Run {
    let mut key = [0; KEY_WIDTH];
    let columns =
        [KeyColumn::Combination, KeyColumn::Application, KeyColumn::User, KeyColumn::Department, KeyColumn::Project, KeyColumn::ErrorType];
    columns.into_iter().zip(row.ids).for_each(|(column, id)| key[column as usize] = id);
    key[KeyColumn::Vm as usize] = vm_id;
    key[KeyColumn::Outcome as usize] = row.outcome as u32 + 1;
    let microseconds = |ms: Option<f64>| ms.map_or(0, |ms| (ms * 1_000.0).round() as i64);
    Run {
        holder: Holder {
            id: row.id,
            started_at: row.started_at,
            finished_at: row.finished_at,
            gpus: row.gpus,
            key,
            phases_us: [microseconds(row.checkpoint_load_ms), microseconds(row.model_init_ms)],
        },
        gpu_memory_peak_bytes: row.gpu_memory_peak_bytes,
        checkpoint_load_ms: row.checkpoint_load_ms,
        class: Class::default(),
    }
}

/// Facts of a machine, read some hours ahead.
struct Facts<'a> {
    snapshot: &'a Snapshot,
    vm_id: u32,
    read: (i32, i32),
    /// Hours that the next read brings: more each time that they follow each other.
    ahead: i32,
    runs: BTreeMap<i32, Vec<Run>>,
    samples: BTreeMap<i32, Vec<(u16, GpuSampleFact)>>,
    /// Only read where costs are asked for.
    loads: Option<BTreeMap<i32, Vec<LoadFact>>>,
}

impl<'a> Facts<'a> {
    fn new(snapshot: &'a Snapshot, vm_id: u32, with_loads: bool) -> Self {
        let (runs, samples) = (BTreeMap::new(), BTreeMap::new());
        Self { snapshot, vm_id, read: (0, 0), ahead: 1, runs, samples, loads: with_loads.then(BTreeMap::new) }
    }

    /// Reads the hours `hour..to` and what probably comes next, if `hour` has not been read.
    async fn reach(&mut self, hour: i32, to: i32) -> Result<(), StoreError> {
        if (self.read.0..self.read.1).contains(&hour) {
            return Ok(());
        }
        self.ahead = if hour == self.read.1 { (self.ahead * 2).min(HOURS_PER_STEP) } else { 1 };
        let to = to.max(hour + self.ahead);
        (self.runs, self.samples, self.read) = (BTreeMap::new(), BTreeMap::new(), (hour, to));
        for row in self.snapshot.run_list(self.vm_id, hour, to).await? {
            self.runs.entry(row.started_at.hour()).or_default().push(run(self.vm_id, row));
        }
        for (gpu, sample) in self.snapshot.machine_gpu_sample_list(self.vm_id, hour, to).await? {
            self.samples.entry(sample.at.hour()).or_default().push((gpu, sample));
        }
        if let Some(loads) = &mut self.loads {
            loads.clear();
            for load in self.snapshot.machine_load_list(self.vm_id, hour, to).await? {
                loads.entry(load.finished_at.hour()).or_default().push(load);
            }
        }
        Ok(())
    }

    fn loads(&self, hour: i32) -> &[LoadFact] {
        self.loads.as_ref().and_then(|loads| loads.get(&hour)).map_or(&[], Vec::as_slice)
    }

    /// An hour that has been read.
    fn input<'b>(&'b self, machine: MachineView<'b>, hour: i32, as_of: Instant, jobs: &'b [Holder]) -> HourInput<'b> {
        HourInput {
            machine,
            hour: Window::of_hour(hour),
            as_of,
            started: self.runs.get(&hour).map_or(&[], Vec::as_slice),
            jobs,
            samples: self.samples.get(&hour).map_or(&[], Vec::as_slice),
        }
    }
}

/// What costs are made with.
#[derive(Clone, Copy, Debug)]
pub struct Pricer<'a> {
    /// Every price.
    pub prices: &'a Prices,
    /// Combinations.
    pub catalog: &'a Catalog,
    /// Whether idle time is spread as well: that is dear, and only one view shows it.
    pub spreads: bool,
}

impl Pricer<'_> {
    /// What an hour costs, packed.
    async fn price(&self, snapshot: &Snapshot, hour: &Unpriced<'_>) -> Result<Vec<u8>, StoreError> {
        let combinations = self.catalog.combinations(snapshot, &combination_ids(hour.parts)).await?;
        let pricing = Pricing { prices: self.prices, combinations: &combinations, spreads: self.spreads };
        Ok(pack_costs(&pricing.price(hour)))
    }

    /// The parts of the bill of an hour.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn bill(
        &self,
        snapshot: &Snapshot,
        machine: MachineView<'_>,
        hour: i32,
        parts: &HourParts,
    ) -> Result<Vec<BillPart>, StoreError> {
        let combinations = self.catalog.combinations(snapshot, &combination_ids(parts)).await?;
        let pricing = Pricing { prices: self.prices, combinations: &combinations, spreads: false };
        Ok(pricing.bill(&Unpriced { machine, hour: Window::of_hour(hour), parts, timeline: &[], loads: &[] }))
    }

    /// What executions cost that finished in an hour without a machine, packed: nothing, but they count.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn machineless(&self, snapshot: &Snapshot, hour: i32) -> Result<Vec<u8>, StoreError> {
        let rows = snapshot.machineless_run_list(hour).await?;
        let holders: Vec<Holder> = rows.into_iter().map(|row| run(0, row).holder).collect();
        let ids: BTreeSet<u32> = holders.iter().map(|holder| holder.key[KeyColumn::Combination as usize]).collect();
        let combinations = self.catalog.combinations(snapshot, &Vec::from_iter(ids)).await?;
        let pricing = Pricing { prices: self.prices, combinations: &combinations, spreads: false };
        Ok(pack_costs(&pricing.machineless(Window::of_hour(hour).start, &holders)))
    }
}

/// The combinations of everybody who holds a slot in an hour, left one idle or finished.
fn combination_ids(parts: &HourParts) -> Vec<u32> {
    let owners = parts.pieces.iter().flat_map(|piece| &piece.swept.parts).filter_map(|part| part.owner.as_ref().map(|owner| &owner.key));
    let causes = parts.pieces.iter().flat_map(|piece| &piece.causes).flatten().map(|cause| &cause.key);
    let keys = owners.chain(causes).chain(parts.holders.iter().map(|holder| &holder.key));
    let ids: BTreeSet<u32> = keys.map(|key| key[KeyColumn::Combination as usize]).collect();
    Vec::from_iter(ids)
}

/// What a machine's hours are built again from, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Rebuild<'a> {
    /// Where facts and carries are read.
    pub snapshot: &'a Snapshot,
    /// The machine.
    pub machine: MachineView<'a>,
    /// Jobs that run without an execution; none for hours that are to be kept.
    pub jobs: &'a [Holder],
    /// Hours that have changed.
    pub dirty: &'a Hours,
    /// Hours whose costs alone have changed, as far as they are stored.
    pub priced: &'a Hours,
    /// What costs are made with; none: they are not asked for.
    pub pricer: Option<Pricer<'a>>,
    /// No hour from this one on.
    pub until: i32,
    /// Time is held up to here.
    pub now: Instant,
    /// Hours at most.
    pub hours_max: usize,
}

/// Hours that have been built again.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// They come out differently than they are stored, or were marked.
    pub hours: BTreeMap<i32, MachineHour>,
    /// What they, and hours whose costs alone have changed, cost.
    pub costs: BTreeMap<i32, Vec<u8>>,
    /// Hours that were built.
    pub count: usize,
    /// The hour to go on with; none when nothing is left.
    pub rest: Option<i32>,
}

/// Builds the dirty hours again, and those that follow for as long as an hour hands on something else than it did.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn rebuild(asked: Rebuild<'_>) -> Result<Rebuilt, StoreError> {
    let Rebuild { snapshot, machine, jobs, dirty, priced, pricer, until, now, hours_max } = asked;
    let mut rebuilt = Rebuilt::default();
    let mut stored = Stored::new(snapshot, machine.vm_id);
    let mut due = Due { dirty, priced: priced.clone(), until };
    let Some(first) = due.next(&mut stored, i32::MIN).await? else { return Ok(rebuilt) };
    let mut carry = read_carry(snapshot.carry_before(machine.vm_id, first).await?)?;
    let mut facts = Facts::new(snapshot, machine.vm_id, pricer.is_some());
    let mut next = Some(first);
    // Whether the hour before hands on something else than it did.
    let mut follows = false;
    while let Some(hour) = next {
        // An hour is reckoned in a millisecond or so, and many may follow each other without anything to wait for.
        tokio::task::yield_now().await;
        if rebuilt.count == hours_max {
            rebuilt.rest = next;
            break;
        }
        rebuilt.count += 1;
        let wanted = |hour: i32| dirty.contains(hour) || priced.contains(hour);
        let to = (hour + 1..hour + HOURS_PER_STEP).find(|hour| !wanted(*hour)).unwrap_or(hour + HOURS_PER_STEP).min(until);
        facts.reach(hour, to).await?;
        let input = facts.input(machine, hour, now, jobs);
        let (derived, handed_on, parts) = build(&input, input.hour, &carry);
        if let Some(pricer) = &pricer {
            let hour_of = Unpriced { machine, hour: input.hour, parts: &parts, timeline: &derived.timeline, loads: facts.loads(hour) };
            rebuilt.costs.insert(hour, pricer.price(snapshot, &hour_of).await?);
        }
        let bytes = encode(&handed_on);
        let changed = stored.carry(hour).await? != Some(&bytes);
        carry = handed_on;
        if pricer.is_some() && (changed || follows || wanted(hour)) {
            // Whether an execution has a cost at all is counted where it finished.
            carry.in_flight.iter().map(|run| run.holder.finished_at.hour()).for_each(|hour| due.priced.insert(hour, hour));
        }
        if changed || follows || dirty.contains(hour) {
            rebuilt.hours.insert(hour, MachineHour { block: pack_hour(&derived), carry: bytes });
        }
        let next_due = due.next(&mut stored, hour + 1).await?;
        next = if changed {
            // Nobody knows that it will be held: only what has been told reaches beyond the present hour.
            let held = machine.held_from(hour + 1, until.min(now.hour() + 1));
            next_touched(&mut stored, held, &carry, hour, next_due).await?
        } else {
            next_due
        };
        next = next.filter(|next| *next < until);
        if let (false, Some(next)) = (changed, next)
            && hour + 1 != next
        {
            carry = read_carry(snapshot.carry_before(machine.vm_id, next).await?)?;
        }
        follows = changed;
    }
    Ok(rebuilt)
}

/// The hours to build.
struct Due<'a> {
    dirty: &'a Hours,
    priced: Hours,
    until: i32,
}

impl Due<'_> {
    /// The first from `from` on that is dirty, or stored and to be priced.
    async fn next(&self, stored: &mut Stored<'_>, from: i32) -> Result<Option<i32>, StoreError> {
        let dirty = self.dirty.next(from).filter(|hour| *hour < self.until);
        let mut priced = self.priced.next(from);
        while let Some(hour) = priced.filter(|hour| *hour < dirty.unwrap_or(self.until)) {
            match stored.next(hour).await? {
                Some(found) if self.priced.contains(found) => {
                    return Ok(Some(found.min(dirty.unwrap_or(i32::MAX))).filter(|hour| *hour < self.until));
                }
                Some(found) => priced = self.priced.next(found),
                None => break,
            }
        }
        Ok(dirty)
    }
}

/// What one hour of a machine derives within a clip, and from which parts, by what the hour before hands on in `rebuilt` or in the store.
/// `jobs` run without an execution.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn derive(
    snapshot: &Snapshot,
    machine: MachineView<'_>,
    rebuilt: Option<&BTreeMap<i32, MachineHour>>,
    jobs: &[Holder],
    clip: Window,
) -> Result<(HourFacts, HourParts), StoreError> {
    let hour = clip.start.hour();
    let before = rebuilt.and_then(|rebuilt| rebuilt.range(..hour).next_back());
    let stored = match before {
        Some((last, _)) if *last == hour - 1 => None,
        _ => snapshot.carry_before(machine.vm_id, hour).await?,
    };
    let carry = match (before, stored) {
        (Some((last, _)), Some((hour, carry))) if hour > *last => decode(&carry)?,
        (Some((_, before)), _) => decode(&before.carry)?,
        (None, stored) => read_carry(stored)?,
    };
    let mut facts = Facts::new(snapshot, machine.vm_id, false);
    facts.reach(hour, hour + 1).await?;
    let (facts, _, parts) = build(&facts.input(machine, hour, snapshot.as_of, jobs), clip, &carry);
    Ok((facts, parts))
}

fn read_carry(stored: Option<(i32, Vec<u8>)>) -> Result<Carry, StoreError> {
    stored.map_or(Ok(Carry::default()), |(_, bytes)| Ok(decode(&bytes)?))
}

/// The carries that are stored of a machine, read some hours ahead.
struct Stored<'a> {
    snapshot: &'a Snapshot,
    vm_id: u32,
    read: (i32, i32),
    carries: BTreeMap<i32, Vec<u8>>,
    /// The first stored hour at or after the end of what has been read; none: not looked for.
    beyond: Option<Option<i32>>,
}

impl<'a> Stored<'a> {
    const fn new(snapshot: &'a Snapshot, vm_id: u32) -> Self {
        Self { snapshot, vm_id, read: (0, 0), carries: BTreeMap::new(), beyond: None }
    }

    async fn reach(&mut self, hour: i32) -> Result<(), StoreError> {
        if !(self.read.0..self.read.1).contains(&hour) {
            self.read = (hour, hour + HOURS_PER_STEP);
            self.carries = self.snapshot.carry_list(self.vm_id, hour, hour + HOURS_PER_STEP).await?;
            self.beyond = None;
        }
        Ok(())
    }

    async fn carry(&mut self, hour: i32) -> Result<Option<&Vec<u8>>, StoreError> {
        self.reach(hour).await?;
        Ok(self.carries.get(&hour))
    }

    /// The first stored hour from `hour` on.
    async fn next(&mut self, hour: i32) -> Result<Option<i32>, StoreError> {
        if hour < self.read.1
            && let Some((hour, _)) = self.carries.range(hour..).next()
        {
            return Ok(Some(*hour));
        }
        let beyond = match self.beyond {
            Some(beyond) if beyond.is_none_or(|beyond| beyond >= hour) => beyond,
            _ => self.snapshot.machine_hour_next(self.vm_id, hour.max(self.read.1)).await?,
        };
        self.beyond = Some(beyond);
        Ok(beyond)
    }
}

/// The hour that has to be looked at next because of what this one hands on: the next that is marked, stored or held, or in which
/// an execution that is under way ends.
async fn next_touched(
    stored: &mut Stored<'_>,
    next_held: Option<i32>,
    carry: &Carry,
    hour: i32,
    next_dirty: Option<i32>,
) -> Result<Option<i32>, StoreError> {
    let next_stored = stored.next(hour + 1).await?;
    let ends = carry.in_flight.iter().map(|run| run.holder.finished_at.hour()).min();
    Ok([next_held, next_dirty, next_stored, ends].into_iter().flatten().min())
}
