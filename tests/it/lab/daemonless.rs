//! Without a daemon: `check` repairs in the foreground, and what it did can be taken back.

use anyhow::{Context, Result, ensure};

use super::daemon::ByCommand;
use super::engine;
use super::faults;
use crate::support::until;

const AGAIN_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

#[test]
fn check_repairs_and_rollback_takes_it_back_to_the_byte() -> Result<()> {
    if !engine::answers("daemonless") {
        return Ok(());
    }
    let fault = &faults::BROKEN_CONFIGURATION;
    let stack = fault.staged()?;
    let site = stack.folder("site")?.join("default.conf");
    let content = || std::fs::read_to_string(&site).context("read the site's configuration");
    let good = content()?;
    let selfheal = ByCommand::over(&stack)?;
    let (code, report) = selfheal.run(&["check"])?;
    ensure!(code == 0, "a healthy stack: exit code {code}, {report}");

    (fault.inject)(&stack)?;
    let broken = content()?;
    let (code, report) = selfheal.run(&["check", "--dry-run"])?;
    ensure!(code == 1 && content()? == broken, "a dry run: exit code {code}, {report}");
    ensure!(selfheal.changes().is_empty(), "a dry run changed {:?}", selfheal.changes());

    // A crash loop counts as one after some deaths: the first looks may come too early.
    until("the configuration is restored", AGAIN_LIMIT, || {
        let (_, report) = selfheal.run(&["check"])?;
        ensure!(content()? == good, "not yet: {report}");
        Ok(())
    })?;
    until("the service works again", AGAIN_LIMIT, || fault.judge(&stack))?;

    let (_, backups) = selfheal.run(&["backups"])?;
    let id = backups["backups"][0]["backup_id"].as_str().with_context(|| backups.to_string())?;
    let (code, said) = selfheal.run(&["rollback", id])?;
    ensure!(code == 0, "the rollback: exit code {code}, {said}");
    ensure!(content()? == broken, "it is what it was before the repair, to the byte");
    let (code, said) = selfheal.run(&["rollback", id])?;
    ensure!(code == 1 && said.is_null(), "the same backup twice: exit code {code}, {said}");
    Ok(())
}
