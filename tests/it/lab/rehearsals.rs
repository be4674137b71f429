//! A fix that would not help is tried on a clone, and what runs is never touched.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::daemon::Selfheal;
use super::engine::{self, docker};
use super::faults::NO_WAY_BACK;
use super::relay::is_clone;
use super::stack::Stack;
use crate::support::{throughout, until};

const TOLD_WITHIN: Duration = Duration::from_secs(90);
const QUIET: Duration = Duration::from_secs(20);

#[test]
fn a_way_back_that_leads_nowhere_is_not_gone_and_a_person_is_told_why() -> Result<()> {
    if !engine::answers("a way back that leads nowhere") {
        return Ok(());
    }
    let stack = NO_WAY_BACK.staged()?;
    let selfheal = Selfheal::watch(&stack, "")?;
    is_left_alone(&stack, &selfheal).with_context(|| selfheal.last_words())
}

fn is_left_alone(stack: &Stack, selfheal: &Selfheal) -> Result<()> {
    (NO_WAY_BACK.inject)(stack)?;
    let deployed = stack.inspect("app", "{{.Id}}")?;
    until("a person is told", TOLD_WITHIN, || {
        let alerts = selfheal.alerts();
        let told = alerts.iter().any(|alert| alert.to_string().contains("rehearsal_failed"));
        ensure!(told, "alerts: {alerts:?}; incidents: {:?}", selfheal.incidents()?);
        Ok(())
    })?;
    let incidents = selfheal.incidents()?;
    let tried = incidents.iter().find(|incident| incident["rehearsal"]["verdict"] == "failed");
    let tried = tried.with_context(|| format!("no failed rehearsal: {incidents:?}"))?;
    ensure!(tried["rehearsal"]["took_secs"].as_f64() > Some(0.0), "{tried}");
    let made = || selfheal.changes().iter().filter(|change| change.verb == "create").count();
    let before = made();
    throughout("nothing that runs is touched, and the same is not tried again", QUIET, || {
        let changes = selfheal.changes();
        ensure!(changes.iter().all(|c| is_clone(&c.object)), "touched: {changes:?}");
        ensure!(made() == before, "tried again: {changes:?}");
        Ok(())
    })?;
    ensure!(stack.inspect("app", "{{.Id}}")? == deployed, "it was made anew");
    let clones = docker(&["ps", "--all", "--quiet", "--filter", &stack.clones()])?;
    ensure!(clones.is_empty(), "a clone is left");
    Ok(())
}
