//! What the audit log says of stories: each decision once, and never one that was not taken.

use super::*;
use crate::audit::{Audit, Entry};

/// Who and what, of everything that was written down.
async fn told(stage: &Stage) -> Vec<(String, String)> {
    let audit = stage.coordinator.audit();
    audit.examine().await;
    let newest = audit.newest(100).await.unwrap();
    assert!(newest.iter().all(|entry| entry.act != "audit_altered"), "{newest:#?}");
    newest.into_iter().rev().map(|Entry { who, act, .. }| (who, act)).collect()
}

fn of(who: &str, acts: &[&str]) -> Vec<(String, String)> {
    acts.iter().map(|act| (who.to_owned(), (*act).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_told_from_the_decision_to_the_verdict_with_how_sure_it_was() {
    let stage = Stage::new(shop(), Rules::default());
    stage.fake.crash("web", 1);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
    assert_eq!(told(&stage).await, of("selfheal", &["apply", "applied", "kept"]));
    let first = stage.coordinator.audit().newest(3).await.unwrap().pop().unwrap();
    assert!(first.detail.starts_with("start container `web` (") && first.detail.contains("% sure"));
    assert_eq!(first.target.as_deref(), Some("container:web"));
    assert_eq!(first.incident, Some(only(&stage.incidents().await).id));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_told_once_with_its_reasons_however_often_it_is_looked_at() {
    let rules = Rules { mode: Mode::Approve, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    for _ in 0..20 {
        stage.look().await;
    }
    assert_eq!(told(&stage).await, of("selfheal", &["held"]));
    let id = only(&stage.incidents().await).id;
    stage.coordinator.approve(id, "ada").await.unwrap();
    stage.pass(300).await;
    let mut expected = of("selfheal", &["held"]);
    expected.extend(of("ada", &["apply"]));
    expected.extend(of("selfheal", &["applied", "kept"]));
    assert_eq!(told(&stage).await, expected);
    stage.coordinator.rollback_incident(id, "grace", false).await.unwrap();
    expected.extend(of("grace", &["rolled_back"]));
    assert_eq!(told(&stage).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_dismissed_or_over_by_itself_is_told() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.dismiss(id, "ada", "a known fault").await.unwrap();
    let mut expected = of("selfheal", &["held"]);
    expected.extend(of("ada", &["dismissed"]));
    assert_eq!(told(&stage).await, expected);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(10).await;
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(30).await;
    expected.extend(of("selfheal", &["held", "recovered"]));
    assert_eq!(told(&stage).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_does_not_help_is_told_with_its_end_and_so_is_the_safety_stop() {
    let mut rules = Rules::default();
    rules.stop.failures_an_hour = 1;
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    stage.fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.fake.crash("web", 1);
    for _ in 0..5 {
        stage.pass(60).await;
        stage.look().await;
    }
    let acts: Vec<String> = told(&stage).await.into_iter().map(|(_, act)| act).collect();
    let at = |word: &str| acts.iter().position(|act| act == word);
    assert!(at("apply") < at("rolled_back") && at("rolled_back").is_some(), "{acts:?}");
    assert!(at("safety_stop").is_some(), "{acts:?}");
    assert_eq!(acts.iter().filter(|act| *act == "safety_stop").count(), 1, "{acts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing_down() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.coordinator.freeze(None, None, "so that events do not act", "ada").await.unwrap();
    stage.fake.crash("web", 1);
    stage.coordinator.check(Scope::All, Trigger::CommandLine, true).await.unwrap();
    assert!(!told(&stage).await.iter().any(|(_, act)| act == "apply"));
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_last_while_the_log_could_not_be_written_is_told_later_also_by_the_next_run()
 {
    for restarted in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(crate::audit::FILE);
        std::fs::create_dir(&path).unwrap();
        let store = Arc::<MemoryStore>::default();
        let fake = shop();
        let begin = async || {
            let audit = Arc::new(Audit::open(folder.path(), store.clone()).await);
            let rules = Rules::default();
            Stage::told_to(audit, built_in(), fake.clone(), fake.world(), rules, store.clone())
        };
        let mut stage = begin().await;
        fake.crash("web", 1);
        stage.pass(300).await;
        assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
        if restarted {
            stage.cancel.cancel();
            stage.pass(10).await;
            stage = begin().await;
        }
        std::fs::remove_dir(&path).unwrap();
        stage.pass(100).await;
        assert_eq!(told(&stage).await, of("selfheal", &["apply", "applied", "kept"]));
        stage.pass(100).await;
        assert_eq!(told(&stage).await.len(), 3, "and once");
    }
}

#[tokio::test(start_paused = true)]
async fn healing_goes_on_where_the_log_cannot_be_written_and_it_is_told_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(crate::audit::FILE);
    // Not even root writes into a folder.
    std::fs::create_dir(&path).unwrap();
    let store = Arc::<MemoryStore>::default();
    let audit = Arc::new(Audit::open(folder.path(), store.clone()).await);
    let fake = shop();
    let stage =
        Stage::told_to(audit, built_in(), fake.clone(), fake.world(), Rules::default(), store);
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
    std::fs::remove_dir(&path).unwrap();
    stage.pass(300).await;
    assert_eq!(told(&stage).await, of("selfheal", &["apply", "applied", "kept"]));
}
