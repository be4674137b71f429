//! Stories of fixes that are tried on a clone before the container is touched.

use chrono::TimeDelta;
use selfheal_agents::fakes::{Failure, Scene};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, REHEARSAL_LABEL, RehearsalVerdict, Rehearse, rehearsal_name,
};

use super::remade::dies_again_and_again;
use super::*;

const GOOD: &str = "sha256:web";

/// A web that was seen to work for long, in front of a database.
async fn proven(rules: Rules) -> Stage {
    proven_beside(&[], rules).await
}

async fn proven_beside(others: &[&str], rules: Rules) -> Stage {
    let fake = old_world(|w| {
        let mut web = container("web");
        web.labels = labels(&[("selfheal.depends-on", "db")]);
        w.add(web).add(container("db")).image(GOOD, &[]);
        for other in others {
            w.add(healthy(other));
        }
    });
    let stage = Stage::new(fake, rules);
    stage.look().await;
    let cured = Arc::new(|scene: &Scene<'_>| {
        scene.container("web").is_some_and(|web| web.image_id == GOOD)
    });
    stage.fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
    stage
}

/// Somebody deploys an image that cannot work, and it dies until it is believed.
async fn is_updated(stage: &Stage) {
    stage.fake.deploys("web", |web: &mut ContainerFacts| {
        "sha256:bad".clone_into(&mut web.image_id);
        "web:2".clone_into(&mut web.image);
    });
    stage.fake.log("web", "Traceback: this release is broken");
    dies_again_and_again(stage).await;
}

fn about_web(incidents: &[Incident]) -> &Incident {
    let web = TargetId::container("web");
    incidents.iter().find(|i| i.target == web).unwrap_or_else(|| panic!("{incidents:#?}"))
}

fn verdict(incident: &Incident) -> Option<RehearsalVerdict> {
    incident.rehearsal.as_ref().map(|rehearsal| rehearsal.verdict)
}

#[tokio::test(start_paused = true)]
async fn what_works_on_a_clone_is_applied_and_the_clone_is_gone_and_never_was_a_target() {
    let stage = proven(Rules::default()).await;
    is_updated(&stage).await;
    stage.pass(3).await;
    let clones = stage.fake.clones();
    assert_eq!(clones.len(), 1, "{:?}", stage.incidents().await);
    assert_eq!(stage.fake.effects(), Vec::<String>::new(), "nothing that works is touched yet");
    let report = stage.look().await;
    let seen: Vec<String> = report.targets.iter().map(|t| t.id.to_string()).collect();
    assert!(!seen.iter().any(|id| id.contains(&clones[0])), "{seen:?}");
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
    assert_eq!(verdict(&incidents[0]), Some(RehearsalVerdict::Passed));
    let rehearsal = incidents[0].rehearsal.clone().unwrap();
    assert!(rehearsal.took_secs >= 5.0 && rehearsal.lines.is_empty(), "{rehearsal:?}");
    assert_eq!(stage.fake.effects()[..3], ["set aside web", "make web", "start web"]);
    assert_eq!(stage.fake.names(), ["db", "web"]);
    let told = stage.store.events(None, stage.fake.clock().now() - TimeDelta::hours(1)).await;
    assert!(!told.unwrap().iter().any(|e| e.target.name().contains("rehearsal")));
}

#[tokio::test(start_paused = true)]
async fn when_much_else_fails_while_a_clone_is_tried_nothing_is_touched() {
    let others = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
    let stage = proven_beside(&others, Rules::default()).await;
    is_updated(&stage).await;
    stage.pass(1).await;
    assert_eq!(stage.fake.clones().len(), 1, "{:?}", stage.incidents().await);
    for other in others {
        stage.fake.hang(other);
    }
    stage.look().await;
    stage.pass(120).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    let incidents = stage.incidents().await;
    let holds: Vec<&str> = about_web(&incidents).holds.iter().map(Hold::name).collect();
    assert!(holds.contains(&"common_cause"), "{holds:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_on_a_clone_as_it_does_in_life_is_held_once_and_a_person_decides() {
    let stage = proven(Rules::default()).await;
    let fails = Behaviour::DiesOnStart { exit_code: 1 };
    stage.fake.alone("web", fails, &["Traceback: this release is broken", "password=hunter2"]);
    is_updated(&stage).await;
    stage.pass(60).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Held, "{incident:#?}");
    assert_eq!(incident.holds.iter().map(Hold::name).collect::<Vec<_>>(), ["rehearsal_failed"]);
    let rehearsal = incident.rehearsal.clone().unwrap();
    assert_eq!(rehearsal.verdict, RehearsalVerdict::Failed);
    assert_eq!(rehearsal.lines.len(), 2);
    assert!(!format!("{incident:?}").contains("hunter2"));
    assert_eq!(stage.alerts().await, ["held"]);

    // The same is not tried again at every look.
    for _ in 0..5 {
        dies_again_and_again(&stage).await;
        stage.pass(45).await;
        stage.look().await;
    }
    let again = about_web(&stage.incidents().await).clone();
    assert_eq!(again.rehearsal, Some(rehearsal), "{:#?}", again.timeline);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    assert!(stage.fake.clones().is_empty() && stage.outcomes().await.is_empty());

    stage.coordinator.approve(again.id, "ada").await.unwrap();
    stage.pass(5).await;
    assert_eq!(
        stage.fake.effects()[..2],
        ["set aside web", "make web"],
        "a person may know better"
    );
}

#[tokio::test(start_paused = true)]
async fn who_approved_what_then_fails_on_a_clone_is_told_that() {
    let stage = proven(Rules { mode: Mode::Approve, ..Rules::default() }).await;
    stage.fake.alone(
        "web",
        Behaviour::DiesOnStart { exit_code: 1 },
        &["Traceback: this release is broken"],
    );
    is_updated(&stage).await;
    stage.pass(30).await;
    stage.look().await;
    assert_eq!(stage.alerts().await, ["held"]);
    let id = only(&stage.incidents().await).id;
    assert!(stage.fake.clones().is_empty(), "nobody asked for anything yet");
    stage.coordinator.approve(id, "ada").await.unwrap();
    stage.pass(30).await;
    assert_eq!(stage.store.waiting().await.unwrap(), 2, "and once more, for it is news");
    let incidents = stage.incidents().await;
    let holds: Vec<_> = only(&incidents).holds.iter().map(Hold::name).collect();
    assert_eq!(holds, ["mode", "rehearsal_failed"]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_approved_what_was_then_not_begun_is_told_that_though_it_passes_by_itself() {
    let rules = || Rules { mode: Mode::Approve, ..Rules::default() };
    for what in ["frozen", "stopped", "killed"] {
        let stage = proven(rules()).await;
        is_updated(&stage).await;
        stage.pass(30).await;
        stage.look().await;
        let id = only(&stage.incidents().await).id;
        stage.coordinator.approve(id, "ada").await.unwrap();
        stage.pass(3).await;
        assert_eq!(stage.fake.clones().len(), 1, "it is being rehearsed");
        assert_eq!(stage.store.waiting().await.unwrap(), 1, "that it waits was told before");
        match what {
            "frozen" => {
                stage.coordinator.freeze(None, None, "wait", "bob").await.unwrap();
            }
            "killed" => {
                stage.store.refuse_writes(Some("killed"));
                stage.cancel.cancel();
            }
            _ => stage.cancel.cancel(),
        }
        stage.pass(30).await;
        stage.cancel.cancel();
        stage.store.refuse_writes(None);
        let next = Stage::on(stage.fake.clone(), rules(), stage.store.clone());
        next.pass(3).await;
        assert_eq!(next.store.waiting().await.unwrap(), 2, "{what}");
        assert_eq!(next.fake.effects(), Vec::<String>::new(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_being_alone_proves_nothing_and_the_fix_goes_on() {
    for (behaviour, says) in [
        (Behaviour::DiesOnStart { exit_code: 1 }, "could not translate host name \"db\""),
        (Behaviour::DiesOnStart { exit_code: 1 }, "connect ECONNREFUSED 10.0.0.2:5432"),
        (Behaviour::DiesOnStart { exit_code: 7 }, "I give up"),
    ] {
        let stage = proven(Rules::default()).await;
        stage.fake.alone("web", behaviour, &[says]);
        is_updated(&stage).await;
        stage.pass(300).await;
        let incidents = stage.incidents().await;
        let incident = about_web(&incidents);
        assert_eq!(verdict(incident), Some(RehearsalVerdict::Inconclusive), "{says}");
        assert_eq!(incident.state(), IncidentState::Resolved, "{incident:#?}");
        assert!(stage.fake.clones().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_clone_can_be_made_that_is_noted_and_the_fix_goes_on() {
    let stage = proven(Rules::default()).await;
    stage.fake.fail_next("stage", &Failure::Refused("it is privileged".to_owned()), 9);
    is_updated(&stage).await;
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(verdict(only(&incidents)), Some(RehearsalVerdict::NotPossible));
    let why = &incidents[0].rehearsal.as_ref().unwrap().why;
    assert!(why.contains("it is privileged"), "{why}");
    assert_eq!(incidents[0].state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_rehearsal_gets_none() {
    let stage = proven(Rules { rehearse: Rehearse::Never, ..Rules::default() }).await;
    stage.fake.alone("web", Behaviour::DiesOnStart { exit_code: 1 }, &[]);
    is_updated(&stage).await;
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved);
    assert_eq!(incidents[0].rehearsal, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_does_meanwhile_is_seen_before_anything_is_touched() {
    type Doing = fn(&Stage) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;
    let freezes: Doing = |stage| {
        Box::pin(async {
            stage.coordinator.freeze(None, None, "wait", "ada").await.unwrap();
        })
    };
    let stops: Doing = |stage| {
        Box::pin(async {
            stage.fake.person_stops("web");
        })
    };
    let mends: Doing = |stage| {
        Box::pin(async {
            stage.fake.deploys("web", |web| {
                GOOD.clone_into(&mut web.image_id);
                web.status = ContainerStatus::Running;
            });
        })
    };
    for (what, doing) in [("freezes", freezes), ("stops", stops), ("mends", mends)] {
        let stage = proven(Rules::default()).await;
        is_updated(&stage).await;
        stage.pass(3).await;
        assert_eq!(stage.fake.clones().len(), 1);
        doing(&stage).await;
        stage.pass(30).await;
        assert_eq!(stage.fake.effects(), Vec::<String>::new(), "{what}");
        assert!(stage.fake.clones().is_empty(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_midst_of_a_rehearsal_leaves_nothing_half_done() {
    for killed in [false, true] {
        let stage = proven(Rules::default()).await;
        is_updated(&stage).await;
        stage.pass(3).await;
        let clones = stage.fake.clones();
        assert_eq!(clones.len(), 1);
        if killed {
            // Whoever is killed clears nothing away and writes nothing down.
            stage.fake.fail_next("unstage", &Failure::Denied, 1);
            stage.store.refuse_writes(Some("killed"));
        }
        stage.cancel.cancel();
        stage.pass(3).await;
        stage.store.refuse_writes(None);
        assert_eq!(stage.fake.clones().len(), usize::from(killed));
        let left = if killed { IncidentState::Fixing } else { IncidentState::Held };
        assert_eq!(only(&stage.incidents().await).state(), left);
        assert_eq!(stage.fake.effects(), Vec::<String>::new());

        let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
        next.look().await;
        assert!(!next.fake.clones().contains(&clones[0]), "it is cleared away at once");
        next.pass(400).await;
        let incidents = next.incidents().await;
        assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
        assert!(next.fake.clones().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_nobody_removed_goes_when_it_has_expired_and_nothing_else_does() {
    let stage = Stage::new(shop(), Rules::default());
    let now = stage.fake.clock().now();
    let clone_of = |number: u128, expires: &str| {
        let fix = selfheal_agents::model::FixId(uuid::Uuid::from_u128(number));
        let mut clone = container(&rehearsal_name("web", fix));
        clone.labels = labels(&[(REHEARSAL_LABEL, expires)]);
        stage.fake.add(clone);
    };
    clone_of(1, &(now - TimeDelta::seconds(1)).to_rfc3339());
    clone_of(2, &(now + TimeDelta::minutes(5)).to_rfc3339());
    clone_of(3, "some day");
    let mut own = container("own");
    own.labels = labels(&[(REHEARSAL_LABEL, "2020-01-01T00:00:00Z")]);
    stage.fake.add(own);
    stage.coordinator.check(Scope::All, Trigger::Api, true).await.unwrap();
    assert_eq!(stage.fake.clones().len(), 3, "a dry run touches nothing");
    stage.look().await;
    stage.pass(1).await;
    assert_eq!(stage.fake.clones().len(), 2);
    stage.pass(301).await;
    stage.look().await;
    stage.pass(1).await;
    let left = stage.fake.clones();
    assert_eq!(left.len(), 1);
    assert!(left[0].ends_with('3') && stage.fake.has("own"));
    assert!(stage.fake.facts("web").is_up());
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_hangs_holds_up_no_look() {
    let stage = Stage::new(shop(), Rules::default());
    let fix = selfheal_agents::model::FixId(uuid::Uuid::from_u128(1));
    let name = rehearsal_name("web", fix);
    let mut clone = container(&name);
    clone.labels = labels(&[(REHEARSAL_LABEL, "2020-01-01T00:00:00Z")]);
    stage.fake.add(clone);
    stage.fake.stall(&format!("unstage {name}"), |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_mins(5)).await;
            true
        })
    });
    let begun = tokio::time::Instant::now();
    stage.look().await;
    stage.look().await;
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    assert_eq!(stage.fake.clones(), [name]);
    stage.pass(301).await;
    assert!(stage.fake.clones().is_empty(), "it goes as soon as the runtime answers");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_does_not_remove_the_clone_in_use() {
    let stage = proven(Rules::default()).await;
    is_updated(&stage).await;
    stage.pass(3).await;
    let clones = stage.fake.clones();
    assert_eq!(clones.len(), 1);
    stage.fake.clock().advance(Duration::from_hours(24));
    stage.look().await;
    stage.pass(1).await;
    assert_eq!(stage.fake.clones(), clones);
}

#[tokio::test(start_paused = true)]
async fn one_fix_is_rehearsed_at_a_time() {
    let clones = super::super::clones::Clones::default();
    let first = clones.enter("one").await;
    let second = tokio::time::timeout(Duration::from_mins(10), clones.enter("two")).await;
    assert!(second.is_err(), "the first is still on its clone");
    drop(first);
    tokio::time::timeout(Duration::from_secs(1), clones.enter("two")).await.unwrap();
}

/// A web whose configuration somebody broke, and which dies for it.
async fn misconfigured(rules: Rules) -> Stage {
    let fake = configured(GOOD_CONFIG);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    let cured = Arc::new(|scene: &Scene<'_>| scene.text(CONFIG) == GOOD_CONFIG);
    fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
    fake.file(CONFIG, "events {\nhttp {}\n");
    let line = "2026/11/21 05:00:00 [emerg] 1#1: unexpected end of file, expecting \"}\" in \
                /etc/nginx/nginx.conf:2";
    fake.log("web", &format!("nginx: {line}"));
    fake.log("web", line);
    stage
}

const CONFIG: &str = "/srv/web/nginx.conf";
const GOOD_CONFIG: &str = "events {}\nhttp {}\n";

#[tokio::test(start_paused = true)]
async fn a_file_is_put_back_on_a_clone_first_where_that_is_asked_for() {
    for rehearse in [Rehearse::Always, Rehearse::Recreate] {
        let stage = misconfigured(Rules { rehearse, ..Rules::default() }).await;
        stage.fake.crash("web", 1);
        stage.pass(3).await;
        let first = usize::from(rehearse == Rehearse::Always);
        assert_eq!(stage.fake.clones().len(), first, "{:?}", stage.incidents().await);
        assert_eq!(stage.fake.text(CONFIG) == GOOD_CONFIG, first == 0);
        stage.pass(400).await;
        assert_eq!(stage.fake.text(CONFIG), GOOD_CONFIG);
        let incidents = stage.incidents().await;
        let healed = incidents.iter().find(|i| i.state() == IncidentState::Resolved).unwrap();
        assert_eq!(verdict(healed), (first == 1).then_some(RehearsalVerdict::Passed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_help_a_clone_is_not_put_back() {
    let stage = misconfigured(Rules { rehearse: Rehearse::Always, ..Rules::default() }).await;
    let broken = stage.fake.text(CONFIG);
    stage.fake.alone("web", Behaviour::DiesOnStart { exit_code: 1 }, &["nginx: out of luck"]);
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    assert_eq!(stage.fake.text(CONFIG), broken);
    let incidents = stage.incidents().await;
    assert_eq!(incidents[0].state(), IncidentState::Held, "{incidents:#?}");
    assert_eq!(verdict(&incidents[0]), Some(RehearsalVerdict::Failed));
}
