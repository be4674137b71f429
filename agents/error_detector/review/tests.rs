use super::*;

const GOOD: &str = r#"
id = "ID"
title = "Title of ID"
category = "database"
severity = "warning"
technology = "own"
status = "reproduced"
links = ["https://example.org/handbook#page"]
shares = []
avoid = ["Do not restart it: nothing is gained."]
no_fix = "Only a person knows what may go."
[applies]
images = ["own"]
[[signature]]
log = 'WORD failed'
[diagnosis]
summary = "{target} is full of ID. Look at what fills it."
base = 60
[[evidence]]
when = { check = "container.state", is = ["running"] }
weight = 5
why = "it runs"
[[evidence]]
when = { check = "container.state", is = ["stopped"] }
weight = -20
why = "it was stopped"
[examples]
match = ["WORD failed 1", "WORD failed 2", "WORD failed 3"]
near_miss = ["WORD did well", "WORD is fine"]
"#;

fn runbook(id: &str, word: &str) -> String {
    GOOD.replace("ID", id).replace("WORD", word)
}

fn reviewed(texts: &[(&str, String)]) -> Review {
    let files = texts.iter().map(|(id, text)| (format!("own/{id}.toml"), text.clone()));
    let (catalogue, broken) = Catalogue::load(files);
    assert_eq!(broken, []);
    review(&catalogue, &|_| true)
}

fn told(review: &Review) -> Vec<String> {
    review.problems.iter().map(|p| format!("{}: {} -> {}", p.file, p.what, p.remedy)).collect()
}

#[test]
fn a_complete_runbook_has_no_problem_and_all_points() {
    let review = reviewed(&[("alpha", runbook("alpha", "alpha"))]);
    assert_eq!(told(&review), Vec::<String>::new());
    assert_eq!((review.scores[0].points, review.scores[0].missing.len()), (100, 0));
    let coverage = &review.coverage[0];
    assert_eq!((coverage.runbooks, coverage.reproduced, coverage.server_patterns), (1, 1, 1));
}

#[test]
fn everything_that_is_missing_costs_points_and_is_told() {
    let whole = runbook("alpha", "alpha");
    for (from, to, missing, points) in [
        ("\"reproduced\"", "\"documented\"", "never provoked", 80),
        ("weight = -20", "weight = 20", "speaks against", 85),
        ("weight = 5", "weight = -5", "confirms", 90),
        ("no_fix = \"Only a person knows what may go.\"", "", "no_fix", 90),
        ("avoid = [\"Do not restart it: nothing is gained.\"]", "", "avoid", 90),
        ("\"alpha failed 2\", ", "", "three `match`", 90),
        (", \"alpha is fine\"", "", "two `near_miss`", 90),
        ("handbook#page", "", "whole site", 95),
        (" Look at what fills it.", "", "what to look at", 95),
        ("images = [\"own\"]", "", "applies", 95),
    ] {
        assert!(whole.contains(from), "{from}");
        let score = reviewed(&[("alpha", whole.replace(from, to))]).scores.remove(0);
        assert_eq!(score.points, points, "{from}: {:?}", score.missing);
        assert!(score.missing[0].contains(missing), "{:?}", score.missing);
    }
    let outside = whole
        .replace("no_fix = \"Only a person knows what may go.\"", "")
        .replace("base = 60", "base = 60\nblames = \"outside\"");
    assert_eq!(reviewed(&[("alpha", outside)]).scores[0].points, 100);
}

#[test]
fn a_pattern_that_takes_the_example_of_another_is_told_once_with_the_line() {
    let alpha = runbook("alpha", "disk").replace("'disk failed'", "'disk \\w+'").replace(
        "near_miss = [\"disk did well\", \"disk is fine\"]",
        "near_miss = [\"it did well\", \"all is fine\"]",
    );
    let beta = runbook("beta", "disk").replace("'disk failed'", "'disk failed \\d'");
    let review = reviewed(&[("alpha", alpha.clone()), ("beta", beta.clone())]);
    // Each takes what the other's examples say.
    let told = told(&review);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("own/alpha.toml: its signature `disk \\w+` matches the example of `beta`: `disk failed 1`"), "{told:?}");
    assert!(told[1].starts_with("own/beta.toml"), "{told:?}");
}

#[test]
fn sharing_counts_only_when_both_say_so() {
    let pair = |of_alpha: &str, of_beta: &str| {
        let alpha = runbook("alpha", "disk").replace("shares = []", of_alpha);
        let beta = runbook("beta", "disk").replace("shares = []", of_beta);
        told(&reviewed(&[("alpha", alpha), ("beta", beta)]))
    };
    assert_eq!(pair("shares = [\"beta\"]", "shares = [\"alpha\"]"), Vec::<String>::new());
    assert_eq!(pair("shares = [\"*\"]", "shares = [\"alpha\"]"), Vec::<String>::new());
    let one_sided = pair("shares = [\"beta\"]", "");
    assert_eq!(one_sided.len(), 2);
    assert!(one_sided[0].ends_with("`shares = [\"alpha\"]` is missing in `beta`"), "{one_sided:?}");
    assert_eq!(pair("shares = [\"*\"]", "").len(), 2);
    let unknown = pair("shares = [\"beta\", \"gamma\", \"alpha\"]", "shares = [\"alpha\"]");
    assert_eq!(unknown.len(), 2, "{unknown:?}");
    assert!(unknown.iter().all(|what| what.contains("which is no other runbook")));
}

#[test]
fn a_near_miss_may_match_another_runbook() {
    let alpha = runbook("alpha", "disk").replace("\"disk is fine\"", "\"fan failed 7\"");
    let review = reviewed(&[("alpha", alpha), ("beta", runbook("beta", "fan"))]);
    assert_eq!(told(&review), Vec::<String>::new());
}

#[test]
fn a_copy_is_told_and_so_is_a_pattern_without_text() {
    let alpha = runbook("alpha", "disk");
    let beta = runbook("beta", "fan").replace("Title of beta", "Title of alpha");
    let told_of = told(&reviewed(&[("alpha", alpha.clone()), ("beta", beta)]));
    assert_eq!(told_of.len(), 1);
    assert!(told_of[0].contains("its title is that of `alpha`"), "{told_of:?}");

    let blind = alpha.replace("'disk failed'", "'\\w+ fa\\w+ \\d$'");
    let told_of = told(&reviewed(&[("alpha", blind)]));
    assert_eq!(told_of.len(), 1);
    assert!(told_of[0].contains("no text that must be there"), "{told_of:?}");
}

#[test]
fn only_built_in_runbooks_have_to_be_complete() {
    let short = runbook("alpha", "disk").replace("\"disk failed 2\", ", "");
    let (catalogue, _) = Catalogue::load([("own/alpha.toml".to_owned(), short)]);
    assert_eq!(review(&catalogue, &|_| true).problems.len(), 1);
    assert_eq!(review(&catalogue, &|_| false).problems, []);
}

/// `alpha` with this fix and this evidence beside its own.
fn mending(fix: &str, evidence: &str) -> Vec<String> {
    let whole = runbook("alpha", "disk");
    let parts = format!("{evidence}\n[[fix]]\n{fix}\nwhy = \"it helps\"\n[examples]");
    let text = whole
        .replace("no_fix = \"Only a person knows what may go.\"", "")
        .replace("[examples]", &parts);
    told(&reviewed(&[("alpha", text)]))
}

fn against(when: &str) -> String {
    format!("[[evidence]]\nwhen = {{ {when} }}\nweight = -30\nwhy = \"against it\"\n")
}

#[test]
fn a_restart_on_the_word_of_a_log_line_needs_what_speaks_against_it() {
    let restart = "action = \"container.restart\"\nwhen = { check = \"container.health\", is = [\"unhealthy\"] }";
    let told = mending(restart, "");
    assert_eq!(told.len(), 1, "{told:?}");
    for guard in ["was_healthy", "broken", "dependency", "endpoint"] {
        assert!(told[0].contains(guard), "{guard}: {told:?}");
    }
    let guards = [
        "was_healthy = false",
        "check = \"container.health_check\", is = [\"broken\"]",
        "on = \"dependency\", verdict = \"critical\"",
        "on = \"endpoint\", check = \"http.status\", is = [\"ok\"]",
    ];
    let all: String = guards.iter().map(|guard| against(guard)).collect();
    assert_eq!(mending(restart, &all), Vec::<String>::new());
    let three: String = guards[1..].iter().map(|guard| against(guard)).collect();
    let told = mending(restart, &three);
    assert!(told[0].ends_with("speak against it: `was_healthy = false`"), "{told:?}");
}

#[test]
fn a_configuration_is_restored_on_the_word_of_a_log_line_only_where_nothing_runs() {
    let restore = "action = \"config.restore\"";
    assert!(mending(restore, "")[0].contains("although the container may run"));
    let down = format!("{restore}\nwhen = {{ check = \"container.state\", is = [\"exited\"] }}");
    assert_eq!(mending(&down, ""), Vec::<String>::new());
    let may_run = down.replace("\"exited\"", "\"exited\", \"running\"");
    assert_eq!(mending(&may_run, "").len(), 1);
    let required = against("check = \"container.state\", is = [\"exited\"]") + "required = true\n";
    assert_eq!(mending(restore, &required), Vec::<String>::new());
}

#[test]
fn what_is_asked_about_an_endpoint_of_the_host_never_holds_and_is_told() {
    let asks = |whom: &str| {
        runbook("alpha", "alpha")
            .replace("images = [\"own\"]", "kinds = [\"host\"]")
            .replace("when = { check = \"container.state\", is = [\"running\"] }", whom)
    };
    let endpoint = asks("when = { on = \"endpoint\", check = \"http.status\", is = [\"ok\"] }");
    let told_of = told(&reviewed(&[("alpha", endpoint)]));
    assert_eq!(told_of.len(), 1, "{told_of:?}");
    assert!(told_of[0].contains("the endpoint of the host, which has none"), "{told_of:?}");
    let host = asks("when = { on = \"host\", check = \"host.cpu\", above = 90.0 }");
    assert_eq!(told(&reviewed(&[("alpha", host)])), Vec::<String>::new());
}
