//! Every setting, typed. The doc comments are the reference: the JSON schema takes its
//! descriptions from them.
//!
//! A value of these types has passed the reader in this module's parent: it holds no
//! impossible value. It does not say where a value came from; `Loaded` does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use selfheal_agents::health_monitor::Thresholds;
use selfheal_agents::model::{Autonomy, Mode, TargetId};
use serde::{Deserialize, Serialize};

use super::channels::Alerts;
use super::commands::CommandSettings;
use super::declared::{DependencySettings, TargetSettings, TunableSettings};
use super::engines::Engine;
use super::fleet::Fleet;
use super::heartbeat::Heartbeat;
use super::streams::Streams;
use super::traces::Traces;
use super::values::{
    Address, CronText, DurationText, MemoryCap, TargetText, TimeZoneText, duration,
};
use crate::http::tls::TlsFiles;
use crate::store::PostgresUrl;

/// The settings of Selfheal. All are optional: with none, Selfheal finds the local Docker
/// socket, watches every container and the host, and heals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far Selfheal may go by itself: `observe` reports what it would have done,
    /// `approve` asks a person for each fix, `auto` acts when every guard agrees.
    pub mode: Mode,
    /// Where history, journal and backups are kept; made if missing.
    pub data_dir: PathBuf,
    /// When Selfheal looks.
    pub schedule: Schedule,
    /// The container runtime.
    pub docker: Docker,
    /// What Selfheal may do by itself, and how much of it.
    pub healing: Healing,
    /// Exceptions to `mode`.
    pub policy: Policy,
    /// History.
    pub store: Storage,
    /// Several Selfheals with one PostgreSQL.
    pub fleet: Fleet,
    /// Redis Streams.
    pub streams: Streams,
    /// The HTTP interface and the page.
    pub api: Api,
    /// How people are told.
    pub alerts: Alerts,
    /// A sign of life to whoever watches the watcher.
    pub heartbeat: Heartbeat,
    /// The light probes between the cycles.
    pub probes: Probes,
    /// Selfheal's own log.
    pub logs: Logs,
    /// OpenTelemetry traces.
    pub traces: Traces,
    /// When values are worth a look or broken. A limit that is given replaces the built-in
    /// one as a whole.
    pub thresholds: Thresholds,
    /// What discovery cannot see.
    #[serde(rename = "target")]
    pub targets: Vec<TargetSettings>,
    /// What fixes may turn, and how far.
    #[serde(rename = "tunable")]
    pub tunables: Vec<TunableSettings>,
    /// Programs of your own that runbooks of your own may run.
    #[serde(rename = "command")]
    pub commands: Vec<CommandSettings>,
    /// Who needs whom, where discovery cannot see it.
    #[serde(rename = "dependency")]
    pub dependencies: Vec<DependencySettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            data_dir: PathBuf::from("./selfheal-data"),
            schedule: Schedule::default(),
            docker: Docker::default(),
            healing: Healing::default(),
            policy: Policy::default(),
            store: Storage::default(),
            fleet: Fleet::default(),
            streams: Streams::default(),
            api: Api::default(),
            alerts: Alerts::default(),
            heartbeat: Heartbeat::default(),
            probes: Probes::default(),
            logs: Logs::default(),
            traces: Traces::default(),
            thresholds: Thresholds::default(),
            targets: vec![],
            tunables: vec![],
            commands: vec![],
            dependencies: vec![],
        }
    }
}

/// When Selfheal looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// When a full cycle runs: five fields (minute, hour, day, month, weekday), or six with
    /// seconds first.
    #[schemars(with = "CronText")]
    pub cron: String,
    /// The time zone `cron` is read in, by its name in the IANA database.
    #[schemars(with = "TimeZoneText")]
    pub timezone: String,
    /// Each slot starts up to this much later, so that many hosts do not start at once.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub jitter: Duration,
    /// Whether Docker's events start a cycle at once over the containers they name.
    pub docker_events: bool,
    /// Whether container logs are followed live, so that known error lines start a cycle.
    pub follow_logs: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: "*/5 * * * *".to_owned(),
            timezone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            docker_events: true,
            follow_logs: true,
        }
    }
}

/// The container runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    /// Where the Docker engine of this host listens: `unix://` with a path, `tcp://` or `http://` with
    /// host and port. Without this setting `DOCKER_HOST` is used if it is set.
    pub host: String,
    /// Engines of other hosts, beside that one.
    #[serde(rename = "engine", skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<Engine>,
}

impl Default for Docker {
    fn default() -> Self {
        Self { host: "unix:///var/run/docker.sock".to_owned(), engines: vec![] }
    }
}

/// What Selfheal may do by itself, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Healing {
    /// How sure Selfheal must be to act alone, in percent.
    #[schemars(range(min = 50, max = 100))]
    pub confidence_threshold: u8,
    /// When a fix may run by itself that nothing else holds: `full` at once, `earned` once it was
    /// confirmed often enough on that target. Until then it is proposed to a person, and what
    /// comes without it is watched (`selfheal shadow`).
    pub autonomy: Autonomy,
    /// With `earned`: how often in a row a fix must be confirmed on a target, by a person who
    /// approved it or did the same. A failure begins the count anew.
    #[schemars(range(min = 1, max = 100))]
    pub earned_after: usize,
    /// How long a fix is watched before it counts as kept. Lengthened by itself where a
    /// container's health check needs more or its last starts took longer.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub validation_window: Duration,
    /// A decision older than this is made anew instead of being carried out, also when a
    /// person approves it; a fix that a crash of Selfheal interrupted longer ago is taken back.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub plan_lifetime: Duration,
    /// Which fixes are first tried on a clone of the container, which is on no network and only
    /// reads what lasts: with `true` those that change its configuration, image or limits, with
    /// `false` none. Without it those that make the container again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<bool>,
    /// How many fixes an hour.
    pub budget: Budget,
    /// After so many failed fixes in a row on a target Selfheal does nothing on that target by
    /// itself until a person approves a fix there.
    #[schemars(range(min = 1, max = 100))]
    pub safety_stop_after: u32,
    /// After so many failed fixes within an hour, on all targets together, Selfheal does nothing
    /// by itself anywhere until a person types `selfheal unfreeze`.
    #[schemars(range(min = 1, max = 1000))]
    pub safety_stop_per_hour: u32,
    /// The same when this share of the last ten fixes failed. From 0.1 to 1.
    #[schemars(range(min = 0.1, max = 1.0))]
    pub safety_stop_share: f64,
    /// When more than this share of an engine's targets fails at once and no shared cause is found,
    /// nothing is touched. From 0 to 1.
    #[schemars(range(min = 0.05, max = 1.0))]
    pub common_cause_share: f64,
    /// The highest memory limit a fix may give a container: a share of the host's memory or
    /// a size.
    pub memory_cap: MemoryCap,
    /// Times in which nothing is touched.
    pub maintenance: Vec<Maintenance>,
    /// Times in which what can wait is done by itself, such as the restart of a container that
    /// leaks; without any it is only proposed.
    pub quiet_hours: Vec<Maintenance>,
}

impl Default for Healing {
    fn default() -> Self {
        Self {
            confidence_threshold: 85,
            autonomy: Autonomy::Full,
            earned_after: 3,
            validation_window: Duration::from_mins(2),
            plan_lifetime: Duration::from_mins(10),
            rehearse: None,
            budget: Budget::default(),
            safety_stop_after: 3,
            safety_stop_per_hour: 5,
            safety_stop_share: 0.5,
            common_cause_share: 0.4,
            memory_cap: MemoryCap::Percent(50),
            maintenance: vec![],
            quiet_hours: vec![],
        }
    }
}

/// How many fixes an hour, and how many steps of a setting; beyond it Selfheal holds and says so. Every
/// fix that is begun counts, also each step of a setting and what was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// On one target.
    #[schemars(range(min = 0, max = 1000))]
    pub per_target: u32,
    /// Of one kind of action, on all targets together.
    #[schemars(range(min = 0, max = 1000))]
    pub per_action: u32,
    /// On the whole host.
    #[schemars(range(min = 0, max = 1000))]
    pub per_host: u32,
    /// Steps of one declared setting that one trouble is met with, one after the other while each
    /// helps in part; then all of them are taken back.
    #[schemars(range(min = 1, max = 10))]
    pub steps: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_target: 6, per_action: 20, per_host: 30, steps: 3 }
    }
}

/// A time that comes again: a maintenance window or a quiet hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// When it begins, as a cron expression in the time zone of the schedule.
    #[schemars(with = "CronText")]
    pub cron: String,
    /// How long it lasts.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub duration: Duration,
    /// Which target; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TargetText>")]
    pub target: Option<TargetId>,
}

/// Exceptions to `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// By target, such as `[policy.target."container:web"]`. Goes before the container's
    /// label and before the global mode.
    pub target: BTreeMap<String, ModeOnly>,
    /// By runbook, such as `[policy.runbook.container-oom]`. Where target and runbook both
    /// say something, the more careful one holds.
    pub runbook: BTreeMap<String, ModeOnly>,
}

/// A mode for one target or runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeOnly {
    /// How far Selfheal may go here: `observe`, `approve` or `auto`.
    pub mode: Mode,
}

/// History.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Where history is kept; empty means SQLite in `data_dir` alone. With the address of a
    /// PostgreSQL database (`postgres://user:password@host:5432/database?sslmode=require`) every
    /// change is sent there, too: Selfheal works on the file and heals on while the server is
    /// away, and sends what waited when it is back. Backups stay in `data_dir`. Each data
    /// directory needs a database of its own, or a name of its own in `fleet.node`.
    pub url: Address,
    /// A file that holds the address, instead of `url`.
    pub url_file: Option<PathBuf>,
    /// How long closed incidents, events, changes and backups are kept.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub retention: Duration,
    /// How long entries of the audit log are kept, whole files of it at once; of more than 512 MB
    /// the oldest go earlier. That they are removed stands in the log.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub audit_retention: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            url: Address::default(),
            url_file: None,
            retention: Duration::from_hours(30 * 24),
            audit_retention: Duration::from_hours(400 * 24),
        }
    }
}

impl Storage {
    /// The PostgreSQL database that history is sent to, if there is one; the reader of settings
    /// refuses an address that is none.
    pub fn postgres(&self) -> Result<Option<PostgresUrl>, String> {
        if self.url.is_empty() {
            return Ok(None);
        }
        PostgresUrl::parse(self.url.expose()).map(Some)
    }
}

/// The HTTP interface and the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port to listen on. Beyond this machine Selfheal starts only with a token
    /// (`selfheal token create`), which is then asked for.
    #[schemars(with = "String", extend("format" = "listen"))]
    pub listen: SocketAddr,
    /// When a token is asked for: `remote` if `listen` reaches beyond this machine, then of
    /// everybody; `always` also where it does not, as behind a proxy; `never` lets everybody who
    /// reaches `listen` do everything.
    pub require_token: RequireToken,
    /// Names by which browsers and programs may call it, beside localhost and its addresses: the
    /// machine's own, or that of a proxy in front, which must leave the `Host` header as it is.
    pub hosts: Vec<String>,
    /// How many calls that change something anybody may make in a minute: each token, and each network
    /// that shows none; 0 is no limit. Who asks from this machine without a token is not counted.
    pub writes_per_minute: u32,
    /// The same for calls that are long to answer, such as the audit log or all backups.
    pub costly_reads_per_minute: u32,
    /// A certificate of its own, where no proxy before it has one.
    pub tls: ApiTls,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8003)),
            require_token: RequireToken::Remote,
            hosts: vec![],
            writes_per_minute: 300,
            costly_reads_per_minute: 300,
            tls: ApiTls::default(),
        }
    }
}

impl Api {
    /// Where it is called.
    pub fn address(&self) -> String {
        self.url_at(self.listen)
    }

    /// Where it is called under that address of the machine.
    pub fn url_at(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.files().is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// Whether nobody is let in without a token.
    pub fn demands_token(&self) -> bool {
        match self.require_token {
            RequireToken::Remote => !self.listen.ip().is_loopback(),
            RequireToken::Always => true,
            RequireToken::Never => false,
        }
    }
}

/// The certificate of the page and the API; both files or none. They may be renewed at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiTls {
    /// A PEM file with the certificate, and after it those between it and its authority.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with its key, without a passphrase.
    pub key_file: Option<PathBuf>,
}

impl ApiTls {
    /// Where both lie; nothing without TLS.
    pub fn files(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.cert_file.clone()?, self.key_file.clone()?);
        Some(TlsFiles { certificate, key })
    }
}

/// When the API asks for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequireToken {
    /// Where the address reaches beyond this machine.
    #[default]
    Remote,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The light probes between the cycles: what answers badly calls for a cycle over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probes {
    /// Whether there are any.
    pub enabled: bool,
    /// Time between two probes of one target.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub interval: Duration,
    /// How long a target may take to answer.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub limit: Duration,
    /// How many failures in a row make a verdict.
    #[schemars(range(min = 1, max = 100))]
    pub failures: u32,
    /// Time between the probes that confirm a first failure.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub confirm_after: Duration,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(5),
            limit: Duration::from_secs(3),
            failures: 2,
            confirm_after: Duration::from_millis(500),
        }
    }
}

/// Selfheal's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// What is written: `error`, `warn`, `info`, `debug`, `trace`, or by module such as
    /// `info,selfheal::docker=debug`.
    #[schemars(with = "String", extend("format" = "log-level"))]
    pub level: String,
    /// How it is written: `text` for people, `json` for machines.
    pub format: LogFormat,
}

impl Default for Logs {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
