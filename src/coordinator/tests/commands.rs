//! Stories of commands of a person's own.

use selfheal_agents::model::{Command, CommandPart};

use super::*;

const RUNBOOK: &str = r#"
id = "cache-stale"
title = "Its cache is stale"
category = "hang"
severity = "critical"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#cache-stale"]
signature = [{ check = "container.health", is = ["unhealthy"] }]
diagnosis = { summary = "{target} serves a stale cache.", base = 90 }
fix = [{ action = "command", with = { command = "flush" }, why = "a flushed cache is filled anew" }]
"#;

fn flush(target: &str) -> Command {
    let argv = |word: &str| vec!["/usr/local/bin/flush".to_owned(), word.to_owned()];
    Command {
        name: "flush".to_owned(),
        target: TargetId::container(target),
        argv: argv("--all"),
        undo: Some(argv("--undo")),
        check: Some(argv("--check")),
        limit: Duration::from_secs(30),
        environment: vec![],
    }
}

/// A web server that is broken from now on, and a command declared for it.
async fn broken(command: Command, cures: bool) -> Stage {
    broken_under(Rules::default(), command, cures).await
}

async fn broken_under(rules: Rules, command: Command, cures: bool) -> Stage {
    let files = [("ours/cache-stale.toml".to_owned(), RUNBOOK.to_owned())];
    let (catalogue, broken) = Catalogue::load(files);
    assert_eq!(broken, []);
    let fake = shop();
    fake.declares(command);
    let world = fake.world();
    let stage = Stage::knowing(Arc::new(catalogue), fake.clone(), world, rules, Arc::default());
    stage.look().await;
    fake.works_while("web", move |scene| cures && scene.is_done("flush"));
    stage.look().await;
    stage
}

fn told(incident: &Incident) -> String {
    incident.timeline.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_declared_command_is_run_proven_and_told() {
    let stage = broken(flush("web"), true).await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["command flush"]);
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{incident:#?}");
    assert!(told(incident).contains("the command `flush`: it ended with 0"), "{}", told(incident));
    assert_eq!(stage.outcomes().await[0].fix_type, "command");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_help_is_undone() {
    let stage = broken(flush("web"), false).await;
    stage.pass(30).await;
    assert_eq!(stage.fake.effects(), ["command flush", "undo command flush"]);
    let incident = stage.incidents().await.pop().unwrap();
    assert_eq!(incident.state(), IncidentState::RolledBack, "{incident:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_without_undo_and_check_is_run_only_with_a_persons_word() {
    let stage = broken(Command { undo: None, check: None, ..flush("web") }, true).await;
    stage.pass(60).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    let waits = stage.incidents().await.remove(0);
    assert_eq!(waits.holds, [Hold::Irreversible { action: "command".to_owned() }]);
    stage.coordinator.approve(waits.id, "ada").await.unwrap();
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["command flush"]);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_run_for_no_other_target_than_its_own_and_only_if_declared() {
    let other = broken(flush("db"), true).await;
    let renamed = broken(Command { name: "else".to_owned(), ..flush("web") }, true).await;
    for (stage, why) in [
        (other, "the command `flush` is declared for `container:db`, not for `container:web`"),
        (renamed, "the settings declare no command `flush`"),
    ] {
        stage.pass(60).await;
        assert_eq!(stage.fake.effects(), Vec::<String>::new());
        let holds = stage.incidents().await[0].holds.clone();
        assert!(holds.iter().any(|hold| hold.to_string().contains(why)), "{holds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_may_be_done_not_even_the_check_is_run_to_tell_what_others_did() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = broken_under(rules, flush("web"), true).await;
    stage.pass(30).await;
    let shadow = stage.incidents().await.remove(0).shadow.expect("only the mode holds it");
    assert_eq!(shadow.before, None, "nothing is kept of it");
    stage.fake.world().commands.run(&flush("web"), CommandPart::Run).await.unwrap();
    stage.look().await;
    stage.pass(60).await;
    stage.look().await;
    let row = stage.coordinator.shadow_report().await.unwrap().rows.remove(0);
    assert_eq!((row.same_way, row.by_itself), (0, 1), "whether a person ran it was not asked");
}

/// A start after Selfheal was interrupted while that part of the command ran, which takes 25 s when
/// it is gone on with.
async fn interrupted(part: &str, cures: bool) -> Stage {
    let files = [("ours/cache-stale.toml".to_owned(), RUNBOOK.to_owned())];
    let catalogue = Arc::new(Catalogue::load(files).0);
    let (fake, store) = (shop(), Arc::<MemoryStore>::default());
    fake.declares(flush("web"));
    let start = || {
        let (catalogue, world) = (Arc::clone(&catalogue), fake.world());
        Stage::knowing(catalogue, fake.clone(), world, Rules::default(), Arc::clone(&store))
    };
    let stage = start();
    stage.look().await;
    fake.works_while("web", move |scene| cures && scene.is_done("flush"));
    fake.stall(part, |_| Box::pin(std::future::pending()));
    stage.look().await;
    stage.pass(30).await;
    stage.cancel.cancel();
    stage.pass(1).await;
    answers_after(&fake, part, Duration::from_secs(25));
    start()
}

/// Looks without waiting, and finds the command at work.
async fn looks_meanwhile(stage: &Stage) {
    let begun = stage.fake.clock().now();
    stage.look().await;
    let took = stage.fake.clock().now() - begun;
    assert!(took < chrono::TimeDelta::seconds(5), "{took}");
    let backup = only(&stage.incidents().await).backups.last().expect("it was made first").clone();
    let refused = stage.coordinator.rollback(&backup, "ada", true).await;
    let Err(RequestError::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("is being repaired"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_command_that_is_gone_on_with_after_an_interruption() {
    let stage = interrupted("command flush", true).await;
    looks_meanwhile(&stage).await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["command flush"]);
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
    assert_eq!(stage.outcomes().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_command_that_is_undone_after_an_interruption() {
    let stage = interrupted("undo command flush", false).await;
    looks_meanwhile(&stage).await;
    stage.coordinator.applied().await;
    let incidents = stage.incidents().await;
    let undone = incidents.last().expect("the first one");
    assert_eq!(undone.state(), IncidentState::RolledBack, "{undone:#?}");
    assert!(!stage.fake.is_done("flush"));
}
