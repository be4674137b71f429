//! Stories of what is healed while a fix of the last run waits for the container runtime.

use selfheal_agents::fakes::Failure;
use selfheal_agents::model::{Actor, Confidence, DatabaseEndpoint, DatabaseFacts};
use selfheal_agents::ports::Journal;

use super::engines::two_hosts;
use super::remains::{forgotten, reached_at};
use super::*;

/// A fix of this container is cut off by the end of a run: it is restarted, and that is not written
/// down. Nobody sees the containers from then on.
async fn cut_off(fake: &FakeWorld, rules: &Rules, container: &str) -> Arc<MemoryStore> {
    let stage = Stage::new(fake.clone(), rules.clone());
    stage.look().await;
    stage.store.interrupt(2, Interruption::BeforeWrite);
    fake.hang(container);
    stage.look().await;
    while !stage.store.was_interrupted() {
        stage.pass(1).await;
    }
    stage.cancel.cancel();
    stage.pass(1).await;
    assert_eq!(fake.effects(), [format!("restart {container}")]);
    fake.fail_next("containers", &Failure::Unreachable, 10_000);
    stage.store.clone()
}

/// The incident about that, as the store has it.
async fn about(stage: &Stage, target: &TargetId) -> Incident {
    let all = stage.incidents().await;
    let found = all.iter().find(|incident| incident.target == *target);
    found.unwrap_or_else(|| panic!("none about {target}: {all:#?}")).clone()
}

fn said(incident: &Incident, words: &str) -> usize {
    incident.timeline.iter().filter(|entry| entry.text.contains(words)).count()
}

#[tokio::test(start_paused = true)]
async fn what_another_engine_holds_is_healed_while_an_interrupted_fix_waits() {
    let fake = two_hosts(&["web"], 2);
    let store = cut_off(&fake, &Rules::default(), "web").await;
    let stage = Stage::on(fake.clone(), Rules::default(), store);
    let (web, there) = (TargetId::container("web"), TargetId::container("nas/c0"));
    stage.pass(10).await;
    fake.hang("nas/c0");
    stage.look().await;
    stage.pass(200).await;
    assert_eq!(about(&stage, &there).await.state(), IncidentState::Resolved);
    let waits = about(&stage, &web).await;
    assert_eq!(waits.state(), IncidentState::Fixing);
    assert_eq!(said(&waits, "goes on when the containers are seen"), 1, "{:#?}", waits.timeline);
    assert!(!stage.coordinator.taken_up_within(Duration::ZERO).await);

    fake.no_longer_fails("containers");
    stage.pass(300).await;
    assert_eq!(about(&stage, &web).await.state(), IncidentState::Resolved);
    assert_eq!(fake.effects(), ["restart web", "restart nas/c0"], "nothing is done twice");
    assert_eq!(stage.store.unfinished_fixes().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_declared_database_is_healed_while_an_interrupted_fix_waits() {
    let far = DatabaseEndpoint { host: "far".to_owned(), ..reached_at() };
    let id = TargetId::lossy(TargetKind::Postgres, "far");
    let mut rules = Rules { threshold: Confidence::literal(50), ..Rules::default() };
    rules.declared.targets.push(Target {
        endpoint: Some(Endpoint::Postgres(far.clone())),
        ..Target::bare(id.clone())
    });
    let fake = two_hosts(&["web"], 0);
    let full = |forgot: usize| DatabaseFacts {
        reachable: true,
        connections: Some(if forgot == 0 { 3 } else { 30 }),
        max_connections: Some(30),
        idle_in_transaction: (1..=25).take(forgot).map(|pid| forgotten(pid, 900.0)).collect(),
        blocked: Some(0),
        ..DatabaseFacts::default()
    };
    let answers = |forgot| {
        fake.answers(&Endpoint::Postgres(far.clone()), Facts::Postgres(full(forgot)));
    };
    answers(0);
    let store = cut_off(&fake, &rules, "web").await;
    let stage = Stage::on(fake.clone(), rules, store);
    stage.pass(10).await;
    answers(25);
    stage.look().await;
    stage.pass(200).await;
    assert_eq!(fake.effects().len(), 26, "{:#?}", stage.incidents().await);
    assert_eq!(about(&stage, &id).await.state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn on_the_engine_of_an_interrupted_fix_nothing_is_begun_until_it_is_taken_up() {
    let fake = two_hosts(&["web"], 3);
    let store = cut_off(&fake, &Rules::default(), "nas/c0").await;
    let stage = Stage::on(fake.clone(), Rules::default(), store);
    stage.pass(10).await;
    fake.hang("nas/c1");
    stage.look().await;
    stage.pass(100).await;
    let beside = TargetId::container("nas/c1");
    let held = about(&stage, &beside).await;
    let why = held.holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(why.contains("a fix of `container:nas/c0` was interrupted"), "{why}");
    assert_eq!(fake.effects(), ["restart nas/c0"]);

    fake.no_longer_fails("containers");
    stage.pass(300).await;
    assert_eq!(fake.effects(), ["restart nas/c0", "restart nas/c1"]);
    for id in [&beside, &TargetId::container("nas/c0")] {
        assert_eq!(about(&stage, id).await.state(), IncidentState::Resolved);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_runtime_is_seen_again_what_waited_for_it_comes_before_anything_there() {
    // Wherever between two tries to take it up a look sees the containers.
    let mut only_looked = 0;
    for after in [10_000, 10_500, 11_000, 11_500] {
        let fake = two_hosts(&["web", "db"], 0);
        let store = cut_off(&fake, &Rules::default(), "web").await;
        let stage = Stage::on(fake.clone(), Rules::default(), store);
        tokio::time::sleep(Duration::from_millis(after)).await;
        fake.hang("db");
        fake.no_longer_fails("containers");
        let report = stage.look().await;
        assert!(report.saw_containers());
        only_looked += usize::from(report.dry_run);
        stage.pass(200).await;
        assert_eq!(fake.effects(), ["restart web", "restart db"]);
        let [web, db] = ["web", "db"].map(TargetId::container);
        let (web, db) = (about(&stage, &web).await, about(&stage, &db).await);
        let taken_up = web.timeline.iter().rfind(|entry| entry.actor == Actor::Recovery).unwrap();
        let fixing = Some(IncidentState::Fixing);
        let begun = db.timeline.iter().find(|entry| entry.state == fixing).unwrap();
        assert!(begun.at >= taken_up.at, "{after}: {:#?} {:#?}", web.timeline, db.timeline);
    }
    assert!(only_looked > 0, "some came before it was taken up");
}

#[tokio::test(start_paused = true)]
async fn what_is_begun_meanwhile_is_not_taken_for_interrupted() {
    // The containers are seen again while it is applied, and while it is watched.
    for restart_takes in [8, 0] {
        let fake = two_hosts(&["web"], 2);
        let store = cut_off(&fake, &Rules::default(), "web").await;
        answers_after(&fake, "restart nas/c0", Duration::from_secs(restart_takes));
        let stage = Stage::on(fake.clone(), Rules::default(), store);
        stage.pass(10).await;
        fake.hang("nas/c0");
        stage.look().await;
        stage.pass(2).await;
        fake.no_longer_fails("containers");
        stage.pass(400).await;
        let begun = about(&stage, &TargetId::container("nas/c0")).await;
        assert_eq!(begun.state(), IncidentState::Resolved, "{:#?}", begun.timeline);
        let by_recovery = begun.timeline.iter().any(|entry| entry.actor == Actor::Recovery);
        assert!(!by_recovery, "{:#?}", begun.timeline);
        assert_eq!(fake.effects(), ["restart web", "restart nas/c0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn killed_again_while_one_waits_and_another_is_repaired_each_is_done_once() {
    for (first, at) in [(0, Interruption::BeforeWrite), (4, Interruption::AfterWrite)] {
        for nth in (first..).step_by(13) {
            let fake = two_hosts(&["web"], 2);
            let store = cut_off(&fake, &Rules::default(), "web").await;
            let stage = Stage::on(fake.clone(), Rules::default(), store.clone());
            stage.pass(4).await;
            store.die(nth, at);
            fake.hang("nas/c0");
            stage.coordinator.request(Scope::All, Trigger::Api);
            stage.pass(150).await;
            stage.cancel.cancel();
            stage.pass(1).await;
            let was_killed = store.is_dead();
            store.revive();
            fake.no_longer_fails("containers");
            let next = Stage::on(fake.clone(), Rules::default(), store);
            next.look().await;
            next.pass(200).await;
            let mut effects = fake.effects();
            effects.sort();
            assert_eq!(effects, ["restart nas/c0", "restart web"], "{at:?} {nth}");
            for incident in next.incidents().await {
                let is_resolved = incident.state() == IncidentState::Resolved;
                assert!(is_resolved, "{at:?} {nth} {:#?}", incident.timeline);
            }
            assert_eq!(next.store.unfinished_fixes().await.unwrap(), [], "{at:?} {nth}");
            if !was_killed {
                assert!(nth > 10, "it makes more writes than that");
                break;
            }
        }
    }
}
