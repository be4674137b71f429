//! `doctor`: is everything there that Selfheal needs? Each line ok, warn or fail, and what
//! to do about it. It changes nothing.

mod clock;
mod disk;
mod engines;
mod server;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use selfheal_agents::model::clean;
use tokio::net::TcpListener;

use self::engines::DOCKER;
use super::client::Client;
use super::daemon::is_covered;
use super::output::{Exit, Outcome, Output, Style};
use super::table::{Tone, cell, table, word};
use super::{Global, load, own_url, person, trust};
use crate::access::TokenBook;
use crate::alerts::{Channel, Fares, Log};
use crate::audit;
use crate::config::{Api, Settings, Sources};
use crate::http::body::{Examined, Grade, OwnHealth};
use crate::http::check_listen;
use crate::http::tls::RENEW_BEFORE;
use crate::store::{OpenError, open_read_only, snapshots};

pub(super) async fn run(sources: &Sources, global: &Global, out: Output) -> Outcome {
    let lines = examined(sources, global).await;
    out.show(&lines, |lines, style| shown(lines, style))?;
    let failed = |line: &&Examined| line.grade == Grade::Fail;
    Ok(match lines.iter().find(failed) {
        None => Exit::Done,
        // Everything else is right, only nobody answers.
        Some(first) if first.what == DOCKER && lines.iter().filter(failed).count() == 1 => {
            Exit::Unreachable
        }
        Some(_) => Exit::Wrong,
    })
}

/// The same for the page of settings.
pub fn examine(sources: Sources) -> BoxFuture<'static, Vec<Examined>> {
    Box::pin(async move { examined(&sources, &Global::default()).await })
}

async fn examined(sources: &Sources, global: &Global) -> Vec<Examined> {
    let mut lines = vec![];
    match load(sources) {
        Ok(loaded) => {
            let from = loaded.file.as_ref().map_or_else(
                || "no file: built-in defaults".to_owned(),
                |file| format!("{} is valid", file.display()),
            );
            lines.push(Examined::ok("settings", from));
            for warning in &loaded.warnings {
                let remedy = "selfheal config show tells where it was set";
                lines.push(Examined::not(Grade::Warn, "settings", warning, remedy));
            }
            let settings = loaded.settings;
            let daemon = Box::pin(daemon(global, &settings)).await;
            lines.extend(Box::pin(engines::examined(&settings)).await);
            lines.extend(Box::pin(clock::of_docker(&settings)).await);
            lines.extend([data_dir(&settings.data_dir), store(&settings.data_dir).await]);
            lines.push(audit(&settings.data_dir).await);
            lines.extend(server::examined(&settings).await);
            lines.push(disk::space(&settings.data_dir));
            lines.extend(channels(&settings).await);
            lines.extend(streams(&settings).await);
            lines.extend(heartbeat(&settings, global).await);
            lines.extend(certificate(&settings.api));
            lines.push(match daemon {
                Some(line) => line,
                None => port(&settings).await,
            });
        }
        Err(failure) => {
            let remedy = "correct what is named; selfheal config schema lists every setting";
            lines.push(Examined::not(Grade::Fail, "settings", failure.what, remedy));
        }
    }
    lines.push(clock::own(SystemTime::now()));
    lines
}

fn shown(lines: &[Examined], style: &Style) -> String {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let grade = match line.grade {
                Grade::Ok => word("ok", Tone::Good),
                Grade::Warn => word("warn", Tone::Warning),
                Grade::Fail => word("fail", Tone::Bad),
            };
            vec![
                cell(line.what),
                grade,
                cell(&line.seen),
                cell(line.remedy.as_deref().unwrap_or("")),
            ]
        })
        .collect();
    table(style, &["WHAT", "GRADE", "SEEN", "REMEDY"], &rows)
}

/// Whether people can be told: a line for each channel.
async fn channels(settings: &Settings) -> Vec<Examined> {
    let what = "alerts";
    let channels = match crate::app::channels(settings) {
        Ok(channels) => channels,
        Err(error) => {
            let remedy = "correct that channel in the settings";
            return vec![Examined::not(Grade::Fail, what, format!("{error:#}"), remedy)];
        }
    };
    let beyond_the_log: Vec<_> = channels.iter().filter(|c| c.name != Log::NAME).collect();
    if beyond_the_log.is_empty() {
        let seen = "only Selfheal's own log is told";
        let remedy = "set [alerts.email], [alerts.slack], [alerts.ntfy] or another channel";
        return vec![Examined::not(Grade::Warn, what, seen, remedy)];
    }
    let checked = futures_util::future::join_all(beyond_the_log.iter().map(|c| c.check())).await;
    let line = |(channel, checked): (&&Arc<Channel>, Option<Result<(), String>>)| {
        let name = &channel.name;
        match checked {
            None => Examined::ok(what, format!("{name} is set; `selfheal alert test` tries it")),
            Some(Ok(())) => Examined::ok(what, format!("{name} answers and lets us in")),
            Some(Err(why)) => {
                let remedy = "correct it, then selfheal alert test";
                Examined::not(Grade::Fail, what, format!("{name}: {why}"), remedy)
            }
        }
    };
    beyond_the_log.iter().zip(checked).map(line).collect()
}

/// Whether Redis answers, where other programs are told by it.
async fn streams(settings: &Settings) -> Option<Examined> {
    let what = "streams";
    let setup = match crate::app::streams(settings) {
        Ok(setup) => setup?,
        Err(error) => {
            let remedy = "correct [streams] in the settings";
            return Some(Examined::not(Grade::Fail, what, format!("{error:#}"), remedy));
        }
    };
    Some(match setup.address.ping().await {
        Ok(()) => Examined::ok(what, format!("{} answers and lets us in", setup.address)),
        Err(why) => {
            let seen = format!("{}: {why}", setup.address);
            let remedy = "start it or correct streams.url; healing goes on meanwhile";
            Examined::not(Grade::Fail, what, seen, remedy)
        }
    })
}

/// How the signs of life fare, by the daemon's word: one that is given to try it would tell whoever
/// waits for it that the daemon lives.
async fn heartbeat(settings: &Settings, global: &Global) -> Option<Examined> {
    let what = "heartbeat";
    settings.heartbeat.url.as_ref()?;
    let health = daemons_word(global, settings).await;
    Some(match health.map(|(_, health)| health.heartbeat) {
        None => Examined::ok(what, "it is set, and begins with the daemon"),
        Some(None) => Examined::ok(what, "it is set; none was due yet"),
        Some(Some(fares)) if Fares::Arrives.words() == Some(&fares) => {
            Examined::ok(what, "it arrives")
        }
        Some(Some(fares)) => {
            let remedy = "read the daemon's log, then correct heartbeat.url";
            Examined::not(Grade::Warn, what, format!("it {}", clean(&fares, 100)), remedy)
        }
    })
}

fn data_dir(dir: &Path) -> Examined {
    let what = "data folder";
    if !dir.exists() {
        let parent = dir.ancestors().skip(1).find(|p| p.exists() || p.as_os_str().is_empty());
        let parent = parent.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match tempfile::tempfile_in(parent) {
            Ok(_) => {
                Examined::ok(what, format!("{} will be made at the first start", dir.display()))
            }
            Err(error) => unwritable(what, parent, &error),
        };
    }
    match tempfile::tempfile_in(dir) {
        Ok(_) => Examined::ok(what, format!("{} can be written", dir.display())),
        Err(error) => unwritable(what, dir, &error),
    }
}

fn unwritable(what: &'static str, dir: &Path, error: &std::io::Error) -> Examined {
    let remedy = "give it to the user who runs Selfheal (chown), or set data_dir";
    Examined::not(
        Grade::Fail,
        what,
        format!("{} cannot be written: {error}", dir.display()),
        remedy,
    )
}

async fn store(dir: &Path) -> Examined {
    match open_read_only(dir).await {
        Ok(_) => Examined::ok(
            "store",
            match snapshots(dir).as_ref().map(|all| all.first()) {
                Ok(Some(newest)) => format!(
                    "it opens; the newest snapshot is of {}",
                    newest.taken_at.format("%Y-%m-%d %H:%M:%S UTC")
                ),
                Ok(None) => "it opens; there is no snapshot yet".to_owned(),
                Err(error) => format!("it opens; its snapshots cannot be read: {error}"),
            },
        ),
        Err(OpenError::Missing { .. }) => Examined::ok("store", "it comes with the first start"),
        Err(error @ OpenError::Older { .. }) => {
            Examined::not(Grade::Warn, "store", error, "selfheal run")
        }
        Err(error) => Examined::not(Grade::Fail, "store", error, "then selfheal doctor again"),
    }
}

/// Whether the audit log can be written, and is as it was written.
async fn audit(dir: &Path) -> Examined {
    let what = "audit log";
    let path = dir.join(audit::FILE);
    if let Err(error) = OpenOptions::new().append(true).open(&path) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Examined::ok(what, "it comes with the first entry");
        }
        let seen = format!("{} cannot be written: {error}", path.display());
        let remedy = "give it to the user who runs Selfheal (chown): it heals without, and notes \
                      what it does in its own log alone";
        return Examined::not(Grade::Fail, what, seen, remedy);
    }
    match super::audit::verdict(dir, None).await {
        Ok(verdict) if verdict.faults.is_empty() => {
            Examined::ok(what, format!("{} entries, none altered or removed", verdict.entries))
        }
        Ok(verdict) => {
            let remedy = "selfheal audit verify; find out who could write to the data folder";
            Examined::not(Grade::Warn, what, verdict.faults.join("; "), remedy)
        }
        Err(failure) => {
            Examined::not(Grade::Fail, what, failure.what, "then selfheal doctor again")
        }
    }
}

/// A daemon that answers is the best proof that the port is right.
async fn daemon(global: &Global, settings: &Settings) -> Option<Examined> {
    let (url, health) = daemons_word(global, settings).await?;
    let seen = format!("a daemon {} answers at {url}", health.version);
    Some(match health.detail {
        None => Examined::ok("API", seen),
        Some(fault) => {
            let remedy = "read its log; end it and start it again once the cause is removed";
            Examined::not(
                Grade::Fail,
                "API",
                format!("{seen} and is not well: {}", clean(&fault, 300)),
                remedy,
            )
        }
    })
}

/// Where the daemon was asked, and what it says of itself; `None` when it cannot be asked.
async fn daemons_word(global: &Global, settings: &Settings) -> Option<(String, OwnHealth)> {
    let url = global.url.clone().unwrap_or_else(|| own_url(&settings.api));
    let client = Client::new(&url, &person(), trust(global, settings).ok()?).ok()?;
    Some((url, client.own_health().await.ok()?))
}

/// Whether the API's certificate can be used, and until when.
fn certificate(api: &Api) -> Option<Examined> {
    let what = "certificate";
    let identity = match api.tls.files()?.identity() {
        Ok(identity) => identity,
        Err(error) => {
            let remedy = "correct it: Selfheal does not start with it; one that runs goes on with \
                          the certificate it has";
            return Some(Examined::not(Grade::Fail, what, error, remedy));
        }
    };
    let (ends, now) = (identity.ends, chrono::Utc::now());
    let day = ends.format("%Y-%m-%d %H:%M:%S UTC");
    let remedy = "renew it; the new one is used within seconds, without a restart";
    Some(if ends <= now {
        Examined::not(Grade::Fail, what, format!("it ended at {day}: nobody trusts it"), remedy)
    } else if ends - now < RENEW_BEFORE {
        Examined::not(Grade::Warn, what, format!("it ends soon, at {day}"), remedy)
    } else {
        Examined::ok(what, format!("it is valid until {day}"))
    })
}

async fn port(settings: &Settings) -> Examined {
    let listen = settings.api.listen;
    if settings.api.demands_token()
        && let Err(error) = TokenBook::of(&settings.data_dir).tokens()
    {
        let remedy = "make the file readable for whoever runs Selfheal, or remove it and make the \
                      tokens anew";
        return Examined::not(Grade::Fail, "API", error, remedy);
    }
    if let Err(refused) = check_listen(listen, is_covered(settings)) {
        let remedy = "selfheal token create NAME --scope admin, or set api.listen = \
                      \"127.0.0.1:8003\"";
        return Examined::not(Grade::Fail, "API", refused, remedy);
    }
    match TcpListener::bind(listen).await {
        Ok(_) => Examined::ok("API", format!("{listen} is free; no daemon is running")),
        Err(error) => Examined::not(
            Grade::Fail,
            "API",
            format!("{listen} cannot be had and no Selfheal answers there: {error}"),
            "stop what uses it (ss -ltnp shows it), or set api.listen",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_that_can_be_made_is_fine_and_one_below_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(data_dir(&dir.path().join("new")).grade, Grade::Ok);
        assert_eq!(data_dir(dir.path()).grade, Grade::Ok);
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(data_dir(&file.join("below")).grade, Grade::Fail);
        assert!(!dir.path().join("new").exists(), "examining makes nothing");
    }
}
