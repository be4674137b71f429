//! The page of settings.

use std::sync::Arc;

use askama::Template;
use chrono::Utc;
use selfheal_agents::model::clean;

use super::{Frame, When};
use crate::access::{Scope, Token};
use crate::config;
use crate::http::body::{Examined, Grade};

/// The longest value shown, in characters.
const SHOWN: usize = 300;

/// What the settings say now.
pub(in crate::http::pages) struct ReadSettings {
    pub(in crate::http::pages) file: Option<String>,
    pub(in crate::http::pages) rows: Vec<config::Shown>,
    pub(in crate::http::pages) warnings: Vec<String>,
    /// Why they cannot be read.
    pub(in crate::http::pages) fault: Option<String>,
}

/// What became of a test message.
pub(in crate::http::pages) struct Tested {
    pub(in crate::http::pages) channel: String,
    pub(in crate::http::pages) why_not: Option<String>,
}

/// The tokens.
pub(in crate::http::pages) enum Tokens {
    /// They are not for these eyes; whether the API asks nobody for one.
    Hidden {
        /// Whether anybody may do anything.
        is_open: bool,
    },
    /// All of them.
    Listed(Arc<[Token]>),
}

/// A new token, which is shown this once.
pub(in crate::http::pages) struct MadeToken {
    pub(in crate::http::pages) name: String,
    pub(in crate::http::pages) secret: String,
}

/// What came of what was asked for on the page.
#[derive(Default)]
pub(in crate::http::pages) struct Shown {
    pub(in crate::http::pages) tested: Option<Tested>,
    pub(in crate::http::pages) examined: Option<Vec<Examined>>,
    pub(in crate::http::pages) made: Option<MadeToken>,
}

impl Shown {
    fn is_answer(&self) -> bool {
        self.tested.is_some() || self.examined.is_some() || self.made.is_some()
    }
}

struct TokenRow {
    name: String,
    scope: Scope,
    created: When,
    expires: Option<When>,
    expired: bool,
}

struct ExaminedRow {
    what: &'static str,
    tone: &'static str,
    word: &'static str,
    seen: String,
    remedy: String,
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
    /// Nothing where they are not for these eyes.
    tokens: Option<Vec<TokenRow>>,
    is_open: bool,
    made: Option<MadeToken>,
    examined: Option<Vec<ExaminedRow>>,
}

impl SettingsPage {
    /// `differs` where what is written is not what is in force.
    pub(in crate::http::pages) fn new(
        read: ReadSettings,
        differs: bool,
        channels: Vec<String>,
        tokens: Tokens,
        shown: Shown,
    ) -> Self {
        let (tokens, is_open) = match tokens {
            Tokens::Hidden { is_open } => (None, is_open),
            Tokens::Listed(all) => (Some(all.iter().map(token).collect()), false),
        };
        let (defaults, given) = read.rows.iter().map(row).partition(|row| row.is_default);
        let fault = read.fault.unwrap_or_default();
        let frame = Frame::on("/settings");
        Self {
            frame: if shown.is_answer() { frame.still() } else { frame },
            file: read.file,
            fault: fault.lines().map(|line| clean(line, SHOWN)).collect(),
            differs,
            warnings: read.warnings,
            given,
            defaults,
            channels,
            tested: shown.tested.map(|t| Tested { channel: clean(&t.channel, SHOWN), ..t }),
            tokens,
            is_open,
            made: shown.made,
            examined: shown.examined.map(|lines| lines.into_iter().map(examined).collect()),
        }
    }
}

fn token(token: &Token) -> TokenRow {
    let now = Utc::now();
    TokenRow {
        name: token.name.clone(),
        scope: token.scope,
        created: When::new(token.created, now),
        expires: token.expires.map(|at| When::new(at, now)),
        expired: !token.is_live(now),
    }
}

fn examined(line: Examined) -> ExaminedRow {
    let (tone, word) = match line.grade {
        Grade::Ok => ("ok", "ok"),
        Grade::Warn => ("warning", "warn"),
        Grade::Fail => ("critical", "fail"),
    };
    ExaminedRow {
        what: line.what,
        tone,
        word,
        seen: clean(&line.seen, SHOWN),
        remedy: clean(&line.remedy.unwrap_or_default(), SHOWN),
    }
}

fn row(shown: &config::Shown) -> Row {
    Row {
        key: clean(&shown.key, SHOWN),
        value: clean(&shown.value, SHOWN),
        origin: clean(&shown.origin, SHOWN),
        is_default: shown.origin == "default",
    }
}
