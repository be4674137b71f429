//! The program itself: exit codes, what goes where, and what to type next.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;

/// A `selfheal` that finds no settings, no daemon and no Docker but its own.
fn selfheal(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("selfheal").expect("the program was built");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/nonexistent")
        // Nobody listens on the discard port of this machine's loopback.
        .env("SELFHEAL_URL", "http://127.0.0.1:9")
        .env("SELFHEAL__DOCKER__HOST", format!("unix://{}/none.sock", folder.display()));
    command
}

fn said(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_are_data_and_wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(selfheal(folder.path()).arg("--help"));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("selfheal doctor") && out.contains("Exit codes"), "{out}");
    let (code, out, err) = said(selfheal(folder.path()).arg("chekc"));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("check"), "it guesses what was meant: {err}");
}

#[test]
fn without_daemon_and_store_it_says_what_to_type_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["status"][..], &["status", "--own"], &["incidents"], &["approve", "01234567"]]
    {
        let (code, out, err) = said(selfheal(folder.path()).args(arguments));
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}: {err}");
        assert!(err.contains("127.0.0.1:9") && err.contains("next: selfheal run"), "{err}");
    }
    assert!(!folder.path().join("selfheal-data").exists(), "reading makes nothing");
}

#[test]
fn a_freeze_needs_no_daemon_and_the_next_look_obeys_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(selfheal(folder.path()).args(["freeze", "30x"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("`30x`") && err.contains("30m"), "{err}");
    assert!(!folder.path().join("selfheal-data").exists(), "nothing is made for a mistake");

    let freeze = ["freeze", "30m", "--reason", "moving house"];
    let (code, out, err) = said(selfheal(folder.path()).args(freeze));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("No automatic fixes of all targets until"), "{out}");
    let (_, _, err) = said(selfheal(folder.path()).args(["check", "--dry-run"]));
    assert!(err.contains("frozen: everything") && err.contains("moving house"), "{err}");

    let (code, out, _) = said(selfheal(folder.path()).arg("unfreeze"));
    assert_eq!((code, out.trim_end()), (0, "Automatic fixes go on"));
    let (code, out, _) = said(selfheal(folder.path()).args(["freeze", "--off"]));
    assert_eq!((code, out.trim_end()), (0, "Nothing was frozen"));
}

#[test]
fn a_look_without_docker_is_not_well_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(selfheal(folder.path()).args(["check", "--json"]));
    assert_eq!(code, 3, "{err}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["status"], "issues_found", "{out}");
    assert_eq!(err.matches("not seen: containers cannot be seen").count(), 1, "{err}");
    // What was asked for could be seen.
    let (code, _, err) = said(selfheal(folder.path()).args(["check", "--target", "host"]));
    assert_ne!(code, 3, "{err}");
}

#[test]
fn a_damaged_database_is_told_once_and_nothing_is_healed_until_somebody_has_looked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("selfheal-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("selfheal.db"), "this is no database").unwrap();
    let (_, _, err) = said(selfheal(folder.path()).args(["check", "--dry-run"]));
    assert!(err.contains("set aside as") && err.contains("frozen: everything"), "{err}");
    assert!(err.contains("selfheal unfreeze"), "{err}");
    let (code, out, _) = said(selfheal(folder.path()).arg("unfreeze"));
    assert_eq!((code, out.trim_end()), (0, "Automatic fixes go on"));
}

#[test]
fn whoever_ends_a_freeze_and_finds_the_database_damaged_is_told_first() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("selfheal-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("selfheal.db"), "this is no database").unwrap();
    let (code, _, err) = said(selfheal(folder.path()).arg("unfreeze"));
    assert_ne!(code, 0, "{err}");
    assert!(err.contains("set aside as"), "{err}");
    let (code, out, _) = said(selfheal(folder.path()).arg("unfreeze"));
    assert_eq!((code, out.trim_end()), (0, "Automatic fixes go on"));
}

#[test]
fn a_data_directory_that_cannot_be_is_told_once_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let below = ["check", "--data-dir", "file/data"];
    let (code, _, err) = said(selfheal(folder.path()).args(below));
    assert_eq!(code, 2);
    assert_eq!(err.matches("Not a directory").count(), 1, "{err}");
    assert!(err.contains("set another `data_dir`") && !err.contains("chown"), "{err}");
}

#[test]
fn wrong_settings_are_told_all_at_once_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("selfheal.toml");
    std::fs::write(&file, "moed = \"auto\"\n[healing]\nconfidence_threshold = 900\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let (code, out, err) =
        said(selfheal(folder.path()).args(["config", "check", "--config", &file]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("moed") && err.contains("confidence_threshold"), "{err}");
}

#[test]
fn settings_runbooks_and_completions_need_no_daemon() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["config", "show"][..], "api.listen"),
        (&["config", "schema"], "confidence_threshold"),
        (&["knowledge", "list", "--json"], "\"id\""),
        (&["knowledge", "show", "disk-full"], "base confidence"),
        (&["completions", "bash"], "_selfheal"),
    ] {
        let (code, out, err) = said(selfheal(folder.path()).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        assert!(out.contains(wanted), "{arguments:?}");
    }
}

#[test]
fn doctor_names_the_missing_socket_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = said(selfheal(folder.path()).args(["doctor", "--json"]));
    assert_eq!(code, 3);
    let lines: serde_json::Value = serde_json::from_str(&out).unwrap();
    let docker = lines.as_array().unwrap().iter().find(|line| line["what"] == "docker").unwrap();
    assert_eq!(docker["grade"], "fail", "{docker}");
    assert!(docker["seen"].as_str().unwrap().contains("set docker.host"), "{docker}");
}

#[test]
fn a_backup_id_with_a_path_in_it_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = said(selfheal(folder.path()).args(["rollback", "../../etc/passwd"]));
    assert_eq!(code, 2);
    assert!(err.contains("backup_20251019_170000") && err.contains("selfheal backups"), "{err}");
    let unknown = ["rollback", "backup_20251019_170000"];
    let (code, _, err) = said(selfheal(folder.path()).args(unknown));
    assert_eq!(code, 2);
    assert!(err.contains("there is no backup backup_20251019_170000"), "{err}");
    assert!(!folder.path().join("selfheal-data").exists(), "nothing is made for it");
}

#[test]
fn an_address_beyond_this_machine_is_refused_without_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = said(selfheal(folder.path()).args(["run", "--listen", "0.0.0.0:0"]));
    assert_eq!(code, 2);
    assert!(err.contains("0.0.0.0:0") && err.contains("127.0.0.1"), "{err}");
    assert!(!folder.path().join("selfheal-data").exists());
}

#[test]
fn runbooks_of_ones_own_are_tested_and_searched_like_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("selfheal-data/knowledge/ours");
    std::fs::create_dir_all(&own).unwrap();
    let runbook = "id = \"queue-stuck\"\ntitle = \"The queue is stuck\"\ncategory = \"hang\"\n\
        severity = \"warning\"\ntechnology = \"ours\"\nstatus = \"documented\"\n\
        links = [\"https://example.org/handbook\"]\n\
        signature = [{ log = 'queue stuck for \\d+ s' }]\n\
        diagnosis = { summary = \"{target} no longer works.\", base = 70 }\n\
        examples = { match = [\"queue stuck for 9 s\"], near_miss = [\"queue empty\"] }\n";
    std::fs::write(own.join("queue-stuck.toml"), runbook).unwrap();
    let test = ["knowledge", "test", "queue stuck for 12 s"];
    let (code, out, err) = said(selfheal(folder.path()).args(test));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("queue-stuck"), "{out}{err}");
}

#[test]
fn judging_all_runbooks_tells_coverage_scores_and_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(selfheal(folder.path()).args(["knowledge", "test"]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("postgresql") && out.contains("0 problems"), "{out}");

    let log = folder.path().join("captured/go/go-panic.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "all is well\n").unwrap();
    let judge = ["knowledge", "test", "--json", "--captured", "captured"];
    let (code, out, err) = said(selfheal(folder.path()).args(judge));
    assert_eq!(code, 1, "{out}{err}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["problems"][0]["file"], "go/go-panic.toml");
    assert!(told["scores"][0]["points"].is_number(), "{out}");
    assert_eq!(told["captured"]["technologies"][0], "go");

    let judge = ["knowledge", "test", "--captured", "nowhere"];
    let (code, _, err) = said(selfheal(folder.path()).args(judge));
    assert_eq!(code, 2);
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn patterns_groups_a_log_and_names_the_final_pattern_of_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let people = ["ann", "bob", "cyd", "dan", "eve", "fay"];
    let line = |(second, person): (usize, &&str)| {
        format!("2026-11-21 04:05:0{second} INFO shop: user {person} logged in\n")
    };
    let mut log: String = people.iter().enumerate().map(line).collect();
    log += "2026-11-21 04:06:00 ERROR shop: the till is \u{1b}[31mempty\n";
    std::fs::write(folder.path().join("shop.log"), &log).unwrap();

    let (code, out, err) = said(selfheal(folder.path()).args(["patterns", "--ids", "shop.log"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let ids: Vec<&str> = out.lines().collect();
    assert_eq!(ids.len(), 7, "{out}");
    assert!(ids[..6].iter().all(|id| *id == ids[0]) && ids[6] != ids[0], "{out}");

    let (code, out, _) = said(selfheal(folder.path()).args(["patterns", "-"]).write_stdin(log));
    assert_eq!(code, 0);
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!(rows.len(), 3, "{out}");
    assert!(rows[1].starts_with("6\tinfo\t") && rows[1].contains("user <*> logged in"), "{out}");
    assert!(rows[2].starts_with("1\terror\t") && !out.contains('\u{1b}'), "{out:?}");

    let (code, out, _) = said(selfheal(folder.path()).args(["patterns", "--json", "shop.log"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["lines"]), (0, &serde_json::json!(7)));
    assert_eq!(report["patterns"][0]["id"], ids[0]);
    assert_eq!(report["patterns"][0]["levels"], serde_json::json!([["info", 6]]));

    let (code, out, err) = said(selfheal(folder.path()).args(["patterns", "none.log"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("none.log") && err.contains("next: selfheal patterns"), "{err}");
}

/// A shop of four nodes in files as the PetShop data set has them: `site` calls `search`,
/// which calls `db`; in the issue `db` answers late in three of six intervals.
fn shop(folder: &Path) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the folder is ours");
    };
    write("graph.csv", ",site,search,db\nsite,0,1,0\nsearch,0,0,1\ndb,0,0,0\n");
    let rows = |count: usize, late: &[usize]| {
        let head = "microservice,site,search,db,site,search,db\n\
            metric,latency,latency,latency,requests,requests,requests\n\
            statistic,Average,Average,Average,Sum,Sum,Sum\nunix_timestamp,,,,,,\n";
        let row = |row: usize| {
            // A little up and down, in another step at each node.
            let wobble = |step: usize| 1.0 + ((row * step) % 11) as f64 / 500.0;
            let extra = if late.contains(&row) { 0.03 } else { 0.0 };
            let [site, db] = [0.1 * wobble(3) + extra, 0.02 * wobble(7) + extra];
            let search = 0.05 * wobble(5) + extra;
            // Now and then nothing was measured.
            let search = if row % 7 == 5 { String::new() } else { search.to_string() };
            format!("{},{site},{search},{db},{},100,100\n", row * 300, 100 + row % 3)
        };
        head.to_owned() + &(0..count).map(row).collect::<String>()
    };
    write("normal.csv", &rows(200, &[]));
    write("issue.csv", &rows(6, &[2, 3, 4]));
    write("fine.csv", &rows(6, &[]));
}

#[test]
fn rca_names_the_culprit_from_files_and_nobody_when_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let ask = |metrics: &str, target: &str| {
        said(selfheal(folder.path()).args([
            "rca",
            "--graph",
            "graph.csv",
            "--normal",
            "normal.csv",
            "--metrics",
            metrics,
            "--target",
            target,
            "--metric",
            "latency",
            "--statistic",
            "Average",
            "--json",
        ]))
    };
    let (code, out, err) = ask("issue.csv", "site");
    assert_eq!((code, err.as_str()), (0, ""));
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer[0]["node"], "db", "{out}");
    assert_eq!(answer[0]["metric"], "latency");
    assert!(answer[0]["score"].as_f64().is_some_and(|score| score > 0.5 && score <= 1.0));
    assert_eq!(ask("fine.csv", "site"), (0, "[]\n".to_owned(), String::new()));
}

#[test]
fn rca_says_what_is_wrong_with_its_files_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    std::fs::write(
        folder.path().join("bad.csv"),
        "m,site\nmetric,latency\nstatistic,p95\n5,fast\n",
    )
    .unwrap();
    let ask = |metrics: &str, target: &str, statistic: &str| {
        let (code, out, err) = said(selfheal(folder.path()).args([
            "rca",
            "--graph",
            "graph.csv",
            "--normal",
            "normal.csv",
            "--metrics",
            metrics,
            "--target",
            target,
            "--statistic",
            statistic,
            "--json",
        ]));
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        err
    };
    assert!(ask("bad.csv", "site", "p95").contains("bad.csv, row 4, column 2: `fast`"));
    assert!(ask("none.csv", "site", "p95").contains("none.csv: No such file"));
    assert!(ask("issue.csv", "shop", "Average").contains("no node `shop`"));
    assert!(ask("issue.csv", "site", "p95").contains("no latency p95 of `site`"));
}

#[test]
fn what_there_is_to_drill_is_told_without_docker_and_nothing_is_drilled_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(selfheal(folder.path()).args(["drill", "--list"]));
    assert_eq!((code, err.as_str()), (0, ""));
    for drill in ["crash", "hang", "network", "stop"] {
        assert!(out.lines().any(|line| line.starts_with(&format!("{drill}\t"))), "{out}");
    }
    let one = ["drill", "--list", "--only", "stop", "--json"];
    let (_, out, _) = said(selfheal(folder.path()).args(one));
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed[0]["drill"], "stop", "{out}");
    assert_eq!(listed.as_array().unwrap().len(), 1, "{out}");

    let (code, out, err) = said(selfheal(folder.path()).args(["drill", "--yes"]));
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("none.sock") && err.contains("next: selfheal doctor"), "{err}");
}

#[test]
fn a_line_is_explained_while_the_log_is_still_being_written() {
    let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_selfheal"))
        .args(["knowledge", "explain", "--known"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = explain.stdin.take().unwrap();
    let mut said = BufReader::new(explain.stdout.take().unwrap()).lines();
    log.write_all(b"ready\nnode: FATAL: JavaScript heap out of memory\n").unwrap();
    // The log stays open: without an answer to the line this waits for ever, and the run ends it.
    let first = said.next().unwrap().unwrap();
    assert_eq!(first, "2: node: FATAL: JavaScript heap out of memory");
    drop(log);
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert_eq!(rest.last().unwrap(), "1 of 2 lines are known.");
    assert!(explain.wait().unwrap().success());
}
