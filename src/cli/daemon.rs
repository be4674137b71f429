//! `run`: watch and heal until stopped.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::{Mode, clean};
use selfheal_agents::ports::{ContainerRuntime, Occasion};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::output::{Exit, Failure, Outcome, tell};
use super::service_manager::ServiceManager;
use super::{load, own_url};
use crate::access::{Access, TokenBook};
use crate::app::{App, assemble};
use crate::audit::Act;
use crate::config::{Changes, Loaded, LogFormat, Logs, RequireToken, Settings, Sources};
use crate::http::tls::Tls;
use crate::http::{AllowedHosts, BindError, Configured, bind, keep_serving, router};
use crate::store::OpenError;
use crate::upkeep::{Standstill, stood_still};

/// How long a fix that is being applied may take to come to a safe point at the end.
const APPLYING: Duration = Duration::from_mins(1);
/// How long background work may take to end.
const BACKGROUND: Duration = Duration::from_secs(10);
/// How long the last snapshot may take: whoever ends Selfheal kills it soon. One that is cut off is
/// taken for none.
const LAST_SNAPSHOT: Duration = Duration::from_secs(3);
/// A runtime that gave no sign for so long, or hangs, is ended; longer than a service manager waits.
const STANDSTILL: Duration = Duration::from_mins(2);

pub(super) async fn run(sources: Sources) -> Outcome {
    let loaded = load(&sources)?;
    let changes = Changes::since(sources.clone(), &loaded);
    start_log(&loaded.settings.logs)?;
    let listen = loaded.settings.api.listen;
    // The port first: a second start is told so before it touches anything.
    let covered = is_covered(&loaded.settings);
    let listener = bind(listen, covered).await.map_err(not_bound)?;
    let data_dir = &loaded.settings.data_dir;
    let tls = loaded.settings.api.tls.files().map(|files| Tls::of(files, data_dir));
    let tls = tls.transpose().map_err(|error| {
        Failure::new(Exit::Usage, error).next("correct it, or take [api.tls] out of the settings")
    })?;
    let app = assemble(loaded.settings.clone()).await.map_err(not_started)?;
    app.coordinator.audit().write(&[started(&loaded)]).await;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    tell_of_tokens(&loaded.settings);
    for broken in &app.broken_runbooks {
        tracing::warn!("{broken}");
    }
    let format = loaded.settings.logs.format;
    announce(format, &banner(&loaded, &docker(&app).await));
    let hosts = AllowedHosts::new(listen.ip(), &loaded.settings.api.hosts);
    let configured = Configured {
        sources,
        settings: app.settings.clone(),
        channels: crate::app::channels,
        doctor: super::doctor::examine,
        fleet: app.fleet.clone(),
        history: app.history.clone(),
        tie: app.tie.clone(),
        heart: Arc::clone(&app.heart),
        collector: app.collector.clone(),
    };
    let api = &loaded.settings.api;
    let access = Access::new(data_dir, api.demands_token())
        .with_pace(api.writes_per_minute, api.costly_reads_per_minute);
    let access = Arc::new(access);
    let router = router(app.coordinator.clone(), configured, access, hosts, app.cancel.clone());
    keep_serving(app.coordinator.upkeep(), listener, tls, router, app.cancel.clone())
        .map_err(|error| not_started(error.into()))?;
    app.start_triggers(changes).map_err(not_started)?;
    tell_of_standstill(&app, data_dir).await;
    let standstill = Standstill::watched(STANDSTILL, data_dir);
    let standstill = standstill.map_err(|error| not_started(error.into()))?;
    let manager = ServiceManager::of_environment();
    manager.ready(&format!("the page is at {}/", own_url(&loaded.settings.api)));
    tokio::select! {
        ended = wait_for_the_end() => ended?,
        () = manager.keep_informed(|| app.coordinator.hang()) => {}
        () = standstill.give_signs(|| app.coordinator.hang()) => {}
    }
    drop(standstill);
    manager.ending();
    announce(format, "ending: no new fix is begun");
    end(app).await;
    Ok(Exit::Done)
}

/// Says that the last run ended itself, which it could tell nobody.
async fn tell_of_standstill(app: &App, data_dir: &Path) {
    let Some(what) = stood_still(data_dir) else { return };
    let act = Act::of_selfheal(chrono::Utc::now(), "stood_still").saying(what.clone());
    app.coordinator.audit().write(&[act]).await;
    app.coordinator.upkeep().tell("its runtime", what);
}

/// Brings to a safe point what is under way.
async fn end(app: App) {
    app.cancel.cancel();
    if tokio::time::timeout(APPLYING, app.coordinator.applied()).await.is_err() {
        tracing::warn!("a fix was still being applied; the next start finishes or undoes it");
    }
    app.background.close();
    let _ = tokio::time::timeout(BACKGROUND, app.background.wait()).await;
    let _ = tokio::time::timeout(LAST_SNAPSHOT, app.take_snapshot(Occasion::End)).await;
}

/// Whether the API may listen beyond this machine: tokens were made once, or nobody wants one asked
/// for. Where all of them have expired or cannot be read nobody is let in, and healing goes on.
pub(super) fn is_covered(settings: &Settings) -> bool {
    settings.api.require_token == RequireToken::Never || TokenBook::of(&settings.data_dir).exists()
}

/// Says why nobody is let in, where that is so.
fn tell_of_tokens(settings: &Settings) {
    if !settings.api.demands_token() {
        return;
    }
    match TokenBook::of(&settings.data_dir).has_live(chrono::Utc::now()) {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "the API asks for a token and there is none that is worth something: `selfheal token \
             create NAME --scope operator` makes one, at any time"
        ),
        Err(error) => tracing::error!("the API lets nobody in: {error}"),
    }
}

fn started(loaded: &Loaded) -> Act {
    let (mode, version) = (loaded.settings.mode.as_str(), env!("CARGO_PKG_VERSION"));
    let changed = Settings::default().differences(&loaded.settings).join("; ");
    Act::of_selfheal(chrono::Utc::now(), "started")
        .saying(format!("version {version}, mode {mode}; settings beside the defaults: {changed}"))
}

fn not_bound(error: BindError) -> Failure {
    match error {
        BindError::Unprotected(refused) => {
            Failure::new(Exit::Usage, refused).next("selfheal token create NAME --scope admin")
        }
        taken @ BindError::Address { .. } => {
            Failure::new(Exit::Wrong, taken).next("selfheal status")
        }
    }
}

/// A start that failed. Where the settings are sound it may succeed when it is tried again, which a service
/// manager does not do after [`Exit::Usage`]. The message says what to do.
#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
pub(super) fn not_started(error: anyhow::Error) -> Failure {
    let of_settings = error.downcast_ref::<OpenError>().is_some_and(OpenError::is_of_settings);
    let exit = if of_settings { Exit::Usage } else { Exit::Wrong };
    Failure::new(exit, format!("{error:#}")).next("selfheal doctor")
}

pub(super) async fn wait_for_the_end() -> Result<(), Failure> {
    let broken = |error| Failure::new(Exit::Wrong, format!("signals cannot be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Sends the log to standard error; `SELFHEAL_LOG` goes before the settings.
pub(super) fn start_log(logs: &Logs) -> Result<(), Failure> {
    let level = std::env::var("SELFHEAL_LOG").ok().filter(|level| !level.is_empty());
    let level = level.unwrap_or_else(|| logs.level.clone());
    // The scheduler's own chatter, unless somebody asks for it after this.
    let filter =
        EnvFilter::try_new(format!("tokio_cron_scheduler=warn,{level}")).map_err(|error| {
            Failure::new(Exit::Usage, format!("the log level `{level}` is none: {error}"))
                .next("SELFHEAL_LOG=info selfheal run")
        })?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match logs.format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.with_target(false).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Wrong, error))
}

/// Tells whoever started it; where a program reads the log, as a line of that.
fn announce(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => tell(text),
        LogFormat::Json => tracing::info!("{}", text.trim_end()),
    }
}

/// What is known of Docker at the start, in a sentence.
async fn docker(app: &App) -> Result<String, String> {
    let info = app.docker.ping().await.map_err(|error| error.to_string())?;
    let containers = app.docker.containers().await.map_err(|error| error.to_string())?;
    let count = match containers.len() {
        1 => "1 container".to_owned(),
        n => format!("{n} containers"),
    };
    Ok(format!("{} answers, {count}", info.version))
}

fn banner(loaded: &Loaded, docker: &Result<String, String>) -> String {
    let settings = &loaded.settings;
    let mode = match settings.mode {
        Mode::Auto => "auto: it heals by itself when every guard agrees",
        Mode::Approve => "approve: it asks a person before each fix",
        Mode::Observe => "observe: it only reports what it would do",
    };
    let url = own_url(&settings.api);
    let file = loaded.file.as_ref().map_or_else(
        || "none found: built-in defaults".to_owned(),
        |file| file.display().to_string(),
    );
    let mut text = format!("Selfheal {} in mode {mode}\n", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "  page      {url}/");
    let _ = writeln!(text, "  API       {url}/docs/");
    let host = &settings.docker.host;
    let _ = match docker {
        Ok(found) => writeln!(text, "  Docker    {host}: {found}"),
        Err(error) => writeln!(
            text,
            "  Docker    NOT REACHABLE at {host}: {}\n            no container is watched or \
             healed until it answers; it is tried again by itself\n            `selfheal doctor` \
             says what to do; the host and configured targets are watched",
            clean(error, 300)
        ),
    };
    let _ = writeln!(text, "  settings  {file}");
    let _ = write!(text, "  data      {}", settings.data_dir.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    #[test]
    fn the_banner_is_honest_when_docker_is_missing() {
        let loaded = load_from(&Sources::default()).unwrap();
        let missing = banner(&loaded, &Err("permission denied".to_owned()));
        assert!(missing.contains("NOT REACHABLE"), "{missing}");
        assert!(missing.contains("permission denied") && missing.contains("selfheal doctor"));
        let found = banner(&loaded, &Ok("20.10.24 answers, 3 containers".to_owned()));
        assert!(found.contains("http://127.0.0.1:8003/") && found.contains("mode auto"));
        assert!(!found.contains("NOT"), "{found}");
    }
}
