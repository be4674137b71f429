//! The channel `teams`: an adaptive card to the address of a Microsoft Teams workflow ("Post to a
//! channel when a webhook request is received").
//!
//! Text stands in `TextRun`s, which know no Markdown, so nothing of a stranger's is a mark. A
//! message may have 28 KB
//! (<https://learn.microsoft.com/microsoftteams/limits-specifications-teams>).

use std::time::Duration;

use selfheal_agents::model::SecretText;
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{Standing, body, cut};
use super::{Refusal, Sending};

const TITLE: usize = 600;
const BODY: usize = 6_000;

/// A channel of Microsoft Teams.
pub struct Teams {
    post: Post,
    url: SecretText,
}

impl Teams {
    /// By the address of a workflow.
    pub fn new(url: SecretText, limit: Duration) -> Result<Self, PostError> {
        Ok(Self { post: Post::new(&[], limit)?, url })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let request = self.post.to(self.url.expose()).json(&message(sending.alert));
        post::send(request).await?.accepted().map(drop)
    }
}

fn message(alert: &Alert) -> Value {
    let color = match Standing::of(alert) {
        Standing::Well => "good",
        Standing::Warning => "warning",
        Standing::Critical => "attention",
    };
    let title = json!({
        "type": "TextRun", "text": cut(&alert.title, TITLE), "weight": "bolder", "color": color,
    });
    let line = |line: &str| {
        let run = json!({ "type": "TextRun", "text": line, "fontType": "monospace" });
        json!({ "type": "RichTextBlock", "inlines": [run], "spacing": "none" })
    };
    let text = body(&alert.body, BODY);
    let lines = text.lines().filter(|line| !line.trim().is_empty()).map(line);
    let first = json!({ "type": "RichTextBlock", "inlines": [title] });
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": std::iter::once(first).chain(lines).collect::<Vec<_>>(),
        "msteams": { "width": "Full" },
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": card,
    });
    json!({ "type": "message", "attachments": [attachment] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn a_card_stays_below_what_teams_takes_and_its_text_is_no_markdown() {
        let message = message(&hostile());
        assert!(message.to_string().len() < 28_000, "{}", message.to_string().len());
        let body = message["attachments"][0]["content"]["body"].as_array().unwrap();
        assert!(body.iter().all(|block| block["type"] == "RichTextBlock"));
    }
}
