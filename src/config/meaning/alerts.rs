//! What the settings of alert channels must be.

use std::net::IpAddr;

use lettre::message::Mailbox;
use selfheal_agents::model::clean;
use url::{Host, Url};

use super::{Check, header};
use crate::alerts::server_and_topic;
use crate::config::channels::{Alerts, Email, SmtpTls};
use crate::config::routes::ChannelName;
use crate::config::tree::joined;
use crate::docker::is_this_machine;

/// Notes every fault.
pub(super) fn faults(alerts: &Alerts, check: &mut Check<'_>) {
    one_or_the_other(alerts, check);
    email(&alerts.email, check);
    secrets(alerts, false, check);
    addresses(alerts, check);
    whole(alerts, check);
    routes(alerts, check);
}

/// A channel that is not there would hide what its route takes.
fn routes(alerts: &Alerts, check: &mut Check<'_>) {
    let set_up = alerts.set_up();
    let known: Vec<&str> = set_up.iter().map(|name| name.as_str()).collect();
    for (index, route) in alerts.routes.iter().enumerate() {
        let setting = format!("alerts.route[{index}].channels");
        for (nth, name) in route.channels.iter().enumerate() {
            if !set_up.contains(name) {
                let what = unset(*name, &known);
                check.wrong(&format!("{setting}[{nth}]"), what);
            }
        }
    }
}

fn unset(name: ChannelName, known: &[&str]) -> String {
    let name = name.as_str();
    let known = known.join(", ");
    format!("`{name}` is not set up; fill in [alerts.{name}], or name one that is: {known}")
}

/// Notes what is wrong with secrets that were read from files.
pub(super) fn faults_in_files(alerts: &Alerts, check: &mut Check<'_>) {
    secrets(alerts, true, check);
}

/// What is allowed but dangerous.
pub(super) fn warnings(alerts: &Alerts) -> Option<String> {
    let Email { host, tls, password, password_file, .. } = &alerts.email;
    let host = host.as_deref()?;
    let logs_in = password.is_some() || password_file.is_some();
    let exposed = *tls == SmtpTls::None && logs_in && !is_this_machine(host);
    exposed.then(|| {
        format!(
            "alerts.email.tls is none: the password goes to {} in the clear; set it to starttls or tls",
            clean(host, 80)
        )
    })
}

fn email(email: &Email, check: &mut Check<'_>) {
    let Some(host) = &email.host else {
        if !email.to.is_empty() {
            check.wrong("alerts.email.host", "`to` is given without `host`; name the mail server");
        }
        return;
    };
    // A name alone: a scheme or port would go unnoticed until the first alert.
    if Host::parse(host).is_err() && host.parse::<IpAddr>().is_err() {
        let what = format!(
            "`{}` is no name of a server; write it without scheme and port",
            clean(host, 80)
        );
        check.wrong("alerts.email.host", what);
    }
    match &email.from {
        None => check.wrong("alerts.email.from", "`from` is missing; write the address that sends"),
        Some(from) => mailbox("alerts.email.from", from, check),
    }
    if email.to.is_empty() {
        check.wrong("alerts.email.to", "this is empty; name at least one address");
    }
    for (index, to) in email.to.iter().enumerate() {
        mailbox(&format!("alerts.email.to[{index}]"), to, check);
    }
    login(email, check);
}

fn login(email: &Email, check: &mut Check<'_>) {
    let user = email.user.is_some() || email.user_file.is_some();
    let password = email.password.is_some() || email.password_file.is_some();
    if user != password {
        let (is, other) = if user { ("user", "password") } else { ("password", "user") };
        let what = format!("`{is}` is given without `{other}`; give both or none");
        check.wrong(&format!("alerts.email.{is}"), what);
    }
}

fn mailbox(name: &str, text: &str, check: &mut Check<'_>) {
    if text.contains(char::is_control) || text.parse::<Mailbox>().is_err() {
        let shown = clean(text, 80);
        let what = format!(
            "`{shown}` is no mail address; write `ops@example.org` or `Operations <ops@example.org>`"
        );
        check.wrong(name, what);
    }
}

/// Nobody could say which of both is meant.
fn one_or_the_other(alerts: &Alerts, check: &mut Check<'_>) {
    for (name, file, slot) in alerts.clone().secrets() {
        if file.is_some() && slot.is_some() {
            let word = name.rsplit('.').next().unwrap_or(name);
            let what = format!("`{word}` and `{word}_file` are both given; keep one");
            check.wrong(&format!("alerts.{name}"), what);
        }
    }
}

/// The form of what stands in the settings, or was read from a file that they name.
fn secrets(alerts: &Alerts, in_files: bool, check: &mut Check<'_>) {
    for (name, file, secret) in alerts.clone().secrets() {
        let Some(secret) = secret.as_ref().filter(|_| file.is_some() == in_files) else { continue };
        let setting = format!("alerts.{name}{}", if in_files { "_file" } else { "" });
        let (channel, word) = name.split_once('.').unwrap_or((name, ""));
        match word {
            "url" if channel == "ntfy" && server_and_topic(secret.expose()).is_none() => {
                let what = "write the topic's address, such as https://ntfy.sh/my-topic";
                check.wrong(&setting, what);
            }
            "url" => address(&setting, secret.expose(), check),
            "token" if !secret.expose().chars().all(|c| c.is_ascii_graphic()) => {
                check.wrong(&setting, "a token has no spaces and no letters beyond ASCII");
            }
            _ => {}
        }
    }
}

fn addresses(alerts: &Alerts, check: &mut Check<'_>) {
    for (name, url) in [
        ("alerts.slack.api_url", &alerts.slack.api_url),
        ("alerts.telegram.api_url", &alerts.telegram.api_url),
        ("alerts.pagerduty.api_url", &alerts.pagerduty.api_url),
    ] {
        address(name, url, check);
    }
    for (channel, headers) in
        [("webhook", &alerts.webhook.headers), ("alertmanager", &alerts.alertmanager.headers)]
    {
        for (name, value) in headers {
            let setting = joined(&format!("alerts.{channel}.headers"), name);
            header(&setting, name, value.expose(), check);
        }
    }
}

pub(super) fn address(name: &str, url: &str, check: &mut Check<'_>) {
    let good = Url::parse(url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    if !good {
        check.wrong(name, "write an address that begins with https:// or http://");
    }
}

/// What belongs together.
fn whole(alerts: &Alerts, check: &mut Check<'_>) {
    let Alerts { webhook, slack, ntfy, telegram, .. } = alerts;
    let has_url = slack.url.is_some() || slack.url_file.is_some();
    let has_token = slack.token.is_some() || slack.token_file.is_some();
    if has_url && has_token {
        let what = "`url` (an incoming webhook) and `token` (a bot) are both given; keep one";
        check.wrong("alerts.slack", what);
    }
    if has_token != slack.channel.is_some() {
        check.wrong("alerts.slack", "a bot needs both: `token`, and `channel` to write to");
    }
    if (telegram.token.is_some() || telegram.token_file.is_some()) != telegram.chat.is_some() {
        check.wrong("alerts.telegram", "a bot needs both: `token`, and `chat` to write to");
    }
    for (channel, of, has_url) in [
        (
            "ntfy",
            ntfy.token.is_some() || ntfy.token_file.is_some(),
            ntfy.url.is_some() || ntfy.url_file.is_some(),
        ),
        (
            "webhook",
            webhook.secret.is_some() || webhook.secret_file.is_some(),
            webhook.url.is_some() || webhook.url_file.is_some(),
        ),
    ] {
        if of && !has_url {
            check
                .wrong(&format!("alerts.{channel}.url"), "`url` is missing; nothing would be sent");
        }
    }
}
