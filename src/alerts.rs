//! Tells people, through an outbox, so that nothing is lost while a channel is down.
//!
//! What is said is composed from an incident by [`alert_for`], pure; it is queued in the
//! store in the same breath as the decision it tells of; [`run`] carries it to every
//! channel, in order for each incident, until it arrived or a day has passed. Delivery is
//! at least once: after a crash between sending and writing that down an alert is sent
//! again, under the same key.
//!
//! A channel is one file below and one line in the list [`ChannelKind`].

mod backoff;
mod compose;
mod email;
mod log;
mod outbox;
mod webhook;

pub use compose::{
    AlertEvent, alert_for, approved_in_vain, blind, damaged, flapping, stopped, unreadable,
};
pub use email::{Email, EmailError};
pub use log::Log;
pub use outbox::run;
pub use webhook::{Webhook, WebhookError};

use std::sync::Arc;

use selfheal_agents::ports::Alert;

/// Where alerts go.
pub struct Channel {
    /// Its name, as the outbox knows it; renaming one starts it anew.
    pub name: String,
    /// How it is reached.
    pub kind: ChannelKind,
}

/// The channels in force.
pub type Channels = Vec<Arc<Channel>>;

/// Why an alert did not arrive, in words without secrets.
pub(crate) type Refusal = String;

/// The one list: a channel is a line here and a file of its own with `carry`.
macro_rules! channel_kinds {
    ($($kind:ident),+ $(,)?) => {
        /// How a channel is reached.
        #[expect(clippy::large_enum_variant, reason = "there is a handful of them")]
        pub enum ChannelKind {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind),)+
        }

        impl ChannelKind {
            /// Sends once; bounded in time.
            async fn carry(&self, alert: &Alert) -> Result<(), Refusal> {
                match self { $(Self::$kind(kind) => kind.carry(alert).await,)+ }
            }
        }
    };
}

channel_kinds![Log, Email, Webhook];
