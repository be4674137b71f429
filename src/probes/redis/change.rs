//! What is changed at a Redis: two of its settings, and who is connected. Never a key.

use std::time::Duration;

use redis::RedisError;
use selfheal_agents::model::{DatabaseEndpoint, RedisClient, ServerSetting, SettingNow};
use selfheal_agents::ports::{WorldError, WorldResult};

/// The longest a person would wait for one command.
const LIMIT: Duration = Duration::from_secs(5);

pub(in crate::probes) async fn setting(
    endpoint: &DatabaseEndpoint,
    setting: ServerSetting,
) -> WorldResult<SettingNow> {
    let name = setting.name();
    let asked = async {
        let mut connection = super::connect(endpoint, LIMIT).await?;
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        get.query_async::<std::collections::BTreeMap<String, String>>(&mut connection).await
    };
    let mut answer = within(format!("reading `{name}`"), endpoint, asked).await?;
    let value = answer.remove(name).ok_or_else(|| WorldError::NotFound {
        what: format!("the setting `{name}` of Redis at {}", crate::probes::address(endpoint)),
    })?;
    Ok(SettingNow { value: Some(value), in_force: true })
}

pub(in crate::probes) async fn set(
    endpoint: &DatabaseEndpoint,
    setting: ServerSetting,
    value: &str,
) -> WorldResult<()> {
    let name = setting.name();
    let asked = async {
        let mut connection = super::connect(endpoint, LIMIT).await?;
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value);
        set.query_async::<()>(&mut connection).await
    };
    within(format!("setting `{name}`"), endpoint, asked).await
}

/// By id *and* address: after a restart of the server its ids begin anew.
pub(in crate::probes) async fn kill(
    endpoint: &DatabaseEndpoint,
    clients: &[RedisClient],
) -> WorldResult<u32> {
    let asked = async {
        let mut connection = super::connect(endpoint, LIMIT).await?;
        let mut questions = redis::pipe();
        for client in clients {
            let kill = questions.cmd("CLIENT").arg("KILL").arg("ID").arg(client.id);
            kill.arg("ADDR").arg(&client.address).arg("SKIPME").arg("yes");
        }
        questions.query_async::<Vec<u32>>(&mut connection).await
    };
    let ended = within("ending idle connections".to_owned(), endpoint, asked).await?;
    Ok(ended.into_iter().sum())
}

async fn within<T>(
    what: String,
    endpoint: &DatabaseEndpoint,
    asked: impl Future<Output = Result<T, RedisError>>,
) -> WorldResult<T> {
    let what = format!("{what} of Redis at {}", crate::probes::address(endpoint));
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        // A code is an answer of the server's own: it will say the same again.
        Ok(Err(error)) if error.code().is_some() => Err(WorldError::Refused {
            what,
            why: crate::probes::reason(&error, endpoint.password.as_ref()),
        }),
        Ok(Err(error)) => {
            Err(WorldError::Unreachable { what, why: super::word_of(&error, endpoint) })
        }
        Err(_) => Err(WorldError::TimedOut { what, limit: LIMIT }),
    }
}
