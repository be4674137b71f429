//! Questions to the world that outlive the look that asked them: one target that hangs delays
//! nobody.
//!
//! A look waits as long as answers keep coming, and a moment longer. What has not answered by
//! then goes on being asked without it: the target is *late*, nothing is decided about it or
//! about what needs it, and a cycle of its own follows when the answer, or the end of its time
//! limit, is there. A target known to hang is not late: that it was silent a moment ago stands
//! in for the silence of now.
//!
//! A question is asked once at a time; a later look joins it. One that a light probe had no answer
//! to begins at once ([`Asked::ahead`]), so that its long time limit runs while the probes confirm
//! the silence: what is slow gets time, and a hang is found no later. Nothing asked of an earlier life
//! of a container, or before a fix, is ever used ([`Asked::forget`]). Validation windows do not
//! ask here at all: they wait for answers of their own.
//!
//! Rejected: cycles that run beside each other. Two pictures of the world would be judged by
//! one memory of hold times and counted lines, and blame would cross between them.

mod question;

use std::time::Duration;

use async_trait::async_trait;
use selfheal_agents::health_monitor::Inquiry;
use selfheal_agents::model::{
    ContainerFacts, Endpoint, Facts, LogBatch, LogCursor, TargetId, Timestamp, Usage,
};
use selfheal_agents::ports::{Questions, World, WorldResult};

use question::{Answer, Patience, Pending};

/// How long an answer that came too late for its look is still true: shorter than the light
/// probes take to notice a hang, so that it never hides one.
const PROBE_STANDS: Duration = Duration::from_secs(2);
/// The same for what a container uses and writes.
const READING_STANDS: Duration = Duration::from_secs(10);
/// How long silence stands in for silence: longer than the time limit of a question, so that
/// one after the other covers a hang without a gap.
const SILENCE_STANDS: Duration = Duration::from_secs(15);

/// What is asked of an endpoint, and of which life of its container.
type Probed = (Endpoint, Duration, Option<Timestamp>);
/// Which life of which container is asked, by the runtime's id.
type Life = (String, Option<Timestamp>);

/// All questions under way.
#[derive(Default)]
pub(super) struct Asked {
    probes: Pending<Probed, Facts>,
    usage: Pending<Life, WorldResult<Usage>>,
    logs: Pending<Life, WorldResult<LogBatch>>,
}

impl Asked {
    /// Begins a look with a patience of its own.
    pub(super) fn look<'a>(&'a self, world: &'a World) -> Look<'a> {
        self.probes.forget_the_old();
        self.usage.forget_the_old();
        self.logs.forget_the_old();
        Look { asked: self, world, patience: Patience::begin() }
    }

    /// Asks a target before anybody looks: the look that follows joins in.
    pub(super) fn ahead(&self, world: &World, target: &TargetId, inquiry: Inquiry<'_>) {
        let (subject, question) = probe(world, inquiry);
        self.probes.begin(target, subject, question);
    }

    /// Waits until nothing is asked of these targets.
    pub(super) async fn ended(&self, targets: &[TargetId]) {
        for target in targets {
            self.probes.ended(target).await;
            self.usage.ended(target).await;
            self.logs.ended(target).await;
        }
    }

    /// Drops every question and answer: the world was changed.
    pub(super) fn forget(&self) {
        self.probes.forget();
        self.usage.forget();
        self.logs.forget();
    }
}

/// A question to an endpoint, and what it is about.
fn probe(world: &World, inquiry: Inquiry<'_>) -> (Probed, impl Future<Output = Facts> + use<>) {
    let Inquiry { life, endpoint, limit } = inquiry;
    let (prober, endpoint) = (world.prober.clone(), endpoint.clone());
    let subject = (endpoint.clone(), limit, life);
    (subject, async move { prober.probe(&endpoint, limit).await })
}

/// The questions of one look.
pub(super) struct Look<'a> {
    asked: &'a Asked,
    world: &'a World,
    patience: Patience,
}

#[async_trait]
impl Questions for Look<'_> {
    async fn probe(
        &self,
        target: &TargetId,
        life: Option<Timestamp>,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Option<Facts> {
        let (subject, question) = probe(self.world, Inquiry { life, endpoint, limit });
        self.asked.probes.ask(target, subject, &self.patience, question).await
    }

    async fn usage(&self, container: &ContainerFacts) -> Option<WorldResult<Usage>> {
        let (runtime, name) = (self.world.runtime.clone(), container.name.clone());
        let question = async move { runtime.usage(&name).await };
        let target = TargetId::container(&container.name);
        self.asked.usage.ask(&target, life_of(container), &self.patience, question).await
    }

    async fn logs(
        &self,
        container: &ContainerFacts,
        since: LogCursor,
        max_lines: usize,
    ) -> Option<WorldResult<LogBatch>> {
        let (runtime, name) = (self.world.runtime.clone(), container.name.clone());
        let question = async move { runtime.logs(&name, Some(since), max_lines).await };
        let target = TargetId::container(&container.name);
        // A batch that begins earlier will do: the detector counts a line once.
        self.asked.logs.ask(&target, life_of(container), &self.patience, question).await
    }
}

/// Its end belongs to a life, too: what it wrote last is read after it.
fn life_of(container: &ContainerFacts) -> Life {
    let newest = container.started_at.max(container.finished_at);
    (container.id.clone(), newest)
}

impl Answer for Facts {
    fn is_silence(&self) -> bool {
        match self {
            Self::Http(http) => !http.ok && http.timed_out,
            Self::Postgres(database) | Self::Mysql(database) => !database.reachable,
            Self::Redis(redis) => !redis.reachable,
            Self::Tcp(tcp) => !tcp.reachable,
            Self::Host(_) | Self::Container(_) => false,
        }
    }

    fn stands(&self) -> Duration {
        if self.is_silence() { SILENCE_STANDS } else { PROBE_STANDS }
    }
}

impl<T: Clone + Send + Sync + 'static> Answer for WorldResult<T> {
    fn is_silence(&self) -> bool {
        self.as_ref().is_err_and(selfheal_agents::ports::WorldError::is_transient)
    }

    fn stands(&self) -> Duration {
        if self.is_silence() { SILENCE_STANDS } else { READING_STANDS }
    }
}
