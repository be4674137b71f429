//! The journal: appended, never changed; a trigger in the database sees to that.

use async_trait::async_trait;
use selfheal_agents::model::{FixId, IncidentId, JournalEntry, JournalRecord, Timestamp};
use selfheal_agents::ports::{Journal, StoreError, StoreResult};
use uuid::Uuid;

use super::change::Change;
use super::checksum::{JOURNAL, document};
use super::{Database, SqlStore, Urgency, encode, time_text};

#[async_trait]
impl Journal for SqlStore {
    async fn append(
        &self,
        at: Timestamp,
        incident: IncidentId,
        fix: FixId,
        entry: &JournalEntry,
    ) -> StoreResult<JournalRecord> {
        // A full disk is no moment to begin a fix; one that was begun must be finished.
        let urgency = match entry {
            JournalEntry::Planned { .. } => Urgency::Refusable,
            _ => Urgency::MustFinish,
        };
        let mut record = JournalRecord { sequence: 0, at, fix, incident, entry: entry.clone() };
        let change = Change::answering(
            "INSERT INTO journal (at, fix, incident, final, entry, checksum)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING sequence",
        )
        .with(time_text(at))
        .with(fix.to_string())
        .with(incident.to_string())
        .with(entry.is_final())
        .with(encode(&record)?)
        .summed(JOURNAL);
        let results = self.commit(urgency, &[change]).await?;
        if entry.is_final()
            && let Database::Sqlite(sqlite) = &self.database
        {
            sqlite.writer()?.snapshots.fix_ended();
        }
        record.sequence = results.first().and_then(|done| done.number).unwrap_or(0);
        Ok(record)
    }

    async fn journal(&self, fix: FixId) -> StoreResult<Vec<JournalRecord>> {
        let query = "SELECT * FROM journal WHERE fix = $1 ORDER BY sequence";
        let rows = self.rows(query, &[fix.to_string().into()]).await?;
        rows.into_iter()
            .map(|row| {
                let sequence: i64 = row.integer("sequence")?;
                let what = format!("journal record {sequence}");
                let record: JournalRecord = document(JOURNAL, &what, &row)?;
                Ok(JournalRecord { sequence, ..record })
            })
            .collect()
    }

    async fn make_room(&self) {
        if self.reserve().is_some_and(|reserve| reserve.release()) {
            tracing::warn!("the reserve for a full disk was given up, so that a fix can be undone");
        }
    }

    /// Those whose *last* record is not final: a kept fix that a person began to take back
    /// is unfinished again.
    async fn unfinished_fixes(&self) -> StoreResult<Vec<FixId>> {
        let query = "SELECT fix FROM journal GROUP BY fix
             HAVING MAX(sequence) > MAX(CASE final WHEN 1 THEN sequence ELSE 0 END)
             ORDER BY MIN(sequence)";
        let corrupt = |error| StoreError::Corrupt(format!("a fix id in the journal: {error}"));
        let rows = self.rows(query, &[]).await?;
        rows.iter()
            .map(|row| Uuid::parse_str(row.text("fix")?).map(FixId).map_err(corrupt))
            .collect()
    }
}
