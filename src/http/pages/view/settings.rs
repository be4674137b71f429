//! The page of settings.

use askama::Template;
use selfheal_agents::model::clean;

use super::Frame;
use crate::config::Shown;

/// The longest value shown, in characters.
const SHOWN: usize = 300;

/// What the settings say now.
pub(in crate::http::pages) struct ReadSettings {
    pub(in crate::http::pages) file: Option<String>,
    pub(in crate::http::pages) rows: Vec<Shown>,
    pub(in crate::http::pages) warnings: Vec<String>,
    /// Why they cannot be read.
    pub(in crate::http::pages) fault: Option<String>,
}

/// What became of a test message.
pub(in crate::http::pages) struct Tested {
    pub(in crate::http::pages) channel: String,
    pub(in crate::http::pages) why_not: Option<String>,
}

struct Row {
    key: String,
    value: String,
    origin: String,
    is_default: bool,
}

/// `/settings`.
#[derive(Template)]
#[template(path = "settings.html")]
pub(in crate::http::pages) struct SettingsPage {
    frame: Frame,
    file: Option<String>,
    fault: Vec<String>,
    differs: bool,
    warnings: Vec<String>,
    given: Vec<Row>,
    defaults: Vec<Row>,
    channels: Vec<String>,
    tested: Option<Tested>,
}

impl SettingsPage {
    /// `differs` where what is written is not what is in force.
    pub(in crate::http::pages) fn new(
        read: ReadSettings,
        differs: bool,
        channels: Vec<String>,
        tested: Option<Tested>,
    ) -> Self {
        let (defaults, given) = read.rows.iter().map(row).partition(|row| row.is_default);
        let fault = read.fault.unwrap_or_default();
        Self {
            frame: Frame::on("/settings"),
            file: read.file,
            fault: fault.lines().map(|line| clean(line, SHOWN)).collect(),
            differs,
            warnings: read.warnings,
            given,
            defaults,
            channels,
            tested: tested.map(|t| Tested { channel: clean(&t.channel, SHOWN), ..t }),
        }
    }
}

fn row(shown: &Shown) -> Row {
    Row {
        key: clean(&shown.key, SHOWN),
        value: clean(&shown.value, SHOWN),
        origin: clean(&shown.origin, SHOWN),
        is_default: shown.origin == "default",
    }
}
