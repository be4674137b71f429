use super::*;
use crate::fakes::container;
use crate::model::{ContainerStatus, Facts};

impl Scene {
    /// A container that is well, or is not there any more, and came up that many seconds after
    /// everything was said.
    fn came_up(mut self, name: &str, after_secs: i64, status: ContainerStatus) -> Self {
        let target = format!("container:{name}");
        self = self.observe(&target, "container.state", "running", Verdict::Ok);
        let started_at = Some(Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(after_secs));
        let facts = ContainerFacts { status, started_at, ..container(name) };
        let known = self.report.targets.iter_mut().find(|report| *report.id() == id(&target));
        known.unwrap().state.facts = Ok(Facts::Container(Box::new(facts)));
        self
    }

    /// An application that fails and has said that a database refuses it.
    fn complaining() -> Self {
        Self::default()
            .observe("container:app", "container.health", "unhealthy", Verdict::Critical)
            .log("container:app", "dependency-refused")
            .needs("container:app", "container:db")
    }

    fn is_mended_itself(&self) -> bool {
        let explained = self.diagnose(&[patient(), refused_log()]);
        let [one] = &explained[..] else { panic!("one root: {explained:#?}") };
        assert_eq!(one.diagnosis.blamed, id("container:app"));
        one.diagnosis.confidence.percent() == 78
    }
}

fn unhealthy_by_check() -> FindingSource {
    FindingSource::Check { check: "container.health".to_owned(), value: "unhealthy".to_owned() }
}

/// It thinks less of a restart while something that is needed refuses.
fn patient() -> Runbook {
    runbook(
        r#"
        id = "container-unhealthy"
        title = "fails its health check"
        category = "hang"
        severity = "critical"
        technology = "docker"
        status = "reproduced"
        signature = [{ check = "container.health", is = ["unhealthy"] }]
        diagnosis = { summary = "{target} fails.", base = 78 }
        evidence = [{ when = { finding = "dependency-refused" }, weight = -20, why = "it is refused" }]
        "#,
    )
}

#[test]
fn a_complaint_from_before_what_is_needed_came_back_speaks_against_nothing() {
    let scene = Scene::complaining().came_up("db", 5, ContainerStatus::Running);
    assert!(scene.is_mended_itself());
    let explained = scene.diagnose(&[patient(), refused_log()]);
    let kept = written(&explained[0].diagnosis, "before `container:db` came back");
    assert_eq!(
        kept.map(|entry| entry.points),
        Some(0),
        "it stands in the record: {:#?}",
        explained[0].diagnosis.ledger
    );
}

#[test]
fn where_several_things_are_needed_the_line_must_name_what_came_back() {
    let with_cache = || {
        let scene = Scene::complaining().came_up("db", 5, ContainerStatus::Running);
        scene.needs("container:app", "container:cache").came_up(
            "cache",
            -50,
            ContainerStatus::Running,
        )
    };
    assert!(!with_cache().is_mended_itself());
    let saying = |line: &str| {
        let mut scene = with_cache();
        let said = scene.findings.iter_mut().find(|f| f.source != unhealthy_by_check());
        said.unwrap().samples = vec![line.to_owned()];
        scene
    };
    assert!(saying("cannot connect to tcp://db:5432: connection refused").is_mended_itself());
    assert!(!saying("cannot connect to dbserver.example: connection refused").is_mended_itself());
}

#[test]
fn what_is_said_of_a_place_outside_counts_although_something_came_back() {
    let mut outside = refused_log();
    outside.diagnosis.blames = crate::model::Blames::Outside;
    let scene = Scene::complaining().came_up("db", 5, ContainerStatus::Running);
    let explained = scene.diagnose(&[patient(), outside]);
    assert_ne!(explained[0].diagnosis.confidence.percent(), 78, "{explained:#?}");
}

#[test]
fn a_complaint_made_since_counts() {
    let scene = Scene::complaining().came_up("db", -5, ContainerStatus::Running);
    assert!(!scene.is_mended_itself());
}

#[test]
fn while_anything_else_that_is_needed_fails_a_complaint_counts() {
    let scene = Scene::complaining()
        .came_up("db", 5, ContainerStatus::Running)
        .needs("container:app", "container:cache")
        .observe("container:cache", "container.health", "unknown", Verdict::Critical);
    let explained = scene.diagnose(&[patient(), refused_log(), unhealthy()]);
    assert_eq!(explained[0].diagnosis.blamed, id("container:cache"), "{explained:#?}");
    assert!(written(&explained[0].diagnosis, "came back").is_none());
}
