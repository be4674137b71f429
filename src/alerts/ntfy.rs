//! The channel `ntfy`: a push message to everybody who follows a topic.
//!
//! ntfy takes 4,096 bytes of message and five priorities
//! (<https://docs.ntfy.sh/publish/>, "Publish as JSON").

use std::time::Duration;

use selfheal_agents::model::SecretText;
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};
use url::Url;

use super::post::{self, Post, PostError};
use super::text::{Standing, body, cut};
use super::{Refusal, Sending};

const TITLE: usize = 400;
/// Characters of a body, which may have four bytes each.
const BODY: usize = 900;

/// A topic on an ntfy server.
pub struct Ntfy {
    post: Post,
    server: SecretText,
    topic: SecretText,
}

impl Ntfy {
    /// By the topic's address, such as `https://ntfy.sh/my-topic`, and the token of who may write.
    pub fn new(
        url: &SecretText,
        token: Option<&SecretText>,
        limit: Duration,
    ) -> Result<Self, PostError> {
        let post = match token {
            Some(token) => Post::bearing(token, limit)?,
            None => Post::new(&[], limit)?,
        };
        let (server, topic) = server_and_topic(url.expose()).ok_or(PostError::Topic)?;
        Ok(Self { post, server: SecretText::new(server), topic: SecretText::new(topic) })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let message = message(sending.alert, self.topic.expose());
        let request = self.post.to(self.server.expose()).json(&message);
        post::send(request).await?.accepted().map(drop)
    }
}

/// The server's address and the topic of a topic's address; `None` if it names none.
pub(crate) fn server_and_topic(url: &str) -> Option<(String, String)> {
    let mut url = Url::parse(url).ok()?;
    let topic = url.path_segments()?.rfind(|part| !part.is_empty())?.to_owned();
    let base = url.path().trim_end_matches('/').strip_suffix(&topic)?.to_owned();
    url.set_path(&base);
    Some((url.into(), topic))
}

fn message(alert: &Alert, topic: &str) -> Value {
    let (priority, tag) = match Standing::of(alert) {
        Standing::Well => (2, "white_check_mark"),
        Standing::Warning => (4, "warning"),
        Standing::Critical => (5, "rotating_light"),
    };
    let about = alert.target.as_ref().map_or_else(|| "Selfheal".to_owned(), ToString::to_string);
    let text = format!("{}\n\n{}", cut(&alert.title, TITLE), body(&alert.body, BODY));
    json!({
        "topic": topic,
        "title": format!("{} {about}", cut(&alert.event, 40).replace('_', " ")),
        "message": cut(&text, 1_000),
        "priority": priority,
        "tags": [tag],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn a_message_fits_whatever_its_letters_and_loud_is_what_is_critical() {
        let mut alert = hostile();
        alert.body = "\u{1f4a5}".repeat(5_000);
        let message = message(&alert, "t");
        assert!(message["message"].as_str().unwrap().len() <= 4_096);
        assert_eq!(message["priority"], 5);
        assert_eq!(message["title"], "held container:web");
    }

    #[test]
    fn the_topic_is_the_last_part_of_its_address() {
        for (url, server, topic) in [
            ("https://ntfy.sh/alerts", "https://ntfy.sh/", "alerts"),
            ("http://10.0.0.1:8080/push/alerts/", "http://10.0.0.1:8080/push/", "alerts"),
        ] {
            assert_eq!(server_and_topic(url), Some((server.to_owned(), topic.to_owned())));
        }
        assert_eq!(server_and_topic("https://ntfy.sh/"), None);
        assert_eq!(server_and_topic("alerts"), None);
    }
}
