//! How agents reach the world: a few traits in domain words.
//!
//! Every call returns within a time limit that the adapter keeps (an agent has no
//! clock to race against), and every call may be repeated. Each port has two
//! implementations: the real one in the package `selfheal` and one in memory in
//! [`crate::fakes`].

mod commands;
mod fleet;
mod messages;
mod rehearsals;
mod remakes;

pub use commands::Commands;
pub use fleet::{Alone, Fleet, FrozenThere, Ownership, Permit};
pub use messages::Messages;
pub use rehearsals::Rehearsals;
pub use remakes::Remakes;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::model::{
    Backup, BackupId, Change, Connection, ContainerFacts, Endpoint, Facts, FileContent, HostFacts,
    Incident, IncidentId, IncidentState, JournalEntry, JournalRecord, LogAside, LogBatch,
    LogCursor, LogFile, LogFolder, LogLine, LogSurvey, MemoryLimits, Message, NetworkAttachment,
    Observation, Outcome, RedisClient, RuntimeEvent, ServerSetting, Session, SettingNow, TargetId,
    Timestamp, Usage,
};
use crate::model::{FixId, Hold};

/// Why the world could not be reached or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WorldError {
    /// The thing is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// It is there but must not be touched by us.
    #[error("not permitted: {what}; {remedy}")]
    Denied {
        /// What was refused.
        what: String,
        /// What a person can do.
        remedy: String,
    },
    /// It did not answer in time.
    #[error("{what} did not answer within {limit:?}")]
    TimedOut {
        /// What was asked.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// It cannot be reached now.
    #[error("{what} cannot be reached: {why}")]
    Unreachable {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// It answered that it will not.
    #[error("{what} was refused: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// The answer.
        why: String,
    },
    /// It was begun, or may have been, and did not say how it ended.
    #[error("nobody can tell how far {what} came: {why}")]
    Untold {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// It was not begun: this node's leave to change the target may end before it does.
    #[error("{what} is not begun: another node may look after it before that ends")]
    NoLeave {
        /// What.
        what: String,
    },
    /// Somebody changed the thing meanwhile.
    #[error("{what} was changed by somebody else")]
    Conflict {
        /// What.
        what: String,
    },
}

impl WorldError {
    /// Whether a repeat has a chance.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unreachable { .. })
    }
}

/// What a world call answers.
pub type WorldResult<T> = Result<T, WorldError>;

/// The answer where nothing of that name is an answer, too.
pub fn if_there<T>(answer: WorldResult<T>) -> WorldResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(WorldError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// What the image builder keeps and nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildCache {
    /// How much of it there is, in bytes.
    pub bytes: u64,
    /// The folder of this machine that the engine keeps everything in.
    pub folder: String,
}

/// The container runtime of the host. Container arguments are names.
#[async_trait]
pub trait ContainerRuntime: Remakes + Rehearsals + Send + Sync {
    /// Every container, stopped ones too, without [`ContainerFacts::usage`].
    async fn containers(&self) -> WorldResult<Vec<ContainerFacts>>;
    /// The engines beside the own that did not answer when their containers were last asked for,
    /// by name, with why. What they hold is of unknown status, or not listed at all.
    fn away(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// What the engines beside the own held when all were last asked, for a while in which the own
    /// one does not answer.
    fn elsewhere(&self) -> Vec<ContainerFacts> {
        vec![]
    }
    /// One container, without usage.
    async fn container(&self, name: &str) -> WorldResult<ContainerFacts>;
    /// What a running container uses.
    async fn usage(&self, name: &str) -> WorldResult<Usage>;
    /// The command lines of what runs in it now.
    async fn processes(&self, name: &str) -> WorldResult<Vec<String>>;
    /// The names of images that were pulled from `since` on, on the engine of the container `beside`.
    async fn pulls(&self, beside: &str, since: Timestamp) -> WorldResult<Vec<String>>;
    /// Lines written after `since` (everything recent without it), at most `max_lines`.
    async fn logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch>;
    /// Lines as they are written, from `since` on; ends when the container ends.
    fn follow_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine>;
    /// Events from `since` on; ends with an error when the connection is lost.
    fn events(&self, since: Option<Timestamp>) -> BoxStream<'static, WorldResult<RuntimeEvent>>;
    /// Events from `since` until now, oldest first; only those that the runtime still knows.
    async fn past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>>;

    /// Starts a stopped container; no error if it runs.
    async fn start(&self, name: &str) -> WorldResult<()>;
    /// Stops, with this signal and time limit if given, and starts.
    async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        stop_timeout_secs: u32,
    ) -> WorldResult<()>;
    /// Stops it within this time; no error if it does not run.
    async fn stop(&self, name: &str, stop_timeout_secs: u32) -> WorldResult<()>;
    /// Sends a signal to the first process.
    async fn signal(&self, name: &str, signal: &str) -> WorldResult<()>;
    /// Freezes a running container; no error if it is frozen.
    async fn pause(&self, name: &str) -> WorldResult<()>;
    /// Thaws a paused container.
    async fn unpause(&self, name: &str) -> WorldResult<()>;
    /// What the image builder keeps that no image and no build in progress needs and that nobody used
    /// for this long. Refused where the engine is on another machine.
    async fn build_cache(&self, unused_for: Duration) -> WorldResult<BuildCache>;
    /// Removes that; answers how many bytes it freed.
    async fn prune_build_cache(&self, unused_for: Duration) -> WorldResult<u64>;
    /// Sets both limits at once.
    async fn set_memory_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()>;
    /// Sets the processor limit, in billionths of a core; `None` lifts it.
    async fn set_cpu_limit(&self, name: &str, limit_nanos: Option<u64>) -> WorldResult<()>;
    /// Joins a network with aliases; no error if already on it.
    async fn connect_network(&self, name: &str, attachment: &NetworkAttachment) -> WorldResult<()>;
    /// Leaves a network; no error if not on it.
    async fn disconnect_network(&self, name: &str, network: &str) -> WorldResult<()>;
}

/// The machine.
#[async_trait]
pub trait HostSensor: Send + Sync {
    /// What it says now.
    async fn host(&self) -> WorldResult<HostFacts>;
    /// The TCP connections that were opened in the network of a container, known by its first
    /// process and its id. An error where they cannot be seen from here.
    async fn connections(&self, pid: u32, container_id: &str) -> WorldResult<Vec<Connection>>;
}

/// Asks data services and endpoints from outside.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Asks once. That the service is down is an answer, not an error.
    async fn probe(&self, endpoint: &Endpoint, limit: Duration) -> Facts;
    /// Asks only whether the service does its work: cheap enough for every few seconds. What is
    /// not asked stays empty.
    async fn glance(&self, endpoint: &Endpoint, limit: Duration) -> Facts {
        self.probe(endpoint, limit).await
    }
    /// Ends these sessions of PostgreSQL or MySQL, each recognised by more than its number;
    /// returns how many were ended. Sessions that are gone are no error; one of MySQL that works
    /// or belongs to the server stays.
    async fn terminate_backends(
        &self,
        endpoint: &Endpoint,
        sessions: &[Session],
    ) -> WorldResult<u32>;
}

/// Changes what data services hold of themselves: settings and clients, never data.
#[async_trait]
pub trait Servers: Send + Sync {
    /// The setting as the server has it now.
    async fn setting(&self, endpoint: &Endpoint, setting: ServerSetting)
    -> WorldResult<SettingNow>;
    /// Changes it while the server runs and sees that it took effect; `None` leaves the server
    /// its own default. Refused by a server in recovery.
    async fn set_setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
        value: Option<&str>,
    ) -> WorldResult<()>;
    /// When PostgreSQL last loaded its configuration files.
    async fn config_loaded_at(&self, endpoint: &Endpoint) -> WorldResult<Timestamp>;
    /// Lets PostgreSQL load them again and waits until it has. Refused by a server in recovery,
    /// and where they have an error.
    async fn load_config(&self, endpoint: &Endpoint) -> WorldResult<()>;
    /// Ends these connections to Redis, each recognised by id *and* address; returns how many
    /// were ended. Those that are gone are no error.
    async fn kill_clients(&self, endpoint: &Endpoint, clients: &[RedisClient]) -> WorldResult<u32>;
}

/// Configuration files of the host.
#[async_trait]
pub trait ConfigFiles: Send + Sync {
    /// The file as it is.
    async fn read(&self, path: &str) -> WorldResult<FileContent>;
    /// The files that look like configuration: `path` itself if it is a file, else those
    /// directly in that folder whose name ends like a configuration file's. Bounded, so that
    /// a data folder costs nothing.
    async fn list(&self, path: &str) -> WorldResult<Vec<String>>;
    /// Puts `content` in its place, if it still has the checksum `expected_sha256`; keeps
    /// owner and permissions of `content`. Atomic where the file may change its inode, in
    /// place where it is itself a mount.
    async fn replace(
        &self,
        content: &FileContent,
        expected_sha256: Option<&str>,
    ) -> WorldResult<()>;
}

/// Log files that containers write into folders of their own. Nothing the container put there leads
/// out of its folder: no link is followed.
#[async_trait]
pub trait LogFiles: Send + Sync {
    /// What is in a folder, and how full its file system is.
    async fn survey(&self, folder: &LogFolder) -> WorldResult<LogSurvey>;
    /// As [`Self::survey`] for a look at many things: an error where the answer takes longer than
    /// a moment, or where the file system is not this machine's own.
    async fn glance(&self, folder: &LogFolder) -> WorldResult<LogSurvey>;
    /// Keeps a copy where there is room for it, else takes down what it was.
    async fn set_aside(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<LogAside>;
    /// Leaves at most the last `keep_bytes` of a file that may be written to meanwhile.
    async fn trim(&self, folder: &LogFolder, file: &LogFile, keep_bytes: u64) -> WorldResult<()>;
    /// Removes a rotated file; no error if it is gone.
    async fn remove(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<()>;
}

/// The world that agents see and change. Cloning shares it.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: std::sync::Arc<dyn Clock>,
    /// Containers.
    pub runtime: std::sync::Arc<dyn ContainerRuntime>,
    /// The machine.
    pub host: std::sync::Arc<dyn HostSensor>,
    /// Endpoints.
    pub prober: std::sync::Arc<dyn Prober>,
    /// What data services hold of themselves.
    pub servers: std::sync::Arc<dyn Servers>,
    /// A person's own commands.
    pub commands: std::sync::Arc<dyn Commands>,
    /// Log files.
    pub logs: std::sync::Arc<dyn LogFiles>,
    /// Configuration files.
    pub files: std::sync::Arc<dyn ConfigFiles>,
}

/// The questions of a look that may hang. An answer is `None` when it was not waited for to its
/// end: the target cannot be judged yet, and nobody else waits for it.
#[async_trait]
pub trait Questions: Send + Sync {
    /// As [`Prober::probe`]. An answer from before `life`, the newest start or end of the
    /// container behind the target, says nothing.
    async fn probe(
        &self,
        target: &TargetId,
        life: Option<Timestamp>,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Option<Facts>;
    /// As [`ContainerRuntime::usage`].
    async fn usage(&self, container: &ContainerFacts) -> Option<WorldResult<Usage>>;
    /// As [`ContainerRuntime::logs`]; the batch may begin earlier than `since`.
    async fn logs(
        &self,
        container: &ContainerFacts,
        since: LogCursor,
        max_lines: usize,
    ) -> Option<WorldResult<LogBatch>>;
}

/// Asks afresh and waits for every answer.
#[async_trait]
impl Questions for World {
    async fn probe(
        &self,
        _target: &TargetId,
        _life: Option<Timestamp>,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Option<Facts> {
        Some(self.prober.probe(endpoint, limit).await)
    }

    async fn usage(&self, container: &ContainerFacts) -> Option<WorldResult<Usage>> {
        Some(self.runtime.usage(&container.name).await)
    }

    async fn logs(
        &self,
        container: &ContainerFacts,
        since: LogCursor,
        max_lines: usize,
    ) -> Option<WorldResult<LogBatch>> {
        Some(self.runtime.logs(&container.name, Some(since), max_lines).await)
    }
}

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is full or not writable.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What it holds cannot be read.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// The thing changed meanwhile, or is there already.
    #[error("conflict: {0}")]
    Conflict(String),
}

/// What a store call answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// Which incidents are wanted. Empty lists everything, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentQuery {
    /// Only in one of these states; empty means any.
    pub states: Vec<IncidentState>,
    /// Only about this target, as blamed, affected or with a finding.
    pub target: Option<TargetId>,
    /// Only opened at or after this time, of which an incident's id tells, too.
    pub since: Option<Timestamp>,
    /// Only older than this one: the cursor of paging.
    pub before: Option<IncidentId>,
    /// At most this many; 0 means 100.
    pub limit: usize,
}

/// Incidents.
#[async_trait]
pub trait Incidents: Send + Sync {
    /// Inserts or replaces the whole record, and queues what is told of it: both or neither. On a
    /// full disk it is refused where something is to be told; the record alone is not.
    async fn save_incident_and_tell(
        &self,
        incident: &Incident,
        messages: &[Message],
    ) -> StoreResult<()>;
    /// Inserts or replaces the whole record.
    async fn save_incident(&self, incident: &Incident) -> StoreResult<()> {
        self.save_incident_and_tell(incident, &[]).await
    }
    /// One.
    async fn incident(&self, id: IncidentId) -> StoreResult<Option<Incident>>;
    /// Those that match, newest first.
    async fn incidents(&self, query: &IncidentQuery) -> StoreResult<Vec<Incident>>;
    /// Every incident that is not closed, oldest first.
    async fn open_incidents(&self) -> StoreResult<Vec<Incident>>;
}

/// The journal. Appending returns only after the record is on disk.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends.
    async fn append(
        &self,
        at: Timestamp,
        incident: IncidentId,
        fix: FixId,
        entry: &JournalEntry,
    ) -> StoreResult<JournalRecord>;
    /// All records of a fix, in order.
    async fn journal(&self, fix: FixId) -> StoreResult<Vec<JournalRecord>>;
    /// Fixes without a final record, oldest first.
    async fn unfinished_fixes(&self) -> StoreResult<Vec<FixId>>;
    /// Gives up what room was kept back for a full disk, so that something can be undone there.
    async fn make_room(&self);
}

/// Outcomes of fixes.
#[async_trait]
pub trait Outcomes: Send + Sync {
    /// Records one; a second for the same fix replaces the first (a kept fix that a person
    /// takes back).
    async fn record_outcome(&self, outcome: &Outcome) -> StoreResult<()>;
    /// Rises whenever an outcome is recorded by this store.
    fn outcomes_recorded(&self) -> u64;
    /// All since a time, oldest first.
    async fn outcomes(&self, since: Option<Timestamp>) -> StoreResult<Vec<Outcome>>;
}

/// Backups: the record in the store, the bytes on disk.
#[async_trait]
pub trait Backups: Send + Sync {
    /// Writes everything to disk, verifies it, and lists it. The id of `backup` is made
    /// unique if it is taken; the id kept is returned.
    async fn save_backup(&self, backup: &Backup) -> StoreResult<BackupId>;
    /// One, with its files' content, verified against the checksums.
    async fn backup(&self, id: &BackupId) -> StoreResult<Option<Backup>>;
    /// All, newest first, without the files' content.
    async fn backups(&self, limit: usize) -> StoreResult<Vec<Backup>>;
    /// Changes the mutable part: `left_behind` and `rolled_back_at`.
    async fn update_backup(&self, backup: &Backup) -> StoreResult<()>;
}

/// Changes kept of one container at most, whatever their age.
pub const CHANGES_KEPT: usize = 200;

/// How far back levels are followed; older observations have no reader and are not kept.
pub const OBSERVATIONS_KEPT: Duration = Duration::from_hours(48);

/// What is remembered between cycles and across restarts.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Adds events; one seen twice (after a reconnect) is kept once.
    async fn record_events(&self, events: &[RuntimeEvent]) -> StoreResult<()>;
    /// A target's events since a time, oldest first; every target's without one.
    async fn events(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<RuntimeEvent>>;
    /// How far the logs of these containers were read, by Docker id; one that was never read is
    /// left out.
    async fn log_cursors(
        &self,
        container_ids: &[String],
    ) -> StoreResult<BTreeMap<String, LogCursor>>;
    /// Remembers positions, all or none of them.
    async fn set_log_cursors(&self, cursors: &BTreeMap<String, LogCursor>) -> StoreResult<()>;
    /// Adds observations of levels that are followed.
    async fn record_observations(&self, observations: &[Observation]) -> StoreResult<()>;
    /// A target's observations since a time, oldest first.
    async fn observations(
        &self,
        target: &TargetId,
        since: Timestamp,
    ) -> StoreResult<Vec<Observation>>;
    /// Adds changes of containers; one noticed twice is kept once. Of each container only so
    /// many of the newest are kept.
    async fn record_changes(&self, changes: &[Change]) -> StoreResult<()>;
    /// A target's changes since a time, oldest first; every target's without one.
    async fn changes(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<Change>>;
    /// A small named value, as JSON.
    async fn value(&self, name: &str) -> StoreResult<Option<serde_json::Value>>;
    /// Sets it; `None` removes it.
    async fn set_value(&self, name: &str, value: Option<&serde_json::Value>) -> StoreResult<()>;
    /// All named values whose name begins so, sorted by name.
    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, serde_json::Value)>>;
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Alert {
    /// The same key is sent once: `INCIDENT EVENT`, with a word more where that is news again.
    pub key: String,
    /// `held`, `resolved`, `rolled_back`, `stuck`, `blind`, ...
    pub event: String,
    /// How bad.
    pub severity: crate::model::Severity,
    /// First line: what broke, what was done, the result, what you must do.
    pub title: String,
    /// The rest, plain text.
    pub body: String,
    /// Which incident, if any.
    pub incident: Option<IncidentId>,
    /// Which target, if any.
    pub target: Option<TargetId>,
    /// Why it was held, if it was.
    pub holds: Vec<Hold>,
    /// When.
    pub at: Timestamp,
}

impl Alert {
    /// Whether it tells that an incident ended well.
    pub fn is_over(&self) -> bool {
        matches!(self.event.as_str(), "resolved" | "recovered")
    }

    /// Whether it only sums up what was, for somebody to read.
    pub fn is_digest(&self) -> bool {
        self.event == "digest"
    }
}

/// One alert on its way to one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Position in the outbox.
    pub id: i64,
    /// The channel's name.
    pub channel: String,
    /// What to say.
    pub alert: Alert,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried again, if it was refused.
    pub retry_at: Option<Timestamp>,
}

/// Alerts on their way: nothing is lost while a channel is down.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Queues an alert for every channel; a key that was queued before is ignored.
    async fn enqueue(&self, alert: &Alert, channels: &[String]) -> StoreResult<()>;
    /// Deliveries due at that time, oldest first, at most one an incident and channel.
    async fn due(&self, now: Timestamp, limit: usize) -> StoreResult<Vec<Delivery>>;
    /// Everything that waits for one channel, oldest first, also what waits for its next try.
    async fn waiting_for(&self, channel: &str, limit: usize) -> StoreResult<Vec<Delivery>>;
    /// These arrived.
    async fn all_delivered(&self, ids: &[i64], at: Timestamp) -> StoreResult<()>;
    /// It arrived.
    async fn delivered(&self, id: i64, at: Timestamp) -> StoreResult<()>;
    /// It did not; try again at `retry_at`, or never (`None`).
    async fn failed(&self, id: i64, error: &str, retry_at: Option<Timestamp>) -> StoreResult<()>;
    /// How many wait.
    async fn waiting(&self) -> StoreResult<u64>;
    /// How many of those that wait their channel did not take so far.
    async fn refused(&self) -> StoreResult<u64>;
    /// The channels that an alert of this incident was queued for, each once.
    async fn told(&self, incident: IncidentId) -> StoreResult<Vec<String>>;
}

/// What a snapshot is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// From time to time.
    Housekeeping,
    /// Selfheal ends.
    End,
}

/// Everything that is kept.
#[async_trait]
pub trait Store: Incidents + Journal + Outcomes + Backups + Memory + Outbox + Messages {
    /// Rises with every write of this store, also one whose answer was lost: while it stays, what
    /// was read is as it was, but for a write that was given up just before.
    fn writes(&self) -> u64;
    /// Whether something can be written now; the error says why not.
    async fn check_writable(&self) -> StoreResult<()>;
    /// Makes a copy to go on from should the store be damaged one day, if it is time for one and
    /// there is room; answers whether it did.
    async fn take_snapshot(&self, occasion: Occasion) -> StoreResult<bool>;
    /// Removes closed incidents, events, changes, backups, messages that nobody took and marks of
    /// jobs that are older than `keep` at `now`, and observations older than that or than [`OBSERVATIONS_KEPT`]; never what an open incident
    /// needs. Returns how many rows went.
    async fn prune(&self, now: Timestamp, keep: Duration) -> StoreResult<u64>;
}
