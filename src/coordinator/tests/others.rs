//! Stories of what others do to a container while Selfheal would repair it.

use selfheal_agents::model::{ContainerFacts, LogFile, LogFolder, LogSurvey, MountFacts};

use super::*;

fn holds(incident: &Incident) -> Vec<&'static str> {
    incident.holds.iter().map(Hold::name).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restarted_under_a_backup_and_all_is_when_it_is_over() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.runs("web", &["nginx: master", "/usr/bin/mysqldump --all-databases"]);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    assert_eq!(holds(only(&incidents)), ["backup_under_way"]);
    let words = only(&incidents).holds[0].to_string();
    assert_eq!(words, "a backup is under way: `mysqldump` runs in `container:web`");
    assert_eq!(stage.fake.effects(), Vec::<String>::new());

    stage.fake.runs("web", &["nginx: master"]);
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn what_crashed_under_a_backup_is_started_all_the_same() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.runs("web", &["pg_dump shop"]);
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["start web"], "there is nothing left to cut off");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_just_pulled_is_left_to_whoever_pulled_it() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.change("web", |facts| facts.image = "shop".to_owned());
    stage.fake.pulled("other:latest").pulled("shop:latest");
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    assert_eq!(holds(only(&incidents)), ["deployment_under_way"]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    // Nobody used it: the container is still there, and still down.
    stage.pass(400).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}

#[tokio::test(start_paused = true)]
async fn where_the_runtime_does_not_say_what_is_under_way_nothing_is_done() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.fail_next("pulls", &selfheal_agents::fakes::Failure::Unreachable, 1);
    stage.fake.crash("web", 1);
    stage.pass(1).await;
    assert_eq!(holds(only(&stage.incidents().await)), ["facts_missing"]);
}

#[tokio::test(start_paused = true)]
async fn what_its_own_logs_have_choked_is_given_room_and_not_restarted() {
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
    let stage = Stage::new(fake.clone(), Rules::default());
    assert_eq!(stage.look().await.status, CycleStatus::Healthy);
    fake.logs_in(&folder, survey(80 << 20));
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(fake.effects(), ["trim /host/log/web.log"]);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}
