//! `alert test`: sends a real message through every channel, and says which arrived.

use chrono::Utc;
use selfheal_agents::ports::Alert;
use serde::Serialize;

use super::output::{Exit, Failure, Outcome, Output, Style};
use super::table::{cell, table};
use super::{audit, load, local, person};
use crate::alerts::{Channel, of_test};
use crate::config::Sources;

/// What became of one message.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Tried {
    channel: String,
    arrived: bool,
    /// Why not.
    why: Option<String>,
}

/// Tries every channel that is set, or the one of this name.
pub(super) async fn test(sources: &Sources, only: Option<&str>, out: Output) -> Outcome {
    let settings = load(sources)?.settings;
    let channels = crate::app::channels(&settings)
        .map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?;
    let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    if let Some(name) = only.filter(|name| !names.contains(name)) {
        let set = names.join(", ");
        let what = format!("the channel `{name}` is not set; there are: {set}");
        return Err(Failure::new(Exit::Usage, what).next("write [alerts.NAME] into the settings"));
    }
    let channel = format!("channel={}", only.unwrap_or("all"));
    audit::note(&settings, &local::act(&person(), "alert_test").saying(channel));
    let alert = of_test(Utc::now());
    let wanted = channels.iter().filter(|channel| only.is_none_or(|name| name == channel.name));
    let tried = futures_util::future::join_all(wanted.map(|channel| try_out(channel, &alert)));
    let tried = tried.await;
    out.show(&tried, |tried, style| text(tried, style))?;
    let all = tried.iter().all(|tried| tried.arrived);
    Ok(if all { Exit::Done } else { Exit::Wrong })
}

async fn try_out(channel: &Channel, alert: &Alert) -> Tried {
    let why = channel.try_out(alert).await.err();
    Tried { channel: channel.name.clone(), arrived: why.is_none(), why }
}

fn text(tried: &[Tried], style: &Style) -> String {
    let rows: Vec<_> = tried
        .iter()
        .map(|tried| {
            let said = tried.why.as_ref().map_or("arrived".to_owned(), |why| format!("not: {why}"));
            vec![cell(&tried.channel), cell(&said)]
        })
        .collect();
    let mut text = table(style, &["CHANNEL", "THE TEST MESSAGE"], &rows);
    if tried.iter().all(|tried| tried.channel == "log") {
        text += "\nOnly Selfheal's own log is told: nobody is woken. Set [alerts.email], \
                 [alerts.slack], [alerts.ntfy] or another channel; config/selfheal.toml shows each.";
    }
    text
}
