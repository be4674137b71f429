//! Outcomes: one a fix, and each also a line of the export.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use selfheal_agents::model::{Outcome, Timestamp};
use selfheal_agents::ports::{Outcomes, StoreResult};

use super::change::Change;
use super::checksum::{OUTCOME, documents};
use super::{SqlStore, Urgency, encode, time_text};
use crate::store::export;

#[async_trait]
impl Outcomes for SqlStore {
    async fn record_outcome(&self, outcome: &Outcome) -> StoreResult<()> {
        let change = Change::new(
            "INSERT INTO outcome (fix, timestamp, document, checksum) VALUES ($1, $2, $3, $4)
             ON CONFLICT (fix) DO UPDATE SET
                 timestamp = excluded.timestamp, document = excluded.document,
                 checksum = excluded.checksum
             WHERE outcome.document <> excluded.document",
        )
        .with(outcome.fix.to_string())
        .with(time_text(outcome.timestamp))
        .with(encode(outcome)?)
        .summed(OUTCOME);
        let results = self.commit(Urgency::MustFinish, &[change]).await;
        // Whatever was answered: a commit whose answer was lost may stand all the same.
        self.outcomes.fetch_add(1, Ordering::Relaxed);
        let results = results?;
        if results.iter().all(|done| done.rows == 0) {
            return Ok(()); // the same outcome, recorded again after a crash
        }
        let (dir, line) = (self.dir.clone(), outcome.clone());
        let written = tokio::task::spawn_blocking(move || export::append(&dir, &line)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(
                fix.id = %outcome.fix,
                "an outcome counts but could not be added to {}: {error}",
                export::EXPORT_FILE
            );
        }
        Ok(())
    }

    fn outcomes_recorded(&self) -> u64 {
        self.outcomes.load(Ordering::Relaxed)
    }

    async fn outcomes(&self, since: Option<Timestamp>) -> StoreResult<Vec<Outcome>> {
        let query = "SELECT * FROM outcome WHERE $1 IS NULL OR timestamp >= $1
             ORDER BY timestamp, rowid";
        let rows = self.rows(query, &[since.map(time_text).into()]).await?;
        documents(OUTCOME, "an outcome", &rows)
    }
}
