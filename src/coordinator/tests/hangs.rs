//! Stories in which something does not answer, and nobody else waits for it.

use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, DatabaseEndpoint, DatabaseFacts, Verdict,
};
use tokio::time::Instant;

use super::*;
use crate::config::{Probes, Settings};
use crate::coordinator::triggers::{Doubt, Fire, probes};

impl Stage {
    /// Starts the light probes.
    fn probe(&self) {
        let mut inventory = self.coordinator.inventory();
        let seen = inventory.borrow_and_update().targets.values().cloned().collect();
        let (targets, listed) = watch::channel(Arc::new(seen));
        let (settings, settings_now) = watch::channel(Arc::new(Settings::default()));
        tokio::spawn(async move {
            let _settings_stay = settings;
            while inventory.changed().await.is_ok() {
                let seen = inventory.borrow_and_update().targets.values().cloned().collect();
                targets.send_replace(Arc::new(seen));
            }
        });
        let prober = self.fake.world().prober;
        let asked = self.coordinator.clone();
        let fire: Fire = Arc::new(move |scope, trigger| asked.request(scope, trigger));
        let asked = self.coordinator.clone();
        let doubt: Doubt = Arc::new(move |target| asked.ask_ahead(target));
        let upkeep = self.coordinator.upkeep().clone();
        let asking = probes::Asking { prober, fire, doubt, upkeep };
        tokio::spawn(probes::run(asking, listed, settings_now, self.cancel.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_healed_while_another_target_hangs() {
    for question in ["probe http://shop/", "usage shop", "logs shop"] {
        let (fake, rules) = with_endpoint(&["shop", "web"]);
        let stage = Stage::new(fake.clone(), rules);
        stage.look().await;
        hangs(&fake, question);
        stage.coordinator.request(Scope::All, Trigger::Schedule);
        stage.pass(0).await;
        fake.crash("web", 1);
        stage.pass(2).await;
        assert_eq!(fake.effects(), ["start web"], "{question}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_of_what_answered_late_too() {
    let (fake, mut rules) = with_endpoint(&["shop", "web"]);
    rules.mode = Mode::Observe;
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    hangs(&fake, "probe http://shop/");
    let report = stage.look().await;
    let shown = |id: &str| report.targets.iter().find(|t| t.id.to_string() == id).unwrap();
    assert_eq!(shown("http:shop").verdict, Verdict::Critical);
    assert_eq!(shown("container:web").verdict, Verdict::Ok);
    assert_eq!(report.status, CycleStatus::IssuesFound);
    assert!(!report.incidents.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_found_without_being_asked_for_and_asked_after_in_vain() {
    let (fake, mut rules) = with_endpoint(&["shop", "web"]);
    rules.mode = Mode::Observe;
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    hangs(&fake, "probe http://shop/");
    stage.coordinator.request(Scope::All, Trigger::Schedule);
    stage.pass(12).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Held);
    let began = Instant::now();
    stage.look().await;
    assert!(began.elapsed() < Duration::from_secs(1), "it is known to hang: {:?}", began.elapsed());
    let cycles = stage.coordinator.standing().cycles;
    stage.pass(200).await;
    let more = stage.coordinator.standing().cycles - cycles;
    assert!(more <= 5, "nothing is new, and it is looked at {more} times");
}

#[tokio::test(start_paused = true)]
async fn what_answers_slowly_is_not_taken_for_broken() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    answers_after(&fake, "probe http://shop/", Duration::from_secs(3));
    for _ in 0..3 {
        let report = stage.look().await;
        assert_eq!(report.status, CycleStatus::Healthy, "{report:#?}");
        assert!(report.targets.iter().any(|t| t.id.to_string() == "http:shop"));
        stage.pass(7).await;
    }
    assert_eq!(fake.effects(), Vec::<String>::new());
}

/// An endpoint that answers right, after so many milliseconds.
fn slow_shop(fake: &FakeWorld, rules: &Rules, millis: u32) {
    let latency_ms = Some(f64::from(millis));
    let answer = HttpFacts { ok: true, status: Some(200), latency_ms, ..HttpFacts::default() };
    fake.answers(rules.declared.targets[0].endpoint.as_ref().unwrap(), Facts::Http(answer));
    answers_after(fake, "probe http://shop/", Duration::from_millis(millis.into()));
}

#[tokio::test(start_paused = true)]
async fn what_answers_after_seven_seconds_is_told_of_as_slow_and_not_restarted() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let stage = Stage::new(fake.clone(), rules.clone());
    stage.probe();
    stage.look().await;
    slow_shop(&fake, &rules, 7000);
    stage.pass(300).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    let known = only(&incidents);
    assert_eq!(known.diagnosis.as_ref().unwrap().issue_type, "endpoint-slow", "{known:#?}");
    assert_eq!(known.state(), IncidentState::Held);
    assert_eq!(fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_mended_when_the_time_since_the_first_silence_is_over_and_not_later() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let limit = Duration::from_millis(rules.thresholds.http_probe_limit_ms);
    let stage = Stage::new(fake.clone(), rules);
    stage.probe();
    stage.look().await;
    hangs(&fake, "probe http://shop/");
    let probes = Probes::default();
    tokio::time::sleep(probes.interval + probes.limit + limit).await;
    stage.pass(1).await;
    assert_eq!(fake.effects(), ["restart shop"]);
}

#[tokio::test(start_paused = true)]
async fn a_dependent_is_not_blamed_before_what_it_needs_has_answered() {
    let endpoint = Endpoint::Postgres(DatabaseEndpoint {
        host: "10.9.9.9".to_owned(),
        port: 5432,
        user: None,
        password: None,
        database: None,
        tls: false,
    });
    let fake = api_on_db();
    let well = DatabaseFacts { reachable: true, ..DatabaseFacts::default() };
    fake.answers(&endpoint, Facts::Postgres(well));
    let mut rules = Rules { mode: Mode::Observe, ..Rules::default() };
    rules.declared.targets.push(Target {
        endpoint: Some(endpoint),
        container: Some("db".to_owned()),
        ..Target::bare(TargetId::lossy(TargetKind::Postgres, "orders"))
    });
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    hangs(&fake, "probe 10.9.9.9:5432");
    fake.hang("api");
    stage.coordinator.request(Scope::All, Trigger::Schedule);
    stage.pass(1).await;
    assert!(stage.coordinator.standing().cycles > 1, "it has decided about the others");
    assert_eq!(stage.incidents().await.len(), 0, "{:#?}", stage.incidents().await);
    stage.pass(30).await;
    let incidents = stage.incidents().await;
    assert_ne!(only(&incidents).target, TargetId::container("api"), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_fix_does_not_count_after_it() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    hangs(&fake, "probe http://shop/");
    stage.look().await;
    stage.pass(1).await;
    assert_eq!(fake.effects(), ["restart shop"]);
    // It works, if slowly: what was asked before the restart says nothing of that.
    answers_after(&fake, "probe http://shop/", Duration::from_secs(2));
    stage.look().await;
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
    assert_eq!(fake.effects(), ["restart shop"]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_look_at_what_hangs_leaves_no_trace() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    hangs(&fake, "probe http://shop/");
    stage.coordinator.check(Scope::All, Trigger::CommandLine, true).await.unwrap();
    stage.pass(30).await;
    assert_eq!(stage.incidents().await.len(), 0);
    assert_eq!(fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_does_not_show_is_neither_gone_nor_down() {
    let (fake, rules) = with_endpoint(&["shop", "db"]);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    fake.hang("shop");
    fake.runs("shop", &["pg_dump"]);
    stage.look().await;
    let standing = |incidents: &[Incident]| only(incidents).state();
    assert_eq!(standing(&stage.incidents().await), IncidentState::Held, "it waits for the backup");

    // Its inspection hangs: all that the list tells is that it is there.
    let bare = ContainerFacts { id: fake.facts("shop").id, ..container("shop") };
    fake.change("shop", |facts| {
        *facts = ContainerFacts { status: ContainerStatus::Unknown, ..bare };
    });
    fake.runs("shop", &[]);
    let report = stage.look().await;
    let shop = report.targets.iter().find(|t| t.id.to_string() == "container:shop").unwrap();
    assert_eq!(shop.verdict, Verdict::Unknown);
    stage.pass(100).await;
    assert_eq!(fake.effects(), Vec::<String>::new());
    assert!(!standing(&stage.incidents().await).is_closed(), "nothing says that it works again");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_looks_at_the_clock_no_more_hangs_and_one_that_never_began_does_not() {
    let (fake, rules) = with_endpoint(&["shop", "web"]);
    let stage = Stage::new(fake, rules);
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.coordinator.hang(), None, "windows are looked after all the time");
    stage.coordinator.schedule_pulse().beat();
    stage.pass(60).await;
    assert_eq!(stage.coordinator.hang(), None);
    stage.pass(120).await;
    let hang = stage.coordinator.hang().unwrap();
    assert!(hang.contains("the schedule"), "{hang}");
}
