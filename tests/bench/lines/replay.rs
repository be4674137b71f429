//! Lets one container write lines over days, and the error detector look every five minutes.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use selfheal_agents::error_detector::{Catalogue, ErrorDetector, KnownLines};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, Facts, Finding, HealthReport, LogBatch, LogCursor, LogLine,
    LogStream, MemoryLimits, MountFacts, Observation, ObservedValue, RestartPolicy, Runbook,
    RuntimeEvent, RuntimeEventKind, Target, TargetId, TargetKind, TargetReport, TargetState,
    Timestamp, Verdict,
};

use crate::set::Healthy;

/// Days that each healthy program is watched ...
pub(crate) const DAYS: u32 = 3;
/// ... so many times, with other lines common each time ...
pub(crate) const RUNS: u64 = 3;
/// ... and so many lines a minute.
const LINES_A_MINUTE: u32 = 20;
/// Minutes between two looks.
const CYCLE: u32 = 5;
const NAME: &str = "program";

/// One container and the detector that listens to it.
pub(crate) struct Replay {
    detector: ErrorDetector,
    container: ContainerFacts,
    /// The data service in the container, if runbooks know its kind.
    service: Option<TargetKind>,
    events: Vec<RuntimeEvent>,
    lines: Vec<LogLine>,
    now: Timestamp,
}

impl Replay {
    /// A container that has run for a while, and fits what a runbook is about.
    pub(crate) fn of_runbook(runbook: &Runbook) -> Self {
        let applies = &runbook.applies;
        let image = applies.images.first().map_or(runbook.technology.as_str(), String::as_str);
        let mut replay = Self::new(image, applies.kinds.first().copied());
        replay.container.exposed_ports.clone_from(&applies.ports);
        replay
    }

    /// A container of a program, made now.
    pub(crate) fn of_program(program: &Healthy) -> Self {
        let service = match program.technology.as_str() {
            "postgresql" => Some(TargetKind::Postgres),
            "redis" => Some(TargetKind::Redis),
            "nginx" | "apache" | "caddy" | "haproxy" => Some(TargetKind::Http),
            _ => None,
        };
        let image = match program.technology.as_str() {
            "postgresql" => "postgres",
            "mysql" => "mariadb",
            "apache" => "httpd",
            same => same,
        };
        Self::new(image, service)
    }

    fn new(image: &str, service: Option<TargetKind>) -> Self {
        let now = Timestamp::from_timestamp(1_767_268_800, 0).expect("the number is a valid time");
        let mut detector = ErrorDetector::default();
        detector.listen(TargetId::container(NAME), None);
        let container = container(image, now - TimeDelta::hours(1));
        Self { detector, container, service, events: vec![], lines: vec![], now }
    }

    /// Gives the detector what it learnt of such a program before.
    pub(crate) fn knows(&mut self, known: KnownLines) {
        // What was learnt is of the days before, of the same image.
        self.now += TimeDelta::days(i64::from(DAYS)) + TimeDelta::hours(2);
        self.container = container(&self.container.image, self.now - TimeDelta::days(1));
        IMAGE_ID.clone_into(&mut self.container.image_id);
        self.detector.listen(TargetId::container(NAME), Some(known));
    }

    /// What the detector has learnt of it.
    pub(crate) fn learnt(&mut self) -> KnownLines {
        let due = self.detector.known_lines(self.now + TimeDelta::hours(2));
        due.into_iter().next().expect("it listens to one container").1
    }

    /// Writes a line now.
    pub(crate) fn write(&mut self, text: &str) {
        let line = LogLine { at: self.now, stream: LogStream::Stderr, text: text.to_owned() };
        self.lines.push(line);
        self.now += TimeDelta::milliseconds(50);
    }

    /// One cycle over the new lines.
    pub(crate) fn look(&mut self, catalogue: &Catalogue) -> Vec<Finding> {
        self.now += TimeDelta::seconds(1);
        let lines = std::mem::take(&mut self.lines);
        let cursor = lines.last().map(|last| LogCursor { at: last.at, seen_at: 1 });
        let batch = LogBatch { lines, cursor, dropped: 0 };
        let logs = BTreeMap::from([(TargetId::container(NAME), batch)]);
        self.detector.detect(&self.report(), &logs, catalogue)
    }

    /// Lives the days of a program that is well: forms of its lines come at random, few of them
    /// often and most seldom, so that many come for the first time when others are usual already;
    /// after each day it is restarted and writes its whole log in order. Returns how many lines
    /// were written.
    pub(crate) fn live(
        &mut self,
        program: &Healthy,
        seed: u64,
        mut look: impl FnMut(&mut Self),
    ) -> usize {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let common = dice.order(program.lines.len());
        let mut written = 0;
        for minute in 0..DAYS * 24 * 60 {
            let end = self.now + TimeDelta::minutes(1);
            if minute > 0 && minute % (24 * 60) == 0 {
                self.restarts();
                for line in &program.lines {
                    self.write(&dice.with_other_numbers(line));
                }
                written += program.lines.len();
            }
            for _ in 0..LINES_A_MINUTE {
                let line = &program.lines[common[dice.seldom(common.len())]];
                self.write(&dice.with_other_numbers(line));
                self.now += TimeDelta::seconds(2);
                written += 1;
            }
            self.now = self.now.max(end);
            if minute % CYCLE == CYCLE - 1 {
                look(self);
            }
        }
        written
    }

    fn restarts(&mut self) {
        let event = |at, kind| RuntimeEvent {
            at,
            target: TargetId::container(NAME),
            kind,
            by_selfheal: false,
        };
        let stop = RuntimeEventKind::Kill { signal: "15".to_owned() };
        self.events = vec![
            event(self.now - TimeDelta::seconds(5), stop),
            event(self.now, RuntimeEventKind::Start),
        ];
        self.container.started_at = Some(self.now);
    }

    fn report(&self) -> HealthReport {
        let id = TargetId::container(NAME);
        let facts = Facts::Container(Box::new(self.container.clone()));
        let mut targets = vec![self.is_well(Target::bare(id), Ok(facts))];
        if let Some(kind) = self.service.filter(|kind| *kind != TargetKind::Container) {
            let mut target = Target::bare(TargetId::lossy(kind, NAME));
            target.container = (kind != TargetKind::Host).then(|| NAME.to_owned());
            targets.push(self.is_well(target, Err("not asked".to_owned())));
        }
        HealthReport { at: self.now, targets, ..HealthReport::default() }
    }

    fn is_well(&self, target: Target, facts: Result<Facts, String>) -> TargetReport {
        let observation = Observation {
            target: target.id.clone(),
            check: "container.state".to_owned(),
            value: ObservedValue::Text("running".to_owned()),
            unit: String::new(),
            verdict: Verdict::Ok,
            detail: String::new(),
            at: self.now,
            since: self.now,
        };
        let state = TargetState { target, facts, events: self.events.clone(), at: self.now };
        TargetReport { state, observations: vec![observation] }
    }
}

const IMAGE_ID: &str = "sha256:image";

/// A running container that reads the host's log and works with the engine, so that no runbook
/// is left out for where its lines come from.
fn container(image: &str, started: Timestamp) -> ContainerFacts {
    let mount = |path: &str| MountFacts {
        bind: true,
        source: path.to_owned(),
        destination: path.to_owned(),
        writable: false,
    };
    ContainerFacts {
        id: "id".to_owned(),
        name: NAME.to_owned(),
        image: image.to_owned(),
        image_id: IMAGE_ID.to_owned(),
        created_at: Some(started),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        command: selfheal_agents::model::SecretText::default(),
        pid: None,
        status: ContainerStatus::Running,
        exit_code: None,
        oom_killed: false,
        start_error: String::new(),
        started_at: Some(started),
        finished_at: None,
        restart_policy: RestartPolicy::No,
        restart_count: 0,
        health: None,
        health_log: vec![],
        health_check: None,
        limits: MemoryLimits::default(),
        cpu_limit_nanos: None,
        usage: None,
        log_disks: vec![],
        networks: vec![],
        network_mode: "app".to_owned(),
        mounts: vec![mount("/var/log"), mount("/var/run/docker.sock")],
        exposed_ports: vec![],
        published_ports: vec![],
        reached_at: vec![],
        tty: false,
        stop_timeout_secs: None,
        stop_signal: None,
    }
}

/// Numbers at random, the same in every run: xorshift (Marsaglia, Journal of Statistical
/// Software 8(14), 2003).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// The numbers up to `end` in some order.
    fn order(&mut self, end: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..end).collect();
        for at in (1..end).rev() {
            order.swap(at, self.below(at + 1));
        }
        order
    }

    /// A number below `end`; each about as often as one by its place, as words come in texts.
    fn seldom(&mut self, end: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let place = (end as f64 + 1.0).powf(unit) as usize;
        place.saturating_sub(1).min(end - 1)
    }

    /// The line with the last two digits of each long number changed.
    fn with_other_numbers(&mut self, line: &str) -> String {
        let mut bytes = line.as_bytes().to_vec();
        let mut run = 0;
        for at in 0..=bytes.len() {
            if bytes.get(at).is_some_and(u8::is_ascii_digit) {
                run += 1;
                continue;
            }
            if run >= 4 {
                for place in [at - 1, at - 2] {
                    bytes[place] = b'0' + u8::try_from(self.below(10)).unwrap_or(0);
                }
            }
            run = 0;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
