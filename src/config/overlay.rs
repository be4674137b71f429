//! Lays the environment and the command line over the settings file.
//!
//! `SELFHEAL__API__LISTEN` is `api.listen`. Texts are taken as they are; numbers, truths,
//! lists and tables are read as TOML values. In names that a person chooses, such as a
//! runbook's, `_` stands for `-`, since an environment variable cannot hold one.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::fault::{Fault, Place, nearest};
use super::shape::Shape;
use super::tree::{Node, Value};

/// What every environment variable of ours begins with.
pub(super) const PREFIX: &str = "SELFHEAL__";

/// Lays the environment over `tree`; a variable of ours that names no setting is a fault.
pub(super) fn environment(
    tree: &mut Node,
    variables: &BTreeMap<String, String>,
    shape: &Shape,
    faults: &mut Vec<Fault>,
) {
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        put(tree, &path, text, Place::Environment(name.clone()), shape, faults);
    }
    let unset = tree.at(&["docker", "host"]).is_none();
    if let Some(host) = variables.get("DOCKER_HOST").filter(|host| unset && !host.is_empty()) {
        let place = Place::Environment("DOCKER_HOST".to_owned());
        let node = Node { place, value: Value::Text(host.clone()) };
        tree.put(&["docker".to_owned(), "host".to_owned()], node);
    }
}

/// Lays one value, given as text, over `tree` at `path`.
pub(super) fn put(
    tree: &mut Node,
    path: &[String],
    text: &str,
    place: Place,
    shape: &Shape,
    faults: &mut Vec<Fault>,
) {
    let mut schema = shape.root();
    let mut names = vec![];
    for key in path {
        let table = shape.resolve(schema);
        let chosen = table["properties"].get(key).is_none();
        let Some(member) = shape.member(table, key) else {
            let near = nearest(key, shape.keys(table)).map(str::to_owned);
            let help = near.map(|near| format!("did you mean {}?", spelt(&names, &near, &place)));
            let fault = Fault::new(place, &path.join("."), "there is no such setting");
            faults.push(fault.with_help(help));
            return;
        };
        names.push(if chosen { key.replace('_', "-") } else { key.clone() });
        schema = member;
    }
    match read(text, shape.resolve(schema), &place) {
        Ok(node) => tree.put(&names, node),
        Err(what) => faults.push(Fault::new(place, &path.join("."), what)),
    }
}

/// A name as it would be written at that place.
fn spelt(before: &[String], last: &str, place: &Place) -> String {
    let names: Vec<&str> = before.iter().map(String::as_str).chain([last]).collect();
    match place {
        Place::Environment(_) => format!("{PREFIX}{}", names.join("__").to_uppercase()),
        _ => format!("`{}`", names.join(".")),
    }
}

fn read(text: &str, schema: &Json, place: &Place) -> Result<Node, String> {
    let kind = &schema["type"];
    let takes_text = kind.is_null()
        || kind == "string"
        || kind.as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "string"));
    if takes_text {
        return Ok(Node { place: place.clone(), value: Value::Text(text.to_owned()) });
    }
    // Text that is no TOML value stays text, so that the shape says what was needed.
    match Node::parse_value(text.trim(), place) {
        Err(why) if kind == "array" || kind == "object" => Err(format!(
            "this is not a TOML value ({why}); write lists as `[...]` and tables as `{{ key = value }}`"
        )),
        Err(_) => Ok(Node { place: place.clone(), value: Value::Text(text.to_owned()) }),
        Ok(node) => Ok(node),
    }
}
