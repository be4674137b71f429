//! Checksums of rows: what the database itself does not notice, such as a digit that became another,
//! is found by them.
//!
//! A row's checksum is a CRC-32 of its table's name and of all its columns, in their order, save the
//! number that the database itself gives it. It finds every single flipped bit, and of other
//! damage all but one in four thousand million. Nothing here is meant against people.
//!
//! Rejected: SHA-256, as the vault has it. It costs a start ten times as much where the processor
//! does not help, and finds a flipped bit only very probably.

use flate2::Crc;
use selfheal_agents::ports::{StoreError, StoreResult};
use serde::de::DeserializeOwned;

use super::change::{Change, Value};
use super::row::{Cell, Row};

/// The column that holds it.
const CHECKSUM: &str = "checksum";
/// What PostgreSQL numbers rows with whose order counts, as SQLite does unseen.
pub(in crate::store) const ROW_NUMBER: &str = "rowid";

/// A table whose rows have checksums.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// Where its JSON document stands.
    document: &'static str,
    /// What names a row.
    pub(in crate::store) key: &'static [&'static str],
    /// The column that the database numbers, which is not known when a row is written.
    pub(in crate::store) numbered: Option<&'static str>,
}

pub(super) const INCIDENT: Table = of_documents("incident", &["id"]);
pub(super) const INCIDENT_TARGET: Table = of_documents("incident_target", &["target", "incident"]);
pub(super) const JOURNAL: Table =
    Table { name: "journal", document: "entry", key: &["sequence"], numbered: Some("sequence") };
pub(super) const OUTCOME: Table = of_documents("outcome", &["fix"]);
pub(super) const EVENT: Table = of_documents("event", &["target", "at", "kind"]);
pub(super) const LOG_CURSOR: Table = of_documents("log_cursor", &["container"]);
pub(super) const OBSERVATION: Table = of_documents("observation", &["target", "at", "check_name"]);
pub(super) const VALUE: Table = of_documents("value", &["name"]);
pub(super) const DELIVERY: Table =
    Table { name: "delivery", document: "alert", key: &["id"], numbered: Some("id") };
pub(super) const CHANGE: Table = of_documents("change", &["target", "at", "kind", "what"]);

pub(super) const MESSAGE: Table =
    Table { name: "message", document: "document", key: &["id"], numbered: Some("id") };
pub(super) const JOB: Table = of_documents("job", &["id"]);

/// Every one. All of them are sent and moved, also what waits for other programs and the jobs that
/// are done: whoever takes a history over tells what waits, and does no job twice.
pub(in crate::store) const TABLES: [Table; 12] = [
    INCIDENT,
    INCIDENT_TARGET,
    JOURNAL,
    OUTCOME,
    EVENT,
    LOG_CURSOR,
    OBSERVATION,
    VALUE,
    DELIVERY,
    CHANGE,
    MESSAGE,
    JOB,
];

const fn of_documents(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, document: "document", key, numbered: None }
}

impl Change {
    /// Adds the checksum of a row of `table` that consists of the values so far, in the order of
    /// its columns.
    pub(super) fn summed(self, table: Table) -> Self {
        let mut sum = Sum::of(table);
        for value in &self.values {
            match value {
                Value::Text(text) => sum.text(text.as_bytes()),
                Value::Integer(number) => sum.integer(*number),
                Value::Null => sum.null(),
            }
        }
        let checksum = sum.end();
        self.with(checksum)
    }
}

/// A checksum in the making. Each value goes in with its kind and length, so that none runs into
/// the next.
pub(in crate::store) struct Sum(Crc);

impl Sum {
    pub(in crate::store) fn new() -> Self {
        Self(Crc::new())
    }

    fn of(table: Table) -> Self {
        let mut sum = Self::new();
        sum.text(table.name.as_bytes());
        sum
    }

    fn text(&mut self, text: &[u8]) {
        self.0.update(b"t");
        self.0.update(&text.len().to_le_bytes());
        self.0.update(text);
    }

    fn integer(&mut self, number: i64) {
        self.0.update(b"i");
        self.0.update(&number.to_le_bytes());
    }

    fn null(&mut self) {
        self.0.update(b"n");
    }

    pub(in crate::store) fn cell(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Text(bytes) => self.text(bytes),
            Cell::Integer(number) => self.integer(*number),
            Cell::Null => self.null(),
        }
    }

    pub(in crate::store) fn end(self) -> i64 {
        i64::from(self.0.sum())
    }
}

/// The checksum that a row of `table` should have, all of its columns at hand.
pub(in crate::store) fn expected(table: Table, row: &Row) -> sqlx::Result<i64> {
    let mut sum = Sum::of(table);
    for column in 0..row.columns() {
        let name = row.name(column);
        let left_out = [CHECKSUM, ROW_NUMBER].contains(&name) || Some(name) == table.numbered;
        if !left_out {
            sum.cell(&row.cell(column)?);
        }
    }
    Ok(sum.end())
}

/// Whether a row is as it was written.
pub(in crate::store) fn is_sound(table: Table, row: &Row) -> sqlx::Result<bool> {
    let column = (0..row.columns()).find(|column| row.name(*column) == CHECKSUM);
    let found = column.map(|column| row.cell(column)).transpose()?;
    Ok(matches!(found, Some(Cell::Integer(found)) if found == expected(table, row)?))
}

/// The document of a whole row of `table` (`SELECT *`), which `what` names in the error.
pub(super) fn document<T: DeserializeOwned>(table: Table, what: &str, row: &Row) -> StoreResult<T> {
    let corrupt = |why: &dyn std::fmt::Display| StoreError::Corrupt(format!("{what}: {why}"));
    if !is_sound(table, row).map_err(|error| corrupt(&error))? {
        return Err(corrupt(&"its checksum is another: it was changed on disk"));
    }
    let text = row.text(table.document).map_err(|error| corrupt(&error))?;
    serde_json::from_str(text).map_err(|error| corrupt(&error))
}

/// The documents of whole rows.
pub(super) fn documents<T: DeserializeOwned>(
    table: Table,
    what: &str,
    rows: &[Row],
) -> StoreResult<Vec<T>> {
    rows.iter().map(|row| document(table, what, row)).collect()
}
