//! Stories of levels that must last before they count.

use selfheal_agents::model::DiskFacts;

use super::*;

/// A host of which so many percent of the memory are in use.
fn memory(fake: &FakeWorld, percent: u64) {
    fake.change_host(|host| host.memory_used_bytes = host.memory_total_bytes * percent / 100);
}

#[tokio::test(start_paused = true)]
async fn a_level_that_lasts_is_found_when_its_hold_time_ends() {
    let stage = Stage::new(shop(), Rules::default());
    memory(&stage.fake, 97);
    assert_eq!(stage.look().await.findings, [], "it may be a peak");
    stage.pass(58).await;
    assert_eq!(stage.incidents().await.len(), 0);
    stage.pass(5).await;
    assert_eq!(only(&stage.incidents().await).target, TargetId::host());
}

#[tokio::test(start_paused = true)]
async fn a_level_that_does_not_last_is_looked_at_no_more() {
    let stage = Stage::new(shop(), Rules::default());
    memory(&stage.fake, 97);
    stage.look().await;
    memory(&stage.fake, 50);
    stage.pass(300).await;
    let cycles = stage.coordinator.standing().cycles;
    assert!(cycles <= 2, "one look saw that it is over: {cycles}");
    memory(&stage.fake, 97);
    assert_eq!(stage.look().await.findings, [], "a second peak is another one");
}

#[tokio::test(start_paused = true)]
async fn a_dry_look_at_a_level_begins_nothing() {
    let stage = Stage::new(shop(), Rules::default());
    memory(&stage.fake, 97);
    let report = stage.coordinator.check(Scope::All, Trigger::CommandLine, true).await.unwrap();
    let host = report.targets.iter().find(|t| t.id == TargetId::host()).unwrap();
    assert!(host.detail.contains("for 0 of 60 s"), "it is told all the same: {}", host.detail);
    stage.pass(120).await;
    assert_eq!(stage.coordinator.standing().cycles, 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_without_a_word_is_seen_soon_after_the_stop() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.person_stops("web");
    stage.pass(3).await;
    assert_eq!(stage.incidents().await.len(), 0, "somebody stopped it");
    // Somebody starts it again, and the runtime tells of nothing.
    stage.fake.change("web", |facts| {
        facts.start_error = "Bind for 0.0.0.0:80 failed: port is already allocated".to_owned();
    });
    stage.pass(12).await;
    let incidents = stage.incidents().await;
    let issue = only(&incidents).diagnosis.as_ref().map(|d| d.issue_type.as_str());
    assert_eq!(issue, Some("container-port-taken"), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_stays_stopped_is_soon_left_to_the_schedule() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.person_stops("web");
    stage.pass(45).await;
    let cycles = stage.coordinator.standing().cycles;
    stage.pass(200).await;
    assert_eq!(stage.coordinator.standing().cycles, cycles);
}

#[tokio::test(start_paused = true)]
async fn the_builders_cache_is_offered_only_where_its_own_disk_is_full() {
    for (full, offered) in [("/", Some("build_cache.prune")), ("/backup", None)] {
        let fake = shop();
        let disk = |mount: &str| DiskFacts {
            mount: mount.to_owned(),
            file_system: "ext4".to_owned(),
            total_bytes: 100 << 30,
            available_bytes: if mount == full { 1 << 30 } else { 60 << 30 },
            total_inodes: None,
            free_inodes: None,
        };
        fake.change_host(|host| host.disks = ["/", "/backup"].map(disk).into());
        fake.keeps_builds(20 << 30);
        let stage = Stage::new(fake, Rules::default());
        stage.look().await;
        stage.pass(60).await;
        let incident = only(&stage.incidents().await).clone();
        assert_eq!(incident.target, TargetId::host());
        assert_eq!(incident.fix.as_ref().map(|fix| fix.fix_type.as_str()), offered, "{full}");
        assert_eq!(stage.fake.effects(), [""; 0], "a person says yes first");
    }
}
