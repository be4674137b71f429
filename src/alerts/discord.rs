//! The channel `discord`: by a webhook. Mentions are switched off as a whole, and what a stranger
//! wrote has its marks escaped.
//!
//! Discord takes 2,000 characters of content and 4,096 of an embed's description
//! (<https://discord.com/developers/docs/resources/message#embed-object-embed-limits>).

use std::time::Duration;

use selfheal_agents::model::SecretText;
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{Standing, body, cut};
use super::{Refusal, Sending};

const TITLE: usize = 600;
const BODY: usize = 3_900;

/// A channel of a Discord server.
pub struct Discord {
    post: Post,
    url: SecretText,
}

impl Discord {
    /// By the address of a webhook.
    pub fn new(url: SecretText, limit: Duration) -> Result<Self, PostError> {
        Ok(Self { post: Post::new(&[], limit)?, url })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let request = self.post.to(self.url.expose()).json(&message(sending.alert));
        post::send(request).await?.accepted().map(drop)
    }
}

fn message(alert: &Alert) -> Value {
    // A fence of a stranger must not end ours.
    let text = body(&alert.body, BODY).replace('`', "'");
    json!({
        "content": format!("**{}**", escaped(&cut(&alert.title, TITLE))),
        "embeds": [{
            "description": format!("```\n{text}\n```"),
            "color": Standing::of(alert).color(),
            "timestamp": alert.at.to_rfc3339(),
        }],
        "allowed_mentions": { "parse": [] },
    })
}

/// With a backslash before each mark of Discord's Markdown.
fn escaped(text: &str) -> String {
    let mark =
        |c: char| matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '#');
    text.chars().flat_map(|c| mark(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn nobody_is_mentioned_no_mark_is_obeyed_and_nothing_is_too_long() {
        let message = message(&hostile());
        assert_eq!(message["allowed_mentions"]["parse"], json!([]));
        let content = message["content"].as_str().unwrap();
        assert!(content.chars().count() <= 2_000);
        assert!(content.contains(r"\<!channel\>"), "{content}");
        let text = message["embeds"][0]["description"].as_str().unwrap();
        assert!(text.chars().count() <= 4_096);
        assert_eq!(text.matches("```").count(), 2);
    }
}
