//! Traps: something looks wrong and there is nothing that Selfheal should do but say so, once; of
//! what a person did and nobody misses, not even that.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::daemon::Selfheal;
use super::engine::{self, docker};
use super::faults::app;
use super::stack::{Service, Stack};
use crate::support::{throughout, until};

const ALERT_LIMIT: Duration = Duration::from_mins(1);
const QUIET: Duration = Duration::from_secs(15);

/// Lays out a stack, springs the trap, and sees nothing touched and `alerts` alerts about `role`.
fn is_left_alone(
    test: &str,
    stage: fn(&mut Stack) -> Result<()>,
    spring: fn(&mut Stack) -> Result<()>,
    role: &str,
    alerts: usize,
) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let mut stack = Stack::new()?;
    stage(&mut stack)?;
    stack.wait_for("app", "/")?;
    let selfheal = Selfheal::watch(&stack, "")?;
    (|| {
        spring(&mut stack)?;
        let name = stack.name(role);
        until("the trap is told", ALERT_LIMIT, || {
            ensure!(selfheal.alerts().len() >= alerts, "alerts: {:?}", selfheal.alerts());
            Ok(())
        })?;
        throughout("nothing is touched, nobody is told twice", QUIET, || {
            ensure!(selfheal.changes().is_empty(), "touched: {:?}", selfheal.changes());
            ensure!(selfheal.alerts().len() <= alerts, "alerts: {:?}", selfheal.alerts());
            Ok(())
        })?;
        let about = selfheal.alerts().iter().all(|alert| alert.to_string().contains(&name));
        ensure!(about, "an alert does not name {name}");
        Ok(())
    })()
    .with_context(|| selfheal.last_words())
}

#[test]
fn a_broken_health_check_on_a_healthy_service_is_told_and_nothing_touched() -> Result<()> {
    is_left_alone(
        "broken health check",
        // The image has no such program: the check can only fail.
        |stack| stack.start(app().health("curl -f http://127.0.0.1:8080/health")),
        |_| Ok(()),
        "app",
        1,
    )
}

#[test]
fn a_crash_that_a_policy_mends_is_left_to_docker() -> Result<()> {
    is_left_alone(
        "crash with a policy",
        |stack| stack.start(app().with(&["--restart=always"])),
        |stack| {
            stack.signal_from_host("app", "KILL")?;
            stack.wait_for("app", "/")
        },
        "app",
        0,
    )
}

#[test]
fn a_stop_by_a_person_is_respected() -> Result<()> {
    is_left_alone(
        "stop by a person",
        |stack| {
            stack.start(app())?;
            stack.start(Service::new("admin", "redis"))
        },
        |stack| docker(&["stop", &stack.name("admin")]).map(drop),
        "admin",
        0,
    )
}

#[test]
fn a_name_outside_that_does_not_resolve_is_told_and_nothing_touched() -> Result<()> {
    is_left_alone(
        "external name",
        |stack| {
            let partner =
                app().env("PARTNER_URL", "https://partner.invalid").env("DEEP_HEALTH", "1");
            stack.start(partner.asks_itself())
        },
        |_| Ok(()),
        "app",
        1,
    )
}

#[test]
fn a_job_that_is_meant_to_end_is_left_alone() -> Result<()> {
    is_left_alone(
        "job",
        |stack| stack.start(app()),
        |stack| {
            let job = Service::new("migration", "app").with(&["--entrypoint=/usr/bin/tini"]);
            stack.start(job.with_command(&["--", "sh", "-c", "echo migrated; sleep 2"]))
        },
        "migration",
        0,
    )
}

#[test]
fn a_slow_starter_is_given_its_time() -> Result<()> {
    is_left_alone(
        "slow starter",
        |stack| stack.start(app()),
        |stack| {
            let slow = Service::new("slow", "app").env("START_AFTER_S", "12").asks_itself();
            stack.start(slow.with(&["--health-start-period=30s"]))
        },
        "slow",
        0,
    )
}

#[test]
fn a_deployment_is_left_to_who_does_it() -> Result<()> {
    is_left_alone(
        "deployment",
        |stack| stack.start(app().asks_itself()),
        |stack| {
            docker(&["rm", "--force", &stack.name("app")])?;
            std::thread::sleep(Duration::from_secs(3));
            stack.start(app().env("START_AFTER_S", "4").asks_itself())
        },
        "app",
        0,
    )
}
