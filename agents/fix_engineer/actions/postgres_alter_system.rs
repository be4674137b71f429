//! `postgres.alter_system`: changes a listed setting of PostgreSQL that takes effect by a reload.
//!
//! It is written where `ALTER SYSTEM` writes, so it outlives a restart and its undo is exact: what
//! stood there before, or nothing. What takes a restart is refused.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::server::{Change, changes_a_setting};
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{
    Captured, Endpoint, Facts, DatabaseFacts, ServerSetting, SettingFacts, TargetId,
};
use crate::ports::{World, WorldResult};

/// Changes one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostgresAlterSystem {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// Which.
    pub setting: ServerSetting,
    /// As it was planned from, in the setting's unit.
    pub from: i64,
    /// The new value, in the setting's unit.
    pub to: i64,
}

impl PostgresAlterSystem {
    fn change(&self) -> Change<'_> {
        Change {
            target: &self.target,
            endpoint: &self.endpoint,
            setting: self.setting,
            to: self.to.to_string(),
        }
    }

    fn what(&self) -> String {
        let (from, to) = (shown(self.setting, self.from), shown(self.setting, self.to));
        format!("change {} of `{}` from {from} to {to}", self.setting.name(), self.target)
    }
}

changes_a_setting!(PostgresAlterSystem);

fn shown(setting: ServerSetting, value: i64) -> String {
    match setting {
        ServerSetting::PostgresMaxWalSize => format!("{value} MiB"),
        _ if value == 0 => "none".to_owned(),
        _ => format!("{} s", value / 1000),
    }
}

/// How much more is written between two checkpoints when the runbook does not say.
const DEFAULT_FACTOR: f64 = 1.5;

/// However much a server writes: the longer between two checkpoints, the longer its recovery.
const MOST_WAL_MIB: i64 = 16 * 1024;

/// The write-ahead log may grow to this share of what is free on the fullest disk that could hold
/// it: the limit is a soft one, and a server whose log fills its disk stops.
const SHARE_OF_FREE: u64 = 10;

/// A disk smaller than this holds no database: a boot partition.
const LEAST_DISK_BYTES: u64 = 2 << 30;

/// A transaction in which nothing was asked for so long was forgotten, in milliseconds.
const FORGOTTEN_AFTER_MS: i64 = 10 * 60 * 1000;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Postgres(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its settings".to_owned());
    };
    if facts.in_recovery {
        return Err("the server is in recovery".to_owned());
    }
    if facts.config.is_none() {
        return Err("only a superuser can read and change its files".to_owned());
    }
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let name = request.template.parameters.setting.as_deref().unwrap_or_default();
    let now = reloadable(name, facts)?;
    let (setting, from) = (now.setting, now.value);
    let to = match setting {
        ServerSetting::PostgresMaxWalSize => more_wal(request, from)?,
        ServerSetting::PostgresIdleInTransactionTimeout => timeout(from)?,
        ServerSetting::RedisMaxmemory | ServerSetting::RedisMaxmemoryPolicy => {
            return Err(format!("`{name}` is no setting of PostgreSQL"));
        }
    };
    let alter = PostgresAlterSystem { target: target.id.clone(), endpoint, setting, from, to };
    Ok(vec![repair(Action::PostgresAlterSystem(alter))])
}

/// The setting of that name, if a fix may change it while this server runs.
fn reloadable<'f>(name: &str, facts: &'f DatabaseFacts) -> Result<&'f SettingFacts, String> {
    let setting = ServerSetting::of_postgres(name)
        .ok_or_else(|| format!("`{name}` is not listed among the settings a fix may change"))?;
    let now = facts
        .settings
        .iter()
        .find(|now| now.setting == setting)
        .ok_or_else(|| format!("the server did not tell its `{name}`"))?;
    if let Some(whom) = &now.overruled_for {
        return Err(format!("somebody chose another `{name}` for {whom}, which goes before it"));
    }
    match now.context.as_str() {
        "sighup" | "superuser" | "user" => Ok(now),
        "postmaster" => Err(format!("`{name}` of this server takes effect only by a restart")),
        other => Err(format!("`{name}` of this server cannot be changed so ({other})")),
    }
}

fn more_wal(request: &PlanRequest<'_>, from: i64) -> Result<i64, String> {
    let factor = request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR);
    let evidence = request.workshop.evidence;
    let host = evidence.report.target(&TargetId::host());
    let Some(Facts::Host(host)) = host.and_then(|report| report.state.facts.as_ref().ok()) else {
        return Err("it is not known how much room the disks have".to_owned());
    };
    let large = host.disks.iter().filter(|disk| disk.total_bytes >= LEAST_DISK_BYTES);
    let free = large
        .map(|disk| disk.available_bytes)
        .min()
        .ok_or("it is not known how much room the disks have")?;
    larger(from, factor, free)
}

/// `from` times `factor`, in MiB, as far as `free_bytes` bear it.
fn larger(from: i64, factor: f64, free_bytes: u64) -> Result<i64, String> {
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit is cut to the limits")]
    let wanted = (from as f64 * factor).ceil() as i64;
    let room = i64::try_from((free_bytes / SHARE_OF_FREE) >> 20).unwrap_or(i64::MAX);
    // What it may take now is taken already, or was counted as free by whoever set it.
    let allowed = wanted.min(MOST_WAL_MIB).min(from.saturating_add(room));
    if allowed <= from {
        return Err(format!("max_wal_size of {from} MiB is as large as this host bears"));
    }
    Ok(allowed)
}

fn timeout(from: i64) -> Result<i64, String> {
    if from > 0 {
        return Err(format!("somebody chose {} s for it", from / 1000));
    }
    Ok(FORGOTTEN_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(context: &str) -> DatabaseFacts {
        let setting = ServerSetting::PostgresMaxWalSize;
        let now = SettingFacts { setting, value: 1024, context: context.to_owned(), overruled_for: None };
        DatabaseFacts { reachable: true, settings: vec![now], ..Default::default() }
    }

    #[test]
    fn the_log_may_grow_by_a_small_step_and_only_where_the_disk_has_room() {
        let gib = 1_u64 << 30;
        assert_eq!(larger(1024, 1.5, 100 * gib), Ok(1536));
        assert_eq!(larger(1024, 1.5, 2 * gib), Ok(1024 + 204));
        assert!(larger(1024, 1.5, 5 << 20).is_err());
        assert_eq!(larger(MOST_WAL_MIB - 1, 1.5, 9000 * gib), Ok(MOST_WAL_MIB));
        assert!(larger(MOST_WAL_MIB, 1.5, 9000 * gib).is_err());
    }

    #[test]
    fn what_takes_a_restart_or_is_not_listed_is_refused() {
        assert!(reloadable("max_wal_size", &facts("sighup")).is_ok());
        let refused = reloadable("max_wal_size", &facts("postmaster")).unwrap_err();
        assert!(refused.contains("restart"), "{refused}");
        assert!(reloadable("max_wal_size", &facts("internal")).is_err());
        let refused = reloadable("shared_buffers", &facts("sighup")).unwrap_err();
        assert!(refused.contains("not listed"), "{refused}");
        assert!(reloadable("idle_in_transaction_session_timeout", &facts("sighup")).is_err());
    }

    #[test]
    fn what_somebody_chose_otherwise_for_a_role_is_left_to_them() {
        let mut told = facts("sighup");
        told.settings[0].overruled_for = Some("role clerk".to_owned());
        let refused = reloadable("max_wal_size", &told).unwrap_err();
        assert!(refused.contains("for role clerk"), "{refused}");
    }

    #[test]
    fn a_timeout_that_somebody_chose_stays() {
        assert!(timeout(1000).is_err());
        assert_eq!(timeout(0), Ok(600_000));
    }
}
