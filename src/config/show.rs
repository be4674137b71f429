//! Shows the settings in force, each with where it came from; secrets as `***`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::load::Loaded;
use super::settings::Settings;
use super::tree::joined;

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its name, such as `api.listen` or `target[0].url`.
    pub key: String,
    /// Its value as it would be written in the file.
    pub value: String,
    /// `default`, `FILE:LINE`, `environment NAME` or `flag NAME`.
    pub origin: String,
}

impl Loaded {
    /// Every setting in force, in the order of their names.
    pub fn shown(&self) -> Vec<Shown> {
        let origin = |key: &str| self.places.exactly(key).to_string();
        let rows = self.settings.rows().into_iter();
        rows.map(|(key, value)| Shown { origin: origin(&key), key, value }).collect()
    }
}

impl Settings {
    /// Every setting with its value, in the order of their names.
    fn rows(&self) -> BTreeMap<String, String> {
        let settings = serde_json::to_value(self)
            .expect("settings are made of texts, numbers, lists and tables");
        let mut rows = BTreeMap::new();
        collect(&settings, String::new(), &mut rows);
        rows
    }

    /// What is another in `new`, in words; nothing where the two are the same.
    pub fn differences(&self, new: &Self) -> Vec<String> {
        if self == new {
            return vec![];
        }
        let (old, new) = (self.rows(), new.rows());
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let shown = |value: Option<&String>| value.map_or("not set", String::as_str).to_owned();
        let mut said: Vec<String> = keys
            .into_iter()
            .filter(|key| old.get(*key) != new.get(*key))
            .map(|key| format!("{key}: {} -> {}", shown(old.get(key)), shown(new.get(key))))
            .collect();
        if said.is_empty() {
            said.push("a secret was changed".to_owned());
        }
        said
    }
}

fn collect(value: &Json, name: String, rows: &mut BTreeMap<String, String>) {
    match value {
        Json::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                collect(value, joined(&name, key), rows);
            }
        }
        Json::Array(values) if values.iter().any(Json::is_object) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, format!("{name}[{index}]"), rows);
            }
        }
        Json::Null => {}
        value => drop(rows.insert(name, written(value))),
    }
}

/// As TOML: JSON's texts, numbers, truths and lists are written the same way there.
fn written(value: &Json) -> String {
    match value {
        Json::Object(_) => "{}".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said_and_a_secret_is_not() {
        let old = Settings::default();
        let mut new = old.clone();
        assert!(old.differences(&new).is_empty());
        new.mode = selfheal_agents::model::Mode::Observe;
        assert_eq!(old.differences(&new), ["mode: \"auto\" -> \"observe\""]);
        let headers = |secret| {
            let mut settings = old.clone();
            let header = crate::config::Secret::new(secret);
            settings.alerts.webhook.headers.insert("X".to_owned(), header);
            settings
        };
        let said = headers("hunter2").differences(&headers("hunter3"));
        assert_eq!(said, ["a secret was changed"]);
        assert!(!format!("{:?}", old.differences(&headers("hunter2"))).contains("hunter"));
    }
}
