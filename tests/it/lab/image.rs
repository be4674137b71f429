//! The image that people run, held as tightly as it is told to be run, and what Selfheal can do in it.
//!
//! It is made by `deploy/docker/import`, whose file system and instructions are the Dockerfile's. The
//! program in it is the one under test, without its debug information.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::daemon::{SWIFT, UNDER_LOAD};
use super::engine::{self, docker};
use super::faults::CRASH;
use super::relay::Relay;
use super::stack::{Service, Stack};
use crate::support::{throughout, until};

/// The group of the socket, which the image's user gets besides.
const SOCKET_GROUP: u32 = 4711;
const LIMIT: Duration = Duration::from_secs(90);
const STAYS: Duration = Duration::from_secs(8);

/// A Selfheal in its image, beside the services that it sees.
struct InImage<'a> {
    stack: &'a Stack,
    relay: Relay,
}

/// Removes the image, which nothing else needs.
pub(super) struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        drop(docker(&["rmi", "--force", &self.0]));
    }
}

fn ran(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Image {
    /// By this name, of the program under test.
    pub(super) fn made(stack: &Stack, name: &str) -> Result<Self> {
        let program = stack.folder("program")?.join("selfheal");
        let built = env!("CARGO_BIN_EXE_selfheal");
        ran(Command::new("strip").args(["-o"]).arg(&program).arg(built))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docker/import");
        ran(Command::new(script).arg(&program).arg(name))?;
        Ok(Self(name.to_owned()))
    }

    /// By a name that nobody else has.
    fn of(stack: &Stack) -> Result<Self> {
        Self::made(stack, &format!("{}:1", stack.name("image")))
    }
}

impl<'a> InImage<'a> {
    /// Starts it as `deploy/compose/minimal.yaml` does, with these arguments besides.
    fn beside(stack: &'a mut Stack, image: &Image, more: &[&str]) -> Result<Self> {
        let relay = Relay::before(stack)?;
        let address = relay.address();
        let socket = address.trim_start_matches("unix://");
        chown(socket, Some(0), Some(SOCKET_GROUP))?;
        std::fs::set_permissions(socket, PermissionsExt::from_mode(0o660))?;
        let settings = stack.folder("settings")?.join("selfheal.toml");
        std::fs::write(&settings, format!("{SWIFT}{UNDER_LOAD}"))?;
        let group = format!("--group-add={SOCKET_GROUP}");
        let socket = format!("--volume={socket}:/var/run/docker.sock");
        let settings = format!("--volume={}:/etc/selfheal/selfheal.toml:ro", settings.display());
        let tight = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        // As often as a test can bear.
        let swift = ["--health-interval=1s", "--health-start-period=1s"];
        let service = Service::new("selfheal", "none").made_from(&image.0);
        let service = service.with(&tight).with(&swift).with(&[&group, &socket, &settings]);
        stack.start(service.with(more))?;
        Ok(Self { stack, relay })
    }

    /// What a command in the container answers.
    fn asked(&self, words: &[&str]) -> Result<Value> {
        let name = self.stack.name("selfheal");
        let line = ["exec", &name, "selfheal"];
        // Some end with 1 where something is wrong with what is watched.
        let output = Command::new("docker").args(line).args(words).arg("--json").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| {
            format!("{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Waits until it sees a container of the stack.
    fn wait_until_it_sees(&self, role: &str) -> Result<()> {
        let id = format!("container:{}", self.stack.name(role));
        until(&format!("it sees {id}"), LIMIT, || {
            let targets = self.asked(&["targets"])?;
            ensure!(targets.to_string().contains(&id), "it sees {targets}");
            Ok(())
        })
    }
}

#[test]
fn held_tightly_the_image_is_healthy_and_heals_what_it_sees() -> Result<()> {
    if !engine::answers("the image") {
        return Ok(());
    }
    let mut stack = CRASH.staged()?;
    let image = Image::of(&stack)?;
    let selfheal = InImage::beside(&mut stack, &image, &[])?;
    let held = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}";
    assert_eq!(selfheal.stack.inspect("selfheal", held)?, "65532:65532 true [ALL]");
    selfheal.stack.wait_until_healthy("selfheal").with_context(|| stack_log(selfheal.stack))?;
    selfheal.wait_until_it_sees("app")?;
    selfheal.stack.wait_until_settled()?;
    (CRASH.inject)(selfheal.stack)?;
    let healed = until("the application works again", LIMIT, || CRASH.judge(selfheal.stack));
    healed.with_context(|| stack_log(selfheal.stack))?;
    let (app, changes) = (selfheal.stack.name("app"), selfheal.relay.changes());
    ensure!(changes.iter().all(|c| c.object == app && c.ours), "{changes:?}");
    ensure!(!changes.is_empty(), "somebody else mended it");
    Ok(())
}

#[test]
fn a_selfheal_in_its_image_does_not_restart_itself() -> Result<()> {
    if !engine::answers("the image on itself") {
        return Ok(());
    }
    let mut stack = Stack::new()?;
    let image = Image::of(&stack)?;
    // A health check that always fails, as of a program that hangs: the cure of that is a restart.
    let asks_nobody = ["--env=SELFHEAL_URL=http://127.0.0.1:9"];
    let selfheal = InImage::beside(&mut stack, &image, &asks_nobody)?;
    let own = ["--url", "http://127.0.0.1:8003"];
    let target = format!("container:{}", selfheal.stack.name("selfheal"));
    until("it holds what would heal itself", LIMIT, || {
        let incidents = selfheal.asked(&[&["incidents"], &own[..]].concat())?.to_string();
        ensure!(incidents.contains(&target), "its incidents: {incidents}");
        ensure!(incidents.contains("touches_selfheal"), "its incidents: {incidents}");
        Ok(())
    })
    .with_context(|| stack_log(selfheal.stack))?;
    throughout("it leaves itself alone", STAYS, || {
        let changes = selfheal.relay.changes();
        ensure!(changes.is_empty(), "{changes:?}");
        Ok(())
    })
}

fn stack_log(stack: &Stack) -> String {
    format!("what it logged: {}", stack.log("selfheal"))
}
