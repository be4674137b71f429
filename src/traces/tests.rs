//! Against a receiver on loopback that decodes what comes, as a collector does.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::TimeDelta;
use selfheal_agents::model::{Severity, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::config::{Address, Traces};
use crate::coordinator::{AgentStep, CycleStatus, Happening, IncidentSummary, Trigger};

/// What came, and what is answered.
type Came = (mpsc::UnboundedSender<(HeaderMap, Value)>, StatusCode, Value);

async fn receive(
    State((tell, status, answer)): State<Came>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    tell.send((headers, serde_json::from_str(&body).unwrap())).unwrap();
    (status, answer.to_string())
}

struct Receiver {
    came: mpsc::UnboundedReceiver<(HeaderMap, Value)>,
    url: String,
}

async fn receiver(status: StatusCode, answer: Value) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, came) = mpsc::unbounded_channel();
    let router =
        Router::new().route("/v1/traces", post(receive)).with_state((tell, status, answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Receiver { came, url }
}

fn collector(url: &str) -> Arc<Collector> {
    let traces = Traces {
        endpoint: Address::new(url),
        headers: [("x-key".to_owned(), crate::config::Secret::new("open"))].into(),
        timeout: Duration::from_millis(500),
    };
    Arc::new(Collector::of(&traces, |_| None).unwrap().unwrap())
}

fn at(millis: i64) -> Timestamp {
    "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::milliseconds(millis)
}

fn agent(cycle_id: Uuid, agent: &str, took_ms: f64, failed: bool) -> Happening {
    let summary = format!("{agent} is done");
    Happening::Agent {
        cycle_id,
        step: AgentStep { agent: agent.to_owned(), took_ms, summary, failed },
    }
}

fn incident(state: &str) -> Happening {
    let incident: IncidentSummary = serde_json::from_value(json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "state": state,
        "severity": Severity::Critical, "target": "container:web", "issue_type": "container-oom",
        "title": "it was killed", "confidence": 92, "fix": "start container `web`", "holds": [],
        "opened_at": at(0), "closed_at": null,
    }))
    .unwrap();
    Happening::Incident { incident, text: format!("it is {state}") }
}

/// A cycle that begins a repair, and the repair.
fn story(cycle_id: Uuid, end: &str) -> Vec<(i64, Happening)> {
    let validation = |id: &str| Happening::Validation {
        incident: id.parse().unwrap(),
        healthy: true,
        detail: "well".to_owned(),
    };
    let started = Happening::CycleStarted { cycle_id, trigger: Trigger::Schedule, targets: None };
    let finished = Happening::CycleFinished {
        cycle_id,
        status: CycleStatus::Healing,
        took_ms: 900.0,
        findings: 2,
    };
    vec![
        (0, started),
        (500, agent(cycle_id, "health-monitor", 400.0, false)),
        (500, agent(cycle_id, "error-detector", 100.0, true)),
        (800, agent(cycle_id, "root-cause", 50.0, false)),
        (850, incident("fixing")),
        (900, finished),
        (2000, incident("validating")),
        (3000, validation("01890a5d-ac96-774b-bcce-b302099a8057")),
        (4000, incident(end)),
    ]
}

fn spans(request: &Value) -> Vec<Value> {
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

/// Plays a story and ends at once; answers everything that came by then.
async fn played(receiver: &mut Receiver, end: &str) -> (Arc<Collector>, Vec<(HeaderMap, Value)>) {
    let (collector, cancel) = (collector(&receiver.url), CancellationToken::new());
    let (tell, live) = broadcast::channel(64);
    for (id, (millis, what)) in (1..).zip(story(Uuid::now_v7(), end)) {
        tell.send(LiveEvent { id, at: at(millis), what }).unwrap();
    }
    cancel.cancel();
    run(Arc::clone(&collector), live, cancel).await;
    let mut came = vec![];
    while let Ok(one) = receiver.came.try_recv() {
        came.push(one);
    }
    (collector, came)
}

#[tokio::test]
async fn a_cycle_is_a_trace_with_its_agents_and_what_it_repaired_and_the_end_sends_all() {
    let mut receiver = receiver(StatusCode::OK, json!({})).await;
    let (collector, came) = played(&mut receiver, "resolved").await;
    let (headers, request) = &came[0];
    assert_eq!(
        (&headers["content-type"], &headers["x-key"]),
        (&"application/json".parse().unwrap(), &"open".parse().unwrap())
    );
    let resource = &request["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(resource[0], json!({"key": "service.name", "value": {"stringValue": "selfheal"}}));
    assert_eq!(resource[1]["key"], "service.version");
    let all: Vec<Value> = came.iter().flat_map(|(_, request)| spans(request)).collect();
    let by_name: BTreeMap<&str, &Value> =
        all.iter().map(|span| (span["name"].as_str().unwrap(), span)).collect();
    let names =
        ["apply", "cycle", "error-detector", "health-monitor", "repair", "root-cause", "validate"];
    assert!(by_name.keys().copied().eq(names), "{all:#?}");
    assert_eq!(collector.figures(), (7, 0));

    let cycle = by_name["cycle"];
    assert!(all.iter().all(|span| span["traceId"] == cycle["traceId"]), "one trace");
    let parents = [
        ("health-monitor", "cycle"),
        ("repair", "cycle"),
        ("apply", "repair"),
        ("validate", "repair"),
    ];
    for (name, parent) in parents {
        assert_eq!(by_name[name]["parentSpanId"], by_name[parent]["spanId"], "{name}");
    }
    assert!(cycle.get("parentSpanId").is_none());
    let hexadecimal = |id: &Value, length| {
        let id = id.as_str().unwrap();
        id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(
        all.iter()
            .all(|span| hexadecimal(&span["spanId"], 16) && hexadecimal(&span["traceId"], 32))
    );

    let times = |name: &str| {
        let nanos = |key: &str| by_name[name][key].as_str().unwrap().parse::<i64>().unwrap();
        let since = |key| (nanos(key) - at(0).timestamp_nanos_opt().unwrap()) / 1_000_000;
        (since("startTimeUnixNano"), since("endTimeUnixNano"))
    };
    assert_eq!(times("cycle"), (0, 900));
    assert_eq!((times("health-monitor"), times("error-detector")), ((0, 400), (400, 500)));
    assert_eq!((times("root-cause"), times("repair")), ((750, 800), (850, 4000)));
    assert_eq!((times("apply"), times("validate")), ((850, 2000), (2000, 4000)));

    let value = |name: &str, key: &str| {
        let attributes = by_name[name]["attributes"].as_array().unwrap();
        attributes.iter().find(|one| one["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("cycle", "selfheal.cycle.trigger"), json!({"stringValue": "schedule"}));
    assert_eq!(value("cycle", "selfheal.cycle.findings"), json!({"intValue": "2"}));
    assert_eq!(value("repair", "container.name"), json!({"stringValue": "web"}));
    assert_eq!(value("validate", "selfheal.validation.looks"), json!({"intValue": "1"}));
    assert_eq!(
        by_name["error-detector"]["status"],
        json!({"code": 2, "message": "error-detector is done"})
    );
    assert!(cycle.get("status").is_none() && by_name["repair"].get("status").is_none());
}

#[tokio::test]
async fn a_repair_that_was_taken_back_has_failed() {
    let mut receiver = receiver(StatusCode::OK, json!({})).await;
    let (_, came) = played(&mut receiver, "rolled_back").await;
    let all: Vec<Value> = came.iter().flat_map(|(_, request)| spans(request)).collect();
    for name in ["repair", "validate"] {
        let span = all.iter().find(|span| span["name"] == name).unwrap();
        assert_eq!(span["status"], json!({"code": 2, "message": "it is rolled_back"}), "{name}");
    }
}

#[tokio::test]
async fn what_a_collector_does_not_take_is_counted_and_nothing_waits_for_it() {
    // It refuses; it takes some; nobody is there; somebody never answers.
    let mut refuses = receiver(StatusCode::SERVICE_UNAVAILABLE, json!({})).await;
    assert_eq!(played(&mut refuses, "resolved").await.0.figures(), (0, 7));
    let partly = json!({"partialSuccess": {"rejectedSpans": "3"}});
    let mut takes_some = receiver(StatusCode::OK, partly).await;
    let (sent, dropped) = played(&mut takes_some, "resolved").await.0.figures();
    assert_eq!((sent + dropped, dropped % 3, dropped > 0), (7, 0, true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = receiver(StatusCode::OK, json!({})).await;
    silent.url = format!("http://{}", listener.local_addr().unwrap());
    assert_eq!(played(&mut silent, "resolved").await.0.figures(), (0, 7));
    drop(listener);
    assert_eq!(played(&mut silent, "resolved").await.0.figures(), (0, 7));
}
