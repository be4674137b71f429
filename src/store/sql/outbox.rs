//! Alerts on their way. A row stays after it was sent, so that its key is not sent again.

use async_trait::async_trait;
use selfheal_agents::model::{IncidentId, Timestamp};
use selfheal_agents::ports::{Alert, Delivery, Outbox, StoreError, StoreResult};

use super::change::Change;
use super::checksum::{DELIVERY, document};
use super::row::Row;
use super::{SqlStore, Urgency, encode, limit, time_text};

#[async_trait]
impl Outbox for SqlStore {
    async fn enqueue(&self, alert: &Alert, channels: &[String]) -> StoreResult<()> {
        let text = encode(alert)?;
        let changes: Vec<Change> = channels
            .iter()
            .map(|channel| {
                Change::new(
                    "INSERT INTO delivery
                         (key, channel, incident, alert, at, state, attempts, retry_at, last_error,
                          finished_at, checksum)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                     ON CONFLICT DO NOTHING",
                )
                .with(alert.key.as_str())
                .with(channel.as_str())
                .with(alert.incident.map(|id| id.to_string()))
                .with(text.as_str())
                .with(time_text(alert.at))
                .with("waiting")
                .with(0)
                .with(None::<String>)
                .with(None::<String>)
                .with(None::<String>)
                .summed(DELIVERY)
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
        let query = "SELECT * FROM delivery AS d
             WHERE state = 'waiting' AND (retry_at IS NULL OR retry_at <= $1)
               AND NOT EXISTS (
                   SELECT 1 FROM delivery AS earlier
                   WHERE earlier.state = 'waiting' AND earlier.channel = d.channel
                     AND earlier.incident = d.incident AND earlier.id < d.id)
             ORDER BY id LIMIT $2";
        let rows = self.rows(query, &[time_text(now).into(), limit(rows).into()]).await?;
        rows.iter().map(delivery).collect()
    }

    async fn waiting_for(&self, channel: &str, rows: usize) -> StoreResult<Vec<Delivery>> {
        let query =
            "SELECT * FROM delivery WHERE state = 'waiting' AND channel = $1 ORDER BY id LIMIT $2";
        let rows = self.rows(query, &[channel.into(), limit(rows).into()]).await?;
        rows.iter().map(delivery).collect()
    }

    async fn all_delivered(&self, ids: &[i64], at: Timestamp) -> StoreResult<()> {
        let mut changes = vec![];
        for id in ids {
            let Some(row) = self.waiting_row(*id).await? else { continue };
            let finished = |fields: &mut Fields| fields.finished_at = Some(time_text(at));
            changes.push(changed(&row, "delivered", finished)?);
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(Urgency::MustFinish, &changes).await.map(drop)
    }

    async fn delivered(&self, id: i64, at: Timestamp) -> StoreResult<()> {
        self.all_delivered(&[id], at).await
    }

    async fn failed(&self, id: i64, error: &str, retry_at: Option<Timestamp>) -> StoreResult<()> {
        let Some(row) = self.waiting_row(id).await? else { return Ok(()) };
        let state = if retry_at.is_some() { "waiting" } else { "given_up" };
        let change = changed(&row, state, |fields| {
            fields.attempts += 1;
            fields.last_error = Some(error.to_owned());
            fields.retry_at = retry_at.map(time_text);
        })?;
        self.commit(Urgency::MustFinish, &[change]).await.map(drop)
    }

    async fn waiting(&self) -> StoreResult<u64> {
        self.count_of("SELECT COUNT(*) AS rows FROM delivery WHERE state = 'waiting'").await
    }

    async fn refused(&self) -> StoreResult<u64> {
        let query =
            "SELECT COUNT(*) AS rows FROM delivery WHERE state = 'waiting' AND attempts > 0";
        self.count_of(query).await
    }

    /// The keys of an incident's alerts begin with its id, so that the index of keys finds them.
    async fn told(&self, incident: IncidentId) -> StoreResult<Vec<String>> {
        let query = "SELECT DISTINCT channel FROM delivery
             WHERE key > $1 || ' ' AND key < $1 || '!' AND incident = $1 ORDER BY channel";
        let rows = self.rows(query, &[incident.to_string().into()]).await?;
        rows.iter().map(|row| Ok(row.text("channel")?.to_owned())).collect()
    }
}

impl SqlStore {
    pub(super) async fn count_of(&self, query: &'static str) -> StoreResult<u64> {
        let row = self.first(query, &[]).await?;
        let count = row.map(|row| row.integer("rows")).transpose()?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// A row that waits. Only whoever carries alerts changes one, and does so in turn.
    async fn waiting_row(&self, id: i64) -> StoreResult<Option<Row>> {
        self.first("SELECT * FROM delivery WHERE id = $1 AND state = 'waiting'", &[id.into()]).await
    }
}

fn delivery(row: &Row) -> StoreResult<Delivery> {
    let id = row.integer("id")?;
    Ok(Delivery {
        id,
        channel: row.text("channel")?.to_owned(),
        alert: document(DELIVERY, &format!("alert {id}"), row)?,
        attempts: u32::try_from(row.integer("attempts")?).unwrap_or(u32::MAX),
        retry_at: row.optional("retry_at")?.map(read_time).transpose()?,
    })
}

fn read_time(text: &str) -> StoreResult<Timestamp> {
    text.parse().map_err(|error| StoreError::Corrupt(format!("the time `{text}`: {error}")))
}

/// What of a row changes with its state.
struct Fields {
    attempts: i64,
    retry_at: Option<String>,
    last_error: Option<String>,
    finished_at: Option<String>,
}

/// The change of a row to another state, with its new checksum.
fn changed(row: &Row, state: &str, change: impl FnOnce(&mut Fields)) -> StoreResult<Change> {
    let id = row.integer("id")?;
    // What is damaged must not get a checksum that makes it whole.
    let _: Alert = document(DELIVERY, &format!("alert {id}"), row)?;
    let optional = |column: &str| row.optional(column).map(|text| text.map(str::to_owned));
    let mut fields = Fields {
        attempts: row.integer("attempts")?,
        retry_at: optional("retry_at")?,
        last_error: optional("last_error")?,
        finished_at: optional("finished_at")?,
    };
    change(&mut fields);
    Ok(Change::new(
        "UPDATE delivery SET key = $1, channel = $2, incident = $3, alert = $4, at = $5,
             state = $6, attempts = $7, retry_at = $8, last_error = $9, finished_at = $10,
             checksum = $11
         WHERE id = $12 AND state = 'waiting'",
    )
    .with(row.text("key")?)
    .with(row.text("channel")?)
    .with(row.optional("incident")?)
    .with(row.text("alert")?)
    .with(row.text("at")?)
    .with(state)
    .with(fields.attempts)
    .with(fields.retry_at)
    .with(fields.last_error)
    .with(fields.finished_at)
    .summed(DELIVERY)
    .with(id))
}
