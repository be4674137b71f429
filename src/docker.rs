//! Docker: the container runtime behind the port.
//!
//! Its invariant: every call returns within a time limit and works by itself. A connection
//! is made for each request, so the daemon may be absent at the start, go away and come
//! back; nothing has to be told. No type of the client library leaves this module.
//!
//! It does not judge what it sees, does not know which events Selfheal caused, and removes
//! nothing but what `selfheal demo` made itself (`demo_stage`), one of the two containers when one
//! was made again (`remake`) and clones that fixes were tried on, with the volumes made for them
//! alone (`remake/rehearsal`); never another volume that is not a demo's.
//!
//! What it asks of Docker's API:
//!
//! | verb | for |
//! |---|---|
//! | `GET /version` | [`Docker::ping`]; whether it lives, before its events are listened to |
//! | `GET /containers/json?all=1` | which containers there are |
//! | `GET /containers/{id}/json` | facts of one; each is read by itself, with a time limit |
//! | `GET /containers/{id}/stats?one-shot=1` | usage, where the kernel cannot be asked; the sample before is kept here |
//! | `GET /containers/{id}/top` | whether a backup runs in it |
//! | `GET /containers/{id}/logs` | lines after a cursor, or as they come |
//! | `GET /events` | events and pulls of images, filtered at the server |
//! | `POST /containers/{id}/start`, `/restart` | bringing it back |
//! | `POST /containers/{id}/stop` | a left-over that holds a port |
//! | `POST /containers/{id}/kill`, `/pause`, `/unpause` | signals, freezing, thawing |
//! | `POST /containers/{id}/update` | limits of memory and processors |
//! | `GET /system/df`, `POST /build/prune` | what the image builder keeps and nobody needs |
//! | `POST /networks/{name}/connect`, `/disconnect` | networks |
//! | `GET /images/{id}/json`, `POST /containers/create`, `POST /containers/{id}/rename`, `DELETE /containers/{id}` | making a container again |
//! | the same without the renaming, `GET` and `PUT /containers/{id}/archive` | clones that fixes are tried on |
//! | `POST /images/create`, `GET /images/json`, `DELETE /images/{id}` | the demo alone |
//!
//! Bollard makes the changes and reads the events. Lists, inspections, samples and logs are
//! read by our own code over the same connection: bollard's types refuse a whole answer for
//! one unknown word, and its log reader keeps a line without an end in memory for ever.
//!
//! No version of the API is agreed on: a daemon that is exchanged while Selfheal runs would
//! refuse what its predecessor spoke. Without one, each answers in its own.

mod address;
mod builds;
mod cgroup;
mod changes;
mod demo_stage;
mod encrypted;
mod engines;
mod events;
mod facts;
mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzzed;
mod inspect;
mod line;
mod listing;
mod log_batch;
mod log_decoder;
mod logs;
mod processes;
mod remake;
mod ssh;
mod usage;
mod wire;

pub use address::{Address, InvalidAddress, is_this_machine};
pub use demo_stage::{DEMO_PORT, DemoContainer, DemoLeft, demo_container};
pub use encrypted::{Credentials, CredentialsError};
pub use engines::Engines;
pub use ssh::{Login, Ssh};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use futures_util::stream::BoxStream;
use selfheal_agents::model::{
    ContainerFacts, LogBatch, LogCursor, LogLine, MemoryLimits, NetworkAttachment, RuntimeEvent,
    Timestamp, Usage, clean,
};
use selfheal_agents::ports::{BuildCache, ContainerRuntime, WorldError, WorldResult};

use inspect::Inspect;
use wire::Wire;

/// Bollard's own time limit, in seconds. Ours are shorter and cover the whole answer.
const BOLLARD_LIMIT_SECS: u64 = 24 * 60 * 60;

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For reading one thing.
    pub read: Duration,
    /// For changing one thing, beside the time a container may take to stop. Docker under
    /// load has taken 80 s.
    pub change: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { read: Duration::from_secs(10), change: Duration::from_secs(90) }
    }
}

/// What answers at the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// Version of the engine, such as `20.10.24`.
    pub version: String,
    /// Version of its API, such as `1.41`.
    pub api_version: String,
}

/// A Docker engine. Cloning shares it.
#[derive(Clone)]
pub struct Docker {
    wire: Wire,
    limits: Limits,
    client: bollard::Docker,
    samples: Arc<usage::Samples>,
    names: Arc<events::Names>,
    recent: Arc<logs::Recent>,
    processes: Arc<cgroup::Processes>,
}

impl Docker {
    /// Prepares calls to `unix:///path`, `tcp://host:port`, `http://host:port` or
    /// `ssh://user@host`. Connects to nothing yet; only an address that cannot be understood is
    /// an error.
    pub fn connect(host: &str) -> Result<Self, WorldError> {
        let address = Address::parse_own(host).map_err(|invalid| WorldError::Refused {
            what: "`docker.host`".to_owned(),
            why: invalid.to_string(),
        })?;
        Self::reached_by(address, None)
    }

    /// As [`Self::connect`], with TLS where there are credentials; their files are read at once.
    pub fn reached_by(
        address: Address,
        credentials: Option<&Credentials>,
    ) -> Result<Self, WorldError> {
        let tls = credentials.map(Credentials::client).transpose();
        let tls = tls.map_err(|error| WorldError::Refused {
            what: format!("TLS to Docker at {address}"),
            why: error.to_string(),
        })?;
        Self::over(Wire::new(address, tls, Login::default()))
    }

    /// As [`Self::connect`] through SSH, by this key and with these known hosts.
    pub fn through_ssh(ssh: Ssh, login: Login) -> Result<Self, WorldError> {
        Self::over(Wire::new(Address::Ssh(ssh), None, login))
    }

    fn over(wire: Wire) -> Result<Self, WorldError> {
        Ok(Self {
            client: bollard_over(&wire)?,
            wire,
            limits: Limits::default(),
            samples: Arc::default(),
            names: Arc::default(),
            recent: Arc::default(),
            processes: Arc::default(),
        })
    }

    /// The same with other time limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Waits until there is a way to it, where one has to be opened first, or says why there is none.
    async fn reached(&self) -> WorldResult<()> {
        self.within("the way to Docker", self.limits.read, self.wire.opened()).await
    }

    /// Asks whether Docker answers, and which.
    pub async fn ping(&self) -> WorldResult<RuntimeInfo> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            version: String,
            api_version: String,
        }
        let asked = self.wire.get_json::<Version>("/version");
        let answer = self.within("Docker's version", self.limits.read, asked).await;
        let version = answer.map_err(|error| self.unless_docker(error))?;
        Ok(RuntimeInfo {
            version: clean(&version.version, 60),
            api_version: clean(&version.api_version, 20),
        })
    }

    /// What the clock of its machine says; `None` where it does not tell.
    pub async fn time(&self) -> WorldResult<Option<Timestamp>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            system_time: Option<String>,
        }
        let asked = self.wire.get_json::<Info>("/info");
        let info = self.within("Docker's clock", self.limits.read, asked).await?;
        Ok(info.system_time.and_then(|text| text.parse().ok()))
    }

    /// Some other web server refuses what every Docker answers.
    fn unless_docker(&self, error: WorldError) -> WorldError {
        match error {
            WorldError::NotFound { .. } | WorldError::Refused { .. } => WorldError::Unreachable {
                what: format!("Docker at {}", self.wire.address),
                why: format!("what answers there does not speak Docker's API ({error})"),
            },
            other => other,
        }
    }

    fn error(&self, what: &str, limit: Duration, error: &Error) -> WorldError {
        failure::world_error(what, limit, &self.wire.address, error)
    }

    /// One container by its name or its whole id.
    async fn inspect(&self, name: &str) -> WorldResult<Inspect> {
        let what = format!("container `{}`", clean(name, 120));
        if !is_container_name(name) {
            return Err(WorldError::NotFound { what });
        }
        let path = format!("/containers/{name}/json");
        let asked = self.wire.get_json::<Inspect>(&path);
        let inspect = self.within(&what, self.limits.read, asked).await?;
        let its_name = inspect.name.trim_start_matches('/');
        if its_name != name && inspect.id != name {
            // Docker took the name for the beginning of an id.
            return Err(WorldError::NotFound { what });
        }
        self.names.remember(&inspect.id, its_name);
        self.processes.remember(its_name, &inspect.id, inspect.state.pid);
        Ok(inspect)
    }
}

/// Bollard over our connection, which takes the version it writes out again.
fn bollard_over(wire: &Wire) -> Result<bollard::Docker, WorldError> {
    let wire = wire.clone();
    let address = wire.address.clone();
    let transport = move |request| {
        let wire = wire.clone();
        async move { wire.send::<_>(request).await }
    };
    bollard::Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        BOLLARD_LIMIT_SECS,
        bollard::API_DEFAULT_VERSION,
    )
    .map_err(|error| failure::world_error("Docker", Duration::ZERO, &address, &error))
}

/// What Docker accepts for a name; nothing else gets into a path.
fn is_container_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes().all(allowed) && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

#[async_trait]
impl ContainerRuntime for Docker {
    async fn containers(&self) -> WorldResult<Vec<ContainerFacts>> {
        self.list_containers().await
    }

    async fn container(&self, name: &str) -> WorldResult<ContainerFacts> {
        Ok(facts::of_inspect(&self.inspect(name).await?))
    }

    async fn usage(&self, name: &str) -> WorldResult<Usage> {
        let what = format!("the usage of container `{}`", clean(name, 120));
        if !is_container_name(name) {
            return Err(WorldError::NotFound { what });
        }
        if let Some(stats) = self.processes.sample(name) {
            return Ok(self.samples.usage(name, &stats));
        }
        let path = format!("/containers/{name}/stats?stream=0&one-shot=1");
        let stats = self.within(&what, self.limits.read, self.wire.get_json(&path)).await?;
        Ok(self.samples.usage(name, &stats))
    }

    async fn processes(&self, name: &str) -> WorldResult<Vec<String>> {
        self.running_in(name).await
    }

    async fn pulls(&self, _beside: &str, since: Timestamp) -> WorldResult<Vec<String>> {
        self.pulled(since).await
    }

    async fn logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        self.read_logs(name, since, max_lines).await
    }

    fn follow_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine> {
        self.stream_logs(name, since)
    }

    fn events(&self, since: Option<Timestamp>) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        self.stream_events(since)
    }

    async fn past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>> {
        self.events_until_now(since).await
    }

    async fn start(&self, name: &str) -> WorldResult<()> {
        self.start_container(name).await
    }

    async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        self.restart_container(name, signal, stop_timeout_secs).await
    }

    async fn stop(&self, name: &str, stop_timeout_secs: u32) -> WorldResult<()> {
        self.stop_container(name, stop_timeout_secs).await
    }

    async fn signal(&self, name: &str, signal: &str) -> WorldResult<()> {
        self.send_signal(name, signal).await
    }

    async fn pause(&self, name: &str) -> WorldResult<()> {
        self.pause_container(name).await
    }

    async fn unpause(&self, name: &str) -> WorldResult<()> {
        self.unpause_container(name).await
    }

    async fn build_cache(&self, unused_for: Duration) -> WorldResult<BuildCache> {
        self.builds_unused_for(unused_for).await
    }

    async fn prune_build_cache(&self, unused_for: Duration) -> WorldResult<u64> {
        self.prune_builds(unused_for).await
    }

    async fn set_memory_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()> {
        self.set_limits(name, limits).await
    }

    async fn set_cpu_limit(&self, name: &str, limit_nanos: Option<u64>) -> WorldResult<()> {
        self.limit_cpu(name, limit_nanos).await
    }

    async fn connect_network(&self, name: &str, attachment: &NetworkAttachment) -> WorldResult<()> {
        self.join_network(name, attachment).await
    }

    async fn disconnect_network(&self, name: &str, network: &str) -> WorldResult<()> {
        self.leave_network(name, network).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_docker_calls_a_name_gets_into_a_path() {
        assert!(is_container_name("web-1.front_x"));
        for name in ["", "../x", "a/b", "a?b", "-a", "a b", "ä"] {
            assert!(!is_container_name(name), "{name}");
        }
    }

    #[test]
    fn connecting_needs_no_docker_but_an_address() {
        assert!(Docker::connect("unix:///nowhere/at/all.sock").is_ok());
        assert!(Docker::connect("ftp://x").is_err());
    }
}
