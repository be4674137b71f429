//! What was seen, logged and remembered in an incident, read from its file and brought into the
//! form in which the agents get it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use selfheal_agents::error_detector::{Catalogue, ErrorDetector};
use selfheal_agents::fakes::{self, FakeWorld};
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::fix_engineer::plan::{Limits, Workshop};
use selfheal_agents::fix_engineer::remembered::{GoodFile, Remembered};
use selfheal_agents::model::{
    ApplyMethod, Change, ChangeKind, DatabaseEndpoint, DatabaseFacts, Dependency, DependencySource,
    Diagnosis, Difference, Endpoint, Facts, Finding, HealthReport, HostFacts, LogBatch, LogFile,
    LogFolder, LogLine, LogStream, LogSurvey, NeighbourSeen, Observation, ObservedValue,
    RedisFacts, Runbook, SinceWell, Target, TargetId, TargetKind, TargetReport, TargetState,
    Timestamp, Tunable, TunableRole, Verdict,
};
use selfheal_agents::ports::World;
use selfheal_agents::root_cause::{Evidence, Graph, by_target, diagnose};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The highest memory limit that a fix may set, in bytes.
const MEMORY_CAP_BYTES: u64 = 4 << 30;

/// What an incident's file says beside what is expected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scene {
    #[serde(rename = "target")]
    targets: Vec<Seen>,
    #[serde(rename = "need", default)]
    needs: Vec<Dependency>,
    #[serde(rename = "log", default)]
    logs: Vec<Logged>,
    #[serde(rename = "change", default)]
    changes: Vec<Changed>,
    #[serde(rename = "file", default)]
    files: Vec<File>,
    #[serde(rename = "log_folder", default)]
    log_folders: Vec<Survey>,
}

/// One target with what its checks said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    id: TargetId,
    /// The container it stands for.
    container: Option<String>,
    /// In what its facts are not those of an ordinary target of its kind.
    facts: Option<toml::Table>,
    /// What checks said, by name.
    #[serde(default)]
    sees: BTreeMap<String, (ObservedValue, Verdict)>,
    /// Whether it was healthy before, since it was made.
    #[serde(default)]
    was_healthy: bool,
    /// In what it differs from the container that worked before it, if it was made anew.
    #[serde(default)]
    differs: BTreeSet<Difference>,
    /// Whether it was never seen to work since then.
    #[serde(default)]
    never_well: bool,
    #[serde(default)]
    tunables: Vec<Knob>,
    /// Its configuration files as it last worked with them.
    #[serde(default)]
    good_files: Vec<File>,
    /// The networks it was on when it last worked.
    #[serde(default)]
    good_networks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knob {
    file: String,
    key: String,
    role: TunableRole,
    min: f64,
    max: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Logged {
    container: String,
    /// How long ago.
    before_secs: i64,
    text: String,
    #[serde(default = "once")]
    times: usize,
}

const fn once() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    container: String,
    kind: ChangeKind,
    /// How long ago.
    before_secs: i64,
    what: String,
}

/// What is in a folder of logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Survey {
    /// The folder on the host.
    root: String,
    total_bytes: u64,
    available_bytes: u64,
    files: Vec<LogFile>,
}

/// What the agents get to see of a scene.
pub(super) struct Shown<'a> {
    report: HealthReport,
    findings: Vec<Finding>,
    graph: Graph,
    runbooks: Vec<&'a Runbook>,
    targets: BTreeMap<TargetId, Target>,
    proven: BTreeSet<TargetId>,
    changes: Vec<Change>,
    since_well: BTreeMap<TargetId, SinceWell>,
    onsets: BTreeMap<TargetId, Timestamp>,
    neighbours: BTreeMap<TargetId, NeighbourSeen>,
}

impl Scene {
    /// What health monitor and error detector hand on.
    pub(super) fn seen<'a>(&self, catalogue: &'a Catalogue) -> Shown<'a> {
        let report = self.report();
        let findings = ErrorDetector::default().detect(&report, &self.logs(), catalogue);
        let findings = by_target(&findings);
        let targets = report.targets.iter().map(|t| (t.id().clone(), t.state.target.clone()));
        let proven = self.targets.iter().filter(|seen| seen.was_healthy);
        Shown {
            findings,
            graph: Graph::new(&self.needs()),
            runbooks: catalogue.iter().collect(),
            targets: targets.collect(),
            proven: proven.map(|seen| seen.id.clone()).collect(),
            changes: self.changes.iter().map(Changed::change).collect(),
            since_well: self.targets.iter().filter_map(Seen::since_well).collect(),
            onsets: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            report,
        }
    }

    fn report(&self) -> HealthReport {
        let at = fakes::start_time();
        let targets = self.targets.iter().map(|seen| seen.report(at)).collect();
        HealthReport { at, targets, ..HealthReport::default() }
    }

    /// Those of the file, and what follows from who runs in what: a service needs its container,
    /// and who needs that needs the service.
    fn needs(&self) -> Vec<Dependency> {
        let mut needs = self.needs.clone();
        for seen in &self.targets {
            let Some(container) = seen.container.as_deref().map(TargetId::container) else {
                continue;
            };
            let is_data = seen.id.kind().is_data_service();
            let meant = self.needs.iter().filter(|need| is_data && need.to == container);
            needs.extend(meant.map(|need| Dependency { to: seen.id.clone(), ..need.clone() }));
            let (from, source) = (seen.id.clone(), DependencySource::Hosting);
            needs.push(Dependency { from, to: container, source });
        }
        needs
    }

    fn logs(&self) -> BTreeMap<TargetId, LogBatch> {
        let mut logs = BTreeMap::<TargetId, LogBatch>::new();
        for logged in &self.logs {
            let id = TargetId::container(&logged.container);
            assert!(self.targets.iter().any(|seen| seen.id == id), "no {id} writes a log");
            let line = LogLine {
                at: before(logged.before_secs),
                stream: LogStream::Stderr,
                text: logged.text.clone(),
            };
            logs.entry(id).or_default().lines.extend(std::iter::repeat_n(line, logged.times));
        }
        logs
    }

    /// The world that the fixes are planned in.
    pub(super) fn world(&self) -> FakeWorld {
        let world = FakeWorld::default();
        for seen in &self.targets {
            if let Ok(Facts::Container(facts)) = seen.facts() {
                world.add(*facts);
            }
        }
        for file in &self.files {
            world.file(&file.path, &file.text);
        }
        for seen in &self.log_folders {
            let folder = LogFolder { root: seen.root.clone(), below: String::new() };
            let Survey { total_bytes, available_bytes, .. } = *seen;
            let files = seen.files.clone();
            world.logs_in(&folder, LogSurvey { total_bytes, available_bytes, files });
        }
        world
    }

    /// What is remembered of a container from when it worked.
    pub(super) fn remembered_of(&self, id: &TargetId) -> Remembered {
        let mut remembered = Remembered::default();
        let Some(seen) = self.targets.iter().find(|seen| seen.id == *id) else {
            return remembered;
        };
        for file in &seen.good_files {
            remembered.saw(GoodFile {
                path: file.path.clone(),
                content: file.text.clone(),
                sha256: sha256(file.text.as_bytes()),
                seen_at: before(3600),
                proven: true,
            });
        }
        let network = |name: &String| fakes::network(name, id.name());
        remembered.networks = seen.good_networks.iter().map(network).collect();
        remembered
    }
}

impl Seen {
    fn since_well(&self) -> Option<(TargetId, SinceWell)> {
        let known = SinceWell { differs: self.differs.clone(), never_well: self.never_well };
        (known != SinceWell::default()).then(|| (self.id.clone(), known))
    }

    fn report(&self, at: Timestamp) -> TargetReport {
        let state = TargetState { target: self.target(), facts: self.facts(), events: vec![], at };
        let observation =
            |(check, (value, verdict)): (&String, &(ObservedValue, Verdict))| Observation {
                target: self.id.clone(),
                check: check.clone(),
                value: value.clone(),
                unit: String::new(),
                verdict: *verdict,
                detail: format!("{check} is {value}"),
                at,
                since: at,
            };
        TargetReport { state, observations: self.sees.iter().map(observation).collect() }
    }

    fn target(&self) -> Target {
        let mut target = Target::bare(self.id.clone());
        target.container.clone_from(&self.container);
        target.endpoint = endpoint(&self.id);
        target.tunables = self.tunables.iter().map(|knob| knob.tunable(&self.id)).collect();
        target
    }

    /// Those of an ordinary target of its kind, with what the file says otherwise.
    fn facts(&self) -> Result<Facts, String> {
        let unlike = self.facts.as_ref();
        Ok(match self.id.kind() {
            TargetKind::Container => {
                let ordinary = fakes::container(self.id.name());
                Facts::Container(Box::new(with(&ordinary, unlike)))
            }
            TargetKind::Host => Facts::Host(with(&HostFacts::default(), unlike)),
            TargetKind::Postgres => Facts::Postgres(with(&DatabaseFacts::default(), unlike)),
            TargetKind::Mysql => Facts::Mysql(with(&DatabaseFacts::default(), unlike)),
            TargetKind::Redis => Facts::Redis(with(&RedisFacts::default(), unlike)),
            TargetKind::Http | TargetKind::Tcp => return Err("its checks say it all".to_owned()),
        })
    }
}

/// `ordinary` with other values for some of its fields. Panics at one it does not have.
fn with<T: Serialize + DeserializeOwned>(ordinary: &T, unlike: Option<&toml::Table>) -> T {
    let mut facts = serde_json::to_value(ordinary).unwrap();
    for (name, value) in unlike.into_iter().flatten() {
        let field = facts.get_mut(name).unwrap_or_else(|| panic!("there is no fact `{name}`"));
        *field = serde_json::to_value(value).unwrap();
    }
    serde_json::from_value(facts).unwrap()
}

fn endpoint(id: &TargetId) -> Option<Endpoint> {
    let database = |port| DatabaseEndpoint {
        host: id.name().to_owned(),
        port,
        user: None,
        password: None,
        database: None,
        tls: false,
    };
    match id.kind() {
        TargetKind::Postgres => Some(Endpoint::Postgres(database(5432))),
        TargetKind::Mysql => Some(Endpoint::Mysql(database(3306))),
        TargetKind::Redis => Some(Endpoint::Redis(database(6379))),
        _ => None,
    }
}

impl Knob {
    fn tunable(&self, target: &TargetId) -> Tunable {
        Tunable {
            target: target.clone(),
            file: self.file.clone(),
            key: self.key.clone(),
            role: self.role,
            min: self.min,
            max: self.max,
            apply: ApplyMethod::Restart,
            walk_back: false,
        }
    }
}

impl Changed {
    fn change(&self) -> Change {
        Change {
            at: before(self.before_secs),
            target: TargetId::container(&self.container),
            kind: self.kind,
            what: self.what.clone(),
            by_selfheal: false,
        }
    }
}

/// So many seconds before the look.
fn before(secs: i64) -> Timestamp {
    fakes::start_time() - TimeDelta::seconds(secs)
}

impl Shown<'_> {
    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            report: &self.report,
            findings: &self.findings,
            graph: &self.graph,
            runbooks: &self.runbooks,
            targets: &self.targets,
            proven: &self.proven,
            changes: &self.changes,
            since_well: &self.since_well,
            onsets: &self.onsets,
            neighbours: &self.neighbours,
            now: self.report.at,
        }
    }

    /// Everybody with whom something is wrong that a diagnosis has to speak of.
    pub(super) fn troubled(&self) -> impl Iterator<Item = &TargetId> {
        let findings = self.findings.iter().filter(|f| f.is_trouble() && !f.is_pattern());
        findings.map(|finding| &finding.target)
    }

    pub(super) fn diagnoses(&self) -> Vec<Diagnosis> {
        diagnose(self.evidence()).into_iter().map(|explained| explained.diagnosis).collect()
    }

    /// The bench on which fixes of a container are planned.
    pub(super) fn workshop<'b>(
        &'b self,
        world: &'b World,
        remembered: &'b Remembered,
    ) -> Workshop<'b> {
        let limits = Limits { memory_cap_bytes: MEMORY_CAP_BYTES };
        Workshop { world, evidence: self.evidence(), remembered, limits }
    }
}
