use std::collections::BTreeMap;

use selfheal_agents::error_detector::{Catalogue, ErrorDetector};
use selfheal_agents::fakes;
use selfheal_agents::model::{
    ApplyMethod, Change, ContainerFacts, ContainerStatus, Dependency, DependencySource, Diagnosis,
    Difference, Facts, HealthReport, LogBatch, LogLine, LogStream, Observation, ObservedValue,
    ProbeOutput, Runbook, SinceWell, Target, TargetId, TargetReport, TargetState, Tunable,
    TunableRole, Verdict,
};
use selfheal_agents::root_cause::{Evidence, Graph, diagnose};

/// The default threshold for acting alone, percent.
const THRESHOLD: i32 = 85;

struct Scene {
    catalogue: Catalogue,
    report: HealthReport,
    needs: Vec<Dependency>,
    logs: BTreeMap<TargetId, LogBatch>,
    changes: Vec<Change>,
    since_well: BTreeMap<TargetId, SinceWell>,
}

fn id(text: &str) -> TargetId {
    text.parse().unwrap()
}

impl Scene {
    fn new() -> Self {
        let report = HealthReport { at: fakes::start_time(), ..HealthReport::default() };
        let catalogue = super::load(None, super::Keep::Everything).0;
        Self {
            catalogue,
            report,
            needs: vec![],
            logs: BTreeMap::new(),
            changes: vec![],
            since_well: BTreeMap::new(),
        }
    }

    fn target(mut self, target: Target, facts: Result<Facts, String>) -> Self {
        let state = TargetState { target, facts, events: vec![], at: self.report.at };
        self.report.targets.push(TargetReport { state, observations: vec![] });
        self
    }

    fn with(self, facts: ContainerFacts) -> Self {
        let target = Target::bare(TargetId::container(&facts.name));
        self.target(target, Ok(Facts::Container(Box::new(facts))))
    }

    fn running(self, name: &str) -> Self {
        let scene = self.with(fakes::healthy(name));
        scene.sees(&format!("container:{name}"), "container.state", "running", Verdict::Ok)
    }

    fn lying(self, name: &str, state: &str, verdict: Verdict) -> Self {
        let facts = ContainerFacts {
            status: ContainerStatus::Exited,
            exit_code: Some(1),
            finished_at: Some(self.report.at),
            ..fakes::container(name)
        };
        self.with(facts).sees(&format!("container:{name}"), "container.state", state, verdict)
    }

    /// An endpoint or data service that stands for a container.
    fn stands_for(mut self, target: &str, container: &str) -> Self {
        let mut endpoint = Target::bare(id(target));
        endpoint.container = Some(container.to_owned());
        self.needs.push(Dependency {
            from: id(target),
            to: TargetId::container(container),
            source: DependencySource::Hosting,
        });
        self.target(endpoint, Err("not needed here".to_owned()))
    }

    fn needs(mut self, from: &str, to: &str) -> Self {
        let (from, to) = (TargetId::container(from), TargetId::container(to));
        self.needs.push(Dependency { from, to, source: DependencySource::Compose });
        self
    }

    fn entry(&mut self, target: &str) -> &mut TargetReport {
        self.report.targets.iter_mut().find(|t| *t.id() == id(target)).unwrap()
    }

    fn sees(mut self, target: &str, check: &str, value: &str, verdict: Verdict) -> Self {
        let at = self.report.at;
        let number = value.parse().map(ObservedValue::Number);
        let observation = Observation {
            target: id(target),
            check: check.to_owned(),
            value: number.unwrap_or_else(|_| ObservedValue::Text(value.to_owned())),
            unit: String::new(),
            verdict,
            detail: format!("{check} is {value}"),
            at,
            since: at,
        };
        self.entry(target).observations.push(observation);
        self
    }

    fn tunable(mut self, container: &str, role: TunableRole) -> Self {
        let target = TargetId::container(container);
        let tunable = Tunable {
            target: target.clone(),
            file: "/srv/worker.json".to_owned(),
            key: "knob".to_owned(),
            role,
            min: 0.1,
            max: 10.0,
            apply: ApplyMethod::Restart,
        };
        self.entry(&target.to_string()).state.target.tunables.push(tunable);
        self
    }

    fn logs(mut self, container: &str, text: &str, times: usize) -> Self {
        let line = LogLine { at: self.report.at, stream: LogStream::Stderr, text: text.to_owned() };
        let batch = self.logs.entry(TargetId::container(container)).or_default();
        batch.lines.extend(std::iter::repeat_n(line, times));
        self
    }

    fn diagnoses(&self) -> Vec<Diagnosis> {
        let mut detector = ErrorDetector::default();
        let findings = detector.detect(&self.report, &self.logs, &self.catalogue);
        let runbooks: Vec<&Runbook> = self.catalogue.iter().collect();
        let targets: BTreeMap<TargetId, Target> =
            self.report.targets.iter().map(|t| (t.id().clone(), t.state.target.clone())).collect();
        let graph = Graph::new(&self.needs);
        let evidence = Evidence {
            report: &self.report,
            findings: &findings,
            graph: &graph,
            runbooks: &runbooks,
            proven: &std::collections::BTreeSet::new(),
            changes: &self.changes,
            since_well: &self.since_well,
            onsets: &BTreeMap::new(),
            targets: &targets,
            now: self.report.at,
        };
        diagnose(evidence).into_iter().map(|explained| explained.diagnosis).collect()
    }

    /// The one answer: issue, blamed target, and how sure the best fix would be; zero where
    /// no fix is known.
    fn answer(&self) -> (String, String, i32) {
        let all = self.diagnoses();
        let [one] = all.as_slice() else { panic!("one answer is expected, not {all:#?}") };
        let fixes = self.catalogue.get(&one.issue_type).map_or(&[][..], |runbook| &runbook.fixes);
        let best = fixes.first().map_or(0, |fix| i32::from(one.confidence.percent()) + fix.adjust);
        (one.issue_type.clone(), one.blamed.to_string(), best)
    }

    fn acts(&self, issue: &str, blamed: &str) {
        let (said, whom, sure) = self.answer();
        assert_eq!((said.as_str(), whom.as_str()), (issue, blamed));
        assert!(sure >= THRESHOLD, "only {sure} % sure of {issue}");
    }

    fn holds(&self, issue: &str, blamed: &str) {
        let (said, whom, sure) = self.answer();
        assert_eq!((said.as_str(), whom.as_str()), (issue, blamed));
        assert!(sure < THRESHOLD, "{sure} % sure of {issue}");
    }
}

#[test]
fn a_container_that_ended_by_itself_is_started() {
    Scene::new()
        .lying("web", "exited", Verdict::Critical)
        .acts("container-exited", "container:web");
}

#[test]
fn a_container_that_lay_there_before_anybody_looked_is_left_to_a_person() {
    Scene::new()
        .lying("old-job", "exited", Verdict::Critical)
        .sees("container:old-job", "container.deaths", "0", Verdict::Ok)
        .holds("container-exited", "container:old-job");
    Scene::new()
        .lying("web", "exited", Verdict::Critical)
        .sees("container:web", "container.deaths", "1", Verdict::Ok)
        .acts("container-exited", "container:web");
}

#[test]
fn a_container_that_ended_for_its_configuration_gets_the_last_good_one() {
    let line =
        "2026/11/21 04:31:11 [emerg] 7#7: unknown directive \"serverr\" in /etc/nginx/nginx.conf:1";
    for state in ["exited", "crash_loop"] {
        Scene::new()
            .lying("web", state, Verdict::Critical)
            .logs("web", line, 1)
            .acts("nginx-config-invalid", "container:web");
    }
    let line = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)";
    Scene::new()
        .lying("web", "exited", Verdict::Critical)
        .logs("web", "Traceback (most recent call last):", 1)
        .logs("web", line, 1)
        .acts("python-config-unreadable", "container:web");
}

/// A container that was made anew in other ways than the one that worked.
fn remade(state: &str, deaths: &str, differs: &[Difference], never_well: bool) -> Scene {
    let scene = Scene::new().lying("web", state, Verdict::Critical).sees(
        "container:web",
        "container.deaths",
        deaths,
        Verdict::Ok,
    );
    let since = SinceWell { differs: differs.iter().copied().collect(), never_well };
    Scene { since_well: [(id("container:web"), since)].into(), ..scene }
}

#[test]
fn what_dies_again_and_again_since_one_thing_was_changed_gets_that_back() {
    let lost = Difference::VariableLost;
    for (one, runbook) in
        [(Difference::Image, "container-bad-update"), (lost, "container-lost-variable")]
    {
        remade("crash_loop", "3", &[one], true).acts(runbook, "container:web");
        remade("exited", "2", &[one], true).acts(runbook, "container:web");
        // Its own words do not hide it.
        remade("crash_loop", "3", &[one], true)
            .logs("web", "Traceback (most recent call last):", 1)
            .logs("web", "KeyError: 'DATABASE_URL'", 1)
            .acts(runbook, "container:web");

        let and_more = [one, Difference::Mounts];
        remade("crash_loop", "3", &and_more, true).holds(runbook, "container:web");
        remade("crash_loop", "3", &[one], true)
            .lying("db", "exited", Verdict::Critical)
            .needs("web", "db")
            .acts("container-exited", "container:db");
        // Once is no rule: it is started first, and may come up.
        remade("exited", "1", &[one], true).acts("container-exited", "container:web");
        // It did work so: whatever it dies of is something else.
        let worked = remade("crash_loop", "3", &[one], false);
        assert_eq!(worked.answer().0, "container-crash-loop");
    }
    let unhealthy = Scene {
        since_well: remade("exited", "2", &[Difference::Image], true).since_well,
        ..unhealthy("web").sees("container:web", "container.deaths", "0", Verdict::Ok)
    };
    unhealthy.holds("container-unhealthy", "container:web");
}

fn unhealthy(name: &str) -> Scene {
    Scene::new().running(name).sees(
        &format!("container:{name}"),
        "container.health",
        "unhealthy",
        Verdict::Critical,
    )
}

fn was_healthy(mut scene: Scene) -> Scene {
    let at = Some(scene.report.at);
    let probe = ProbeOutput { at, exit_code: 0, output: "ok".to_owned() };
    let Ok(Facts::Container(facts)) = &mut scene.entry("container:web").state.facts else {
        panic!("the scene has no container");
    };
    facts.health_log = vec![probe];
    scene
}

#[test]
fn an_unhealthy_container_is_restarted_when_it_was_healthy_or_its_endpoint_agrees() {
    was_healthy(unhealthy("web")).acts("container-unhealthy", "container:web");
    unhealthy("web")
        .stands_for("http:shop", "web")
        .sees("http:shop", "http.status", "500", Verdict::Critical)
        .acts("container-unhealthy", "container:web");
}

#[test]
fn a_health_check_that_contradicts_the_endpoint_is_not_believed() {
    was_healthy(unhealthy("web"))
        .stands_for("http:shop", "web")
        .sees("http:shop", "http.status", "ok", Verdict::Ok)
        .holds("container-unhealthy", "container:web");
    unhealthy("web").holds("container-unhealthy", "container:web");
}

#[test]
fn an_unhealthy_container_whose_trouble_is_outside_is_left_alone() {
    was_healthy(unhealthy("web"))
        .logs("web", "socket.gaierror: [Errno -2] Name or service not known", 5)
        .holds("name-not-resolved", "container:web");
}

#[test]
fn a_hanging_endpoint_restarts_its_container_and_a_broken_one_too() {
    let status = |value| {
        Scene::new().running("web").stands_for("http:shop", "web").sees(
            "http:shop",
            "http.status",
            value,
            Verdict::Critical,
        )
    };
    status("timeout").acts("endpoint-hang", "container:web");
    status("503").acts("server-errors", "container:web");
    status("502").holds("gateway-errors", "http:shop");
    status("tls").holds("endpoint-tls-failure", "http:shop");
}

#[test]
fn what_a_person_stopped_is_started_only_if_others_need_it() {
    let stopped = || Scene::new().lying("db", "stopped", Verdict::Ok);
    assert_eq!(stopped().diagnoses(), []);
    stopped()
        .stands_for("http:db", "db")
        .sees("http:db", "http.status", "refused", Verdict::Critical)
        .holds("stopped-by-person", "container:db");
    stopped()
        .running("api")
        .needs("api", "db")
        .sees("container:api", "container.health", "unhealthy", Verdict::Critical)
        .acts("dependency-stopped", "container:db");
}

#[test]
fn a_limit_that_is_too_low_is_raised() {
    Scene::new()
        .lying("job", "crash_loop", Verdict::Critical)
        .sees("container:job", "container.oom", "4", Verdict::Critical)
        .acts("container-out-of-memory", "container:job");
}

#[test]
fn being_asked_to_slow_down_is_answered_by_a_declared_delay_only() {
    let worker = || {
        let line = "urllib.error.HTTPError: HTTP Error 429: Too Many Requests";
        Scene::new().running("worker").logs("worker", line, 4)
    };
    worker().tunable("worker", TunableRole::Delay).acts("rate-limited", "container:worker");
    worker().holds("rate-limited", "container:worker");
}

#[test]
fn a_hung_database_is_blamed_for_what_needs_it() {
    unhealthy("api")
        .running("db")
        .needs("api", "db")
        .stands_for("postgres:orders", "db")
        .needs("api", "db")
        .sees("postgres:orders", "postgres.reachable", "timeout", Verdict::Critical)
        .sees("container:db", "container.health", "unhealthy", Verdict::Critical)
        .acts("postgresql-unreachable", "container:db");
}

#[test]
fn an_abandoned_transaction_that_blocks_others_is_ended() {
    let database = || Scene::new().running("db").stands_for("postgres:orders", "db");
    database()
        .sees("postgres:orders", "postgres.blocked", "3", Verdict::Critical)
        .sees("postgres:orders", "postgres.idle_in_transaction", "90", Verdict::Warning)
        .acts("postgresql-sessions-blocked", "postgres:orders");
    database()
        .sees("postgres:orders", "postgres.blocked", "3", Verdict::Critical)
        .sees("postgres:orders", "postgres.idle_in_transaction", "0", Verdict::Ok)
        .holds("postgresql-sessions-blocked", "postgres:orders");
}

#[test]
fn a_database_that_recovers_is_left_alone() {
    Scene::new()
        .running("db")
        .stands_for("postgres:orders", "db")
        .sees("postgres:orders", "postgres.reachable", "starting", Verdict::Critical)
        .logs(
            "db",
            "2026-11-21 04:32:06.958 UTC [30415] FATAL:  the database system is starting up",
            3,
        )
        .holds("postgresql-starting-up", "postgres:orders");
}
