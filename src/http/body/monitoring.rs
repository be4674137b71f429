//! Bodies of `/health` and `/api/monitoring/*`.

use chrono::{TimeDelta, Utc};
use schemars::JsonSchema;
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{
    Backup, BackupId, BackupMetadata, Mode, ObservedValue, TargetKind, Timestamp, Verdict, clean,
};
use serde::{Deserialize, Serialize};

use crate::coordinator::{CycleReport, Freeze, Standing, TargetSummary};

/// Whether the program itself works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnHealth {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// Always `automation-service`.
    pub service: String,
    /// The program's version.
    pub version: String,
    /// Whether triggers are taken and handled.
    pub message_handler_running: bool,
    /// What is wrong, if something is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Whether starting it again would help: a cycle does not end, or a loop stands still.
    #[serde(default)]
    pub hangs: bool,
    /// How the signs of life to a dead-man's switch fare, where one is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<String>,
    /// Why it has no part in its fleet now, where that is so; it heals its own host all the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fleet: Option<String>,
    /// Which parts of it were begun anew since the start, after a fault of its own.
    #[serde(default)]
    pub restarted: Vec<Restarted>,
}

/// A part of the program that was begun anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restarted {
    /// Which.
    pub part: String,
    /// How often.
    pub times: u64,
}

impl OwnHealth {
    /// The health, given what is wrong with the store and what keeps triggers from being
    /// handled, if anything.
    pub fn new(store: Option<String>, handler: Option<String>) -> Self {
        let message_handler_running = handler.is_none();
        let faults: Vec<String> = store.into_iter().chain(handler).collect();
        Self {
            status: if faults.is_empty() { "healthy" } else { "unhealthy" }.to_owned(),
            service: "automation-service".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            message_handler_running,
            detail: (!faults.is_empty()).then(|| faults.join("; ")),
            hangs: false,
            heartbeat: None,
            fleet: None,
            restarted: vec![],
        }
    }

    /// Whether it works.
    pub fn is_healthy(&self) -> bool {
        self.detail.is_none()
    }
}

/// How well one kind of thing is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// There is none; it does not count.
    NotConfigured,
    /// All is well.
    Healthy,
    /// It could not be seen.
    Unknown,
    /// Worth a look.
    Warning,
    /// Broken.
    Critical,
}

impl From<Verdict> for CheckStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Healthy,
            Verdict::Unknown => Self::Unknown,
            Verdict::Warning => Self::Warning,
            Verdict::Critical => Self::Critical,
        }
    }
}

/// All targets of one kind together. Of a kind that is watched every figure is named, and `null`
/// where it could not be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindHealth {
    /// The worst of them.
    pub status: CheckStatus,
    /// Databases: the slowest answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<Option<f64>>,
    /// HTTP: the slowest answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_time_ms: Option<Option<f64>>,
    /// Docker: how many containers run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub containers_running: Option<usize>,
    /// Docker: how many containers there are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub containers_total: Option<usize>,
    /// Redis: whether every server answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connected: Option<bool>,
    /// Host: used processor time, percent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_percent: Option<Option<f64>>,
    /// Host: used memory, percent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_percent: Option<Option<f64>>,
}

/// The kinds of things that are checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// PostgreSQL, MySQL and MariaDB servers.
    pub database: KindHealth,
    /// The container runtime and its containers.
    pub docker: KindHealth,
    /// HTTP endpoints.
    pub api: KindHealth,
    /// Redis servers.
    pub redis: KindHealth,
    /// TCP endpoints.
    pub tcp: KindHealth,
    /// The machine.
    pub host: KindHealth,
}

/// How well everything watched is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `healthy`, `warning` or `critical`.
    pub overall_status: CheckStatus,
    /// By kind.
    pub checks: Checks,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl Health {
    /// Sums up the last look at every target.
    pub fn of(standing: &Standing) -> Self {
        let kind = |kind| KindHealth::of(&standing.targets, &[kind]);
        let mut docker = kind(TargetKind::Container);
        if standing.runtime_connected {
            docker.status = docker.status.max(CheckStatus::Healthy);
        } else {
            docker.status = CheckStatus::Critical;
        }
        let checks = Checks {
            database: KindHealth::of(&standing.targets, &DATABASES),
            docker,
            api: kind(TargetKind::Http),
            redis: kind(TargetKind::Redis),
            tcp: kind(TargetKind::Tcp),
            host: kind(TargetKind::Host),
        };
        let Checks { database, docker, api, redis, tcp, host } = &checks;
        let worst = [database, docker, api, redis, tcp, host]
            .into_iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(CheckStatus::Unknown);
        let overall_status = match worst {
            CheckStatus::Healthy | CheckStatus::NotConfigured => CheckStatus::Healthy,
            // Not being able to see is no health, but nothing is known to be broken.
            CheckStatus::Unknown | CheckStatus::Warning => CheckStatus::Warning,
            CheckStatus::Critical => CheckStatus::Critical,
        };
        Self { overall_status, checks, blind: standing.blind.clone() }
    }
}

const DATABASES: [TargetKind; 2] = [TargetKind::Postgres, TargetKind::Mysql];

impl KindHealth {
    fn of(targets: &[TargetSummary], kinds: &[TargetKind]) -> Self {
        let ours = targets.iter().filter(|t| kinds.contains(&t.id.kind()));
        let targets: Vec<&TargetSummary> = ours.collect();
        let status = targets
            .iter()
            .map(|t| CheckStatus::from(t.verdict))
            .max()
            .unwrap_or(CheckStatus::NotConfigured);
        let largest = |check: &str| largest(&targets, check);
        let words = |check: &str, wanted: &[&str]| count(&targets, check, wanted);
        let some = !targets.is_empty();
        let on = |kind: TargetKind| some && kinds.contains(&kind);
        let containers = kinds.contains(&TargetKind::Container);
        Self {
            status,
            latency_ms: on(TargetKind::Postgres).then(|| {
                let each = [largest("postgres.latency"), largest("mysql.latency")];
                each.into_iter().flatten().reduce(f64::max)
            }),
            response_time_ms: on(TargetKind::Http).then(|| largest("http.latency")),
            containers_running: containers
                .then(|| words("container.state", &["running", "starting", "paused"])),
            containers_total: containers.then_some(targets.len()),
            connected: on(TargetKind::Redis)
                .then(|| words("redis.reachable", &["ok"]) == targets.len()),
            cpu_percent: on(TargetKind::Host).then(|| largest("host.cpu")),
            memory_percent: on(TargetKind::Host).then(|| largest("host.memory")),
        }
    }
}

fn observed<'a>(
    targets: &'a [&'a TargetSummary],
    check: &'a str,
) -> impl Iterator<Item = &'a ObservedValue> {
    targets.iter().flat_map(|t| &t.observations).filter(move |o| o.check == check).map(|o| &o.value)
}

fn largest(targets: &[&TargetSummary], check: &str) -> Option<f64> {
    observed(targets, check)
        .filter_map(|value| match value {
            ObservedValue::Number(number) => Some(*number),
            _ => None,
        })
        .max_by(f64::total_cmp)
}

fn count(targets: &[&TargetSummary], check: &str, wanted: &[&str]) -> usize {
    observed(targets, check)
        .filter(
            |value| matches!(value, ObservedValue::Text(text) if wanted.contains(&text.as_str())),
        )
        .count()
}

/// How far Selfheal goes by itself now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutonomousMode {
    /// It acts when every guard agrees.
    Enabled,
    /// It asks a person for each fix.
    Approve,
    /// It reports what it would have done.
    Observe,
    /// A person stopped all automatic fixes for a while, or Selfheal itself because too many
    /// failed.
    Frozen,
}

impl AutonomousMode {
    /// The mode in force: a freeze of everything outweighs the settings.
    pub fn of(standing: &Standing) -> Self {
        if standing.freezes.iter().any(|freeze| freeze.target.is_none()) {
            return Self::Frozen;
        }
        match standing.mode {
            Mode::Auto => Self::Enabled,
            Mode::Approve => Self::Approve,
            Mode::Observe => Self::Observe,
        }
    }
}

/// Where Selfheal stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// How far it goes by itself now.
    pub autonomous_mode: AutonomousMode,
    /// When the last cycle ended.
    pub last_check: Option<Timestamp>,
    /// The next slot of the schedule.
    pub next_check: Option<Timestamp>,
    /// What became of fixes.
    pub fix_statistics: Statistics,
    /// The newest backups, at most five.
    pub recent_backups: Vec<BackupRow>,
    /// Minutes between two slots of the schedule.
    pub check_interval_minutes: f64,
    /// Freezes in force.
    pub freezes: Vec<Freeze>,
    /// Fixes being applied.
    pub applying: usize,
    /// Validation windows running.
    pub validating: usize,
    /// Whether the container runtime answers.
    pub runtime_connected: bool,
    /// How many targets are watched.
    pub targets: usize,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl Status {
    /// Puts together what the coordinator, history and backups say.
    pub fn of(standing: &Standing, fix_statistics: Statistics, backups: &[Backup]) -> Self {
        Self {
            autonomous_mode: AutonomousMode::of(standing),
            last_check: standing.last_check,
            next_check: standing.next_check,
            fix_statistics,
            recent_backups: backups.iter().map(BackupRow::from).collect(),
            check_interval_minutes: standing.check_interval_minutes,
            freezes: standing.freezes.clone(),
            applying: standing.applying,
            validating: standing.validating,
            runtime_connected: standing.runtime_connected,
            targets: standing.targets.len(),
            blind: standing.blind.clone(),
        }
    }
}

/// What a cycle asked for by a person saw and decided: the report, with the two fields
/// that the contract names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// How many findings.
    pub issues: usize,
    /// When the cycle began.
    pub timestamp: Timestamp,
    /// The whole report.
    #[serde(flatten)]
    pub report: CycleReport,
}

impl From<CycleReport> for Checked {
    fn from(report: CycleReport) -> Self {
        let issues = report.findings.iter().filter(|finding| finding.is_trouble()).count();
        Self { issues, timestamp: report.started_at, report }
    }
}

/// One backup in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRow {
    /// Its name, such as `backup_20251019_170000`.
    pub backup_id: String,
    /// When it was made, such as `20251019_170000`, in UTC.
    pub timestamp: String,
    /// The same as a time.
    pub at: Timestamp,
    /// Paths of the files in it.
    pub files: Vec<String>,
    /// Why it was made.
    pub metadata: BackupMetadata,
}

impl From<&Backup> for BackupRow {
    fn from(backup: &Backup) -> Self {
        let id: &BackupId = &backup.id;
        Self {
            backup_id: id.to_string(),
            timestamp: id.stamp().to_owned(),
            at: backup.at.with_timezone(&Utc),
            files: backup.files().into_iter().map(str::to_owned).collect(),
            metadata: BackupMetadata {
                reason: backup.reason.clone(),
                confidence: backup.confidence,
                incident_id: backup.incident,
                target: backup.target.clone(),
                rolled_back_at: backup.rolled_back_at,
            },
        }
    }
}

/// Backups, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupList {
    /// The backups.
    pub backups: Vec<BackupRow>,
    /// How many.
    pub total: usize,
}

/// What a cycle is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckRequest {
    /// Only this target and what it depends on; everything without it.
    pub target: Option<selfheal_agents::model::TargetId>,
    /// Decide, but apply nothing.
    pub dry_run: bool,
}

/// A freeze that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeRequest {
    /// How long, such as `30m` or `2h`; until it is ended by hand without it.
    #[serde(rename = "for")]
    #[schemars(regex(
        pattern = r"^([1-9][0-9]{0,3} ?[smh]|([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]) ?d)$"
    ))]
    pub duration: Option<String>,
    /// Only this target; everything without it.
    pub target: Option<selfheal_agents::model::TargetId>,
    /// Why.
    pub reason: Option<String>,
}

/// The longest freeze that ends by itself.
const LONGEST_FREEZE: TimeDelta = TimeDelta::days(366);

impl FreezeRequest {
    /// When it ends; `None` if a person must end it. The error says what a length looks like.
    pub fn until(&self, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.duration.as_deref() else {
            return Ok(None);
        };
        let length = humantime::parse_duration(text.trim())
            .ok()
            .and_then(|length| TimeDelta::from_std(length).ok())
            .filter(|length| (TimeDelta::nanoseconds(1)..=LONGEST_FREEZE).contains(length));
        length.map(|length| Some(now + length)).ok_or_else(|| {
            let text = clean(text, 40);
            format!("`{text}` is no length of time such as 30m, 2h or 1d, at most a year")
        })
    }

    /// Why, cleaned; a person need not say.
    pub fn reason(&self) -> String {
        clean(self.reason.as_deref().unwrap_or("asked for by a person"), 300)
    }
}

impl FreezeState {
    /// What a freeze means, and what is frozen now.
    pub fn frozen(freeze: &Freeze, freezes: Vec<Freeze>) -> Self {
        let what = freeze.target.as_ref();
        let what = what.map_or_else(|| "all targets".to_owned(), |t| format!("`{t}`"));
        let until = freeze.until.map_or_else(
            || "until it is ended by hand (selfheal unfreeze)".to_owned(),
            |until| format!("until {}", until.format("%Y-%m-%d %H:%M UTC")),
        );
        Self { message: format!("No automatic fixes of {what} {until}"), freezes }
    }

    /// What the end of a freeze means, and what is frozen still.
    pub fn ended(was_frozen: bool, freezes: Vec<Freeze>) -> Self {
        let message = if was_frozen { "Automatic fixes go on" } else { "Nothing was frozen" };
        Self { message: message.to_owned(), freezes }
    }
}

/// What a freeze call did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeState {
    /// What was done, in words.
    pub message: String,
    /// Freezes in force now.
    pub freezes: Vec<Freeze>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_has_a_length_a_person_would_write() {
        let now = chrono::Utc::now();
        let until = |text: &str| {
            FreezeRequest { duration: Some(text.to_owned()), ..FreezeRequest::default() }.until(now)
        };
        assert_eq!(until("30m"), Ok(Some(now + TimeDelta::minutes(30))));
        assert_eq!(until(" 1d 2h "), Ok(Some(now + TimeDelta::hours(26))));
        for wrong in ["", "0s", "soon", "-5m", "3000d", "999999999999999999999y"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
        assert_eq!(FreezeRequest::default().until(now), Ok(None));
    }
}
