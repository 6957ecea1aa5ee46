//! Rate cards, business values and closed months.
//!
//! Invariants: rows are only added; whoever adds a price or closes a month holds one row (`prices` of the counters) to the end of the
//! transaction, so that prices are checked against all others and against the months that are closed; its number tells whether prices
//! have been added. Must not know: which price holds for what.

use std::collections::HashMap;

use plimsoll_entity::value::label::{PurchaseOption, StorageType};
use plimsoll_entity::value::time::Instant;
use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use super::{ColumnData, Kind, Rows, Snapshot, StoreError, Value, WriteTx};
use crate::cost::card::{BusinessValue, InstanceEntry, PlaceEntry, RateCard};

const LAST_CLOSED: &str = "SELECT MAX(month) FROM cost_month";

/// The first instant that is not closed. `last`: the last closed month, as [`Instant::month`] counts; none: no month is.
fn open_from(last: Option<i32>) -> Instant {
    last.map_or(Instant(0), |last| Instant::of_month(last + 1))
}

impl WriteTx {
    /// Holds all prices and the closing of months for this transaction, for who reads them to write something else.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn prices_hold(&mut self) -> Result<i64, StoreError> {
        self.prices_number("UPDATE counter SET value = value WHERE name = 'prices' RETURNING value").await
    }

    /// As [`WriteTx::prices_hold`], for who adds a price: the number by which it is known that prices have been added.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn prices_change(&mut self) -> Result<i64, StoreError> {
        self.prices_number("UPDATE counter SET value = value + 1 WHERE name = 'prices' RETURNING value").await
    }

    async fn prices_number(&mut self, sql: &str) -> Result<i64, StoreError> {
        match self.fetch(sql, &[], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(number)]) => Ok(*number),
            _ => Err(StoreError::Inconsistent("counter of prices")),
        }
    }

    /// The instant before which every month is closed; 1970 when none is. It stays so for who holds the prices.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn closed_until(&mut self) -> Result<Instant, StoreError> {
        match self.fetch(LAST_CLOSED, &[], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(last)]) => Ok(open_from(i32::try_from(*last).ok())),
            _ => Ok(open_from(None)),
        }
    }

    /// Closes a month, counted as by [`Instant::month`].
    ///
    /// # Errors
    /// [`StoreError`] from the database, as when it is closed already.
    pub async fn cost_month_close(&mut self, month: i32, at: Instant, by: &str) -> Result<(), StoreError> {
        let rows = Rows {
            table: "cost_month",
            count: 1,
            columns: vec![("month", int(month.into())), ("closed_at", int(at.0)), ("closed_by", told_by(by))],
        };
        self.insert(&rows, "").await.map(|_| ())
    }

    /// Adds a rate card.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn rate_card_insert(&mut self, card: &RateCard) -> Result<(), StoreError> {
        let columns = vec![
            ("id", ColumnData::Uuids(vec![Some(card.id)])),
            ("effective_from", int(card.effective_from.0)),
            ("currency", text(Some(&card.currency))),
            ("created_at", int(card.created_at.0)),
            ("created_by", told_by(&card.created_by)),
        ];
        self.insert(&Rows { table: "rate_card", count: 1, columns }, "").await?;
        let rates = &card.instance_rates;
        let mut columns = places(card.id, rates.len());
        columns.extend([
            ("instance_type", ColumnData::Texts(rates.iter().map(|rate| Some(rate.instance_type.clone())).collect())),
            ("region", ColumnData::Texts(rates.iter().map(|rate| rate.region.clone()).collect())),
            (
                "purchase_option",
                ColumnData::Ints(rates.iter().map(|rate| rate.purchase_option.map(|option| option.code().into())).collect()),
            ),
            ("hourly_nanos", ColumnData::Ints(rates.iter().map(|rate| Some(rate.hourly)).collect())),
        ]);
        self.insert(&Rows { table: "instance_rate", count: rates.len(), columns }, "").await?;
        self.place_rates_insert("storage_rate", "per_gib_month_nanos", card.id, &card.storage_rates).await?;
        self.place_rates_insert("transfer_rate", "per_gib_nanos", card.id, &card.transfer_rates).await
    }

    async fn place_rates_insert(
        &mut self,
        table: &'static str,
        price: &'static str,
        card: Uuid,
        rates: &[PlaceEntry],
    ) -> Result<(), StoreError> {
        let mut columns = places(card, rates.len());
        columns.extend([
            ("storage_type", ColumnData::Ints(rates.iter().map(|rate| Some(rate.storage_type.code().into())).collect())),
            ("location", ColumnData::Texts(rates.iter().map(|rate| rate.location.clone()).collect())),
            (price, ColumnData::Ints(rates.iter().map(|rate| Some(rate.per_gib)).collect())),
        ]);
        self.insert(&Rows { table, count: rates.len(), columns }, "").await.map(|_| ())
    }

    /// Adds a business value.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn business_value_insert(&mut self, value: &BusinessValue) -> Result<(), StoreError> {
        let columns = vec![
            ("id", ColumnData::Uuids(vec![Some(value.id)])),
            ("effective_from", int(value.effective_from.0)),
            ("model", text(value.model.as_deref())),
            ("checkpoint", text(value.checkpoint.as_deref())),
            ("application", text(value.application.as_deref())),
            ("per_success_nanos", int(value.per_success)),
            ("currency", text(Some(&value.currency))),
            ("created_at", int(value.created_at.0)),
            ("created_by", told_by(&value.created_by)),
        ];
        self.insert(&Rows { table: "business_value", count: 1, columns }, "").await.map(|_| ())
    }
}

fn int(value: i64) -> ColumnData {
    ColumnData::Ints(vec![Some(value)])
}

fn text(value: Option<&str>) -> ColumnData {
    ColumnData::Texts(vec![value.map(str::to_owned)])
}

/// A subject; PostgreSQL cannot keep U+0000.
fn told_by(subject: &str) -> ColumnData {
    text(Some(&subject.replace('\0', "\u{fffd}")))
}

/// Card and place in it of each of its rates.
fn places(card: Uuid, count: usize) -> Vec<(&'static str, ColumnData)> {
    let place = |place: usize| Some(place as i64);
    vec![("card_id", ColumnData::Uuids(vec![Some(card); count])), ("place", ColumnData::Ints((0..count).map(place).collect()))]
}

impl Snapshot {
    /// How often prices have been added.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn prices_number(&self) -> Result<i64, StoreError> {
        self.counter("prices").await
    }

    /// A currency of a rate card or business value that is not this one, the first by its code; none: every price is in it.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn other_currency(&self, currency: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT currency FROM rate_card WHERE currency <> ? UNION SELECT currency FROM business_value WHERE currency <> ? \
                   ORDER BY currency LIMIT 1";
        let rows = self.rows(sql, vec![currency.into(), currency.into()]).await?;
        rows.first().map(|row| row.try_get_by_index(0)).transpose().map_err(StoreError::read)
    }

    /// The instant before which every month is closed; 1970 when none is.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn closed_until(&self) -> Result<Instant, StoreError> {
        let rows = self.rows(LAST_CLOSED, Vec::new()).await?;
        let last = rows.first().map(|row| row.try_get_by_index::<Option<i32>>(0)).transpose().map_err(StoreError::read)?;
        Ok(open_from(last.flatten()))
    }

    /// When a month (counted as by [`Instant::month`]) was closed and by whom; none: it was not closed by itself.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_month(&self, month: i32) -> Result<Option<(Instant, String)>, StoreError> {
        let sql = "SELECT closed_at, closed_by FROM cost_month WHERE month = ?";
        let rows = self.rows(sql, vec![month.into()]).await?;
        let read = |row: &QueryResult| Ok((Instant(row.try_get_by_index(0)?), row.try_get_by_index(1)?));
        rows.first().map(read).transpose().map_err(StoreError::read)
    }

    /// Every rate card with its rates, newest `effectiveFrom` first, then by id.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn rate_card_list(&self) -> Result<Vec<RateCard>, StoreError> {
        let sql = "SELECT id, effective_from, currency, created_at, created_by FROM rate_card ORDER BY effective_from DESC, id";
        let mut cards = self.rows(sql, Vec::new()).await?.iter().map(rate_card).collect::<Result<Vec<_>, _>>()?;
        let place_of: HashMap<Uuid, usize> = cards.iter().enumerate().map(|(place, card)| (card.id, place)).collect();
        // A rate without its card cannot be: both are written in one transaction.
        let place = |id: Uuid| place_of.get(&id).copied().ok_or(StoreError::Inconsistent("rate"));
        let sql = "SELECT card_id, hourly_nanos, instance_type, region, purchase_option FROM instance_rate ORDER BY card_id, place";
        for row in self.rows(sql, Vec::new()).await? {
            let (card, entry) = instance_entry(&row)?;
            cards[place(card)?].instance_rates.push(entry);
        }
        let sql = "SELECT card_id, per_gib_month_nanos, storage_type, location FROM storage_rate ORDER BY card_id, place";
        for row in self.rows(sql, Vec::new()).await? {
            let (card, entry) = place_entry(&row)?;
            cards[place(card)?].storage_rates.push(entry);
        }
        let sql = "SELECT card_id, per_gib_nanos, storage_type, location FROM transfer_rate ORDER BY card_id, place";
        for row in self.rows(sql, Vec::new()).await? {
            let (card, entry) = place_entry(&row)?;
            cards[place(card)?].transfer_rates.push(entry);
        }
        Ok(cards)
    }

    /// Every business value, newest `effectiveFrom` first, then by id.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn business_value_list(&self) -> Result<Vec<BusinessValue>, StoreError> {
        let sql = "SELECT id, effective_from, currency, created_at, created_by, model, checkpoint, application, per_success_nanos \
                   FROM business_value ORDER BY effective_from DESC, id";
        self.rows(sql, Vec::new()).await?.iter().map(|row| business_value(row).map_err(StoreError::read)).collect()
    }
}

fn rate_card(row: &QueryResult) -> Result<RateCard, StoreError> {
    let read = || -> Result<_, DbErr> {
        Ok(RateCard {
            id: row.try_get_by_index(0)?,
            effective_from: Instant(row.try_get_by_index(1)?),
            currency: row.try_get_by_index(2)?,
            instance_rates: Vec::new(),
            storage_rates: Vec::new(),
            transfer_rates: Vec::new(),
            created_at: Instant(row.try_get_by_index(3)?),
            created_by: row.try_get_by_index(4)?,
        })
    };
    read().map_err(StoreError::read)
}

fn instance_entry(row: &QueryResult) -> Result<(Uuid, InstanceEntry), StoreError> {
    let read = || -> Result<_, DbErr> {
        let (card, hourly, instance_type) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        let (region, option): (_, Option<i16>) = (row.try_get_by_index(3)?, row.try_get_by_index(4)?);
        Ok((card, InstanceEntry { instance_type, region, purchase_option: None, hourly }, option))
    };
    let (card, entry, option) = read().map_err(StoreError::read)?;
    let known = |code| PurchaseOption::from_code(code).ok_or(StoreError::Inconsistent("rate"));
    Ok((card, InstanceEntry { purchase_option: option.map(known).transpose()?, ..entry }))
}

fn place_entry(row: &QueryResult) -> Result<(Uuid, PlaceEntry), StoreError> {
    let read = || -> Result<_, DbErr> {
        let (code, location): (i16, _) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, code, location))
    };
    let (card, per_gib, code, location) = read().map_err(StoreError::read)?;
    let storage_type = StorageType::from_code(code).ok_or(StoreError::Inconsistent("rate"))?;
    Ok((card, PlaceEntry { storage_type, location, per_gib }))
}

fn business_value(row: &QueryResult) -> Result<BusinessValue, DbErr> {
    Ok(BusinessValue {
        id: row.try_get_by_index(0)?,
        effective_from: Instant(row.try_get_by_index(1)?),
        currency: row.try_get_by_index(2)?,
        created_at: Instant(row.try_get_by_index(3)?),
        created_by: row.try_get_by_index(4)?,
        model: row.try_get_by_index(5)?,
        checkpoint: row.try_get_by_index(6)?,
        application: row.try_get_by_index(7)?,
        per_success: row.try_get_by_index(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_closed_to_their_end() {
        assert_eq!(open_from(None), Instant(0));
        assert_eq!(open_from(Some(1970 * 12)).to_rfc3339(), "1970-02-01T00:00:00Z");
        assert_eq!(open_from(Some(2026 * 12 + 11)).to_rfc3339(), "2027-01-01T00:00:00Z");
    }
}
