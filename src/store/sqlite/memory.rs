//! What is remembered between cycles: events, log positions, observations, named values.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use selfheal_agents::model::{self, LogCursor, Observation, RuntimeEvent, TargetId, Timestamp};
use selfheal_agents::ports::{CHANGES_KEPT, Memory, StoreResult};

use super::{
    Change, SqliteStore, Urgency, decode, decode_all, encode, limit, store_error, time_text,
};

impl SqliteStore {
    /// What a query for the documents of a target (or of all) since a time answers.
    async fn documents_since(
        &self,
        query: &'static str,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<(String,)>> {
        sqlx::query_as(query)
            .bind(target.map(ToString::to_string))
            .bind(time_text(since))
            .fetch_all(&self.reader)
            .await
            .map_err(|error| store_error(&error))
    }
}

#[async_trait]
impl Memory for SqliteStore {
    async fn record_events(&self, events: &[RuntimeEvent]) -> StoreResult<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(events.len());
        for event in events {
            changes.push(
                Change::new(
                    "INSERT OR IGNORE INTO event (target, at, kind, document)
                     VALUES ($1, $2, $3, $4)",
                )
                .with(event.target.to_string())
                .with(time_text(event.at))
                .with(encode(&event.kind)?)
                .with(encode(event)?),
            );
        }
        self.commit(Urgency::Refusable, &changes).await.map(drop)
    }

    async fn events(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<RuntimeEvent>> {
        let query = "SELECT document FROM event WHERE ($1 IS NULL OR target = $1) AND at >= $2
             ORDER BY at, rowid";
        decode_all("an event", &self.documents_since(query, target, since).await?)
    }

    async fn log_cursors(
        &self,
        container_ids: &[String],
    ) -> StoreResult<BTreeMap<String, LogCursor>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT container, document FROM log_cursor
             WHERE container IN (SELECT value FROM json_each($1))",
        )
        .bind(encode(&container_ids)?)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| store_error(&error))?;
        rows.into_iter()
            .map(|(container, document)| Ok((container, decode("a log position", &document)?)))
            .collect()
    }

    async fn set_log_cursors(&self, cursors: &BTreeMap<String, LogCursor>) -> StoreResult<()> {
        if cursors.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(cursors.len());
        for (container, cursor) in cursors {
            changes.push(
                Change::new(
                    "INSERT OR REPLACE INTO log_cursor (container, document) VALUES ($1, $2)",
                )
                .with(container.as_str())
                .with(encode(cursor)?),
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
                    "INSERT OR REPLACE INTO observation (target, at, check_name, document)
                     VALUES ($1, $2, $3, $4)",
                )
                .with(observation.target.to_string())
                .with(time_text(observation.at))
                .with(observation.check.as_str())
                .with(encode(observation)?),
            );
        }
        self.commit(Urgency::Refusable, &changes).await.map(drop)
    }

    async fn observations(
        &self,
        target: &TargetId,
        since: Timestamp,
    ) -> StoreResult<Vec<Observation>> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT document FROM observation WHERE target = $1 AND at >= $2
             ORDER BY at, check_name",
        )
        .bind(target.to_string())
        .bind(time_text(since))
        .fetch_all(&self.reader)
        .await
        .map_err(|error| store_error(&error))?;
        decode_all("an observation", &rows)
    }

    async fn record_changes(&self, changes: &[model::Change]) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut statements = Vec::with_capacity(2 * changes.len());
        for change in changes {
            statements.push(
                Change::new(
                    "INSERT OR IGNORE INTO change (target, at, kind, what, document)
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .with(change.target.to_string())
                .with(time_text(change.at))
                .with(change.kind.as_str())
                .with(change.what.as_str())
                .with(encode(change)?),
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
        let query = "SELECT document FROM change WHERE ($1 IS NULL OR target = $1) AND at >= $2
             ORDER BY at, rowid";
        decode_all("a change", &self.documents_since(query, target, since).await?)
    }

    async fn value(&self, name: &str) -> StoreResult<Option<serde_json::Value>> {
        let row: Option<(String,)> = sqlx::query_as("SELECT document FROM value WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| store_error(&error))?;
        row.map(|(document,)| decode(&format!("the value `{name}`"), &document)).transpose()
    }

    async fn set_value(&self, name: &str, value: Option<&serde_json::Value>) -> StoreResult<()> {
        let change = match value {
            Some(value) => {
                Change::new("INSERT OR REPLACE INTO value (name, document) VALUES ($1, $2)")
                    .with(name)
                    .with(encode(value)?)
            }
            None => Change::new("DELETE FROM value WHERE name = $1").with(name),
        };
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, serde_json::Value)>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, document FROM value WHERE substr(name, 1, length($1)) = $1 ORDER BY name",
        )
        .bind(prefix)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| store_error(&error))?;
        rows.into_iter()
            .map(|(name, document)| {
                let value = decode(&format!("the value `{name}`"), &document)?;
                Ok((name, value))
            })
            .collect()
    }
}
