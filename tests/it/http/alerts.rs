//! Webhooks of Alertmanager and Grafana, against the real program over real HTTP.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::access::Site;
use crate::lab::UNDER_LOAD;
use crate::support::{ask, ask_within, until};

const LIMIT: Duration = Duration::from_secs(20);
const LISTEN: &str = "listen = \"127.0.0.1:PORT\"\n";
const PATH: &str = "/api/alerts/alertmanager";

/// As Alertmanager 0.28 posts it.
fn alertmanager(alerts: &Value) -> String {
    json!({
        "receiver": "selfheal", "status": "firing", "version": "4", "groupKey": "{}:{}",
        "truncatedAlerts": 0, "externalURL": "http://alertmanager:9093",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "alerts": alerts,
    })
    .to_string()
}

fn alert(status: &str, labels: &Value) -> Value {
    json!({
        "status": status, "labels": labels,
        "annotations": { "summary": "the shop is slow <script>alert(1)</script>" },
        "startsAt": "2026-01-01T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph", "fingerprint": "92ec4f50d4d8cd4b",
    })
}

fn incidents(port: u16) -> Result<Vec<Value>> {
    let list: Value = serde_json::from_str(&ask("GET", port, "/api/incidents", "")?.body)?;
    Ok(list["incidents"].as_array().context("no list")?.clone())
}

#[test]
fn an_alert_on_what_is_broken_joins_the_incident_that_selfheal_found_itself() -> Result<()> {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let site = Site::new(&format!(
        "{LISTEN}{UNDER_LOAD}[[target]]\nkind = \"tcp\"\nname = \"shop\"\nurl = \"tcp://{gone}\"\n"
    ))?;
    let _daemon = site.run()?;
    let found = until("it sees that nobody listens", LIMIT, || {
        ask_within(LIMIT, "POST", site.port, "/api/monitoring/trigger-check", "{}")?;
        let found = incidents(site.port)?;
        found.into_iter().find(|one| one["target"] == "tcp:shop").context("not yet")
    })?;
    let body = alertmanager(&json!([alert(
        "firing",
        &json!({ "alertname": "ShopDown", "instance": gone.to_string() })
    ),]));
    let answer = ask("POST", site.port, PATH, &body)?;
    ensure!(answer.status == 200, "{answer:?}");
    let taken: Value = serde_json::from_str(&answer.body)?;
    ensure!(taken["data"]["firing"][0]["target"] == "tcp:shop", "{taken}");
    let id = found["id"].as_str().context("no id")?;
    let whole = until("the alert stands in it", LIMIT, || {
        let whole = ask("GET", site.port, &format!("/api/incidents/{id}"), "")?.body;
        ensure!(whole.contains("ShopDown"), "{whole}");
        Ok(whole)
    })?;
    let whole: Value = serde_json::from_str(&whole)?;
    ensure!(whole["diagnosis"]["issue_type"] == found["issue_type"], "{whole}");
    ensure!(incidents(site.port)?.iter().all(|one| one["issue_type"] != "outside-alert"));
    Ok(())
}

#[test]
fn one_that_names_nothing_here_is_told_of_with_its_text_escaped_and_ends_when_resolved()
-> Result<()> {
    let site = Site::new(&format!("{LISTEN}{UNDER_LOAD}"))?;
    let _daemon = site.run()?;
    let labels = json!({ "alertname": "<img src=x onerror=alert(1)>", "job": "\u{202e}\u{1b}[2J" });
    // As Grafana posts it.
    let grafana = json!({
        "version": "1", "orgId": 1, "title": "[FIRING:1]", "state": "alerting", "message": "x",
        "alerts": [alert("firing", &labels)],
    });
    let answer = ask("POST", site.port, PATH, &grafana.to_string())?;
    ensure!(answer.status == 200, "{answer:?}");
    let mine = until("it is an incident", LIMIT, || {
        let all = incidents(site.port)?;
        all.into_iter().find(|one| one["issue_type"] == "outside-alert").context("not yet")
    })?;
    ensure!(mine["state"] == "held" && mine["target"] == "host", "{mine}");
    let page = format!("/incidents/{}", mine["id"].as_str().context("no id")?);
    let page = ask("GET", site.port, &page, "")?.body;
    ensure!(page.contains("&lt;") || page.contains("&#60;"), "{page}");
    ensure!(!page.contains("<img src=x") && !page.contains("<script>alert"), "{page}");
    ensure!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
    let again = alertmanager(&json!([alert("resolved", &labels)]));
    let answer = ask("POST", site.port, PATH, &again)?;
    let taken: Value = serde_json::from_str(&answer.body)?;
    ensure!(taken["data"]["resolved"] == 1, "{taken}");
    Ok(())
}

#[test]
fn a_body_that_does_not_fit_is_answered_with_which_alert_and_which_field() -> Result<()> {
    let site = Site::new(&format!("{LISTEN}{UNDER_LOAD}"))?;
    let _daemon = site.run()?;
    let fine = alert("firing", &json!({ "alertname": "A" }));
    for (body, says) in [
        (json!({ "version": "4" }).to_string(), "missing field `alerts`"),
        (json!({ "version": "3", "alerts": [] }).to_string(), "`version`: unknown variant `3`"),
        (
            alertmanager(&json!([fine, alert("sleeping", &json!({}))])),
            "`alerts[1].status`: unknown variant `sleeping`, expected `firing` or `resolved`",
        ),
        (
            alertmanager(&json!([fine, alert("firing", &json!({ "severity": 3 }))])),
            "`alerts[1].labels.severity`: invalid type: integer `3`, expected a string",
        ),
        (alertmanager(&json!([{ "status": "firing" }])), "`alerts[0]`: missing field `labels`"),
        (String::new(), "EOF"),
        ("[]".to_owned(), "the body does not fit"),
    ] {
        let answer = ask("POST", site.port, PATH, &body)?;
        let problem: Value = serde_json::from_str(&answer.body)?;
        let detail = problem["detail"].as_str().context("no detail")?;
        ensure!(answer.status == 400 && detail.contains(says), "{body}: {detail}");
    }
    let own = alert("firing", &json!({ "alertname": "Selfheal", "incident": "x" }));
    let answer = ask("POST", site.port, PATH, &alertmanager(&json!([own])))?;
    let taken: Value = serde_json::from_str(&answer.body)?;
    ensure!(taken["data"]["own"] == 1 && taken["data"]["firing"] == json!([]), "{taken}");
    Ok(())
}
