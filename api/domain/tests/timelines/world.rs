//! One store with its clock, its writer and the workers that come and go.

use std::sync::{Arc, Mutex};

use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::cell::part::{Family, Part};
use plimsoll_domain::cell::plan::{Coarseness, DAY_HOURS};
use plimsoll_domain::clock::{Clock, FixedClock};
use plimsoll_domain::cost::entering::{enter_card, enter_value};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::{DerivedKind, Grain, NameDimension, Store};
use plimsoll_domain::timeline::carry::{decode, encode};
use plimsoll_domain::timeline::hour::Carry;
use plimsoll_domain::timeline::worker::{LEASE_US, Progress, TimelineWorker};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant};
use uuid::Uuid;

use super::database::Database;
use super::events::{NOW_US, START_US, names};

/// The plans, of which each has a reader.
pub const PLANS: [Coarseness; 3] = [Coarseness::Days, Coarseness::Hours, Coarseness::Facts];

/// A clock that stands until it is moved, and that may let a rival take the lease of the worker when it is looked at.
pub struct StageClock {
    fixed: FixedClock,
    thief: Mutex<Thief>,
}

#[derive(Default)]
struct Thief {
    /// Looks until the rival comes; 0: it does not.
    looks: usize,
    rival: Option<TimelineWorker>,
    now: Instant,
}

impl StageClock {
    pub fn advance_us(&self, us: i64) {
        self.fixed.advance_us(us);
    }

    /// Has the rival run at `now` when the clock is looked at for the n-th time from here.
    pub fn steal(&self, looks: usize, rival: TimelineWorker, now: Instant) {
        *self.thief.lock().unwrap() = Thief { looks, rival: Some(rival), now };
    }

    /// The rival, after it came.
    pub fn rival(&self) -> TimelineWorker {
        std::mem::take(&mut *self.thief.lock().unwrap()).rival.unwrap()
    }

    /// The rival, when this look is the one.
    fn comes(&self) -> Option<(TimelineWorker, Instant)> {
        let mut thief = self.thief.lock().unwrap();
        let comes = thief.looks == 1;
        thief.looks = thief.looks.saturating_sub(1);
        thief.rival.take_if(|_| comes).map(|rival| (rival, thief.now))
    }
}

impl Clock for StageClock {
    fn now(&self) -> Instant {
        if let Some((mut rival, now)) = self.comes() {
            let taken = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(rival.run_once(now)));
            assert!(!taken.unwrap().is_elsewhere);
            self.thief.lock().unwrap().rival = Some(rival);
        }
        self.fixed.now()
    }
}

pub struct World {
    pub store: Store,
    pub clock: Arc<StageClock>,
    pub readers: [Reader; 3],
    writer: WriterHandle,
    holders: u128,
}

/// What the worker keeps: hours by machine, cells of days.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    pub hours: Vec<(i32, u32, Vec<u8>, Vec<u8>)>,
    pub days: Vec<(Family, i32, Part, Vec<u8>)>,
    pub costs: Vec<(i32, u32, Vec<u8>)>,
}

impl Kept {
    /// Fails unless both are one, with what differs first.
    pub fn same(&self, other: &Self) {
        let differ = self.hours.iter().zip(&other.hours).find(|(one, other)| one != other);
        if let Some((one, other)) = differ {
            let told = |(hour, vm, block, carry): &(i32, u32, Vec<u8>, Vec<u8>)| {
                format!("machine {vm}, hour {hour}\n{block:?}\n{:?}", decode(carry).unwrap())
            };
            panic!("--- one kept\n{}\n--- the other\n{}", told(one), told(other));
        }
        assert_eq!(self.hours.len(), other.hours.len(), "machine-hours");
        if let Some((one, other)) = self.costs.iter().zip(&other.costs).find(|(one, other)| one != other) {
            panic!("--- one kept of costs\n{one:?}\n--- the other\n{other:?}");
        }
        assert_eq!(self.costs.len(), other.costs.len(), "hours of costs");
        if let Some((one, other)) = self.days.iter().zip(&other.days).find(|(one, other)| one != other) {
            panic!("--- one kept\n{one:?}\n--- the other\n{other:?}");
        }
        assert_eq!(self.days.len(), other.days.len(), "parts of days");
    }
}

impl World {
    /// An empty store in which machines, types and regions have been named.
    pub async fn open(database: &Database, now: Instant) -> Self {
        let clock = Arc::new(StageClock { fixed: FixedClock::at(now), thief: Mutex::default() });
        let store = database.open(Arc::clone(&clock) as _).await;
        let names = names();
        let mut tx = store.begin_write().await.unwrap();
        for (dimension, names) in [
            (NameDimension::Vm, names.vms),
            (NameDimension::InstanceType, names.types),
            (NameDimension::Region, names.regions),
            (NameDimension::Provider, names.providers),
        ] {
            let names: Vec<(i64, String)> = names.into_iter().map(|name| (i64::from(dimension.code()), name)).collect();
            tx.name_ids(dimension, &names, Some(now.day())).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        let readers = PLANS.map(|coarseness| Reader { coarseness, ..Reader::new(store.clone()) });
        Self { store, clock, readers, writer: handle, holders: 0 }
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Moves the clock to an instant, never back.
    pub fn at_least(&self, at: Instant) {
        self.clock.advance_us((at.0 - self.now().0).max(0));
    }

    pub async fn send(&self, events: &[Event]) {
        let written = self.writer.write((1..).zip(events.iter().cloned()).collect(), 0).await.unwrap();
        assert_eq!((written.accepted, written.duplicate), (events.len() as u64, 0), "{written:?}");
    }

    /// Enters prices that change now and then, and what executions are worth.
    pub async fn enter_prices(&self) {
        for card in super::costs::cards() {
            assert!(enter_card(&self.store, &card).await.unwrap().is_empty());
        }
        for value in super::costs::values() {
            assert!(enter_value(&self.store, &value).await.unwrap().is_empty());
        }
    }

    /// A worker with a name of its own.
    pub fn worker(&mut self) -> TimelineWorker {
        self.holders += 1;
        TimelineWorker::new(self.store.clone(), Uuid::from_u128(self.holders))
    }

    /// One run of a new worker that gives the lease back.
    pub async fn run(&mut self) -> Progress {
        let mut worker = self.worker();
        let progress = worker.run_once(self.now()).await.unwrap();
        assert!(!progress.is_elsewhere);
        worker.release(self.now()).await.unwrap();
        progress
    }

    /// One run of a new worker that stops after a few hours of a machine and is heard of no more.
    pub async fn run_and_die(&mut self) {
        let mut worker = self.worker().with_stops(5, 2);
        assert!(!worker.run_once(self.now()).await.unwrap().is_elsewhere);
        self.clock.advance_us(LEASE_US);
    }

    pub async fn run_to_end(&mut self) {
        let mut rounds = 0;
        while self.run().await.is_cut {
            rounds += 1;
            assert!(rounds < 20, "the worker never gets to an end");
        }
    }

    /// What the worker has kept, without hours that say nothing: which of them there are depends on what was known once.
    pub async fn kept(&self) -> Kept {
        let snapshot = self.store.snapshot().await.unwrap();
        let (from, to) = ((START_US / HOUR_US) as i32 - 48, (NOW_US / HOUR_US) as i32 + 48);
        let mut rows = snapshot.machine_hour_list(from, to).await.unwrap();
        rows.sort_by_key(|(hour, vm, _)| (*vm, *hour));
        let mut hours = Vec::new();
        for of_machine in rows.chunk_by(|a, b| a.1 == b.1) {
            let vm = of_machine[0].1;
            let carries = snapshot.carry_list(vm, from, to).await.unwrap();
            let mut before = encode(&Carry::default());
            for (hour, _, block) in of_machine {
                let mut carry = decode(&carries[hour]).unwrap();
                assert_eq!(encode(&carry), carries[hour]);
                let used = carry.causes.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
                carry.causes.truncate(used);
                let carry = encode(&carry);
                if !block.is_empty() || carry != before {
                    hours.push((*hour, vm, block.clone(), carry.clone()));
                }
                before = carry;
            }
        }
        let (first, last) = (from / DAY_HOURS, to / DAY_HOURS);
        let held = snapshot.derived_day_list(DerivedKind::Timeline, first, last).await.unwrap();
        assert!(held.iter().all(|day| i64::from(*day + 1) * DAY_US <= self.now().0), "a day that is open has cells");
        let mut days = Vec::new();
        for (family, _) in Family::OF_TIMELINE_DAYS {
            let parts: Vec<Part> = [Part::Keys].into_iter().chain(family.parts().iter().copied()).collect();
            let cells = snapshot.cell_list(family, Grain::Day, first, last, &parts).await.unwrap();
            let cells = cells.into_iter().filter(|cell| held.contains(&cell.bucket));
            days.extend(cells.map(|cell| (family, cell.bucket, cell.part, cell.block)));
        }
        days.sort_by_key(|(family, day, part, _)| (*family as i16, *day, part.code()));
        let held = snapshot.derived_day_list(DerivedKind::Cost, first, last).await.unwrap();
        for (family, _) in Family::OF_COST_DAYS {
            let parts: Vec<Part> = [Part::Keys].into_iter().chain(family.parts().iter().copied()).collect();
            let cells = snapshot.cell_list(family, Grain::Day, first, last, &parts).await.unwrap();
            let cells = cells.into_iter().filter(|cell| held.contains(&cell.bucket));
            days.extend(cells.map(|cell| (family, cell.bucket, cell.part, cell.block)));
        }
        let mut costs = snapshot.cost_hour_list(from, to).await.unwrap();
        costs.retain(|(.., block)| !block.is_empty());
        Kept { hours, days, costs }
    }

    pub async fn close(self) {
        self.store.close().await;
    }
}
