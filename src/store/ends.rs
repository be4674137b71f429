//! Where rows are carried from and to, one table after the other, whatever the database.
//!
//! An end is one connection with one transaction: what is carried is of one moment, and arrives as
//! a whole or not at all. Rows go as they are, checksums and numbers too.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use super::postgres;
use super::sql::change::{Change, Value};
use super::sql::checksum::{ROW_NUMBER, TABLES, Table, is_sound};
use super::sql::row::Row;
use super::sqlite;

/// Rows that are carried at once.
const ARMFUL: usize = 200;

/// One connection.
pub(super) enum End {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// How many rows of a table arrived.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: i64,
}

/// The change that makes a row stand at the other end as it does here. A journal record is never
/// changed, so one that is there stays.
pub(super) fn put(table: Table, row: &Row) -> sqlx::Result<Change> {
    let columns: Vec<usize> =
        (0..row.columns()).filter(|column| row.name(*column) != ROW_NUMBER).collect();
    let names: Vec<&str> = columns.iter().map(|column| row.name(*column)).collect();
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    let others: Vec<String> = names
        .iter()
        .filter(|name| !table.key.contains(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let then = if table.name == "journal" || others.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {}", others.join(", "))
    };
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO {then}",
        table.name,
        names.join(", "),
        places.join(", "),
        table.key.join(", ")
    );
    let mut change = Change::new(AssertSqlSafe(sql));
    for column in columns {
        change.values.push(row.value(column)?);
    }
    Ok(change)
}

/// The change that takes away the row with this key.
pub(super) fn remove(table: Table, key: Vec<Value>) -> Change {
    let sql = format!("DELETE FROM {} WHERE {}", table.name, is_key(table));
    Change { values: key, ..Change::new(AssertSqlSafe(sql)) }
}

/// The condition that holds for the row whose key is given.
pub(super) fn is_key(table: Table) -> String {
    let parts = table.key.iter().enumerate().map(|(n, column)| format!("{column} = ${}", n + 1));
    parts.collect::<Vec<_>>().join(" AND ")
}

impl End {
    async fn execute(&mut self, sql: String) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(one) => sqlx::query(AssertSqlSafe(sql)).execute(one).await.map(drop),
            Self::Postgres(one) => {
                postgres::within(sqlx::query(AssertSqlSafe(sql)).execute(one)).await.map(drop)
            }
        }
    }

    /// From now on it shows one moment.
    pub(super) async fn begin_reading(&mut self) -> sqlx::Result<()> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.execute(begin.to_owned()).await
    }

    pub(super) async fn begin_writing(&mut self) -> sqlx::Result<()> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.execute(begin.to_owned()).await
    }

    pub(super) async fn commit(&mut self) -> sqlx::Result<()> {
        self.execute("COMMIT".to_owned()).await
    }

    pub(super) async fn close(self) {
        let _ = match self {
            Self::Sqlite(one) => one.close().await,
            Self::Postgres(one) => one.close().await,
        };
    }

    fn all(&mut self, table: Table) -> BoxStream<'_, sqlx::Result<Row>> {
        // In the order in which they came, where nothing else says it.
        let order = if self.has_row_numbers(table) {
            format!(" ORDER BY {ROW_NUMBER}")
        } else {
            String::new()
        };
        let sql = AssertSqlSafe(format!("SELECT * FROM {}{order}", table.name));
        match self {
            Self::Sqlite(one) => sqlx::query(sql).fetch(one).map_ok(Row::Sqlite).boxed(),
            Self::Postgres(one) => sqlx::query(sql).fetch(one).map_ok(Row::Postgres).boxed(),
        }
    }

    fn has_row_numbers(&self, table: Table) -> bool {
        match self {
            Self::Sqlite(_) => {
                !["incident_target", "observation", "value", "job"].contains(&table.name)
            }
            Self::Postgres(_) => ["outcome", "event", "log_cursor", "change"].contains(&table.name),
        }
    }

    pub(super) async fn run(&mut self, changes: &[Change]) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(one) => sqlite::run_each(one, changes).await.map(drop),
            Self::Postgres(one) => postgres::run_on(one, changes).await.map(drop),
        }
    }

    pub(super) async fn count(&mut self, table: Table) -> sqlx::Result<i64> {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {}", table.name));
        match self {
            Self::Sqlite(one) => sqlx::query_scalar(sql).fetch_one(one).await,
            Self::Postgres(one) => postgres::within(sqlx::query_scalar(sql).fetch_one(one)).await,
        }
    }

    /// Whether nothing is kept there.
    pub(super) async fn is_empty(&mut self) -> sqlx::Result<bool> {
        for table in TABLES {
            if self.count(table).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes away all that is kept there.
    pub(super) async fn clear(&mut self) -> sqlx::Result<()> {
        for table in TABLES.iter().rev() {
            self.execute(format!("DELETE FROM {}", table.name)).await?;
        }
        Ok(())
    }

    /// Lets what the database numbers go on after what was carried there.
    async fn renumber(&mut self) -> sqlx::Result<()> {
        if matches!(self, Self::Sqlite(_)) {
            return Ok(());
        }
        for table in TABLES {
            let Some(column) = table.numbered else { continue };
            let name = table.name;
            self.execute(format!(
                "SELECT setval(pg_get_serial_sequence('{name}', '{column}'),
                               (SELECT COALESCE(MAX({column}), 0) + 1 FROM {name}), false)"
            ))
            .await?;
        }
        Ok(())
    }
}

/// Carries everything, and counts it. Both ends are in a transaction, which whoever calls it ends.
/// What the other end has already is brought up to date, and what it has alone stays there.
pub(super) async fn carry(from: &mut End, to: &mut End) -> sqlx::Result<Vec<Carried>> {
    if matches!(from, End::Postgres(_)) {
        // A large table takes longer than one statement may; each armful has its limit here.
        from.execute("SET LOCAL statement_timeout = 0".to_owned()).await?;
    }
    let mut carried = vec![];
    for table in TABLES {
        let before = to.count(table).await?;
        {
            let mut armfuls = from.all(table).try_chunks(ARMFUL).map_err(|error| error.1);
            while let Some(rows) = postgres::within(armfuls.try_next()).await? {
                let changes =
                    rows.iter().map(|row| sound(table, row)).collect::<sqlx::Result<Vec<_>>>()?;
                to.run(&changes).await?;
            }
        }
        let (rows, arrived) = (from.count(table).await?, to.count(table).await?);
        let is_right = if before == 0 { arrived == rows } else { arrived >= rows };
        if !is_right {
            return Err(sqlx::Error::Protocol(format!(
                "of {rows} rows of `{}` {arrived} arrived",
                table.name
            )));
        }
        carried.push(Carried { table: table.name, rows });
    }
    to.renumber().await?;
    Ok(carried)
}

/// What is damaged is not carried on as if it were whole.
fn sound(table: Table, row: &Row) -> sqlx::Result<Change> {
    if !is_sound(table, row)? {
        let what = format!("a row of `{}` is not as it was written", table.name);
        return Err(sqlx::Error::Protocol(what));
    }
    put(table, row)
}
