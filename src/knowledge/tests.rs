use super::*;

pub(super) const OWN: &str = r#"
id = "ID"
title = "Our own trouble"
category = "exceptions"
severity = "warning"
technology = "ours"
status = "documented"
links = ["https://example.org/handbook"]
[[signature]]
log = 'E-4711'
[diagnosis]
summary = "{target} met our own trouble."
base = 40
[examples]
match = ["job failed: E-4711"]
near_miss = ["job E-4712 done"]
"#;

pub(super) fn overlay(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn every_file_of_the_folder_is_built_in_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("knowledge");
    let mut files = Vec::new();
    assert!(collect(&folder, &mut files).is_ok());
    let on_disk = files.into_iter().map(|(path, text)| {
        let name = Path::new(&path).strip_prefix(&folder).unwrap();
        (name.to_string_lossy().into_owned(), text.unwrap())
    });
    let on_disk: Vec<_> = on_disk.collect();
    assert!(on_disk.len() > 500);
    assert!(embedded().eq(on_disk));
}

#[test]
fn every_built_in_runbook_obeys_the_rules() {
    let (catalogue, broken) = load(None, Keep::Everything);
    let told: Vec<String> =
        broken.iter().chain(&broken_built_in()).map(ToString::to_string).collect();
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(catalogue.len(), embedded().count());
}

#[test]
fn every_forecast_has_a_runbook_that_explains_it() {
    let (catalogue, _) = load(None, Keep::Everything);
    let wanted = |check: &String| {
        let mut signatures = catalogue.iter().flat_map(|runbook| &runbook.signatures);
        !signatures.any(|signature| signature.check.as_ref() == Some(check))
    };
    let missing: Vec<_> = selfheal_agents::health_monitor::forecasts().filter(wanted).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_file_of_the_overlay_is_added() {
    let folder = overlay(&[("ours/own-trouble.toml", &OWN.replace("ID", "own-trouble"))]);
    let (catalogue, broken) = load(Some(folder.path()), Keep::Everything);
    assert_eq!(broken, []);
    assert_eq!(catalogue.matching("job failed: E-4711").collect::<Vec<_>>(), ["own-trouble"]);
    assert_eq!(catalogue.len(), embedded().count() + 1);
}

#[test]
fn a_sound_file_of_the_overlay_replaces_the_built_in_one_and_a_broken_one_does_not() {
    let (name, _) = embedded().next().unwrap();
    let id = stem(&name);
    let own = OWN.replace("ID", &id);
    let sound = overlay(&[(&format!("ours/{id}.toml"), &own)]);
    let (catalogue, broken) = load(Some(sound.path()), Keep::Everything);
    assert_eq!(broken, []);
    assert_eq!(catalogue.get(&id).unwrap().technology, "ours", "{id}");
    assert_eq!(catalogue.len(), embedded().count());

    let spoilt = overlay(&[(&format!("ours/{id}.toml"), &own.replace("base = 40", "base = 400"))]);
    let (catalogue, broken) = load(Some(spoilt.path()), Keep::Everything);
    assert_eq!(broken.len(), 1);
    assert!(broken[0].file.starts_with(&*spoilt.path().to_string_lossy()));
    assert_ne!(catalogue.get(&id).unwrap().technology, "ours");
    assert_eq!(catalogue.len(), embedded().count());
}

/// The built-in runbook that restarts what is unhealthy.
const MENDING: &str = "container-unhealthy";

#[test]
fn a_built_in_runbook_that_a_broken_file_was_to_replace_mends_nothing() {
    let own = OWN.replace("ID", MENDING);
    let against_the_rules = own.replace("base = 40", "base = 400");
    for text in [against_the_rules.as_bytes(), b"id = ", &[0xff, 0xfe]] {
        let folder = overlay(&[]);
        fs::create_dir(folder.path().join("ours")).unwrap();
        fs::write(folder.path().join(format!("ours/{MENDING}.toml")), text).unwrap();
        let (catalogue, broken) = load(Some(folder.path()), Keep::InForce);
        assert_eq!(catalogue.get(MENDING).unwrap().fixes, [], "it still finds its trouble");
        let told = broken[0].to_string();
        let wanted = format!("until that is put right, `{MENDING}` mends nothing");
        assert!(broken.len() == 1 && told.ends_with(&wanted), "{told}");
        let others = catalogue.iter().filter(|runbook| !runbook.fixes.is_empty()).count();
        assert!(others > 10, "only {others} others mend");
    }
}

#[test]
fn where_the_folder_cannot_be_listed_nothing_is_mended() {
    let file = overlay(&[("knowledge", "no folder")]);
    let (catalogue, broken) = load(Some(&file.path().join("knowledge")), Keep::InForce);
    assert_eq!(catalogue.len(), embedded().count());
    assert!(catalogue.iter().all(|runbook| runbook.fixes.is_empty()));
    assert!(broken[0].to_string().ends_with("until it can, nothing is mended"), "{}", broken[0]);
}

#[test]
fn a_folder_that_is_not_there_and_a_file_that_is_not_text_are_named() {
    let folder = overlay(&[("ours/own-trouble.toml", &OWN.replace("ID", "own-trouble"))]);
    fs::write(folder.path().join("ours/bytes.toml"), [0xff, 0xfe, 0x00]).unwrap();
    let (catalogue, broken) = load(Some(folder.path()), Keep::Everything);
    assert!(catalogue.get("own-trouble").is_some());
    assert_eq!(broken.len(), 1);
    assert!(broken[0].to_string().contains("bytes.toml was refused: it cannot be read"));

    let (catalogue, broken) = load(Some(&folder.path().join("missing")), Keep::Everything);
    assert_eq!(catalogue.len(), embedded().count());
    assert!(broken[0].faults[0].contains("cannot be read"));
}

#[test]
fn no_built_in_runbook_has_a_problem() {
    let (catalogue, _) = load(None, Keep::Everything);
    let review = selfheal_agents::error_detector::review::review(&catalogue, &is_built_in);
    let told: Vec<String> =
        review.problems.iter().map(|p| format!("{}: {} -> {}", p.file, p.what, p.remedy)).collect();
    assert!(told.is_empty(), "as `selfheal knowledge test` tells:\n{}", told.join("\n"));
    assert!(catalogue.len() >= 72, "only {} runbooks", catalogue.len());
}

#[test]
fn what_healthy_programs_write_shows_no_trouble() {
    let (catalogue, _) = load(None, Keep::Everything);
    for log in [
        include_str!("samples/postgresql.healthy.log"),
        include_str!("samples/redis.healthy.log"),
        include_str!("samples/nginx.healthy.log"),
        include_str!("samples/python.healthy.log"),
    ] {
        assert!(log.lines().count() >= 10);
        for line in log.lines() {
            // What is only worth knowing may stand in a healthy log.
            let troubles = |id: &&str| {
                catalogue
                    .get(id)
                    .is_some_and(|r| r.severity > selfheal_agents::model::Severity::Info)
            };
            let ids: Vec<&str> = catalogue.matching(line).filter(troubles).collect();
            assert_eq!(ids, Vec::<&str>::new(), "{line}");
        }
    }
}

#[test]
fn lines_of_sick_programs_show_their_trouble_and_no_other() {
    let (catalogue, _) = load(None, Keep::Everything);
    for sample in include_str!("samples/sick.log").lines() {
        let (wanted, line) = sample.split_once(" <= ").expect("a sample is IDS <= LINE");
        let ids: Vec<&str> = catalogue.matching(line).collect();
        assert_eq!(ids.join(","), wanted, "{line}");
    }
}

#[test]
fn the_runbook_in_the_readme_is_sound() {
    let readme = include_str!("../../knowledge/README.md");
    let text = readme.split("```").nth(1).unwrap().trim_start_matches("toml");
    let folder = overlay(&[("ours/queue-stuck.toml", text)]);
    let (catalogue, broken) = load(Some(folder.path()), Keep::Everything);
    assert_eq!(broken, []);
    assert!(catalogue.get("queue-stuck").is_some());
}

#[test]
fn the_schema_file_is_that_of_the_program() {
    let wanted =
        serde_json::to_string_pretty(&selfheal_agents::error_detector::catalogue::schema());
    let file = include_str!("../../knowledge/schema.json");
    let remedy = "target/debug/selfheal knowledge schema > knowledge/schema.json";
    assert_eq!(file.trim_end(), wanted.unwrap(), "refresh it: {remedy}");
}

/// From what is seen to whom it is blamed on and how surely, with the built-in runbooks.
mod golden;

/// The matcher against what it stands for: every pattern tried on every line.
mod matching;

/// What searching lines takes of memory.
mod memory;

/// What strangers write into the logs of services.
mod strangers;

#[test]
fn what_real_programs_wrote_while_they_were_well_shows_no_trouble() {
    let (catalogue, _) = load(None, Keep::Everything);
    let (logs, lines) = healthy_logs()
        .fold((0, 0), |(logs, lines), (_, text)| (logs + 1, lines + text.lines().count()));
    assert!(logs >= 14 && lines >= 900, "{lines} lines of {logs} programs");
    let problems = captured::built_in_healthy(&catalogue);
    let told: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(told, Vec::<&str>::new());
}
