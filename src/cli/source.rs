//! Where reading commands read: the running daemon, else the store it left behind.

use std::sync::Arc;

use selfheal_agents::learning_engine::{ShadowReport, Statistics};
use selfheal_agents::model::{IncidentId, IncidentState, TargetId};
use selfheal_agents::ports::{IncidentQuery, Store, StoreError};

use super::client::{CallError, Client, escaped};
use super::output::{Exit, Failure, tell};
use crate::config::Settings;
use crate::coordinator::{Standing, shadow};
use crate::http::body::{
    BackupList, BackupRow, IncidentDetail, IncidentList, IncidentRow, Status, TargetDetail,
    TargetList,
};
use crate::http::incident_detail;
use crate::store::{OpenError, SqlStore, open_postgres_read_only, open_read_only};

/// Incidents looked through for a part of an id.
const LOOKED_THROUGH: usize = 500;
/// Backups shown at most.
const BACKUPS: usize = 1000;

/// What is read.
pub(super) enum Source {
    /// A running daemon.
    Daemon(Client),
    /// What an ended one left behind.
    Store {
        /// The store, read-only.
        store: Arc<dyn Store>,
        /// What settings say without a daemon.
        standing: Box<Standing>,
    },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Wrong, error).next("selfheal doctor")
    }
}

/// A standing of which nothing is known but the settings.
fn standing_of(settings: &Settings) -> Standing {
    Standing {
        mode: settings.mode,
        freezes: vec![],
        last_check: None,
        next_check: None,
        check_interval_minutes: 0.0,
        cycles: 0,
        last_cycle_ms: None,
        targets: vec![],
        blind: vec!["no daemon is running: nothing is watched now".to_owned()],
        runtime_connected: false,
        applying: 0,
        validating: 0,
    }
}

/// What an ended daemon left behind, and where: in the data directory, else where it sent it.
async fn left_behind(settings: &Settings) -> Result<(SqlStore, String), OpenError> {
    let data_dir = &settings.data_dir;
    match (open_read_only(data_dir).await, settings.history()) {
        (Err(OpenError::Missing { .. }), Ok(Some(url))) => {
            Ok((open_postgres_read_only(&url, data_dir).await?, url.to_string()))
        }
        (store, _) => Ok((store?, data_dir.display().to_string())),
    }
}

impl Source {
    /// The daemon if one answers, else the store, with a word about it on standard error.
    pub(super) async fn open(client: Client, settings: &Settings) -> Result<Self, Failure> {
        let absent = match client.get::<serde_json::Value>("/api/monitoring/health").await {
            Ok(_) => return Ok(Self::Daemon(client)),
            Err(error @ (CallError::Refused(_) | CallError::NotNow(_))) => return Err(error.into()),
            Err(CallError::Absent(text)) => text,
        };
        let (store, place) = left_behind(settings).await.map_err(|error| {
            Failure::new(Exit::Unreachable, format!("{absent}; and {error}")).next("selfheal run")
        })?;
        tell(format!(
            "note: {absent}; this is what the store in {place} remembers (start it: selfheal run)"
        ));
        Ok(Self::Store { store: Arc::new(store), standing: Box::new(standing_of(settings)) })
    }

    /// Whether a daemon answers.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self, Self::Daemon(_))
    }

    /// Where Selfheal stands.
    pub(super) async fn status(&self) -> Result<Status, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.monitoring("/api/monitoring/status").await?),
            Self::Store { store, standing } => {
                let statistics = Statistics::of(&store.outcomes(None).await?);
                Ok(Status::of(standing, statistics, &store.backups(5).await?))
            }
        }
    }

    /// Everything that is watched.
    pub(super) async fn targets(&self) -> Result<TargetList, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get("/api/targets").await?),
            Self::Store { standing, .. } => Ok(TargetList::of(standing)),
        }
    }

    /// One target.
    pub(super) async fn target(&self, id: &TargetId) -> Result<TargetDetail, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.get(&format!("/api/targets/{}", escaped(&id.to_string()))).await?)
            }
            Self::Store { .. } => Err(Failure::new(
                Exit::Unreachable,
                "what a target does now is only known to a running daemon",
            )
            .next("selfheal run")),
        }
    }

    /// Backups, newest first.
    pub(super) async fn backups(&self) -> Result<BackupList, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.monitoring("/api/monitoring/backups").await?),
            Self::Store { store, .. } => {
                let backups: Vec<BackupRow> =
                    store.backups(BACKUPS).await?.iter().map(BackupRow::from).collect();
                Ok(BackupList { total: backups.len(), backups })
            }
        }
    }

    /// What would have been done where it was not allowed.
    pub(super) async fn shadow(&self, settings: &Settings) -> Result<ShadowReport, Failure> {
        let healing = &settings.healing;
        match self {
            Self::Daemon(client) => Ok(client.monitoring("/api/learning/shadow").await?),
            Self::Store { store, .. } => {
                Ok(shadow::report(store.as_ref(), healing.autonomy, healing.earned_after).await?)
            }
        }
    }

    /// Incidents, newest first.
    pub(super) async fn incidents(
        &self,
        state: Option<&str>,
        target: Option<&TargetId>,
        limit: usize,
    ) -> Result<IncidentList, Failure> {
        match self {
            Self::Daemon(client) => {
                let state = state.map(|s| format!("&state={}", escaped(s))).unwrap_or_default();
                let target = target
                    .map(|t| format!("&target={}", escaped(&t.to_string())))
                    .unwrap_or_default();
                Ok(client.get(&format!("/api/incidents?limit={limit}{state}{target}")).await?)
            }
            Self::Store { store, .. } => {
                let states = state.map(states).transpose()?.unwrap_or_default();
                let query = IncidentQuery {
                    states,
                    target: target.cloned(),
                    limit,
                    ..IncidentQuery::default()
                };
                let found = store.incidents(&query).await?;
                let incidents = found.iter().map(IncidentRow::from).collect();
                Ok(IncidentList { incidents, next_cursor: None })
            }
        }
    }

    /// One incident with everything known about it.
    pub(super) async fn incident(&self, part: &str) -> Result<IncidentDetail, Failure> {
        let id = self.named(part).await?;
        match self {
            Self::Daemon(client) => Ok(client.get(&format!("/api/incidents/{id}")).await?),
            Self::Store { store, .. } => {
                let incident = store.incident(id).await?.ok_or_else(|| unknown(part))?;
                Ok(incident_detail(store.as_ref(), &incident).await?)
            }
        }
    }

    /// The incident that `part` of an id means.
    pub(super) async fn named(&self, part: &str) -> Result<IncidentId, Failure> {
        if let Ok(id) = part.parse() {
            return Ok(id);
        }
        let list = self.incidents(None, None, LOOKED_THROUGH).await?;
        matching(part, list.incidents.iter().map(|incident| incident.id))
    }
}

fn states(text: &str) -> Result<Vec<IncidentState>, Failure> {
    if text == "open" {
        return Ok(IncidentState::ALL.into_iter().filter(|state| !state.is_closed()).collect());
    }
    let found = IncidentState::ALL.into_iter().find(|state| state.as_str() == text);
    found.map(|state| vec![state]).ok_or_else(|| {
        let known = IncidentState::ALL.map(IncidentState::as_str).join(", ");
        Failure::new(Exit::Usage, format!("no state `{text}`; there are {known}"))
    })
}

fn unknown(part: &str) -> Failure {
    Failure::new(Exit::Usage, format!("no incident `{part}`")).next("selfheal incidents")
}

/// The one id that begins or ends with `part`.
fn matching(part: &str, ids: impl Iterator<Item = IncidentId>) -> Result<IncidentId, Failure> {
    let part = part.to_ascii_lowercase();
    if part.len() < 4 {
        let what = format!("`{part}` is too short for an incident: four characters are needed");
        return Err(Failure::new(Exit::Usage, what).next("selfheal incidents"));
    }
    let fits = |id: &IncidentId| {
        let text = id.to_string();
        text.starts_with(&part) || text.ends_with(&part)
    };
    let found: Vec<IncidentId> = ids.filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown(&part)),
        many => {
            let what = format!("`{part}` fits {} incidents; give more of the id", many.len());
            Err(Failure::new(Exit::Usage, what).next("selfheal incidents"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 2] =
        ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-7b7c-8f5e-0a1b2c3d4e5f"];

    fn find(part: &str) -> Result<IncidentId, Failure> {
        matching(part, IDS.iter().map(|id| id.parse().unwrap()))
    }

    #[test]
    fn the_end_of_an_id_is_enough() {
        assert_eq!(find("099a8057").unwrap().to_string(), IDS[0]);
        assert_eq!(find("2C3D4E5F").unwrap().to_string(), IDS[1]);
    }

    #[test]
    fn a_part_that_fits_none_or_several_is_refused() {
        assert!(find("01890a5d").unwrap_err().what.contains("fits 2"));
        assert!(find("ffff").unwrap_err().what.contains("no incident"));
        assert!(find("57").unwrap_err().what.contains("too short"));
    }
}
