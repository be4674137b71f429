use selfheal_agents::fakes::{Failure, FakeWorld, MemoryStore, container};
use selfheal_agents::ports::Memory;
use tokio::task::JoinHandle;

use super::*;
use crate::coordinator::triggers::fired::Fired;

struct Listening {
    world: FakeWorld,
    store: Arc<MemoryStore>,
    fired: Fired,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Listening {
    fn start(world: FakeWorld, ours: &'static str) -> Self {
        let (store, fired) = (Arc::new(MemoryStore::default()), Fired::default());
        let cancel = CancellationToken::new();
        let listener = Listener {
            runtime: Arc::new(world.clone()),
            store: store.clone(),
            clock: Arc::new(world.clock().clone()),
            is_ours: Arc::new(move |target, _| target.name() == ours),
            fire: fired.fire(),
        };
        let task = tokio::spawn(run(listener, cancel.clone()));
        Self { world, store, fired, cancel, task }
    }

    async fn remembered(&self) -> Vec<RuntimeEvent> {
        self.store.events(None, Timestamp::UNIX_EPOCH).await.unwrap()
    }

    /// Cuts the connection at the next event.
    fn cut(&self) {
        self.world.fail_next("events", &Failure::Unreachable, 1);
        self.world.emit("web", RuntimeEventKind::Kill { signal: "1".to_owned() });
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn world() -> FakeWorld {
    let world = FakeWorld::default();
    world.add(container("web")).add(container("api"));
    world
}

/// Lets every task run until all of them wait; virtual time moves on by this much.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_death_is_remembered_and_calls_for_a_look_at_that_container() {
    let listening = Listening::start(world(), "");
    listening.world.crash("web", 1);
    pass(MOMENT).await;
    assert_eq!(listening.fired.all(), [Scope::target(TargetId::container("web"))]);
    assert!(matches!(listening.remembered().await[..], [RuntimeEvent { by_selfheal: false, .. }]));
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_selfheal_did_is_remembered_as_its_own_and_calls_for_nothing() {
    let listening = Listening::start(world(), "api");
    listening.world.emit("api", RuntimeEventKind::Kill { signal: "15".to_owned() });
    listening.world.emit("api", RuntimeEventKind::Die { exit_code: 143 });
    listening.world.emit("api", RuntimeEventKind::Start);
    pass(MOMENT).await;
    assert!(listening.fired.all().is_empty());
    assert!(listening.remembered().await.iter().all(|event| event.by_selfheal));
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_dies_while_selfheal_starts_it_died_by_itself() {
    let listening = Listening::start(world(), "api");
    listening.world.emit("api", RuntimeEventKind::Start);
    listening.world.emit("api", RuntimeEventKind::Die { exit_code: 1 });
    pass(MOMENT).await;
    let remembered = listening.remembered().await;
    assert_eq!(remembered.iter().map(|e| e.by_selfheal).collect::<Vec<_>>(), [true, false]);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_oom_events_calls_for_one_look_and_is_remembered_whole() {
    let listening = Listening::start(world(), "");
    for _ in 0..60 {
        listening.world.clock().advance(Duration::from_millis(66));
        listening.world.emit("web", RuntimeEventKind::Oom);
    }
    pass(MOMENT).await;
    assert_eq!(listening.fired.all().len(), 1);
    assert_eq!(listening.remembered().await.len(), 60);
    listening.world.clock().advance_secs(10);
    listening.world.emit("web", RuntimeEventKind::Oom);
    pass(MOMENT).await;
    assert_eq!(listening.fired.all().len(), 2);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn events_said_before_the_start_are_asked_for() {
    let world = world();
    world.person_stops("web");
    let listening = Listening::start(world, "");
    pass(MOMENT).await;
    let kinds: Vec<_> = listening.remembered().await.iter().map(|e| e.kind.name()).collect();
    assert!(kinds.contains(&"kill") && kinds.contains(&"stop"), "{kinds:?}");
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_everything_is_looked_at_and_nothing_is_missed_or_told_twice() {
    let listening = Listening::start(world(), "");
    listening.world.crash("web", 1);
    pass(MOMENT).await;
    listening.world.fail_next("containers", &Failure::Unreachable, 4);
    listening.cut();
    pass(MOMENT).await;
    assert_eq!(listening.fired.all().len(), 1, "nothing is called for while it is away");
    listening.world.clock().advance_secs(5);
    listening.world.crash("api", 1);
    pass(Duration::from_mins(3)).await;
    let (web, api) = (TargetId::container("web"), TargetId::container("api"));
    assert_eq!(
        listening.fired.all(),
        [Scope::target(web), Scope::All, Scope::target(api)],
        "one look at everything, then what happened in the gap"
    );
    let deaths = listening.remembered().await;
    let deaths = deaths.iter().filter(|e| matches!(e.kind, RuntimeEventKind::Die { .. }));
    assert_eq!(deaths.count(), 2);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_refused_while_the_list_works_are_asked_for_ever_more_rarely() {
    let world = world();
    // As a proxy before the socket does that lets only some questions through.
    world.fail_next("events", &Failure::Refused("403 Forbidden".to_owned()), 50);
    let listening = Listening::start(world, "");
    pass(Duration::from_mins(5)).await;
    assert_eq!(listening.fired.all(), [Scope::All], "nothing was missed since: the schedule looks");
    listening.world.crash("web", 1);
    pass(Duration::from_mins(5)).await;
    assert_eq!(listening.fired.all().len(), 1, "it is still refused");
    pass(Duration::from_mins(30)).await;
    assert_eq!(listening.fired.all()[1..], [Scope::target(TargetId::container("web"))]);
    // What was heard once and is lost is asked for at once.
    listening.cut();
    pass(Duration::from_secs(1)).await;
    assert_eq!(listening.fired.all().last(), Some(&Scope::All));
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_was_away_between_two_refusals_is_looked_at() {
    let world = world();
    world.fail_next("events", &Failure::Refused("403 Forbidden".to_owned()), 20);
    let listening = Listening::start(world, "");
    pass(Duration::from_mins(1)).await;
    listening.world.fail_next("containers", &Failure::Unreachable, 3);
    pass(Duration::from_mins(5)).await;
    assert_eq!(listening.fired.all(), [Scope::All, Scope::All]);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lived_for_a_minute_works() {
    let listening = Listening::start(world(), "");
    for cut in 1..20 {
        pass(WORKS_AFTER).await;
        listening.world.fail_next("events", &Failure::Unreachable, 1);
        pass(Duration::from_secs(1)).await;
        assert_eq!(listening.fired.all().len(), cut, "it is back at once each time");
    }
    listening.end().await;
}

#[test]
fn a_refusal_is_told_once_and_again_when_it_is_another_one() {
    let mut tries = Tries::new();
    assert!(!tries.failed("403"), "the first cycle tells of what is away from the start");
    for (why, news) in [("403", true), ("403", false), ("404", true), ("404", false)] {
        assert_eq!(tries.failed(why), news, "{why}");
    }
    tries.work();
    assert!(tries.failed("404"), "it was heard in between");
}

#[tokio::test(start_paused = true)]
async fn a_long_silence_makes_the_connection_anew_without_a_word() {
    let listening = Listening::start(world(), "");
    listening.world.crash("web", 1);
    pass(LONGEST_SILENCE * 3).await;
    assert_eq!(listening.fired.all().len(), 1);
    listening.world.emit("api", RuntimeEventKind::Start);
    pass(MOMENT).await;
    assert_eq!(listening.fired.all().len(), 2);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_it_even_while_it_waits_for_the_runtime() {
    let listening = Listening::start(world(), "");
    listening.world.fail_next("containers", &Failure::Unreachable, 1000);
    listening.cut();
    pass(Duration::from_mins(2)).await;
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_does_not_silence_the_events() {
    let listening = Listening::start(world(), "");
    listening.store.refuse_writes(Some("disk full"));
    listening.world.crash("web", 1);
    pass(MOMENT).await;
    assert_eq!(listening.fired.all().len(), 1);
    listening.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_looks_once_learns_who_ended_what_before_and_calls_for_nothing() {
    let (world, store, fired) = (world(), Arc::new(MemoryStore::default()), Fired::default());
    world.crash("web", 137);
    let listener = Listener {
        runtime: Arc::new(world.clone()),
        store: store.clone(),
        clock: Arc::new(world.clock().clone()),
        is_ours: Arc::new(|_, _| false),
        fire: fired.fire(),
    };
    listener.catch_up().await.unwrap();
    listener.catch_up().await.unwrap();
    let known = store.events(None, Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(
        matches!(known[..], [RuntimeEvent { kind: RuntimeEventKind::Die { exit_code: 137 }, .. }]),
        "once, however often it is asked: {known:?}"
    );
    assert!(fired.all().is_empty());
    world.fail_next("events", &Failure::Unreachable, 1);
    assert!(listener.catch_up().await.is_err(), "a runtime that is away is told");
}
