//! Notes of which rows changed, and what is to be sent for them.
//!
//! A note says which row and not what is in it: it is sent as it stands when it is sent. It knows of
//! no server.

use selfheal_agents::ports::{StoreError, StoreResult};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::ends::{is_key, put, remove};
use super::sending::connect_here;
use super::sql::SqlStore;
use super::sql::change::{Change, Value};
use super::sql::checksum::{TABLES, Table, is_sound};
use super::sql::row::Row;

/// Notes that are sent at once.
const BATCH: i64 = 200;

/// The triggers that note which rows change. They belong to the connection that writes, and leave
/// nothing in the file.
pub(super) fn triggers() -> String {
    let each = TABLES.iter().flat_map(|table| {
        [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")].map(|(event, row)| {
            let name = table.name;
            let key: Vec<String> = table.key.iter().map(|key| format!("{row}.{key}")).collect();
            let key = format!("json_array({})", key.join(", "));
            format!(
                "CREATE TEMP TRIGGER note_{name}_{event} AFTER {event} ON main.{name} BEGIN
                     DELETE FROM outgoing WHERE kept_in = '{name}' AND key = {key};
                     INSERT INTO outgoing (kept_in, key) VALUES ('{name}', {key});
                 END;"
            )
        })
    });
    each.collect()
}

/// What is sent at once.
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    /// The last note that is in it.
    pub(super) last: i64,
}

impl SqlStore {
    /// How many changed rows wait to be sent to PostgreSQL.
    pub async fn unsent(&self) -> StoreResult<i64> {
        let rows = self.database().rows("SELECT COUNT(*) AS rows FROM outgoing", &[]).await?;
        rows.first().map_or(Ok(0), |row| row.integer("rows"))
    }

    /// What is sent next, of one moment.
    pub(super) async fn waiting_to_be_sent(&self) -> StoreResult<Batch> {
        let failed = |error: sqlx::Error| super::sqlite::store_error(&error);
        let notes = "SELECT number, kept_in, key FROM outgoing ORDER BY number LIMIT $1";
        if self.database().rows(notes, &[1.into()]).await?.is_empty() {
            return Ok(Batch { changes: vec![], last: 0 });
        }
        let mut here = connect_here(self.dir()).await.map_err(failed)?;
        sqlx::query("BEGIN").execute(&mut here).await.map_err(failed)?;
        let found = sqlx::query(notes).bind(BATCH).fetch_all(&mut here).await.map_err(failed)?;
        let mut batch = Batch { changes: Vec::with_capacity(found.len()), last: 0 };
        for note in found {
            batch.last = note.try_get("number").map_err(failed)?;
            let (name, key): (&str, &str) =
                (note.try_get("kept_in").map_err(failed)?, note.try_get("key").map_err(failed)?);
            if let Some(table) = TABLES.into_iter().find(|table| table.name == name) {
                batch.changes.push(change_of(&mut here, table, key).await?);
            }
        }
        Ok(batch)
    }
}

/// What makes a row stand there as it stands here.
async fn change_of(here: &mut SqliteConnection, table: Table, key: &str) -> StoreResult<Change> {
    let failed = |error: sqlx::Error| super::sqlite::store_error(&error);
    let corrupt = |why: String| StoreError::Corrupt(format!("a row of `{}`: {why}", table.name));
    let key: Vec<serde_json::Value> =
        serde_json::from_str(key).map_err(|error| corrupt(error.to_string()))?;
    let key: Vec<Value> = key
        .into_iter()
        .map(|part| match part {
            serde_json::Value::Number(number) => {
                number.as_i64().map_or(Value::Null, Value::Integer)
            }
            serde_json::Value::String(text) => Value::Text(text),
            _ => Value::Null,
        })
        .collect();
    let sql = format!("SELECT * FROM {} WHERE {}", table.name, is_key(table));
    let query = super::sql::change::bound::<sqlx::Sqlite>(AssertSqlSafe(sql), &key);
    match query.fetch_optional(&mut *here).await.map_err(failed)?.map(Row::Sqlite) {
        Some(row) if is_sound(table, &row).map_err(failed)? => put(table, &row).map_err(failed),
        Some(_) => Err(corrupt("it is not as it was written; it is not sent".to_owned())),
        None => Ok(remove(table, key)),
    }
}
