//! Lines that no runbook knows: they are told of, stand beside a diagnosis, and change nothing.

use selfheal_agents::model::{Finding, Severity};
use selfheal_agents::root_cause::UNUSUAL_LINES;

use super::*;

const INFO: &str = "2026-01-01 12:00:00 INFO served 17 orders";
const ODD: &str = "2026-01-01 12:00:00 ERROR the till does not open";

impl Stage {
    /// `web` is well for so long, and is looked at every ten minutes.
    async fn well_for(&self, hours: u32) {
        for _ in 0..hours * 6 {
            self.fake.log("web", INFO);
            self.fake.clock().advance_secs(590);
            self.pass(10).await;
            self.look().await;
        }
    }
}

fn odd(report: &CycleReport) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.is_pattern()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_line_never_seen_before_is_a_note_and_no_issue() {
    let stage = Stage::new(shop(), Rules::default());
    stage.well_for(2).await;
    stage.fake.log("web", ODD);
    stage.pass(2).await;
    let report = stage.look().await;
    assert_eq!(odd(&report).len(), 1, "{:#?}", report.findings);
    assert_eq!(report.status, CycleStatus::Healthy);
    let web = report.targets.iter().find(|t| t.id == TargetId::container("web")).unwrap();
    assert!(web.notes[0].contains("never seen before: the till does not open"), "{web:?}");
    stage.pass(120).await;
    assert_eq!(stage.incidents().await.len(), 0);
    assert_eq!(stage.alerts().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn it_stands_beside_the_diagnosis_and_makes_it_no_surer() {
    let mut sure = vec![];
    for line in [INFO, ODD] {
        let stage = Stage::new(shop(), Rules::default());
        stage.well_for(2).await;
        stage.fake.log("web", line);
        stage.pass(1).await;
        stage.fake.crash("web", 1);
        stage.pass(5).await;
        assert_eq!(stage.fake.effects(), ["start web"]);
        let incidents = stage.incidents().await;
        let diagnosis = only(&incidents).diagnosis.clone().unwrap();
        let told = |text: &str| text.contains("never seen before: the till does not open");
        assert_eq!(diagnosis.ledger.entries.iter().any(|e| told(&e.what)), line == ODD);
        assert_eq!(incidents[0].findings.iter().any(|f| told(&f.message)), line == ODD);
        sure.push(diagnosis.confidence);
        stage.pass(300).await;
        assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    }
    assert_eq!(sure[0], sure[1]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_selfheal_knows_what_was_usual() {
    let store = Arc::<MemoryStore>::default();
    let fake = shop();
    let stage = Stage::on(fake.clone(), Rules::default(), Arc::clone(&store));
    fake.log("web", ODD);
    stage.well_for(3).await;
    drop(stage);
    let stage = Stage::on(fake.clone(), Rules::default(), store);
    fake.log("web", ODD);
    fake.log("web", "2026-01-01 12:00:00 ERROR the drawer does not open");
    stage.pass(1).await;
    let report = stage.look().await;
    assert_eq!(odd(&report).len(), 1, "{:#?}", report.findings);
    assert!(odd(&report)[0].message.contains("the drawer does not open (once)"));
    assert_eq!(odd(&report)[0].samples.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_that_last_are_told_to_a_person_once_and_touch_nothing() {
    let stage = Stage::new(shop(), Rules::default());
    stage.well_for(25).await;
    for _ in 0..8 {
        for _ in 0..4 {
            stage.fake.log("web", ODD);
        }
        stage.pass(60).await;
        stage.look().await;
    }
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.diagnosis.as_ref().unwrap().issue_type, UNUSUAL_LINES);
    assert_eq!((incident.state(), incident.severity), (IncidentState::Held, Severity::Warning));
    assert_eq!(incident.holds, [Hold::NoFixKnown]);
    assert_eq!(stage.alerts().await, ["held"]);
    stage.well_for(1).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_a_runbook_knows_is_told_of_by_it_alone() {
    let (fake, rules) = rate_limited();
    fake.add(healthy("web"));
    let stage = Stage::new(fake, Rules { mode: Mode::Observe, ..rules });
    for _ in 0..12 {
        stage.fake.clock().advance_secs(590);
        stage.fake.log("worker", INFO);
        stage.pass(10).await;
        stage.look().await;
    }
    complain(&stage).await;
    let report = stage.look().await;
    assert!(!report.findings.is_empty());
    assert_eq!(odd(&report), Vec::<&Finding>::new());
}
