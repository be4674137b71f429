//! The audit log as its readers see it: written by a real daemon and by the command line beside it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::access::Site;
use crate::support::{ask, until};

/// Who and what of everything in the log, oldest first.
fn told(site: &Site) -> Result<Vec<String>> {
    let (code, out, err) = site.said(&["audit", "export"], None)?;
    ensure!(code == 0, "{err}");
    let of = |line: &str| -> Result<String> {
        let entry: Value = serde_json::from_str(line)?;
        let word = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        Ok(format!("{} {} {}", word("who"), word("via"), word("act")))
    };
    out.lines().map(of).collect()
}

#[test]
fn acts_on_the_page_the_api_and_the_command_line_are_written_down_by_name_and_kept_over_a_kill()
-> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let (_, out, _) = site.said(&["audit"], None)?;
    ensure!(out.contains("Nothing was decided or done yet"), "{out}");
    let (code, out, err) = site.said(&["audit", "verify"], None)?;
    ensure!(code == 0 && out.contains("intact: 0 entries"), "{out}{err}");

    let daemon = site.run()?;
    let token = site.token("anna", "operator")?;
    let (code, _, err) = site.said(&["freeze", "30m", "--reason", "moving"], Some(&token))?;
    ensure!(code == 0, "{err}");
    ensure!(ask("DELETE", site.port, "/api/freeze", "")?.status == 200);
    ensure!(ask("POST", site.port, "/freeze?for=1h", "")?.status == 303);
    ensure!(ask("POST", site.port, "/api/freeze", r#"{"for": "soon"}"#)?.status == 400);
    site.said(&["token", "revoke", "anna"], None)?;
    // Killed as by a power cut.
    drop(daemon);
    site.said(&["unfreeze"], None)?;

    let person = "mallory cli";
    let expected = [
        "selfheal selfheal started".to_owned(),
        format!("{person} token_create"),
        "anna cli freeze".to_owned(),
        "api api unfreeze".to_owned(),
        "page page freeze".to_owned(),
        "api api freeze".to_owned(),
        "api api refused".to_owned(),
        format!("{person} token_revoke"),
        format!("{person} unfreeze"),
    ];
    ensure!(told(&site)? == expected, "{:#?}", told(&site)?);
    let (code, out, err) = site.said(&["audit", "verify"], None)?;
    ensure!(code == 0 && out.contains("intact: 9 entries"), "{out}{err}");
    let (_, out, _) = site.said(&["audit", "--limit", "1", "--json"], None)?;
    let newest: Value = serde_json::from_str(&out)?;
    ensure!(newest[0]["seq"] == 9 && newest.as_array().map(Vec::len) == Some(1), "{out}");
    Ok(())
}

#[test]
fn what_was_altered_or_cut_off_is_named_with_exit_code_1_and_the_doctor_sees_it() -> Result<()> {
    let site = Site::new("")?;
    for reason in ["one", "two", "three"] {
        site.said(&["freeze", "30m", "--reason", reason], None)?;
    }
    let (_, out, _) = site.said(&["audit", "verify", "--json"], None)?;
    let whole: Value = serde_json::from_str(&out)?;
    let head = whole["head"].as_str().context("no head")?;
    ensure!(whole["intact"] == true && head.starts_with("3:"), "{out}");
    let path = site.folder.path().join("data/audit.jsonl");
    let text = fs::read_to_string(&path)?;
    let verify = |head: &[&str]| site.said(&[&["audit", "verify"], head].concat(), None);

    fs::write(&path, text.replace("two", "2"))?;
    let (code, out, _) = verify(&[])?;
    ensure!(code == 1 && out.contains("line 2 was altered"), "{code}: {out}");
    let (_, out, _) = site.said(&["doctor"], None)?;
    let line = out.lines().find(|line| line.starts_with("audit log")).context("no line")?;
    ensure!(line.contains("warn") && line.contains("line 2 was altered"), "{line}");

    let cut: String = text.split_inclusive('\n').take(2).collect();
    fs::write(&path, &cut)?;
    let (code, out, _) = verify(&[])?;
    ensure!(code == 1 && out.contains("the last entry, 3, is removed"), "{code}: {out}");
    // With the store gone as well, it takes a head that was noted elsewhere.
    fs::remove_file(site.folder.path().join("data/selfheal.db"))?;
    ensure!(verify(&[])?.0 == 0);
    let (code, out, _) = verify(&["--head", head])?;
    ensure!(code == 1 && out.contains("the last entry, 3, is removed"), "{code}: {out}");
    let (code, _, err) = verify(&["--head", "3:9f"])?;
    ensure!(code == 2 && err.contains("64 hexadecimal digits"), "{err}");
    Ok(())
}

#[test]
fn settings_that_are_changed_are_written_down_with_what_they_were() -> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let _daemon = site.run()?;
    let file = site.folder.path().join("selfheal.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("mode = \"observe\"", "mode = \"approve\""))?;
    until("the change is told", Duration::from_secs(30), || {
        let (_, out, _) = site.said(&["audit"], None)?;
        ensure!(out.contains("mode: \"observe\" -> \"approve\""), "{out}");
        Ok(())
    })
}
