//! What is remembered between cycles: events, log positions, observations, named values.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use selfheal_agents::model::{self, LogCursor, Observation, RuntimeEvent, TargetId, Timestamp};
use selfheal_agents::ports::{CHANGES_KEPT, Memory, StoreResult};

use super::change::Change;
use super::checksum::{CHANGE, EVENT, LOG_CURSOR, OBSERVATION, VALUE, document, documents};
use super::row::Row;
use super::{SqlStore, Urgency, encode, limit, time_text};

impl SqlStore {
    /// What a query for the rows of a target (or of all) since a time answers.
    async fn rows_since(
        &self,
        query: &'static str,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<Row>> {
        let target = target.map(ToString::to_string);
        self.rows(query, &[target.into(), time_text(since).into()]).await
    }
}

#[async_trait]
impl Memory for SqlStore {
    async fn record_events(&self, events: &[RuntimeEvent]) -> StoreResult<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(events.len());
        for event in events {
            changes.push(
                Change::new(
                    "INSERT INTO event (target, at, kind, document, checksum)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                )
                .with(event.target.to_string())
                .with(time_text(event.at))
                .with(encode(&event.kind)?)
                .with(encode(event)?)
                .summed(EVENT),
            );
        }
        self.commit(Urgency::Refusable, &changes).await.map(drop)
    }

    async fn events(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<RuntimeEvent>> {
        let query = "SELECT * FROM event WHERE ($1 IS NULL OR target = $1) AND at >= $2
             ORDER BY at, rowid";
        documents(EVENT, "an event", &self.rows_since(query, target, since).await?)
    }

    async fn log_cursors(
        &self,
        container_ids: &[String],
    ) -> StoreResult<BTreeMap<String, LogCursor>> {
        let query = "SELECT * FROM log_cursor WHERE container IN (SELECT value FROM json_each($1))";
        let rows = self.rows(query, &[encode(&container_ids)?.into()]).await?;
        rows.into_iter()
            .map(|row| {
                let cursor = document(LOG_CURSOR, "a log position", &row)?;
                Ok((row.text("container")?.to_owned(), cursor))
            })
            .collect()
    }

    async fn set_log_cursors(&self, cursors: &BTreeMap<String, LogCursor>) -> StoreResult<()> {
        if cursors.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(2 * cursors.len());
        for (container, cursor) in cursors {
            // Not changed in its place: those written last are the last to be forgotten.
            changes.push(
                Change::new("DELETE FROM log_cursor WHERE container = $1").with(container.as_str()),
            );
            changes.push(
                Change::new(
                    "INSERT INTO log_cursor (container, document, checksum) VALUES ($1, $2, $3)",
                )
                .with(container.as_str())
                .with(encode(cursor)?)
                .summed(LOG_CURSOR),
            );
        }
        self.commit(Urgency::Refusable, &changes).await.map(drop)
    }

    async fn record_observations(&self, observations: &[Observation]) -> StoreResult<()> {
        if observations.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(observations.len());
        for observation in observations {
            changes.push(
                Change::new(
                    "INSERT INTO observation (target, at, check_name, document, checksum)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (target, at, check_name) DO UPDATE SET
                         document = excluded.document, checksum = excluded.checksum",
                )
                .with(observation.target.to_string())
                .with(time_text(observation.at))
                .with(observation.check.as_str())
                .with(encode(observation)?)
                .summed(OBSERVATION),
            );
        }
        self.commit(Urgency::Refusable, &changes).await.map(drop)
    }

    async fn observations(
        &self,
        target: &TargetId,
        since: Timestamp,
    ) -> StoreResult<Vec<Observation>> {
        let query = "SELECT * FROM observation WHERE target = $1 AND at >= $2
             ORDER BY at, check_name";
        let rows = self.rows_since(query, Some(target), since).await?;
        documents(OBSERVATION, "an observation", &rows)
    }

    async fn record_changes(&self, changes: &[model::Change]) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut statements = Vec::with_capacity(2 * changes.len());
        for change in changes {
            statements.push(
                Change::new(
                    "INSERT INTO change (target, at, kind, what, document, checksum)
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                )
                .with(change.target.to_string())
                .with(time_text(change.at))
                .with(change.kind.as_str())
                .with(change.what.as_str())
                .with(encode(change)?)
                .summed(CHANGE),
            );
        }
        let targets: BTreeSet<String> = changes.iter().map(|c| c.target.to_string()).collect();
        for target in targets {
            statements.push(
                Change::new(
                    "DELETE FROM change WHERE target = $1 AND rowid NOT IN (
                         SELECT rowid FROM change WHERE target = $1
                         ORDER BY at DESC, rowid DESC LIMIT $2)",
                )
                .with(target)
                .with(limit(CHANGES_KEPT)),
            );
        }
        self.commit(Urgency::Refusable, &statements).await.map(drop)
    }

    async fn changes(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<model::Change>> {
        let query = "SELECT * FROM change WHERE ($1 IS NULL OR target = $1) AND at >= $2
             ORDER BY at, rowid";
        documents(CHANGE, "a change", &self.rows_since(query, target, since).await?)
    }

    async fn value(&self, name: &str) -> StoreResult<Option<serde_json::Value>> {
        let row = self.first("SELECT * FROM value WHERE name = $1", &[name.into()]).await?;
        row.map(|row| document(VALUE, &format!("the value `{name}`"), &row)).transpose()
    }

    async fn set_value(&self, name: &str, value: Option<&serde_json::Value>) -> StoreResult<()> {
        let change = match value {
            Some(value) => Change::new(
                "INSERT INTO value (name, document, checksum) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET
                     document = excluded.document, checksum = excluded.checksum",
            )
            .with(name)
            .with(encode(value)?)
            .summed(VALUE),
            None => Change::new("DELETE FROM value WHERE name = $1").with(name),
        };
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, serde_json::Value)>> {
        let query = "SELECT * FROM value WHERE substr(name, 1, length($1)) = $1 ORDER BY name";
        let rows = self.rows(query, &[prefix.into()]).await?;
        rows.into_iter()
            .map(|row| {
                let name = row.text("name")?.to_owned();
                let value = document(VALUE, &format!("the value `{name}`"), &row)?;
                Ok((name, value))
            })
            .collect()
    }
}
