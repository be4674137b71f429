//! Stories of what is remembered, and of what a start finds.

use selfheal_agents::model::DiskFacts;

use super::*;

const REFUSED: &str = "could not connect to db:5432: Connection refused";

#[tokio::test(start_paused = true)]
async fn what_only_a_dry_run_has_read_is_still_news_to_the_next_start() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.log("web", REFUSED);
    stage.pass(1).await;
    let dry = stage.coordinator.check(Scope::All, Trigger::Api, true).await.unwrap();
    assert_eq!(dry.findings.len(), 1, "{:?}", dry.findings);
    stage.cancel.cancel();
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    assert_eq!(next.look().await.findings.len(), 1);
    assert_eq!(next.incidents().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn log_lines_read_by_a_cycle_that_could_write_nothing_down_are_not_lost() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.log("web", REFUSED);
    stage.pass(1).await;
    stage.store.refuse_writes(Some("the disk is full"));
    stage.look().await;
    stage.cancel.cancel();
    stage.store.refuse_writes(None);
    assert_eq!(stage.incidents().await.len(), 0, "nothing was written");
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    assert_eq!(next.incidents().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_runtime_looks_and_finishes_an_interrupted_fix_when_it_is_back() {
    let (fake, next) = at_start::interrupted(40).await;
    let before = (fake.effects(), fake.text("/srv/worker/config.json"));
    let blind = next.look().await;
    assert!(!next.coordinator.taken_up_within(Duration::ZERO).await);
    let after = (fake.effects(), fake.text("/srv/worker/config.json"));
    assert_eq!(after, before, "it only looks");
    assert!(blind.blind[0].contains("containers cannot be seen"), "{:?}", blind.blind);
    next.pass(500).await;
    assert!(!next.look().await.dry_run);
    let incidents = next.incidents().await;
    let ended = |i: &Incident| i.state().is_closed() || i.state() == IncidentState::Held;
    assert!(incidents.iter().all(ended), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_a_container_outlives_it_by_a_month_and_no_longer() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let kept = |store: Arc<MemoryStore>| async move {
        store.value("remembered.web").await.unwrap().is_some()
    };
    assert!(kept(stage.store.clone()).await);
    stage.fake.remove("web");
    stage.look().await;
    stage.fake.clock().advance_secs(29 * 24 * 3600);
    stage.look().await;
    assert!(kept(stage.store.clone()).await);
    stage.fake.clock().advance_secs(2 * 24 * 3600);
    stage.look().await;
    assert!(!kept(stage.store.clone()).await);
}

#[tokio::test(start_paused = true)]
async fn a_container_called_like_what_stands_before_its_name_is_not_taken_for_gone() {
    let fake = shop();
    fake.add(container("lines.web"));
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.remove("web");
    stage.look().await;
    let gone = stage.store.value("gone").await.unwrap().unwrap_or_default();
    assert!(gone.get("remembered.web").is_some(), "{gone}");
    assert!(gone.get("remembered.lines.web").is_none(), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_tell_at_the_start_what_was_left_is_asked_again() {
    let stage = Stage::new(shop(), Rules::default());
    stage.coordinator.freeze(None, None, "upgrade", "ada").await.unwrap();
    stage.cancel.cancel();
    stage.pass(1).await;
    stage.store.refuse_reads(Some("the disk does not answer"));
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    assert!(next.look().await.dry_run, "until it tells, Selfheal only looks");
    stage.store.refuse_reads(None);
    next.pass(10).await;
    assert!(!next.look().await.dry_run);
    assert_eq!(next.coordinator.standing().freezes.len(), 1, "what was frozen is frozen");
}

/// A host with one disk that is so full, in percent.
fn disk(fake: &FakeWorld, percent: f64) {
    let total = 1_000_000;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it")]
    let used = (total as f64 * percent / 100.0) as u64;
    let disk = DiskFacts {
        mount: "/var".to_owned(),
        file_system: "ext4".to_owned(),
        total_bytes: total,
        available_bytes: total - used,
        total_inodes: None,
        free_inodes: None,
    };
    fake.change_host(|host| host.disks = vec![disk]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_is_followed_across_a_restart_and_what_nobody_reads_is_not_kept() {
    let start = shop().clock().now();
    let stage = Stage::new(shop(), Rules::default());
    for step in 0..72 {
        disk(&stage.fake, 40.0 + f64::from(step) / 3.0);
        stage.look().await;
        stage.fake.clock().advance_secs(300);
    }
    let kept = |target| {
        let store = stage.store.clone();
        async move { store.observations(&target, start).await.unwrap() }
    };
    let of_host = kept(TargetId::host()).await;
    for followed in ["host.disk:/var", "host.memory"] {
        let times = of_host.iter().filter(|seen| seen.check == followed).count();
        assert_eq!(times, 72, "{followed}: {of_host:?}");
    }
    assert_eq!(of_host.len(), 2 * 72, "nobody reads anything else");
    assert_eq!(kept(TargetId::container("web")).await, []);

    stage.cancel.cancel();
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    disk(&next.fake, 64.0);
    let report = next.look().await;
    let host = report.targets.iter().find(|target| target.id == TargetId::host()).unwrap();
    let told = host.observations.iter().any(|seen| seen.check == "host.disk_forecast:/var");
    assert!(told, "{:?}", host.observations);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_kills_after_a_while_does_not_take_the_place_of_what_lasted() {
    const GOOD: &str = "events {}\nhttp {}\n";
    const BAD: &str = "events {}\nhttp {\n";
    let fake = configured(GOOD);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    fake.file("/srv/web/nginx.conf", BAD);
    stage.pass(2).await;
    fake.change("web", |facts| facts.started_at = Some(fake.clock().now()));
    stage.pass(10).await;
    stage.look().await;
    stage.pass(10).await;
    let cured = Arc::new(|scene: &selfheal_agents::fakes::Scene<'_>| {
        scene.text("/srv/web/nginx.conf") == GOOD
    });
    fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
    fake.log("web", "nginx: [emerg] unexpected end of file in /etc/nginx/nginx.conf:2");
    fake.crash("web", 1);
    stage.pass(400).await;
    assert_eq!(fake.text("/srv/web/nginx.conf"), GOOD);
    let incidents = stage.incidents().await;
    assert!(incidents.iter().any(|i| i.state() == IncidentState::Resolved), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_shows_what_is_watched_hears_of_each_change_and_of_nothing_else() {
    let stage = Stage::new(shop(), Rules::default());
    let mut changes = stage.coordinator.changes();
    assert!(!changes.any(), "nothing was looked at yet");
    stage.look().await;
    assert!(changes.any(), "how all are is known");
    stage.pass(3).await;
    assert!(!changes.any(), "{:?}", stage.coordinator.standing());
    stage.look().await;
    assert!(changes.any(), "there was a look");
    stage.store.set_value("noted.beside", Some(&serde_json::json!(1))).await.unwrap();
    assert!(changes.any(), "something was written beside any look");
    assert!(!changes.any());
}
