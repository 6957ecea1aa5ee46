//! What costs are going to be.

use std::sync::Arc;

use async_graphql::SimpleObject;
use plimsoll_domain::breakdown::executions::RowKey;
use plimsoll_domain::cost::forecast::{self, Course};

use super::key::BreakdownKey;
use super::money::{Currency, Money};
use super::window::TimeWindow;
use crate::graphql::scalar::DateTime;

/// A forecast of costs.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostForecast {
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Currency of every amount, as an ISO 4217 code.
    pub currency: Arc<str>,
    /// The largest rows by what they cost in the history.
    pub rows: Vec<CostForecastRow>,
    /// Everything, with the rows that `limit` cut off: each day is the sum of what is expected of all of them. Its key is empty.
    pub total: CostForecastRow,
}

/// A history of costs and what is expected to follow.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostForecastRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// What it cost, by UTC day; the first and the last are cut to the history, and the last may go on.
    pub history: Vec<ForecastPoint>,
    /// What is expected, in days of 24 hours from the end of the history on. Learned from whole days that are over.
    pub forecast: Vec<ForecastPoint>,
    /// How it was forecast: of the methods that were tried the one that was least off on held-back days. One of `mean`, `seasonal naive (7 days)`, `ETS`, `MSTL (7 days) + ETS` and, of the total, `sum of the rows`. Where the total by itself was less off than that sum, the rows end with `, scaled to the total`.
    pub method: String,
    /// Mean absolute error on a held-back tail of the history over that of the seasonal naive forecast (period 7 days) of the same tail: below 1 beats it, 1 where both were right; null with too little history (less than 21 whole days), and where only the naive one was right.
    pub backtest_mase: Option<f64>,
    /// Sum of what is expected of all days.
    pub expected_total: Money,
}

/// A day of a history or a forecast.
#[derive(SimpleObject, Clone, Debug)]
pub struct ForecastPoint {
    /// The day.
    pub window: TimeWindow,
    /// What it cost, or is expected to cost; at least 0.
    pub expected: Money,
    /// Lower end of a band that holds 95 of 100 outcomes, should the errors be those of the held-back days; null in the history and with too little of it.
    pub low: Option<Money>,
    /// Upper end of that band; null as `low`.
    pub high: Option<Money>,
}

fn row(key: RowKey, course: Course) -> CostForecastRow {
    let expected_total = Money(course.expected_total());
    let was =
        |(window, amount): (_, i128)| ForecastPoint { window: TimeWindow::from(window), expected: Money(amount), low: None, high: None };
    let will_be = |point: forecast::ForecastPoint| ForecastPoint {
        window: point.window.into(),
        expected: Money(point.expected),
        low: point.band.map(|(low, _)| Money(low)),
        high: point.band.map(|(_, high)| Money(high)),
    };
    CostForecastRow {
        key: BreakdownKey(key),
        history: course.history.into_iter().map(was).collect(),
        forecast: course.points.into_iter().map(will_be).collect(),
        method: format!("{}{}", course.method.name(), if course.is_scaled { ", scaled to the total" } else { "" }),
        backtest_mase: course.backtest_mase,
        expected_total,
    }
}

impl CostForecast {
    /// The forecast in this currency.
    #[must_use]
    pub fn of(of: forecast::CostForecast, currency: Currency) -> Self {
        let everything = RowKey { by: Arc::from([]), ids: Default::default() };
        Self {
            as_of: DateTime(of.as_of),
            currency: currency.0,
            rows: of.rows.into_iter().map(|(key, course)| row(key, course)).collect(),
            total: row(everything, of.total),
        }
    }
}
