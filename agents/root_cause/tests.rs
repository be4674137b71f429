use super::*;
use crate::model::{
    Dependency, DependencySource, FindingSource, HealthReport, Observation, ObservedValue, Side,
    TargetReport, TargetState, Trend, Verdict,
};

/// A small world to diagnose, told in a few calls.
#[derive(Default)]
struct Scene {
    report: HealthReport,
    findings: Vec<Finding>,
    dependencies: Vec<Dependency>,
    targets: BTreeMap<TargetId, Target>,
    changes: Vec<Change>,
    since_well: BTreeMap<TargetId, SinceWell>,
    neighbours: BTreeMap<TargetId, NeighbourSeen>,
}

fn id(text: &str) -> TargetId {
    text.parse().unwrap()
}

impl Scene {
    fn observe(mut self, target: &str, check: &str, value: &str, verdict: Verdict) -> Self {
        let observation = Observation {
            target: id(target),
            check: check.to_owned(),
            value: value
                .parse()
                .map_or_else(|_| ObservedValue::Text(value.to_owned()), ObservedValue::Number),
            unit: String::new(),
            verdict,
            detail: format!("{check} is {value}"),
            at: Timestamp::UNIX_EPOCH,
            since: Timestamp::UNIX_EPOCH,
        };
        if verdict.is_bad() {
            let source = FindingSource::Check { check: check.to_owned(), value: value.to_owned() };
            let severity =
                if verdict == Verdict::Critical { Severity::Critical } else { Severity::Warning };
            self.findings.push(finding(target, source, severity));
        }
        self.targets.entry(id(target)).or_insert_with(|| Target::bare(id(target)));
        match self.report.targets.iter_mut().find(|t| *t.id() == id(target)) {
            Some(report) => report.observations.push(observation),
            None => self.report.targets.push(TargetReport {
                state: TargetState {
                    target: Target::bare(id(target)),
                    facts: Err("the scene has no facts".to_owned()),
                    events: vec![],
                    at: Timestamp::UNIX_EPOCH,
                },
                observations: vec![observation],
            }),
        }
        self
    }

    fn log(mut self, target: &str, runbook: &str) -> Self {
        let source = FindingSource::Log { runbook: runbook.to_owned(), side: Side::Server };
        self.findings.push(finding(target, source, Severity::Warning));
        self
    }

    fn needs(mut self, from: &str, to: &str) -> Self {
        self.dependencies.push(Dependency {
            from: id(from),
            to: id(to),
            source: DependencySource::Compose,
        });
        self
    }

    fn hosted(mut self, target: &str, container: &str) -> Self {
        let mut hosted = Target::bare(id(target));
        hosted.container = Some(container.to_owned());
        self.targets.insert(id(target), hosted);
        self.needs(target, &format!("container:{container}"))
    }

    fn diagnose(&self, runbooks: &[Runbook]) -> Vec<Explained> {
        let graph = Graph::new(&self.dependencies);
        let runbooks: Vec<&Runbook> = runbooks.iter().collect();
        diagnose(Evidence {
            report: &self.report,
            findings: &by_target(&self.findings),
            graph: &graph,
            runbooks: &runbooks,
            targets: &self.targets,
            proven: &BTreeSet::new(),
            changes: &self.changes,
            since_well: &self.since_well,
            onsets: &BTreeMap::new(),
            neighbours: &self.neighbours,
            now: Timestamp::UNIX_EPOCH,
        })
    }
}

fn finding(target: &str, source: FindingSource, severity: Severity) -> Finding {
    let key = match &source {
        FindingSource::Check { check, .. } => Finding::check_key(&id(target), check),
        FindingSource::Log { runbook, side } => Finding::log_key(&id(target), runbook, *side),
        FindingSource::Pattern { oddity, .. } => Finding::pattern_key(&id(target), *oddity),
        FindingSource::Alert { fingerprint, .. } => Finding::alert_key(&id(target), fingerprint),
    };
    Finding {
        key,
        target: id(target),
        source,
        category: Category::Crash,
        severity,
        message: "it is broken".to_owned(),
        samples: vec![],
        count: 1,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        trend: Trend::Steady,
    }
}

fn runbook(text: &str) -> Runbook {
    toml::from_str(text).unwrap()
}

fn exited() -> Runbook {
    runbook(
        r#"
        id = "container-exited"
        title = "ended by itself"
        category = "crash"
        severity = "critical"
        technology = "docker"
        status = "reproduced"
        signature = [{ check = "container.state", is = ["exited"] }]
        diagnosis = { summary = "{target} is {value}.", base = 90 }
        [[evidence]]
        when = { check = "container.oom", above = 0 }
        weight = -30
        why = "it ran out of memory, so it will again"
        "#,
    )
}

fn stopped() -> Runbook {
    runbook(
        r#"
        id = "dependency-stopped"
        title = "stopped although others need it"
        category = "dependency"
        severity = "critical"
        technology = "docker"
        status = "reproduced"
        signature = [{ check = "container.state", is = ["stopped"] }]
        diagnosis = { summary = "{target} was stopped.", base = 88 }
        [[evidence]]
        when = { on = "dependent", verdict = "critical" }
        weight = 2
        why = "what needs it fails"
        required = true
        "#,
    )
}

fn unhealthy() -> Runbook {
    runbook(
        r#"
        id = "container-unhealthy"
        title = "fails its health check"
        category = "hang"
        severity = "critical"
        technology = "docker"
        status = "reproduced"
        signature = [{ check = "container.health", is = ["unhealthy"] }]
        diagnosis = { summary = "{target} is unhealthy.", base = 86 }
        "#,
    )
}

fn hang() -> Runbook {
    runbook(
        r#"
        id = "http-hang"
        title = "accepts and never answers"
        category = "hang"
        severity = "critical"
        technology = "http"
        status = "reproduced"
        signature = [{ check = "http.status", is = ["timeout"] }]
        diagnosis = { summary = "{target} hangs.", base = 88, blames = "container" }
        "#,
    )
}

fn refused_log() -> Runbook {
    runbook(
        r#"
        id = "dependency-refused"
        title = "a dependency refuses connections"
        category = "dependency"
        severity = "warning"
        technology = "network"
        status = "reproduced"
        signature = [{ log = "connection refused" }]
        diagnosis = { summary = "{target} cannot reach what it needs.", base = 60, blames = "dependency" }
        "#,
    )
}

fn written<'a>(diagnosis: &'a Diagnosis, words: &str) -> Option<&'a crate::model::LedgerEntry> {
    diagnosis.ledger.entries.iter().find(|entry| entry.what.contains(words))
}

#[test]
fn the_deepest_broken_target_is_blamed_and_the_loud_ones_are_its_symptoms() {
    let scene = Scene::default()
        .observe("container:db", "container.state", "exited", Verdict::Critical)
        .observe("container:api", "container.health", "unhealthy", Verdict::Critical)
        .observe("container:web", "container.health", "unhealthy", Verdict::Critical)
        .needs("container:web", "container:api")
        .needs("container:api", "container:db");
    let explained = scene.diagnose(&[exited(), unhealthy()]);
    assert_eq!(explained.len(), 1);
    let diagnosis = &explained[0].diagnosis;
    assert_eq!(diagnosis.blamed, id("container:db"));
    assert_eq!(diagnosis.issue_type, "container-exited");
    assert_eq!(diagnosis.affected, vec![id("container:api"), id("container:web")]);
    assert!(diagnosis.considered.iter().any(|c| c.target == id("container:api")));
}

#[test]
fn a_warning_below_a_broken_target_explains_nothing() {
    let scene = Scene::default()
        .observe("container:cache", "container.memory", "91", Verdict::Warning)
        .observe("container:api", "container.state", "exited", Verdict::Critical)
        .needs("container:api", "container:cache");
    let blamed: Vec<TargetId> =
        scene.diagnose(&[exited()]).into_iter().map(|e| e.diagnosis.blamed).collect();
    assert_eq!(blamed, vec![id("container:api"), id("container:cache")]);
}

#[test]
fn a_database_that_takes_nobody_yet_explains_who_needs_it_although_it_is_only_a_warning() {
    for (service, check, value, verdict, explains) in [
        ("postgres:db", "postgres.reachable", "starting", Verdict::Warning, true),
        ("redis:db", "redis.loading", "loading", Verdict::Warning, true),
        ("postgres:db", "postgres.latency", "1200", Verdict::Warning, false),
        ("postgres:db", "postgres.reachable", "auth", Verdict::Unknown, false),
    ] {
        let explained = Scene::default()
            .observe("container:api", "container.health", "unhealthy", Verdict::Critical)
            .observe(service, check, value, verdict)
            .needs("container:api", service)
            .diagnose(&[unhealthy()]);
        let blamed = explained.iter().any(|e| e.diagnosis.blamed == id("container:api"));
        assert_eq!(!blamed, explains, "{check} {value}: {explained:#?}");
    }
}

#[test]
fn a_person_stopping_what_nobody_needs_is_no_trouble() {
    let scene =
        Scene::default().observe("container:old", "container.state", "stopped", Verdict::Ok);
    assert_eq!(scene.diagnose(&[exited(), stopped()]), vec![]);
}

#[test]
fn a_hanging_endpoint_blames_the_container_behind_it() {
    let scene = Scene::default()
        .observe("http:web", "http.status", "timeout", Verdict::Critical)
        .observe("container:web", "container.state", "running", Verdict::Ok)
        .hosted("http:web", "web");
    let explained = scene.diagnose(&[hang(), unhealthy()]);
    assert_eq!(explained[0].diagnosis.blamed, id("container:web"));
    assert_eq!(explained[0].diagnosis.affected, vec![id("http:web")]);
}

#[test]
fn a_hanging_endpoint_of_no_known_container_is_named_itself() {
    let scene = Scene::default().observe("http:shop", "http.status", "timeout", Verdict::Critical);
    let diagnosis = &scene.diagnose(&[hang()])[0].diagnosis;
    assert_eq!(diagnosis.blamed, id("http:shop"));
    assert_eq!(diagnosis.issue_type, "http-hang");
}

fn bad_config() -> Runbook {
    runbook(
        r#"
        id = "bad-config"
        title = "the configuration cannot be read"
        category = "configuration"
        severity = "critical"
        technology = "nginx"
        status = "reproduced"
        signature = [{ log = "unexpected end of file" }]
        diagnosis = { summary = "{target} cannot read its configuration.", base = 88 }
        "#,
    )
}

#[test]
fn trouble_in_its_own_words_beats_a_check_that_sees_only_the_effect() {
    let scene = Scene::default()
        .observe("container:web", "container.state", "exited", Verdict::Critical)
        .log("container:web", "bad-config");
    assert_eq!(scene.diagnose(&[exited(), bad_config()])[0].diagnosis.issue_type, "bad-config");
}

#[test]
fn a_pointer_to_a_dependency_is_not_a_cause_while_the_dependency_is_broken() {
    let scene = Scene::default()
        .observe("container:db", "container.state", "exited", Verdict::Critical)
        .observe("container:api", "container.state", "running", Verdict::Ok)
        .log("container:api", "dependency-refused")
        .needs("container:api", "container:db");
    let explained = scene.diagnose(&[exited(), refused_log()]);
    assert_eq!(explained.len(), 1);
    assert_eq!(explained[0].diagnosis.blamed, id("container:db"));
}

#[test]
fn what_speaks_against_lowers_the_confidence_visibly() {
    let scene = Scene::default()
        .observe("container:job", "container.state", "exited", Verdict::Critical)
        .observe("container:job", "container.oom", "3", Verdict::Ok);
    let diagnosis = &scene.diagnose(&[exited()])[0].diagnosis;
    assert_eq!(diagnosis.confidence.percent(), 60);
    assert_eq!(diagnosis.ledger.entries[1].points, -30);
}

#[test]
fn what_only_a_log_says_is_hearsay_until_somebody_sees_it() {
    for (seen, hearsay) in [
        (("container.state", "running", Verdict::Ok), true),
        (("container.health", "unhealthy", Verdict::Critical), true),
        (("container.state", "crash_loop", Verdict::Critical), false),
        (("container.state", "restarting", Verdict::Warning), false),
        (("container.state", "paused", Verdict::Warning), true),
        (("container.oom", "1", Verdict::Critical), false),
    ] {
        let scene = Scene::default().log("container:web", "bad-config").observe(
            "container:web",
            seen.0,
            seen.1,
            seen.2,
        );
        let diagnosis = &scene.diagnose(&[bad_config()])[0].diagnosis;
        assert_eq!(diagnosis.hearsay, hearsay, "{seen:?}");
    }
}

#[test]
fn a_documented_runbook_never_reaches_the_threshold_by_itself() {
    let mut documented = exited();
    documented.status = crate::model::Provenance::Documented;
    let scene =
        Scene::default().observe("container:web", "container.state", "exited", Verdict::Critical);
    assert_eq!(scene.diagnose(&[documented])[0].diagnosis.confidence, DOCUMENTED_LIMIT);
}

#[test]
fn what_no_runbook_explains_is_said_and_never_sure() {
    let scene =
        Scene::default().observe("container:web", "container.state", "dead", Verdict::Critical);
    let diagnosis = &scene.diagnose(&[exited()])[0].diagnosis;
    assert_eq!(diagnosis.issue_type, UNEXPLAINED);
    assert!(diagnosis.confidence.percent() < 50);
}

#[test]
fn targets_that_need_each_other_are_blamed_one_by_one_and_never_lost() {
    let scene = Scene::default()
        .observe("container:a", "container.state", "exited", Verdict::Critical)
        .observe("container:b", "container.state", "exited", Verdict::Critical)
        .needs("container:a", "container:b")
        .needs("container:b", "container:a");
    assert_eq!(scene.diagnose(&[exited()]).len(), 2);
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let scene = Scene::default()
        .observe("container:db", "container.state", "exited", Verdict::Critical)
        .observe("container:api", "container.health", "unhealthy", Verdict::Critical)
        .needs("container:api", "container:db");
    let runbooks = [exited(), unhealthy(), stopped()];
    assert_eq!(scene.diagnose(&runbooks), scene.diagnose(&runbooks));
}

/// What clients say.
mod changes;
mod clients;
mod hints;
mod neighbours;
mod outlived;
mod outside;
mod roots;
