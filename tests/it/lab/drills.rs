//! `selfheal drill` over a real stack and its running Selfheal: what it breaks, what it leaves
//! alone, and that all is whole afterwards.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::daemon::Selfheal;
use super::engine;
use super::faults::app;
use super::relay::{Change, Relay};
use super::stack::{Service, Stack};

const MARKED: &[&str] = &["--label=selfheal.drill=true"];

/// The command over one stack, with a relay of its own that writes down what it changes.
struct Drills<'a> {
    selfheal: &'a Selfheal,
    relay: Relay,
}

/// How a drill ended.
struct Ended {
    code: i32,
    card: Value,
    said: String,
}

impl Ended {
    fn row(&self, drill: &str) -> Result<&Value> {
        let rows = self.card["drills"].as_array().context("no card")?;
        rows.iter().find(|row| row["drill"] == drill).context("no such row")
    }
}

impl<'a> Drills<'a> {
    fn over(stack: &Stack, selfheal: &'a Selfheal) -> Result<Self> {
        Ok(Self { selfheal, relay: Relay::on(stack, "drill.sock")? })
    }

    fn begin(&self, arguments: &[&str]) -> Result<Child> {
        Command::new(env!("CARGO_BIN_EXE_selfheal"))
            .args(["drill", "--json", "--config"])
            .arg(self.selfheal.settings())
            .args(arguments)
            .env("SELFHEAL__DOCKER__HOST", self.relay.address())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the drill")
    }

    fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.run_until_broken(arguments, |_| Ok(()))
    }

    /// Does something else as soon as the first thing is broken.
    fn run_until_broken(
        &self,
        arguments: &[&str],
        then: impl FnOnce(&Child) -> Result<()>,
    ) -> Result<Ended> {
        let mut child = self.begin(arguments)?;
        let mut lines = BufReader::new(child.stderr.take().context("its words")?);
        let mut said = String::new();
        while !said.contains("broke it") && lines.read_line(&mut said)? > 0 {}
        if said.contains("broke it") {
            then(&child)?;
        }
        lines.read_to_string(&mut said)?;
        let output = child.wait_with_output()?;
        let card = match output.stdout.as_slice() {
            [] => Value::Null,
            card => serde_json::from_slice(card).with_context(|| said.clone())?,
        };
        Ok(Ended { code: output.status.code().context("it was killed")?, card, said })
    }
}

/// Whether a process of a container may be signalled from here; else the test is skipped.
fn may_signal(test: &str) -> Result<bool> {
    let root = std::fs::metadata("/proc/self")?.uid() == 0;
    assert!(root || std::env::var_os("CI").is_none(), "in CI the tests run as root");
    if !root {
        let word = format!("SKIPPED {test}: only root may signal a container's processes\n");
        std::io::Write::write_all(&mut std::io::stderr(), word.as_bytes())?;
    }
    Ok(root)
}

fn verbs(changes: &[Change]) -> Vec<(&str, &str)> {
    changes.iter().map(|change| (change.object.as_str(), change.verb.as_str())).collect()
}

#[test]
fn a_drill_sees_a_crash_healed_and_a_stop_respected_and_touches_nothing_unmarked() -> Result<()> {
    if !engine::answers("drill") || !may_signal("drill")? {
        return Ok(());
    }
    let mut stack = Stack::new()?;
    stack.start(app().asks_itself().with(MARKED))?;
    stack.start(Service::new("admin", "redis"))?;
    stack.start(
        Service::new("cache", "redis").with(MARKED).with(&["--label=selfheal.mode=observe"]),
    )?;
    stack.wait_for("app", "/")?;
    let selfheal = Selfheal::watch(&stack, "")?;
    let drills = Drills::over(&stack, &selfheal)?;
    is_drilled(&stack, &selfheal, &drills).with_context(|| selfheal.last_words())
}

fn is_drilled(stack: &Stack, selfheal: &Selfheal, drills: &Drills<'_>) -> Result<()> {
    let name = |role: &str| format!("container:{}", stack.name(role));
    let (app, admin) = (name("app"), name("admin"));
    for (arguments, why) in [
        (&["--yes"][..], "only observes"),
        (&["--yes", "--target", &admin], "without it none is touched"),
        (&["--target", &app], "nobody is here to agree"),
    ] {
        let refused = drills.run(arguments)?;
        ensure!(refused.code == 2 && refused.said.contains(why), "{}", refused.said);
    }
    ensure!(drills.relay.changes().is_empty(), "something was touched though it refused");

    let started = |role: &str| stack.inspect(role, "{{.State.StartedAt}}");
    let before = (started("admin")?, started("cache")?);
    let ended = drills.run(&["--yes", "--target", &app, "--only", "crash,stop"])?;
    let Ended { code, card, said } = &ended;
    ensure!(*code == 0, "exit code {code}: {card}\n{said}");
    ensure!(said.contains("selfheal unfreeze"), "not told what failed drills do: {said}");
    let crash = ended.row("crash")?;
    ensure!(crash["verdict"] == "healed" && crash["did"]["state"] == "resolved", "{crash}");
    ensure!(crash["did"]["fix_type"] == "container.start", "{crash}");
    ensure!(crash["well_after_secs"].as_f64() > Some(0.0), "{crash}");
    let stop = ended.row("stop")?;
    ensure!(stop["verdict"] == "left_alone" && stop["put_back"] == "started it", "{stop}");

    let app = stack.name("app");
    ensure!(verbs(&selfheal.changes()) == [(app.as_str(), "start")], "{:?}", selfheal.changes());
    let changed = drills.relay.changes();
    ensure!(verbs(&changed) == [(app.as_str(), "stop"), (app.as_str(), "start")], "{changed:?}");
    ensure!((started("admin")?, started("cache")?) == before, "others were started anew");
    stack.get("app", "/").map(drop)
}

#[test]
fn what_a_drill_broke_is_put_back_when_it_is_interrupted_or_nobody_heals() -> Result<()> {
    if !engine::answers("drill put back") || !may_signal("drill put back")? {
        return Ok(());
    }
    let mut stack = Stack::new()?;
    stack.start(app().asks_itself().with(MARKED))?;
    stack.wait_for("app", "/")?;
    let mut selfheal = Selfheal::watch(&stack, "")?;
    let drills = Drills::over(&stack, &selfheal)?;

    let interrupted = drills.run_until_broken(&["--yes", "--only", "stop"], |drill| {
        let id = drill.id().to_string();
        ensure!(Command::new("kill").args(["-INT", &id]).status()?.success(), "not interrupted");
        Ok(())
    })?;
    let row = interrupted.row("stop")?;
    ensure!(interrupted.code == 1 && row["verdict"] == "broken_off", "{}", interrupted.said);
    ensure!(row["put_back"] == "started it" && row["left_broken"].is_null(), "{row}");
    stack.wait_for("app", "/")?;

    let started = stack.inspect("app", "{{.State.StartedAt}}")?;
    let process = selfheal.process().to_string();
    let arguments = ["--yes", "--only", "hang", "--patience", "1s"];
    // Selfheal is quick: it must be gone before it could mend what hangs.
    let unhealed = drills.run_until_broken(&arguments, |_| {
        ensure!(Command::new("kill").args(["-KILL", &process]).status()?.success(), "not killed");
        ensure!(stack.get("app", "/").is_err(), "it answers though it hangs");
        Ok(())
    })?;
    let row = unhealed.row("hang")?;
    ensure!(unhealed.code == 1 && row["verdict"] == "not_healed", "{row}\n{}", unhealed.said);
    ensure!(row["why"].as_str().is_some_and(|why| why.contains("does not answer")), "{row}");
    ensure!(row["put_back"] == "let its processes go on" && row["left_broken"].is_null(), "{row}");
    ensure!(stack.inspect("app", "{{.State.StartedAt}}")? == started, "it was restarted");
    drop(drills);
    selfheal.kill().ok();
    stack.get("app", "/").map(drop)
}
