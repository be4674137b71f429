//! Holds what was written against the schema and notes every fault.
//!
//! What is faulty is left out of what comes back, so that the rest can be looked at further
//! and all faults are told at once. It knows only names, kinds and forms; what values mean
//! together is looked at in `meaning`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::fault::{Fault, Place, nearest};
use super::formats;
use super::tree::{Node, Value, joined};

/// The JSON schema of the settings.
pub(super) struct Shape {
    root: Json,
}

impl Shape {
    /// Of the settings.
    pub(super) fn of_settings() -> Self {
        Self { root: super::schema() }
    }

    /// The schema itself.
    pub(super) const fn root(&self) -> &Json {
        &self.root
    }

    /// Follows a reference and takes the null out of an optional value.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            return self.resolve(&self.root["$defs"][name]);
        }
        let some =
            schema["anyOf"].as_array().and_then(|any| any.iter().find(|s| s["type"] != "null"));
        some.map_or(schema, |some| self.resolve(some))
    }

    /// The part of the schema for one key of a table.
    pub(super) fn member<'a>(&'a self, table: &'a Json, key: &str) -> Option<&'a Json> {
        let table = self.resolve(table);
        let found = table["properties"].get(key);
        found.or_else(|| table.get("additionalProperties").filter(|s| s.is_object()))
    }

    /// The settings a table can hold.
    pub(super) fn keys<'a>(&'a self, table: &'a Json) -> impl Iterator<Item = &'a str> {
        let properties = self.resolve(table)["properties"].as_object();
        properties.into_iter().flat_map(|p| p.keys().map(String::as_str))
    }

    /// What of `node` fits; everything else is noted in `faults`.
    pub(super) fn fit(
        &self,
        node: Node,
        schema: &Json,
        name: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<Node> {
        let schema = self.resolve(schema);
        let place = node.place;
        let fitting = match (kind_of(schema), node.value) {
            ("object", Value::Table(entries)) => {
                return self.fit_table(place, entries, schema, name, faults);
            }
            ("array", Value::List(nodes)) => {
                let fit = |(index, node)| {
                    self.fit(node, &schema["items"], &format!("{name}[{index}]"), faults)
                };
                Ok(Value::List(nodes.into_iter().enumerate().filter_map(fit).collect()))
            }
            (kind, value) => fit_scalar(kind, value, schema),
        };
        match fitting {
            Ok(value) => Some(Node { place, value }),
            Err(what) => {
                faults.push(Fault::new(place, name, what));
                None
            }
        }
    }

    /// The table with the entries that fit; `None` where a required one is missing or wrong.
    fn fit_table(
        &self,
        place: Place,
        entries: BTreeMap<String, Node>,
        schema: &Json,
        name: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<Node> {
        let required = schema["required"].as_array().into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Json::as_str).collect();
        for key in required.iter().filter(|key| !entries.contains_key(**key)) {
            faults.push(Fault::new(place.clone(), name, format!("`{key}` is missing")));
        }
        let mut kept = BTreeMap::new();
        for (key, node) in entries {
            let name = joined(name, &key);
            if let Some(member) = self.member(schema, &key) {
                let fitting = self.fit(node, member, &name, faults);
                kept.extend(fitting.map(|node| (key, node)));
            } else {
                let fault = Fault::new(node.place, &name, "there is no such setting");
                faults.push(fault.with_help(self.meant(&key, schema)));
            }
        }
        let complete = required.iter().all(|key| kept.contains_key(*key));
        complete.then_some(Node { place, value: Value::Table(kept) })
    }

    /// What an unknown key may have been meant to be: a neighbour, or a key of another table.
    fn meant(&self, key: &str, table: &Json) -> Option<String> {
        if let Some(near) = nearest(key, self.keys(table)) {
            return Some(format!("did you mean `{near}`?"));
        }
        let homes = self.keys(&self.root).filter(|section| {
            let section = &self.root["properties"][*section];
            self.keys(section).any(|known| known == key)
        });
        let homes: Vec<String> = homes.map(|section| format!("[{section}]")).collect();
        if !homes.is_empty() {
            return Some(format!("`{key}` belongs in {}", homes.join(" or ")));
        }
        let known: Vec<&str> = self.keys(table).collect();
        (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
    }
}

/// The value if it is what the schema asks for, else what is wrong with it.
fn fit_scalar(kind: &str, value: Value, schema: &Json) -> Result<Value, String> {
    if let Some(words) = words(schema) {
        return match &value {
            Value::Text(text) if words.contains(&text.as_str()) => Ok(value),
            _ => Err(unknown_word(&value, &words)),
        };
    }
    match (kind, value) {
        ("string", Value::Text(text)) => {
            formats::check(schema["format"].as_str().unwrap_or(""), &text)?;
            Ok(Value::Text(text))
        }
        ("boolean", value @ Value::Truth(_)) => Ok(value),
        ("integer", value @ Value::Whole(_))
        | ("number", value @ (Value::Whole(_) | Value::Number(_))) => {
            out_of_range(&value, schema).map_or(Ok(value), Err)
        }
        (kind, value) => {
            Err(format!("this is {}; {} is needed", value.kind(), expected(kind, schema)))
        }
    }
}

/// The words of an enumeration.
fn words(schema: &Json) -> Option<Vec<&str>> {
    let plain =
        schema["enum"].as_array().map(|words| words.iter().filter_map(Json::as_str).collect());
    plain.or_else(|| {
        let one_of = schema["oneOf"].as_array()?;
        let mut words = vec![];
        for choice in one_of {
            words.extend(choice["const"].as_str());
            words.extend(choice["enum"].as_array().into_iter().flatten().filter_map(Json::as_str));
        }
        (!words.is_empty()).then_some(words)
    })
}

fn unknown_word(value: &Value, words: &[&str]) -> String {
    let listed = words.join(", ");
    match value {
        Value::Text(text) => {
            let shown = selfheal_agents::model::clean(text, 60);
            match nearest(text, words.iter().copied()) {
                Some(near) => format!("`{shown}` is none of {listed}; did you mean `{near}`?"),
                None => format!("`{shown}` is none of {listed}"),
            }
        }
        other => format!("this is {}; one of {listed} is needed", other.kind()),
    }
}

/// The kind of value, leaving out null.
fn kind_of(schema: &Json) -> &str {
    match &schema["type"] {
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or("")
        }
        kind => kind.as_str().unwrap_or(""),
    }
}

fn expected(kind: &str, schema: &Json) -> String {
    if let Some(expects) = schema["x-expects"].as_str() {
        return expects.to_owned();
    }
    match kind {
        "integer" => match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
            _ => "a whole number".to_owned(),
        },
        "number" => "a number".to_owned(),
        "boolean" => "true or false, without quotes,".to_owned(),
        "array" => "a list in [ ]".to_owned(),
        "object" => "a table".to_owned(),
        _ => "a text in quotes".to_owned(),
    }
}

fn out_of_range(value: &Value, schema: &Json) -> Option<String> {
    let number = match value {
        #[expect(clippy::cast_precision_loss, reason = "only compared with small limits")]
        Value::Whole(whole) => *whole as f64,
        Value::Number(number) => *number,
        _ => return None,
    };
    if !number.is_finite() {
        return Some("a number that is not finite means nothing here".to_owned());
    }
    let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    if min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max) {
        return None;
    }
    Some(match (min, max) {
        (Some(min), Some(max)) => format!("{number} is outside {min} to {max}"),
        (Some(min), None) => format!("{number} is below {min}"),
        _ => format!("{number} is above {}", max.unwrap_or_default()),
    })
}
