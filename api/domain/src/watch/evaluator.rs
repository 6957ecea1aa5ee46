//! Evaluates the rules, once in the fleet.
//!
//! Invariants: one process at a time evaluates, under a lease that each of its writes checks; a look that finds the rules changed
//! meanwhile writes nothing; what a look changes is one transaction, with its number, so that who follows alerts misses nothing.
//! Must not know: figures, who reads alerts, how notices are sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::label::{Detection, Signal};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, SECOND_US};
use uuid::Uuid;

use super::evaluation::{Before, Changes, Observation, evaluate};
use super::rule::Rule;
use super::rules::{end, tell};
use super::series::{SeriesKeeper, first_day};
use super::signals::observe;
use super::updates::KNOWN_US;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::clock::IdSource;
use crate::live::bus::Bus;
use crate::store::{Alert, Lease, Leasehold, RuleSubject, SeriesDay, Store, StoreError};

/// When nobody has looked for so long, machines may have sent what nobody took.
const UNWATCHED_US: i64 = 60 * SECOND_US;
/// Alerts that are open at once at most, of all rules together.
const ALERTS_OPEN_MAX: usize = 10_000;
/// Series that are gone through before the right to evaluate is looked at again.
const SERIES_PER_RESTORE: usize = 10;
/// How often what is old is forgotten.
const FORGET_EVERY_US: i64 = HOUR_US;
/// How long alerts are kept after they have ended.
const ALERTS_KEPT_US: i64 = 400 * DAY_US;
/// The evaluation is noted at least this often, also when it changes nothing.
const NOTED_EVERY_US: i64 = 10 * SECOND_US;

/// The evaluator of one process.
pub struct Evaluator {
    reader: Reader,
    bus: Arc<dyn Bus>,
    ids: Arc<dyn IdSource>,
    leasehold: Leasehold,
    series: SeriesKeeper,
    /// Rules whose series are in memory.
    restored: HashSet<Uuid>,
    noted_at: Instant,
    forgotten_at: Instant,
    /// Since when subjects with open alerts have had no value.
    unseen: HashMap<RuleSubject, Instant>,
    /// Until then silence is no news: nobody looked before, and maybe nobody listened.
    settles_at: Instant,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("leasehold", &self.leasehold).finish_non_exhaustive()
    }
}

/// What one look did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// Alerts that began.
    pub opened: usize,
    /// Alerts that ended.
    pub resolved: usize,
}

/// What a look changes of all rules.
#[derive(Debug, Default)]
struct Outcome {
    opened: Vec<Alert>,
    resolved: Vec<Alert>,
    wait: Vec<(RuleSubject, Instant)>,
    forget: Vec<RuleSubject>,
    days: Vec<SeriesDay>,
    /// Since when subjects with open alerts have had no value.
    unseen: HashMap<RuleSubject, Instant>,
}

impl Outcome {
    fn add(&mut self, rule: &Rule, at: Instant, changes: Changes) {
        let of = |key: Uuid| (rule.id, key);
        self.opened.extend(changes.open);
        self.resolved.extend(changes.resolve);
        self.wait.extend(changes.wait.into_iter().map(|key| (of(key), at)));
        self.forget.extend(changes.forget.into_iter().map(of));
        self.unseen.extend(changes.unseen.into_iter().map(|(key, since)| (of(key), since)));
    }

    const fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.resolved.is_empty() && self.wait.is_empty() && self.forget.is_empty() && self.days.is_empty()
    }
}

impl Evaluator {
    /// An evaluator that tells this bus of its commits; `holder` names the process.
    #[must_use]
    pub fn new(store: Store, bus: Arc<dyn Bus>, ids: Arc<dyn IdSource>) -> Self {
        let holder = ids.next_id();
        Self {
            reader: Reader::new(store),
            bus,
            ids,
            leasehold: Leasehold::new("alerts", holder),
            series: SeriesKeeper::default(),
            restored: HashSet::new(),
            noted_at: Instant(0),
            forgotten_at: Instant(0),
            unseen: HashMap::new(),
            settles_at: Instant(0),
        }
    }

    /// Looks once at everything that rules look at.
    ///
    /// # Errors
    /// [`BreakdownError`] when the store fails; then nothing was changed.
    pub async fn run_once(&mut self, now: Instant) -> Result<Evaluated, BreakdownError> {
        let Some(lease) = self.lease(now).await? else {
            // Somebody else goes on with the series.
            self.lose_series();
            return Ok(Evaluated::default());
        };
        let evaluated = self.look(lease, now).await;
        if evaluated.is_err() {
            // Memory may be ahead of the database.
            self.lose_series();
        }
        evaluated
    }

    /// Gives the right to evaluate back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.leasehold.release(&self.reader.store).await
    }

    fn lose_series(&mut self) {
        (self.series, self.restored) = (SeriesKeeper::default(), HashSet::new());
        self.unseen.clear();
    }

    async fn lease(&mut self, now: Instant) -> Result<Option<Lease>, StoreError> {
        let last = self.leasehold.last();
        let held = self.leasehold.hold(&self.reader.store, now).await?;
        if last != held {
            // Somebody else has looked meanwhile.
            self.lose_series();
        }
        Ok(held)
    }

    /// Whether the right is still held, renewed in good time: a look may take long.
    async fn is_held(&mut self, lease: Lease) -> Result<bool, StoreError> {
        let now = self.reader.store.clock().now();
        Ok(self.lease(now).await? == Some(lease))
    }

    /// Takes up the series of rules that have none in memory yet; whether the right is still held.
    async fn restore(&mut self, lease: Lease, at: Instant) -> Result<bool, StoreError> {
        let snapshot = self.reader.store.snapshot().await?;
        let mut rules = snapshot.alert_rule_list().await?;
        rules.retain(|rule| rule.is_live() && rule.detection == Detection::Anomaly);
        let ids: Vec<Uuid> = rules.iter().map(|rule| rule.id).collect();
        self.series.forget(at, &ids);
        self.restored.retain(|id| ids.contains(id));
        rules.retain(|rule| !self.restored.contains(&rule.id));
        let mut known = Vec::with_capacity(rules.len());
        for rule in rules {
            let days = snapshot.alert_series_list(rule.id, first_day(at)).await?;
            known.push((rule, days));
        }
        // Going through the past takes a while, and needs no database.
        drop(snapshot);
        for (rule, days) in known {
            for (place, series) in self.series.newest(days).into_iter().enumerate() {
                self.series.restore(&rule, series, at);
                if place % SERIES_PER_RESTORE == 0 && !self.is_held(lease).await? {
                    return Ok(false);
                }
            }
            self.restored.insert(rule.id);
        }
        Ok(true)
    }

    async fn look(&mut self, lease: Lease, now: Instant) -> Result<Evaluated, BreakdownError> {
        if !self.restore(lease, now).await? {
            return Ok(Evaluated::default());
        }
        let reading = self.reader.begin().await?;
        let at = reading.snapshot.as_of;
        let rules_number = reading.snapshot.alert_rules_number().await?;
        let rules: Vec<Rule> = reading.snapshot.alert_rule_list().await?.into_iter().filter(Rule::is_live).collect();
        let observations = observe(&self.reader, &reading, &rules).await?;
        let outcome = self.decide(&reading, &rules, observations).await?;
        drop(reading);
        if !self.is_held(lease).await? {
            return Ok(Evaluated::default());
        }
        let evaluated = Evaluated { opened: outcome.opened.len(), resolved: outcome.resolved.len() };
        let is_forgetting = now.0 - self.forgotten_at.0 >= FORGET_EVERY_US;
        self.unseen.clone_from(&outcome.unseen);
        if outcome.is_empty() && !is_forgetting && (at.0 - self.noted_at.0).abs() < NOTED_EVERY_US {
            return Ok(evaluated);
        }
        if self.write(lease, at, rules_number, outcome, is_forgetting).await? {
            self.noted_at = at;
            if is_forgetting {
                self.forgotten_at = now;
            }
            Ok(evaluated)
        } else {
            self.lose_series();
            Ok(Evaluated::default())
        }
    }

    async fn decide(
        &mut self,
        reading: &Reading,
        rules: &[Rule],
        observations: Vec<Option<Vec<Observation>>>,
    ) -> Result<Outcome, BreakdownError> {
        let (snapshot, at) = (&reading.snapshot, reading.snapshot.as_of);
        if snapshot.alerts_evaluated_at().await?.is_some_and(|last| at.0 - last.0 > UNWATCHED_US) {
            self.settles_at = Instant(at.0 + UNWATCHED_US);
            self.unseen.clear();
        }
        let mut before: HashMap<Uuid, Before> = HashMap::new();
        for ((rule, subject), since) in snapshot.alert_wait_list().await? {
            before.entry(rule).or_default().waiting.insert(subject, since);
        }
        let open = snapshot.alert_open_list().await?;
        let mut room = ALERTS_OPEN_MAX.saturating_sub(open.len());
        for alert in open {
            before.entry(alert.rule_id).or_default().open.insert(alert.subject_key, alert);
        }
        for ((rule, subject), since) in &self.unseen {
            before.entry(*rule).or_default().unseen.insert(*subject, *since);
        }
        let mut outcome = Outcome::default();
        for (rule, observations) in rules.iter().zip(observations) {
            let mut before = before.remove(&rule.id).unwrap_or_default();
            // Nothing can be said of it: what was so is so.
            let Some(mut observations) = observations else { continue };
            if rule.detection == Detection::Anomaly {
                // A rule that has come since the series were taken up is taken up at the next look.
                if !self.restored.contains(&rule.id) {
                    continue;
                }
                outcome.days.extend(self.series.observe(rule, at, &mut observations));
            }
            before.is_settling = rule.signal == Signal::VmUnreachable && at < self.settles_at;
            let mut changes = evaluate(rule, at, before, &observations, &mut || self.ids.next_id());
            let refused = changes.refuse_above(room);
            if refused > 0 {
                metrics::counter!("plimsoll_alerts_refused_total").increment(refused as u64);
            }
            room -= changes.open.len();
            outcome.add(rule, at, changes);
        }
        Ok(outcome)
    }

    /// Writes what a look changes; whether the rules were still those that were looked at.
    async fn write(&self, lease: Lease, at: Instant, rules_number: i64, outcome: Outcome, is_forgetting: bool) -> Result<bool, StoreError> {
        let mut tx = self.reader.store.begin_write().await?;
        tx.lease_check(lease).await?;
        if tx.alerts_hold().await? != rules_number {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.alert_wait_begin(&outcome.wait).await?;
        tx.alert_wait_end(&outcome.forget).await?;
        tx.alert_series_put(outcome.days).await?;
        tx.alerts_evaluated(at).await?;
        if is_forgetting {
            tx.alert_forget(Instant(at.0 - KNOWN_US), Instant(at.0 - ALERTS_KEPT_US)).await?;
            tx.alert_series_forget(first_day(at)).await?;
        }
        let Outcome { opened, resolved, .. } = outcome;
        let mut changed = end(&mut tx, at, resolved).await?;
        tx.alert_open(&opened).await?;
        changed.extend(opened);
        let number = tell(&mut tx, at, &changed).await?;
        tx.commit().await?;
        if let Some(number) = number {
            self.bus.wake(number);
        }
        Ok(true)
    }
}
