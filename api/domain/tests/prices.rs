//! Prices that are entered, found by name and kept from contradicting each other, on both databases.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_domain::clock::{CountingIds, FixedClock, IdSource};
use plimsoll_domain::cost::card::{BusinessValue, FaultKind, InstanceEntry, PlaceEntry, RateCard};
use plimsoll_domain::cost::entering::{enter_card, enter_value};
use plimsoll_domain::cost::prices::PricesCache;
use plimsoll_domain::cost::rate::Prices;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::{NameDimension, Repriced, Store};
use plimsoll_entity::value::label::{CheckpointKind, PurchaseOption, StorageType};
use plimsoll_entity::value::time::{HOUR_US, Instant};
use serde_json::{Value, json};

use database::Database;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);
/// The last hour of a price that nothing follows.
const LAST_HOUR: i32 = i32::MAX - 1;

struct World {
    database: Database,
    store: Store,
    handle: WriterHandle,
    ids: CountingIds,
}

impl World {
    async fn new(database: Database) -> Self {
        let store = database.open(Arc::new(FixedClock::at(NOW))).await;
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        Self { database, store, handle, ids: CountingIds::default() }
    }

    async fn end(self) {
        drop(self.handle);
        self.store.close().await;
        self.database.remove().await;
    }

    async fn send(&self, mut event: Value) {
        event["id"] = json!(self.ids.next_id());
        let context = ReadContext { now: NOW, strict: true, oldest: None };
        let event = read_line(event.to_string().as_bytes(), &context).unwrap_or_else(|error| panic!("{error:?}")).event;
        assert_eq!(self.handle.write(vec![(1, event)], 0).await.unwrap().accepted, 1);
    }

    fn card(&self, from: Instant, instance_rates: Vec<InstanceEntry>) -> RateCard {
        RateCard {
            id: self.ids.next_id(),
            currency: "USD".to_owned(),
            effective_from: from,
            instance_rates,
            storage_rates: Vec::new(),
            transfer_rates: Vec::new(),
            created_at: NOW,
            created_by: "fd\0".to_owned(),
        }
    }

    fn value(&self, from: Instant, scope: [Option<&str>; 3], per_success: i64) -> BusinessValue {
        let [model, checkpoint, application] = scope.map(|name| name.map(str::to_owned));
        BusinessValue {
            id: self.ids.next_id(),
            model,
            checkpoint,
            application,
            per_success,
            currency: "USD".to_owned(),
            effective_from: from,
            created_at: NOW,
            created_by: "fd".to_owned(),
        }
    }

    async fn enter(&self, card: &RateCard) -> Vec<(FaultKind, String)> {
        let faults = enter_card(&self.store, card).await.unwrap();
        faults.into_iter().map(|fault| (fault.kind, fault.field.join("."))).collect()
    }

    async fn enter_value(&self, value: &BusinessValue) -> Vec<(FaultKind, String)> {
        let faults = enter_value(&self.store, value).await.unwrap();
        faults.into_iter().map(|fault| (fault.kind, fault.field.join("."))).collect()
    }

    /// Takes the marks of prices: what, and its stretches of hours.
    async fn take_marks(&self) -> BTreeMap<Repriced, Vec<(i32, i32)>> {
        let marks = self.store.snapshot().await.unwrap().price_mark_list(100).await.unwrap();
        let mut tx = self.store.begin_write().await.unwrap();
        tx.dirty_delete(&marks.seqs).await.unwrap();
        tx.commit().await.unwrap();
        marks.hours.into_iter().map(|(what, hours)| (what, hours.stretches().collect())).collect()
    }

    async fn prices(&self, cache: &PricesCache) -> Arc<Prices> {
        let snapshot = self.store.snapshot().await.unwrap();
        let prices = cache.prices(&snapshot).await.unwrap();
        // What is kept is what would be read.
        assert_eq!(prices, PricesCache::default().prices(&snapshot).await.unwrap());
        prices
    }

    async fn name(&self, dimension: NameDimension, name: &str) -> u32 {
        let snapshot = self.store.snapshot().await.unwrap();
        snapshot.names_called(dimension, &[name.to_owned()]).await.unwrap()[0].1
    }
}

fn after(hours: i64) -> Instant {
    Instant(NOW.0 + hours * HOUR_US)
}

fn machine(instance_type: &str, region: Option<&str>, hourly: i64) -> InstanceEntry {
    InstanceEntry { instance_type: instance_type.to_owned(), region: region.map(str::to_owned), purchase_option: None, hourly }
}

fn place(storage_type: StorageType, location: Option<&str>, per_gib: i64) -> PlaceEntry {
    PlaceEntry { storage_type, location: location.map(str::to_owned), per_gib }
}

async fn prices_are_kept_and_mark_what_they_price_anew(database: Database) {
    let world = World::new(database).await;
    let mut later = world.card(after(10), vec![machine("a", None, 7)]);
    later.transfer_rates = vec![place(StorageType::ObjectStore, None, 3)];
    assert!(world.enter(&later).await.is_empty());
    let hour = NOW.hour();
    let told = world.take_marks().await;
    assert_eq!(told[&Repriced::InstanceType("a".to_owned())], [(hour + 10, LAST_HOUR)]);
    assert_eq!(told[&Repriced::Transfers], [(hour + 10, LAST_HOUR)]);

    // One that is entered later and holds earlier: until the next that names the same.
    let spot = InstanceEntry { purchase_option: Some(PurchaseOption::Spot), ..machine("a", Some("eu"), 5) };
    let mut earlier = world.card(Instant(after(2).0 + 1), vec![spot, machine("a", None, 9), machine("b", None, 0)]);
    earlier.storage_rates = vec![place(StorageType::LocalDisk, Some("é \"x\""), 8)];
    earlier.transfer_rates = vec![place(StorageType::ObjectStore, Some("x"), 4), place(StorageType::LocalDisk, None, 1)];
    assert!(world.enter(&earlier).await.is_empty());
    let told = world.take_marks().await;
    assert_eq!(told[&Repriced::InstanceType("a".to_owned())], [(hour + 2, hour + 9)]);
    assert_eq!(told[&Repriced::InstanceType("b".to_owned())], [(hour + 2, LAST_HOUR)]);
    assert_eq!(told[&Repriced::Transfers], [(hour + 2, LAST_HOUR)]);

    let mut storage = world.card(after(20), Vec::new());
    storage.storage_rates = vec![place(StorageType::LocalDisk, None, 1)];
    assert!(world.enter(&storage).await.is_empty());
    assert!(world.take_marks().await.is_empty(), "storage has no cells");

    let mut kept = [storage, later.clone(), earlier];
    kept.iter_mut().for_each(|card| card.created_by = "fd\u{fffd}".to_owned());
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.rate_card_list().await.unwrap(), kept);
    assert_eq!(snapshot.prices_number().await.unwrap(), 3);
    drop(snapshot);

    let again = world.card(after(10), vec![machine("c", None, 1), machine("a", Some("eu"), 1)]);
    assert_eq!(world.enter(&again).await, [(FaultKind::Conflict, "instanceRates.1.instanceType".to_owned())]);
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!((snapshot.prices_number().await.unwrap(), snapshot.rate_card_list().await.unwrap().len()), (3, 3));
    drop(snapshot);
    assert!(world.take_marks().await.is_empty());
    world.end().await;
}

async fn business_values_are_kept_and_mark_until_the_next_of_their_scope(database: Database) {
    let world = World::new(database).await;
    let hour = NOW.hour();
    let later = world.value(Instant(after(5).0 + 1), [Some("sdxl"), None, None], 2);
    assert!(world.enter_value(&later).await.is_empty());
    assert_eq!(world.take_marks().await[&Repriced::Values], [(hour + 5, LAST_HOUR)]);
    let earlier = world.value(after(1), [Some("sdxl"), None, None], 1);
    assert!(world.enter_value(&earlier).await.is_empty());
    assert_eq!(world.take_marks().await[&Repriced::Values], [(hour + 1, hour + 5)]);
    let other = world.value(after(1), [Some("sdxl"), Some("anime"), Some("studio")], 1_000_000_000_000_000);
    assert!(world.enter_value(&other).await.is_empty());
    assert_eq!(world.take_marks().await[&Repriced::Values], [(hour + 1, LAST_HOUR)]);
    let same = world.value(after(1), [Some("sdxl"), None, None], 3);
    assert_eq!(world.enter_value(&same).await, [(FaultKind::Conflict, "effectiveFrom".to_owned())]);
    assert!(world.take_marks().await.is_empty());
    let kept = world.store.snapshot().await.unwrap().business_value_list().await.unwrap();
    assert_eq!(kept, [later, earlier, other]);
    world.end().await;
}

async fn no_two_cards_contradict_each_other_by_a_race(database: Database) {
    let world = World::new(database).await;
    let cards: Vec<RateCard> = (0..8).map(|hourly| world.card(after(0), vec![machine("a", None, hourly)])).collect();
    let entering = cards.into_iter().map(|card| {
        let store = world.store.clone();
        tokio::spawn(async move { enter_card(&store, &card).await.unwrap().is_empty() })
    });
    let entering: Vec<_> = entering.collect();
    let mut entered = 0;
    for one in entering {
        entered += usize::from(one.await.unwrap());
    }
    assert_eq!(entered, 1);
    assert_eq!(world.store.snapshot().await.unwrap().rate_card_list().await.unwrap().len(), 1);
    world.end().await;
}

async fn no_price_is_entered_into_a_closed_month(database: Database) {
    let world = World::new(database).await;
    assert_eq!(world.store.snapshot().await.unwrap().closed_until().await.unwrap(), Instant(0));
    let mut tx = world.store.begin_write().await.unwrap();
    tx.prices_hold().await.unwrap();
    for months_ago in [2, 1] {
        tx.cost_month_close(NOW.month() - months_ago, NOW, "fd").await.unwrap();
    }
    let march = Instant::of_month(NOW.month());
    assert_eq!(tx.closed_until().await.unwrap(), march);
    tx.commit().await.unwrap();
    assert_eq!(world.store.snapshot().await.unwrap().closed_until().await.unwrap(), march);
    let too_early = world.card(Instant(march.0 - 1), vec![machine("a", None, 1)]);
    assert_eq!(world.enter(&too_early).await, [(FaultKind::Conflict, "effectiveFrom".to_owned())]);
    assert!(world.enter(&world.card(march, vec![machine("a", None, 1)])).await.is_empty());
    let too_early = world.value(Instant(march.0 - 1), [None; 3], 1);
    assert_eq!(world.enter_value(&too_early).await, [(FaultKind::Conflict, "effectiveFrom".to_owned())]);
    assert!(world.enter_value(&world.value(march, [None; 3], 1)).await.is_empty());
    world.end().await;
}

async fn a_name_that_is_borne_later_is_found_then(database: Database) {
    let world = World::new(database).await;
    let cache = PricesCache::default();
    assert_eq!(*world.prices(&cache).await, Prices::default());
    let rates = vec![machine("g5.xlarge", None, 100), machine("g5.xlarge", Some("eu"), 130)];
    assert!(world.enter(&world.card(after(-9), rates)).await.is_empty());
    assert!(world.enter(&world.card(after(-5), vec![machine("g5.xlarge", Some("mars"), 999)])).await.is_empty());
    assert!(world.enter_value(&world.value(after(-9), [None, Some("anime"), None], 7)).await.is_empty());
    assert_eq!(*world.prices(&cache).await, Prices::default(), "no event has borne the names");
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.other_currency("USD").await.unwrap(), None);
    assert_eq!(snapshot.other_currency("EUR").await.unwrap().as_deref(), Some("USD"));
    drop(snapshot);

    let before = world.store.snapshot().await.unwrap();
    let running = |region| json!({ "type": "vmState", "vm": "m", "at": after(-8).to_rfc3339(), "state": "RUNNING", "instanceType": "g5.xlarge", "region": region });
    world.send(running("us")).await;
    let prices = world.prices(&cache).await;
    let ty = world.name(NameDimension::InstanceType, "g5.xlarge").await;
    assert_eq!(prices.hourly_at(after(-7), ty, 0, None), Some(100));
    assert_eq!(prices.hourly_at(after(-5), ty, 0, None), None, "the newest card names the type, in a region that nobody knows");
    assert_eq!(prices.hourly_changes(ty, plimsoll_entity::value::time::Window { start: after(-9), end: after(0) }), [after(-5)]);
    world.send(running("eu")).await;
    let eu = world.name(NameDimension::Region, "eu").await;
    assert_eq!(world.prices(&cache).await.hourly_at(after(-7), ty, eu, Some(PurchaseOption::Spot)), Some(130));

    let execution = |kind: &str| {
        json!({ "type": "execution", "model": "sdxl", "startedAt": after(-2).to_rfc3339(), "finishedAt": after(-1).to_rfc3339(),
            "outcome": "SUCCEEDED", "checkpoints": [{ "kind": kind, "name": "anime", "version": "1" }] })
    };
    for kind in [CheckpointKind::Lora, CheckpointKind::Vae] {
        world.send(execution(kind.wire())).await;
        let id = world.store.snapshot().await.unwrap().checkpoint_id(kind, "anime").await.unwrap().unwrap();
        assert_eq!(world.prices(&cache).await.value_at(after(-1), 1, &[id], 0), Some(7), "{kind:?}");
    }
    // An older snapshot has prices as good as its own; it has no row with an id that it does not see.
    assert_eq!(cache.prices(&before).await.unwrap().hourly_at(after(-10), ty, eu, None), None);
    drop(before);
    let kept = world.prices(&cache).await;
    assert!(Arc::ptr_eq(&kept, &world.prices(&cache).await), "nothing is read again while nothing changes");
    world.end().await;
}

macro_rules! on_both {
    ($($seed:literal $case:ident $sqlite:ident $postgres:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            $case(Database::sqlite("prices", 0).await.unwrap()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            let Some(database) = Database::postgres(stringify!($postgres), $seed).await else { return };
            $case(database).await;
        }
    )+};
}

on_both! {
    160 prices_are_kept_and_mark_what_they_price_anew cards_on_sqlite cards_on_postgres;
    161 business_values_are_kept_and_mark_until_the_next_of_their_scope values_on_sqlite values_on_postgres;
    162 no_two_cards_contradict_each_other_by_a_race race_on_sqlite race_on_postgres;
    163 no_price_is_entered_into_a_closed_month closed_on_sqlite closed_on_postgres;
    164 a_name_that_is_borne_later_is_found_then names_on_sqlite names_on_postgres;
}
