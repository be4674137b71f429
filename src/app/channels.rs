//! Which alert channels there are by the settings. The one list of them: what is queued for
//! a channel and what carries it cannot disagree.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;

use crate::alerts::{Channel, ChannelKind, Channels, Email, Log, Webhook};
use crate::config::Settings;

const LOG: &str = Log::NAME;
const EMAIL: &str = "email";
const WEBHOOK: &str = "webhook";

/// The channels that are on, by name.
fn on(settings: &Settings) -> Vec<&'static str> {
    let alerts = &settings.alerts;
    [(LOG, true), (EMAIL, alerts.email.host.is_some()), (WEBHOOK, alerts.webhook.url.is_some())]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect()
}

/// Their names, for the outbox, before they are in force.
pub(super) fn names(settings: &Settings) -> Vec<String> {
    on(settings).into_iter().map(str::to_owned).collect()
}

/// Where alerts go by these settings.
pub(super) fn of(settings: &Settings) -> anyhow::Result<Channels> {
    let channel = |name: &str| {
        let kind = kind(name, settings).with_context(|| format!("the setting alerts.{name}"))?;
        Ok(Arc::new(Channel { name: name.to_owned(), kind }))
    };
    on(settings).into_iter().map(channel).collect()
}

/// What is in force, and changes with the settings.
pub(super) struct Carried {
    in_force: watch::Sender<Channels>,
    of: crate::config::Alerts,
}

impl Carried {
    /// Begins with the channels of these settings.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let in_force = watch::Sender::new(of(settings)?);
        Ok(Self { in_force, of: settings.alerts.clone() })
    }

    /// For what carries alerts.
    pub(super) fn subscribe(&self) -> watch::Receiver<Channels> {
        self.in_force.subscribe()
    }

    /// Puts changed settings in force and answers the names to queue for. One channel that
    /// cannot be used leaves all as they were, so that no alert is lost meanwhile.
    pub(super) fn renew(&mut self, settings: &Settings) -> Vec<String> {
        if self.of != settings.alerts {
            match of(settings) {
                Ok(channels) => {
                    self.in_force.send_replace(channels);
                    self.of = settings.alerts.clone();
                }
                Err(error) => tracing::error!(
                    "the changed alert channels cannot be used, the old ones stay in force: {error:#}"
                ),
            }
        }
        self.in_force.borrow().iter().map(|channel| channel.name.clone()).collect()
    }
}

fn kind(name: &str, settings: &Settings) -> anyhow::Result<ChannelKind> {
    let alerts = &settings.alerts;
    Ok(match name {
        EMAIL => ChannelKind::Email(Email::new(&alerts.email, Email::LIMIT)?),
        WEBHOOK => {
            let headers = alerts.webhook.headers.iter();
            let headers: Vec<_> =
                headers.map(|(name, value)| (name.clone(), value.to_model())).collect();
            let url = alerts.webhook.url.as_ref().context("it has no address")?;
            ChannelKind::Webhook(Webhook::new(url.to_model(), &headers, Webhook::LIMIT)?)
        }
        _ => ChannelKind::Log(Log),
    })
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
        assert_eq!(carried.renew(&settings), [LOG]);
        assert!(!in_force.has_changed().unwrap(), "nothing is broken off without a need");

        settings.alerts.webhook.url = Some(Secret::new("http://127.0.0.1:9/"));
        assert_eq!(carried.renew(&settings), [LOG, WEBHOOK]);
        assert_eq!(in_force.borrow_and_update().len(), 2);

        settings.alerts.webhook.url = None;
        settings.alerts.email.host = Some("localhost".to_owned());
        settings.alerts.email.from = Some("selfheal@example.org".to_owned());
        settings.alerts.email.ca_file = Some("/nonexistent/ca.pem".into());
        assert_eq!(carried.renew(&settings), [LOG, WEBHOOK], "the file is not there");
        assert!(!in_force.has_changed().unwrap());

        settings.alerts.email.ca_file = None;
        assert_eq!(carried.renew(&settings), [LOG, EMAIL]);
    }
}
