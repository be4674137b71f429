//! `token`: who may look and who may act. It works beside a running daemon and without one.

use std::path::Path;

use chrono::{NaiveDate, NaiveTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use selfheal_agents::model::Timestamp;
use serde::Serialize;

use super::args::Tokens;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::table::{Tone, cell, table, word};
use crate::access::{Scope, Token, TokenBook, TokenError};
use crate::audit::Act;
use crate::config::Settings;

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    name: String,
    scope: Scope,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// Whether its time is over.
    expired: bool,
}

impl Row {
    fn new(token: &Token, now: Timestamp) -> Self {
        Self {
            name: token.name.clone(),
            scope: token.scope,
            created: token.created,
            expires: token.expires,
            expired: !token.is_live(now),
        }
    }
}

/// A new token with its secret.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    row: Row,
    token: String,
}

pub(super) fn run(what: &Tokens, settings: &Settings, out: Output) -> Outcome {
    let book = TokenBook::of(&settings.data_dir);
    let now = out.style.now;
    let audit = |act: &Act| super::audit::note(settings, act);
    let act = |what: &str| super::local::act(&super::person(), what);
    match what {
        Tokens::Create { name, scope, expires } => {
            let expires = expires.as_deref().map(|text| moment(text, now)).transpose()?;
            let (token, secret) = book.create(name, *scope, expires, now).map_err(failure)?;
            audit(&act("token_create").on(name).saying(told_of(&token)));
            tell(told(&token, settings));
            let made =
                Made { row: Row::new(&token, now), token: secret.expose_secret().to_owned() };
            out.show(&made, |made, _| made.token.clone())?;
        }
        Tokens::List => {
            let tokens = book.tokens().map_err(failure)?;
            let rows: Vec<Row> = tokens.iter().map(|token| Row::new(token, now)).collect();
            out.show(&rows, |rows, style| listed(rows, style))?;
        }
        Tokens::Revoke { name } => {
            let gone = Row::new(&book.revoke(name).map_err(failure)?, now);
            audit(&act("token_revoke").on(name));
            out.show(&gone, |gone, _| {
                format!("The token {} is worth nothing any more", gone.name)
            })?;
        }
    }
    Ok(Exit::Done)
}

/// What is no data: standard output has the token alone, for a file or a variable.
fn told(token: &Token, settings: &Settings) -> String {
    format!(
        "token {} {}. It is shown this once; only a hash of it is kept, in {}",
        token.name,
        told_of(token),
        std::path::absolute(&settings.data_dir).as_deref().unwrap_or(&settings.data_dir).display()
    )
}

fn told_of(token: &Token) -> String {
    let until = token
        .expires
        .map_or_else(|| "it does not expire".to_owned(), |at| format!("it expires {}", day(at)));
    format!("of scope {}; {until}", token.scope)
}

fn day(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn listed(rows: &[Row], style: &Style) -> String {
    if rows.is_empty() {
        return "There are no tokens; `selfheal token create NAME --scope viewer` makes one"
            .to_owned();
    }
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let expires = match row.expires {
                Some(_) if row.expired => word("expired", Tone::Warning),
                Some(at) => cell(day(at)),
                None => cell("never"),
            };
            vec![cell(&row.name), cell(row.scope), cell(day(row.created)), expires]
        })
        .collect();
    table(style, &["NAME", "SCOPE", "CREATED", "EXPIRES"], &lines)
}

/// When a token expires, as it was typed: a time from now on, or a day, at whose beginning.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = |what: &str| {
        Failure::new(Exit::Usage, format!("`{text}` {what}"))
            .next("selfheal token create NAME --scope viewer --expires 90d")
    };
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let lasts = humantime::parse_duration(text)
        .map_err(|_| wrong("is neither a time such as 90d nor a day such as 2027-01-31"))?;
    TimeDelta::from_std(lasts)
        .ok()
        .and_then(|lasts| now.checked_add_signed(lasts))
        .ok_or_else(|| wrong("is too far away; without --expires it lasts for ever"))
}

fn failure(error: TokenError) -> Failure {
    match error {
        TokenError::File { .. } => Failure::new(Exit::Wrong, error).next("selfheal doctor"),
        TokenError::Name(_) | TokenError::Past(_) => Failure::new(Exit::Usage, error)
            .next("selfheal token create NAME --scope viewer --expires 90d"),
        TokenError::Taken(_) | TokenError::Missing(_) => {
            Failure::new(Exit::Usage, error).next("selfheal token list")
        }
    }
}

/// The token to show a daemon: from the file, else from the environment. No flag takes it, since
/// everybody on a machine sees what a program was started with.
pub(super) fn shown(file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            let what = format!("the token in {} cannot be read: {error}", file.display());
            Failure::new(Exit::Usage, what)
        })?,
        None => std::env::var("SELFHEAL_TOKEN").unwrap_or_default(),
    };
    let token = text.trim();
    match file {
        Some(file) if token.is_empty() => {
            let what = format!("there is no token in {}: it is empty", file.display());
            Err(Failure::new(Exit::Usage, what))
        }
        _ => Ok((!token.is_empty()).then(|| SecretString::from(token))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_expiry_is_a_time_from_now_or_a_day() {
        let at = |text: &str| moment(text, now()).map(|at| at.to_rfc3339());
        assert_eq!(at("90d").unwrap(), "2027-02-20T12:00:00+00:00");
        assert_eq!(at("2027-01-31").unwrap(), "2027-01-31T00:00:00+00:00");
        assert_eq!(at("2027-01-31T08:00:00+01:00").unwrap(), "2027-01-31T07:00:00+00:00");
        for wrong in ["", "soon", "90", "-1d", "2027-02-30", "99999999999y"] {
            let refused = at(wrong).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage, "{wrong}");
        }
    }
}
