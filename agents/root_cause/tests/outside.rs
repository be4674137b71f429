//! Alerts of other programs: they stand beside what Selfheal sees, and decide nothing.

use super::*;

impl Scene {
    fn alerted(mut self, target: &str, severity: Severity) -> Self {
        let source =
            FindingSource::Alert { name: "Slow".to_owned(), fingerprint: "f00d".to_owned() };
        self.findings.push(finding(target, source, severity));
        self
    }
}

fn broken() -> Scene {
    Scene::default()
        .observe("container:db", "container.state", "exited", Verdict::Critical)
        .observe("container:web", "container.state", "running", Verdict::Ok)
        .needs("container:web", "container:db")
}

#[test]
fn an_alert_on_what_needs_the_broken_one_is_a_symptom_and_makes_no_cause_surer() {
    let without = broken().diagnose(&[]);
    for about in ["container:db", "container:web"] {
        let told = broken().alerted(about, Severity::Critical).diagnose(&[]);
        assert_eq!(told.len(), 1, "{told:#?}");
        let (told, before) = (&told[0], &without[0]);
        assert_eq!(told.diagnosis.blamed, id("container:db"));
        assert_eq!(told.diagnosis.confidence, before.diagnosis.confidence);
        assert_eq!(told.diagnosis.affected, before.diagnosis.affected);
        assert!(told.findings.iter().any(Finding::is_alert), "{told:#?}");
    }
}

#[test]
fn where_nothing_else_is_wrong_it_stands_alone_and_a_person_decides() {
    let scene = Scene::default()
        .observe("container:web", "container.state", "running", Verdict::Ok)
        .alerted("container:web", Severity::Critical);
    let alone = scene.diagnose(&[]);
    assert_eq!(alone.len(), 1, "{alone:#?}");
    let diagnosis = &alone[0].diagnosis;
    assert_eq!((diagnosis.issue_type.as_str(), diagnosis.hearsay), (OUTSIDE_ALERT, true));
    assert!(diagnosis.confidence < Confidence::literal(50), "{diagnosis:#?}");
}

#[test]
fn one_that_is_good_to_know_opens_nothing() {
    let scene = Scene::default().alerted("host", Severity::Info);
    assert_eq!(scene.diagnose(&[]), vec![]);
}

#[test]
fn an_alert_that_calls_a_dependency_broken_lets_nobody_blame_it() {
    let scene = || {
        Scene::default()
            .observe("container:db", "container.cpu", "95", Verdict::Warning)
            .observe("container:web", "container.state", "exited", Verdict::Critical)
            .needs("container:web", "container:db")
    };
    let blamed = |told: Vec<Explained>| -> Vec<TargetId> {
        told.into_iter().map(|one| one.diagnosis.blamed).collect()
    };
    let told = scene().alerted("container:db", Severity::Critical);
    assert_eq!(blamed(told.diagnose(&[])), blamed(scene().diagnose(&[])));
}
