//! What `deploy/` says, held against what the program and the other files say.
//!
//! That the image runs is shown in `lab::image`; that the unit is understood, by `scripts/test`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use regex::Regex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(path_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn yaml(name: &str) -> Value {
    let mut all = documents(&text_of(name));
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The chart's templates put values in and do nothing else, so this is all that Helm would do.
fn rendered(template: &str, values: &Value) -> String {
    let of = |name: &str| {
        let pointer = name.replacen("Values", "", 1).replace('.', "/");
        values.pointer(&pointer).unwrap_or_else(|| panic!("no value {name}")).clone()
    };
    let each =
        r"(?s)\n *\{\{- range (?:\$key, )?\$value := \.([A-Za-z.]+) \}\}(.*?)\n *\{\{- end \}\}";
    let text = Regex::new(each).unwrap().replace_all(template, |found: &regex::Captures<'_>| {
        let one = |key: &str, value: &Value| {
            let key = Value::from(key).to_string();
            let text = found[2].replace("{{ toJson $key }}", &key);
            text.replace("{{ toJson $value }}", &value.to_string())
        };
        match of(&found[1]) {
            Value::Array(list) => list.iter().map(|value| one("", value)).collect::<String>(),
            Value::Object(map) => map.iter().map(|(key, value)| one(key, value)).collect(),
            value => panic!("{value} is no list"),
        }
    });
    let place = Regex::new(r"\{\{ (toJson |sha256sum )?\.([A-Za-z.]+) \}\}").unwrap();
    let text = place.replace_all(&text, |found: &regex::Captures<'_>| {
        if found[2].starts_with("Release.") {
            return "selfheal".to_owned();
        }
        match (found.get(1).map(|of| of.as_str()), of(&found[2])) {
            (Some("sha256sum "), Value::String(text)) => format!("{:x}", Sha256::digest(text)),
            (None, Value::String(text)) => text,
            (_, value) => value.to_string(),
        }
    });
    assert!(!text.contains("{{"), "more than values: {text}");
    text.into_owned()
}

fn of_chart(name: &str, values: &Value) -> Value {
    let template = text_of(&format!("deploy/helm/selfheal/templates/{name}.yaml"));
    documents(&rendered(&template, values)).remove(0)
}

fn chart_values() -> Value {
    yaml("deploy/helm/selfheal/values.yaml")
}

#[test]
fn the_plain_manifests_are_what_the_chart_says_without_values_of_ones_own() {
    let values = chart_values();
    let mut of_chart = ["configmap", "daemonset"].map(|name| of_chart(name, &values));
    // Without Helm nobody counts it anew.
    let labels = of_chart[1].pointer_mut("/spec/template/metadata").unwrap();
    assert!(labels.as_object_mut().unwrap().remove("annotations").is_some());
    let mut plain = documents(&text_of("deploy/kubernetes/daemonset.yaml"));
    let namespace = plain.remove(0);
    assert_eq!(namespace["kind"], "Namespace");
    assert_eq!(namespace["metadata"]["name"], plain[0]["metadata"]["namespace"]);
    assert_eq!(plain, of_chart);
}

#[test]
fn what_is_added_by_values_stands_beside_what_the_chart_has() {
    let mut values = chart_values();
    let before = of_chart("daemonset", &values);
    values["podAnnotations"] = json!({"team": "web", "a/b": "1"});
    values["volumes"] = json!([{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]);
    values["volumeMounts"] = json!([{"name": "a", "mountPath": "/a"}]);
    values["settings"] = json!("mode = \"observe\"\n");
    let after = of_chart("daemonset", &values);
    let of = |set: &Value, at: &str| set["spec"]["template"].pointer(at).unwrap().clone();
    for (at, more) in [("/spec/volumes", 2), ("/spec/containers/0/volumeMounts", 1)] {
        let [before, after] = [&before, &after].map(|set| of(set, at));
        let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
        assert_eq!(after.len(), before.len() + more, "{after:?}");
        assert!(after.starts_with(before), "{after:?}");
    }
    let annotations = of(&after, "/metadata/annotations");
    assert_eq!(annotations["team"], "web");
    assert_eq!(annotations["a/b"], "1");
    let settings = |set: &Value| of(set, "/metadata/annotations/selfheal~1settings");
    assert_ne!(settings(&before), settings(&after), "changed settings begin new pods");
}

/// What a file shows behind `#` under this key, as if it stood there.
fn shown_as_example(name: &str, key: &str) -> Value {
    let text = text_of(name);
    let begin = format!("#{key}:");
    let from = text.lines().map(str::trim_start).skip_while(|line| *line != begin);
    let lines = from.enumerate().take_while(|(nth, line)| *nth == 0 || line.starts_with("#  "));
    let example: Vec<_> = lines.map(|(_, line)| &line[1..]).collect();
    documents(&example.join("\n")).remove(0)[key].clone()
}

#[test]
fn the_example_of_a_fleet_gives_whatever_node_settings_that_are_valid() {
    let environment = shown_as_example("deploy/helm/selfheal/values.yaml", "environment");
    assert_eq!(environment, shown_as_example("deploy/kubernetes/daemonset.yaml", "env"));
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("selfheal.toml");
    std::fs::write(&settings, chart_values()["settings"].as_str().unwrap()).unwrap();
    let long = "node.".repeat(12);
    for (node, called) in [
        ("ip-10-0-0-1.ec2.internal", "ip-10-0-0-1-ec2-internal"),
        (long.as_str(), "node-node-node-node-node-node-n-"),
    ] {
        let mut check = Command::cargo_bin("selfheal").unwrap();
        check.args(["config", "check", "--config"]).arg(&settings).env_clear();
        for variable in environment.as_array().unwrap() {
            let value = match &variable["valueFrom"] {
                from if from["fieldRef"]["fieldPath"] == "spec.nodeName" => node,
                from if from.get("secretKeyRef").is_some() => {
                    "postgres://selfheal:s3cret@db/selfheal"
                }
                from => panic!("what is {from}?"),
            };
            check.env(variable["name"].as_str().unwrap(), value);
        }
        let output = check.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{node}: {said}");
        assert!(said.contains(&format!("called {called}")), "{said}");
    }
}

#[test]
fn every_value_of_the_chart_is_used_and_its_version_is_the_programs() {
    fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
        for (key, value) in value.as_object().unwrap() {
            let name = format!("{at}.{key}");
            match value {
                Value::Object(_) if matches!(key.as_str(), "image" | "docker") => {
                    leaves(value, &name, found);
                }
                _ => found.push(name),
            }
        }
    }
    let templates = ["configmap", "daemonset"]
        .map(|name| text_of(&format!("deploy/helm/selfheal/templates/{name}.yaml")))
        .concat();
    let mut names = vec![];
    leaves(&chart_values(), ".Values", &mut names);
    for name in names {
        assert!(templates.contains(&format!("{name} }}}}")), "nobody uses {name}");
    }
    rendered(&text_of("deploy/helm/selfheal/templates/NOTES.txt"), &Value::Null);
    let chart = yaml("deploy/helm/selfheal/Chart.yaml");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn in_a_cluster_it_runs_as_nobody_with_no_capability_and_heals_alone_on_its_node() {
    let plain = documents(&text_of("deploy/kubernetes/daemonset.yaml"));
    let set = plain.iter().find(|document| document["kind"] == "DaemonSet").unwrap();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], 0);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let held = &pod["containers"][0]["securityContext"];
    assert_eq!(held["readOnlyRootFilesystem"], true);
    assert_eq!(held["allowPrivilegeEscalation"], false);
    assert_eq!(words(&held["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(held["capabilities"].get("add"), None);
    let selector = &set["spec"]["selector"]["matchLabels"];
    assert_eq!(*selector, set["spec"]["template"]["metadata"]["labels"]);
}

#[test]
fn compose_gives_selfheal_no_right_but_the_socket() {
    for name in ["deploy/compose/minimal.yaml", "deploy/compose/compose.yaml"] {
        let file = yaml(name);
        let selfheal = &file["services"]["selfheal"];
        assert_eq!(selfheal["read_only"], true, "{name}");
        assert_eq!(words(&selfheal["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(words(&selfheal["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(selfheal["network_mode"], "host", "{name}");
        assert!(selfheal.get("privileged").is_none() && selfheal.get("user").is_none(), "{name}");
        for service in file["services"].as_object().unwrap().values() {
            let log = &service["logging"]["options"];
            assert!(log["max-size"].is_string() && log["max-file"].is_string(), "{name}: {log}");
            for volume in words(service.get("volumes").unwrap_or(&Value::Array(vec![]))) {
                let source = volume.split(':').next().unwrap();
                let is_known = source.starts_with('/') || file["volumes"].get(source).is_some();
                assert!(is_known, "{name}: no volume {source}");
            }
            // What is published is for this machine alone.
            for port in words(service.get("ports").unwrap_or(&Value::Array(vec![]))) {
                assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            }
        }
    }
    let full = yaml("deploy/compose/compose.yaml");
    let mounts = words(&full["services"]["selfheal"]["volumes"]);
    assert!(!mounts.iter().any(|mount| mount.contains("/var/run/docker.sock")), "{mounts:?}");
}

#[test]
fn redis_has_room_to_write_its_file_anew_beside_what_it_keeps() {
    let redis = &yaml("deploy/compose/compose.yaml")["services"]["redis"];
    let megabytes = |text: &str| -> u32 { text.trim_end_matches(['m', 'b']).parse().unwrap() };
    let command = words(&redis["command"]).join(" ");
    let kept = command.split_once("--maxmemory ").unwrap().1.split(' ').next().unwrap();
    let limit = megabytes(redis["mem_limit"].as_str().unwrap());
    assert!(2 * megabytes(kept) < limit, "{kept} of {limit} MB");
}

#[test]
fn whatever_is_shipped_is_built_by_the_one_script_that_makes_the_same_bytes() {
    for name in ["scripts/package", "scripts/reproducible", "deploy/docker/Dockerfile"] {
        let text = text_of(name);
        assert!(text.contains("scripts/release-build"), "{name}");
        assert!(!text.contains("cargo build"), "{name} builds by itself");
    }
    let copied = text_of(".dockerignore");
    assert!(copied.lines().any(|line| line == "!scripts/release-build"), "the image lacks it");
    // It says what it would build with.
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    let told = "#!/bin/sh\necho \"$*|$RUSTFLAGS|$CFLAGS|$CARGO_TARGET_DIR\"\n";
    std::fs::write(&cargo, told).unwrap();
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut build = Command::new(path_of("scripts/release-build"));
    build.env("PATH", path).env("CARGO_HOME", "/some/where").env("CARGO_TARGET_DIR", "/else");
    let output = String::from_utf8(build.output().unwrap().stdout).unwrap();
    let here = env!("CARGO_MANIFEST_DIR");
    let told: Vec<_> = output.trim_end().split('|').collect();
    assert_eq!(told[0], "build --release --locked", "{output}");
    for flags in &told[1..3] {
        assert!(flags.contains(&format!("{here}=/src")), "{output}");
        assert!(flags.contains("/some/where=/cargo"), "{output}");
    }
    assert_eq!(told[3], "", "{output}");
}

#[test]
fn the_settings_that_compose_names_are_settings() {
    let file = yaml("deploy/compose/compose.yaml");
    let folder = tempfile::tempdir().unwrap();
    let mut check = Command::cargo_bin("selfheal").unwrap();
    check.args(["config", "check"]).current_dir(folder.path()).env_clear();
    let place = Regex::new(r"\$\{[^}]*\}").unwrap();
    for (name, value) in file["services"]["selfheal"]["environment"].as_object().unwrap() {
        check.env(name, place.replace_all(value.as_str().unwrap(), "secret").as_ref());
    }
    let output = check.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let faults = said.lines().filter(|line| line.contains("environment SELFHEAL"));
    let wrong: Vec<_> = faults.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The patterns of the proxy, by method.
fn patterns() -> Vec<(String, Regex)> {
    let file = yaml("deploy/compose/compose.yaml");
    let options = words(&file["services"]["socket-proxy"]["command"]).join("\n");
    let allowed = Regex::new("-allow([A-Z]+)=(.*)").unwrap();
    let patterns = allowed.captures_iter(&options).map(|found| {
        // As the proxy does it.
        (found[1].to_owned(), Regex::new(&format!("^{}$", &found[2])).unwrap())
    });
    patterns.collect()
}

fn lets_pass(patterns: &[(String, Regex)], method: &str, path: &str) -> bool {
    patterns.iter().any(|(of, pattern)| of == method && pattern.is_match(path))
}

#[test]
fn the_proxy_lets_pass_what_the_documentation_lists() {
    let patterns = patterns();
    let listed = text_of("docs/ACTIONS.md");
    let call = Regex::new("`(GET|HEAD|POST|PUT|DELETE) (/[^`]*)`").unwrap();
    let mut used = vec![false; patterns.len()];
    let mut calls = 0;
    for found in call.captures_iter(&listed) {
        calls += 1;
        for version in ["", "/v1.41"] {
            let path = format!("{version}{}", found[2].replace("{id}", "shop-web_1"));
            assert!(lets_pass(&patterns, &found[1], &path), "{} {path}", &found[1]);
            for (used, (method, pattern)) in used.iter_mut().zip(&patterns) {
                *used |= *method == found[1] && pattern.is_match(&path);
            }
        }
    }
    assert!(calls > 20, "the documentation lists {calls} calls");
    assert!(used.iter().all(|used| *used), "{used:?} of {patterns:?}");
    assert!(lets_pass(&patterns, "GET", "/images/registry.example.org/shop/web:1/json"));
}

#[test]
fn the_proxy_lets_nothing_else_pass() {
    let patterns = patterns();
    for (method, path) in [
        ("POST", "/containers/web/exec"),
        ("POST", "/exec/0123/start"),
        ("POST", "/containers/web/attach"),
        ("GET", "/containers/web/export"),
        ("POST", "/containers/prune"),
        ("POST", "/containers/web/start/exec"),
        ("POST", "/build"),
        ("POST", "/images/create"),
        ("DELETE", "/images/web"),
        ("DELETE", "/volumes/data"),
        ("POST", "/volumes/prune"),
        ("DELETE", "/networks/app"),
        ("POST", "/networks/create"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("GET", "/v1.41/secrets"),
        ("HEAD", "/containers/web/archive"),
    ] {
        assert!(!lets_pass(&patterns, method, path), "{method} {path}");
    }
}

#[test]
fn the_package_is_made_of_files_that_are_there() {
    let manifest: toml::Table = toml::from_str(&text_of("Cargo.toml")).unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        let is_built = source.starts_with("target/");
        assert!(is_built || path_of(source).exists(), "no {source}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        let name = format!("{}/{script}", deb["maintainer-scripts"].as_str().unwrap());
        assert!(path_of(&name).exists(), "no {name}");
    }
}

#[test]
fn the_bill_of_materials_names_what_is_linked_and_nothing_that_only_tests() {
    let script = path_of("scripts/sbom");
    let output = Command::new("/usr/bin/python3").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components = bill["components"].as_array().unwrap();
    let names: Vec<_> = components.iter().map(|component| text(&component["name"])).collect();
    for linked in ["tokio", "rustls", "libsqlite3-sys", "selfheal-agents", "htmx.org", "uplot"] {
        assert!(names.iter().any(|name| name == linked), "{linked} is missing");
    }
    for test_only in ["insta", "proptest", "rcgen", "serde-saphyr"] {
        assert!(!names.iter().any(|name| name == test_only), "{test_only} is not linked");
    }
    let mut known: Vec<_> =
        components.iter().map(|component| text(&component["bom-ref"])).collect();
    known.push(text(&bill["metadata"]["component"]["bom-ref"]));
    for of in bill["dependencies"].as_array().unwrap() {
        for need in words(&of["dependsOn"]) {
            assert!(known.iter().any(|known| known == need), "nobody knows {need}");
        }
    }
}
