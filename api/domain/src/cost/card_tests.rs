//! Each fault with its field.

use super::*;

fn entry(instance_type: &str, region: Option<&str>, hourly: &str) -> InstanceEntry<String> {
    InstanceEntry {
        instance_type: instance_type.to_owned(),
        region: region.map(str::to_owned),
        purchase_option: None,
        hourly: hourly.to_owned(),
    }
}

fn place(storage_type: StorageType, location: Option<&str>, per_gib: &str) -> PlaceEntry<String> {
    PlaceEntry { storage_type, location: location.map(str::to_owned), per_gib: per_gib.to_owned() }
}

fn card(instance_rates: Vec<InstanceEntry<String>>) -> RateCard<String> {
    RateCard {
        id: Uuid::nil(),
        currency: "USD".to_owned(),
        effective_from: Instant(100),
        instance_rates,
        storage_rates: Vec::new(),
        transfer_rates: Vec::new(),
        created_at: Instant(0),
        created_by: "fd".to_owned(),
    }
}

fn value(perhaps: [Option<&str>; 3], per_success: &str) -> BusinessValue<String> {
    let [model, checkpoint, application] = perhaps.map(|name| name.map(str::to_owned));
    BusinessValue {
        id: Uuid::nil(),
        model,
        checkpoint,
        application,
        per_success: per_success.to_owned(),
        currency: "USD".to_owned(),
        effective_from: Instant(100),
        created_at: Instant(0),
        created_by: "fd".to_owned(),
    }
}

fn closed(until: i64) -> Settled {
    Settled { closed_until: Instant(until), ..Settled::default() }
}

fn told(faults: &[PriceFault]) -> Vec<(FaultKind, String)> {
    faults.iter().map(|fault| (fault.kind, fault.field.join("."))).collect()
}

fn invalid(card: RateCard<String>) -> Vec<String> {
    let faults = check_card(card, "USD").unwrap_err();
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::Invalid && !fault.message.is_empty()), "{faults:?}");
    faults.into_iter().map(|fault| fault.field.join(".")).collect()
}

#[test]
fn prices_are_kept_exactly() {
    let storage_rates = vec![place(StorageType::ObjectStore, None, "0.0257")];
    let checked = check_card(RateCard { storage_rates, ..card(vec![entry("g5.xlarge", None, "0.9513")]) }, "USD").unwrap();
    assert_eq!((checked.instance_rates[0].hourly, checked.storage_rates[0].per_gib), (951_300_000, 25_700_000));
    assert_eq!(check_value(value([None; 3], "0.123456789"), "USD").unwrap().per_success, 123_456_789);
}

#[test]
fn what_makes_no_sense_is_told_with_its_field() {
    assert_eq!(invalid(card(Vec::new())), [""]);
    assert_eq!(invalid(RateCard { currency: "EUR".to_owned(), ..card(vec![entry("a", None, "1")]) }), ["currency"]);
    let rates = ["-1", "0.0000000001", "1000001", "x", "1"].map(|hourly| entry(&format!("type {hourly}"), None, hourly));
    let fields = ["0", "1", "2", "3"].map(|at| format!("instanceRates.{at}.hourly"));
    assert_eq!(invalid(card(rates.to_vec())), fields);
    let long = "x".repeat(201);
    let rates = vec![entry("", None, "1"), entry("a", Some("b\nc"), "1"), entry(&long, None, "1"), entry(&long[1..], None, "1")];
    assert_eq!(invalid(card(rates)), ["instanceRates.0.instanceType", "instanceRates.1.region", "instanceRates.2.instanceType"]);
}

#[test]
fn an_entry_stands_once_in_a_card() {
    let mut rates = vec![entry("a", None, "1"), entry("a", Some("eu"), "1"), entry("a", Some("eu"), "2"), entry("a", None, "1")];
    rates[3].purchase_option = Some(PurchaseOption::Spot);
    let storage_rates = vec![place(StorageType::ObjectStore, None, "1"), place(StorageType::ObjectStore, Some("eu"), "-1")];
    let transfer_rates = vec![place(StorageType::LocalDisk, Some("eu"), "1"), place(StorageType::LocalDisk, Some("eu"), "1")];
    let faulty = RateCard { storage_rates, transfer_rates, ..card(rates) };
    assert_eq!(invalid(faulty), ["instanceRates.2", "storageRates.1.perGibMonth", "transferRates.1"]);
}

#[test]
fn a_card_has_a_limit_and_so_have_its_faults() {
    let rates = |count: usize, hourly: &str| (0..count).map(|number| entry(&number.to_string(), None, hourly)).collect();
    assert!(check_card(card(rates(RATES_MAX, "1")), "USD").is_ok());
    let faults = check_card(card(rates(RATES_MAX + 1, "1")), "USD").unwrap_err();
    assert_eq!(told(&faults), [(FaultKind::TooMany, String::new())]);
    assert_eq!(check_card(card(rates(FAULTS_MAX + 9, "-1")), "USD").unwrap_err().len(), FAULTS_MAX);
}

#[test]
fn business_values_are_checked() {
    let faults = check_value(value([Some(""), Some("a\0"), Some("studio")], "-0.01"), "EUR").unwrap_err();
    assert_eq!(
        faults.into_iter().map(|fault| fault.field.join(".")).collect::<Vec<_>>(),
        ["model", "checkpoint", "perSuccess", "currency"]
    );
}

#[test]
fn a_card_that_contradicts_another_is_refused() {
    let there = RateCard {
        storage_rates: vec![place(StorageType::ObjectStore, None, "1")],
        ..card(vec![entry("a", None, "1"), entry("a", Some("eu"), "1")])
    };
    let there = check_card(there, "USD").unwrap();
    let new = RateCard {
        storage_rates: vec![place(StorageType::ObjectStore, Some("eu"), "1"), place(StorageType::LocalDisk, None, "1")],
        transfer_rates: vec![place(StorageType::ObjectStore, None, "1")],
        ..card(vec![entry("b", None, "1"), entry("a", Some("us"), "1")])
    };
    let new = check_card(new, "USD").unwrap();
    let faults = contradictions(&new, std::slice::from_ref(&there), closed(0));
    let taken = ["instanceRates.1.instanceType", "storageRates.0.storageType"];
    assert_eq!(told(&faults), taken.map(|field| (FaultKind::Conflict, field.to_owned())));
    let later = RateCard { effective_from: Instant(101), ..new.clone() };
    assert!(contradictions(&later, std::slice::from_ref(&there), closed(101)).is_empty());
    assert_eq!(told(&contradictions(&later, &[there], closed(102))), [(FaultKind::Conflict, "effectiveFrom".to_owned())]);
    let many = vec![RateCard { effective_from: Instant(7), ..new.clone() }; RATE_CARDS_MAX];
    assert_eq!(told(&contradictions(&new, &many, closed(0))), [(FaultKind::TooMany, String::new())]);
}

#[test]
fn a_business_value_that_contradicts_another_is_refused() {
    let of = |scope, effective_from| BusinessValue { effective_from, ..check_value(value(scope, "1"), "USD").unwrap() };
    let there = [of([Some("sdxl"), None, None], Instant(100))];
    assert!(value_contradictions(&of([Some("sdxl"), None, Some("studio")], Instant(100)), &there, closed(0)).is_empty());
    assert!(value_contradictions(&of([Some("sdxl"), None, None], Instant(99)), &there, closed(0)).is_empty());
    let same = of([Some("sdxl"), None, None], Instant(100));
    let conflict = (FaultKind::Conflict, "effectiveFrom".to_owned());
    assert_eq!(told(&value_contradictions(&same, &there, closed(0))), std::slice::from_ref(&conflict));
    assert_eq!(told(&value_contradictions(&same, &[], closed(200))), std::slice::from_ref(&conflict));
    // Whose facts are gone would keep the old price.
    let gone = Settled { derivable_since: Instant(200), ..Settled::default() };
    assert_eq!(told(&value_contradictions(&same, &[], gone)), [conflict]);
}
