//! Making, changing and deleting alert rules; taking alerts.

use async_graphql::{Context, ID, MaybeUndefined, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::watch::rule::{RULES_MAX, Rule, check};
use plimsoll_domain::watch::rules::{Made, acknowledge, change, make};
use plimsoll_domain::watch::webhook_url::check_url;
use plimsoll_gate::Code;
use uuid::Uuid;

use super::Writing;
use crate::auth::Caller;
use crate::auth::access::roles_of_signal;
use crate::graphql::ask::dimensions;
use crate::graphql::error::of_store;
use crate::graphql::guard;
use crate::graphql::query::alerts::{readable_alert, readable_rule, readable_signals};
use crate::graphql::types::alert::{Alert, AlertPayload, AlertRule, AlertRuleInput, AlertRulePatch, AlertRulePayload, UserError};
use crate::graphql::types::id::{NodeKind, parse_uuid};

/// Root fields that change alerts.
#[derive(Default)]
pub struct AlertMutation;

#[Object]
impl AlertMutation {
    /// Makes a rule of a signal that the caller may read. At most 500 rules. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.alertRuleCreate")))]
    async fn alert_rule_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule.")] input: AlertRuleInput,
    ) -> Result<Option<AlertRulePayload>> {
        if !guard::allows(ctx, "Mutation.alertRuleCreate") {
            return Ok(None);
        }
        let (writing, store) = (ctx.data::<Writing>()?, &ctx.data::<Reader>()?.store);
        let rule = rule_of(input, writing.ids.next_id(), store.clock().now());
        if !readable_signals(ctx).contains(&rule.signal) {
            let roles = roles_of_signal(rule.signal).iter().map(|role| role.wire()).collect::<Vec<_>>().join(" or ");
            let message = format!("a rule of this signal requires the role {roles}");
            return Ok(Some(refused(vec![UserError::new(Code::Forbidden, &["input", "signal"], message)])));
        }
        let errors = faults("input", &rule, writing);
        if !errors.is_empty() {
            return Ok(Some(refused(errors)));
        }
        match make(store, &rule).await.map_err(of_store)? {
            Made::Done => Ok(Some(done(rule))),
            Made::TooMany => {
                let message = format!("there are {RULES_MAX} rules already: delete one first");
                Ok(Some(refused(vec![UserError::new(Code::LimitExceeded, &["input"], message)])))
            }
        }
    }

    /// Changes a rule; its conditions begin to count anew, and with `enabled: false` its open alerts end. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.alertRuleUpdate")))]
    async fn alert_rule_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the rule.")] id: ID,
        #[graphql(desc = "What changes; what is absent stays.")] patch: AlertRulePatch,
    ) -> Result<Option<AlertRulePayload>> {
        if !guard::allows(ctx, "Mutation.alertRuleUpdate") {
            return Ok(None);
        }
        let writing = ctx.data::<Writing>()?;
        let errors = missing(&patch);
        if !errors.is_empty() {
            return Ok(Some(refused(errors)));
        }
        let mut faulty = Vec::new();
        let given = given(&patch);
        let patched = |rule: Rule| {
            let rule = patch_rule(rule, patch);
            faulty = faults("patch", &rule, writing);
            // What stays as it is cannot be wrong now.
            faulty.retain(|error| error.field.get(1).is_some_and(|field| given.contains(&field.as_str())));
            faulty.is_empty().then_some(rule)
        };
        let changed = change_rule(ctx, &id, patched).await?;
        Ok(Some(if faulty.is_empty() { changed } else { refused(faulty) }))
    }

    /// Deletes a rule; its open alerts end, and all of its alerts go on to name it. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.alertRuleDelete")))]
    async fn alert_rule_delete(&self, ctx: &Context<'_>, #[graphql(desc = "Id of the rule.")] id: ID) -> Result<Option<AlertRulePayload>> {
        if !guard::allows(ctx, "Mutation.alertRuleDelete") {
            return Ok(None);
        }
        let now = ctx.data::<Reader>()?.store.clock().now();
        change_rule(ctx, &id, |rule| Some(Rule { deleted_at: Some(now), ..rule })).await.map(Some)
    }

    /// Takes an alert that is firing. One that somebody has taken already stays theirs, a resolved one is a CONFLICT. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.alertAcknowledge")))]
    async fn alert_acknowledge(&self, ctx: &Context<'_>, #[graphql(desc = "Id of the alert.")] id: ID) -> Result<Option<AlertPayload>> {
        if !guard::allows(ctx, "Mutation.alertAcknowledge") {
            return Ok(None);
        }
        let refused =
            |code: Code, message: &str| Some(AlertPayload { alert: None, user_errors: vec![UserError::new(code, &["id"], message)] });
        let readable = match parse_uuid(NodeKind::Alert, &id) {
            Some(uuid) => readable_alert(ctx, uuid).await?,
            None => None,
        };
        let Some(alert) = readable else { return Ok(refused(Code::NotFound, "there is no such alert")) };
        let (caller, store) = (ctx.data::<Caller>()?, &ctx.data::<Reader>()?.store);
        let (alert, number) = acknowledge(store, alert.id, &caller.subject, store.clock().now()).await.map_err(of_store)?;
        wake(ctx, number)?;
        Ok(match alert {
            None => refused(Code::NotFound, "there is no such alert"),
            Some(alert) if alert.resolved_at.is_some() => refused(Code::Conflict, "the alert is resolved"),
            Some(alert) => Some(AlertPayload { alert: Some(Alert(alert)), user_errors: Vec::new() }),
        })
    }
}

fn done(rule: Rule) -> AlertRulePayload {
    AlertRulePayload { alert_rule: Some(AlertRule(rule)), user_errors: Vec::new() }
}

fn refused(user_errors: Vec<UserError>) -> AlertRulePayload {
    AlertRulePayload { alert_rule: None, user_errors }
}

/// Tells others of a commit.
fn wake(ctx: &Context<'_>, number: Option<u64>) -> Result<()> {
    if let Some(number) = number {
        ctx.data::<Writing>()?.bus.wake(number);
    }
    Ok(())
}

/// Changes a rule that the caller may read.
async fn change_rule(ctx: &Context<'_>, id: &ID, patched: impl FnOnce(Rule) -> Option<Rule>) -> Result<AlertRulePayload> {
    let no_rule = || refused(vec![UserError::new(Code::NotFound, &["id"], "there is no such rule")]);
    let readable = match parse_uuid(NodeKind::AlertRule, id) {
        Some(uuid) => readable_rule(ctx, uuid).await?,
        None => None,
    };
    let Some(rule) = readable else { return Ok(no_rule()) };
    let store = &ctx.data::<Reader>()?.store;
    let (rule, number) = change(store, rule.id, store.clock().now(), patched).await.map_err(of_store)?;
    wake(ctx, number)?;
    Ok(rule.map_or_else(no_rule, done))
}

fn rule_of(input: AlertRuleInput, id: Uuid, created_at: plimsoll_entity::value::time::Instant) -> Rule {
    Rule {
        id,
        name: input.name,
        signal: input.signal.into(),
        detection: input.detection.into(),
        threshold: input.threshold,
        for_seconds: input.for_seconds,
        severity: input.severity.into(),
        by: dimensions(input.by),
        enabled: input.enabled,
        webhook_url: input.webhook_url,
        created_at,
        deleted_at: None,
    }
}

fn patch_rule(rule: Rule, patch: AlertRulePatch) -> Rule {
    /// What is absent stays, null is nothing.
    fn or_stays<T>(patched: MaybeUndefined<T>, stays: Option<T>) -> Option<T> {
        match patched {
            MaybeUndefined::Undefined => stays,
            MaybeUndefined::Null => None,
            MaybeUndefined::Value(value) => Some(value),
        }
    }
    Rule {
        name: patch.name.take().unwrap_or(rule.name),
        threshold: or_stays(patch.threshold, rule.threshold),
        for_seconds: patch.for_seconds.take().unwrap_or(rule.for_seconds),
        severity: patch.severity.take().map_or(rule.severity, Into::into),
        enabled: patch.enabled.take().unwrap_or(rule.enabled),
        webhook_url: or_stays(patch.webhook_url, rule.webhook_url),
        ..rule
    }
}

/// The fields that a patch names.
fn given(patch: &AlertRulePatch) -> Vec<&'static str> {
    let fields = [
        ("name", patch.name.is_undefined()),
        ("threshold", patch.threshold.is_undefined()),
        ("forSeconds", patch.for_seconds.is_undefined()),
        ("severity", patch.severity.is_undefined()),
        ("enabled", patch.enabled.is_undefined()),
        ("webhookUrl", patch.webhook_url.is_undefined()),
    ];
    fields.into_iter().filter(|(_, is_absent)| !is_absent).map(|(field, _)| field).collect()
}

/// What a patch takes away that a rule must have.
fn missing(patch: &AlertRulePatch) -> Vec<UserError> {
    let nulls = [
        ("name", patch.name.is_null()),
        ("forSeconds", patch.for_seconds.is_null()),
        ("severity", patch.severity.is_null()),
        ("enabled", patch.enabled.is_null()),
    ];
    let error = |field: &str| UserError::new(Code::BadUserInput, &["patch", field], format!("{field} cannot be null"));
    nulls.into_iter().filter(|(_, is_null)| *is_null).map(|(field, _)| error(field)).collect()
}

/// Everything that is wrong with a rule in an argument.
fn faults(argument: &str, rule: &Rule, writing: &Writing) -> Vec<UserError> {
    let mut errors: Vec<UserError> = check(rule).into_iter().map(|fault| UserError::of_fault(argument, fault)).collect();
    let refusal = rule.webhook_url.as_deref().and_then(|url| check_url(url, &writing.webhook_allow).err());
    errors.extend(refusal.map(|refusal| UserError::new(Code::BadUserInput, &[argument, "webhookUrl"], refusal.to_string())));
    errors
}
