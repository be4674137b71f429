//! Stories of containers that were made anew and do not work since.

use selfheal_agents::fakes::{Failure, Scene, environment};
use selfheal_agents::model::{ContainerFacts, ContainerStatus, RuntimeEventKind, SecretText};
use selfheal_agents::ports::Journal;

use super::*;

const URL: &str = "DATABASE_URL";
const SECRET: &str = "postgres://shop:hunter2@db/shop";

/// A shop whose container is restarted by Docker and was seen to work for long.
async fn proven(rules: Rules) -> Stage {
    let fake = old_world(|w| {
        let mut web = container("web");
        web.environment = environment(&[(URL, SECRET), ("MODE", "fast")]);
        w.add(web).image("sha256:web", &[]);
    });
    let stage = Stage::new(fake, rules);
    stage.look().await;
    stage
}

fn works_if(stage: &Stage, good: impl Fn(&ContainerFacts) -> bool + Send + Sync + 'static) {
    let cured = Arc::new(move |scene: &Scene<'_>| scene.container("web").is_some_and(&good));
    stage.fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
}

fn bad_image(facts: &mut ContainerFacts) {
    facts.image_id = "sha256:bad".to_owned();
    facts.image = "web:2".to_owned();
}

/// As Docker's restart policy has it.
pub(super) async fn dies_again_and_again(stage: &Stage) {
    for _ in 0..3 {
        stage.pass(5).await;
        let now = stage.fake.clock().now();
        stage.fake.change("web", |facts| {
            facts.status = ContainerStatus::Running;
            facts.started_at = Some(now);
        });
        stage.fake.emit("web", RuntimeEventKind::Start);
        stage.fake.crash("web", 1);
        stage.fake.change("web", |facts| facts.status = ContainerStatus::Restarting);
    }
}

fn kept_aside(fake: &FakeWorld) -> bool {
    fake.names().iter().any(|name| selfheal_agents::model::is_set_aside(name))
}

#[tokio::test(start_paused = true)]
async fn a_bad_update_is_taken_back_when_nothing_else_was_changed() {
    let stage = proven(Rules::default()).await;
    works_if(&stage, |web| web.image_id == "sha256:web");
    stage.fake.deploys("web", bad_image);
    dies_again_and_again(&stage).await;
    stage.pass(30).await;
    assert_eq!(stage.fake.effects(), ["set aside web", "make web", "start web"]);
    let kept = stage.fake.names().into_iter().find(|name| name != "web").unwrap();
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{incident:#?}");
    let fix = incident.fix.as_ref().unwrap();
    assert_eq!(
        (fix.issue_type.as_str(), &*fix.fix_type),
        ("container-bad-update", "container.recreate")
    );
    assert_eq!(stage.fake.effects().last(), Some(&format!("remove {kept}")));
    assert_eq!(stage.fake.names(), ["web"]);
    assert_eq!(stage.fake.facts("web").image, "web:1");
    stage.look().await;
    assert_eq!(stage.incidents().await.len(), 1, "our own deployment is no trouble");
}

#[tokio::test(start_paused = true)]
async fn a_lost_variable_is_given_back_and_its_value_shown_nowhere() {
    let stage = proven(Rules { mode: Mode::Approve, ..Rules::default() }).await;
    works_if(&stage, |web| web.environment.contains_key(URL));
    stage.fake.deploys("web", |web| drop(web.environment.remove(URL)));
    dies_again_and_again(&stage).await;
    stage.pass(30).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Held, "{incident:#?}");
    assert_eq!(
        incident.fix.as_ref().unwrap().summary,
        format!("make container `web` again with {URL}")
    );
    stage.coordinator.approve(incident.id, "ada").await.unwrap();
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
    assert_eq!(stage.fake.facts("web").environment[URL].expose(), SECRET);
    let told = format!(
        "{} {:?}",
        serde_json::to_string(&incidents).unwrap(),
        stage.store.due(stage.fake.clock().now() + Duration::from_hours(1), 100).await
    );
    assert!(told.contains(URL) && !told.contains("hunter2"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_help_is_taken_back_to_the_very_same_container() {
    let stage = proven(Rules::default()).await;
    stage.fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.fake.alone("web", Behaviour::Works, &[]);
    stage.fake.deploys("web", bad_image);
    let deployed = stage.fake.facts("web").id;
    dies_again_and_again(&stage).await;
    stage.pass(60).await;
    let outcomes = stage.outcomes().await;
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| !outcome.success));
    assert_eq!(stage.fake.facts("web").id, deployed);
    assert!(!kept_aside(&stage.fake), "{:?}", stage.fake.names());
    assert!(stage.alerts().await.contains(&"rolled_back".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn with_more_than_one_thing_changed_or_the_image_gone_a_person_is_asked() {
    for (change, fix) in [
        ((|web| web.limits.memory_bytes = Some(64 << 20)) as fn(&mut ContainerFacts), true),
        (|web| drop(web.environment.insert(URL.to_owned(), SecretText::new("x"))), true),
        (|_| {}, false),
    ] {
        let stage = proven(Rules::default()).await;
        if !fix {
            stage.fake.forget_image("sha256:web");
        }
        stage.fake.deploys("web", |web| {
            bad_image(web);
            change(web);
        });
        dies_again_and_again(&stage).await;
        stage.pass(60).await;
        let incidents = stage.incidents().await;
        let incident = only(&incidents);
        assert_eq!(incident.state(), IncidentState::Held, "{incident:#?}");
        assert_eq!(incident.diagnosis.as_ref().unwrap().issue_type, "container-bad-update");
        assert_eq!(incident.fix.is_some(), fix, "{incident:#?}");
        assert_eq!(stage.fake.effects(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_and_could_not_be_cleared_away_goes_at_the_next_start() {
    let stage = proven(Rules::default()).await;
    works_if(&stage, |web| web.image_id == "sha256:web");
    stage.fake.deploys("web", bad_image);
    dies_again_and_again(&stage).await;
    stage.pass(30).await;
    stage.fake.fail_next("remove", &Failure::Unreachable, 3);
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    assert!(kept_aside(&stage.fake));
    stage.cancel.cancel();

    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    assert_eq!(next.fake.names(), ["web"]);
    assert!(next.fake.facts("web").is_up());
    assert_eq!(next.store.unfinished_fixes().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_database_never_goes_back_and_nobody_loses_the_network_they_live_in() {
    for (image, network_mode, why) in
        [("minio:2", "app", "it keeps data"), ("web:2", "container:id-of-web+", "lives in its")]
    {
        let stage = proven(Rules::default()).await;
        let mut other = container("other");
        network_mode.clone_into(&mut other.network_mode);
        stage.fake.add(other);
        stage.fake.deploys("web", |web| {
            bad_image(web);
            image.clone_into(&mut web.image);
        });
        dies_again_and_again(&stage).await;
        stage.pass(60).await;
        let incidents = stage.incidents().await;
        let incident = incidents.iter().find(|i| i.target == TargetId::container("web")).unwrap();
        let told = incident.holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert!(told.contains(why), "{told}");
        assert_eq!(stage.fake.effects(), Vec::<String>::new());
    }
}
