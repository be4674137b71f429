//! The shipped settings file and schema say what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use selfheal::config::{Settings, Sources, load_from, schema};
use serde_json::Value;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn load(path: PathBuf) -> selfheal::config::Loaded {
    let sources = Sources { explicit: Some(path), ..Sources::default() };
    load_from(&sources).unwrap_or_else(|error| panic!("{error}"))
}

/// The shipped file with every setting switched on: `#key`, not `# prose`.
fn switched_on() -> String {
    let text = fs::read_to_string(shipped("selfheal.toml")).expect("the file is shipped");
    let on = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_alphabetic() || c == '[') => setting,
        _ => line,
    });
    on.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_as_it_is_changes_nothing() {
    assert_eq!(load(shipped("selfheal.toml")).settings, Settings::default());
}

#[test]
fn the_shipped_file_with_every_line_switched_on_is_valid_and_shows_the_defaults() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("selfheal.toml");
    fs::write(&path, switched_on()).unwrap();
    let mut settings = load(path).settings;
    assert_eq!(settings.targets.len(), 2);
    assert_eq!(settings.tunables.len(), 1);
    assert_eq!(settings.commands.len(), 1);
    assert_eq!(settings.dependencies.len(), 1);
    assert!(settings.alerts.webhook.url.is_some());
    assert_eq!(settings.alerts.email.to.len(), 2);
    // What has no default is an example; all the rest must be the default itself.
    let defaults = Settings::default();
    settings.targets.clear();
    settings.docker.engines.clear();
    settings.tunables.clear();
    settings.commands.clear();
    settings.dependencies.clear();
    settings.healing.maintenance.clear();
    settings.healing.quiet_hours.clear();
    settings.healing.rehearse = None;
    settings.policy = defaults.policy.clone();
    settings.alerts = defaults.alerts.clone();
    settings.heartbeat.url = None;
    settings.api.hosts.clear();
    settings.api.tls = defaults.api.tls.clone();
    assert_eq!(settings, defaults);
}

/// The last part of the name of every setting, from the schema.
fn names(schema: &Value, root: &Value, into: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        return names(&root["$defs"][name], root, into);
    }
    for (key, member) in schema["properties"].as_object().into_iter().flatten() {
        let before = into.len();
        names(member, root, into);
        names(&member["items"], root, into);
        names(&member["additionalProperties"], root, into);
        let inner = into.len() > before || member.get("$ref").is_some();
        if !inner || member["type"] == "array" {
            into.insert(key.clone());
        }
    }
}

#[test]
fn every_setting_of_the_schema_is_in_the_shipped_file() {
    let schema = schema();
    let mut known = BTreeSet::new();
    names(&schema, &schema, &mut known);
    assert!(known.contains("listen") && known.contains("password_file"), "{known:?}");
    let text = fs::read_to_string(shipped("selfheal.toml")).unwrap();
    let missing: Vec<_> = known
        .iter()
        .filter(|key| {
            let forms =
                ["KEY = ", "[[KEY]]", ".KEY]]", ".KEY."].map(|form| form.replace("KEY", key));
            !forms.iter().any(|form| text.contains(form.as_str()))
        })
        .collect();
    assert!(missing.is_empty(), "not in config/selfheal.toml: {missing:?}");
}

#[test]
fn every_setting_of_the_schema_is_described() {
    fn undescribed(schema: &Value, name: &str, into: &mut Vec<String>) {
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            if member["description"].as_str().is_none_or(str::is_empty) {
                into.push(format!("{name}.{key}"));
            }
        }
        for (key, inner) in schema["$defs"].as_object().into_iter().flatten() {
            undescribed(inner, key, into);
        }
    }
    let mut found = vec![];
    undescribed(&schema(), "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// `UPDATE_SCHEMA=1 cargo test the_shipped_schema` writes it anew.
#[test]
fn the_shipped_schema_is_the_programs_own() {
    let generated = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    let path = shipped("selfheal.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == generated, "{} is old; run with UPDATE_SCHEMA=1", path.display());
}

#[test]
fn every_example_is_valid() {
    let examples: Vec<_> = fs::read_dir(shipped("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for example in examples {
        load(example);
    }
}
