//! One incident from fault to rollback, by clicks alone; and who is logged out while they look.

use std::time::Duration;

use anyhow::{Result, ensure};
use selfheal::access::Scope;
use selfheal::coordinator::Rules;
use selfheal_agents::model::Mode;

use super::driver::{Browser, DESKTOP, is_there};
use super::stage::{FILE, Past, Stage, rules};
use crate::support::until;

/// Rules under which a story takes seconds.
fn swift(mode: Mode) -> Rules {
    Rules { validation_window: Duration::from_secs(3), ..rules(mode) }
}

#[test]
fn a_fault_is_found_approved_healed_and_taken_back_by_clicks() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let stage = Stage::new(swift(Mode::Approve), false, Past::FirstLook)?;
    let browser = Browser::open()?;
    browser.look_on(DESKTOP)?;
    browser.go(&stage.url("/"))?;
    browser.sees("All is well")?;
    for _ in 0..20 {
        stage.world.log("worker", "ERROR provider answered HTTP 429 Too Many Requests");
    }
    browser.press("Check now")?;
    browser.sees("1 incident waits for you")?;
    browser.click("//section[@aria-labelledby='open']//a")?;
    browser.sees("Why not automatic?")?;
    browser.sees("set `delay_s`")?;
    browser.press("Approve: apply this fix")?;
    // Without a reload: what happens comes by itself.
    browser.sees("Kept:")?;
    ensure!(stage.world.text(FILE).contains("\"delay_s\": 1.5"), "{}", stage.world.text(FILE));
    browser.sees("Roll back this fix")?;
    browser.press("Roll back this fix")?;
    browser.sees("rolled back")?;
    ensure!(stage.world.text(FILE).contains("\"delay_s\": 1.0"), "{}", stage.world.text(FILE));
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
fn what_is_allowed_for_good_is_not_asked_for_again_until_the_word_is_taken_back() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let stage = Stage::new(swift(Mode::Approve), false, Past::FirstLook)?;
    let browser = Browser::open()?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    browser.go(&stage.url("/approvals"))?;
    browser.press("Always")?;
    browser.sees("Kept:")?;
    browser.go(&stage.url("/targets/container%3Amailer"))?;
    browser.sees("is not asked for here")?;
    // Not so soon after the first that it would be another trouble.
    stage.world.clock().advance(Duration::from_hours(2));
    stage.look()?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    until("the mailer runs again", Duration::from_secs(20), || {
        ensure!(stage.world.facts("mailer").is_up(), "it is down");
        Ok(())
    })?;
    browser.go(&stage.url("/targets/container%3Amailer"))?;
    browser.press("Ask again")?;
    until("the word is taken back", Duration::from_secs(20), || {
        ensure!(!browser.text()?.contains("is not asked for here"), "it still stands");
        Ok(())
    })
}

#[test]
fn who_is_logged_out_is_told_so_by_the_page_that_is_still_open() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let stage = Stage::new(rules(Mode::Auto), true, Past::FirstLook)?;
    let token = stage.token("ada", Scope::Admin)?;
    let browser = Browser::open()?;
    browser.go(&stage.url("/settings"))?;
    browser.sees("Log in")?;
    // By keys alone: the field has the focus already.
    browser.write("//input[@id='token']", &token)?;
    browser.key("Enter", 13)?;
    browser.sees("Make a token")?;
    browser.write("//input[@id='name']", "grafana")?;
    browser.press("Make a token")?;
    browser.sees("is shown this once")?;
    let shown = browser.run("return document.querySelector('.secret').innerText")?;
    ensure!(shown.as_str().is_some_and(|secret| secret.starts_with("shl_")), "{shown}");
    browser.go(&stage.url("/settings"))?;
    ensure!(!browser.text()?.contains("shl_"), "it is shown once");
    browser.press("Examine everything")?;
    browser.sees("Remedy")?;
    browser.go(&stage.url("/"))?;
    browser.sees("Selfheal itself")?;
    browser.run_to_the_end("fetch('/logout', { method: 'POST' })")?;
    browser.sees("You are logged out")?;
    Ok(())
}
