//! Checks the texts that must have a form: durations, cron lines, time zones, ...

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use selfheal_agents::model::{ApplyMethod, TargetId, Timestamp, clean};

use super::fault::nearest;
use super::values::{MemoryCap, parse_duration};

/// Whether `text` has the form that the schema calls `format`; a format that is not ours
/// is satisfied by every text.
pub(super) fn check(format: &str, text: &str) -> Result<(), String> {
    match format {
        "duration-text" => parse_duration(text).map(drop),
        "memory-cap" => text.parse::<MemoryCap>().map(drop),
        "cron" => parse_cron(text).map(drop),
        "time-zone" => parse_time_zone(text).map(drop),
        "target" => text.parse::<TargetId>().map(drop).map_err(|error| error.to_string()),
        "apply" => parse_apply(text).map(drop),
        "listen" => check_listen(text),
        "log-level" => check_level(text),
        _ => Ok(()),
    }
}

/// Reads a cron expression of five or six fields (seconds first); day of month *or* day of
/// week, as cron has it.
pub fn parse_cron(text: &str) -> Result<Cron, String> {
    let shown = clean(text, 60);
    let fields = text.split_whitespace().count();
    if !text.trim_start().starts_with('@') && !(5..=6).contains(&fields) {
        return Err(format!(
            "`{shown}` has {fields} fields; write five (minute, hour, day, month, weekday), or six with seconds first, such as `*/5 * * * *`"
        ));
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
        .parse(text)
        .map_err(|error| format!("`{shown}` is not a cron expression: {}", reason(&error)))?;
    let epoch = chrono::DateTime::<chrono::Utc>::UNIX_EPOCH;
    cron.find_next_occurrence(&epoch, false)
        .map_err(|_| format!("`{shown}` names a time that never comes"))?;
    Ok(cron)
}

fn reason(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError::{ComponentError, IllegalCharacters, InvalidPattern};
    let text = match error {
        ComponentError(text) | IllegalCharacters(text) | InvalidPattern(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = clean(text.trim_end_matches('.'), 200);
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Reads the name of a time zone.
pub fn parse_time_zone(text: &str) -> Result<chrono_tz::Tz, String> {
    chrono_tz::Tz::from_str(text.trim()).map_err(|_| {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = nearest(text, known).unwrap_or("Europe/Berlin");
        format!(
            "`{}` is no time zone of the IANA database; write one such as `{hint}`",
            clean(text, 60)
        )
    })
}

/// Whether a time that comes again is open now: it begins by `cron` in `timezone`. `None` when that
/// cannot be read.
pub fn is_open(cron: &str, lasts: Duration, timezone: &str, now: Timestamp) -> Option<bool> {
    let (cron, zone) = (parse_cron(cron).ok()?, parse_time_zone(timezone).ok()?);
    let began = cron.find_previous_occurrence(&now.with_timezone(&zone), true);
    Some(began.is_ok_and(|began| (now - began.to_utc()).to_std().is_ok_and(|since| since < lasts)))
}

/// Reads `restart`, `signal:NAME` or `none`.
pub(super) fn parse_apply(text: &str) -> Result<ApplyMethod, String> {
    match text {
        "restart" => Ok(ApplyMethod::Restart),
        "none" => Ok(ApplyMethod::None),
        _ => text
            .strip_prefix("signal:")
            .map(|name| name.strip_prefix("SIG").unwrap_or(name))
            .filter(|name| SIGNALS.contains(name))
            .map(|name| ApplyMethod::Signal(name.to_owned()))
            .ok_or_else(|| {
                format!(
                    "`{}` is no way to apply a change; write `restart`, `none` or `signal:` with one of {}",
                    clean(text, 40),
                    SIGNALS.join(", ")
                )
            }),
    }
}

/// Signals by which services are asked to read their configuration again; none of them is
/// meant to end a process.
const SIGNALS: [&str; 4] = ["HUP", "USR1", "USR2", "WINCH"];

fn check_listen(text: &str) -> Result<(), String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let help = match text.rsplit_once(':') {
        None if text.parse::<u16>().is_ok() => format!("write `127.0.0.1:{text}`"),
        Some(("localhost" | "", port)) => format!("write `127.0.0.1:{port}`"),
        Some(("*", port)) => format!("write `0.0.0.0:{port}`"),
        _ => "write an address and a port, such as `127.0.0.1:8003`".to_owned(),
    };
    Err(format!("`{}` is no address to listen on; {help}", clean(text, 60)))
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn check_level(text: &str) -> Result<(), String> {
    let level = |part: &str| part.rsplit('=').next().unwrap_or(part).trim().to_lowercase();
    let wrong = text.split(',').map(level).find(|level| !LEVELS.contains(&level.as_str()));
    let Some(wrong) = wrong else { return Ok(()) };
    let hint = nearest(&wrong, LEVELS).unwrap_or("info");
    Err(format!(
        "`{}` is no log level; write one of {}, such as `{hint}`, or `info,selfheal::docker=debug`",
        clean(&wrong, 60),
        LEVELS.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_cron_line_says_what_is_wrong_with_it() {
        for (line, part) in [
            ("* * * *", "4 fields"),
            ("", "0 fields"),
            ("* * * * * * *", "7 fields"),
            ("61 * * * *", "not a cron expression"),
            ("*/5 * * * funday", "not a cron expression"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let message = parse_cron(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn five_and_six_fields_and_short_words_are_read() {
        for line in ["*/5 * * * *", "30 */5 * * * *", "@daily", "0 3 * * SUN"] {
            assert!(parse_cron(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_misspelt_time_zone_is_guessed() {
        assert!(parse_time_zone("Europe/Berlinn").unwrap_err().contains("`Europe/Berlin`"));
    }

    #[test]
    fn a_signal_that_ends_a_process_is_no_way_to_apply_a_change() {
        assert!(parse_apply("signal:KILL").is_err());
        assert_eq!(parse_apply("signal:SIGHUP"), Ok(ApplyMethod::Signal("HUP".to_owned())));
    }

    #[test]
    fn a_port_alone_is_answered_with_the_whole_address() {
        assert!(check("listen", "8003").unwrap_err().contains("`127.0.0.1:8003`"));
        assert!(check("listen", "[::1]:8003").is_ok());
        assert!(check("log-level", "info,selfheal::docker=debug").is_ok());
        assert!(check("log-level", "inof").unwrap_err().contains("`info`"));
    }
}
