//! Settings as they were written, every value with its place.
//!
//! Between the parser and the typed settings, so that all sources can be laid over one
//! another and every fault can name its line. Knows nothing of what settings there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use toml::de::{DeTable, DeValue};

use super::fault::Place;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where.
    pub(super) place: Place,
    /// What.
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Number(f64),
    Truth(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Value {
    /// The word for its kind in messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Truth(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// A table with nothing in it.
    pub(super) fn empty(place: Place) -> Self {
        Self { place, value: Value::Table(BTreeMap::new()) }
    }

    /// Reads a TOML document; the error points at the place with a caret.
    pub(super) fn parse(text: &str, path: &Arc<Path>) -> Result<Self, String> {
        let table = DeTable::parse(text).map_err(|error| error.to_string())?;
        let lines = Lines::of(text, path);
        Ok(Self { place: lines.place(0), value: lines.table(table.get_ref()) })
    }

    /// Reads one TOML value, such as `[{ kind = "http" }]`.
    pub(super) fn parse_value(text: &str, place: &Place) -> Result<Self, String> {
        let value = DeValue::parse(text).map_err(|error| error.message().to_owned())?;
        let lines = Lines { starts: vec![], place: Some(place.clone()), path: None };
        Ok(Self { place: place.clone(), value: lines.value(value.get_ref()) })
    }

    /// Puts `node` at `path`; whatever stood in the way goes.
    pub(super) fn put(&mut self, path: &[String], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self::empty(node.place.clone());
        }
        if let Value::Table(entries) = &mut self.value {
            let place = node.place.clone();
            entries.entry(first.clone()).or_insert_with(|| Self::empty(place)).put(rest, node);
        }
    }

    /// The value at a path of table keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match &node.value {
            Value::Table(entries) => entries.get(*key),
            _ => None,
        })
    }

    /// Without places, for the typed settings.
    pub(super) fn plain(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => json!(text),
            Value::Whole(whole) => json!(whole),
            Value::Number(number) => json!(number),
            Value::Truth(truth) => json!(truth),
            Value::List(nodes) => nodes.iter().map(Self::plain).collect(),
            Value::Table(entries) => {
                entries.iter().map(|(key, node)| (key.clone(), node.plain())).collect()
            }
        }
    }

    /// The place of every value, by names such as `api.listen` and `target[0].url`.
    pub(super) fn places(&self) -> Places {
        let mut places = Places(BTreeMap::new());
        self.collect(String::new(), &mut places.0);
        places
    }

    fn collect(&self, name: String, into: &mut BTreeMap<String, Place>) {
        match &self.value {
            Value::Table(entries) => {
                for (key, node) in entries {
                    node.collect(joined(&name, key), into);
                }
            }
            Value::List(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    node.collect(format!("{name}[{index}]"), into);
                }
            }
            _ => {}
        }
        into.insert(name, self.place.clone());
    }
}

/// The name of a key inside a table; quoted where it holds a dot or the like.
pub(super) fn joined(table: &str, key: &str) -> String {
    let bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// Where every value was written.
#[derive(Debug, Clone)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    /// The place of a setting; of the table around it where it was not written itself.
    pub(super) fn near(&self, name: &str) -> Place {
        let mut name = name;
        loop {
            if let Some(place) = self.0.get(name) {
                return place.clone();
            }
            match name.rfind(['.', '[']) {
                Some(end) => name = &name[..end],
                None => return Place::Default,
            }
        }
    }

    /// The place of a setting, [`Place::Default`] where it was not written.
    pub(super) fn exactly(&self, name: &str) -> Place {
        self.0.get(name).cloned().unwrap_or(Place::Default)
    }
}

/// Turns offsets into lines while it copies values.
struct Lines {
    starts: Vec<usize>,
    path: Option<Arc<Path>>,
    place: Option<Place>,
}

impl Lines {
    fn of(text: &str, path: &Arc<Path>) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(offset, _)| offset + 1))
            .collect();
        Self { starts, path: Some(Arc::clone(path)), place: None }
    }

    fn place(&self, offset: usize) -> Place {
        match (&self.place, &self.path) {
            (Some(place), _) => place.clone(),
            (None, Some(path)) => {
                let line = self.starts.partition_point(|start| *start <= offset);
                Place::File { path: Arc::clone(path), line }
            }
            (None, None) => Place::Default,
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let node =
                Node { place: self.place(key.span().start), value: self.value(value.get_ref()) };
            (key.get_ref().to_string(), node)
        });
        Value::Table(entries.collect())
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            // A whole number too large for any setting still has a size to be judged by.
            DeValue::Integer(whole) => i64::from_str_radix(whole.as_str(), whole.radix())
                .map_or(Value::Number(f64::MAX), Value::Whole),
            DeValue::Float(number) => Value::Number(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Datetime(date) => Value::Text(date.to_string()),
            DeValue::Array(values) => Value::List(
                values
                    .iter()
                    .map(|value| Node {
                        place: self.place(value.span().start),
                        value: self.value(value.get_ref()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => self.table(table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let path: Arc<Path> = Path::new("a.toml").into();
        let text = "mode = \"auto\"\n\n[api]\nlisten = \"x\"\n[[target]]\nname = \"a\"\n[[target]]\nurl = \"b\"\n";
        let places = Node::parse(text, &path).unwrap().places();
        for (name, line) in [("mode", 1), ("api.listen", 4), ("target[1]", 7), ("target[1].url", 8)]
        {
            let expected = Place::File { path: Arc::clone(&path), line };
            assert_eq!(places.exactly(name), expected, "{name}");
        }
        assert_eq!(places.near("target[1].name"), places.exactly("target[1]"));
    }
}
