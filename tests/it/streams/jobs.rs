//! Jobs of other programs: done once, answered, taken over, put aside.

use selfheal::audit::Via;
use selfheal_agents::model::Mode;

use super::*;

#[tokio::test]
async fn every_job_is_done_answered_and_acknowledged() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules { mode: Mode::Approve, ..Rules::default() });
    let mut other = Other::on(server.port).await;

    other.job("check", "trigger_check", &json!({"dry_run": true})).await;
    let (status, result) = other.result("check").await;
    assert_eq!((status.as_str(), &result["status"]), ("success", &json!("healthy")));

    let for_a_while = json!({"for": "30m", "reason": "moving", "by": "eve"});
    other.job("freeze", "freeze", &for_a_while).await;
    assert_eq!(other.result("freeze").await.0, "success");
    let freezes = tied.coordinator.standing().freezes;
    assert_eq!((freezes[0].by.as_str(), freezes[0].reason.as_str()), ("stream: eve", "moving"));
    other.job("unfreeze", "unfreeze", &json!({})).await;
    assert_eq!(other.result("unfreeze").await.0, "success");
    assert_eq!(tied.coordinator.standing().freezes, []);

    let id = tied.held().await;
    let incident = json!({"incident_id": id});
    other.job("back", "rollback", &incident).await;
    let (status, result) = other.result("back").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("nothing was done"), "{result}");
    other.job("dismiss", "dismiss", &json!({"incident_id": id, "reason": "known"})).await;
    assert_eq!(other.result("dismiss").await.0, "success");
    let closed = tied.store.incident(id).await.unwrap().unwrap();
    assert_eq!(closed.state(), IncidentState::Resolved);
    assert!(closed.timeline.iter().any(|entry| entry.text == "dismissed: known"), "{closed:?}");

    // What cannot be done as things are is answered, and is no job for the dead.
    other.job("late", "approve", &incident).await;
    let (status, result) = other.result("late").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("not held"), "{result}");
    other.job("gone", "rollback", &json!({"backup_id": "backup_20200101_000000"})).await;
    assert_eq!(other.result("gone").await.0, "failed");

    other.all_acknowledged().await;
    let figures = tied.tie.figures();
    assert_eq!((figures.done, figures.failed, figures.dead), (4, 3, 0));
    let acts = tied.coordinator.audit().newest(1000).await.unwrap();
    let of_stream = acts.iter().rev().filter(|act| act.via == Via::Stream);
    let words: Vec<&str> = of_stream.map(|act| act.act.as_str()).collect();
    let wanted = ["check", "freeze", "unfreeze", "rollback", "refused", "dismiss"];
    assert_eq!(words[..6], wanted, "every job stands in the audit log");
}

#[tokio::test]
async fn an_approved_fix_is_applied_and_its_story_told() {
    let Some(server) = Server::redis(&[]) else { return };
    let rules = Rules { mode: Mode::Approve, streams: true, ..Rules::default() };
    let tied = Tied::to(at(server.port), rules);
    let mut other = Other::on(server.port).await;
    let id = tied.held().await;
    let skipped = other.one("results", "incident_id", &id.to_string()).await;
    assert_eq!(skipped["status"], "skipped");
    let error = other.one("errors", "incident_id", &id.to_string()).await;
    assert_eq!(
        (error["target"].as_str(), error["severity"].as_str()),
        ("container:web", "critical")
    );
    other.job("yes", "approve", &json!({"incident_id": id})).await;
    assert_eq!(other.result("yes").await.0, "success");
    other.one("healing", "state", "validating").await;
    assert_eq!(tied.world.effects(), ["start web"]);
}

#[tokio::test]
async fn what_makes_no_sense_goes_to_the_dead_at_once_as_it_came() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    other.job("j1", "heal_everything", &json!({"now": true})).await;
    other.job("j2", "approve", &json!({"incident_id": "../../etc/passwd"})).await;
    let stream = format!("{PREFIX}:jobs");
    let _: String = other.ask(&["XADD", &stream, "*", "reason", "mine", "\u{1b}[31m", "x"]).await;
    let mut garbage = redis::cmd("XADD");
    garbage.arg(&stream).arg("*").arg("job_id").arg(&[0xff_u8, 0xfe][..]);
    let _: String = garbage.query_async(&mut other.0).await.unwrap();

    let unknown = other.one("dead", "job_id", "j1").await;
    assert!(unknown["reason"].contains("`heal_everything` is not known here"), "{unknown:?}");
    assert_eq!(
        (unknown["attempts"].as_str(), unknown["payload"].as_str()),
        ("1", r#"{"now":true}"#)
    );
    let malformed = other.one("dead", "job_id", "j2").await;
    assert!(malformed["reason"].contains("does not fit"), "{malformed:?}");
    tied.figures(|figures| figures.dead == 4).await;
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 4);
    let ours = other.one("dead", "\u{1b}[31m", "x").await;
    assert!(ours["reason"].contains("`job_id` is missing"), "ours is the last: {ours:?}");
}

#[tokio::test]
async fn a_job_that_comes_twice_is_done_once() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    for _ in 0..3 {
        other.job("same", "freeze", &json!({"for": "30m"})).await;
    }
    other.job("last", "unfreeze", &json!({})).await;
    other.result("last").await;
    other.all_acknowledged().await;
    assert_eq!(other.result("same").await.0, "success");
    assert_eq!(tied.tie.figures().done, 2);
}

#[tokio::test]
async fn a_job_whose_consumer_died_is_taken_over() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    other.abandoned("left", "freeze", &json!({"for": "30m"}), "1").await;
    let tied = Tied::to(at(server.port), Rules::default());
    assert_eq!(other.result("left").await.0, "success");
    other.all_acknowledged().await;
    assert_eq!(tied.coordinator.standing().freezes.len(), 1);
}

#[tokio::test]
async fn a_job_that_fails_five_times_goes_to_the_dead_with_the_reason() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    let payload = json!({"backup_id": "backup_20200101_000000"});
    other.abandoned("poison", "rollback", &payload, "4").await;
    other.abandoned("killer", "trigger_check", &json!({}), "5").await;
    let tied = Tied::loose(Rules::default());
    tied.store.refuse_backups(Some("the vault is away"));
    tied.tie_to(at(server.port));
    let dead = other.one("dead", "job_id", "poison").await;
    assert_eq!(dead["attempts"], "5");
    assert!(dead["reason"].contains("the vault is away"), "{dead:?}");
    let killer = other.one("dead", "job_id", "killer").await;
    assert!(killer["reason"].contains("never came to an end"), "{killer:?}");
    other.all_acknowledged().await;
    // And whoever sends it again is not heard a second time.
    other.job("poison", "rollback", &payload).await;
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 2);
}

#[tokio::test]
async fn a_job_that_failed_is_left_for_another_try() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::loose(Rules::default());
    tied.store.refuse_backups(Some("the vault is away"));
    tied.tie_to(at(server.port));
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let payload = json!({"backup_id": "backup_20200101_000000"});
    let place = other.job("again", "rollback", &payload).await;
    tied.all_before(&mut other).await;
    assert_eq!(other.pending().await, 1, "nobody acknowledged it");
    assert_eq!(other.all("dead").await.len(), 0);
    tied.store.refuse_backups(None);
    other.a_minute_passes(&place, "here", "1").await;
    let (status, result) = other.result("again").await;
    assert_eq!(status, "failed");
    assert!(result["error"].as_str().unwrap().contains("there is no backup"), "{result}");
    other.all_acknowledged().await;
}

#[tokio::test]
async fn what_was_done_is_answered_once_however_long_the_store_refuses_it() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    tied.store.refuse_writes(Some("full"));
    for id in ["first", "second", "third"] {
        other.job(id, "trigger_check", &json!({"dry_run": true})).await;
    }
    // Long enough for it to be tried in vain.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(other.all("results").await.len(), 0);
    tied.store.refuse_writes(None);
    for id in ["first", "second", "third"] {
        assert_eq!(other.result(id).await.0, "success");
    }
    other.all_acknowledged().await;
    assert_eq!(other.all("dead").await.len(), 0);
    assert_eq!(tied.tie.figures().done, 3);
}

#[tokio::test]
async fn a_job_whose_end_was_not_written_down_when_selfheal_ended_is_left_for_the_next_start() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    tied.store.refuse_writes(Some("full"));
    other.job("begun", "trigger_check", &json!({"dry_run": true})).await;
    other.somebody_has_it().await;
    tied.cancel.cancel();
    let all = tied.coordinator.upkeep().tracker();
    all.close();
    tokio::time::timeout(LIMIT, all.wait()).await.expect("it ends while a job waits");
    assert_eq!(other.pending().await, 1, "nobody acknowledged it");
    assert_eq!(other.all("jobs").await.len(), 1);
    assert_eq!(other.all("results").await.len(), 0);
}

#[tokio::test]
async fn of_two_consumers_one_does_a_job() {
    let Some(server) = Server::redis(&[]) else { return };
    let one = Tied::to(at(server.port), Rules::default());
    let there = Setup { node: "there".to_owned(), ..at(server.port) };
    let two = Tied::to(there, Rules::default());
    let mut other = Other::on(server.port).await;
    one.figures(|figures| figures.connected).await;
    two.figures(|figures| figures.connected).await;
    for number in 0..40 {
        other.job(&number.to_string(), "unfreeze", &json!({})).await;
    }
    for number in 0..40 {
        other.result(&number.to_string()).await;
    }
    other.all_acknowledged().await;
    let (one, two) = (one.tie.figures().done, two.tie.figures().done);
    assert_eq!(one + two, 40, "{one} and {two}");
    let left: usize = other.ask(&["XLEN", &format!("{PREFIX}:jobs")]).await;
    assert_eq!(left, 0, "what is done is not kept for ever");
}

#[tokio::test]
async fn a_job_that_another_took_over_is_left_to_them() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    // Both are taken at once; while the first waits for the store, the second is taken away.
    let tied = Tied::to(at(server.port), Rules::default());
    tied.figures(|figures| figures.connected).await;
    tied.store.refuse_writes(Some("full"));
    let mut both = redis::pipe();
    both.atomic();
    for id in ["first", "second"] {
        let add = both.cmd("XADD").arg(format!("{PREFIX}:jobs")).arg("*");
        add.arg(&["job_id", id, "type", "trigger_check"]);
    }
    let places: Vec<String> = both.query_async(&mut other.0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.a_minute_passes(&places[1], "there", "1").await;
    tied.store.refuse_writes(None);
    assert_eq!(other.result("first").await.0, "success");
    tied.all_before(&mut other).await;
    assert_eq!(tied.tie.figures().done, 2, "the first and the last");
}

#[tokio::test]
async fn a_job_that_was_done_when_selfheal_was_killed_is_answered_as_done() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::loose(Rules { mode: Mode::Approve, ..Rules::default() });
    let id = tied.held().await;
    // Done, and neither answered nor acknowledged.
    tied.coordinator.dismiss(id, "stream: eve", "known").await.unwrap();
    let mut other = Other::on(server.port).await;
    let payload = json!({"incident_id": id, "by": "eve"});
    other.abandoned("killed", "dismiss", &payload, "1").await;
    tied.tie_to(at(server.port));
    assert_eq!(other.result("killed").await.0, "success");
    // Whoever asks only now is told how it is.
    other.job("late", "dismiss", &payload).await;
    assert_eq!(other.result("late").await.0, "failed");
}

#[tokio::test]
async fn what_is_far_too_long_is_put_aside_cut() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    let flood = "x".repeat(5_000_000);
    let stream = format!("{PREFIX}:jobs");
    let words = ["XADD", &stream, "*", "job_id", "big", "type", "unfreeze", "payload", &flood];
    let _: String = other.ask(&words).await;
    let dead = other.one("dead", "job_id", "big").await;
    assert!(dead["reason"].contains("larger than"), "{}", dead["reason"]);
    assert_eq!((dead["payload"].len(), dead["truncated"].as_str()), (16 * 1024, "yes"));
    drop(tied);
}

#[tokio::test]
async fn a_job_that_waited_for_the_start_finds_its_target() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    other.job("early", "freeze", &json!({"target": "container:web", "for": "1h"})).await;
    let tied = Tied::to(at(server.port), Rules::default());
    assert_eq!(other.result("early").await.0, "success");
    assert_eq!(tied.coordinator.standing().freezes.len(), 1);
}
