use super::*;
use crate::model::{Applies, ObservedValue, TargetKind, Timestamp, Verdict};

const SOUND: &str = r#"
id = "too-many"
title = "Too many requests"
category = "rate_limit"
severity = "warning"
technology = "http"
status = "documented"
links = ["https://www.rfc-editor.org/rfc/rfc6585#section-4"]

[[signature]]
log = '\b429\b.*Too Many Requests'
at_least = 3

[[signature]]
check = "http.status"
is = ["429"]

[diagnosis]
summary = "{target} is asked to slow down."
base = 70

[[evidence]]
when = { on = "container", tunable = "delay" }
weight = 10
why = "a delay is declared"

[[fix]]
action = "config.set"
adjust = 5
why = "fewer requests"
with = { role = "delay", factor = 1.5 }

[examples]
match = ["HTTP 429 Too Many Requests"]
near_miss = ["took 429 ms"]
"#;

fn load(files: &[(&str, &str)]) -> (Catalogue, Vec<BrokenRunbook>) {
    Catalogue::load(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

/// What is said of `SOUND` once `from` is replaced by `to`.
fn faults_with(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "the test's text lacks `{from}`");
    let (catalogue, broken) = load(&[("http/too-many.toml", &SOUND.replace(from, to))]);
    assert!(catalogue.is_empty(), "`{to}` was accepted");
    broken[0].to_string()
}

#[test]
fn a_sound_file_is_in_force() {
    let (catalogue, broken) = load(&[("http/too-many.toml", SOUND)]);
    assert_eq!(broken, []);
    assert_eq!(catalogue.get("too-many").map(|r| r.technology.as_str()), Some("http"));
    assert_eq!(catalogue.matching("HTTP 429 Too Many Requests").collect::<Vec<_>>(), ["too-many"]);
    assert_eq!(catalogue.matching("all is well").count(), 0);
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let text = SOUND
        .replace("id = \"too-many\"", "id = \"Too Many\"")
        .replace("https://www", "http://www")
        .replace("base = 70", "base = 84")
        .replace("factor = 1.5", "factor = 4.0")
        .replace("is = [\"429\"]", "is = [\"slow\"]");
    let (_, broken) = load(&[("http/too-many.toml", &text)]);
    let [one] = broken.as_slice() else { panic!("one file is broken, not {broken:?}") };
    for part in ["hyphens", "file's name", "https://", "make 89", "factor 4", "never says `slow`"] {
        let told = one.faults.iter().filter(|fault| fault.contains(part)).count();
        assert_eq!(told, 1, "`{part}` in {:?}", one.faults);
    }
}

#[test]
fn each_rule_refuses_what_breaks_it() {
    for (from, to, told) in [
        ("technology = \"http\"", "technology = \"nginx\"", "not its folder `http`"),
        ("title = \"Too many requests\"", "title = \" \"", "title is empty"),
        ("{target} is", "{container} is", "braces"),
        ("links = [\"https://www.rfc-editor.org/rfc/rfc6585#section-4\"]", "", "no source"),
        ("https://www.rfc-editor.org/", "https://rfc editor/", "names no host"),
        ("rfc/rfc6585", "rfc/rfc 6585", "as %XX"),
        ("title =", "no_fix = \"none\"\ntitle =", "says why there is no [[fix]]"),
        ("'\\b429\\b.*Too Many Requests'", "'('", "is no pattern"),
        ("'\\b429\\b.*Too Many Requests'", "'(?:\\w{500}){900}'", "is no pattern"),
        ("'\\b429\\b.*Too Many Requests'", "'.*'", "matches an empty line"),
        ("at_least = 3", "at_least = 0", "1 is the least"),
        ("at_least = 3", "verdict = \"critical\"", "do not go with the log signature"),
        ("at_least = 3", "check = \"http.status\"", "exactly one of `log` and `check`"),
        ("check = \"http.status\"", "check = \"http.state\"", "did you mean `http.status`?"),
        ("is = [\"429\"]", "at_least = 2", "does not go with the check"),
        ("is = [\"429\"]", "side = \"client\"", "it is for logs"),
        ("title =", "over_when = { check = \"http.state\", is = [\"ok\"] }\ntitle =", "no check"),
        ("title =", "over_when = { check = \"http.status\", is = [] }\ntitle =", "names no words"),
        ("base = 70", "base = 0", "not between 1 and 100"),
        ("weight = 10", "weight = 60", "beyond 50"),
        ("weight = 10", "weight = 0", "weighs nothing"),
        ("on = \"container\", tunable = \"delay\"", "on = \"host\"", "a condition needs one of"),
        ("tunable = \"delay\"", "above = 3.0, tunable = \"delay\"", "need a `check`"),
        ("tunable = \"delay\"", "check = \"http.status\", above = 3.0", "is no number"),
        ("tunable = \"delay\"", "never_well = true, in_nothing_else = true", "a `since_well`"),
        ("config.set", "container.recreate", "needs `restores`"),
        ("tunable = \"delay\"", "finding = \"elsewhere\"", "`elsewhere`, which there is not"),
        ("config.set", "config.drop", "there is no action `config.drop`"),
        ("config.set", "container.start", "takes no `role`"),
        ("role = \"delay\", factor = 1.5", "role = \"delay\"", "needs `factor`"),
        ("factor = 1.5", "factor = 1.0", "or is 1"),
        ("factor = 1.5", "factor = 1.5, signal = \"HUP\"", "takes no `signal`"),
        ("near_miss = [\"took 429 ms\"]", "", "no near miss"),
        ("took 429 ms", "429 Too Many Requests", "matches the near miss"),
        (
            "match = [\"HTTP 429 Too Many Requests\"]",
            "match = [\"429\"]",
            "no log signature matches",
        ),
        ("match = [\"HTTP 429 Too Many Requests\"]", "match = []", "no example proves"),
        ("at_least = 3", "at_most = 3", "unknown field `at_most`"),
        ("base = 70", "base = seventy", "line 20: "),
    ] {
        let said = faults_with(from, to);
        assert!(said.contains(told), "`{to}`: expected `{told}` in `{said}`");
    }
}

#[test]
fn a_reproduced_runbook_may_act_alone_and_memory_may_double() {
    let text = SOUND
        .replace("documented", "reproduced")
        .replace("base = 70", "base = 95")
        .replace("\"config.set\"", "\"container.set_memory\"")
        .replace("role = \"delay\", factor = 1.5", "factor = 2.0");
    assert_eq!(load(&[("http/too-many.toml", &text)]).1, []);
}

#[test]
fn a_broken_file_does_not_silence_the_others() {
    let (catalogue, broken) = load(&[("http/broken.toml", "id = "), ("http/too-many.toml", SOUND)]);
    assert_eq!(catalogue.len(), 1);
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].file, "http/broken.toml");
}

#[test]
fn a_runbook_may_lean_on_one_that_is_broken_but_not_on_one_that_never_was() {
    let leaning =
        SOUND.replace("too-many", "leaning").replace("tunable = \"delay\"", "finding = \"broken\"");
    let (catalogue, _) = load(&[("http/broken.toml", "id = "), ("http/leaning.toml", &leaning)]);
    assert!(catalogue.get("leaning").is_some());
    let (catalogue, _) = load(&[("http/leaning.toml", &leaning)]);
    assert!(catalogue.is_empty());
}

#[test]
fn the_second_file_of_an_id_is_refused_and_the_first_named() {
    let (catalogue, broken) =
        load(&[("http/too-many.toml", SOUND), ("x/http/too-many.toml", SOUND)]);
    assert_eq!(catalogue.len(), 1);
    assert!(broken[0].faults[0].contains("taken by http/too-many.toml"));
}

#[test]
fn a_file_without_bounds_is_refused_unread() {
    let (_, broken) = load(&[("http/too-many.toml", &format!("{SOUND}#{}", "x".repeat(70_000)))]);
    assert!(broken[0].faults[0].contains("larger"));
}

#[test]
fn applies_by_kind_and_by_part_of_the_image_or_a_port() {
    let (catalogue, _) = load(&[("http/too-many.toml", SOUND)]);
    let mut applies = catalogue.get("too-many").unwrap().applies.clone();
    let redis = Program { image: "library/redis:7", ports: &[6379] };
    let own = Program { image: "registry.example.org/shop/cache", ports: &[6379, 9121] };
    let other = Program { image: "postgres:15", ports: &[5432] };
    assert!(applies.fits(TargetKind::Http, None));
    applies.kinds = vec![TargetKind::Container];
    assert!(!applies.fits(TargetKind::Http, None));
    assert!(applies.fits(TargetKind::Container, Some(other)));
    let fitting = |applies: &Applies| {
        [Some(redis), Some(own), Some(other), None].map(|p| applies.fits(TargetKind::Container, p))
    };
    applies.images = vec!["redis".to_owned()];
    assert_eq!(fitting(&applies), [true, false, false, false]);
    applies.ports = vec![6379, 6380];
    assert_eq!(fitting(&applies), [true, true, false, false]);
    applies.images.clear();
    assert_eq!(fitting(&applies), [true, true, false, false]);
}

#[test]
fn the_runbook_that_names_the_value_signs_before_one_that_does_not() {
    let general = SOUND
        .replace("too-many", "any-status")
        .replace("is = [\"429\"]", "verdict = \"critical\"")
        .replace("base = 70", "base = 79");
    let (catalogue, broken) =
        load(&[("http/any-status.toml", &general), ("http/too-many.toml", SOUND)]);
    assert_eq!(broken, []);
    let seen = |word: &str| Observation {
        target: "http:shop".parse().unwrap(),
        check: "http.status".to_owned(),
        value: ObservedValue::Text(word.to_owned()),
        unit: String::new(),
        verdict: Verdict::Critical,
        detail: String::new(),
        at: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
    };
    let signers = |word| -> Vec<&str> {
        catalogue.signed_by(&seen(word), None).iter().map(|runbook| runbook.id.as_str()).collect()
    };
    assert_eq!(signers("429"), ["too-many", "any-status"]);
    assert_eq!(signers("503"), ["any-status"]);
}

#[test]
fn the_schema_names_the_keys_of_the_file() {
    let schema = schema();
    for key in ["id", "signature", "fix", "examples"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

proptest::proptest! {
    #[test]
    fn no_text_and_no_line_makes_it_panic(text in ".{0,300}", line in ".{0,300}") {
        let (catalogue, _) = load(&[("http/too-many.toml", SOUND), ("http/x.toml", &text)]);
        let alone = regex::Regex::new(r"\b429\b.*Too Many Requests").unwrap();
        proptest::prop_assert_eq!(catalogue.matching(&line).count() == 1, alone.is_match(&line));
    }
}

#[test]
fn many_lines_are_answered_like_each_by_itself_however_they_fall_into_batches() {
    let (catalogue, _) = load(&[("http/too-many.toml", SOUND)]);
    let padding = "x".repeat(BATCH_BYTES / 3);
    let lines: Vec<String> =
        (0..20)
            .map(|n| {
                if n % 3 == 0 { format!("{n} HTTP 429 Too Many Requests") } else { padding.clone() }
            })
            .collect();
    let mut found = Vec::new();
    catalogue.matches_in(
        &lines,
        |line| line.as_bytes(),
        |line, m| found.push((line.as_str(), m.signature)),
    );
    let wanted: Vec<_> =
        lines.iter().filter(|line| line.contains("429")).map(|line| (line.as_str(), 0)).collect();
    assert_eq!(found, wanted);
}
