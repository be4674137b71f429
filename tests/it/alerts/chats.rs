//! The channels that speak a service's language, against a receiver that answers as the service
//! does and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use selfheal::alerts::{
    Alertmanager, Channel, ChannelKind, Discord, LIMIT, Ntfy, PagerDuty, Slack, Teams, Telegram,
    Webhook,
};
use selfheal_agents::fakes::MemoryStore;
use selfheal_agents::model::{SecretText, Severity};
use selfheal_agents::ports::Store;
use serde_json::{Value, json};

use super::delivery::Worker;
use crate::store::samples::{alert, incident_id};

/// One request as it arrived.
struct Request {
    path: String,
    headers: HeaderMap,
    raw: Vec<u8>,
    body: Value,
}

/// A service: what it answers, in order (the last again and again), and what it was sent.
struct Service {
    answers: Mutex<VecDeque<(u16, Value)>>,
    requests: Mutex<Vec<Request>>,
}

impl Service {
    /// Listens; answers its base address, too.
    async fn answering(answers: &[(u16, Value)]) -> (Arc<Self>, String) {
        let answers = Mutex::new(answers.iter().cloned().collect());
        let service = Arc::new(Self { answers, requests: Mutex::default() });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(Self::take).with_state(Arc::clone(&service));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (service, address)
    }

    #[expect(clippy::unused_async, reason = "what answers a request is async")]
    async fn take(
        State(me): State<Arc<Self>>,
        uri: Uri,
        headers: HeaderMap,
        raw: Bytes,
    ) -> (StatusCode, String) {
        let body = serde_json::from_slice(&raw).unwrap_or_default();
        let asked = uri.to_string();
        let request = Request { path: uri.path().to_owned(), headers, raw: raw.to_vec(), body };
        me.requests.lock().unwrap().push(request);
        let mut answers = me.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let (status, body) = next.unwrap();
        // As servers do that do not know a path.
        let body =
            if status == 404 { format!("Cannot POST {asked}: {body}") } else { body.to_string() };
        (StatusCode::from_u16(status).unwrap(), body)
    }

    /// What is at this place of each request's body.
    fn all(&self, pointer: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|r| r.body.pointer(pointer).cloned().unwrap_or_default()).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.path.clone()).collect()
    }
}

/// Lets an incident be held, get stuck and be resolved after all, and waits until all of it was told.
async fn a_life(kind: ChannelKind) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    for event in ["held", "stuck", "resolved"] {
        let mut told = alert(Some(incident_id(1)), event, 0);
        if event == "resolved" {
            told.severity = Severity::Info;
        }
        store.enqueue(&told, &["chat".to_owned()]).await.unwrap();
    }
    let worker = Worker::start(
        &store,
        vec![Channel { name: "chat".to_owned(), kind, quiet: Arc::default() }],
    );
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    worker.stop().await;
}

async fn tried(kind: ChannelKind) -> Result<(), String> {
    let channel = Channel { name: "chat".to_owned(), kind, quiet: Arc::default() };
    channel.try_out(&alert(Some(incident_id(1)), "held", 0)).await
}

fn posted(ts: &str) -> (u16, Value) {
    (200, json!({ "ok": true, "channel": "C1", "ts": ts }))
}

fn bot(api: &str) -> ChannelKind {
    let token = SecretText::new("xoxb-c4n4ry");
    ChannelKind::Slack(Slack::by_bot(&token, "ops", api, LIMIT).unwrap())
}

#[tokio::test]
async fn a_bot_in_slack_keeps_an_incident_in_one_thread_whose_first_message_is_up_to_date() {
    let (slack, api) = Service::answering(&[posted("1.1"), posted("1.2"), posted("1.1")]).await;
    a_life(bot(&api)).await;
    let (post, update) = ("/chat.postMessage", "/chat.update");
    assert_eq!(slack.paths(), [post, post, update, post, update]);
    assert_eq!(slack.all("/channel"), ["ops", "C1", "C1", "C1", "C1"]);
    let threads = slack.all("/thread_ts");
    assert_eq!(threads, [json!(null), json!("1.1"), json!(null), json!("1.1"), json!(null)]);
    let changed = slack.all("/ts");
    assert_eq!(changed, [json!(null), json!(null), json!("1.1"), json!(null), json!("1.1")]);
    let sign = slack.all("/blocks/0/text/text");
    assert!(sign[0].as_str().unwrap().starts_with(":red_circle:"), "{sign:?}");
    assert!(sign[4].as_str().unwrap().starts_with(":large_green_circle:"), "{sign:?}");
    let requests = slack.requests.lock().unwrap();
    assert_eq!(requests[0].headers["authorization"], "Bearer xoxb-c4n4ry");
}

#[tokio::test]
async fn a_thread_that_somebody_removed_begins_anew() {
    let gone = (200, json!({ "ok": false, "error": "not_in_channel" }));
    let (slack, api) = Service::answering(&[posted("1.1"), gone, posted("2.1")]).await;
    a_life(bot(&api)).await;
    let threads = slack.all("/thread_ts");
    let (none, old, new) = (json!(null), json!("1.1"), json!("2.1"));
    // The first, the vanished thread, a new first; then its answer and its change.
    assert_eq!(threads, [none.clone(), old, none.clone(), new, none]);
}

#[tokio::test]
async fn a_first_message_that_cannot_be_changed_says_nothing_twice() {
    let busy = (503, json!("try later"));
    let answers = [posted("1.1"), posted("1.2"), busy.clone(), posted("1.3"), busy];
    let (slack, api) = Service::answering(&answers).await;
    a_life(bot(&api)).await;
    let posts = slack.paths().iter().filter(|path| path.ends_with("postMessage")).count();
    assert_eq!(posts, 3, "one for each alert");
}

#[tokio::test]
async fn what_slack_refuses_is_said_with_its_remedy_and_without_the_token() {
    let (_slack, api) =
        Service::answering(&[(200, json!({ "ok": false, "error": "not_in_channel" }))]).await;
    let why = tried(bot(&api)).await.unwrap_err();
    assert!(why.contains("not_in_channel") && why.contains("invite the bot"), "{why}");
    assert!(!why.contains("c4n4ry"), "{why}");
}

#[tokio::test]
async fn a_bot_is_asked_whether_it_may_come_in_with_nothing_sent() {
    let refused = json!({ "ok": false, "error": "invalid_auth", "description": "Unauthorized" });
    let (service, api) = Service::answering(&[(200, json!({ "ok": true })), (200, refused)]).await;
    let channel = |kind| Channel { name: "chat".to_owned(), kind, quiet: Arc::default() };
    let token = SecretText::new("1:c4n4ry");
    let telegram = || ChannelKind::Telegram(Telegram::new(&token, "1", &api, LIMIT).unwrap());
    assert_eq!(channel(telegram()).check().await, Some(Ok(())));
    for kind in [telegram(), bot(&api)] {
        let why = channel(kind).check().await.unwrap().unwrap_err();
        assert!(!why.contains("c4n4ry") && why.to_lowercase().contains("auth"), "{why}");
    }
    assert_eq!(service.paths()[1..], ["/bot1:c4n4ry/getMe", "/auth.test"]);
}

#[tokio::test]
async fn an_address_that_is_a_secret_is_in_no_refusal() {
    let (_service, address) = Service::answering(&[(404, json!("no_service"))]).await;
    let secret = |path: &str| SecretText::new(format!("{address}{path}"));
    let down = SecretText::new("http://127.0.0.1:9/c4n4ry");
    for kind in [
        ChannelKind::Slack(Slack::by_webhook(secret("/c4n4ry"), LIMIT).unwrap()),
        ChannelKind::Discord(Discord::new(secret("/c4n4ry"), LIMIT).unwrap()),
        ChannelKind::Teams(Teams::new(secret("/c4n4ry"), LIMIT).unwrap()),
        ChannelKind::Ntfy(Ntfy::new(&secret("/c4n4ry"), None, LIMIT).unwrap()),
        ChannelKind::Telegram(
            Telegram::new(&SecretText::new("c4n4ry"), "1", &address, LIMIT).unwrap(),
        ),
        ChannelKind::PagerDuty(PagerDuty::new(SecretText::new("c4n4ry"), &address, LIMIT).unwrap()),
        ChannelKind::Alertmanager(Alertmanager::new(&secret("/c4n4ry"), &[], LIMIT).unwrap()),
    ] {
        let why = tried(kind).await.unwrap_err();
        assert!(why.contains("404") && why.contains("no_service"), "{why}");
        assert!(!why.contains("c4n4ry"), "{why}");
    }
    let why = tried(ChannelKind::Discord(Discord::new(down, LIMIT).unwrap())).await.unwrap_err();
    assert!(!why.contains("c4n4ry") && why.contains("refused"), "{why}");
}

#[tokio::test]
async fn telegram_answers_the_first_message_of_the_incident() {
    let sent = |id: i64| (200, json!({ "ok": true, "result": { "message_id": id } }));
    let (telegram, api) = Service::answering(&[sent(7), sent(8), sent(9)]).await;
    let token = SecretText::new("123:c4n4ry");
    a_life(ChannelKind::Telegram(Telegram::new(&token, "-100", &api, LIMIT).unwrap())).await;
    assert_eq!(telegram.paths(), vec!["/bot123:c4n4ry/sendMessage"; 3]);
    assert_eq!(telegram.all("/chat_id"), ["-100", "-100", "-100"]);
    let answered = telegram.all("/reply_parameters/message_id");
    assert_eq!(answered, [json!(null), json!(7), json!(7)]);
}

#[tokio::test]
async fn pagerduty_is_triggered_and_resolved_under_one_key() {
    let (pagerduty, api) = Service::answering(&[(202, json!({ "status": "success" }))]).await;
    let key = SecretText::new("routing");
    a_life(ChannelKind::PagerDuty(PagerDuty::new(key, &api, LIMIT).unwrap())).await;
    assert_eq!(pagerduty.all("/event_action"), ["trigger", "trigger", "resolve"]);
    assert_eq!(pagerduty.all("/dedup_key"), vec![incident_id(1).to_string(); 3]);
    assert_eq!(pagerduty.all("/routing_key"), vec!["routing"; 3]);
}

#[tokio::test]
async fn alertmanager_sees_one_alert_that_ends() {
    let (manager, address) = Service::answering(&[(200, json!({}))]).await;
    let url = SecretText::new(format!("{address}/"));
    a_life(ChannelKind::Alertmanager(Alertmanager::new(&url, &[], LIMIT).unwrap())).await;
    assert_eq!(manager.paths(), vec!["/api/v2/alerts"; 3]);
    let labels = manager.all("/0/labels");
    assert!(labels.iter().all(|of_one| *of_one == labels[0]), "{labels:?}");
    assert_eq!(labels[0]["severity"], "critical");
    let ends = manager.all("/0/endsAt");
    assert!(ends[0] == ends[1] && ends[2].as_str() < ends[0].as_str(), "{ends:?}");
    let starts = manager.all("/0/startsAt");
    assert!(starts[0].is_string() && starts.iter().all(|at| *at == starts[0]), "{starts:?}");
}

#[tokio::test]
async fn ntfy_discord_teams_and_slack_by_webhook_get_what_they_take() {
    let (service, address) = Service::answering(&[(200, json!("ok"))]).await;
    let url = |path: &str| SecretText::new(format!("{address}{path}"));
    let token = SecretText::new("tk_1");
    for kind in [
        ChannelKind::Ntfy(Ntfy::new(&url("/topic"), Some(&token), LIMIT).unwrap()),
        ChannelKind::Discord(Discord::new(url("/discord"), LIMIT).unwrap()),
        ChannelKind::Teams(Teams::new(url("/teams"), LIMIT).unwrap()),
        ChannelKind::Slack(Slack::by_webhook(url("/slack"), LIMIT).unwrap()),
    ] {
        tried(kind).await.unwrap();
    }
    assert_eq!(service.paths(), ["/", "/discord", "/teams", "/slack"]);
    assert_eq!(service.all("/topic")[0], "topic");
    assert_eq!(service.all("/content")[1], "**web is down**");
    let card = "/attachments/0/content/body/0/inlines/0/text";
    assert_eq!(service.all(card)[2], "web is down");
    assert_eq!(service.all("/text")[3], "web is down");
    assert_eq!(service.requests.lock().unwrap()[0].headers["authorization"], "Bearer tk_1");
}

#[tokio::test]
async fn a_signed_webhook_can_be_told_from_a_strangers() {
    let (service, address) = Service::answering(&[(200, json!({}))]).await;
    let secret = SecretText::new("shared");
    let webhook = Webhook::new(SecretText::new(address), &[], Some(&secret), LIMIT).unwrap();
    tried(ChannelKind::Webhook(webhook)).await.unwrap();
    let requests = service.requests.lock().unwrap();
    let header = |name: &str| requests[0].headers[name].to_str().unwrap();
    let signed = [header("x-selfheal-timestamp").as_bytes(), b".", &requests[0].raw].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"shared");
    let tag = header("x-selfheal-signature").strip_prefix("sha256=").unwrap();
    let tag: Vec<u8> = (0..tag.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap())
        .collect();
    ring::hmac::verify(&key, &signed, &tag).unwrap();
    let stranger = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"guessed");
    assert!(ring::hmac::verify(&stranger, &signed, &tag).is_err());
}
