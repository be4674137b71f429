use super::*;
use crate::fakes::{self, Failure, FakeWorld};
use crate::model::{
    Category, ContainerFacts, ContainerStatus, Facts, LogStream, MountFacts, Observation,
    ObservedValue, Severity, Target, TargetReport, TargetState,
};
use crate::ports::Clock as _;

fn id(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn seconds(secs: i64) -> Timestamp {
    fakes::start_time() + TimeDelta::seconds(secs)
}

/// Runbooks for the tests: `boom` wants three lines, `config` one, `full` speaks of
/// PostgreSQL, `slow` of a check.
fn catalogue() -> Catalogue {
    let runbook = |id: &str, severity: &str, signature: &str, applies: &str, examples: &str| {
        let text = format!(
            "id = \"{id}\"\ntitle = \"{id} seen\"\ncategory = \"database\"\n\
             severity = \"{severity}\"\ntechnology = \"test\"\nstatus = \"reproduced\"\n\
             links = [\"https://example.org\"]\nsignature = [{{ {signature} }}]\n{applies}\n\
             [diagnosis]\nsummary = \"it is\"\nbase = 50\n{examples}"
        );
        (format!("test/{id}.toml"), text)
    };
    let proof = |word: &str| format!("[examples]\nmatch = [\"{word}\"]\nnear_miss = [\"fine\"]");
    let host = "applies = { kinds = [\"host\"] }";
    let postgres = "applies = { kinds = [\"postgres\", \"container\"] }";
    let (catalogue, broken) = Catalogue::load([
        runbook("boom", "warning", "log = 'boom', at_least = 3", "", &proof("boom")),
        runbook("config", "critical", "log = 'bad config'", "", &proof("bad config")),
        runbook("full", "critical", "log = 'no slots'", postgres, &proof("no slots")),
        runbook("oops", "warning", "log = 'kernel: oops'", host, &proof("kernel: oops")),
        runbook("slow", "warning", "check = \"http.latency\"", "", ""),
    ]);
    assert_eq!(broken, []);
    catalogue
}

/// A report at a moment, told in a few calls.
struct Scene(HealthReport);

impl Scene {
    fn at(secs: i64) -> Self {
        Self(HealthReport { at: seconds(secs), ..HealthReport::default() })
    }

    fn target(mut self, target: Target, facts: Result<Facts, String>) -> Self {
        let state = TargetState { target, facts, events: vec![], at: self.0.at };
        self.0.targets.push(TargetReport { state, observations: vec![] });
        self
    }

    fn container(self, facts: ContainerFacts) -> Self {
        let target = Target::bare(TargetId::container(&facts.name));
        self.target(target, Ok(Facts::Container(Box::new(facts))))
    }

    fn service(self, text: &str, container: &str) -> Self {
        let mut target = Target::bare(id(text));
        target.container = Some(container.to_owned());
        self.target(target, Err("not asked".to_owned()))
    }

    fn sees(mut self, target: &str, check: &str, value: ObservedValue, verdict: Verdict) -> Self {
        let observation = Observation {
            target: id(target),
            check: check.to_owned(),
            value,
            unit: "%".to_owned(),
            verdict,
            detail: "password=hunter22 \u{1b}[31mbad".to_owned(),
            at: self.0.at,
            since: seconds(-5),
        };
        let report = self.0.targets.iter_mut().find(|t| *t.id() == id(target)).unwrap();
        report.observations.push(observation);
        self
    }
}

fn batch(lines: &[(i64, &str)]) -> LogBatch {
    let lines: Vec<LogLine> = lines
        .iter()
        .map(|(secs, text)| LogLine {
            at: seconds(*secs),
            stream: LogStream::Stderr,
            text: (*text).to_owned(),
        })
        .collect();
    let cursor = lines.last().map(|last| LogCursor {
        at: last.at,
        seen_at: u32::try_from(lines.iter().filter(|l| l.at == last.at).count()).unwrap(),
    });
    LogBatch { lines, cursor, dropped: 0 }
}

fn logs(container: &str, lines: &[(i64, &str)]) -> BTreeMap<TargetId, LogBatch> {
    BTreeMap::from([(TargetId::container(container), batch(lines))])
}

fn keys(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

fn web_at(secs: i64) -> Scene {
    Scene::at(secs).container(fakes::container("web"))
}

#[test]
fn a_signature_counts_once_it_was_seen_often_enough_over_several_cycles() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let first = logs("web", &[(1, "boom 1"), (2, "boom 2"), (3, "fine")]);
    assert_eq!(detector.detect(&web_at(5).0, &first, &catalogue), []);
    let second = logs("web", &[(6, "boom token=abcdefgh1234")]);
    let findings = detector.detect(&web_at(10).0, &second, &catalogue);
    assert_eq!(keys(&findings), ["container:web log boom"]);
    let finding = &findings[0];
    assert_eq!((finding.count, finding.severity), (3, Severity::Warning));
    assert_eq!((finding.first_seen, finding.last_seen), (seconds(1), seconds(6)));
    assert_eq!(finding.trend, Trend::Rising);
    assert_eq!(finding.samples, ["boom 1", "boom 2", "boom token=***"]);
}

#[test]
fn lines_older_than_ten_minutes_do_not_add_up() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    detector.detect(&web_at(10).0, &logs("web", &[(1, "boom"), (2, "boom")]), &catalogue);
    let later = detector.detect(&web_at(700).0, &logs("web", &[(699, "boom")]), &catalogue);
    assert_eq!(later, []);
}

#[test]
fn a_finding_without_new_lines_fades_and_falls_before() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let lines = logs("web", &[(1, "boom"), (2, "boom"), (3, "boom")]);
    assert_eq!(detector.detect(&web_at(4).0, &lines, &catalogue).len(), 1);
    let none = BTreeMap::new();
    let still = detector.detect(&web_at(340).0, &none, &catalogue);
    assert_eq!(still[0].trend, Trend::Falling);
    assert_eq!(detector.detect(&web_at(400).0, &none, &catalogue), []);
}

#[test]
fn a_line_handed_over_twice_counts_once() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let lines = logs("web", &[(1, "boom"), (2, "boom"), (2, "bad config")]);
    for _ in 0..4 {
        let findings = detector.detect(&web_at(5).0, &lines, &catalogue);
        assert_eq!(keys(&findings), ["container:web log config"]);
        assert_eq!(findings[0].count, 1);
    }
    let again = logs("web", &[(1, "boom"), (2, "boom"), (2, "bad config"), (2, "boom")]);
    let findings = detector.detect(&web_at(6).0, &again, &catalogue);
    assert_eq!(keys(&findings), ["container:web log config", "container:web log boom"]);
}

#[test]
fn a_database_line_is_the_finding_of_the_database_in_that_container() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let scene = Scene::at(5)
        .container(fakes::container("db"))
        .service("postgres:other", "elsewhere")
        .service("postgres:orders", "db");
    let findings = detector.detect(&scene.0, &logs("db", &[(1, "no slots")]), &catalogue);
    assert_eq!(keys(&findings), ["postgres:orders log full"]);
    let alone = Scene::at(5).container(fakes::container("db2"));
    let findings = detector.detect(&alone.0, &logs("db2", &[(1, "no slots")]), &catalogue);
    assert_eq!(keys(&findings), ["container:db2 log full"]);
}

#[test]
fn what_a_collector_passes_on_of_the_kernel_is_the_finding_of_the_host() {
    let catalogue = catalogue();
    let host = || Err("not asked".to_owned());
    let collector = || {
        let mut facts = fakes::container("web");
        facts.mounts = vec![MountFacts {
            bind: true,
            source: "/var/log".to_owned(),
            destination: "/logs".to_owned(),
            writable: false,
        }];
        Scene::at(5).container(facts)
    };
    let found = |scene: Scene, line: &str| {
        let findings =
            ErrorDetector::default().detect(&scene.0, &logs("web", &[(1, line)]), &catalogue);
        keys(&findings).iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()
    };
    let of_host = |scene: Scene| scene.target(Target::bare(TargetId::host()), host());
    assert_eq!(found(of_host(collector()), "kernel: oops"), ["host log oops"]);
    let nobodys = found(collector(), "kernel: oops");
    assert_eq!(nobodys, Vec::<String>::new(), "the host is not watched");
    let quoted = found(of_host(collector()), "a mail says kernel: oops");
    assert_eq!(quoted, Vec::<String>::new(), "somebody quotes it");
    let printed = found(of_host(web_at(5)), "kernel: oops");
    assert_eq!(printed, Vec::<String>::new(), "it cannot hear the kernel");
}

#[test]
fn a_start_error_is_read_like_a_line_of_the_log_while_it_stands() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let refused = |error: &str| ContainerFacts { start_error: error.to_owned(), ..down(127) };
    let none = BTreeMap::new();
    for secs in [5, 900] {
        let scene = Scene::at(secs).container(refused("runtime create failed: bad config"));
        let findings = detector.detect(&scene.0, &none, &catalogue);
        assert_eq!(keys(&findings), ["container:web log config"]);
        assert_eq!(findings[0].samples, ["runtime create failed: bad config"]);
        assert_eq!((findings[0].count, findings[0].trend), (1, Trend::Steady));
    }
    let once = Scene::at(905).container(refused("boom"));
    assert_eq!(detector.detect(&once.0, &none, &catalogue), [], "`boom` wants three lines");
    let up = ContainerFacts { start_error: "bad config".to_owned(), ..fakes::container("web") };
    assert_eq!(detector.detect(&Scene::at(910).container(up).0, &none, &catalogue), []);
}

#[test]
fn a_start_error_that_the_log_tells_as_well_is_one_finding() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let refused = ContainerFacts { start_error: "bad config".to_owned(), ..down(1) };
    let scene = Scene::at(5).container(refused);
    let findings = detector.detect(&scene.0, &logs("web", &[(2, "bad config")]), &catalogue);
    assert_eq!(keys(&findings), ["container:web log config"]);
}

fn down(exit_code: i64) -> ContainerFacts {
    ContainerFacts {
        status: ContainerStatus::Exited,
        exit_code: Some(exit_code),
        finished_at: Some(seconds(3)),
        ..fakes::container("web")
    }
}

#[test]
fn the_last_words_of_a_crashed_container_stay_true_while_it_lies() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let state = |secs, verdict| {
        Scene::at(secs).container(down(1)).sees(
            "container:web",
            "container.state",
            ObservedValue::Text("exited".to_owned()),
            verdict,
        )
    };
    let lines = logs("web", &[(2, "bad config")]);
    let hours = 5 * 3600;
    let findings = detector.detect(&state(hours, Verdict::Critical).0, &lines, &catalogue);
    assert!(keys(&findings).contains(&"container:web log config"));
    let quiet = detector.detect(&state(hours + 300, Verdict::Ok).0, &lines, &catalogue);
    assert_eq!(quiet, [], "a container that lies in peace has no trouble in its log");
}

#[test]
fn what_a_former_life_wrote_ends_once_the_new_one_has_lasted() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let reborn = |secs| {
        let started_at = Some(seconds(10));
        Scene::at(secs).container(ContainerFacts { started_at, ..fakes::container("web") })
    };
    let lines = logs("web", &[(2, "bad config")]);
    assert_eq!(detector.detect(&reborn(20).0, &lines, &catalogue).len(), 1);
    assert_eq!(detector.detect(&reborn(71).0, &lines, &catalogue), []);
}

#[test]
fn after_forgetting_only_new_lines_count() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let lines = logs("web", &[(1, "bad config")]);
    assert_eq!(detector.detect(&web_at(2).0, &lines, &catalogue).len(), 1);
    detector.forget(&TargetId::container("web"));
    assert_eq!(detector.detect(&web_at(3).0, &lines, &catalogue), []);
    let new = logs("web", &[(4, "bad config")]);
    assert_eq!(detector.detect(&web_at(5).0, &new, &catalogue).len(), 1);
}

#[test]
fn a_bad_check_is_a_finding_that_its_runbook_may_only_soften() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let scene = |secs, latency: f64| {
        web_at(secs)
            .service("http:shop", "web")
            .sees("http:shop", "http.latency", ObservedValue::Number(latency), Verdict::Critical)
            .sees("container:web", "container.cpu", ObservedValue::Number(9.0), Verdict::Ok)
            .sees(
                "container:web",
                "container.memory",
                ObservedValue::Number(99.0),
                Verdict::Critical,
            )
            .sees("container:web", "container.health", ObservedValue::Missing, Verdict::Unknown)
    };
    let none = BTreeMap::new();
    let findings = detector.detect(&scene(5, 100.0).0, &none, &catalogue);
    let keys = keys(&findings);
    assert_eq!(keys, ["container:web check container.memory", "http:shop check http.latency"]);
    assert_eq!(findings[0].severity, Severity::Critical);
    assert_eq!(findings[0].category, Category::Memory);
    assert_eq!(findings[0].message, "password=*** [31mbad");
    assert_eq!(findings[1].severity, Severity::Warning);
    assert_eq!(findings[1].category, Category::Database, "the runbook's family");
    assert_eq!((findings[1].first_seen, findings[1].last_seen), (seconds(-5), seconds(5)));
    let later = detector.detect(&scene(10, 200.0).0, &none, &catalogue);
    assert_eq!(later[1].trend, Trend::Rising);
    assert_eq!(later[0].trend, Trend::Steady);
    assert_eq!(later[1].key, findings[1].key);
}

#[test]
fn what_many_targets_show_stands_before_what_one_shows() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let mut scene = Scene::at(5);
    for name in ["a", "b", "c"] {
        scene = scene.container(fakes::container(name));
    }
    let mut all = logs("a", &[(1, "no slots")]);
    all.extend(logs("b", &[(1, "bad config")]));
    all.extend(logs("c", &[(1, "bad config")]));
    let findings = detector.detect(&scene.0, &all, &catalogue);
    let wanted = ["container:b log config", "container:c log config", "container:a log full"];
    assert_eq!(keys(&findings), wanted);
}

#[test]
fn a_flood_leaves_five_samples_and_a_bounded_memory() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let texts: Vec<String> =
        (0..3_000).map(|n| format!("bad config {n} {}", "x".repeat(2_000))).collect();
    let lines: Vec<(i64, &str)> = texts.iter().map(|text| (1, text.as_str())).collect();
    let findings = detector.detect(&web_at(5).0, &logs("web", &lines), &catalogue);
    assert_eq!(findings[0].count, 3_000);
    assert_eq!(findings[0].samples.len(), 5);
    assert!(findings[0].samples.iter().all(|sample| sample.chars().count() <= 300));
    assert_eq!(detector.windows.len(), 1);
}

#[test]
fn a_target_that_is_gone_for_an_hour_is_forgotten() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    detector.detect(&web_at(5).0, &logs("web", &[(1, "bad config")]), &catalogue);
    let others = |secs| Scene::at(secs).container(fakes::container("other"));
    detector.detect(&others(600).0, &BTreeMap::new(), &catalogue);
    assert_eq!(detector.windows.len(), 1, "a cycle over others forgets nothing");
    detector.detect(&others(4_000).0, &BTreeMap::new(), &catalogue);
    assert_eq!(detector.windows.len(), 0);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_disturbs_nobody() {
    let fake = FakeWorld::default();
    fake.add(fakes::container("a")).log("a", "one").add(fakes::container("b")).log("b", "two");
    fake.fail_next("logs", &Failure::TimedOut, 1);
    let facts = [fake.facts("a"), fake.facts("b")];
    let containers: Vec<_> = facts.iter().map(|f| (TargetId::container(&f.name), f)).collect();
    let read =
        read_logs(&fake.world(), &containers, &BTreeMap::new(), fake.clock().now()).await.logs;
    assert_eq!(read.len(), 1);
    let read =
        read_logs(&fake.world(), &containers, &BTreeMap::new(), fake.clock().now()).await.logs;
    assert_eq!(read.len(), 2);
}

#[tokio::test]
async fn the_first_read_takes_ten_minutes_and_the_next_only_what_is_new() {
    let fake = FakeWorld::default();
    fake.add(fakes::container("web")).log("web", "long ago");
    fake.clock().advance_secs(3600);
    fake.log("web", "lately");
    let facts = fake.facts("web");
    let containers = [(TargetId::container("web"), &facts)];
    let texts = |read: &BTreeMap<TargetId, LogBatch>| -> Vec<String> {
        read.values().flat_map(|b| &b.lines).map(|line| line.text.clone()).collect()
    };
    let read =
        read_logs(&fake.world(), &containers, &BTreeMap::new(), fake.clock().now()).await.logs;
    assert_eq!(texts(&read), ["lately"]);
    let cursor = read[&containers[0].0].cursor.unwrap();
    fake.clock().advance_secs(60);
    fake.log("web", "now");
    let cursors = BTreeMap::from([(facts.id.clone(), cursor)]);
    let read = read_logs(&fake.world(), &containers, &cursors, fake.clock().now()).await.logs;
    assert_eq!(texts(&read), ["now"]);
}

#[tokio::test]
async fn the_last_words_of_a_crashed_container_are_read_again_in_every_cycle() {
    let fake = FakeWorld::default();
    fake.add(fakes::container("web")).log("web", "bad config").crash("web", 1);
    fake.clock().advance_secs(3 * 3600);
    let facts = fake.facts("web");
    let containers = [(TargetId::container("web"), &facts)];
    let cursor = LogCursor { at: fake.world().clock.now(), seen_at: 0 };
    let cursors = BTreeMap::from([(facts.id.clone(), cursor)]);
    let read = read_logs(&fake.world(), &containers, &cursors, fake.clock().now()).await.logs;
    assert_eq!(read[&containers[0].0].lines.len(), 1);
}

/// Who writes a line, and in which container.
mod sides;

/// What changed runbooks make of lines that were counted before.
mod reload;

/// What shows that a trouble told of in a log is over.
mod over;
