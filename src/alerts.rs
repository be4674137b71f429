//! Tells people, through an outbox, so that nothing is lost while a channel is down.
//!
//! What is said is composed from an incident by [`alert_for`], pure; it is queued in the
//! store in the same breath as the decision it tells of; [`run`] carries it to every
//! channel, in order for each incident, until it arrived or a day has passed. Delivery is
//! at least once: after a crash between sending and writing that down an alert is sent
//! again, under the same key.
//!
//! A channel is one file below and one line in the list [`ChannelKind`].

pub mod alertmanager;
mod backoff;
mod compose;
mod digest;
mod discord;
mod email;
mod heartbeat;
mod log;
mod ntfy;
mod of_itself;
mod outbox;
mod pagerduty;
mod parcels;
pub(crate) mod post;
mod quiet;
mod reminder;
mod routes;
mod slack;
mod summary;
mod teams;
mod telegram;
mod text;
mod threads;
mod webhook;

pub use alertmanager::Alertmanager;
pub use compose::{AlertEvent, alert_for, approved_in_vain, flapping};
pub use digest::{Period, digest};
pub use discord::Discord;
pub use email::{Email, EmailError};
pub use heartbeat::{Fares, Heart, heartbeat};
pub use log::Log;
pub use ntfy::Ntfy;
pub(crate) use ntfy::server_and_topic;
pub use of_itself::{blind, damaged, of_test, part_fails, spoilt, stopped, unreadable};
pub use outbox::run;
pub use pagerduty::PagerDuty;
pub use post::{LIMIT, PostError};
pub use quiet::Quiet;
pub use reminder::{reminder, waits_since};
pub use routes::channels_for;
pub use slack::Slack;
pub use teams::Teams;
pub use telegram::Telegram;
pub use webhook::Webhook;

use std::sync::Arc;

use selfheal_agents::ports::Alert;

use self::parcels::Taste;
use self::threads::Threads;

/// Where alerts go.
pub struct Channel {
    /// Its name, as the outbox knows it; renaming one starts it anew.
    pub name: String,
    /// How it is reached.
    pub kind: ChannelKind,
    /// When it is told only what is urgent.
    pub quiet: Arc<Quiet>,
}

/// The channels in force.
pub type Channels = Vec<Arc<Channel>>;

impl Channel {
    /// Sends this once and at once, past the outbox; remembers nothing of it.
    ///
    /// # Errors
    ///
    /// Why it did not arrive, in words without secrets.
    pub async fn try_out(&self, alert: &Alert) -> Result<(), String> {
        self.kind.carry(&Sending { alert, threads: &Threads::none() }).await
    }

    /// What is said through it at once, and what together.
    const fn taste(&self) -> Taste {
        match &self.kind {
            ChannelKind::Log(_) => Taste::Everything,
            // They put together, and close what they were told is over.
            ChannelKind::Alertmanager(_) | ChannelKind::PagerDuty(_) => Taste::Grouping,
            _ => Taste::Person,
        }
    }

    /// Whether it can be reached and lets this one in, with nothing sent; `None` where only a
    /// message would tell.
    pub async fn check(&self) -> Option<Result<(), String>> {
        match &self.kind {
            ChannelKind::Email(email) => Some(email.test().await),
            ChannelKind::Slack(slack) => slack.check().await,
            ChannelKind::Telegram(telegram) => Some(telegram.check().await),
            _ => None,
        }
    }
}

/// Why an alert did not arrive, in words without secrets.
pub(crate) type Refusal = String;

/// An alert on its way, and the conversations of the channel that carries it.
struct Sending<'a> {
    alert: &'a Alert,
    threads: &'a Threads,
}

/// The machine's name, so that the reader of many knows which one writes.
fn machine() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "this machine".to_owned())
}

/// The one list: a channel is a line here and a file of its own with `carry`.
macro_rules! channel_kinds {
    ($($kind:ident),+ $(,)?) => {
        /// How a channel is reached.
        pub enum ChannelKind {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind),)+
        }

        impl ChannelKind {
            /// Sends once; bounded in time.
            async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
                match self { $(Self::$kind(kind) => kind.carry(sending).await,)+ }
            }
        }
    };
}

channel_kinds![Log, Email, Webhook, Slack, Discord, Teams, Ntfy, Telegram, PagerDuty, Alertmanager,];
