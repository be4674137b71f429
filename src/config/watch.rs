//! Notices a changed settings file and reads it again: all of it or nothing.
//!
//! A file that is not valid, or gone, changes nothing: the settings last read stay in force
//! and the log says so once. What only a restart can change is named.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_util::sync::CancellationToken;

use super::fault::ConfigError;
use super::load::{Loaded, Sources, load_from};
use super::settings::Settings;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(3);

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    path: Option<PathBuf>,
    changed: Option<SystemTime>,
    length: Option<u64>,
}

/// Reads settings again when their file has changed.
#[derive(Debug)]
pub struct Reloader {
    sources: Sources,
    seen: Fingerprint,
}

impl Reloader {
    /// Begins with the file as it is now. `loaded` must come from the same sources; the file
    /// it was read from is stayed with.
    pub fn new(mut sources: Sources, loaded: &Loaded) -> Self {
        sources.explicit = loaded.file.clone().or(sources.explicit);
        let seen = fingerprint(&sources);
        Self { sources, seen }
    }

    /// Looks once. `None` when nothing changed; a change that is refused is told once.
    pub fn look(&mut self, even_if_unchanged: bool) -> Option<Result<Loaded, ConfigError>> {
        let now = fingerprint(&self.sources);
        if now == self.seen && !even_if_unchanged {
            return None;
        }
        self.seen = now;
        Some(load_from(&self.sources))
    }
}

fn fingerprint(sources: &Sources) -> Fingerprint {
    let path = sources.file();
    let facts = path.as_ref().and_then(|path| fs::metadata(path).ok());
    Fingerprint {
        changed: facts.as_ref().and_then(|facts| facts.modified().ok()),
        length: facts.as_ref().map(fs::Metadata::len),
        path,
    }
}

/// What has changed since the settings were read, and who asks for it. Made right after they were
/// read: a change or a SIGHUP in the time that all the rest takes to start is noticed too.
/// Cloning shares it.
#[derive(Clone)]
pub struct Changes {
    reloader: Arc<Mutex<Reloader>>,
    hangup: Arc<AsyncMutex<Option<tokio::signal::unix::Signal>>>,
}

impl Changes {
    /// From now on. `loaded` must come from the same sources. Needs a running tokio.
    pub fn since(sources: Sources, loaded: &Loaded) -> Self {
        let hangup = Arc::new(AsyncMutex::new(signal(SignalKind::hangup()).ok()));
        Self { reloader: Arc::new(Mutex::new(Reloader::new(sources, loaded))), hangup }
    }
}

/// Keeps `settings` up to date until cancelled: every few seconds, and at once on SIGHUP.
pub async fn watch(
    changes: Changes,
    settings: watch::Sender<Arc<Settings>>,
    cancel: CancellationToken,
) {
    let mut hangup = changes.hangup.lock().await;
    loop {
        let asked = tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => false,
            () = asked_by(&mut hangup) => true,
        };
        let reloader = Arc::clone(&changes.reloader);
        let looked = tokio::task::spawn_blocking(move || {
            reloader.lock().unwrap_or_else(PoisonError::into_inner).look(asked)
        });
        match looked.await {
            Ok(Some(result)) => take_over(result, &settings),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "a fault of Selfheal's own kept the settings from being read");
            }
        }
    }
}

async fn asked_by(hangup: &mut Option<tokio::signal::unix::Signal>) {
    match hangup {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Puts new settings in force, or says loudly why not.
fn take_over(result: Result<Loaded, ConfigError>, settings: &watch::Sender<Arc<Settings>>) {
    let loaded = match result {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(
                "the changed settings are refused, the old ones stay in force: {error}"
            );
            return;
        }
    };
    let new = Arc::new(loaded.settings);
    let changed = settings.send_if_modified(|old| {
        let restart = waiting_for_restart(old, &new);
        if !restart.is_empty() {
            tracing::warn!("changed settings that wait for a restart: {}", restart.join(", "));
        }
        let changed = **old != *new;
        *old = Arc::clone(&new);
        changed
    });
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(changed, "the settings were read again");
}

/// Settings that are only looked at when the program starts.
fn waiting_for_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    [
        ("data_dir", old.data_dir != new.data_dir),
        ("docker", old.docker != new.docker),
        ("store.url", old.store.url != new.store.url),
        ("streams", old.streams != new.streams),
        ("fleet", old.fleet != new.fleet),
        ("api.listen", old.api.listen != new.api.listen),
        ("api.tls", old.api.tls != new.api.tls),
        ("api.hosts", old.api.hosts != new.api.hosts),
        ("api.require_token", old.api.require_token != new.api.require_token),
        ("api.writes_per_minute", old.api.writes_per_minute != new.api.writes_per_minute),
        (
            "api.costly_reads_per_minute",
            old.api.costly_reads_per_minute != new.api.costly_reads_per_minute,
        ),
        ("logs", old.logs != new.logs),
        ("traces", old.traces != new.traces),
        ("schedule.docker_events", old.schedule.docker_events != new.schedule.docker_events),
        ("schedule.follow_logs", old.schedule.follow_logs != new.schedule.follow_logs),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reloader(text: &str) -> (tempfile::TempDir, PathBuf, Reloader) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("selfheal.toml");
        fs::write(&path, text).unwrap();
        let sources = Sources { searched: vec![path.clone()], ..Sources::default() };
        let loaded = load_from(&sources).unwrap();
        (folder, path, Reloader::new(sources, &loaded))
    }

    #[test]
    fn an_unchanged_file_is_left_alone_unless_somebody_asks() {
        let (_folder, _path, mut reloader) = reloader("mode = \"auto\"\n");
        assert!(reloader.look(false).is_none());
        assert!(reloader.look(true).unwrap().is_ok());
    }

    #[test]
    fn a_changed_file_is_read_and_a_broken_one_told_once() {
        let (_folder, path, mut reloader) = reloader("mode = \"auto\"\n");
        fs::write(&path, "mode = \"observe\"\n").unwrap();
        let loaded = reloader.look(false).unwrap().unwrap();
        assert_eq!(loaded.settings.mode.as_str(), "observe");
        fs::write(&path, "mode = \"\"\n").unwrap();
        assert!(reloader.look(false).unwrap().is_err());
        assert!(reloader.look(false).is_none());
    }

    #[test]
    fn a_file_that_vanishes_is_not_taken_for_the_defaults() {
        let (_folder, path, mut reloader) = reloader("mode = \"observe\"\n");
        fs::remove_file(path).unwrap();
        assert!(matches!(reloader.look(false), Some(Err(ConfigError::Unreadable { .. }))));
    }

    #[test]
    fn what_is_read_once_is_named_as_waiting_for_a_restart() {
        let old = Settings::default();
        let mut new = old.clone();
        new.alerts.webhook.headers.insert("X".to_owned(), crate::config::Secret::new("y"));
        assert!(waiting_for_restart(&old, &new).is_empty());
        new.schedule.docker_events = false;
        new.schedule.follow_logs = false;
        let named = waiting_for_restart(&old, &new);
        assert_eq!(named, ["schedule.docker_events", "schedule.follow_logs"]);
    }

    #[test]
    fn refused_settings_leave_the_old_ones_in_force() {
        let old = Arc::new(Settings::default());
        let (sender, receiver) = watch::channel(Arc::clone(&old));
        let broken = Sources { explicit: Some("/nonexistent/a.toml".into()), ..Sources::default() };
        take_over(load_from(&broken), &sender);
        assert!(!receiver.has_changed().unwrap());
        let flagged = Sources::default().with_flag("mode", "observe", "--mode");
        take_over(load_from(&flagged), &sender);
        assert_eq!(receiver.borrow().mode.as_str(), "observe");
    }
}
