//! A row as either driver hands it out. Nothing is copied before it is asked for.

use selfheal_agents::ports::{StoreError, StoreResult};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Decode, Row as _, Sqlite, TypeInfo, ValueRef};

use super::change::Value;

/// A row of either database.
pub(in crate::store) enum Row {
    /// Of a file.
    Sqlite(SqliteRow),
    /// Of a server.
    Postgres(PgRow),
}

/// What stands in one column.
pub(in crate::store) enum Cell<'row> {
    /// As bytes: what is damaged may be no text any more.
    Text(&'row [u8]),
    Integer(i64),
    Null,
}

impl Row {
    pub(in crate::store) fn text(&self, column: &str) -> StoreResult<&str> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| unreadable(&error))
    }

    pub(in crate::store) fn optional(&self, column: &str) -> StoreResult<Option<&str>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| unreadable(&error))
    }

    pub(in crate::store) fn integer(&self, column: &str) -> StoreResult<i64> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| unreadable(&error))
    }

    pub(in crate::store) fn optional_integer(&self, column: &str) -> StoreResult<Option<i64>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| unreadable(&error))
    }

    pub(in crate::store) fn columns(&self) -> usize {
        match self {
            Self::Sqlite(row) => row.len(),
            Self::Postgres(row) => row.len(),
        }
    }

    pub(in crate::store) fn name(&self, column: usize) -> &str {
        match self {
            Self::Sqlite(row) => row.column(column).name(),
            Self::Postgres(row) => row.column(column).name(),
        }
    }

    pub(in crate::store) fn cell(&self, column: usize) -> sqlx::Result<Cell<'_>> {
        match self {
            Self::Sqlite(row) => sqlite_cell(row, column),
            Self::Postgres(row) => postgres_cell(row, column),
        }
    }

    /// The same as a value of its own.
    pub(in crate::store) fn value(&self, column: usize) -> sqlx::Result<Value> {
        Ok(match self.cell(column)? {
            Cell::Text(bytes) => Value::Text(
                String::from_utf8(bytes.to_vec())
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
            ),
            Cell::Integer(number) => Value::Integer(number),
            Cell::Null => Value::Null,
        })
    }
}

fn sqlite_cell(row: &SqliteRow, column: usize) -> sqlx::Result<Cell<'_>> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    if matches!(value.type_info().name(), "TEXT" | "BLOB" | "REAL") {
        return <&[u8] as Decode<Sqlite>>::decode(value)
            .map(Cell::Text)
            .map_err(sqlx::Error::Decode);
    }
    <i64 as Decode<Sqlite>>::decode(value).map(Cell::Integer).map_err(sqlx::Error::Decode)
}

fn postgres_cell(row: &PgRow, column: usize) -> sqlx::Result<Cell<'_>> {
    if row.try_get_raw(column)?.is_null() {
        return Ok(Cell::Null);
    }
    if row.column(column).type_info().name() == "TEXT" {
        return Ok(Cell::Text(row.try_get::<&str, _>(column)?.as_bytes()));
    }
    row.try_get(column).map(Cell::Integer)
}

fn unreadable(error: &sqlx::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
