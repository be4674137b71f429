//! The state of the fake world and how a test sets the scene.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::FakeClock;
use super::scene::{Behaviour, Condition, Failure, Scene, Stall};
use super::servers::Configured;
use crate::fix_engineer::config_file::sha256;
use crate::model::{
    CloneFile, Command, Connection, ContainerFacts, ContainerStatus, Endpoint, Facts, FileContent,
    HealthStatus, HostFacts, ImageFacts, LogFolder, LogLine, LogStream, LogSurvey, RuntimeEvent,
    RuntimeEventKind, TargetId, Timestamp, Usage,
};
use crate::ports::{Clock, World};

/// When a condition is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At every look.
    Always,
    /// At a start, and when a signal makes it read its settings again.
    AtStart,
}

pub(super) struct FakeContainer {
    pub(super) facts: ContainerFacts,
    pub(super) behaviour: Behaviour,
    pub(super) usage: Usage,
    /// Runs without working, until it is started again.
    pub(super) broken: bool,
    pub(super) conditions: Vec<(Condition, When)>,
    pub(super) logs: Vec<LogLine>,
    pub(super) processes: Vec<String>,
    /// Of a clone: files that it sees otherwise than the host has them.
    pub(super) files: Vec<CloneFile>,
}

pub(super) struct Answer {
    pub(super) facts: Facts,
    /// Answers only while this container works.
    pub(super) hosted_by: Option<String>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) containers: BTreeMap<String, FakeContainer>,
    pub(super) files: BTreeMap<String, FileContent>,
    pub(super) answers: BTreeMap<String, Answer>,
    pub(super) configured: Configured,
    pub(super) log_folders: BTreeMap<LogFolder, LogSurvey>,
    /// By name.
    pub(super) commands: BTreeMap<String, Command>,
    /// What commands did and nobody has taken back.
    pub(super) done: BTreeSet<String>,
    pub(super) host: HostFacts,
    /// What the image builder keeps that nobody needs, in bytes.
    pub(super) build_cache: u64,
    /// By the container's id.
    pub(super) connections: BTreeMap<String, Vec<Connection>>,
    pub(super) effects: Vec<String>,
    /// Log files of which a copy was to be kept.
    pub(super) set_aside: Vec<String>,
    pub(super) events: Vec<RuntimeEvent>,
    pub(super) pulls: Vec<(Timestamp, String)>,
    /// By id.
    pub(super) images: BTreeMap<String, ImageFacts>,
    /// How clones do, by their container.
    pub(super) alone: BTreeMap<String, super::rehearsals::Alone>,
    /// What blueprints were drawn from, by the container's id.
    pub(super) drawn: BTreeMap<String, ContainerFacts>,
    /// Engines beside the own that do not answer.
    pub(super) away: BTreeSet<String>,
    failures: BTreeMap<String, VecDeque<Failure>>,
    /// The port functions that were called.
    called: BTreeSet<String>,
    /// How late a question is answered, and whether it is answered then.
    stalls: BTreeMap<String, Stall>,
    wakers: Vec<Waker>,
}

impl State {
    /// What conditions may ask of it.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            containers: &self.containers,
            files: &self.files,
            log_folders: &self.log_folders,
            done: &self.done,
        }
    }

    pub(super) fn wait(&mut self, context: &Context<'_>) {
        self.wakers.push(context.waker().clone());
    }

    pub(super) fn emit(&mut self, at: Timestamp, container: &str, kind: RuntimeEventKind) {
        let target = TargetId::container(container);
        self.events.push(RuntimeEvent { at, target, kind, by_selfheal: false });
        self.wake();
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Whether every condition of this kind holds for the container.
    pub(super) fn conditions_hold(&self, name: &str, when: When) -> bool {
        let scene = self.scene();
        self.containers.get(name).is_some_and(|container| {
            container.conditions.iter().filter(|(_, w)| *w == when).all(|(holds, _)| holds(&scene))
        })
    }

    /// Whether a container runs and does its work.
    pub(super) fn works(&self, name: &str) -> bool {
        self.containers.get(name).is_some_and(|c| c.facts.is_up() && !c.broken)
            && self.conditions_hold(name, When::Always)
    }

    /// Changes the facts of a container, if it is there.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut ContainerFacts)) {
        if let Some(container) = self.containers.get_mut(name) {
            change(&mut container.facts);
        }
    }

    /// Brings the health of containers with live conditions up to date.
    pub(super) fn refresh_health(&mut self) {
        let verdicts: Vec<(String, bool)> = self
            .containers
            .iter()
            .filter(|(_, c)| c.conditions.iter().any(|(_, when)| *when == When::Always))
            .map(|(name, _)| (name.clone(), self.works(name)))
            .collect();
        for (name, works) in verdicts {
            if let Some(container) = self.containers.get_mut(&name) {
                container.show_health(works);
            }
        }
    }
}

impl FakeContainer {
    pub(super) fn new(facts: ContainerFacts) -> Self {
        Self {
            facts,
            behaviour: Behaviour::Works,
            usage: Usage {
                cpu_percent: Some(1.0),
                memory_bytes: Some(16 << 20),
                processes: Some(1),
            },
            broken: false,
            conditions: vec![],
            logs: vec![],
            processes: vec![],
            files: vec![],
        }
    }

    /// Shows it as the health check would, where there is one and the container runs.
    pub(super) fn show_health(&mut self, works: bool) {
        if self.facts.health.is_some() && self.facts.is_up() {
            let status = if works { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
            self.facts.health = Some(status);
        }
    }

    pub(super) fn end(&mut self, at: Timestamp, exit_code: i64) {
        self.facts.status = ContainerStatus::Exited;
        self.facts.exit_code = Some(exit_code);
        self.facts.finished_at = Some(at);
    }
}

/// The world in memory; cloning shares it.
#[derive(Clone)]
pub struct FakeWorld {
    clock: FakeClock,
    state: Arc<Mutex<State>>,
}

impl Default for FakeWorld {
    fn default() -> Self {
        Self::new(FakeClock::default())
    }
}

impl FakeWorld {
    /// An empty, idle host with four cores and 8 GiB of memory.
    pub fn new(clock: FakeClock) -> Self {
        let host = HostFacts {
            cpu_percent: Some(5.0),
            cores: 4,
            load: Some([0.2, 0.2, 0.2]),
            memory_total_bytes: 8 << 30,
            memory_used_bytes: 2 << 30,
            ..HostFacts::default()
        };
        Self { clock, state: Arc::new(Mutex::new(State { host, ..State::default() })) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock of this world.
    pub fn clock(&self) -> &FakeClock {
        &self.clock
    }

    /// This world behind the ports.
    pub fn world(&self) -> World {
        let shared = Arc::new(self.clone());
        World {
            clock: Arc::new(self.clock.clone()),
            runtime: shared.clone(),
            host: shared.clone(),
            prober: shared.clone(),
            servers: shared.clone(),
            commands: shared.clone(),
            logs: shared.clone(),
            files: shared,
        }
    }

    /// Adds a container, or replaces one of that name.
    pub fn add(&self, facts: ContainerFacts) -> &Self {
        self.state().containers.insert(facts.name.clone(), FakeContainer::new(facts));
        self
    }

    /// Removes a container.
    pub fn remove(&self, name: &str) -> &Self {
        self.state().containers.remove(name);
        self
    }

    /// Changes a container's facts directly. Panics if there is none of that name.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut ContainerFacts)) -> &Self {
        self.with(name, |container| change(&mut container.facts))
    }

    pub(super) fn with(&self, name: &str, change: impl FnOnce(&mut FakeContainer)) -> &Self {
        let mut state = self.state();
        let container = state.containers.get_mut(name);
        change(container.unwrap_or_else(|| panic!("the test has no container `{name}`")));
        drop(state);
        self
    }

    /// Whether there is a container of that name.
    pub fn has(&self, name: &str) -> bool {
        self.state().containers.contains_key(name)
    }

    /// A container's facts. Panics if there is none of that name.
    pub fn facts(&self, name: &str) -> ContainerFacts {
        let mut state = self.state();
        state.refresh_health();
        let container = state.containers.get(name);
        container.unwrap_or_else(|| panic!("the test has no container `{name}`")).facts.clone()
    }

    /// What happens at the next starts of a container.
    pub fn behaves(&self, name: &str, behaviour: Behaviour) -> &Self {
        self.with(name, |container| container.behaviour = behaviour)
    }

    /// What a container uses.
    pub fn uses(&self, name: &str, usage: Usage) -> &Self {
        self.with(name, |container| container.usage = usage)
    }

    /// Makes a container run without working until it is started again.
    pub fn hang(&self, name: &str) -> &Self {
        self.with(name, |container| {
            container.broken = true;
            container.show_health(false);
        })
    }

    /// A container that hangs works again, and nobody did anything for it.
    pub fn recover(&self, name: &str) -> &Self {
        self.with(name, |container| {
            container.broken = false;
            container.show_health(true);
        })
    }

    /// A container works only while this holds, such as `|scene| scene.is_up("db")`.
    pub fn works_while(
        &self,
        name: &str,
        holds: impl Fn(&Scene<'_>) -> bool + Send + Sync + 'static,
    ) -> &Self {
        self.with(name, |c| c.conditions.push((Arc::new(holds), When::Always)))
    }

    /// A container works if this holds when it is started (or signalled): the way a setting
    /// in a file takes effect. It does not work until then.
    pub fn works_if_started_when(
        &self,
        name: &str,
        holds: impl Fn(&Scene<'_>) -> bool + Send + Sync + 'static,
    ) -> &Self {
        self.with(name, |c| c.conditions.push((Arc::new(holds), When::AtStart))).hang(name)
    }

    /// A container's process ends by itself.
    pub fn crash(&self, name: &str, exit_code: i64) -> &Self {
        let now = self.now();
        self.with(name, |container| container.end(now, exit_code));
        self.emit(name, RuntimeEventKind::Die { exit_code })
    }

    /// A person types `docker stop`.
    pub fn person_stops(&self, name: &str) -> &Self {
        let now = self.now();
        self.with(name, |container| container.end(now, 143));
        self.emit(name, RuntimeEventKind::Kill { signal: "15".to_owned() });
        self.emit(name, RuntimeEventKind::Die { exit_code: 143 });
        self.emit(name, RuntimeEventKind::Stop)
    }

    /// The runtime tells something, now.
    pub fn emit(&self, container: &str, kind: RuntimeEventKind) -> &Self {
        let now = self.now();
        self.state().emit(now, container, kind);
        self
    }

    /// Everything the runtime told so far, oldest first.
    pub fn events_so_far(&self) -> Vec<RuntimeEvent> {
        self.state().events.clone()
    }

    /// A container writes a line, now.
    pub fn log(&self, name: &str, text: &str) -> &Self {
        let at = self.now();
        let line = LogLine { at, stream: LogStream::Stderr, text: text.to_owned() };
        self.with(name, |container| container.logs.push(line));
        self.state().wake();
        self
    }

    /// The image builder keeps so many bytes that nobody needs.
    pub fn keeps_builds(&self, bytes: u64) -> &Self {
        self.state().build_cache = bytes;
        self
    }

    /// A container has connections to these addresses and ports, such as `10.0.0.2:5432`; it
    /// gets a first process that they are seen by. Panics if one is no address.
    pub fn connects(&self, name: &str, to: &[&str]) -> &Self {
        let to = to.iter().map(|to| to.parse().unwrap_or_else(|_| panic!("`{to}` is no address")));
        let connections = to.map(|to| Connection { to, established: true }).collect();
        let id = self.facts(name).id;
        self.state().connections.insert(id, connections);
        self.change(name, |facts| facts.pid = Some(4_000_000))
    }

    /// Changes what the host says.
    pub fn change_host(&self, change: impl FnOnce(&mut HostFacts)) -> &Self {
        change(&mut self.state().host);
        self
    }

    /// Puts a file there.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let content = FileContent {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
            sha256: sha256(text.as_bytes()),
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified_secs: self.now().timestamp(),
        };
        self.state().files.insert(path.to_owned(), content);
        self
    }

    /// A file's text; empty if it is not there.
    pub fn text(&self, path: &str) -> String {
        let state = self.state();
        state.scene().text(path)
    }

    /// An endpoint answers so, whatever happens.
    pub fn answers(&self, endpoint: &Endpoint, facts: Facts) -> &Self {
        let answer = Answer { facts, hosted_by: None };
        self.state().answers.insert(super::edges::key(endpoint), answer);
        self
    }

    /// An endpoint answers so while that container works and has the endpoint's address;
    /// otherwise it refuses (container down) or times out (container hangs).
    pub fn hosts(&self, container: &str, endpoint: &Endpoint, facts: Facts) -> &Self {
        let answer = Answer { facts, hosted_by: Some(container.to_owned()) };
        self.state().answers.insert(super::edges::key(endpoint), answer);
        self
    }

    /// The next `times` calls of a port function fail so. `operation` is its name:
    /// `containers`, `restart`, `set_memory_limits`, `replace`, `terminate_backends`, ...
    /// Whoever listens to `events` is cut off at once.
    pub fn fail_next(&self, operation: &str, failure: &Failure, times: usize) -> &Self {
        let mut state = self.state();
        let queue = state.failures.entry(operation.to_owned()).or_default();
        queue.extend(std::iter::repeat_n(failure.clone(), times));
        state.wake();
        drop(state);
        self
    }

    /// Ends what [`Self::fail_next`] began.
    pub fn no_longer_fails(&self, operation: &str) -> &Self {
        self.state().failures.remove(operation);
        self
    }

    /// From now on `question` (`probe http://shop/`, or with `container`, `usage`, `logs`,
    /// `restart` or `unstage` before a container's name, or `command` before a command's) is
    /// answered, or known not to be answered in time, when `stall` ends.
    pub fn stall(
        &self,
        question: &str,
        stall: impl Fn(Duration) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> &Self {
        self.state().stalls.insert(question.to_owned(), Arc::new(stall));
        self
    }

    /// Waits as a test told it to; whether the answer comes at all.
    pub(super) async fn answered(&self, question: &str, limit: Duration) -> bool {
        let known = self.state().stalls.get(question).map(|stall| stall(limit));
        match known {
            Some(stall) => stall.await,
            None => true,
        }
    }

    /// The failure injected for this call, if any.
    pub(super) fn injected(&self, operation: &str) -> Option<Failure> {
        let mut state = self.state();
        state.called.insert(operation.to_owned());
        state.failures.get_mut(operation)?.pop_front()
    }

    /// The port functions that were called so far, by the names [`Self::fail_next`] takes.
    pub fn called(&self) -> BTreeSet<String> {
        self.state().called.clone()
    }

    /// Every change asked of the world, in order and in a person's words, such as
    /// `restart web`, `replace /srv/a.json`. Refused ones are not listed.
    pub fn effects(&self) -> Vec<String> {
        self.state().effects.clone()
    }
}
