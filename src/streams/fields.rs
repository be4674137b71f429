//! A message's names and values in the making.

use selfheal_agents::model::{Message, Stream, Timestamp};

/// A message in the making.
pub(super) struct Fields(Vec<(String, String)>);

#[expect(clippy::needless_pass_by_value, reason = "callers hand over a text or what makes one")]
impl Fields {
    /// Begins with the id by which a reader knows what comes twice.
    pub(super) fn of(message_id: impl ToString) -> Self {
        Self(vec![]).with("message_id", message_id)
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Left out where there is none.
    pub(super) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Ends with the time.
    pub(super) fn at(self, at: Timestamp, stream: Stream) -> Message {
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        Message { stream, fields: self.with("timestamp", at).0 }
    }
}
