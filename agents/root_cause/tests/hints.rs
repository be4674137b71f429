use super::*;

fn edge(from: &str, to: &str, source: DependencySource) -> Dependency {
    Dependency { from: id(from), to: id(to), source }
}

impl Scene {
    fn connected(mut self, from: &str, to: &str) -> Self {
        self.dependencies.push(edge(from, to, DependencySource::Connection));
        self
    }

    fn passes_on(mut self, from: &str, to: &str) -> Self {
        self.dependencies.push(edge(from, to, DependencySource::Proxy));
        self
    }

    fn fails(self, target: &str) -> Self {
        self.observe(target, "container.health", "unhealthy", Verdict::Critical)
    }

    fn ended(self, target: &str) -> Self {
        self.observe(target, "container.state", "exited", Verdict::Critical)
    }

    fn blamed(&self) -> Vec<String> {
        let explained = self.diagnose(&[exited(), unhealthy(), refused_log()]);
        let mut blamed: Vec<String> =
            explained.iter().map(|e| e.diagnosis.blamed.to_string()).collect();
        blamed.sort();
        blamed
    }
}

fn gateway() -> Runbook {
    runbook(
        r#"
        id = "gateway-errors"
        title = "what is behind it does not answer"
        category = "dependency"
        severity = "critical"
        technology = "http"
        status = "reproduced"
        signature = [{ check = "http.status", is = ["502"] }]
        diagnosis = { summary = "{target} passes requests on to nobody.", base = 60, blames = "dependency" }
        "#,
    )
}

#[test]
fn a_monitor_that_is_connected_to_all_does_not_fail_for_one_of_them() {
    let scene = Scene::default()
        .ended("container:db")
        .fails("container:monitor")
        .connected("container:monitor", "container:db")
        .connected("container:monitor", "container:web");
    assert_eq!(scene.blamed(), ["container:db", "container:monitor"]);
}

#[test]
fn a_database_that_connects_out_is_not_a_symptom_of_where_it_is_copied_to() {
    let scene = Scene::default()
        .ended("container:db")
        .ended("container:archive")
        .fails("container:web")
        .needs("container:web", "container:db")
        .connected("container:db", "container:archive");
    assert_eq!(scene.blamed(), ["container:archive", "container:db"]);
    let explained = scene.diagnose(&[exited(), unhealthy()]);
    let db = explained.iter().find(|e| e.diagnosis.blamed == id("container:db")).unwrap();
    assert_eq!(db.diagnosis.affected, [id("container:web")]);
}

#[test]
fn what_says_itself_that_the_fault_lies_elsewhere_is_explained_by_whom_it_was_connected_to() {
    let scene = Scene::default()
        .ended("container:db")
        .log("container:web", "dependency-refused")
        .connected("container:web", "container:db");
    let explained = scene.diagnose(&[exited(), refused_log()]);
    assert_eq!(explained.len(), 1);
    let diagnosis = &explained[0].diagnosis;
    assert_eq!(diagnosis.blamed, id("container:db"));
    let ways: Vec<String> = diagnosis.ways.iter().map(ToString::to_string).collect();
    assert_eq!(ways, ["container:web needs container:db (connection; weight 30)"]);
}

#[test]
fn a_hint_explains_only_where_no_firm_need_does() {
    let scene = Scene::default()
        .ended("container:db")
        .ended("container:mail")
        .log("container:web", "dependency-refused")
        .needs("container:web", "container:db")
        .connected("container:web", "container:mail");
    let explained = scene.diagnose(&[exited(), refused_log()]);
    let affected = |name: &str| {
        let found = explained.iter().find(|e| e.diagnosis.blamed == id(name)).unwrap();
        found.diagnosis.affected.clone()
    };
    assert_eq!(affected("container:db"), [id("container:web")]);
    assert_eq!(affected("container:mail"), []);
}

#[test]
fn an_endpoint_behind_a_proxy_is_explained_by_the_upstream_when_it_points_there() {
    let scene = Scene::default()
        .hosted("http:shop", "proxy")
        .observe("container:proxy", "container.state", "running", Verdict::Ok)
        .observe("http:shop", "http.status", "wrong_status", Verdict::Critical)
        .log("http:shop", "dependency-refused")
        .ended("container:api")
        .passes_on("container:proxy", "container:api");
    assert_eq!(scene.blamed(), ["container:api"]);
}

#[test]
fn an_endpoint_is_a_symptom_of_the_upstream_although_only_its_proxy_points_there() {
    let scene = Scene::default()
        .hosted("http:shop", "proxy")
        .observe("container:proxy", "container.state", "running", Verdict::Ok)
        .observe("http:shop", "http.status", "502", Verdict::Critical)
        .log("container:proxy", "dependency-refused")
        .ended("container:api")
        .passes_on("container:proxy", "container:api");
    let explained = scene.diagnose(&[exited(), refused_log(), gateway()]);
    assert_eq!(explained.len(), 1);
    let diagnosis = &explained[0].diagnosis;
    assert_eq!(diagnosis.blamed, id("container:api"));
    assert_eq!(diagnosis.affected, [id("container:proxy"), id("http:shop")]);
    assert_eq!(explained[0].findings.len(), scene.findings.len());
}

#[test]
fn what_only_two_guesses_would_explain_is_told_of_by_itself() {
    let scene = Scene::default()
        .hosted("http:shop", "proxy")
        .observe("http:shop", "http.status", "502", Verdict::Critical)
        .log("container:proxy", "dependency-refused")
        .log("container:api", "dependency-refused")
        .ended("container:db")
        .passes_on("container:proxy", "container:api")
        .connected("container:api", "container:db");
    let explained = scene.diagnose(&[exited(), refused_log(), gateway()]);
    let affected: Vec<(TargetId, Vec<TargetId>)> =
        explained.into_iter().map(|e| (e.diagnosis.blamed, e.diagnosis.affected)).collect();
    assert_eq!(
        affected,
        [
            (id("container:db"), vec![id("container:api")]),
            (id("container:proxy"), vec![id("http:shop")]),
        ]
    );
}

#[test]
fn two_that_are_connected_both_ways_stand_each_for_itself() {
    let scene = Scene::default()
        .ended("container:a")
        .ended("container:b")
        .log("container:a", "dependency-refused")
        .log("container:b", "dependency-refused")
        .connected("container:a", "container:b")
        .connected("container:b", "container:a");
    assert_eq!(scene.blamed(), ["container:a", "container:b"]);
}
