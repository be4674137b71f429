//! Redis Streams with a real Redis: messages out, jobs in, and Redis going away.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be built is a failed test")]

mod away;
mod cluster;
mod jobs;
mod reached;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamPendingReply, StreamRangeReply};
use selfheal::audit::Audit;
use selfheal::coordinator::{Coordinator, Parts, Rules, Scope, Trigger};
use selfheal::knowledge;
use selfheal::streams::{Address, Figures, Setup, Tie, start};
use selfheal_agents::fakes::{FakeClock, FakeWorld, MemoryStore, healthy, start_time};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{IncidentId, IncidentState, Message, Stream};
use selfheal_agents::ports::{Incidents, Messages, Store};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::probes::server::Server;

/// Far more than is needed, even on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
/// In a cluster all of them lie on one server, by what is in the braces.
const PREFIX: &str = "{test}:streams";
/// By default a server waits some seconds for more that want to follow it.
const COPIED_AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];
const WORKERS: &str = "maestro-automation-workers";

/// A coordinator in an invented world, tied to a real Redis.
struct Tied<S = MemoryStore> {
    world: FakeWorld,
    store: Arc<S>,
    coordinator: Coordinator,
    tie: Arc<Tie>,
    cancel: CancellationToken,
}

impl<S> Drop for Tied<S> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn setup(address: Address) -> Setup {
    let (prefix, node) = (PREFIX.to_owned(), "here".to_owned());
    Setup { address, prefix, node, max_length: 1_000_000 }
}

fn at(port: u16) -> Setup {
    setup(Address::server(&format!("redis://127.0.0.1:{port}")).unwrap())
}

impl Tied {
    fn to(setup: Setup, rules: Rules) -> Self {
        let tied = Self::loose(rules);
        tied.tie_to(setup);
        tied
    }

    /// Not yet tied to anything.
    fn loose(rules: Rules) -> Self {
        Self::with(Arc::default(), rules)
    }
}

impl<S: Store + 'static> Tied<S> {
    fn with(store: Arc<S>, rules: Rules) -> Self {
        let world = FakeWorld::new(FakeClock::at(start_time()));
        world.add(healthy("web"));
        world.clock().advance_secs(3600);
        let cancel = CancellationToken::new();
        let (catalogue, broken) = knowledge::load(None, knowledge::Keep::InForce);
        assert!(broken.is_empty(), "{broken:?}");
        let coordinator = Coordinator::start(Parts {
            world: world.world(),
            store: store.clone(),
            fleet: Arc::new(selfheal_agents::ports::Alone),
            rules: watch::Sender::new(Arc::new(rules)).subscribe(),
            catalogue: watch::Sender::new(Arc::new(catalogue)).subscribe(),
            digest_key: DigestKey::new([7; 32]),
            wake: Arc::default(),
            audit: Arc::new(Audit::in_memory(store.clone())),
            cancel: cancel.clone(),
        });
        Self { world, store, coordinator, tie: Arc::default(), cancel }
    }

    fn tie_to(&self, setup: Setup) {
        self.coordinator.request(Scope::All, Trigger::Start);
        start(setup, &self.coordinator, None, Arc::clone(&self.tie), self.cancel.clone());
    }

    async fn figures(&self, wanted: impl Fn(&Figures) -> bool) -> Figures {
        let deadline = Instant::now() + LIMIT;
        loop {
            let figures = self.tie.figures();
            if wanted(&figures) {
                return figures;
            }
            assert!(Instant::now() < deadline, "{figures:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until Redis has taken all that is told.
    async fn all_carried(&self) {
        let deadline = Instant::now() + LIMIT;
        while self.store.messages_waiting().await.unwrap() > 0 {
            assert!(Instant::now() < deadline, "not all was carried");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Tells this many things, numbered from `first`.
    async fn tells(&self, first: usize, many: usize) {
        let message = |number: usize| Message {
            stream: Stream::Dead,
            fields: vec![("number".to_owned(), number.to_string())],
        };
        let some: Vec<Message> = (first..first + many).map(message).collect();
        self.store.queue_messages(&some, self.coordinator.now()).await.unwrap();
    }

    /// Asks for something that is sure to come last.
    async fn all_before(&self, other: &mut Other) {
        other.job("the last", "unfreeze", &json!({})).await;
        other.result("the last").await;
    }

    /// One incident that waits for a person, and its id.
    async fn held(&self) -> IncidentId {
        self.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap();
        self.world.crash("web", 1);
        self.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap();
        let open = self.store.open_incidents().await.unwrap();
        assert_eq!(open.len(), 1, "{open:?}");
        assert_eq!(open[0].state(), IncidentState::Held, "{:?}", open[0].timeline);
        open[0].id
    }
}

/// Redis as another program sees it.
struct Other(MultiplexedConnection);

/// Of a server that dies when a part was told, and the one that takes its place.
impl Tied {
    /// A job is answered by the first one, and the first hundred messages are told to it.
    async fn works_at(&self, old: &mut Other) {
        old.job("before", "unfreeze", &json!({})).await;
        assert_eq!(old.result("before").await.0, "success");
        self.tells(0, 100).await;
        self.all_carried().await;
        // What Redis had taken and not yet copied is Redis's to lose.
        let _: usize = old.ask(&["WAIT", "1", "60000"]).await;
    }
}

impl Other {
    /// The second one has those and the five hundred that were told later, and answers jobs.
    async fn has_all(&mut self) {
        assert_eq!(self.told().await, (0..600).collect::<Vec<_>>());
        self.job("after", "unfreeze", &json!({})).await;
        assert_eq!(self.result("after").await.0, "success");
    }

    async fn at(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT));
        let deadline = Instant::now() + LIMIT;
        loop {
            match client.get_multiplexed_async_connection_with_config(&patient).await {
                Ok(connection) => return Self(connection),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn on(port: u16) -> Self {
        Self::at(&format!("redis://127.0.0.1:{port}")).await
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut self.0).await.unwrap()
    }

    /// Writes a job; answers its place in the stream.
    async fn job(&mut self, id: &str, kind: &str, payload: &Value) -> String {
        let (stream, payload) = (format!("{PREFIX}:jobs"), payload.to_string());
        let words = ["XADD", &stream, "*", "job_id", id, "type", kind, "priority", "medium"];
        self.ask(&[&words[..], &["payload", &payload]].concat()).await
    }

    async fn all(&mut self, stream: &str) -> Vec<BTreeMap<String, String>> {
        let reply: StreamRangeReply =
            self.ask(&["XRANGE", &format!("{PREFIX}:{stream}"), "-", "+"]).await;
        let text = |value: redis::Value| redis::from_redis_value::<String>(value).unwrap();
        let fields = |map: std::collections::HashMap<String, redis::Value>| {
            map.into_iter().map(|(name, value)| (name, text(value))).collect()
        };
        reply.ids.into_iter().map(|entry| fields(entry.map)).collect()
    }

    /// The numbers that were told, in their order; what is told again after a break counts once.
    async fn told(&mut self) -> Vec<usize> {
        let all = self.all("dead").await;
        let mut told: Vec<usize> = all.iter().map(|one| one["number"].parse().unwrap()).collect();
        let mut last = None;
        told.retain(|number| {
            let is_new = last.is_none_or(|last| *number > last);
            last = last.max(Some(*number));
            is_new
        });
        told
    }

    /// The only message of the stream with this value in that field, as soon as it is there.
    async fn one(&mut self, stream: &str, field: &str, value: &str) -> BTreeMap<String, String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut found = self.all(stream).await;
            found.retain(|message| message.get(field).is_some_and(|known| known == value));
            if let Some(message) = found.pop() {
                assert!(found.is_empty(), "twice: {message:?} {found:?}");
                return message;
            }
            assert!(Instant::now() < deadline, "no {field} {value} in {stream}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn result(&mut self, job: &str) -> (String, Value) {
        let message = self.one("results", "job_id", job).await;
        (message["status"].clone(), serde_json::from_str(&message["result"]).unwrap())
    }

    /// Jobs that somebody has and did not acknowledge.
    async fn pending(&mut self) -> usize {
        let pending: StreamPendingReply =
            self.ask(&["XPENDING", &format!("{PREFIX}:jobs"), WORKERS]).await;
        pending.count()
    }

    async fn somebody_has_it(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.pending().await == 0 {
            assert!(Instant::now() < deadline, "nobody took the job");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nobody has a job any more.
    async fn all_acknowledged(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.pending().await > 0 {
            assert!(Instant::now() < deadline, "jobs are still pending");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A job that a consumer took a while ago and never ended.
    async fn abandoned(&mut self, id: &str, kind: &str, payload: &Value, attempts: &str) {
        let stream = format!("{PREFIX}:jobs");
        let _: redis::RedisResult<()> = redis::cmd("XGROUP")
            .arg(&["CREATE", &stream, WORKERS, "0", "MKSTREAM"])
            .query_async(&mut self.0)
            .await;
        let place = self.job(id, kind, payload).await;
        let read = ["XREADGROUP", "GROUP", WORKERS, "dead-node", "STREAMS", &stream, ">"];
        let _: redis::Value = self.ask(&read).await;
        self.a_minute_passes(&place, "dead-node", attempts).await;
    }

    /// For a job that this consumer has and does not touch.
    async fn a_minute_passes(&mut self, place: &str, consumer: &str, attempts: &str) {
        let stream = format!("{PREFIX}:jobs");
        let old = ["IDLE", "61000", "RETRYCOUNT", attempts, "JUSTID"];
        let claim = ["XCLAIM", &stream, WORKERS, consumer, "0", place];
        let _: redis::Value = self.ask(&[&claim[..], &old].concat()).await;
    }
}
