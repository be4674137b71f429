//! What is changed of PostgreSQL's configuration: a few settings, and when its files are loaded.
//!
//! Never in recovery: what counts on a standby is its primary's business.

use std::time::Duration;

use selfheal_agents::model::{DatabaseEndpoint, ServerSetting, SettingNow, Timestamp};
use selfheal_agents::ports::{WorldError, WorldResult};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{connect, word_of};
use crate::probes::command::{LIMIT, within};

/// Between two looks whether the files are loaded.
const PAUSE: Duration = Duration::from_millis(20);

/// A setting as it is written, and as the server works with it.
type SettingRow = (Option<String>, Option<String>, String, Option<String>);

pub(in crate::probes) async fn setting(
    endpoint: &DatabaseEndpoint,
    setting: ServerSetting,
) -> WorldResult<SettingNow> {
    let asked = async {
        let mut session = connect(endpoint, LIMIT).await?;
        read(&mut session, setting).await
    };
    let what = said("reading", setting, endpoint);
    let (written, _, works_with, _) = within(what, endpoint, word_of, asked).await?;
    let in_force = written.as_ref().is_none_or(|written| *written == works_with);
    Ok(SettingNow { value: written, in_force })
}

/// What stands in the file of `ALTER SYSTEM`, its error, what the server works with, and whence.
async fn read(
    session: &mut PgConnection,
    setting: ServerSetting,
) -> Result<SettingRow, sqlx::Error> {
    sqlx::query_as(
        "SELECT file.setting, file.error, now.setting, now.sourcefile
           FROM pg_settings AS now
           LEFT JOIN pg_file_settings AS file
             ON file.name = now.name AND file.sourcefile LIKE '%/postgresql.auto.conf'
          WHERE now.name = $1
          ORDER BY file.seqno DESC NULLS LAST
          LIMIT 1",
    )
    .bind(setting.name())
    .fetch_one(session)
    .await
}

pub(in crate::probes) async fn set(
    endpoint: &DatabaseEndpoint,
    setting: ServerSetting,
    value: Option<&str>,
) -> WorldResult<()> {
    let what = said("changing", setting, endpoint);
    let statement = statement(setting, value).ok_or_else(|| WorldError::Refused {
        what: what.clone(),
        why: "its value cannot be written safely".to_owned(),
    })?;
    let asked = async {
        let mut session = connect(endpoint, LIMIT).await?;
        if let Some(why) = obstacle(&mut session).await? {
            return Ok(Err(why));
        }
        if is_overruled(&mut session, setting).await? {
            return Ok(Err("its command line or the like goes before the files".to_owned()));
        }
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await?;
        load_files(&mut session).await?;
        let (_, error, _, source) = read(&mut session, setting).await?;
        let is_from_there = source.is_some_and(|file| file.ends_with("/postgresql.auto.conf"));
        Ok(match error {
            Some(error) => Err(error),
            None if value.is_some() != is_from_there => Err("it did not take effect".to_owned()),
            None => Ok(()),
        })
    };
    refusal(what.clone(), endpoint, within(what, endpoint, word_of, asked).await?)
}

/// The text for `ALTER SYSTEM`, which takes no parameters. The name is one of ours; a value with
/// anything that could end its quotes is none.
fn statement(setting: ServerSetting, value: Option<&str>) -> Option<String> {
    let name = setting.name();
    let Some(value) = value else { return Some(format!("ALTER SYSTEM RESET {name}")) };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ' ');
    value.chars().all(plain).then(|| format!("ALTER SYSTEM SET {name} = '{value}'"))
}

pub(in crate::probes) async fn loaded_at(endpoint: &DatabaseEndpoint) -> WorldResult<Timestamp> {
    let what = format!("asking PostgreSQL at {}", crate::probes::address(endpoint));
    let asked = async {
        let mut session = connect(endpoint, LIMIT).await?;
        loaded_micros(&mut session).await
    };
    let micros = within(what.clone(), endpoint, word_of, asked).await?;
    Timestamp::from_timestamp_micros(micros)
        .ok_or_else(|| WorldError::Refused { what, why: "its clock is not to be read".to_owned() })
}

pub(in crate::probes) async fn load(endpoint: &DatabaseEndpoint) -> WorldResult<()> {
    let what = format!("loading the files of PostgreSQL at {}", crate::probes::address(endpoint));
    let asked = async {
        let mut session = connect(endpoint, LIMIT).await?;
        if let Some(why) = obstacle(&mut session).await? {
            return Ok(Err(why));
        }
        load_files(&mut session).await?;
        Ok(Ok(()))
    };
    refusal(what.clone(), endpoint, within(what, endpoint, word_of, asked).await?)
}

/// Why its files should not be loaded now. A setting that waits for a restart keeps no other from
/// being loaded.
async fn obstacle(session: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let (why,) = sqlx::query_as(
        "SELECT CASE WHEN pg_is_in_recovery() THEN 'it is in recovery' ELSE coalesce(
             (SELECT error FROM pg_file_settings
               WHERE error <> 'setting could not be applied' LIMIT 1),
             (SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL LIMIT 1)) END",
    )
    .fetch_one(session)
    .await?;
    Ok(why)
}

/// Whether something other than its files says what the server works with.
async fn is_overruled(
    session: &mut PgConnection,
    setting: ServerSetting,
) -> Result<bool, sqlx::Error> {
    let (is_so,) = sqlx::query_as(
        "SELECT source NOT IN ('default', 'configuration file') FROM pg_settings WHERE name = $1",
    )
    .bind(setting.name())
    .fetch_one(session)
    .await?;
    Ok(is_so)
}

/// Loads the files and waits until this session has, too, which the server tells last.
async fn load_files(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    let before = loaded_micros(session).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&mut *session).await?;
    while loaded_micros(session).await? <= before {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn loaded_micros(session: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let (micros,) =
        sqlx::query_as("SELECT (extract(epoch FROM pg_conf_load_time()) * 1000000)::int8")
            .fetch_one(session)
            .await?;
    Ok(micros)
}

fn said(verb: &str, setting: ServerSetting, endpoint: &DatabaseEndpoint) -> String {
    let address = crate::probes::address(endpoint);
    format!("{verb} `{}` of PostgreSQL at {address}", setting.name())
}

fn refusal(
    what: String,
    endpoint: &DatabaseEndpoint,
    answer: Result<(), String>,
) -> WorldResult<()> {
    let password = endpoint.password.as_ref();
    answer.map_err(|why| WorldError::Refused { what, why: crate::probes::reason(&why, password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_could_end_its_quotes_is_not_written() {
        let setting = ServerSetting::PostgresMaxWalSize;
        let written = statement(setting, Some("2 GB")).unwrap();
        assert_eq!(written, "ALTER SYSTEM SET max_wal_size = '2 GB'");
        assert_eq!(statement(setting, None).unwrap(), "ALTER SYSTEM RESET max_wal_size");
        for value in ["1'; DROP TABLE x; --", "1\\", "1\n2", "\u{2019}"] {
            assert_eq!(statement(setting, Some(value)), None, "{value}");
        }
    }
}
