//! The settings and clients of fake data services.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::FakeWorld;
use super::edges::key;
use super::world::State;
use crate::model::{
    ConfigState, DatabaseFacts, Endpoint, Facts, RedisClient, RedisFacts, ServerSetting,
    SettingFacts, SettingNow, Timestamp,
};
use crate::ports::{Servers, WorldError, WorldResult};

/// The configuration of PostgreSQL servers, by server.
#[derive(Default)]
pub(super) struct Configured {
    altered: BTreeMap<(String, ServerSetting), Altered>,
    loaded_at: BTreeMap<String, Timestamp>,
}

/// A setting that was written once.
struct Altered {
    written: Option<String>,
    /// What the server works with where nothing is written.
    default: i64,
}

impl State {
    fn redis(&mut self, key: &str) -> WorldResult<&mut RedisFacts> {
        match self.answers.get_mut(key).map(|answer| &mut answer.facts) {
            Some(Facts::Redis(facts)) => Ok(facts),
            _ => Err(refused_connection(key)),
        }
    }

    fn postgres(&mut self, key: &str) -> WorldResult<&mut DatabaseFacts> {
        match self.answers.get_mut(key).map(|answer| &mut answer.facts) {
            Some(Facts::Postgres(facts)) => Ok(facts),
            _ => Err(refused_connection(key)),
        }
    }

    fn primary(&mut self, key: &str) -> WorldResult<&mut DatabaseFacts> {
        let facts = self.postgres(key)?;
        if facts.in_recovery {
            let why = "it is in recovery".to_owned();
            return Err(WorldError::Refused { what: format!("changing {key}"), why });
        }
        Ok(facts)
    }

    fn setting(&mut self, key: &str, setting: ServerSetting) -> WorldResult<SettingNow> {
        if !setting.is_of_postgres() {
            return Ok(SettingNow { value: read(self.redis(key)?, setting), in_force: true });
        }
        let works_with = find(self.postgres(key)?, setting)?.value.to_string();
        let written = self.configured.altered.get(&(key.to_owned(), setting));
        let value = written.and_then(|altered| altered.written.clone());
        let in_force = value.as_ref().is_none_or(|value| *value == works_with);
        Ok(SettingNow { value, in_force })
    }

    fn alter(&mut self, key: &str, setting: ServerSetting, value: Option<&str>) -> WorldResult<()> {
        let default = find(self.primary(key)?, setting)?.value;
        let key_of_it = (key.to_owned(), setting);
        let first = Altered { written: None, default };
        let altered = self.configured.altered.entry(key_of_it).or_insert(first);
        altered.written = value.map(str::to_owned);
        let works_with = value.and_then(|value| value.parse().ok()).unwrap_or(altered.default);
        find(self.postgres(key)?, setting)?.value = works_with;
        Ok(())
    }
}

fn refused_connection(key: &str) -> WorldError {
    WorldError::Unreachable { what: key.to_owned(), why: "connection refused".to_owned() }
}

fn find(facts: &mut DatabaseFacts, setting: ServerSetting) -> WorldResult<&mut SettingFacts> {
    let missing = || WorldError::NotFound { what: setting.name().to_owned() };
    facts.settings.iter_mut().find(|now| now.setting == setting).ok_or_else(missing)
}

fn read(facts: &RedisFacts, setting: ServerSetting) -> Option<String> {
    match setting {
        ServerSetting::RedisMaxmemory => {
            Some(facts.maxmemory_bytes.unwrap_or_default().to_string())
        }
        ServerSetting::RedisMaxmemoryPolicy => facts.maxmemory_policy.clone(),
        _ => None,
    }
}

fn write(facts: &mut RedisFacts, setting: ServerSetting, value: &str) {
    match setting {
        ServerSetting::RedisMaxmemory => {
            facts.maxmemory_bytes = value.parse().ok().filter(|bytes| *bytes > 0);
        }
        ServerSetting::RedisMaxmemoryPolicy => facts.maxmemory_policy = Some(value.to_owned()),
        _ => {}
    }
    let is_full =
        facts.used_memory_bytes.zip(facts.maxmemory_bytes).is_some_and(|(used, most)| used >= most);
    facts.writes_rejected = is_full && facts.evicts() == Some(false);
}

#[async_trait]
impl Servers for FakeWorld {
    async fn setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
    ) -> WorldResult<SettingNow> {
        let key = key(endpoint);
        self.call("setting", &key, |state| state.setting(&key, setting))
    }

    async fn set_setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
        value: Option<&str>,
    ) -> WorldResult<()> {
        let key = key(endpoint);
        self.call("set_setting", &key, |state| {
            if setting.is_of_postgres() {
                state.alter(&key, setting, value)?;
            } else {
                write(state.redis(&key)?, setting, value.unwrap_or_default());
            }
            let value = value.unwrap_or_default();
            state.effects.push(format!("set {} of {key} to {value}", setting.name()));
            Ok(())
        })
    }

    async fn config_loaded_at(&self, endpoint: &Endpoint) -> WorldResult<Timestamp> {
        let key = key(endpoint);
        self.call("config_loaded_at", &key, |state| {
            state.postgres(&key)?;
            Ok(state.configured.loaded_at.get(&key).copied().unwrap_or(Timestamp::UNIX_EPOCH))
        })
    }

    async fn load_config(&self, endpoint: &Endpoint) -> WorldResult<()> {
        let (key, now) = (key(endpoint), self.now());
        self.call("load_config", &key, |state| {
            let facts = state.primary(&key)?;
            facts.config = facts.config.map(|_| ConfigState::Loaded);
            state.configured.loaded_at.insert(key.clone(), now);
            state.effects.push(format!("load the configuration of {key}"));
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
        let mut state = self.state();
        let keys: Vec<String> = state.answers.keys().cloned().collect();
        let redis = [ServerSetting::RedisMaxmemory, ServerSetting::RedisMaxmemoryPolicy];
        let settings = [redis, ServerSetting::POSTGRES].concat();
        let mut all = BTreeMap::new();
        for (key, setting) in keys.iter().flat_map(|k| settings.iter().map(move |s| (k, *s))) {
            if let Ok(now) = state.setting(key, setting) {
                all.insert(format!("{key} {}", setting.name()), format!("{now:?}"));
            }
        }
        all
    }
}
