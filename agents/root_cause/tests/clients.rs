use super::*;

/// PostgreSQL's own trouble, which it and its clients write down; it blames itself.
fn full() -> Runbook {
    runbook(
        r#"
        id = "database-full"
        title = "the database has no connection left"
        category = "database"
        severity = "critical"
        technology = "postgresql"
        status = "reproduced"
        applies = { kinds = ["postgres", "container"], images = ["postgres"] }
        signature = [
          { log = "FATAL: no slots" },
          { log = "client: no slots", side = "client" },
          { check = "postgres.reachable", is = ["too_many_connections"] },
        ]
        diagnosis = { summary = "{target} is full.", base = 90 }
        [[evidence]]
        when = { check = "postgres.connections", above = 95 }
        weight = 5
        why = "nearly all are in use"
        required = true
        [[fix]]
        action = "container.restart"
        why = "for the test"
        "#,
    )
}

impl Scene {
    fn client(mut self, target: &str, runbook: &str) -> Self {
        let source = FindingSource::Log { runbook: runbook.to_owned(), side: Side::Client };
        self.findings.push(finding(target, source, Severity::Critical));
        self
    }
}

#[test]
fn what_a_client_says_makes_it_a_symptom_of_the_dependency_that_only_warns() {
    let scene = Scene::default()
        .observe("container:db", "container.memory", "91", Verdict::Warning)
        .observe("container:api", "container.state", "running", Verdict::Ok)
        .needs("container:api", "container:db");
    let silent = scene.diagnose(&[full()]);
    assert_eq!(silent[0].diagnosis.blamed, id("container:db"));
    assert_eq!(silent[0].diagnosis.affected, vec![]);

    let explained = scene.client("container:api", "database-full").diagnose(&[full()]);
    assert_eq!(explained.len(), 1);
    assert_eq!(explained[0].diagnosis.blamed, id("container:db"));
    assert_eq!(explained[0].diagnosis.affected, vec![id("container:api")]);
}

#[test]
fn the_same_words_of_the_server_itself_blame_it() {
    let scene = Scene::default()
        .observe("postgres:orders", "postgres.connections", "99", Verdict::Critical)
        .log("postgres:orders", "database-full");
    let mut unbound = full();
    unbound.applies.images.clear();
    let diagnosis = &scene.diagnose(&[unbound])[0].diagnosis;
    assert_eq!((diagnosis.issue_type.as_str(), diagnosis.elsewhere), ("database-full", false));
    assert_eq!(diagnosis.summary, "postgres:orders is full.");
    assert_eq!(diagnosis.confidence.percent(), 95);
}

#[test]
fn a_client_alone_is_believed_whatever_it_runs_in_but_nothing_is_done_to_it() {
    let scene = Scene::default()
        .observe("container:api", "container.state", "running", Verdict::Ok)
        .client("container:api", "database-full");
    let diagnosis = &scene.diagnose(&[full()])[0].diagnosis;
    assert_eq!(diagnosis.issue_type, "database-full");
    assert!(diagnosis.elsewhere);
    assert_eq!(diagnosis.confidence, DOCUMENTED_LIMIT, "never sure enough to act");
    assert_eq!(diagnosis.summary, "something that container:api needs is full.");
}

#[test]
fn the_dependency_meant_is_named_if_only_one_is_such_a_program() {
    let mut unbound = full();
    unbound.applies.images.clear();
    unbound.applies.kinds = vec![crate::model::TargetKind::Postgres];
    let scene = Scene::default()
        .observe("container:api", "container.state", "running", Verdict::Ok)
        .client("container:api", "database-full")
        .needs("container:api", "container:cache")
        .needs("container:api", "postgres:orders");
    let summary = |scene: &Scene| scene.diagnose(&[unbound.clone()])[0].diagnosis.summary.clone();
    assert_eq!(summary(&scene), "postgres:orders is full.");
    let two = scene.needs("container:api", "postgres:stock");
    assert_eq!(summary(&two), "something that container:api needs is full.");
}

#[test]
fn trouble_of_the_client_itself_comes_before_what_it_says_of_others() {
    let scene = Scene::default()
        .observe("container:api", "container.state", "exited", Verdict::Critical)
        .client("container:api", "database-full");
    let diagnosis = &scene.diagnose(&[full(), exited()])[0].diagnosis;
    assert_eq!((diagnosis.issue_type.as_str(), diagnosis.elsewhere), ("container-exited", false));
    assert_eq!(diagnosis.considered[0].runbook, "database-full");
}
