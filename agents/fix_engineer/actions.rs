//! The action catalogue: every kind of step a fix can be made of.
//!
//! One file an action; it is in force once it stands in the list at the end of this
//! module, and the generic tests (fail at every step, repeat every step, crash at every
//! record) cover it from then on. No action deletes a volume or drops data, and none prunes
//! more than what the image builder kept and nobody needs; none builds a shell string.

mod calls;
mod server;
mod sessions;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::plan::{PlanRequest, Unfit};
use super::remembered::Remembered;
use crate::model::{Captured, ContainerStatus, Endpoint, Step, Target, TargetId, TargetKind};
use crate::ports::{World, WorldError, WorldResult};

/// A container is stopped, made anew and started by calls of minutes each, where Docker is slow.
const CONTAINER_LIMIT: Duration = Duration::from_mins(10);
/// A server of data answers each of a few commands within seconds.
const SERVER_LIMIT: Duration = Duration::from_secs(25);

/// How an action is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reversal {
    /// It has an undo that restores what was captured.
    Undo,
    /// It has none; instead this must hold afterwards, and `is_applied` checks it.
    PostCondition(&'static str),
}

/// What every action knows about itself.
#[async_trait]
pub trait Act: Send + Sync {
    /// The target it changes.
    fn target(&self) -> TargetId;
    /// What it does, in one sentence without a full stop.
    fn describe(&self) -> String;
    /// How it is taken back.
    fn reversal(&self) -> Reversal;
    /// The command a person would type for the same effect.
    fn by_hand(&self) -> String;
    /// The command a person would type to restore `before`; `None` for a post-condition.
    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        None
    }
    /// Expected interruption of the service, in seconds.
    fn interruption_secs(&self) -> u64;
    /// How long making it so, or undoing it, takes at most: the adapters end each call within a
    /// limit of their own, and no action makes so many of them.
    fn limit(&self) -> Duration {
        let calls = match self.target().kind() {
            TargetKind::Host | TargetKind::Container => CONTAINER_LIMIT,
            _ => SERVER_LIMIT,
        };
        calls + Duration::from_secs(self.stop_timeout_secs().into())
    }
    /// How long a container may take to stop in it, beside what the calls take.
    fn stop_timeout_secs(&self) -> u32 {
        0
    }
    /// What it will touch, as it is now; goes into the backup.
    async fn capture(&self, world: &World) -> WorldResult<Captured>;
    /// Whether its effect is there already, compared with `before`.
    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool>;
    /// Makes it so. May be repeated, save what [`Self::is_unknowable`]. Returns what it left
    /// behind: the checksum of a file it changed, or what a command said.
    async fn apply(&self, world: &World, before: &Captured) -> WorldResult<Option<String>>;
    /// Restores `before`. May be repeated. Does nothing for a post-condition.
    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()>;
    /// Whether there is anything of it that an undo would take back: for one that is made of
    /// several calls, also when it failed between them.
    async fn is_begun(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        self.is_applied(world, before).await
    }
    /// Whether nothing can tell, once it was interrupted, if it took effect: then it is neither
    /// done again nor taken for undone by itself.
    fn is_unknowable(&self) -> bool {
        false
    }
    /// Whether what it brings about also comes when nobody does anything, as a session ends: then
    /// that it is so does not tell that somebody did it.
    fn comes_by_itself(&self) -> bool {
        false
    }
    /// Clears away what was kept for an undo, once the fix has proved itself. May be repeated.
    async fn settle(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
    /// Takes up what is remembered of its container and is in no record.
    fn recall(&mut self, _remembered: &Remembered) {}
    /// What somebody changed since, in a sentence: neither as it was before nor as this left it.
    async fn overtaken(&self, _world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        Ok(None)
    }
    /// How the server is reached that it changes, for one that changes a server.
    fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        None
    }
}

/// The one list: an action is a line here, with the calls of Docker's API that it changes things
/// by, and a file of its own.
macro_rules! actions {
    ($($module:ident::$variant:ident = $name:literal by $calls:expr),+ $(,)?) => {
        $(mod $module; pub use $module::$variant;)+

        /// One kind of step with its arguments.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "action")]
        pub enum Action {
            $(
                #[doc = concat!("`", $name, "`; see [`", stringify!($variant), "`].")]
                #[serde(rename = $name)]
                $variant($variant),
            )+
        }

        impl Action {
            /// Every action's name.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Every action's name with the calls of Docker's API that it changes things by, its
            /// undo included, and with reads that nothing else needs: what a proxy in front of
            /// Docker has to let pass for it, beside the reads of every look. What an action may do at times is among them.
            pub const CALLS: &'static [(&'static str, &'static [&'static str])] =
                &[$(($name, &$calls)),+];

            /// The name used in runbooks, the journal and statistics.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            fn act(&self) -> &dyn Act {
                match self { $(Self::$variant(action) => action,)+ }
            }

            fn act_mut(&mut self) -> &mut dyn Act {
                match self { $(Self::$variant(action) => action,)+ }
            }
        }

        /// Plans the action of that name for the target at hand.
        pub(super) async fn plan(
            name: &str,
            request: &PlanRequest<'_>,
        ) -> Result<Vec<Step>, Unfit> {
            match name {
                $($name => $module::plan(request).await.map_err(Unfit::from),)+
                other => Err(format!("there is no action `{other}`").into()),
            }
        }
    };
}

pub use container_recreate::Restores;
pub use redis_set_policy::EvictionPolicy;

use calls::{
    CONNECT, CREATE, DISCONNECT, DISK_USAGE, INFO, KILL, PAUSE, PRUNE_BUILDS, REMOVE, RENAME,
    RESTART, START, STOP, UNPAUSE, UPDATE,
};

actions! {
    container_start::ContainerStart = "container.start" by [START],
    container_restart::ContainerRestart = "container.restart" by [RESTART, KILL, UNPAUSE, START],
    container_signal::ContainerSignal = "container.signal" by [KILL],
    container_pause::ContainerPause = "container.pause" by [PAUSE, UNPAUSE],
    container_unpause::ContainerUnpause = "container.unpause" by [UNPAUSE],
    container_set_memory::ContainerSetMemory = "container.set_memory" by [UPDATE, RESTART, KILL, UNPAUSE, START],
    container_set_cpu::ContainerSetCpu = "container.set_cpu" by [UPDATE],
    container_stop::ContainerStop = "container.stop" by [STOP, START],
    container_recreate::ContainerRecreate = "container.recreate" by [UPDATE, STOP, RENAME, CREATE, CONNECT, START, REMOVE],
    network_connect::NetworkConnect = "network.connect" by [CONNECT, DISCONNECT],
    config_set::ConfigSet = "config.set" by [],
    config_restore::ConfigRestore = "config.restore" by [],
    logs_trim::LogsTrim = "logs.trim" by [],
    build_cache_prune::BuildCachePrune = "build_cache.prune" by [INFO, DISK_USAGE, PRUNE_BUILDS],
    postgres_terminate::PostgresTerminate = "postgres.terminate_backends" by [],
    postgres_reload::PostgresReload = "postgres.reload" by [],
    postgres_alter_system::PostgresAlterSystem = "postgres.alter_system" by [],
    mysql_kill::MysqlKill = "mysql.kill_connections" by [],
    redis_set_memory::RedisSetMemory = "redis.set_memory" by [],
    redis_set_policy::RedisSetPolicy = "redis.set_policy" by [],
    redis_kill_clients::RedisKillClients = "redis.kill_clients" by [],
    run_command::RunCommand = "command" by [],
}

#[async_trait]
impl Act for Action {
    fn target(&self) -> TargetId {
        self.act().target()
    }
    fn describe(&self) -> String {
        self.act().describe()
    }
    fn reversal(&self) -> Reversal {
        self.act().reversal()
    }
    fn by_hand(&self) -> String {
        self.act().by_hand()
    }
    fn interruption_secs(&self) -> u64 {
        self.act().interruption_secs()
    }
    fn limit(&self) -> Duration {
        self.act().limit()
    }
    fn stop_timeout_secs(&self) -> u32 {
        self.act().stop_timeout_secs()
    }
    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        self.act().capture(world).await
    }
    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        self.act().is_applied(world, before).await
    }
    async fn apply(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        self.act().apply(world, before).await
    }
    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        self.act().undo(world, before).await
    }
    async fn is_begun(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        self.act().is_begun(world, before).await
    }
    fn is_unknowable(&self) -> bool {
        self.act().is_unknowable()
    }
    fn comes_by_itself(&self) -> bool {
        self.act().comes_by_itself()
    }
    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        self.act().undo_by_hand(before)
    }
    async fn settle(&self, world: &World, before: &Captured) -> WorldResult<()> {
        self.act().settle(world, before).await
    }
    fn recall(&mut self, remembered: &Remembered) {
        self.act_mut().recall(remembered);
    }
    async fn overtaken(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        self.act().overtaken(world, before).await
    }
    fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        self.act_mut().endpoint_mut()
    }
}

impl Action {
    /// The target it changes.
    pub fn target(&self) -> TargetId {
        self.act().target()
    }

    /// Takes up how its server is reached now: what was stored holds no password, and a container
    /// that was started again has another address.
    pub fn reach(&mut self, targets: &BTreeMap<TargetId, Target>) {
        let now = targets.get(&self.target()).and_then(|target| target.endpoint.clone());
        if let (Some(known), Some(now)) = (self.endpoint_mut(), now) {
            *known = now;
        }
    }
}

/// Time limit of a probe that an action makes.
const PROBE_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

async fn capture_container(world: &World, name: &str) -> WorldResult<Captured> {
    let now = world.runtime.container(name).await?;
    Ok(Captured::Container {
        running: now.is_up(),
        paused: now.status == ContainerStatus::Paused,
        started_at: now.started_at,
        id: now.id,
    })
}

async fn restore_file(world: &World, before: &Captured) -> WorldResult<()> {
    let Captured::File(file) = before else {
        return Err(wrong_capture("a file"));
    };
    world.files.replace(file, None).await
}

fn wrong_capture(wanted: &str) -> WorldError {
    WorldError::Refused {
        what: "undoing".to_owned(),
        why: format!("the backup holds something else than {wanted}"),
    }
}
