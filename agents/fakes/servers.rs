//! The settings and clients of fake data services.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::FakeWorld;
use super::edges::key;
use super::world::State;
use crate::model::{Endpoint, Facts, RedisClient, RedisFacts, ServerSetting};
use crate::ports::{Servers, WorldError, WorldResult};

impl State {
    fn redis(&mut self, key: &str) -> WorldResult<&mut RedisFacts> {
        match self.answers.get_mut(key).map(|answer| &mut answer.facts) {
            Some(Facts::Redis(facts)) => Ok(facts),
            _ => Err(WorldError::Unreachable {
                what: key.to_owned(),
                why: "connection refused".to_owned(),
            }),
        }
    }
}

fn read(facts: &RedisFacts, setting: ServerSetting) -> Option<String> {
    match setting {
        ServerSetting::RedisMaxmemory => {
            Some(facts.maxmemory_bytes.unwrap_or_default().to_string())
        }
        ServerSetting::RedisMaxmemoryPolicy => facts.maxmemory_policy.clone(),
    }
}

fn write(facts: &mut RedisFacts, setting: ServerSetting, value: &str) {
    match setting {
        ServerSetting::RedisMaxmemory => {
            facts.maxmemory_bytes = value.parse().ok().filter(|bytes| *bytes > 0);
        }
        ServerSetting::RedisMaxmemoryPolicy => facts.maxmemory_policy = Some(value.to_owned()),
    }
    let is_full =
        facts.used_memory_bytes.zip(facts.maxmemory_bytes).is_some_and(|(used, most)| used >= most);
    facts.writes_rejected = is_full && facts.maxmemory_policy.as_deref() == Some("noeviction");
}

#[async_trait]
impl Servers for FakeWorld {
    async fn setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
    ) -> WorldResult<Option<String>> {
        let key = key(endpoint);
        self.call("setting", &key, |state| Ok(read(state.redis(&key)?, setting)))
    }

    async fn set_setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
        value: Option<&str>,
    ) -> WorldResult<()> {
        let key = key(endpoint);
        self.call("set_setting", &key, |state| {
            let value = value.unwrap_or_default();
            write(state.redis(&key)?, setting, value);
            state.effects.push(format!("set {} of {key} to {value}", setting.name()));
            Ok(())
        })
    }

    async fn kill_clients(&self, endpoint: &Endpoint, clients: &[RedisClient]) -> WorldResult<u32> {
        let key = key(endpoint);
        self.call("kill_clients", &key, |state| {
            let facts = state.redis(&key)?;
            let before = facts.idle_clients.len();
            facts
                .idle_clients
                .retain(|c| !clients.iter().any(|k| k.id == c.id && k.address == c.address));
            let ended = u32::try_from(before - facts.idle_clients.len()).unwrap_or(u32::MAX);
            facts.clients = facts.clients.map(|count| count.saturating_sub(ended));
            if ended > 0 {
                state.effects.push(format!("kill {ended} clients of {key}"));
            }
            Ok(ended)
        })
    }
}

impl FakeWorld {
    /// Every setting of every server, by server and name.
    pub fn server_settings(&self) -> BTreeMap<String, String> {
        let state = self.state();
        let redis = state.answers.iter().filter_map(|(key, answer)| match &answer.facts {
            Facts::Redis(facts) => Some((key, facts)),
            _ => None,
        });
        redis
            .flat_map(|(key, facts)| {
                [ServerSetting::RedisMaxmemory, ServerSetting::RedisMaxmemoryPolicy].map(
                    |setting| {
                        let value = read(facts, setting).unwrap_or_default();
                        (format!("{key} {}", setting.name()), value)
                    },
                )
            })
            .collect()
    }
}
