//! Which alert channels there are by the settings. The one list of them: what is queued for
//! a channel and what carries it cannot disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use selfheal_agents::model::SecretText;
use tokio::sync::watch;

use crate::alerts::{
    Alertmanager, Channel, ChannelKind, Channels, Discord, Email, LIMIT, Log, Ntfy, PagerDuty,
    Quiet, Slack, Teams, Telegram, Webhook,
};
use crate::config::{ChannelName, Secret, Settings};

/// Their names, for the outbox, before they are in force.
pub(super) fn names(settings: &Settings) -> Vec<String> {
    settings.alerts.set_up().into_iter().map(|name| name.as_str().to_owned()).collect()
}

/// Where alerts go by these settings.
pub fn of(settings: &Settings) -> anyhow::Result<Channels> {
    let quiet = Arc::new(Quiet {
        hours: settings.alerts.quiet_hours.clone(),
        timezone: settings.schedule.timezone.clone(),
    });
    let channel = |name: ChannelName| {
        let word = name.as_str();
        let kind = kind(name, settings).with_context(|| format!("the setting alerts.{word}"))?;
        Ok(Arc::new(Channel { name: word.to_owned(), kind, quiet: Arc::clone(&quiet) }))
    };
    settings.alerts.set_up().into_iter().map(channel).collect()
}

/// What is in force, and changes with the settings.
pub(super) struct Carried {
    in_force: watch::Sender<Channels>,
    of: crate::config::Alerts,
    timezone: String,
}

impl Carried {
    /// Begins with the channels of these settings.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let in_force = watch::Sender::new(of(settings)?);
        let timezone = settings.schedule.timezone.clone();
        Ok(Self { in_force, of: settings.alerts.clone(), timezone })
    }

    /// For what carries alerts.
    pub(super) fn subscribe(&self) -> watch::Receiver<Channels> {
        self.in_force.subscribe()
    }

    /// Puts changed settings in force and answers the names to queue for. One channel that
    /// cannot be used leaves all as they were, so that no alert is lost meanwhile.
    pub(super) fn renew(&mut self, settings: &Settings) -> Vec<String> {
        let timezone = &settings.schedule.timezone;
        if self.of != settings.alerts || self.timezone != *timezone {
            match of(settings) {
                Ok(channels) => {
                    self.in_force.send_replace(channels);
                    self.of = settings.alerts.clone();
                    self.timezone.clone_from(timezone);
                }
                Err(error) => tracing::error!(
                    "the changed alert channels cannot be used, the old ones stay in force: {error:#}"
                ),
            }
        }
        self.in_force.borrow().iter().map(|channel| channel.name.clone()).collect()
    }
}

fn kind(name: ChannelName, settings: &Settings) -> anyhow::Result<ChannelKind> {
    let alerts = &settings.alerts;
    Ok(match name {
        ChannelName::Email => ChannelKind::Email(Email::new(&alerts.email, Email::LIMIT)?),
        ChannelName::Webhook => {
            let headers = headers(&alerts.webhook.headers);
            let secret = alerts.webhook.secret.as_ref().map(Secret::to_model);
            let url = given(alerts.webhook.url.as_ref())?;
            ChannelKind::Webhook(Webhook::new(url, &headers, secret.as_ref(), LIMIT)?)
        }
        ChannelName::Slack => ChannelKind::Slack(slack(&alerts.slack)?),
        ChannelName::Discord => {
            ChannelKind::Discord(Discord::new(given(alerts.discord.url.as_ref())?, LIMIT)?)
        }
        ChannelName::Teams => {
            ChannelKind::Teams(Teams::new(given(alerts.teams.url.as_ref())?, LIMIT)?)
        }
        ChannelName::Ntfy => {
            let token = alerts.ntfy.token.as_ref().map(Secret::to_model);
            let url = given(alerts.ntfy.url.as_ref())?;
            ChannelKind::Ntfy(Ntfy::new(&url, token.as_ref(), LIMIT)?)
        }
        ChannelName::Telegram => {
            let (token, chat) = (given(alerts.telegram.token.as_ref())?, &alerts.telegram.chat);
            let chat = chat.as_deref().context("it has no chat")?;
            let api = &alerts.telegram.api_url;
            ChannelKind::Telegram(Telegram::new(&token, chat, api, LIMIT)?)
        }
        ChannelName::PagerDuty => {
            let key = given(alerts.pagerduty.routing_key.as_ref())?;
            ChannelKind::PagerDuty(PagerDuty::new(key, &alerts.pagerduty.api_url, LIMIT)?)
        }
        ChannelName::Alertmanager => {
            let headers = headers(&alerts.alertmanager.headers);
            let url = given(alerts.alertmanager.url.as_ref())?;
            ChannelKind::Alertmanager(Alertmanager::new(&url, &headers, LIMIT)?)
        }
        ChannelName::Log => ChannelKind::Log(Log),
    })
}

fn slack(settings: &crate::config::Slack) -> anyhow::Result<Slack> {
    let Some(token) = &settings.token else {
        return Ok(Slack::by_webhook(given(settings.url.as_ref())?, LIMIT)?);
    };
    let channel = settings.channel.as_deref().context("it has no channel")?;
    Ok(Slack::by_bot(&token.to_model(), channel, &settings.api_url, LIMIT)?)
}

fn given(secret: Option<&Secret>) -> anyhow::Result<SecretText> {
    secret.map(Secret::to_model).context("it has no address or key")
}

fn headers(settings: &BTreeMap<String, Secret>) -> Vec<(String, SecretText)> {
    settings.iter().map(|(name, value)| (name.clone(), value.to_model())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn channels_follow_the_settings_and_one_that_cannot_be_used_leaves_the_old_ones() {
        let mut settings = Settings::default();
        let mut carried = Carried::new(&settings).unwrap();
        let mut in_force = carried.subscribe();
        assert_eq!(carried.renew(&settings), ["log"]);
        assert!(!in_force.has_changed().unwrap(), "nothing is broken off without a need");

        settings.alerts.webhook.url = Some(Secret::new("http://127.0.0.1:9/"));
        assert_eq!(carried.renew(&settings), ["log", "webhook"]);
        assert_eq!(in_force.borrow_and_update().len(), 2);

        settings.alerts.webhook.url = None;
        settings.alerts.email.host = Some("localhost".to_owned());
        settings.alerts.email.from = Some("selfheal@example.org".to_owned());
        settings.alerts.email.ca_file = Some("/nonexistent/ca.pem".into());
        assert_eq!(carried.renew(&settings), ["log", "webhook"], "the file is not there");
        assert!(!in_force.has_changed().unwrap());

        settings.alerts.email.ca_file = None;
        assert_eq!(carried.renew(&settings), ["log", "email"]);
    }
}
