//! Stories of fixes that must first earn that they run by themselves.

use selfheal_agents::learning_engine::{ShadowReport, ShadowRow};
use selfheal_agents::model::{Autonomy, ContainerFacts, LogFile, LogFolder, LogSurvey};

use super::*;

/// A shop whose fixes have to be confirmed twice.
fn earning() -> Stage {
    Stage::new(shop(), rules())
}

fn rules() -> Rules {
    Rules { autonomy: Autonomy::Earned, earned_after: 2, ..Rules::default() }
}

/// The web server hangs, and a person restarts it a minute later.
async fn a_person_mends_it(stage: &Stage) {
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
}

async fn report(stage: &Stage) -> ShadowReport {
    stage.coordinator.shadow_report().await.unwrap()
}

fn counts(row: &ShadowRow) -> [usize; 6] {
    let ShadowRow {
        would_have_acted, same_way, by_itself, dismissed, under_way, confirmed, ..
    } = row;
    [*would_have_acted, *same_way, *by_itself, *dismissed, *under_way, *confirmed]
}

#[tokio::test(start_paused = true)]
async fn what_is_not_earned_is_only_told_and_what_people_did_instead_earns_it() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).holds, [Hold::Shadow { confirmed: 0, needed: 2 }]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new(), "nothing is done");
    assert_eq!(stage.alerts().await, ["held"], "but a person learns of it");
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 0, 0, 0, 1, 0]);

    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 1, 0, 0, 0, 1]);
    a_person_mends_it(&stage).await;
    let known = report(&stage).await;
    assert_eq!(counts(&known.rows[0]), [2, 2, 0, 0, 0, 2]);
    assert_eq!(known.rows[0].fix_type, "container.restart");

    let by_person = stage.fake.effects().len();
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), by_person + 1, "now it does that itself");
    assert_eq!(stage.outcomes().await.len(), 1);
    let rows = report(&stage).await.rows;
    assert_eq!(counts(&rows[0]), [2, 2, 0, 0, 0, 3], "what was kept confirms it too");
}

#[tokio::test(start_paused = true)]
async fn what_works_again_by_itself_earns_nothing() {
    let stage = earning();
    stage.look().await;
    for _ in 0..2 {
        stage.fake.hang("web");
        stage.look().await;
        stage.pass(60).await;
        stage.fake.recover("web");
        stage.look().await;
        stage.pass(30).await;
    }
    assert_eq!(counts(&report(&stage).await.rows[0]), [2, 0, 2, 0, 0, 0]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_was_kept_earns_and_a_failure_loses_all() {
    let stage = earning();
    stage.look().await;
    for _ in 0..2 {
        stage.fake.hang("web");
        stage.look().await;
        stage.pass(5).await;
        let waits = stage.incidents().await.remove(0);
        stage.coordinator.approve(waits.id, "ada").await.unwrap();
        // A fault that is back within the hour would make it a failure.
        stage.pass(4000).await;
    }
    let row = report(&stage).await.rows.remove(0);
    assert_eq!((row.approved, row.confirmed), (2, 2));

    stage.fake.behaves("web", Behaviour::StaysUnhealthy);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(600).await;
    assert_eq!(stage.outcomes().await.last().map(|o| o.success), Some(false), "it ran by itself");
    stage.look().await;
    let incidents = stage.incidents().await;
    assert!(
        incidents[0].holds.contains(&Hold::Shadow { confirmed: 0, needed: 2 }),
        "{incidents:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_persons_word_that_nothing_was_wrong_speaks_against_the_fix() {
    let stage = earning();
    stage.look().await;
    a_person_mends_it(&stage).await;
    assert_eq!(report(&stage).await.rows[0].confirmed, 1);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let waits = stage.incidents().await.remove(0);
    stage.coordinator.dismiss(waits.id, "ada").await.unwrap();
    assert_eq!(counts(&report(&stage).await.rows[0]), [2, 1, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_only_observes_keeps_the_same_record() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    a_person_mends_it(&stage).await;
    let known = report(&stage).await;
    assert_eq!(known.autonomy, Autonomy::Full);
    assert_eq!(counts(&known.rows[0]), [1, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_another_guard_holds_would_not_have_been_done() {
    let stage = earning();
    stage.look().await;
    stage.coordinator.freeze(None, None, "moving house", "ada").await.unwrap();
    a_person_mends_it(&stage).await;
    assert_eq!(report(&stage).await.rows, []);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_selfheal_does_not_lose_what_it_watches() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let (fake, store) = (stage.fake.clone(), Arc::clone(&stage.store));
    drop(stage);
    let stage = Stage::on(fake, rules(), store);
    stage.look().await;
    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_casts_no_shadow() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.coordinator.check(Scope::All, Trigger::Api, true).await.unwrap();
    assert_eq!(report(&stage).await.rows, []);
}

#[tokio::test(start_paused = true)]
async fn what_only_watches_copies_no_logs_either() {
    let mount = MountFacts {
        bind: true,
        source: "/host/log".to_owned(),
        destination: "/var/log/web".to_owned(),
        writable: true,
    };
    let folder = LogFolder { root: mount.source.clone(), below: String::new() };
    let fake = old_world(|w| {
        w.add(ContainerFacts { mounts: vec![mount], ..healthy("web") });
        w.works_while("web", |scene| scene.free_for_logs("/host/log") > 0);
    });
    let survey = |taken_bytes: u64| LogSurvey {
        total_bytes: 80 << 20,
        available_bytes: (80 << 20) - taken_bytes,
        files: vec![LogFile { name: "web.log".to_owned(), inode: 1, taken_bytes }],
    };
    fake.logs_in(&folder, survey(1 << 20));
    let stage = Stage::new(fake.clone(), rules());
    stage.look().await;
    fake.logs_in(&folder, survey(80 << 20));
    stage.look().await;
    assert_eq!(report(&stage).await.rows[0].fix_type, "logs.trim");
    assert_eq!(fake.set_aside_so_far(), Vec::<String>::new());
}
