//! Incidents: the whole record as a document, what is filtered by in columns.

use std::collections::BTreeSet;

use async_trait::async_trait;
use selfheal_agents::model::{Incident, IncidentId, IncidentState, Message, Timestamp};
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
        let limit = if query.limit == 0 { DEFAULT_LIMIT } else { query.limit };
        let wanted = Wanted { query, limit };
        let mut found = match query.states.as_slice() {
            [] => wanted.of(self, States::Any).await?,
            states if states.iter().all(|state| !state.is_closed()) => {
                wanted.of(self, States::Open(states)).await?
            }
            // Each by its index: of one there may be none in a long history.
            states => {
                let mut found = vec![];
                for state in states.iter().collect::<BTreeSet<_>>() {
                    found.extend(wanted.of(self, States::One(*state)).await?);
                }
                found.sort_by_key(|incident| std::cmp::Reverse(incident.id));
                found.truncate(limit);
                found
            }
        };
        // Ids know milliseconds, and the column more.
        if let Some(since) = query.since {
            found.retain(|incident| incident.opened_at >= since);
        }
        Ok(found)
    }

    async fn open_incidents(&self) -> StoreResult<Vec<Incident>> {
        let rows = self.rows("SELECT * FROM incident WHERE open = 1 ORDER BY id", &[]).await?;
        documents(INCIDENT, "an open incident", &rows)
    }
}

/// One question for incidents, in whatever state.
struct Wanted<'a> {
    query: &'a IncidentQuery,
    limit: usize,
}

/// Which states one statement asks for.
enum States<'a> {
    Any,
    /// Some of those before the end.
    Open(&'a [IncidentState]),
    One(IncidentState),
}

/// A question for incidents under this condition, newest first. Ids sort by the time at which an
/// incident was opened, so that a time is a bound of ids, too, and the index in whose order is asked
/// answers everything.
macro_rules! newest_first {
    ($condition:literal) => {
        concat!(
            "SELECT * FROM incident WHERE id >= $1 AND id < $2 ",
            $condition,
            " ORDER BY id DESC LIMIT $3"
        )
    };
    (of target, $condition:literal) => {
        concat!(
            "SELECT incident.* FROM incident_target AS of_target
             JOIN incident ON incident.id = of_target.incident
             WHERE of_target.target = $4 AND of_target.incident >= $1 AND of_target.incident < $2 ",
            $condition,
            " ORDER BY of_target.incident DESC LIMIT $3"
        )
    };
}

impl Wanted<'_> {
    async fn of(&self, store: &SqlStore, states: States<'_>) -> StoreResult<Vec<Incident>> {
        let target = self.query.target.as_ref();
        let mut values: Vec<Value> = vec![
            self.query.since.map_or_else(String::new, first_id).into(),
            // No id comes after it.
            self.query.before.map_or_else(|| "~".to_owned(), |id| id.to_string()).into(),
            limit(self.limit).into(),
        ];
        values.extend(target.map(|target| target.to_string().into()));
        values.extend(match &states {
            States::Any => None,
            States::Open(states) => {
                let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                Some(encode(&names)?.into())
            }
            States::One(state) => Some(state.as_str().into()),
        });
        let rows = store.rows(statement(target.is_some(), &states), &values).await?;
        documents(INCIDENT, "an incident", &rows)
    }
}

/// The statement, made so that an index answers it: in a long history few may fit.
const fn statement(is_of_target: bool, states: &States<'_>) -> &'static str {
    match (is_of_target, states) {
        (false, States::Any) => newest_first!(""),
        (false, States::Open(_)) => {
            newest_first!("AND open = 1 AND state IN (SELECT value FROM json_each($4))")
        }
        // Ordered by the state, too, that PostgreSQL does not walk through all by age for none.
        (false, States::One(_)) => {
            "SELECT * FROM incident WHERE (state, id) >= ($4, $1) AND (state, id) < ($4, $2)
             ORDER BY state DESC, id DESC LIMIT $3"
        }
        (true, States::Any) => newest_first!(of target, ""),
        // Few are open, and a target may have had many.
        (true, States::Open(_)) => newest_first!(
            "AND open = 1 AND state IN (SELECT value FROM json_each($5))
             AND EXISTS (SELECT 1 FROM incident_target AS of_target
                         WHERE of_target.target = $4 AND of_target.incident = incident.id)"
        ),
        (true, States::One(_)) => newest_first!(of target, "AND incident.state = $5"),
    }
}

/// What no id of an incident that was opened at that time or later comes before.
fn first_id(since: Timestamp) -> String {
    let millis = u64::try_from(since.timestamp_millis()).unwrap_or(0);
    let id = format!("{millis:012x}");
    format!("{}-{}-", &id[..8], &id[8..12])
}
