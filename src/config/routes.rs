//! The settings that say which alert goes through which channel, and when.

use std::time::Duration;

use schemars::JsonSchema;
use selfheal_agents::model::{Severity, TargetId};
use serde::{Deserialize, Serialize};

use super::values::{CronText, DurationText, TargetText, duration};

/// Which alerts go through which channels. What a route does not name it takes all of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The least severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Which target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TargetText>")]
    pub target: Option<TargetId>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event: Vec<EventName>,
    /// Where such an alert goes.
    pub channels: Vec<ChannelName>,
}

/// A time that comes again, in which what is not urgent waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// When it begins, as a cron expression in the time zone of the schedule.
    #[schemars(with = "CronText")]
    pub cron: String,
    /// How long it lasts.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub duration: Duration,
    /// What has at least this severity is heard all the same.
    #[serde(default = "critical")]
    pub except: Severity,
}

const fn critical() -> Severity {
    Severity::Critical
}

/// What was healed, what broke and what waits, told from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Digest {
    /// When it is told, as a cron expression in the time zone of the schedule; without it never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<CronText>")]
    pub cron: Option<String>,
}

/// Makes an enumeration of words that stand in the settings and elsewhere.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The word as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// What an alert tells of.
    EventName {
        /// A fix, if any, was not applied.
        Held = "held",
        /// A fix was applied and proved itself.
        Resolved = "resolved",
        /// It ended without a fix.
        Recovered = "recovered",
        /// A fix was taken back.
        RolledBack = "rolled_back",
        /// A target changes to and fro.
        Flapping = "flapping",
        /// A part of the world cannot be seen.
        Blind = "blind",
        /// It still waits for a person.
        Reminder = "reminder",
        /// What went on meanwhile.
        Digest = "digest",
    }
}

words! {
    /// A channel, as its table in `[alerts]` is called.
    ChannelName {
        /// Selfheal's own log, which gets every alert in any case.
        Log = "log",
        /// See `[alerts.email]`.
        Email = "email",
        /// See `[alerts.webhook]`.
        Webhook = "webhook",
        /// See `[alerts.slack]`.
        Slack = "slack",
        /// See `[alerts.discord]`.
        Discord = "discord",
        /// See `[alerts.teams]`.
        Teams = "teams",
        /// See `[alerts.ntfy]`.
        Ntfy = "ntfy",
        /// See `[alerts.telegram]`.
        Telegram = "telegram",
        /// See `[alerts.pagerduty]`.
        PagerDuty = "pagerduty",
        /// See `[alerts.alertmanager]`.
        Alertmanager = "alertmanager",
    }
}
