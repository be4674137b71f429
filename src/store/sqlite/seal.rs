//! The seal over the schema of a database file, and the look at every row's checksum.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Sqlite, SqliteConnection};

use crate::store::sql::change::{Value, bound};
use crate::store::sql::checksum::{Sum, TABLES, Table, expected, is_sound};
use crate::store::sql::row::Row;

/// The first table with a row that has not its checksum, if there is one.
///
/// Every row is read. With the indexes, and in a build that is not optimised, 2,000 incidents of 5 kB
/// (12 MB) add about 0.2 s to a start, and 100,000 of them (570 MB) 12 s.
pub(in crate::store) async fn damaged_table(
    connection: &mut SqliteConnection,
) -> sqlx::Result<Option<&'static str>> {
    for table in TABLES {
        let all = AssertSqlSafe(format!("SELECT * FROM {}", table.name));
        let mut rows = sqlx::query(all).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if !is_sound(table, &Row::Sqlite(row))? {
                return Ok(Some(table.name));
            }
        }
    }
    Ok(None)
}

/// Gives rows from before there were checksums theirs, and seals the schema, all or nothing; does
/// nothing where the seal is there.
pub(in crate::store) async fn seal(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let wanted = seal_of(connection).await?;
    if seal_in(connection).await? == wanted {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for table in TABLES {
        fill(&mut transaction, table).await?;
    }
    let set = AssertSqlSafe(format!("PRAGMA user_version = {wanted}"));
    sqlx::query(set).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn fill(connection: &mut SqliteConnection, table: Table) -> sqlx::Result<()> {
    let mut found = vec![];
    let all = AssertSqlSafe(format!("SELECT * FROM {} WHERE checksum IS NULL", table.name));
    let mut rows = sqlx::query(all).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let row = Row::Sqlite(row);
        let named = |name: &&str| (0..row.columns()).find(|column| row.name(*column) == *name);
        let key: Vec<Value> = table
            .key
            .iter()
            .filter_map(named)
            .map(|column| row.value(column))
            .collect::<sqlx::Result<_>>()?;
        found.push((key, expected(table, &row)?));
    }
    drop(rows);
    let named: Vec<String> =
        table.key.iter().enumerate().map(|(n, column)| format!("{column} = ${}", n + 2)).collect();
    let set = format!("UPDATE {} SET checksum = $1 WHERE {}", table.name, named.join(" AND "));
    for (key, checksum) in found {
        let values: Vec<Value> = std::iter::once(Value::Integer(checksum)).chain(key).collect();
        let update = bound::<Sqlite>(AssertSqlSafe(set.as_str()), &values);
        update.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The seal that stands in the file; 0 where none was put.
pub(in crate::store) async fn seal_in(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

/// The seal that belongs there: over the schema, and over the steps that led to it. What is
/// sealed, and how, is never changed: an older Selfheal must tell a newer schema from damage.
pub(in crate::store) async fn seal_of(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let mut sum = Sum::new();
    for query in [
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
        "SELECT version, success, hex(checksum) FROM _sqlx_migrations ORDER BY version",
    ] {
        for row in sqlx::query(query).fetch_all(&mut *connection).await? {
            let row = Row::Sqlite(row);
            for column in 0..row.columns() {
                sum.cell(&row.cell(column)?);
            }
        }
    }
    // Never 0, nor one flipped bit away from it: that stands for no seal.
    Ok((sum.end() >> 4) | 0x3000_0000)
}
