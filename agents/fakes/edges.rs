//! The fake host, endpoints and files.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::FakeWorld;
use super::world::State;
use crate::fix_engineer::config_file::sha256;
use crate::model::{
    Connection, DatabaseFacts, Endpoint, Facts, FileContent, HostFacts, HttpFacts, RedisFacts,
    Session, TcpFacts,
};
use crate::ports::{ConfigFiles, HostSensor, Prober, WorldError, WorldResult};

/// Names an endpoint by kind and address; credentials do not matter.
pub(super) fn key(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Postgres(e) => format!("postgres {}:{}", e.host, e.port),
        Endpoint::Mysql(e) => format!("mysql {}:{}", e.host, e.port),
        Endpoint::Redis(e) => format!("redis {}:{}", e.host, e.port),
        Endpoint::Http(e) => format!("http {}", e.url),
        Endpoint::Tcp { host, port } => format!("tcp {host}:{port}"),
    }
}

/// The address a test calls it by.
fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Http(e) => e.url.clone(),
        Endpoint::Postgres(e) | Endpoint::Mysql(e) | Endpoint::Redis(e) => {
            format!("{}:{}", e.host, e.port)
        }
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
    }
}

fn host(endpoint: &Endpoint) -> &str {
    match endpoint {
        Endpoint::Postgres(e) | Endpoint::Mysql(e) | Endpoint::Redis(e) => &e.host,
        Endpoint::Tcp { host, .. } => host,
        Endpoint::Http(e) => {
            let rest = e.url.split_once("://").map_or(e.url.as_str(), |(_, rest)| rest);
            rest.split(['/', ':', '?']).next().unwrap_or(rest)
        }
    }
}

/// What an endpoint shows that does not answer.
fn silence(endpoint: &Endpoint, timed_out: bool) -> Facts {
    let error = Some(if timed_out { "timed out" } else { "connection refused" }.to_owned());
    match endpoint {
        Endpoint::Postgres(_) => Facts::Postgres(DatabaseFacts { error, ..Default::default() }),
        Endpoint::Mysql(_) => Facts::Mysql(DatabaseFacts { error, ..Default::default() }),
        Endpoint::Redis(_) => Facts::Redis(RedisFacts { error, ..Default::default() }),
        Endpoint::Http(_) => Facts::Http(HttpFacts { error, timed_out, ..Default::default() }),
        Endpoint::Tcp { .. } => Facts::Tcp(TcpFacts { error, ..Default::default() }),
    }
}

fn probe(state: &State, endpoint: &Endpoint) -> Facts {
    let Some(answer) = state.answers.get(&key(endpoint)) else {
        return silence(endpoint, false);
    };
    let Some(name) = &answer.hosted_by else {
        return answer.facts.clone();
    };
    let container = state.containers.get(name);
    let is_up = container.is_some_and(|c| c.facts.is_up());
    let address = host(endpoint);
    let unreachable = address.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback())
        && !container.is_some_and(|c| {
            c.facts.networks.iter().any(|network| network.ip.as_deref() == Some(address))
        });
    if state.works(name) && !unreachable {
        return answer.facts.clone();
    }
    silence(endpoint, is_up)
}

#[async_trait]
impl HostSensor for FakeWorld {
    async fn host(&self) -> WorldResult<HostFacts> {
        self.call("host", "", |state| Ok(state.host.clone()))
    }

    async fn connections(&self, _pid: u32, container_id: &str) -> WorldResult<Vec<Connection>> {
        self.call("connections", container_id, |state| {
            let known = state.connections.get(container_id).cloned();
            known.ok_or_else(|| WorldError::NotFound { what: container_id.to_owned() })
        })
    }
}

#[async_trait]
impl Prober for FakeWorld {
    async fn probe(&self, endpoint: &Endpoint, limit: Duration) -> Facts {
        let answered = self.answered(&format!("probe {}", address(endpoint)), limit).await;
        let timed_out = !answered || self.injected("probe").is_some();
        if timed_out { silence(endpoint, true) } else { probe(&self.state(), endpoint) }
    }

    async fn terminate_backends(
        &self,
        endpoint: &Endpoint,
        wanted: &[Session],
    ) -> WorldResult<u32> {
        let key = key(endpoint);
        self.call("terminate_backends", &key, |state| {
            let Some(Facts::Postgres(facts) | Facts::Mysql(facts)) =
                state.answers.get_mut(&key).map(|a| &mut a.facts)
            else {
                return Err(WorldError::Unreachable {
                    what: key.clone(),
                    why: "connection refused".to_owned(),
                });
            };
            let mut ended: Vec<i64> = vec![];
            for sessions in [&mut facts.idle_in_transaction, &mut facts.blockers, &mut facts.idle] {
                sessions.retain(|session| {
                    let named = wanted.iter().any(|one| one.is(session));
                    if named {
                        ended.push(session.pid);
                    }
                    !named
                });
            }
            ended.sort_unstable();
            ended.dedup();
            facts.blocked = facts.blocked.map(|_| facts.blockers.iter().map(|b| b.blocks).sum());
            let count = u32::try_from(ended.len()).unwrap_or(u32::MAX);
            facts.connections = facts.connections.map(|used| used.saturating_sub(count));
            state.effects.extend(ended.iter().map(|pid| format!("terminate {pid} of {key}")));
            Ok(count)
        })
    }
}

#[async_trait]
impl ConfigFiles for FakeWorld {
    async fn read(&self, path: &str) -> WorldResult<FileContent> {
        self.call("read", path, |state| {
            let file = state.files.get(path).cloned();
            file.ok_or_else(|| WorldError::NotFound { what: format!("the file {path}") })
        })
    }

    async fn list(&self, path: &str) -> WorldResult<Vec<String>> {
        self.call("list", path, |state| {
            let directly_in = |file: &str| {
                let name = file.strip_prefix(path.trim_end_matches('/'))?.strip_prefix('/')?;
                Some(!name.contains('/'))
            };
            let is_listed = |file: &&String| *file == path || directly_in(file) == Some(true);
            Ok(state.files.keys().filter(is_listed).cloned().collect())
        })
    }

    async fn replace(
        &self,
        content: &FileContent,
        expected_sha256: Option<&str>,
    ) -> WorldResult<()> {
        let modified_secs = self.now().timestamp();
        self.call("replace", &content.path, |state| {
            let now = state.files.get(&content.path).map(|file| file.sha256.as_str());
            if expected_sha256.is_some_and(|expected| now != Some(expected)) {
                return Err(WorldError::Conflict { what: format!("the file {}", content.path) });
            }
            let sha256 = sha256(&content.bytes);
            let file = FileContent { sha256, modified_secs, ..content.clone() };
            state.files.insert(content.path.clone(), file);
            state.effects.push(format!("replace {}", content.path));
            Ok(())
        })
    }
}
