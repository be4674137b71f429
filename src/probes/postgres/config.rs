//! What PostgreSQL says of its configuration: the settings that fixes may change, and whether it
//! works with its files as they are.

use selfheal_agents::model::{ConfigState, ServerSetting, SettingFacts, clean};
use sqlx::postgres::PgConnection;

pub(super) async fn settings(session: &mut PgConnection) -> Result<Vec<SettingFacts>, sqlx::Error> {
    let names = ServerSetting::POSTGRES.map(ServerSetting::name);
    let rows: Vec<(String, String, String, Option<String>)> = sqlx::query_as(
        "SELECT name, setting, context,
                (SELECT concat_ws(' in ', 'role ' || quote_ident(role.rolname),
                                  'database ' || quote_ident(base.datname))
                   FROM pg_db_role_setting AS told
                   LEFT JOIN pg_roles AS role ON role.oid = told.setrole
                   LEFT JOIN pg_database AS base ON base.oid = told.setdatabase
                  WHERE EXISTS (SELECT FROM unnest(told.setconfig) AS one (text)
                                 WHERE lower(split_part(text, '=', 1)) = lower(name))
                  ORDER BY role.rolname, base.datname LIMIT 1)
           FROM pg_settings WHERE name = ANY($1)",
    )
    .bind(names)
    .fetch_all(session)
    .await?;
    let facts = rows.into_iter().filter_map(|(name, value, context, overruled_for)| {
        let setting = ServerSetting::of_postgres(&name)?;
        let context = clean(&context, super::LONGEST_NAME);
        let overruled_for = overruled_for.map(|whom| match whom.as_str() {
            "" => "all roles".to_owned(),
            whom => clean(whom, super::LONGEST_NAME),
        });
        Some(SettingFacts { setting, value: value.parse().ok()?, context, overruled_for })
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
