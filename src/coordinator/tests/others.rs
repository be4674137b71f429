//! Stories of what others do to a container while Selfheal would repair it.

use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, HealthStatus, LogFile, LogFolder, LogSurvey, RuntimeEventKind,
};

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

/// A stack of one Compose project, and what somebody does with it.
fn stack(names: &[&str]) -> FakeWorld {
    old_world(|w| {
        for name in names {
            let labels = labels(&[("com.docker.compose.project", "shop")]);
            w.add(ContainerFacts { labels, ..healthy(name) });
        }
    })
}

/// What holds the incident about `web` after a look.
async fn held_web(stage: &Stage) -> Vec<String> {
    stage.look().await;
    let incidents = stage.incidents().await;
    let web = incidents.iter().find(|i| i.target == TargetId::container("web"));
    web.map_or_else(Vec::new, |i| i.holds.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn what_an_updater_just_made_is_left_to_it() {
    let fake = shop();
    fake.add(ContainerFacts { image: "containrrr/watchtower".to_owned(), ..container("updater") });
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.emit("web", RuntimeEventKind::Create);
    stage.pass(30).await;
    stage.fake.hang("web");
    let held = held_web(&stage).await;
    assert_eq!(
        held,
        [
            "a deployment is under way: `web` was made 30 s ago, and `updater` updates containers here"
        ]
    );
    stage.pass(40).await;
    assert_eq!(stage.fake.effects(), ["restart web"], "the minute is over");
}

#[tokio::test(start_paused = true)]
async fn without_an_updater_what_was_made_and_well_is_mended_after_half_a_minute() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.emit("web", RuntimeEventKind::Create);
    stage.fake.emit("web", RuntimeEventKind::Health { status: HealthStatus::Healthy });
    stage.pass(30).await;
    stage.fake.hang("web");
    assert_eq!(held_web(&stage).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_made_within_the_minute_may_take_that_long_to_be_well() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.emit("web", RuntimeEventKind::Create);
    stage.fake.hang("web");
    stage.pass(30).await;
    let held = held_web(&stage).await;
    assert_eq!(
        held,
        ["a deployment is under way: `web` was made 30 s ago and has not been well yet"]
    );
    stage.pass(60).await;
    assert_eq!(stage.fake.effects(), ["restart web"], "the minute is over");
}

#[tokio::test(start_paused = true)]
async fn a_project_that_is_being_brought_up_is_left_alone_as_a_whole() {
    let stage = Stage::new(stack(&["web", "api", "db"]), Rules::default());
    stage.look().await;
    stage.fake.emit("db", RuntimeEventKind::Start);
    stage.pass(15).await;
    stage.fake.emit("api", RuntimeEventKind::Start);
    stage.pass(5).await;
    stage.fake.hang("web");
    let held = held_web(&stage).await;
    assert_eq!(
        held,
        [
            "a deployment is under way: Compose project `shop`: 2 of its containers came up within a minute"
        ]
    );
    stage.pass(20).await;
    assert_eq!(stage.fake.effects(), ["restart web"], "all are there");
}

#[tokio::test(start_paused = true)]
async fn one_of_a_project_that_waits_for_its_start_shows_that_somebody_is_at_it() {
    let stage = Stage::new(stack(&["web", "job"]), Rules::default());
    stage.look().await;
    let now = stage.fake.clock().now();
    stage.fake.change("job", |facts| {
        facts.status = ContainerStatus::Created;
        facts.created_at = Some(now);
    });
    stage.pass(60).await;
    stage.fake.hang("web");
    let held = held_web(&stage).await;
    assert_eq!(
        held,
        ["a deployment is under way: Compose project `shop`: `job` is made and not started yet"]
    );
    stage.pass(700).await;
    assert_eq!(stage.fake.effects(), ["restart web"], "nobody will start it any more");
}

#[tokio::test(start_paused = true)]
async fn trouble_during_a_deployment_is_told_when_that_is_over() {
    let rules = Rules { mode: Mode::Approve, ..Rules::default() };
    let stage = Stage::new(stack(&["web", "job"]), rules);
    stage.look().await;
    let now = stage.fake.clock().now();
    stage.fake.change("job", |facts| {
        facts.status = ContainerStatus::Created;
        facts.created_at = Some(now);
    });
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(holds(only(&incidents)), ["mode", "deployment_under_way"]);
    assert_eq!(stage.alerts().await, Vec::<String>::new(), "who deploys sees it");
    stage.fake.change("job", |facts| facts.status = ContainerStatus::Running);
    stage.pass(90).await;
    assert_eq!(stage.alerts().await, ["held"], "it is still there");
}

#[tokio::test(start_paused = true)]
async fn who_was_called_is_told_that_it_works_again_also_after_a_deployment() {
    let rules = Rules { mode: Mode::Approve, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(70).await;
    assert_eq!(stage.alerts().await, ["held"]);
    let now = stage.fake.clock().now();
    let told = stage.store.due(now, 1).await.unwrap();
    stage.store.delivered(told[0].id, now).await.unwrap();
    // The person makes it anew: a look in the midst of that holds for the deployment, too.
    stage.fake.emit("web", RuntimeEventKind::Create);
    stage.look().await;
    assert_eq!(holds(only(&stage.incidents().await)), ["mode", "deployment_under_way"]);
    stage.fake.world().runtime.restart("web", None, 1).await.unwrap();
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(stage.alerts().await, ["recovered"]);
}

#[tokio::test(start_paused = true)]
async fn what_restart_policies_and_one_person_alone_start_is_no_deployment() {
    let stage = Stage::new(stack(&["web", "api", "db"]), Rules::default());
    stage.look().await;
    for name in ["api", "db"] {
        stage.fake.emit(name, RuntimeEventKind::Die { exit_code: 1 });
        stage.fake.emit(name, RuntimeEventKind::Start);
    }
    stage.fake.emit("web", RuntimeEventKind::Start);
    stage.pass(12).await;
    stage.fake.hang("web");
    assert_eq!(held_web(&stage).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_another_healer_watches_is_left_to_it_while_it_runs_and_not_when_it_is_down() {
    let fake = old_world(|w| {
        let image = "willfarrell/autoheal".to_owned();
        w.add(ContainerFacts { image, ..container("healer") });
        w.add(ContainerFacts { labels: labels(&[("autoheal", "true")]), ..healthy("web") });
    });
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.hang("web");
    let held = held_web(&stage).await;
    assert_eq!(held, ["another healer (healer) looks after it; two would fight"]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    // It restarts what is unhealthy; nobody else starts what has ended.
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}

#[tokio::test(start_paused = true)]
async fn beside_another_selfheal_only_one_heals() {
    let fake = old_world(|w| {
        let mounts = vec![MountFacts {
            bind: true,
            source: "/var/run/docker.sock".to_owned(),
            destination: "/var/run/docker.sock".to_owned(),
            writable: true,
        }];
        let image = "selfheal:1".to_owned();
        w.add(ContainerFacts { image, mounts, ..container("other") });
        w.add(healthy("web"));
    });
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    let held = held_web(&stage).await;
    assert_eq!(
        held,
        ["another healer (another Selfheal, in container `other`) looks after it; two would fight"]
    );
    stage.fake.remove("other");
    stage.look().await;
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}
