//! The action catalogue: every kind of step a fix can be made of.
//!
//! One file an action; it is in force once it stands in the list at the end of this
//! module, and the generic tests (fail at every step, repeat every step, crash at every
//! record) cover it from then on. No action deletes a volume, drops data or prunes; none
//! builds a shell string.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::plan::{PlanRequest, Planned};
use crate::model::{Captured, ContainerStatus, TargetId};
use crate::ports::{World, WorldError, WorldResult};

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
    /// Expected interruption of the service, in seconds.
    fn interruption_secs(&self) -> u64;
    /// What it will touch, as it is now; goes into the backup.
    async fn capture(&self, world: &World) -> WorldResult<Captured>;
    /// Whether its effect is there already, compared with `before`.
    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool>;
    /// Makes it so. May be repeated. Returns the checksum of a file it changed, as left
    /// behind.
    async fn apply(&self, world: &World, before: &Captured) -> WorldResult<Option<String>>;
    /// Restores `before`. May be repeated. Does nothing for a post-condition.
    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()>;
}

/// The one list: an action is a line here and a file of its own.
macro_rules! actions {
    ($($module:ident::$variant:ident = $name:literal),+ $(,)?) => {
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

            /// The name used in runbooks, the journal and statistics.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            fn act(&self) -> &dyn Act {
                match self { $(Self::$variant(action) => action,)+ }
            }
        }

        /// Plans the action of that name for the target at hand.
        pub(super) async fn plan(name: &str, request: &PlanRequest<'_>) -> Planned {
            match name {
                $($name => $module::plan(request).await,)+
                other => Err(format!("there is no action `{other}`")),
            }
        }
    };
}

pub use postgres_terminate::Session;

actions! {
    container_start::ContainerStart = "container.start",
    container_restart::ContainerRestart = "container.restart",
    container_signal::ContainerSignal = "container.signal",
    container_unpause::ContainerUnpause = "container.unpause",
    container_set_memory::ContainerSetMemory = "container.set_memory",
    network_connect::NetworkConnect = "network.connect",
    config_set::ConfigSet = "config.set",
    config_restore::ConfigRestore = "config.restore",
    postgres_terminate::PostgresTerminate = "postgres.terminate_backends",
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
}

impl Action {
    /// The target it changes.
    pub fn target(&self) -> TargetId {
        self.act().target()
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
