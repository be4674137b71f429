//! Alerts on their way. A row stays after it was sent, so that its key is not sent again.

use async_trait::async_trait;
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Alert, Delivery, Outbox, StoreResult};

use super::{Change, SqliteStore, Urgency, decode, encode, limit, store_error, time_text};

#[async_trait]
impl Outbox for SqliteStore {
    async fn enqueue(&self, alert: &Alert, channels: &[String]) -> StoreResult<()> {
        let document = encode(alert)?;
        let changes: Vec<Change> = channels
            .iter()
            .map(|channel| {
                Change::new(
                    "INSERT OR IGNORE INTO delivery (key, channel, incident, alert, at)
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .with(alert.key.as_str())
                .with(channel.as_str())
                .with(alert.incident.map(|id| id.to_string()))
                .with(document.as_str())
                .with(time_text(alert.at))
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(Urgency::MustFinish, &changes).await.map(drop)
    }

    /// An incident's alerts reach a channel in order: a later one waits while an earlier
    /// one waits for its next try.
    async fn due(&self, now: Timestamp, rows: usize) -> StoreResult<Vec<Delivery>> {
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT id, channel, alert, attempts FROM delivery AS d
             WHERE state = 'waiting' AND (retry_at IS NULL OR retry_at <= $1)
               AND NOT EXISTS (
                   SELECT 1 FROM delivery AS earlier
                   WHERE earlier.state = 'waiting' AND earlier.channel = d.channel
                     AND earlier.incident = d.incident AND earlier.id < d.id)
             ORDER BY id LIMIT $2",
        )
        .bind(time_text(now))
        .bind(limit(rows))
        .fetch_all(&self.reader)
        .await
        .map_err(|error| store_error(&error))?;
        rows.into_iter()
            .map(|(id, channel, document, attempts)| {
                Ok(Delivery {
                    id,
                    channel,
                    alert: decode(&format!("alert {id}"), &document)?,
                    attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    async fn delivered(&self, id: i64, at: Timestamp) -> StoreResult<()> {
        let change = Change::new(
            "UPDATE delivery SET state = 'delivered', finished_at = $2
             WHERE id = $1 AND state = 'waiting'",
        )
        .with(id)
        .with(time_text(at));
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn failed(&self, id: i64, error: &str, retry_at: Option<Timestamp>) -> StoreResult<()> {
        let change = Change::new(
            "UPDATE delivery
             SET attempts = attempts + 1, last_error = $2, retry_at = $3,
                 state = CASE WHEN $3 IS NULL THEN 'given_up' ELSE 'waiting' END
             WHERE id = $1 AND state = 'waiting'",
        )
        .with(id)
        .with(error)
        .with(retry_at.map(time_text));
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn waiting(&self) -> StoreResult<u64> {
        let (count,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM delivery WHERE state = 'waiting'")
                .fetch_one(&self.reader)
                .await
                .map_err(|error| store_error(&error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
