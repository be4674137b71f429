//! A write as data: statements with their values, for either database.

use sqlx::query::Query;
use sqlx::{Database, Encode, SqlSafeStr, SqlStr, Type};

/// One statement with its values.
pub(in crate::store) struct Change {
    pub(in crate::store) sql: SqlStr,
    pub(in crate::store) values: Vec<Value>,
    /// Whether it answers a number (`RETURNING`).
    pub(in crate::store) is_answered: bool,
}

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Done {
    /// How many rows it changed; 1 where it answered a number.
    pub(in crate::store) rows: u64,
    /// What it answered.
    pub(in crate::store) number: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Value {
    Text(String),
    Integer(i64),
    Null,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Change {
    pub(in crate::store) fn new(sql: impl SqlSafeStr) -> Self {
        Self { sql: sql.into_sql_str(), values: vec![], is_answered: false }
    }

    /// One whose `RETURNING` answers a number.
    pub(in crate::store) fn answering(sql: &'static str) -> Self {
        Self { is_answered: true, ..Self::new(sql) }
    }

    pub(in crate::store) fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

/// A statement with its values, for a driver.
pub(in crate::store) fn bound<D: Database>(
    sql: impl SqlSafeStr,
    values: &[Value],
) -> Query<'static, D, D::Arguments>
where
    for<'t> &'t str: Encode<'t, D> + Type<D>,
    for<'t> i64: Encode<'t, D> + Type<D>,
    for<'t> Option<String>: Encode<'t, D> + Type<D>,
{
    let query = sqlx::query::<D>(sql);
    values.iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.as_str()),
        Value::Integer(number) => query.bind(*number),
        Value::Null => query.bind(None::<String>),
    })
}
