//! The page of settings: what is in force and where it comes from, a test of each channel, the
//! tokens, and what an examination of everything found.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};

use super::tokens::SeenBy;
use super::view::{ReadSettings, SettingsPage, Shown, Tested};
use super::{Page, html};
use crate::alerts::of_test;
use crate::config::{ConfigError, Sources, load_from};
use crate::http::problem::Problem;
use crate::http::state::{Api, Configured};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/settings", get(show))
        .route("/settings/alerts/{channel}", post(test))
        .route("/settings/doctor", post(examine))
        .merge(super::tokens::routes())
}

async fn show(State(api): State<Api>, seen_by: SeenBy) -> Page {
    Ok(html(&page(&api.configured, &seen_by, Shown::default()).await?))
}

/// The page, for whoever sees it, with what came of what they asked for.
pub(super) async fn page(
    configured: &Configured,
    seen_by: &SeenBy,
    shown: Shown,
) -> Result<SettingsPage, Problem> {
    let sources = configured.sources.clone();
    let reading = tokio::task::spawn_blocking(move || read(&sources));
    let (read, settings) = reading.await.map_err(|error| Problem::internal(&error))?;
    let in_force = Arc::clone(&configured.settings.borrow());
    let differs = settings.is_some_and(|settings| settings != *in_force);
    let channels = (configured.channels)(&in_force).map_or_else(
        |_| vec![],
        |channels| channels.iter().map(|channel| channel.name.clone()).collect(),
    );
    let tokens = seen_by.tokens()?;
    Ok(SettingsPage::new(read, differs, channels, tokens, shown))
}

async fn examine(State(api): State<Api>, seen_by: SeenBy) -> Page {
    let examined = Some((api.configured.doctor)(api.configured.sources.clone()).await);
    let shown = Shown { examined, ..Shown::default() };
    Ok(html(&page(&api.configured, &seen_by, shown).await?))
}

/// What the settings say now, as `selfheal config show` reads them.
fn read(sources: &Sources) -> (ReadSettings, Option<crate::config::Settings>) {
    match load_from(sources) {
        Ok(loaded) => {
            let file = loaded.file.as_ref().map(|file| file.display().to_string());
            let rows = loaded.shown();
            (
                ReadSettings { file, rows, warnings: loaded.warnings, fault: None },
                Some(loaded.settings),
            )
        }
        Err(error) => {
            let fault = Some(without_source(&error));
            (ReadSettings { file: None, rows: vec![], warnings: vec![], fault }, None)
        }
    }
}

/// What is wrong with the settings, without the line as it stands: a secret may be in it.
fn without_source(error: &ConfigError) -> String {
    let ConfigError::NotToml { path, why } = error else { return error.to_string() };
    let mut lines = why.lines();
    let (place, what) = (lines.next().unwrap_or_default(), lines.last().unwrap_or_default());
    format!("{}: {place}: {what}; `selfheal config check` shows the line", path.display())
}

async fn test(State(api): State<Api>, Path(name): Path<String>, seen_by: SeenBy) -> Page {
    let settings = Arc::clone(&api.configured.settings.borrow());
    let channels = (api.configured.channels)(&settings)
        .map_err(|error| Problem::bad_request(format!("{error:#}")))?;
    let channel = channels
        .iter()
        .find(|channel| channel.name == name)
        .ok_or_else(|| Problem::not_found(format!("the channel `{name}` is not set")))?;
    let why_not = channel.try_out(&of_test(api.coordinator.now())).await.err();
    let shown = Shown { tested: Some(Tested { channel: name, why_not }), ..Shown::default() };
    Ok(html(&page(&api.configured, &seen_by, shown).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_off_in_a_secret_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("selfheal.toml");
        std::fs::write(&file, "[alerts.email]\npassword = \"hunter2\nhost = \"mail\"\n").unwrap();
        let (read, _) = read(&Sources { explicit: Some(file), ..Sources::default() });
        let fault = read.fault.unwrap();
        assert!(!fault.contains("hunter2"), "{fault}");
        assert!(fault.contains("selfheal.toml: ") && fault.contains("line 2"), "{fault}");
    }
}
