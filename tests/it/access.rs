//! Tokens as their holders see them: made on the command line, asked for by a running daemon.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ask, free_port, until};

const LIMIT: Duration = Duration::from_secs(30);

/// A folder with settings of a daemon that has no Docker.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Site {
    /// With these lines under `[api]`.
    pub(crate) fn new(api: &str) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let at = folder.path().display();
        let settings = format!(
            "mode = \"observe\"\ndata_dir = \"{at}/data\"\n[docker]\nhost = \"unix://{at}/none.sock\"\n\
             [api]\n{}",
            api.replace("PORT", &port.to_string())
        );
        std::fs::write(folder.path().join("selfheal.toml"), settings)?;
        Ok(Self { folder, port })
    }

    pub(crate) fn command(&self, arguments: &[&str], token: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selfheal"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("selfheal.toml"))
            .current_dir(self.folder.path())
            .env_clear()
            .env("USER", "mallory")
            // What it leaves behind goes with the site.
            .env("TMPDIR", self.folder.path())
            .env("PATH", self.programs())
            .envs(token.map(|token| ("SELFHEAL_TOKEN", token)))
            .stdin(Stdio::null());
        command
    }

    /// Where programs are looked for, first in a folder of the site's own.
    fn programs(&self) -> String {
        format!("{}/bin:/usr/local/bin:/usr/bin:/bin", self.folder.path().display())
    }

    pub(crate) fn said(
        &self,
        arguments: &[&str],
        token: Option<&str>,
    ) -> Result<(i32, String, String)> {
        let Output { status, stdout, stderr } = self.command(arguments, token).output()?;
        let code = status.code().context("it was ended by a signal")?;
        Ok((code, String::from_utf8(stdout)?, String::from_utf8(stderr)?))
    }

    pub(crate) fn token(&self, name: &str, scope: &str) -> Result<String> {
        let (code, out, err) = self.said(&["token", "create", name, "--scope", scope], None)?;
        ensure!(code == 0, "{err}");
        Ok(out.trim_end().to_owned())
    }

    pub(crate) fn run(&self) -> Result<Daemon> {
        let child = self.start()?;
        until("it answers", LIMIT, || ask("GET", self.port, "/health", "").map(drop))?;
        Ok(child)
    }

    /// The same without waiting for it.
    pub(crate) fn start(&self) -> Result<Daemon> {
        let log = File::create(self.log())?;
        let mut command = self.command(&["run"], None);
        let started = command.stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Daemon(started?))
    }

    /// What it wrote into its log so far.
    pub(crate) fn log_text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.log())?)
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }
}

#[test]
fn beyond_this_machine_it_starts_with_a_token_or_when_told_to_ask_for_none() -> Result<()> {
    let site = Site::new("listen = \"0.0.0.0:PORT\"\n")?;
    let (code, _, err) = site.said(&["run"], None)?;
    ensure!(code == 2 && err.contains("selfheal token create"), "{code}: {err}");
    let token = site.token("anna", "operator")?;
    let daemon = site.run()?;
    ensure!(ask("GET", site.port, "/api/targets", "")?.status == 401);
    ensure!(ask("GET", site.port, "/", "")?.status == 303);
    ensure!(site.said(&["targets"], Some(&token))?.0 == 0);
    drop(daemon);
    // Without any that is worth something it lets nobody in, and heals all the same.
    site.said(&["token", "revoke", "anna"], None)?;
    let daemon = site.run()?;
    ensure!(ask("GET", site.port, "/api/targets", "")?.status == 401);
    let log = std::fs::read_to_string(site.log())?;
    ensure!(log.contains("there is none that is worth something"), "{log}");
    drop(daemon);

    let open = Site::new("listen = \"0.0.0.0:PORT\"\nrequire_token = \"never\"\n")?;
    let _daemon = open.run()?;
    ensure!(ask("GET", open.port, "/api/targets", "")?.status == 200);
    Ok(())
}

#[test]
fn a_daemon_that_asks_for_a_token_takes_a_new_one_at_once_and_a_revoked_one_no_more() -> Result<()>
{
    let site = Site::new("listen = \"127.0.0.1:PORT\"\nrequire_token = \"always\"\n")?;
    let _daemon = site.run()?;
    let (code, out, err) = site.said(&["status"], None)?;
    ensure!((code, out.as_str()) == (2, ""), "{code}: {err}");
    ensure!(err.contains("asks for a token") && err.contains("SELFHEAL_TOKEN"), "{err}");

    let (viewer, operator) = (site.token("grafana", "viewer")?, site.token("anna", "operator")?);
    let (code, _, err) = site.said(&["targets"], Some(&viewer))?;
    ensure!(code == 0, "{code}: {err}");
    let (code, _, err) = site.said(&["freeze", "30m"], Some(&viewer))?;
    ensure!(code == 1 && err.contains("a token of scope operator"), "{code}: {err}");
    let (code, out, err) = site.said(&["freeze", "30m", "--json"], Some(&operator))?;
    ensure!(code == 0 && out.contains("\"anna\"") && !out.contains("mallory"), "{out}{err}");

    let file = site.folder.path().join("token");
    std::fs::write(&file, format!("{operator}\n"))?;
    let file = file.to_str().context("the path")?;
    ensure!(site.said(&["unfreeze", "--token-file", file], None)?.0 == 0);

    site.said(&["token", "revoke", "anna"], None)?;
    let (code, _, err) = site.said(&["freeze", "30m"], Some(&operator))?;
    ensure!(code == 2 && err.contains("refuses this token"), "{code}: {err}");
    let log = std::fs::read_to_string(site.log())?;
    ensure!(!log.contains("shl_"), "a token stands in the log");
    Ok(())
}

#[test]
fn tokens_are_listed_without_their_secret_and_mistakes_say_what_would_be_right() -> Result<()> {
    let site = Site::new("")?;
    let (_, out, _) = site.said(&["token", "list"], None)?;
    ensure!(out.contains("There are no tokens"), "{out}");
    for (arguments, hint) in [
        (&["token", "create", "a b", "--scope", "viewer"][..], "cannot be a token's name"),
        (&["token", "create", "anna", "--scope", "root"], "viewer, operator, admin"),
        (&["token", "create", "anna"], "--scope"),
        (&["token", "create", "anna", "--scope", "viewer", "--expires", "soon"], "such as 90d"),
        (&["token", "create", "anna", "--scope", "viewer", "--expires", "2020-01-01"], "is over"),
        (&["token", "revoke", "anna"], "there is no token `anna`"),
        (&["status", "--token-file", "none"], "cannot be read"),
    ] {
        let (code, out, err) = site.said(arguments, None)?;
        ensure!((code, out.as_str()) == (2, ""), "{arguments:?}: {code}: {err}");
        ensure!(err.contains(hint), "{arguments:?}: {err}");
    }
    ensure!(!site.folder.path().join("data").exists(), "a mistake makes nothing");

    let create = ["token", "create", "anna", "--scope", "viewer", "--expires", "90d", "--json"];
    let (_, out, _) = site.said(&create, None)?;
    let made: Value = serde_json::from_str(&out)?;
    let secret = made["token"].as_str().context("no token")?;
    ensure!(secret.len() == 68 && secret.starts_with("shl_"), "{secret}");
    let (code, _, err) = site.said(&create, None)?;
    ensure!(code == 2 && err.contains("token `anna` already"), "{err}");
    let (_, out, _) = site.said(&["token", "list"], None)?;
    ensure!(out.lines().nth(1).is_some_and(|line| line.starts_with("anna\tviewer\t")), "{out}");
    let (_, out, _) = site.said(&["token", "list", "--json"], None)?;
    let listed: Value = serde_json::from_str(&out)?;
    ensure!(listed[0]["name"] == "anna" && listed[0]["expired"] == false, "{out}");
    ensure!(!out.contains(secret) && !out.contains("sha256"), "{out}");
    ensure!(mode(&site.folder.path().join("data/tokens.json"))? == 0o600);
    Ok(())
}

fn mode(path: &Path) -> Result<u32> {
    Ok(path.metadata()?.permissions().mode() & 0o777)
}
