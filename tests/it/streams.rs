//! Redis Streams with a real Redis: messages out, jobs in, and Redis going away.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be built is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamPendingReply, StreamRangeReply};
use selfheal::audit::Audit;
use selfheal::coordinator::{Coordinator, Parts, Rules, Scope, Trigger};
use selfheal::knowledge;
use selfheal::streams::{Address, Figures, Setup, Tie, run};
use selfheal_agents::fakes::{FakeClock, FakeWorld, MemoryStore, healthy, start_time};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{IncidentState, Message, Mode, Stream};
use selfheal_agents::ports::{Incidents, Messages};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::probes::server::Server;
use crate::support::free_port;

/// Far more than is needed, even on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
const PREFIX: &str = "test:streams";
const WORKERS: &str = "maestro-automation-workers";

/// A coordinator in an invented world, tied to a real Redis.
struct Tied {
    world: FakeWorld,
    store: Arc<MemoryStore>,
    coordinator: Coordinator,
    tie: Arc<Tie>,
    cancel: CancellationToken,
}

impl Drop for Tied {
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
        let world = FakeWorld::new(FakeClock::at(start_time()));
        world.add(healthy("web"));
        world.clock().advance_secs(3600);
        let (store, cancel) = (Arc::<MemoryStore>::default(), CancellationToken::new());
        let (catalogue, broken) = knowledge::load(None, knowledge::Keep::InForce);
        assert!(broken.is_empty(), "{broken:?}");
        let coordinator = Coordinator::start(Parts {
            world: world.world(),
            store: store.clone(),
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
        let (coordinator, tie) = (self.coordinator.clone(), Arc::clone(&self.tie));
        coordinator.request(Scope::All, Trigger::Start);
        tokio::spawn(run(setup, coordinator, tie, self.cancel.clone()));
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

    /// Asks for something that is sure to come last.
    async fn all_before(&self, other: &mut Other) {
        other.job("the last", "unfreeze", &json!({})).await;
        other.result("the last").await;
    }

    /// One incident that waits for a person, and its id.
    async fn held(&self) -> selfheal_agents::model::IncidentId {
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

impl Other {
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

#[tokio::test]
async fn every_job_is_done_answered_and_acknowledged() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules { mode: Mode::Approve, ..Rules::default() });
    let mut other = Other::on(server.port).await;

    other.job("check", "trigger_check", &json!({"dry_run": true})).await;
    let (status, result) = other.result("check").await;
    assert_eq!((status.as_str(), &result["status"]), ("success", &json!("healthy")));

    let for_a_while = json!({"for": "30m", "reason": "moving", "by": "eve"});
    other.job("freeze", "freeze", &for_a_while).await;
    assert_eq!(other.result("freeze").await.0, "success");
    let freezes = tied.coordinator.standing().freezes;
    assert_eq!((freezes[0].by.as_str(), freezes[0].reason.as_str()), ("stream: eve", "moving"));
    other.job("unfreeze", "unfreeze", &json!({})).await;
    assert_eq!(other.result("unfreeze").await.0, "success");
    assert_eq!(tied.coordinator.standing().freezes, []);

    let id = tied.held().await;
    let incident = json!({"incident_id": id});
    other.job("back", "rollback", &incident).await;
    let (status, result) = other.result("back").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("nothing was done"), "{result}");
    other.job("dismiss", "dismiss", &json!({"incident_id": id, "reason": "known"})).await;
    assert_eq!(other.result("dismiss").await.0, "success");
    let closed = tied.store.incident(id).await.unwrap().unwrap();
    assert_eq!(closed.state(), IncidentState::Resolved);
    assert!(closed.timeline.iter().any(|entry| entry.text == "dismissed: known"), "{closed:?}");

    // What cannot be done as things are is answered, and is no job for the dead.
    other.job("late", "approve", &incident).await;
    let (status, result) = other.result("late").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("not held"), "{result}");
    other.job("gone", "rollback", &json!({"backup_id": "backup_20200101_000000"})).await;
    assert_eq!(other.result("gone").await.0, "failed");

    other.all_acknowledged().await;
    let figures = tied.tie.figures();
    assert_eq!((figures.done, figures.failed, figures.dead), (4, 3, 0));
    let log = String::from_utf8(tied.coordinator.audit().bytes().await.unwrap()).unwrap();
    let acts: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_stream = |act: &&Value| act["via"] == "stream";
    let words: Vec<&str> =
        acts.iter().filter(of_stream).filter_map(|act| act["act"].as_str()).collect();
    let wanted = ["check", "freeze", "unfreeze", "rollback", "refused", "dismiss"];
    assert_eq!(words[..6], wanted, "every job stands in the audit log");
}

#[tokio::test]
async fn an_approved_fix_is_applied_and_its_story_told() {
    let Some(server) = Server::redis(&[]) else { return };
    let rules = Rules { mode: Mode::Approve, streams: true, ..Rules::default() };
    let tied = Tied::to(at(server.port), rules);
    let mut other = Other::on(server.port).await;
    let id = tied.held().await;
    let skipped = other.one("results", "incident_id", &id.to_string()).await;
    assert_eq!(skipped["status"], "skipped");
    let error = other.one("errors", "incident_id", &id.to_string()).await;
    assert_eq!(
        (error["target"].as_str(), error["severity"].as_str()),
        ("container:web", "critical")
    );
    other.job("yes", "approve", &json!({"incident_id": id})).await;
    assert_eq!(other.result("yes").await.0, "success");
    other.one("healing", "state", "validating").await;
    assert_eq!(tied.world.effects(), ["start web"]);
}

#[tokio::test]
async fn what_makes_no_sense_goes_to_the_dead_at_once_as_it_came() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    other.job("j1", "heal_everything", &json!({"now": true})).await;
    other.job("j2", "approve", &json!({"incident_id": "../../etc/passwd"})).await;
    let stream = format!("{PREFIX}:jobs");
    let _: String = other.ask(&["XADD", &stream, "*", "reason", "mine", "\u{1b}[31m", "x"]).await;
    let mut garbage = redis::cmd("XADD");
    garbage.arg(&stream).arg("*").arg("job_id").arg(&[0xff_u8, 0xfe][..]);
    let _: String = garbage.query_async(&mut other.0).await.unwrap();

    let unknown = other.one("dead", "job_id", "j1").await;
    assert!(unknown["reason"].contains("`heal_everything` is not known here"), "{unknown:?}");
    assert_eq!(
        (unknown["attempts"].as_str(), unknown["payload"].as_str()),
        ("1", r#"{"now":true}"#)
    );
    let malformed = other.one("dead", "job_id", "j2").await;
    assert!(malformed["reason"].contains("does not fit"), "{malformed:?}");
    tied.figures(|figures| figures.dead == 4).await;
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 4);
    let ours = other.one("dead", "\u{1b}[31m", "x").await;
    assert!(ours["reason"].contains("`job_id` is missing"), "ours is the last: {ours:?}");
}

#[tokio::test]
async fn a_job_that_comes_twice_is_done_once() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    for _ in 0..3 {
        other.job("same", "freeze", &json!({"for": "30m"})).await;
    }
    other.job("last", "unfreeze", &json!({})).await;
    other.result("last").await;
    other.all_acknowledged().await;
    assert_eq!(other.result("same").await.0, "success");
    assert_eq!(tied.tie.figures().done, 2);
}

#[tokio::test]
async fn a_job_whose_consumer_died_is_taken_over() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    other.abandoned("left", "freeze", &json!({"for": "30m"}), "1").await;
    let tied = Tied::to(at(server.port), Rules::default());
    assert_eq!(other.result("left").await.0, "success");
    other.all_acknowledged().await;
    assert_eq!(tied.coordinator.standing().freezes.len(), 1);
}

#[tokio::test]
async fn a_job_that_fails_five_times_goes_to_the_dead_with_the_reason() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    let payload = json!({"backup_id": "backup_20200101_000000"});
    other.abandoned("poison", "rollback", &payload, "4").await;
    other.abandoned("killer", "trigger_check", &json!({}), "5").await;
    let tied = Tied::loose(Rules::default());
    tied.store.refuse_backups(Some("the vault is away"));
    tied.tie_to(at(server.port));
    let dead = other.one("dead", "job_id", "poison").await;
    assert_eq!(dead["attempts"], "5");
    assert!(dead["reason"].contains("the vault is away"), "{dead:?}");
    let killer = other.one("dead", "job_id", "killer").await;
    assert!(killer["reason"].contains("never came to an end"), "{killer:?}");
    other.all_acknowledged().await;
    // And whoever sends it again is not heard a second time.
    other.job("poison", "rollback", &payload).await;
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 2);
}

#[tokio::test]
async fn a_job_that_failed_is_left_for_another_try() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::loose(Rules::default());
    tied.store.refuse_backups(Some("the vault is away"));
    tied.tie_to(at(server.port));
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let payload = json!({"backup_id": "backup_20200101_000000"});
    let place = other.job("again", "rollback", &payload).await;
    tied.all_before(&mut other).await;
    assert_eq!(other.pending().await, 1, "nobody acknowledged it");
    assert_eq!(other.all("dead").await.len(), 0);
    tied.store.refuse_backups(None);
    other.a_minute_passes(&place, "here", "1").await;
    let (status, result) = other.result("again").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("there is no backup"), "{result}");
    other.all_acknowledged().await;
}

#[tokio::test]
async fn what_was_done_is_answered_once_however_long_the_store_refuses_it() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    tied.store.refuse_writes(Some("full"));
    for id in ["first", "second", "third"] {
        other.job(id, "trigger_check", &json!({"dry_run": true})).await;
    }
    // Long enough for it to be tried in vain.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(other.all("results").await.len(), 0);
    tied.store.refuse_writes(None);
    for id in ["first", "second", "third"] {
        assert_eq!(other.result(id).await.0, "success");
    }
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 0);
    assert_eq!(tied.tie.figures().done, 3);
}

#[tokio::test]
async fn of_two_consumers_one_does_a_job() {
    let Some(server) = Server::redis(&[]) else { return };
    let one = Tied::to(at(server.port), Rules::default());
    let there = Setup { node: "there".to_owned(), ..at(server.port) };
    let two = Tied::to(there, Rules::default());
    let mut other = Other::on(server.port).await;
    one.figures(|figures| figures.connected).await;
    two.figures(|figures| figures.connected).await;
    for number in 0..40 {
        other.job(&number.to_string(), "unfreeze", &json!({})).await;
    }
    for number in 0..40 {
        other.result(&number.to_string()).await;
    }
    other.all_acknowledged().await;
    let (one, two) = (one.tie.figures().done, two.tie.figures().done);
    assert_eq!(one + two, 40, "{one} and {two}");
    let left: usize = other.ask(&["XLEN", &format!("{PREFIX}:jobs")]).await;
    assert_eq!(left, 0, "what is done is not kept for ever");
}

#[tokio::test]
async fn a_job_that_another_took_over_is_left_to_them() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    // Both are taken at once; while the first waits for the store, the second is taken away.
    let tied = Tied::to(at(server.port), Rules::default());
    tied.figures(|figures| figures.connected).await;
    tied.store.refuse_writes(Some("full"));
    let mut both = redis::pipe();
    both.atomic();
    for id in ["first", "second"] {
        let add = both.cmd("XADD").arg(format!("{PREFIX}:jobs")).arg("*");
        add.arg(&["job_id", id, "type", "trigger_check"]);
    }
    let places: Vec<String> = both.query_async(&mut other.0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.a_minute_passes(&places[1], "there", "1").await;
    tied.store.refuse_writes(None);
    assert_eq!(other.result("first").await.0, "success");
    tied.all_before(&mut other).await;
    assert_eq!(tied.tie.figures().done, 2, "the first and the last");
}

#[tokio::test]
async fn a_job_that_was_done_when_selfheal_was_killed_is_answered_as_done() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::loose(Rules { mode: Mode::Approve, ..Rules::default() });
    let id = tied.held().await;
    // Done, and neither answered nor acknowledged.
    tied.coordinator.dismiss(id, "stream: eve", "known").await.unwrap();
    let mut other = Other::on(server.port).await;
    let payload = json!({"incident_id": id, "by": "eve"});
    other.abandoned("killed", "dismiss", &payload, "1").await;
    tied.tie_to(at(server.port));
    assert_eq!(other.result("killed").await.0, "success");
    // Whoever asks only now is told how it is.
    other.job("late", "dismiss", &payload).await;
    assert_eq!(other.result("late").await.0, "failed");
}

#[tokio::test]
async fn what_is_far_too_long_is_put_aside_cut() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    let flood = "x".repeat(5_000_000);
    let stream = format!("{PREFIX}:jobs");
    let words = ["XADD", &stream, "*", "job_id", "big", "type", "unfreeze", "payload", &flood];
    let _: String = other.ask(&words).await;
    let dead = other.one("dead", "job_id", "big").await;
    assert!(dead["reason"].contains("larger than"), "{}", dead["reason"]);
    assert_eq!((dead["payload"].len(), dead["truncated"].as_str()), (16 * 1024, "yes"));
    drop(tied);
}

#[tokio::test]
async fn a_stream_that_redis_refuses_holds_up_the_others_and_repeats_nothing_for_ever() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    let () = other.ask(&["SET", &format!("{PREFIX}:results"), "not a stream"]).await;
    let tied = Tied::loose(Rules::default());
    let message = |stream, text: &str| Message {
        stream,
        fields: vec![("number".to_owned(), text.to_owned())],
    };
    let mut queued: Vec<Message> =
        (0..5).map(|number| message(Stream::Dead, &number.to_string())).collect();
    queued.insert(2, message(Stream::Results, "refused"));
    tied.store.queue_messages(&queued, tied.coordinator.now()).await.unwrap();
    tied.tie_to(at(server.port));
    // Several tries, each time.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(tied.store.messages_waiting().await.unwrap(), 4, "the refused and what follows");
    let told = other.all("dead").await.len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(other.all("dead").await.len(), told, "nothing is told again and again");
    let () = other.ask(&["DEL", &format!("{PREFIX}:results")]).await;
    let deadline = Instant::now() + LIMIT;
    while tied.store.messages_waiting().await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "it does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    other.one("results", "number", "refused").await;
    let last: Vec<String> =
        other.all("dead").await.iter().rev().take(3).map(|m| m["number"].clone()).collect();
    assert_eq!(last, ["4", "3", "2"], "in their order");
}

#[tokio::test]
async fn a_job_that_waited_for_the_start_finds_its_target() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    other.job("early", "freeze", &json!({"target": "container:web", "for": "1h"})).await;
    let tied = Tied::to(at(server.port), Rules::default());
    assert_eq!(other.result("early").await.0, "success");
    assert_eq!(tied.coordinator.standing().freezes.len(), 1);
}

/// Ten events a second for an hour.
const AN_HOUR: usize = 36_000;

#[tokio::test]
async fn a_redis_that_was_away_killed_and_emptied_gets_all_in_order_and_healing_does_not_wait() {
    let port = free_port().unwrap();
    let Some(server) = Server::redis_on(port, &["--save", ""]) else { return };
    let tied = Tied::to(at(port), Rules { streams: true, ..Rules::default() });
    tied.figures(|figures| figures.connected).await;
    server.signal("KILL");
    drop(server);
    tied.figures(|figures| !figures.connected).await;
    let message = |number: usize| Message {
        stream: Stream::Healing,
        fields: vec![
            ("incident_id".to_owned(), format!("{}", number % 7)),
            ("number".to_owned(), number.to_string()),
        ],
    };
    for begin in (0..AN_HOUR).step_by(1000) {
        let some: Vec<Message> = (begin..begin + 1000).map(message).collect();
        tied.store.queue_messages(&some, tied.coordinator.now()).await.unwrap();
    }
    // Nothing waits for it.
    tied.world.crash("web", 1);
    tied.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap();
    tied.coordinator.applied().await;
    assert_eq!(tied.world.effects(), ["start web"], "it is healed meanwhile");
    let _again = Server::redis_on(port, &["--save", ""]);
    let deadline = Instant::now() + LIMIT;
    while tied.store.messages_waiting().await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "not all was carried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut other = Other::on(port).await;
    let numbers: Vec<usize> = other
        .all("healing")
        .await
        .iter()
        .filter_map(|message| message.get("number")?.parse().ok())
        .collect();
    let mut first = numbers.clone();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), AN_HOUR, "none is lost");
    let mut seen = vec![];
    for number in numbers {
        // What is told again after a break begins where it broke off.
        if seen.last().is_none_or(|last| number > *last) {
            seen.push(number);
        }
    }
    assert_eq!(seen.len(), AN_HOUR, "in their order");
    // The group is there again as well.
    other.job("after", "unfreeze", &json!({})).await;
    assert_eq!(other.result("after").await.0, "success");
}

#[tokio::test]
async fn a_stream_that_was_emptied_under_the_reader_is_made_again() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let () = other.ask(&["FLUSHALL"]).await;
    other.job("after", "unfreeze", &json!({})).await;
    assert_eq!(other.result("after").await.0, "success");
    let groups: Vec<redis::Value> =
        other.ask(&["XINFO", "GROUPS", &format!("{PREFIX}:errors")]).await;
    assert_eq!(groups.len(), 1);
}

#[tokio::test]
async fn a_long_stream_is_trimmed() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(Setup { max_length: 1000, ..at(server.port) }, Rules::default());
    let message =
        Message { stream: Stream::Errors, fields: vec![("a".to_owned(), "b".to_owned())] };
    tied.store.queue_messages(&vec![message; 5000], tied.coordinator.now()).await.unwrap();
    tied.figures(|figures| figures.sent >= 5000).await;
    let length: usize =
        Other::on(server.port).await.ask(&["XLEN", &format!("{PREFIX}:errors")]).await;
    // By whole nodes of the tree, a hundred messages each.
    assert!((1000..1200).contains(&length), "{length}");
}

#[tokio::test]
async fn how_selfheal_is_is_told_by_itself() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let status = other.one("healing", "type", "status").await;
    assert_eq!((status["orchestrator_id"].as_str(), status["status"].as_str()), ("here", "idle"));
    assert_eq!((status["active_repairs"].as_str(), status["queue_size"].as_str()), ("0", "0"));
    let statistics: Value = serde_json::from_str(&status["statistics"]).unwrap();
    assert_eq!(statistics["total_fixes"], 0);
}

#[tokio::test]
async fn a_password_is_shown_and_without_it_jobs_wait() {
    let Some(server) = Server::redis(&["--requirepass", "s3cret pass"]) else { return };
    let url = format!("redis://:s3cret%20pass@127.0.0.1:{}", server.port);
    let shut = Address::server(&format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let why = shut.ping().await.unwrap_err();
    assert!(why.contains("NOAUTH") || why.to_lowercase().contains("auth"), "{why}");
    let open = Address::server(&url).unwrap();
    assert_eq!(open.ping().await, Ok(()));
    let tied = Tied::to(setup(open), Rules::default());
    let mut other = Other::at(&url).await;
    other.job("j", "unfreeze", &json!({})).await;
    assert_eq!(other.result("j").await.0, "success");
    drop(tied);
}

#[tokio::test]
async fn sentinels_lead_to_the_server_that_is_in_charge() {
    let Some(server) = Server::redis(&[]) else { return };
    let port = free_port().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    let lines = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor shop 127.0.0.1 {} 1\n",
        folder.path().display(),
        server.port
    );
    std::fs::write(&file, lines).unwrap();
    let _sentinel = std::process::Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    let dead = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let url = format!("redis://127.0.0.1:{port}");
    // The first is away; the second knows.
    let address = Address::sentinels(&dead, "shop", &[&url]).unwrap();
    let _tied = Tied::to(setup(address), Rules::default());
    let mut other = Other::on(server.port).await;
    other.job("j", "unfreeze", &json!({})).await;
    assert_eq!(other.result("j").await.0, "success");
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
