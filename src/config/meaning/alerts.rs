//! What the settings of alert channels must be.

use std::net::IpAddr;

use lettre::message::Mailbox;
use selfheal_agents::model::clean;
use url::{Host, Url};

use super::{Check, header};
use crate::config::channels::{Alerts, Email, SmtpTls, Webhook};
use crate::config::tree::joined;

/// Notes every fault.
pub(super) fn faults(alerts: &Alerts, check: &mut Check<'_>) {
    email(&alerts.email, check);
    webhook(&alerts.webhook, check);
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

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
    for (name, both) in [
        ("user", email.user.is_some() && email.user_file.is_some()),
        ("password", email.password.is_some() && email.password_file.is_some()),
    ] {
        if both {
            let what = format!("`{name}` and `{name}_file` are both given; keep one");
            check.wrong(&format!("alerts.email.{name}"), what);
        }
    }
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

fn webhook(webhook: &Webhook, check: &mut Check<'_>) {
    if let Some(url) = &webhook.url {
        if webhook.url_file.is_some() {
            check.wrong("alerts.webhook.url", "`url` and `url_file` are both given; keep one");
        }
        let good = Url::parse(url.expose())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if !good {
            check.wrong(
                "alerts.webhook.url",
                "write an address that begins with https:// or http://",
            );
        }
    }
    for (name, value) in &webhook.headers {
        header(&joined("alerts.webhook.headers", name), name, value.expose(), check);
    }
}
