//! Incidents: the whole record as a document, what is filtered by in columns.

use async_trait::async_trait;
use selfheal_agents::model::{Incident, IncidentId, IncidentState, Message};
use selfheal_agents::ports::{IncidentQuery, Incidents, StoreResult};

use super::change::{Change, Value};
use super::checksum::{INCIDENT, INCIDENT_TARGET, document, documents};
use super::{SqlStore, Urgency, encode, limit, messages, time_text};

const DEFAULT_LIMIT: usize = 100;

#[async_trait]
impl Incidents for SqlStore {
    async fn save_incident_and_tell(
        &self,
        incident: &Incident,
        told: &[Message],
    ) -> StoreResult<()> {
        let id = incident.id.to_string();
        let mut changes = vec![
            Change::new(
                "INSERT INTO incident
                     (id, state, open, target, severity, opened_at, updated_at, closed_at, document,
                      checksum)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (id) DO UPDATE SET
                     state = excluded.state, open = excluded.open, target = excluded.target,
                     severity = excluded.severity, opened_at = excluded.opened_at,
                     updated_at = excluded.updated_at, closed_at = excluded.closed_at,
                     document = excluded.document, checksum = excluded.checksum",
            )
            .with(id.as_str())
            .with(incident.state().as_str())
            .with(!incident.state().is_closed())
            .with(incident.target.to_string())
            .with(format!("{:?}", incident.severity).to_lowercase())
            .with(time_text(incident.opened_at))
            .with(time_text(incident.updated_at))
            .with(incident.closed_at.map(time_text))
            .with(encode(incident)?)
            .summed(INCIDENT),
            Change::new("DELETE FROM incident_target WHERE incident = $1").with(id.as_str()),
        ];
        changes.extend(incident.targets().iter().map(|target| {
            Change::new(
                "INSERT INTO incident_target (target, incident, checksum) VALUES ($1, $2, $3)",
            )
            .with(target.to_string())
            .with(id.as_str())
            .summed(INCIDENT_TARGET)
        }));
        changes.extend(messages::queued(told, incident.updated_at)?);
        // What is told of it is not worth the room that was kept back.
        let urgency = if told.is_empty() { Urgency::MustFinish } else { Urgency::Refusable };
        self.commit(urgency, &changes).await.map(drop)
    }

    async fn incident(&self, id: IncidentId) -> StoreResult<Option<Incident>> {
        let row =
            self.first("SELECT * FROM incident WHERE id = $1", &[id.to_string().into()]).await?;
        row.map(|row| document(INCIDENT, &format!("incident {id}"), &row)).transpose()
    }

    async fn incidents(&self, query: &IncidentQuery) -> StoreResult<Vec<Incident>> {
        let states: Vec<&str> = query.states.iter().copied().map(IncidentState::as_str).collect();
        let query_text = statement(query);
        let values: [Value; 5] = [
            encode(&states)?.into(),
            query.target.as_ref().map(ToString::to_string).into(),
            query.since.map(time_text).into(),
            query.before.map(|id| id.to_string()).into(),
            limit(if query.limit == 0 { DEFAULT_LIMIT } else { query.limit }).into(),
        ];
        let rows = self.rows(query_text, &values).await?;
        documents(INCIDENT, "an incident", &rows)
    }

    async fn open_incidents(&self) -> StoreResult<Vec<Incident>> {
        let rows = self.rows("SELECT * FROM incident WHERE open = 1 ORDER BY id", &[]).await?;
        documents(INCIDENT, "an open incident", &rows)
    }
}

/// A question for incidents with this condition on their states. What is not asked for stands in it
/// all the same, so that each value has its place.
macro_rules! newest_first {
    ($states:literal) => {
        concat!(
            "SELECT * FROM incident WHERE ",
            $states,
            " AND ($2 IS NULL OR id IN (SELECT incident FROM incident_target WHERE target = $2))
              AND ($3 IS NULL OR opened_at >= $3)
              AND ($4 IS NULL OR id < $4)
              ORDER BY id DESC LIMIT $5"
        )
    };
}

/// The question, made so that an index answers it: in a long history few may fit.
fn statement(query: &IncidentQuery) -> &'static str {
    let is_open = |state: &IncidentState| !state.is_closed();
    match query.states.as_slice() {
        [] => newest_first!("$1 = '[]'"),
        states if states.iter().all(is_open) => {
            newest_first!("open = 1 AND state IN (SELECT value FROM json_each($1))")
        }
        [_] => newest_first!("state = (SELECT value FROM json_each($1))"),
        _ => newest_first!("state IN (SELECT value FROM json_each($1))"),
    }
}
