//! The settings of the alert channels. A channel whose address is not given is off.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::routes::{ChannelName, Digest, QuietHours, Route};
use super::values::{DurationText, Secret, duration};

/// How people are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// A person is told of what is held and not critical when it has lasted this long; of what is
    /// critical at once.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub after: Duration,
    /// Reminds a person of what waited this long for one, and then each day; `0s` never.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub remind_after: Duration,
    /// What went on meanwhile, told from time to time.
    pub digest: Digest,
    /// E-mail by SMTP.
    pub email: Email,
    /// A web address that gets alerts as JSON by POST; of many at once one that sums up.
    pub webhook: Webhook,
    /// Slack, by an incoming webhook or as a bot.
    pub slack: Slack,
    /// Discord, by a webhook.
    pub discord: Discord,
    /// Microsoft Teams, by a workflow.
    pub teams: Teams,
    /// Push messages by ntfy.
    pub ntfy: Ntfy,
    /// Telegram, as a bot.
    pub telegram: Telegram,
    /// `PagerDuty`, Events API v2.
    pub pagerduty: PagerDuty,
    /// Prometheus' Alertmanager, API v2.
    pub alertmanager: Alertmanager,
    /// Which alerts go through which channels; without any each goes through all. Every route that
    /// takes an alert adds its channels.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Times in which what is not urgent waits; when they end, what waited is told.
    pub quiet_hours: Vec<QuietHours>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            after: Duration::from_mins(1),
            remind_after: Duration::from_hours(4),
            digest: Digest::default(),
            email: Email::default(),
            webhook: Webhook::default(),
            slack: Slack::default(),
            discord: Discord::default(),
            teams: Teams::default(),
            ntfy: Ntfy::default(),
            telegram: Telegram::default(),
            pagerduty: PagerDuty::default(),
            alertmanager: Alertmanager::default(),
            routes: vec![],
            quiet_hours: vec![],
        }
    }
}

/// E-mail by SMTP; one thread for each incident.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Email {
    /// The mail server; without one nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port; without it 587 for `starttls`, 465 for `tls`, 25 for `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// A file with certificates (PEM) that are trusted beside those of the system, for a
    /// server whose certificate an authority of your own has signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name to log in with; without one nobody logs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Secret>,
    /// A file that holds the name, instead of `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_file: Option<PathBuf>,
    /// The password to log in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password, instead of `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Who sends: `selfheal@example.org` or `Selfheal <selfheal@example.org>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who gets it, in the same form.
    pub to: Vec<String>,
}

impl Email {
    /// The port in use.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::Starttls => 587,
            SmtpTls::Tls => 465,
            SmtpTls::None => 25,
        })
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// It begins in the clear and changes to TLS before anything is said; a server that
    /// cannot is not used.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the clear, for a server on this machine.
    None,
}

/// A web address that gets alerts as JSON by POST; of many at once one that sums up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// The address; without one nothing is sent. It often holds a secret: see `url_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// More request headers, such as `Authorization`.
    pub headers: BTreeMap<String, Secret>,
    /// What requests are signed with, so that the receiver can tell ours from a stranger's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file that holds it, instead of `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// Slack: `url` of an incoming webhook, which is the simple form; or `token` and `channel` of a bot,
/// which keeps each incident in one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slack {
    /// The address of an incoming webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The token of a bot with the scope `chat:write` (`xoxb-...`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// A file that holds the token, instead of `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where the bot writes: a channel's id or name. It has to be a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where Slack's methods are called.
    pub api_url: String,
}

impl Default for Slack {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            token: None,
            token_file: None,
            channel: None,
            api_url: "https://slack.com/api".to_owned(),
        }
    }
}

/// Discord, by a webhook.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Discord {
    /// The webhook's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
}

/// Microsoft Teams, by a workflow that posts to a channel when a webhook request is received.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Teams {
    /// The workflow's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
}

/// Push messages by ntfy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ntfy {
    /// The topic's address, such as `https://ntfy.sh/my-topic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The token of who may write to the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// A file that holds the token, instead of `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Telegram, as a bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telegram {
    /// The bot's token, from @BotFather.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// A file that holds the token, instead of `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where the bot writes: the number of a chat, or `@name` of a public channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// Where the Bot API is.
    pub api_url: String,
}

impl Default for Telegram {
    fn default() -> Self {
        let api_url = "https://api.telegram.org".to_owned();
        Self { token: None, token_file: None, chat: None, api_url }
    }
}

/// `PagerDuty`: an incident of ours is one of theirs, and resolved there when it is over here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PagerDuty {
    /// The routing key of a service's integration "Events API v2".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<Secret>,
    /// A file that holds the key, instead of `routing_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key_file: Option<PathBuf>,
    /// Where events are sent; `https://events.eu.pagerduty.com/v2/enqueue` for an account in
    /// the EU.
    pub api_url: String,
}

impl Default for PagerDuty {
    fn default() -> Self {
        let api_url = "https://events.pagerduty.com/v2/enqueue".to_owned();
        Self { routing_key: None, routing_key_file: None, api_url }
    }
}

/// Prometheus' Alertmanager.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alertmanager {
    /// Its address, such as `http://alertmanager:9093`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// More request headers, such as `Authorization`.
    pub headers: BTreeMap<String, Secret>,
}

impl Alerts {
    /// The channels that are set up, the log first.
    pub fn set_up(&self) -> Vec<ChannelName> {
        let of = |url: &Option<Secret>, file: &Option<PathBuf>| url.is_some() || file.is_some();
        let Self {
            webhook, slack, discord, teams, ntfy, telegram, pagerduty, alertmanager, ..
        } = self;
        let slack = of(&slack.url, &slack.url_file) || of(&slack.token, &slack.token_file);
        [
            (ChannelName::Log, true),
            (ChannelName::Email, self.email.host.is_some()),
            (ChannelName::Webhook, of(&webhook.url, &webhook.url_file)),
            (ChannelName::Slack, slack),
            (ChannelName::Discord, of(&discord.url, &discord.url_file)),
            (ChannelName::Teams, of(&teams.url, &teams.url_file)),
            (ChannelName::Ntfy, of(&ntfy.url, &ntfy.url_file)),
            (ChannelName::Telegram, of(&telegram.token, &telegram.token_file)),
            (ChannelName::PagerDuty, of(&pagerduty.routing_key, &pagerduty.routing_key_file)),
            (ChannelName::Alertmanager, of(&alertmanager.url, &alertmanager.url_file)),
        ]
        .into_iter()
        .filter_map(|(name, set_up)| set_up.then_some(name))
        .collect()
    }

    /// Each setting that may stand in a file instead: its name, that file, and where the secret
    /// belongs.
    pub(super) fn secrets(&mut self) -> Vec<(&'static str, Option<PathBuf>, &mut Option<Secret>)> {
        let Self {
            email,
            webhook,
            slack,
            discord,
            teams,
            ntfy,
            telegram,
            pagerduty,
            alertmanager,
            ..
        } = self;
        vec![
            ("email.user", email.user_file.clone(), &mut email.user),
            ("email.password", email.password_file.clone(), &mut email.password),
            ("webhook.url", webhook.url_file.clone(), &mut webhook.url),
            ("webhook.secret", webhook.secret_file.clone(), &mut webhook.secret),
            ("slack.url", slack.url_file.clone(), &mut slack.url),
            ("slack.token", slack.token_file.clone(), &mut slack.token),
            ("discord.url", discord.url_file.clone(), &mut discord.url),
            ("teams.url", teams.url_file.clone(), &mut teams.url),
            ("ntfy.url", ntfy.url_file.clone(), &mut ntfy.url),
            ("ntfy.token", ntfy.token_file.clone(), &mut ntfy.token),
            ("telegram.token", telegram.token_file.clone(), &mut telegram.token),
            (
                "pagerduty.routing_key",
                pagerduty.routing_key_file.clone(),
                &mut pagerduty.routing_key,
            ),
            ("alertmanager.url", alertmanager.url_file.clone(), &mut alertmanager.url),
        ]
    }
}
