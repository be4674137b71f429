//! What changes under somebody's eyes: the page follows what happens without a reload, leaves alone
//! what somebody reads or writes, and does nothing that its own markup does not ask for.

use std::time::Duration;

use anyhow::{Result, ensure};
use selfheal_agents::model::Mode;
use serde_json::json;

use super::driver::{Browser, DESKTOP, is_there};
use super::stage::{Past, Stage, rules};
use crate::support::until;

const LIMIT: Duration = Duration::from_secs(20);

/// A shop where all is well, with a page of it open that knows whether it was loaded anew.
fn opened(path: &str) -> Result<(Stage, Browser)> {
    let stage = Stage::new(rules(Mode::Approve), false, Past::FirstLook)?;
    let browser = Browser::open()?;
    browser.look_on(DESKTOP)?;
    browser.go(&stage.url(path))?;
    browser.run("window.first = document.querySelector('#main h2')")?;
    listens(&browser)?;
    Ok((stage, browser))
}

/// Waits until the page hears what happens.
fn listens(browser: &Browser) -> Result<()> {
    until("the page listens", LIMIT, || {
        let listens =
            browser.run("return !!document.getElementById('events')._htmx?.sse?.status")?;
        ensure!(listens == true, "it does not");
        Ok(())
    })
}

/// Whether it is still the page that was opened, and what did not change in it the same element.
fn is_the_same(browser: &Browser) -> Result<bool> {
    let same = browser.run("return !!window.first && window.first.isConnected")?;
    Ok(same == true)
}

#[test]
fn what_happens_is_shown_without_a_reload_and_what_did_not_change_stays() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = opened("/")?;
    browser.sees("All is well")?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    browser.sees("1 incident waits for you")?;
    ensure!(is_the_same(&browser)?, "it was loaded anew, or everything in it replaced");
    let title = browser.run("return document.title")?;
    ensure!(title.as_str().is_some_and(|title| title.contains("1 not well")), "{title}");
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
fn what_somebody_has_opened_or_written_is_left_alone_until_they_ask_for_what_is_new() -> Result<()>
{
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = opened("/targets/container%3Amailer")?;
    browser.run("document.getElementById('reason').value = 'moving its disk'")?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    browser.sees("There is something newer")?;
    ensure!(browser.text()?.contains("None about it."), "{}", browser.text()?);
    browser.press("Show it")?;
    until("what is new is shown", LIMIT, || {
        ensure!(!browser.text()?.contains("None about it."), "{}", browser.text()?);
        Ok(())
    })?;
    ensure!(is_the_same(&browser)?, "it was loaded anew");
    let written = browser.run("return document.getElementById('reason').value")?;
    ensure!(written == "moving its disk", "what was written is gone: {written}");
    Ok(())
}

#[test]
fn a_page_that_hears_nothing_says_so_and_catches_up_by_itself() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let stage = Stage::new(rules(Mode::Approve), false, Past::FirstLook)?;
    let browser = Browser::open()?;
    browser.command("Network.enable", &json!({}))?;
    browser.command("Network.setBlockedURLs", &json!({ "urls": ["*/api/events"] }))?;
    browser.go(&stage.url("/"))?;
    browser.sees("Selfheal does not answer")?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    ensure!(browser.text()?.contains("All is well"), "how should it know?");
    browser.command("Network.setBlockedURLs", &json!({ "urls": [] }))?;
    browser.sees("1 incident waits for you")?;
    ensure!(!browser.text()?.contains("does not answer"), "{}", browser.text()?);
    drop(stage);
    browser.sees("Selfheal does not answer")
}

#[test]
fn a_page_that_is_refused_what_is_new_says_so_and_asks_again() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = opened("/")?;
    // No test asks so often that whoever sits at this machine is refused.
    browser.run(
        "window.true_fetch = window.fetch;
         window.fetch = async () => new Response('', { status: 429, headers: { 'Retry-After': '2' } });",
    )?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    browser.sees("Selfheal is asked too often")?;
    ensure!(browser.text()?.contains("All is well"), "how should it know?");
    browser.run("window.fetch = window.true_fetch")?;
    browser.sees("1 incident waits for you")?;
    ensure!(!browser.text()?.contains("too often"), "{}", browser.text()?);
    Ok(())
}

#[test]
fn a_page_whose_stream_is_refused_at_first_listens_later() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let stage = Stage::new(rules(Mode::Approve), false, Past::FirstLook)?;
    let browser = Browser::open()?;
    // As where as many pages listen as may.
    let source = "const ask = window.fetch;
        window.fetch = (...how) => {
          if (window.refused || !String(how[0]).includes('/api/events')) return ask(...how);
          window.refused = true;
          return Promise.resolve(new Response('', { status: 503 }));
        };";
    browser.command("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source }))?;
    browser.go(&stage.url("/"))?;
    until("it was refused", LIMIT, || {
        ensure!(browser.run("return !!window.refused")? == true, "not yet");
        Ok(())
    })?;
    listens(&browser)?;
    stage.world.crash("mailer", 1);
    stage.look()?;
    browser.sees("1 incident waits for you")
}

#[test]
fn no_markup_in_what_is_shown_makes_the_page_act() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (_stage, browser) = opened("/")?;
    // As if a text had got past every escape; and outside, where the page itself asks.
    browser.run(
        "window.asked = [];
         document.addEventListener('htmx:before:request', e => {
           window.asked.push(e.detail.ctx.sourceElement.id);
           e.preventDefault();
         });
         const evil = id => `<b id=${id} hx-post=/freeze hx-trigger=load hx-on:load='window.broken=1'>x</b>`;
         document.getElementById('main').insertAdjacentHTML('beforeend', evil('inside'));
         document.body.insertAdjacentHTML('beforeend', evil('outside'));
         // Later: what runs within this call itself may do what the page's policy forbids.
         setTimeout(() => htmx.process(document.body));",
    )?;
    until("markup outside acts", LIMIT, || {
        let asked = browser.run("return window.asked.join()")?;
        ensure!(asked.as_str().is_some_and(|asked| asked.contains("outside")), "{asked}");
        Ok(())
    })?;
    let asked = browser.run("return window.asked.includes('inside') || window.broken === 1")?;
    ensure!(asked == false, "markup in what is shown acted");
    Ok(())
}
