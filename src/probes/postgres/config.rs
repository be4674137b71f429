//! What PostgreSQL says of its configuration: the settings that fixes may change, and whether it
//! works with its files as they are.

use selfheal_agents::model::{ConfigState, ServerSetting, SettingFacts, clean};
use sqlx::postgres::PgConnection;

pub(super) async fn settings(session: &mut PgConnection) -> Result<Vec<SettingFacts>, sqlx::Error> {
    let names = ServerSetting::POSTGRES.map(ServerSetting::name);
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT name, setting, context FROM pg_settings WHERE name = ANY($1)")
            .bind(names)
            .fetch_all(session)
            .await?;
    let facts = rows.into_iter().filter_map(|(name, value, context)| {
        let setting = ServerSetting::of_postgres(&name)?;
        let context = clean(&context, super::LONGEST_NAME);
        Some(SettingFacts { setting, value: value.parse().ok()?, context })
    });
    Ok(facts.collect())
}

/// Unknown to whoever is no superuser: others may not look at files, and each try would leave an
/// error in the server's log.
pub(super) async fn state(session: &mut PgConnection) -> Result<Option<ConfigState>, sqlx::Error> {
    let (may_look,): (bool,) = sqlx::query_as("SELECT current_setting('is_superuser') = 'on'")
        .fetch_one(&mut *session)
        .await?;
    if !may_look {
        return Ok(None);
    }
    // An included file that holds only comments is missed; nothing waits in it.
    let (rules, settings, faulty): (bool, bool, bool) = sqlx::query_as(
        "SELECT coalesce((pg_stat_file(current_setting('hba_file'), true)).modification
                           > pg_conf_load_time(), false),
                EXISTS (
                  SELECT FROM (SELECT current_setting('config_file')
                               UNION SELECT current_setting('data_directory')
                                            || '/postgresql.auto.conf'
                               UNION SELECT sourcefile FROM pg_file_settings
                                      WHERE sourcefile IS NOT NULL) AS files (path),
                       LATERAL pg_stat_file(path, true) AS file
                   WHERE file.modification > pg_conf_load_time()),
                EXISTS (SELECT FROM pg_file_settings
                         WHERE error <> 'setting could not be applied')
                  OR EXISTS (SELECT FROM pg_hba_file_rules WHERE error IS NOT NULL)",
    )
    .fetch_one(session)
    .await?;
    Ok(Some(match (rules, settings) {
        (false, false) => ConfigState::Loaded,
        _ if faulty => ConfigState::Faulty,
        (_, true) => ConfigState::SettingsWaiting,
        (true, false) => ConfigState::RulesWaiting,
    }))
}
