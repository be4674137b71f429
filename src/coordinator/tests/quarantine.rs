//! Stories of a container that a person's own runbook freezes for harming others.

use selfheal_agents::model::ContainerStatus;

use super::*;

const RUNBOOK: &str = r#"
id = "runs-away"
title = "It runs away"
category = "cpu"
severity = "critical"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#runs-away"]
signature = [{ check = "container.health", is = ["unhealthy"] }]
diagnosis = { summary = "{target} runs away.", base = 90 }
fix = [{ action = "container.pause", why = "nobody needs it, and it harms the others" }]
avoid = ["Do not restart it: it runs away again."]
"#;

fn stage(fake: &FakeWorld) -> Stage {
    let files = [("ours/runs-away.toml".to_owned(), RUNBOOK.to_owned())];
    let (catalogue, broken) = Catalogue::load(files);
    assert_eq!(broken, []);
    let (rules, store) = (Rules::default(), Arc::default());
    Stage::knowing(Arc::new(catalogue), fake.clone(), fake.world(), rules, store)
}

#[tokio::test(start_paused = true)]
async fn what_harms_others_stays_frozen_until_a_person_thaws_it() {
    let stage = stage(&shop());
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["pause web"]);
    assert_eq!(stage.fake.facts("web").status, ContainerStatus::Paused);
    let incidents = stage.incidents().await;
    let incident = incidents.last().unwrap();
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    stage.coordinator.rollback(&incident.backups[0], "ada", false).await.unwrap();
    assert_eq!(stage.fake.effects(), ["pause web", "unpause web"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_need_is_not_frozen() {
    let fake = shop();
    let mut shop = healthy("shop");
    shop.labels = labels(&[("selfheal.depends-on", "web")]);
    fake.add(shop);
    let stage = stage(&fake);
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    let incidents = stage.incidents().await;
    let told = incidents[0].holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(told.contains("would fail while it is frozen"), "{told}");
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}
