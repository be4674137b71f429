//! Shows the settings in force, each with where it came from; secrets as `***`.

use serde::Serialize;
use serde_json::Value as Json;

use super::load::Loaded;
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
        let settings = serde_json::to_value(&self.settings)
            .expect("settings are made of texts, numbers, lists and tables");
        let mut rows = vec![];
        self.collect(&settings, String::new(), &mut rows);
        rows
    }

    fn collect(&self, value: &Json, name: String, rows: &mut Vec<Shown>) {
        match value {
            Json::Object(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    self.collect(value, joined(&name, key), rows);
                }
            }
            Json::Array(values) if values.iter().any(Json::is_object) => {
                for (index, value) in values.iter().enumerate() {
                    self.collect(value, format!("{name}[{index}]"), rows);
                }
            }
            Json::Null => {}
            value => {
                let origin = self.places.exactly(&name).to_string();
                rows.push(Shown { key: name, value: written(value), origin });
            }
        }
    }
}

/// As TOML: JSON's texts, numbers, truths and lists are written the same way there.
fn written(value: &Json) -> String {
    match value {
        Json::Object(_) => "{}".to_owned(),
        value => value.to_string(),
    }
}
