//! Proves the lab's own tools: what a test makes is removed, and Selfheal sees one stack alone.

use anyhow::{Context, Result, ensure};

use super::engine::{self, docker};
use super::faults::app;
use super::relay::Relay;
use super::stack::Stack;
use crate::support::until;

#[test]
fn a_stack_is_removed_even_when_its_test_panics() -> Result<()> {
    if !engine::answers("removal") {
        return Ok(());
    }
    let mut stack = Stack::new()?;
    stack.start(app())?;
    let filter = format!("label={}", stack.label());
    let panicked = std::thread::spawn(move || {
        let _stack = stack;
        std::panic::resume_unwind(Box::new("as a failed test would"));
    });
    ensure!(panicked.join().is_err(), "the thread did not panic");
    ensure!(docker(&["ps", "--all", "--quiet", "--filter", &filter])?.is_empty());
    ensure!(docker(&["network", "ls", "--quiet", "--filter", &filter])?.is_empty());
    Ok(())
}

#[test]
fn the_relay_shows_one_stack_alone_and_writes_down_what_is_changed() -> Result<()> {
    if !engine::answers("relay") {
        return Ok(());
    }
    let (mut ours, mut other) = (Stack::new()?, Stack::new()?);
    ours.start(app())?;
    other.start(app())?;
    let relay = Relay::before(&ours)?;
    let (host, name, foreign) = (relay.address(), ours.name("app"), other.name("app"));
    let through = |line: &[&str]| docker(&[&["--host", &host], line].concat());

    ensure!(through(&["ps", "--all", "--format", "{{.Names}}"])? == name);
    ensure!(through(&["stop", "--time", "0", &foreign]).is_err(), "a foreign stop passed");
    ensure!(other.inspect("app", "{{.State.Running}}")? == "true", "a foreign stop took place");
    through(&["restart", "--time", "0", &name])?;
    let changes = relay.changes();
    let [refused, passed] = changes.as_slice() else {
        anyhow::bail!("two changes were asked for, seen: {changes:?}");
    };
    ensure!(refused.object == foreign && refused.verb == "stop" && !refused.ours, "{refused:?}");
    ensure!(passed.object == name && passed.verb == "restart" && passed.ours, "{passed:?}");
    Ok(())
}

#[test]
fn the_relay_passes_events_of_the_stack_while_they_happen() -> Result<()> {
    if !engine::answers("events") {
        return Ok(());
    }
    let mut ours = Stack::new()?;
    ours.start(app())?;
    let relay = Relay::before(&ours)?;
    let host = relay.address();
    let mut events = std::process::Command::new("docker")
        .args([
            "--host",
            &host,
            "events",
            "--filter",
            "event=die",
            "--format",
            "{{.Actor.Attributes.name}}",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context("follow events")?;
    let seen = ours.folder("events")?.join("seen");
    let mut output = events.stdout.take().context("the events' output")?;
    let mut file = std::fs::File::create(&seen)?;
    std::thread::spawn(move || drop(std::io::copy(&mut output, &mut file)));
    let name = ours.name("app");
    let result = until("the death is told", std::time::Duration::from_secs(20), || {
        // The follower may not be connected at the first death; each look makes one more.
        docker(&["restart", "--time", "0", &name])?;
        ensure!(std::fs::read_to_string(&seen)?.contains(&name), "no event yet");
        Ok(())
    });
    drop((events.kill(), events.wait()));
    result
}
