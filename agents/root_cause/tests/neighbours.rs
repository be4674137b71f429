use super::*;
use crate::model::NeighbourTrouble;

fn scene(trouble: Option<NeighbourTrouble>) -> Scene {
    let scene = Scene::default()
        .observe("container:web", "container.health", "unhealthy", Verdict::Critical)
        .needs("container:web", "container:db@nas");
    scene.sees("container:db@nas", NeighbourSeen { trouble, works_since: None })
}

impl Scene {
    fn sees(mut self, target: &str, seen: NeighbourSeen) -> Self {
        self.neighbours.insert(id(target), seen);
        self
    }
}

fn unhealthy() -> Runbook {
    runbook(
        r#"
        id = "unhealthy"
        title = "a container is unhealthy"
        category = "crash"
        severity = "critical"
        technology = "docker"
        status = "reproduced"
        applies = { kinds = ["container"] }
        signature = [{ check = "container.health", is = ["unhealthy"] }]
        diagnosis = { summary = "{target} is unhealthy.", base = 90 }
        [[fix]]
        action = "container.restart"
        why = "for the test"
        "#,
    )
}

#[test]
fn what_another_node_looks_after_explains_its_dependents_and_is_left_to_that_node() {
    let trouble =
        NeighbourTrouble::LookedAfter { node: "nas".to_owned(), why: "it ended".to_owned() };
    let explained = scene(Some(trouble)).diagnose(&[unhealthy()]);
    let [Explained { diagnosis, findings }] = &explained[..] else { panic!("{explained:?}") };
    assert_eq!((&*diagnosis.issue_type, diagnosis.external), (OTHER_NODE, false));
    assert_eq!(diagnosis.blamed, id("container:db@nas"));
    assert_eq!(diagnosis.affected, [id("container:web")]);
    assert_eq!(findings.len(), 1);
    assert_eq!(diagnosis.ways[0].to, id("container:db@nas"));
    let runbooks: Vec<&str> = diagnosis.considered.iter().map(|one| &*one.runbook).collect();
    assert_eq!(runbooks, ["unhealthy"]);
}

#[test]
fn what_does_not_answer_although_no_node_sees_why_is_for_a_person() {
    let trouble = NeighbourTrouble::Unreached { why: "nothing answers".to_owned() };
    let explained = scene(Some(trouble)).diagnose(&[unhealthy()]);
    let diagnosis = &explained[0].diagnosis;
    assert_eq!((&*diagnosis.issue_type, diagnosis.external), (OTHER_NODE_UNREACHED, true));
}

#[test]
fn a_need_on_another_node_that_works_explains_nothing() {
    let explained = scene(None).diagnose(&[unhealthy()]);
    assert_eq!(explained[0].diagnosis.issue_type, "unhealthy");
}

#[test]
fn what_was_said_before_the_other_node_s_target_came_back_is_over() {
    let refused = runbook(
        r#"
        id = "dependency-refused"
        title = "what it needs refuses"
        category = "dependency"
        severity = "warning"
        technology = "any"
        status = "reproduced"
        signature = [{ log = "refused" }]
        diagnosis = { summary = "{target} is refused.", base = 50, blames = "dependency" }
        "#,
    );
    let said = Scene::default()
        .observe("container:web", "container.state", "running", Verdict::Ok)
        .log("container:web", "dependency-refused")
        .needs("container:web", "container:db@nas");
    let back = |secs| {
        let works_since = Some(Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(secs));
        NeighbourSeen { trouble: None, works_since }
    };
    let runbooks = [refused];
    assert_eq!(said.diagnose(&runbooks).len(), 1);
    let said = said.sees("container:db@nas", back(-5));
    assert_eq!(said.diagnose(&runbooks).len(), 1, "it was said after that");
    assert!(said.sees("container:db@nas", back(5)).diagnose(&runbooks).is_empty());
}
