//! Notices of alerts, in the shape that Alertmanager takes (`POST /api/v2/alerts`). Pure.
//!
//! Invariants: the labels of an alert are the same when it begins and when it ends, since receivers know it by them; the same alert
//! in the same state makes the same bytes and the same id. Must not know: how notices are kept and sent.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::AlertState;
use plimsoll_entity::value::time::Instant;
use serde::Serialize;
use uuid::Uuid;

use super::webhook_url::host;
use crate::store::{Alert, Delivery};

/// An alert as Alertmanager takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

/// What a receiver is sent of an alert: a JSON array of one. Without `endsAt` the alert is firing.
#[must_use]
pub fn body(alert: &Alert) -> String {
    let (low, high) = alert.band.unzip();
    let figures = [("value", Some(alert.value)), ("expected", alert.expected), ("expected_low", low), ("expected_high", high)];
    let mut annotations: BTreeMap<&'static str, String> =
        figures.into_iter().filter_map(|(name, figure)| Some((name, figure?.to_string()))).collect();
    annotations.insert("summary", alert.summary.clone());
    let posted = PostableAlert {
        labels: labels(alert),
        annotations,
        starts_at: alert.started_at.to_rfc3339(),
        ends_at: alert.resolved_at.map(Instant::to_rfc3339),
    };
    // Texts are always JSON.
    serde_json::to_string(&[posted]).unwrap_or_default()
}

/// The notices that these changes of alerts make: of those that have an address.
#[must_use]
pub fn deliveries(alerts: &[Alert], at: Instant) -> Vec<Delivery> {
    let of_alert = |alert: &Alert| {
        let url = alert.webhook_url.clone()?;
        let is_end = alert.state == AlertState::Resolved;
        let state: &[u8] = if is_end { b"resolved" } else { b"firing" };
        Some(Delivery {
            // An alert begins once and ends once.
            id: Uuid::new_v5(&alert.id, state),
            alert_id: alert.id,
            is_end,
            created_at: at,
            due_at: at,
            attempts: 0,
            host: host(&url)?,
            url,
            body: body(alert),
        })
    };
    alerts.iter().filter_map(of_alert).collect()
}

fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("alertname".to_owned(), alert.rule_name.clone()),
        ("severity".to_owned(), alert.severity.wire().to_lowercase()),
        ("signal".to_owned(), alert.signal.wire().to_owned()),
        ("subject".to_owned(), alert.subject.clone()),
    ]);
    for (name, value) in &alert.labels {
        let mut name = label_name(name);
        // The four above keep their meaning, and no two of an alert's own become one.
        while labels.contains_key(&name) {
            name.push('_');
        }
        labels.insert(name, value.clone());
    }
    labels
}

/// A name as labels may have: letters, digits and underscores, no digit first.
fn label_name(name: &str) -> String {
    let mut valid: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if !valid.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        valid.insert(0, '_');
    }
    valid
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::{Severity, Signal};
    use serde_json::{Value, json};

    use super::*;

    /// 2026-03-02T00:00:00Z.
    const NOW: Instant = Instant(1_772_409_600_000_000);

    fn alert() -> Alert {
        Alert {
            id: Uuid::from_u128(2),
            rule_id: Uuid::from_u128(1),
            signal: Signal::GpuTemperatureCelsius,
            subject: "a GPU 0".to_owned(),
            subject_key: Uuid::from_u128(3),
            labels: vec![("vm".to_owned(), "a".to_owned()), ("gpu".to_owned(), "0".to_owned())],
            state: AlertState::Firing,
            severity: Severity::Warning,
            summary: "GPU temperature is 91".to_owned(),
            value: 91.0,
            expected: Some(60.5),
            band: Some((58.0, 63.25)),
            started_at: NOW,
            resolved_at: None,
            acknowledged_by: None,
            rule_name: "GPU \"hot\"".to_owned(),
            webhook_url: None,
        }
    }

    fn parsed(alert: &Alert) -> Value {
        serde_json::from_str(&body(alert)).unwrap()
    }

    #[test]
    fn an_alert_is_what_alertmanager_takes() {
        let firing = parsed(&alert());
        let expected = json!([{
            "labels": { "alertname": "GPU \"hot\"", "severity": "warning", "signal": "GPU_TEMPERATURE_CELSIUS", "subject": "a GPU 0", "vm": "a", "gpu": "0" },
            "annotations": { "summary": "GPU temperature is 91", "value": "91", "expected": "60.5", "expected_low": "58", "expected_high": "63.25" },
            "startsAt": NOW.to_rfc3339(),
        }]);
        assert_eq!(firing, expected);
        let end = Instant(NOW.0 + 1_000_000);
        let resolved = Alert { state: AlertState::Resolved, resolved_at: Some(end), expected: None, band: None, ..alert() };
        let ended = parsed(&resolved);
        assert_eq!((&ended[0]["labels"], &ended[0]["endsAt"]), (&firing[0]["labels"], &json!(end.to_rfc3339())));
        assert_eq!(ended[0]["annotations"], json!({ "summary": "GPU temperature is 91", "value": "91" }));
        assert_eq!(body(&alert()), body(&alert()));
    }

    #[test]
    fn label_names_become_valid_and_never_take_the_place_of_another() {
        let labels = [("0 day", "a"), ("severity", "b"), ("größe", "c"), ("x-y", "d"), ("x_y", "e"), ("", "f")];
        let odd = Alert { labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), ..alert() };
        let written = &parsed(&odd)[0]["labels"];
        for (name, value) in
            [("_0_day", "a"), ("severity_", "b"), ("gr__e", "c"), ("x_y", "d"), ("x_y_", "e"), ("_", "f"), ("severity", "warning")]
        {
            assert_eq!(written[name], value, "{written}");
        }
    }

    #[test]
    fn only_alerts_with_an_address_make_notices_and_each_state_one() {
        assert_eq!(deliveries(&[alert()], NOW), []);
        let firing = Alert { webhook_url: Some("https://hooks.example.com:8443/x".to_owned()), ..alert() };
        let resolved = Alert { state: AlertState::Resolved, resolved_at: Some(NOW), ..firing.clone() };
        let made = deliveries(&[firing, resolved], NOW);
        assert_eq!(made.len(), 2);
        assert_ne!(made[0].id, made[1].id);
        assert!(made.iter().all(|delivery| delivery.host == "hooks.example.com" && delivery.due_at == NOW && delivery.attempts == 0));
    }
}
