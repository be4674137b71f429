//! The channel `log`: one line of Selfheal's own log.

use selfheal_agents::model::Severity;

use super::{Refusal, Sending};

/// Writes alerts to the log: what a person must act on as an error, the rest as
/// information.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Log {
    /// The name of the channel.
    pub const NAME: &'static str = "log";

    #[expect(clippy::unused_async, reason = "channels are called alike")]
    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        let incident = alert.incident.map(|id| id.to_string());
        let target = alert.target.as_ref().map(ToString::to_string);
        let (event, title) = (alert.event.as_str(), alert.title.as_str());
        match alert.severity {
            Severity::Info => {
                tracing::info!(incident.id = incident, target.id = target, event, "{title}");
            }
            Severity::Warning => {
                tracing::warn!(incident.id = incident, target.id = target, event, "{title}");
            }
            Severity::Critical => {
                tracing::error!(incident.id = incident, target.id = target, event, "{title}");
            }
        }
        Ok(())
    }
}
