use std::collections::BTreeMap;

use chrono::Timelike as _;
use proptest::prelude::*;

use super::*;
use crate::error_detector::{Catalogue, ErrorDetector};
use crate::fakes::{container, start_time};
use crate::model::{
    ContainerFacts, Dependency, DependencySource, Facts, FindingSource, LogBatch, LogCursor,
    LogStream, Observation, ObservedValue, Oddity, RuntimeEvent, RuntimeEventKind, Severity,
    Target, TargetReport, TargetState, Verdict,
};

const INFO: &str = "2026-01-01 12:00:00 INFO served 17 orders";
const ODD: &str = "2026-01-01 12:00:00 ERROR the till does not open";

/// Containers whose lives are told minute by minute; a cycle looks at them every five.
struct Story {
    detector: ErrorDetector,
    containers: BTreeMap<String, ContainerFacts>,
    events: Vec<RuntimeEvent>,
    verdict: Verdict,
    now: Timestamp,
    lines: BTreeMap<String, Vec<LogLine>>,
}

impl Story {
    fn of(names: &[&str]) -> Self {
        let mut detector = ErrorDetector::default();
        for name in names {
            detector.listen(TargetId::container(name), None);
        }
        Self {
            detector,
            containers: names.iter().map(|name| ((*name).to_owned(), container(name))).collect(),
            events: vec![],
            verdict: Verdict::Ok,
            now: start_time(),
            lines: BTreeMap::new(),
        }
    }

    /// `web`, well for so many hours.
    fn web(hours: u32) -> Self {
        let mut story = Self::of(&["web"]);
        story.hours(hours, |_, _| vec![INFO.to_owned()]);
        story
    }

    fn write(&mut self, name: &str, text: &str) {
        let line = LogLine { at: self.now, stream: LogStream::Stderr, text: text.to_owned() };
        self.lines.entry(name.to_owned()).or_default().push(line);
    }

    /// Each container writes what `lines` says for an hour and a minute of it.
    fn hours(&mut self, hours: u32, lines: impl Fn(u32, u32) -> Vec<String>) -> Vec<Finding> {
        let mut found = vec![];
        for minute in 0..hours * 60 {
            let names: Vec<String> = self.containers.keys().cloned().collect();
            for text in lines(minute / 60, minute % 60) {
                for name in &names {
                    self.write(name, &text);
                }
            }
            self.now += TimeDelta::minutes(1);
            if minute % 5 == 4 {
                found.extend(self.look());
                self.now -= TimeDelta::seconds(1);
            }
        }
        found
    }

    fn report(&self) -> HealthReport {
        let of = |facts: &ContainerFacts| {
            let id = TargetId::container(&facts.name);
            let state = TargetState {
                target: Target::bare(id.clone()),
                facts: Ok(Facts::Container(Box::new(facts.clone()))),
                events: self.events.clone(),
                at: self.now,
            };
            let observation = Observation {
                target: id,
                check: "container.health".to_owned(),
                value: ObservedValue::Text("healthy".to_owned()),
                unit: String::new(),
                verdict: self.verdict,
                detail: String::new(),
                at: self.now,
                since: self.now,
            };
            TargetReport { state, observations: vec![observation] }
        };
        let targets = self.containers.values().map(of).collect();
        HealthReport { at: self.now, targets, ..HealthReport::default() }
    }

    fn look(&mut self) -> Vec<Finding> {
        let report = self.report();
        let logs = std::mem::take(&mut self.lines).into_iter().map(|(name, lines)| {
            let cursor = lines.last().map(|last| LogCursor { at: last.at, seen_at: 1 });
            (TargetId::container(&name), LogBatch { lines, cursor, dropped: 0 })
        });
        let found = self.detector.detect(&report, &logs.collect(), &Catalogue::default());
        self.now += TimeDelta::seconds(1);
        found.into_iter().filter(Finding::is_pattern).collect()
    }

    /// Selfheal ends and starts again, with what it had written down.
    fn selfheal_restarts(&mut self) {
        self.now += TimeDelta::hours(1);
        let kept = self.detector.known_lines(self.now);
        self.detector = ErrorDetector::default();
        for (id, known) in kept {
            let text = serde_json::to_string(&known).unwrap();
            self.detector.listen(id, Some(serde_json::from_str(&text).unwrap()));
        }
    }
}

fn only(findings: &[Finding]) -> &Finding {
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

fn patterns(finding: &Finding) -> &[String] {
    match &finding.source {
        FindingSource::Pattern { patterns, .. } => patterns,
        _ => panic!("{finding:?}"),
    }
}

#[test]
fn an_error_never_seen_before_is_noted_with_its_time_and_words() {
    let mut story = Story::web(2);
    story.write("web", ODD);
    story.now += TimeDelta::seconds(20);
    let findings = story.look();
    let finding = only(&findings);
    assert_eq!(finding.key, "container:web lines new");
    assert_eq!(finding.severity, Severity::Info);
    assert_eq!(
        finding.message,
        "since 14:00 UTC its log has a line never seen before: the till does not open (once)"
    );
    assert_eq!(finding.samples, [ODD]);
    story.now += TimeDelta::minutes(31);
    assert_eq!(story.look(), [], "and forgotten when it was long ago");
}

#[test]
fn what_is_written_while_it_is_learnt_is_no_news_then_or_later() {
    let mut story = Story::web(0);
    let learnt = story.hours(2, |hour, minute| {
        let both = hour == 0 && minute == 30;
        if both { vec![INFO.to_owned(), ODD.to_owned()] } else { vec![INFO.to_owned()] }
    });
    assert_eq!(learnt, []);
    story.write("web", ODD);
    assert_eq!(story.look(), []);
}

#[test]
fn what_a_sick_container_writes_is_not_learnt() {
    let mut story = Story::of(&["web"]);
    story.verdict = Verdict::Critical;
    assert_eq!(story.hours(3, |_, _| vec![ODD.to_owned()]), [], "nothing can be new yet");
    story.verdict = Verdict::Ok;
    story.now += TimeDelta::hours(1);
    story.hours(2, |_, _| vec![INFO.to_owned()]);
    story.write("web", ODD);
    let findings = story.look();
    assert!(only(&findings).message.contains("never seen while it was well"), "{findings:#?}");
}

#[test]
fn only_lines_that_tell_of_failure_can_be_odd() {
    for (line, odd) in [
        ("2026-01-01 12:00:00 INFO the error page was rendered, failed 0", false),
        ("2026-01-01 12:00:00 DEBUG cannot find the till", false),
        ("2026-01-01 12:00:00 WARN the till is slow", false),
        ("127.0.0.1 - - [01/Jan/2026:12:00:00 +0000] \"GET /error HTTP/1.1\" 200 3", false),
        ("the shop is open", false),
        ("2026-01-01 12:00:00 ERROR the till is stuck", true),
        ("{\"level\":\"fatal\",\"msg\":\"the till is stuck\"}", true),
        ("cannot open the till: permission denied", true),
        ("Traceback (most recent call last):", true),
    ] {
        let mut story = Story::web(2);
        story.write("web", line);
        assert_eq!(!story.look().is_empty(), odd, "{line}");
    }
}

#[test]
fn a_trace_is_one_line_and_names_what_was_raised() {
    let mut story = Story::web(2);
    for line in [
        "Traceback (most recent call last):",
        "  File \"till.py\", line 7, in <module>",
        "    open_till()",
        "TillError: it is stuck",
    ] {
        story.write("web", line);
    }
    let findings = story.look();
    assert!(only(&findings).message.contains("TillError"), "{findings:#?}");
}

#[test]
fn an_error_that_lasts_in_a_well_known_container_is_worth_more_than_a_note_and_only_once() {
    let mut story = Story::web(26);
    let every_minute = |_, _| vec![INFO.to_owned(), ODD.to_owned(), ODD.to_owned()];
    let first = story.hours(1, every_minute);
    assert!(first.iter().any(|finding| finding.severity == Severity::Warning), "{first:#?}");
    let quiet = story.hours(1, |_, _| vec![INFO.to_owned()]);
    assert!(quiet.last().is_some_and(|last| last.severity == Severity::Info), "it calmed down");
    let again = story.hours(1, every_minute);
    assert!(again.iter().all(|f| f.severity == Severity::Info), "somebody was told already");
    story.hours(26, every_minute);
    assert_eq!(story.look(), [], "what goes on for a day is usual");
}

#[test]
fn one_event_with_many_lines_and_what_only_sounds_bad_stay_notes() {
    let mut burst = Story::web(26);
    (0..200).for_each(|_| burst.write("web", ODD));
    assert_eq!(only(&burst.look()).severity, Severity::Info);
    let mut words = Story::web(26);
    let found = words.hours(1, |_, _| vec!["cannot open the till".to_owned(); 5]);
    assert!(!found.is_empty() && found.iter().all(|f| f.severity == Severity::Info));
}

#[test]
fn after_a_deploy_what_is_new_names_it_and_is_a_note_at_first() {
    let mut story = Story::web(26);
    let web = story.containers.get_mut("web").unwrap();
    web.image_id = "sha256:newer".to_owned();
    web.started_at = Some(story.now);
    story.now += TimeDelta::minutes(3);
    let mut severities = vec![];
    for _ in 0..6 {
        for _ in 0..5 {
            story.now += TimeDelta::minutes(1);
            (0..4).for_each(|_| story.write("web", ODD));
        }
        let findings = story.look();
        assert!(only(&findings).message.ends_with("; its image was changed at 14:00 UTC"));
        severities.push(findings[0].severity);
    }
    assert_eq!(severities[0], Severity::Info);
    assert_eq!(severities.last(), Some(&Severity::Warning), "but it does not go away");
}

#[test]
fn what_belongs_to_a_start_or_a_stop_is_no_news_unless_it_went_wrong() {
    let mut story = Story::web(2);
    let event = |at, kind| RuntimeEvent {
        at,
        target: TargetId::container("web"),
        kind,
        by_selfheal: false,
    };
    let stop = RuntimeEventKind::Kill { signal: "15".to_owned() };
    story.events.push(event(story.now, stop));
    story.write("web", "2026-01-01 12:00:00 ERROR 17 connections are cut off");
    story.now += TimeDelta::seconds(5);
    story.events.push(event(story.now, RuntimeEventKind::Start));
    story.containers.get_mut("web").unwrap().started_at = Some(story.now);
    story.write("web", "2026-01-01 12:00:00 ERROR the database is not there yet");
    story.now += TimeDelta::seconds(30);
    assert_eq!(story.look(), []);
    story.verdict = Verdict::Critical;
    let findings = story.look();
    assert!(only(&findings).message.contains("not there yet"), "{findings:#?}");
}

#[test]
fn names_and_numbers_do_not_make_a_known_line_new() {
    let mut story = Story::web(0);
    story.hours(2, |_, minute| {
        vec![format!("2026-01-01 12:00:00 ERROR order {minute} of shop.a{minute}.cart was refused")]
    });
    for line in [
        "2026-01-01 12:00:00 ERROR order 99999 of shop.b7.cart was refused",
        "2026-01-01 12:00:00 ERROR order 1 of shop.till was refused",
    ] {
        story.write("web", line);
        assert_eq!(story.look(), [], "{line}");
    }
    story.write("web", "2026-01-01 12:00:00 ERROR order 1 of shop.b7.cart was forgotten");
    only(&story.look());
}

#[test]
fn a_restart_of_selfheal_keeps_what_is_known_and_the_ids() {
    let mut story = Story::web(0);
    let names = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"];
    let refused = |name: &str| format!("2026-01-01 12:00:00 ERROR user {name} was refused");
    story.hours(2, |_, minute| vec![refused(names[minute as usize % 7])]);
    story.write("web", ODD);
    let before = story.look();
    story.selfheal_restarts();
    story.write("web", &refused("hal"));
    assert_eq!(story.look(), [], "the template was widened before");
    story.write("web", ODD);
    let after = story.look();
    assert_eq!(patterns(only(&before)), patterns(only(&after)));
    assert!(only(&after).message.contains("while it was well"), "{after:#?}");
}

#[test]
fn a_line_that_comes_far_more_often_than_usual_is_told_of() {
    let mut story = Story::web(0);
    let usual = |_, minute| {
        let mut lines = vec![INFO.to_owned()];
        lines.extend((minute % 20 == 0).then(|| ODD.to_owned()));
        lines
    };
    assert_eq!(story.hours(30, usual), []);
    let findings = story.hours(1, |_, _| vec![INFO.to_owned(), ODD.to_owned(), ODD.to_owned()]);
    let last = findings.last().unwrap();
    assert_eq!(last.key, "container:web lines rising");
    assert!(last.message.contains("3.0 an hour is usual"), "{}", last.message);
    let busy = |_, _| [vec![INFO.to_owned(); 60], vec![ODD.to_owned(); 3]].concat();
    let mut busier = Story::web(0);
    busier.hours(30, usual);
    assert_eq!(busier.hours(1, busy), [], "everything is busier");
}

#[test]
fn once_a_week_is_known_the_afternoon_is_not_measured_by_the_night() {
    let nightly = |from: u32| {
        move |hour: u32, minute: u32| {
            let night = (from + hour) % 24 == 3;
            let times = if night { 4 } else { usize::from(minute.is_multiple_of(20)) };
            [vec![INFO.to_owned()], vec![ODD.to_owned(); times]].concat()
        }
    };
    let first = start_time().hour();
    let more = |_, _| vec![INFO.to_owned(), ODD.to_owned(), ODD.to_owned()];
    for (days, told) in [(3, false), (8, true)] {
        let mut story = Story::web(0);
        assert_eq!(story.hours(days * 24, nightly(first)), [], "{days} days");
        let findings = story.hours(1, more);
        assert_eq!(!findings.is_empty(), told, "after {days} days: {findings:#?}");
    }
}

/// A word that differs from one number to the next.
fn letters(n: u32, length: usize) -> String {
    const LETTERS: [char; 8] = ['g', 'h', 'k', 'l', 'm', 'r', 's', 't'];
    (0..length).map(|k| LETTERS[(n >> k) as usize % 8]).collect()
}

#[test]
fn hostile_lines_cost_neither_memory_nor_alarms_without_end() {
    let mut story = Story::web(26);
    let word = |n: u32| letters(n.wrapping_mul(2_654_435_761), 12);
    for round in 0..30 {
        for n in 0..2_000 {
            let (one, other) = (word(round * 2_000 + n), word(n * 7 + round));
            story.write("web", &format!("2026-01-01 12:00:00 ERROR {one} has {other} lost"));
        }
        story.now += TimeDelta::minutes(5);
        let findings = story.look();
        assert!(round < 2 || findings.is_empty(), "nobody can tell what is new: {findings:#?}");
    }
    story.now += TimeDelta::hours(1);
    let kept = story.detector.known_lines(story.now);
    let text = serde_json::to_string(&kept[0].1).unwrap();
    assert!(text.len() < 48 * 1_200, "{}", text.len());
}

#[test]
fn a_known_line_stays_known_whatever_else_is_written() {
    let mut story = Story::web(0);
    story.hours(2, |_, _| vec![ODD.to_owned()]);
    for n in 0..2_000_u32 {
        let words = letters(n, 6);
        story.write("web", &format!("2026-01-01 12:00:00 ERROR {words} was lost"));
    }
    story.look();
    story.now += TimeDelta::hours(26);
    story.look();
    story.write("web", ODD);
    assert_eq!(story.look(), []);
}

fn needs(from: &str, to: &str) -> Dependency {
    let (from, to) = (TargetId::container(from), TargetId::container(to));
    Dependency { from, to, source: DependencySource::Label }
}

#[test]
fn what_begins_at_the_same_moment_names_what_is_shared() {
    let edges = [needs("api", "db"), needs("web", "db"), needs("db", "disk")];
    for (odd, shared) in [
        (&["api", "web"][..], Some("all of them need container:db")),
        (&["api", "db"], Some("all of them need container:db")),
        (&["api", "job"], None),
        (&["api", "job", "web"], Some("they share the network app")),
        (&["api"], None),
    ] {
        let mut story = Story::of(&["api", "db", "disk", "job", "web"]);
        story.hours(2, |_, _| vec![INFO.to_owned()]);
        for name in odd {
            story.write(name, ODD);
        }
        story.now += TimeDelta::seconds(30);
        assert_eq!(story.look().len(), odd.len());
        let found = story.detector.together(&story.report(), &Graph::new(&edges));
        assert_eq!(found.len(), usize::from(shared.is_some()), "{odd:?} {found:#?}");
        for finding in &found {
            assert_eq!(finding.severity, Severity::Info);
            assert!(finding.message.ends_with(shared.unwrap()), "{}", finding.message);
        }
    }
}

#[test]
fn what_begins_minutes_apart_is_not_together() {
    let mut story = Story::of(&["api", "web"]);
    story.hours(2, |_, _| vec![INFO.to_owned()]);
    story.write("api", ODD);
    story.now += TimeDelta::minutes(3);
    story.write("web", ODD);
    story.look();
    let edges = [needs("api", "db"), needs("web", "db")];
    assert_eq!(story.detector.together(&story.report(), &Graph::new(&edges)), []);
}

#[test]
fn oddities_have_the_words_of_the_keys() {
    for oddity in [Oddity::New, Oddity::Rising, Oddity::Together] {
        assert_eq!(serde_json::to_value(oddity).unwrap(), oddity.as_str());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written: no panic, bounds kept, secrets hidden, stored and read again alike.
    #[test]
    fn whatever_is_written_is_bounded_and_clean(
        lines in proptest::collection::vec("(ERROR |FATAL: |failed )?\\PC{0,80}", 0..200),
    ) {
        let mut story = Story::web(1);
        for line in &lines {
            story.write("web", line);
            story.write("web", "ERROR password=hunter22 was wrong");
        }
        story.now += TimeDelta::minutes(5);
        let findings = story.look();
        let shown = serde_json::to_string(&findings).unwrap();
        story.now += TimeDelta::hours(1);
        let kept = story.detector.known_lines(story.now);
        let text = serde_json::to_string(&kept[0].1).unwrap();
        prop_assert!(!shown.contains("hunter22") && !text.contains("hunter22"));
        prop_assert!(text.len() < 48 * 1_500);
        let read: KnownLines = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
