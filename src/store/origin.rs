//! Whose history a database holds, and how much of it was sent.
//!
//! Two databases belong together when they bear one name. Beside it stands, in both, the last note
//! that was sent: with the rows there, before the note is forgotten here. So one that was set back,
//! on either side, is known by its number. It sends nothing itself.

use selfheal_agents::ports::{StoreError, StoreResult};
use uuid::Uuid;

use super::ends::End;
use super::postgres;
use super::sql::SqlStore;
use super::sql::change::Change;

/// Asked for by whoever takes a history over (each node of a fleet has one in a schema of its own);
/// held there ...
const ASKS: &str = "SELECT pg_try_advisory_lock(CASE current_schema() WHEN 'public' THEN 7239081644
     ELSE hashtextextended(current_schema(), 7239081644) END)";
/// ... by whoever sends there, ...
const SENDS: &str = "SELECT pg_advisory_lock(CASE current_schema() WHEN 'public' THEN 7239081644
     ELSE hashtextextended(current_schema(), 7239081644) END)";
/// ... and waited for no longer than a session takes to end that was just cut off.
const WAITS: &str = "SET LOCAL lock_timeout = '2s'";
/// The last number that a note was given, whether or not it waits still.
const NOTED: &str =
    "SELECT COALESCE(MAX(seq), 0) AS last FROM sqlite_sequence WHERE name = 'outgoing'";

/// What a database says of the history in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) name: String,
    /// The last note that was sent; `None` where not every change since was noted.
    pub(super) sent: Option<i64>,
}

/// What stands there; on a server it is held until the transaction ends.
pub(super) async fn origin_of(end: &mut End) -> sqlx::Result<Option<Origin>> {
    let found: Option<(String, Option<i64>)> = match end {
        End::Sqlite(one) => {
            let kept = "SELECT name, sent FROM origin WHERE id = 1";
            sqlx::query_as(kept).fetch_optional(one).await?
        }
        End::Postgres(one) => {
            let locked = "SELECT name, sent FROM origin WHERE id = 1 FOR UPDATE";
            postgres::within(sqlx::query_as(locked).fetch_optional(one)).await?
        }
    };
    Ok(found.map(|(name, sent)| Origin { name, sent }))
}

/// A name that nobody bears.
pub(super) fn new_name() -> String {
    Uuid::now_v7().to_string()
}

/// Gives a database a name; its history is then to be sent as a whole.
pub(super) fn named(name: &str) -> Change {
    let sql = "INSERT INTO origin (id, name) VALUES (1, $1)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, sent = NULL";
    Change::new(sql).with(name)
}

/// Says up to which note all was sent.
pub(super) fn sent(last: i64) -> Change {
    Change::new("UPDATE origin SET sent = $1 WHERE id = 1").with(last)
}

/// Takes the lock of who sends there, for this session; answers whether nobody had it.
pub(super) async fn is_free(there: &mut End) -> sqlx::Result<bool> {
    let End::Postgres(one) = there else { return Ok(true) };
    postgres::within(sqlx::query_scalar(ASKS).fetch_one(one)).await
}

/// Takes it, or waits for it; whoever calls it has begun a transaction, which it outlasts.
pub(super) async fn hold(there: &mut End) -> sqlx::Result<()> {
    there.run(&[Change::new(WAITS), Change::new(SENDS)]).await
}

/// The last number that a note was given, as a connection that reads one moment sees it.
pub(super) async fn last_note(here: &mut End) -> sqlx::Result<i64> {
    let End::Sqlite(one) = here else { return Ok(0) };
    sqlx::query_scalar(NOTED).fetch_one(one).await
}

impl SqlStore {
    /// Whose history it holds, and how much of it was sent.
    pub(super) async fn origin(&self) -> StoreResult<Origin> {
        let rows = self.database().rows("SELECT name, sent FROM origin WHERE id = 1", &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt("it has no origin".to_owned()))?;
        Ok(Origin { name: row.text("name")?.to_owned(), sent: row.optional_integer("sent")? })
    }

    /// The name of the history that it holds, the same here and where it is sent.
    pub async fn history(&self) -> StoreResult<String> {
        Ok(self.origin().await?.name)
    }

    /// The last number that a note was given.
    pub(super) async fn noted(&self) -> StoreResult<i64> {
        let rows = self.database().rows(NOTED, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.integer("last"))
    }
}
