//! Which alert channels there are by the settings. The one list of them: what is queued for
//! a channel and what carries it cannot disagree.

use anyhow::Context;

use crate::alerts::{Channel, ChannelKind, Email, Log, Webhook};
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

/// Their names, for the outbox.
pub(super) fn names(settings: &Settings) -> Vec<String> {
    on(settings).into_iter().map(str::to_owned).collect()
}

/// Where alerts go by these settings.
pub(super) fn of(settings: &Settings) -> anyhow::Result<Vec<Channel>> {
    let channel = |name: &str| {
        let kind = kind(name, settings).with_context(|| format!("the setting alerts.{name}"))?;
        Ok(Channel { name: name.to_owned(), kind })
    };
    on(settings).into_iter().map(channel).collect()
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
