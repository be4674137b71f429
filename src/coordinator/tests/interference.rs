//! Stories in which somebody else acts while Selfheal repairs or watches.

use selfheal_agents::fakes::Failure;
use selfheal_agents::fix_engineer::actions::Act as _;
use selfheal_agents::ports::{Journal, Memory};

use super::*;

const TURNED: &str = "{\"delay_s\": 1.5}\n";
const BEFORE: &str = "{\"delay_s\": 1.0}\n";
const FILE: &str = "/srv/worker/config.json";

/// A worker whose delay was just turned; its window is open.
async fn turned() -> Stage {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(3).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Validating, "{incidents:#?}");
    assert_eq!(stage.fake.text(FILE), TURNED);
    stage
}

/// Passes time until the window is looked at once more.
async fn until_looked_at(stage: &Stage) {
    let mut happenings = stage.coordinator.subscribe();
    loop {
        if let Happening::Validation { .. } = happenings.recv().await.unwrap().what {
            return stage.pass(0).await;
        }
    }
}

fn restarts(stage: &Stage) -> usize {
    stage.fake.effects().iter().filter(|effect| *effect == "restart worker").count()
}

#[tokio::test(start_paused = true)]
async fn a_person_cannot_take_back_what_is_being_taken_back() {
    let stage = turned().await;
    let backup = only(&stage.incidents().await).backups[0].clone();
    stage.fake.fail_next("replace", &Failure::TimedOut, 2);
    stage.fake.crash("worker", 1);
    until_looked_at(&stage).await;
    assert_eq!(stage.fake.text(FILE), TURNED, "the undoing is under way");
    let late = stage.coordinator.rollback(&backup, "ada", false).await;
    assert!(matches!(late, Err(RequestError::Conflict(_))), "{late:?}");
    stage.pass(10).await;
    assert_eq!(stage.fake.text(FILE), BEFORE);
    assert_eq!(restarts(&stage), 2, "{:?}", stage.fake.effects());
    assert_eq!(stage.outcomes().await.len(), 1);
    assert_eq!(stage.incidents().await.last().unwrap().state(), IncidentState::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn what_undoing_does_to_a_container_is_known_as_ours() {
    let stage = turned().await;
    stage.fake.crash("worker", 1);
    let crashed_at = stage.fake.clock().now();
    stage.pass(10).await;
    assert_eq!(restarts(&stage), 2);
    let events = stage.store.events(None, crashed_at).await.unwrap();
    let others: Vec<_> = events.iter().filter(|event| !event.by_selfheal).collect();
    assert_eq!(others.len(), 1, "only the crash itself was not ours: {others:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_a_person_stops_in_its_window_stays_stopped() {
    let stage = turned().await;
    stage.pass(5).await;
    stage.fake.person_stops("worker");
    stage.pass(400).await;
    stage.look().await;
    assert_eq!(restarts(&stage), 1, "{:?}", stage.fake.effects());
    assert_eq!(stage.fake.text(FILE), TURNED, "nothing is proven against the change");
    stage.fake.world().runtime.start("worker").await.unwrap();
    stage.pass(30).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn a_persons_restart_in_the_window_is_no_death() {
    let stage = turned().await;
    stage.pass(5).await;
    stage.fake.person_stops("worker");
    stage.fake.world().runtime.start("worker").await.unwrap();
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn a_persons_own_change_in_the_window_is_not_undone() {
    let stage = turned().await;
    stage.fake.file(FILE, "{\"delay_s\": 7}\n");
    stage.fake.crash("worker", 1);
    stage.pass(6).await;
    assert_eq!(stage.fake.text(FILE), "{\"delay_s\": 7}\n");
    let incidents = stage.incidents().await;
    let incident = incidents.iter().find(|i| !i.backups.is_empty()).unwrap();
    assert_eq!(incident.state(), IncidentState::RolledBack, "{:#?}", incident.timeline);
}

#[tokio::test(start_paused = true)]
async fn a_container_removed_in_its_window_leaves_no_incident_behind() {
    let stage = turned().await;
    stage.fake.remove("worker");
    stage.pass(60).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::RolledBack, "{incidents:#?}");
    assert_eq!(stage.coordinator.standing().freezes, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_dismissed_stays_silent_while_only_others_show_it() {
    let fake = api_on_db();
    fake.works_while("api", |scene: &selfheal_agents::fakes::Scene<'_>| scene.is_up("db"));
    let stage = Stage::new(fake, Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    stage.fake.person_stops("db");
    stage.look().await;
    stage.pass(10).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).target, TargetId::container("db"));
    stage.coordinator.dismiss(incidents[0].id, "ada", "").await.unwrap();
    for _ in 0..3 {
        stage.look().await;
    }
    assert_eq!(stage.incidents().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_cycle_spends_no_more_than_the_budget() {
    let fake = old_world(|w| {
        for i in 0..20 {
            w.add(healthy(&format!("c{i}")));
        }
    });
    let mut rules = Rules::default();
    rules.budgets.per_host = 2;
    let stage = Stage::new(fake, rules);
    stage.look().await;
    for i in 0..5 {
        stage.fake.hang(&format!("c{i}"));
    }
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(stage.fake.effects().len(), 2, "{:?}", stage.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_that_cannot_be_begun_leaves_the_roots_window_open() {
    let fake = api_on_db();
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.crash("db", 1);
    stage.fake.hang("api");
    stage.pass(3).await;
    stage.fake.fail_next("replace", &Failure::Denied, 1);
    stage.store.interrupt(0, Interruption::BeforeWrite);
    stage.pass(600).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{:#?}", incidents[0].timeline);
    assert_eq!(stage.fake.effects(), ["start db", "restart api"]);
    assert_eq!(stage.store.unfinished_fixes().await.unwrap(), []);
    assert_eq!(stage.outcomes().await.len(), 2);
}

/// Interrupts Selfheal at every record of a repair with a follow-up and starts it anew.
#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_of_a_follow_up_nothing_stays_unfinished() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0..10 {
            let fake = api_on_db();
            let stage = Stage::new(fake.clone(), Rules::default());
            stage.look().await;
            stage.store.interrupt(nth, at);
            stage.fake.crash("db", 1);
            stage.fake.hang("api");
            stage.pass(if nth < 8 { 40 } else { 200 }).await;
            stage.cancel.cancel();
            stage.pass(1).await;
            let next = Stage::on(fake.clone(), Rules::default(), stage.store.clone());
            next.look().await;
            next.pass(700).await;
            next.look().await;
            for incident in next.incidents().await {
                assert!(incident.state().is_closed(), "{at:?} {nth}: {:#?}", incident.timeline);
            }
            assert_eq!(next.store.unfinished_fixes().await.unwrap(), [], "{at:?} {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_hangs_up_leaves_no_half_done_rollback() {
    let stage = turned().await;
    stage.pass(300).await;
    let backup = only(&stage.incidents().await).backups[0].clone();
    stage.fake.fail_next("replace", &Failure::TimedOut, 2);
    let asked = stage.coordinator.rollback(&backup, "ada", false);
    let hung_up = tokio::time::timeout(Duration::from_millis(100), asked).await;
    assert!(hung_up.is_err(), "the undoing takes longer");
    stage.pass(10).await;
    assert_eq!(stage.fake.text(FILE), BEFORE);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::RolledBack);
    assert_eq!(stage.store.unfinished_fixes().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn what_a_program_writes_itself_is_its_data_and_not_restored() {
    const GOOD: &str = "events {}\nhttp {}\n";
    let fake = old_world(|w| {
        let mut facts = container("web");
        facts.mounts = vec![MountFacts {
            bind: true,
            source: "/srv/web".to_owned(),
            destination: "/etc/nginx".to_owned(),
            writable: true,
        }];
        w.file("/srv/web/nginx.conf", GOOD).file("/srv/web/state.json", "{}");
        w.clock().advance_secs(10);
        facts.started_at = Some(w.clock().now());
        w.add(facts);
    });
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    let cured = Arc::new(|scene: &selfheal_agents::fakes::Scene<'_>| {
        scene.text("/srv/web/nginx.conf") == GOOD
    });
    fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
    fake.file("/srv/web/nginx.conf", "events {\nhttp {}\n");
    fake.file("/srv/web/state.json", "{\"visitors\": 7}");
    let line = "2026/11/21 05:00:00 [emerg] 1#1: unexpected end of file, expecting \"}\" in /etc/nginx/nginx.conf:2";
    fake.log("web", line);
    fake.crash("web", 1);
    stage.pass(400).await;
    assert_eq!(fake.text("/srv/web/nginx.conf"), GOOD, "{:#?}", stage.incidents().await);
    assert_eq!(fake.text("/srv/web/state.json"), "{\"visitors\": 7}");
}

/// The worker's window fails and its file cannot be put back.
async fn stuck() -> Stage {
    let stage = turned().await;
    stage.fake.fail_next("replace", &Failure::Refused("read-only".to_owned()), 3);
    stage.fake.crash("worker", 1);
    stage.pass(30).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Stuck);
    stage
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_is_told_with_what_to_type_and_left_alone() {
    let stage = stuck().await;
    let incident = only(&stage.incidents().await).clone();
    let wanted = [
        "edit /srv/worker/config.json: set delay_s back to 1".to_owned(),
        incident.fix.as_ref().unwrap().steps[1].action.by_hand(),
    ];
    assert_eq!(incident.by_hand, wanted);
    let effects = stage.fake.effects();
    stage.look().await;
    stage.pass(400).await;
    stage.look().await;
    assert_eq!(stage.fake.effects(), effects, "it is left alone, although it lies still");
}

#[tokio::test(start_paused = true)]
async fn once_a_person_has_taken_it_back_what_was_stuck_is_healed_again() {
    let stage = stuck().await;
    let backup = only(&stage.incidents().await).backups[0].clone();
    stage.coordinator.rollback(&backup, "ada", false).await.unwrap();
    assert_eq!(stage.fake.text(FILE), BEFORE);
    let incident = only(&stage.incidents().await).clone();
    assert_eq!(incident.state(), IncidentState::RolledBack);
    assert_eq!(incident.by_hand, Vec::<String>::new());
    let freezes = freezes::read(stage.store.as_ref()).await.unwrap();
    assert_eq!(freezes, [], "nobody has to lift a freeze for it");
}

#[tokio::test(start_paused = true)]
async fn cut_off_before_it_told_that_it_is_stuck_it_tells_so_after_the_next_start() {
    let stage = turned().await;
    stage.fake.fail_next("replace", &Failure::Refused("read-only".to_owned()), 100);
    // Its records: rolling back, intent, failed, stuck.
    stage.store.interrupt(3, Interruption::AfterWrite);
    stage.fake.crash("worker", 1);
    until_looked_at(&stage).await;
    stage.pass(2).await;
    assert!(!stage.alerts().await.contains(&"stuck".to_owned()), "it was cut off before that");
    stage.cancel.cancel();
    stage.pass(1).await;
    let (_, rules) = rate_limited();
    let next = Stage::on(stage.fake.clone(), rules, stage.store.clone());
    next.look().await;
    let incidents = next.incidents().await;
    let stuck = |incident: &Incident| incident.state() == IncidentState::Stuck;
    assert!(incidents.iter().any(stuck), "{incidents:#?}");
    assert!(next.alerts().await.contains(&"stuck".to_owned()));
    let freezes = freezes::read(next.store.as_ref()).await.unwrap();
    assert!(!freezes.is_empty(), "it is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_persons_freeze_outlives_what_was_stuck_beside_it() {
    let stage = turned().await;
    stage.fake.fail_next("replace", &Failure::Refused("read-only".to_owned()), 3);
    let worker = TargetId::container("worker");
    stage.coordinator.freeze(Some(worker.clone()), None, "moving house", "ada").await.unwrap();
    stage.fake.crash("worker", 1);
    stage.pass(30).await;
    let incident = only(&stage.incidents().await).clone();
    assert_eq!(incident.state(), IncidentState::Stuck);
    stage.coordinator.rollback(&incident.backups[0], "ada", false).await.unwrap();
    let freezes = freezes::read(stage.store.as_ref()).await.unwrap();
    let left: Vec<&str> = freezes.iter().map(|freeze| freeze.by.as_str()).collect();
    assert_eq!(left, ["ada"]);
}
