//! The outbox against a real receiver that is down, slow, hanging or out of order.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use selfheal::alerts::{self, Channel, ChannelKind, Channels, LIMIT, Log, Webhook};
use selfheal::store::SqlStore;
use selfheal_agents::fakes::MemoryStore;
use selfheal_agents::model::{Hold, Mode, SecretText, Timestamp};
use selfheal_agents::ports::{Clock, Store};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::samples::{alert, at, incident_id, open};

/// Seconds after noon, moved by the test.
#[derive(Default)]
struct Dial(AtomicI64);

impl Clock for Dial {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// A receiver on the loopback: answers `status`, `hang`s for ever, or is `slow`.
#[derive(Default)]
struct Receiver {
    status: AtomicU16,
    hang: std::sync::atomic::AtomicBool,
    slow_ms: AtomicU32,
    tries: AtomicU32,
    arrived: Mutex<Vec<(HeaderMap, Value)>>,
}

impl Receiver {
    async fn take(
        State(me): State<Arc<Self>>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> StatusCode {
        me.tries.fetch_add(1, Ordering::SeqCst);
        if me.hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(me.slow_ms.load(Ordering::SeqCst).into())).await;
        let status = StatusCode::from_u16(me.status.load(Ordering::SeqCst)).expect("a status");
        if status.is_success() {
            me.arrived.lock().expect("no test panics inside").push((headers, body));
        }
        status
    }

    /// Listens at `address` from now on.
    async fn listen(self: &Arc<Self>, address: SocketAddr) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        let bound = listener.local_addr().expect("it is bound");
        let routes = Router::new()
            .route("/hook", post(Self::take))
            .route("/moved", post(|| async { axum::response::Redirect::temporary("/hook") }))
            .with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        bound
    }

    fn keys(&self) -> Vec<String> {
        let arrived = self.arrived.lock().expect("no test panics inside");
        let key = |(_, body): &(HeaderMap, Value)| body["key"].as_str().map(str::to_owned);
        arrived.iter().filter_map(key).collect()
    }
}

fn receiver() -> Arc<Receiver> {
    let receiver = Receiver::default();
    receiver.status.store(200, Ordering::SeqCst);
    Arc::new(receiver)
}

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running worker with a dial for its clock; stopped at the end.
pub(super) struct Worker {
    dial: Arc<Dial>,
    wake: Arc<Notify>,
    cancel: CancellationToken,
    channels: watch::Sender<Channels>,
    task: tokio::task::JoinHandle<()>,
}

impl Worker {
    pub(super) fn start(store: &Arc<dyn Store>, channels: Vec<Channel>) -> Self {
        let (dial, wake) = (Arc::<Dial>::default(), Arc::<Notify>::default());
        let channels = watch::Sender::new(channels.into_iter().map(Arc::new).collect());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(alerts::run(
            Arc::clone(store),
            Arc::clone(&dial) as Arc<dyn Clock>,
            channels.subscribe(),
            Arc::clone(&wake),
            cancel.clone(),
        ));
        Self { dial, wake, cancel, channels, task }
    }

    /// Lets a minute pass for the worker, again and again, until `done`.
    pub(super) async fn minutes_until<F: Future<Output = bool>>(&self, done: impl Fn() -> F) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done().await {
            assert!(Instant::now() < deadline, "it never came to pass");
            self.dial.0.fetch_add(60, Ordering::SeqCst);
            self.wake.notify_waiters();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.unwrap().unwrap();
    }
}

fn hook(address: SocketAddr, path: &str) -> Channel {
    patient(address, path, LIMIT)
}

fn patient(address: SocketAddr, path: &str, limit: Duration) -> Channel {
    let headers = [("Authorization".to_owned(), SecretText::new("Bearer c4n4ry"))];
    let url = SecretText::new(format!("http://{address}{path}"));
    let webhook = Webhook::new(url, &headers, None, limit).expect("a good address");
    Channel { name: "hook".to_owned(), kind: ChannelKind::Webhook(webhook), quiet: Arc::default() }
}

async fn queue(store: &dyn Store, events: &[(u128, &str)]) -> Vec<String> {
    let mut keys = vec![];
    for (incident, event) in events {
        let alert = alert(Some(incident_id(*incident)), event, 0);
        store.enqueue(&alert, &["hook".to_owned()]).await.unwrap();
        keys.push(alert.key);
    }
    keys
}

async fn on_disk() -> (tempfile::TempDir, Arc<dyn Store>) {
    let dir = tempfile::tempdir().unwrap();
    let store: SqlStore = open(dir.path()).await;
    (dir, Arc::new(store))
}

#[tokio::test]
async fn while_the_receiver_is_down_nothing_is_lost_and_order_is_kept() {
    let (_dir, store) = on_disk().await;
    let receiver = receiver();
    // A port that was free a moment ago: nobody listens there now.
    let address = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let life = ["opened", "held", "approved", "resolved"];
    let events: Vec<(u128, &str)> =
        life.iter().flat_map(|event| (1..=2).map(move |n| (n, *event))).collect();
    let mut expected = queue(&*store, &events).await;
    let worker = Worker::start(&store, vec![hook(address, "/hook")]);
    let tried = async || store.due(at(0), 100).await.unwrap().len() < 2;
    worker.minutes_until(tried).await;
    assert_eq!(store.waiting().await.unwrap(), 8);

    receiver.listen(address).await;
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    worker.stop().await;
    let mut arrived = receiver.keys();
    let mut by_incident: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in &arrived {
        let (incident, event) = key.split_once(' ').unwrap();
        by_incident.entry(incident.to_owned()).or_default().push(event.to_owned());
    }
    assert_eq!(by_incident.len(), 2);
    assert!(by_incident.values().all(|events| *events == life), "{by_incident:?}");
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "each once");
}

#[tokio::test]
async fn what_a_receiver_refuses_or_redirects_or_never_answers_comes_again() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (refusing, hanging, target) = (receiver(), receiver(), receiver());
    refusing.status.store(500, Ordering::SeqCst);
    hanging.hang.store(true, Ordering::SeqCst);
    let channels = [
        ("refusing", &refusing, "/hook"),
        ("hanging", &hanging, "/hook"),
        ("moved", &target, "/moved"),
    ];
    let mut running = vec![];
    for (name, receiver, path) in channels {
        let address = receiver.listen(ANY_PORT).await;
        let mut channel = patient(address, path, Duration::from_millis(500));
        name.clone_into(&mut channel.name);
        running.push(channel);
    }
    let names: Vec<String> = running.iter().map(|channel| channel.name.clone()).collect();
    store.enqueue(&alert(Some(incident_id(1)), "held", 0), &names).await.unwrap();
    let worker = Worker::start(&store, running);
    let tries = |receiver: &Receiver| receiver.tries.load(Ordering::SeqCst);
    worker.minutes_until(async || tries(&refusing) >= 3 && tries(&hanging) >= 2).await;
    assert_eq!(store.waiting().await.unwrap(), 3);
    assert_eq!(tries(&target), 0, "a redirect is not followed");

    refusing.status.store(204, Ordering::SeqCst);
    hanging.hang.store(false, Ordering::SeqCst);
    worker.minutes_until(async || store.waiting().await.unwrap() == 1).await;
    worker.stop().await;
    assert_eq!((refusing.keys().len(), hanging.keys().len()), (1, 1));
}

#[tokio::test]
async fn a_slow_receiver_gets_each_alert_once_and_delays_no_other_channel() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let slow = receiver();
    slow.slow_ms.store(150, Ordering::SeqCst);
    let both = ["hook".to_owned(), "log".to_owned()];
    for (n, event) in [(1, "held"), (2, "held"), (1, "resolved"), (2, "resolved")] {
        store.enqueue(&alert(Some(incident_id(n)), event, 0), &both).await.unwrap();
    }
    let log =
        Channel { name: "log".to_owned(), kind: ChannelKind::Log(Log), quiet: Arc::default() };
    let worker = Worker::start(&store, vec![hook(slow.listen(ANY_PORT).await, "/hook"), log]);
    let to_log = async || {
        let due = store.due(at(0), 100).await.unwrap();
        due.iter().filter(|delivery| delivery.channel == "log").count()
    };
    worker.minutes_until(async || to_log().await == 0).await;
    assert!(slow.keys().len() < 4, "the log did not wait for the slow one");
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    worker.stop().await;
    let mut keys = slow.keys();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), slow.tries.load(Ordering::SeqCst)), (4, 4));
}

#[tokio::test]
async fn however_much_waits_for_a_channel_that_is_down_no_other_is_kept_waiting() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let refusing = receiver();
    refusing.status.store(500, Ordering::SeqCst);
    for n in 0..1_100 {
        let held = alert(Some(incident_id(n)), "held", 0);
        store.enqueue(&held, &["hook".to_owned()]).await.unwrap();
    }
    store.enqueue(&alert(None, "blind", 0), &["log".to_owned()]).await.unwrap();
    let log =
        Channel { name: "log".to_owned(), kind: ChannelKind::Log(Log), quiet: Arc::default() };
    let worker = Worker::start(&store, vec![hook(refusing.listen(ANY_PORT).await, "/hook"), log]);
    worker.minutes_until(async || store.waiting().await.unwrap() == 1_100).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_thousand_incidents_are_three_messages_also_over_a_restart() {
    let (_dir, store) = on_disk().await;
    let receiver = receiver();
    let address = receiver.listen(ANY_PORT).await;
    for n in 0..1_000 {
        let held = alert(Some(incident_id(n)), "held", 0);
        store.enqueue(&held, &["hook".to_owned()]).await.unwrap();
    }
    let worker = Worker::start(&store, vec![hook(address, "/hook")]);
    let arrived = async |messages: usize| receiver.keys().len() == messages;
    worker.wake.notify_waiters();
    until(|| arrived(2)).await;
    worker.stop().await;
    let next = Worker::start(&store, vec![hook(address, "/hook")]);
    next.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    next.stop().await;
    assert_eq!(receiver.keys().len(), 3);
    let last = receiver.arrived.lock().unwrap().pop().unwrap().1;
    assert_eq!(last["event"], "summary");
    assert!(last["title"].as_str().unwrap().starts_with("998 incidents at once"), "{last}");
}

/// Waits for it without moving the clock.
async fn until<F: Future<Output = bool>>(done: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "it never came to pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn changed_channels_are_used_at_once_and_one_that_hangs_holds_nothing_up() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (hanging, next) = (receiver(), receiver());
    hanging.hang.store(true, Ordering::SeqCst);
    let mut expected = queue(&*store, &[(1, "held"), (2, "held")]).await;
    let long = Duration::from_hours(1);
    let worker =
        Worker::start(&store, vec![patient(hanging.listen(ANY_PORT).await, "/hook", long)]);
    worker.minutes_until(async || hanging.tries.load(Ordering::SeqCst) == 1).await;
    let fixed = vec![Arc::new(hook(next.listen(ANY_PORT).await, "/hook"))];
    worker.channels.send_replace(fixed);
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;

    worker.channels.send_replace(vec![]);
    expected.extend(queue(&*store, &[(1, "resolved")]).await);
    let back = vec![Arc::new(hook(next.listen(ANY_PORT).await, "/hook"))];
    worker.channels.send_replace(back);
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    worker.stop().await;
    assert_eq!(next.keys(), expected, "each once, and what waited for its channel came with it");
}

#[tokio::test]
async fn what_arrived_is_not_sent_again_while_the_store_cannot_note_it() {
    let memory = Arc::new(MemoryStore::default());
    let store: Arc<dyn Store> = Arc::clone(&memory) as Arc<dyn Store>;
    let receiver = receiver();
    queue(&*store, &[(1, "held")]).await;
    memory.refuse_writes(Some("the disk is full"));
    let worker = Worker::start(&store, vec![hook(receiver.listen(ANY_PORT).await, "/hook")]);
    worker.minutes_until(async || receiver.keys().len() == 1).await;
    for _ in 0..10 {
        worker.wake.notify_waiters();
        tokio::task::yield_now().await;
    }
    // Nor by another channel of that name.
    let renewed = hook(receiver.listen(ANY_PORT).await, "/hook");
    worker.channels.send_replace(vec![Arc::new(renewed)]);
    memory.refuse_writes(None);
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    worker.stop().await;
    assert_eq!(receiver.keys().len(), 1);
}

#[tokio::test]
async fn after_a_day_of_tries_an_alert_is_given_up_and_the_next_one_goes() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let receiver = receiver();
    receiver.status.store(503, Ordering::SeqCst);
    queue(&*store, &[(1, "held")]).await;
    let worker = Worker::start(&store, vec![hook(receiver.listen(ANY_PORT).await, "/hook")]);
    worker.minutes_until(async || receiver.tries.load(Ordering::SeqCst) >= 3).await;
    assert_eq!(store.waiting().await.unwrap(), 1);
    worker.dial.0.fetch_add(86_400, Ordering::SeqCst);
    worker.minutes_until(async || store.waiting().await.unwrap() == 0).await;
    assert!(receiver.tries.load(Ordering::SeqCst) >= 10, "not after a few tries only");
    assert!(receiver.keys().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn a_webhook_gets_the_whole_alert_and_its_headers() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let receiver = receiver();
    let mut held = alert(Some(incident_id(1)), "held", 0);
    held.holds = vec![Hold::Mode { mode: Mode::Approve }];
    store.enqueue(&held, &["hook".to_owned()]).await.unwrap();
    let worker = Worker::start(&store, vec![hook(receiver.listen(ANY_PORT).await, "/hook")]);
    worker.minutes_until(async || receiver.keys().len() == 1).await;
    worker.stop().await;
    let (headers, body) = receiver.arrived.lock().unwrap().remove(0);
    assert_eq!(headers["authorization"], "Bearer c4n4ry");
    assert_eq!(headers["idempotency-key"], held.key.as_str());
    insta::assert_json_snapshot!(body);
}

#[test]
fn a_header_that_is_none_is_refused_by_name_without_its_value() {
    let headers = [("X-Token".to_owned(), SecretText::new("c4n4ry\nX: y"))];
    let url = SecretText::new("http://127.0.0.1:9/c4n4ry");
    let Err(refused) = Webhook::new(url, &headers, None, LIMIT) else { panic!("accepted") };
    let message = refused.to_string();
    assert!(message.contains("X-Token") && !message.contains("c4n4ry"), "{message}");
}
