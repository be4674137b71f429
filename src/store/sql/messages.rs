//! Messages on their way to other programs, and the jobs that are done. A row is there as long as
//! its message waits.

use async_trait::async_trait;
use selfheal_agents::model::{Message, QueuedMessage, Timestamp};
use selfheal_agents::ports::{Messages, StoreResult};

use super::change::Change;
use super::checksum::{JOB, MESSAGE, document};
use super::{SqlStore, Urgency, encode, limit, time_text};

/// The changes that queue these.
pub(super) fn queued(messages: &[Message], at: Timestamp) -> StoreResult<Vec<Change>> {
    messages
        .iter()
        .map(|message| {
            Ok(Change::new("INSERT INTO message (at, document, checksum) VALUES ($1, $2, $3)")
                .with(time_text(at))
                .with(encode(message)?)
                .summed(MESSAGE))
        })
        .collect()
}

#[async_trait]
impl Messages for SqlStore {
    async fn queue_messages(&self, messages: &[Message], at: Timestamp) -> StoreResult<()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.commit(Urgency::Refusable, &queued(messages, at)?).await.map(drop)
    }

    async fn messages(&self, rows: usize) -> StoreResult<Vec<QueuedMessage>> {
        let query = "SELECT * FROM message ORDER BY id LIMIT $1";
        let rows = self.rows(query, &[limit(rows).into()]).await?;
        rows.iter()
            .map(|row| {
                let id = row.integer("id")?;
                Ok(QueuedMessage { id, message: document(MESSAGE, &format!("message {id}"), row)? })
            })
            .collect()
    }

    async fn messages_taken(&self, up_to: i64) -> StoreResult<()> {
        let change = Change::new("DELETE FROM message WHERE id <= $1").with(up_to);
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn messages_waiting(&self) -> StoreResult<u64> {
        // They go from the front: between those that wait no number is left out, save on a server
        // by a write that it refused.
        self.count_of("SELECT COALESCE(MAX(id) - MIN(id) + 1, 0) AS rows FROM message").await
    }

    async fn finish_job(&self, id: &str, at: Timestamp, messages: &[Message]) -> StoreResult<()> {
        let mut changes = vec![
            Change::new(
                "INSERT INTO job (id, at, checksum) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .with(id)
            .with(time_text(at))
            .summed(JOB),
        ];
        changes.extend(queued(messages, at)?);
        self.commit(Urgency::MustFinish, &changes).await.map(drop)
    }

    async fn is_job_finished(&self, id: &str) -> StoreResult<bool> {
        Ok(self.first("SELECT id FROM job WHERE id = $1", &[id.into()]).await?.is_some())
    }
}
