//! The channel `slack`: by an incoming webhook, message after message; or as a bot, one thread an
//! incident whose first message always shows how it stands.
//!
//! Everything is escaped as Slack asks (`&`, `<`, `>`), so that no name of a stranger calls
//! `@channel`. Slack takes 3,000 characters a section and 50 blocks
//! (<https://docs.slack.dev/reference/block-kit/blocks/section-block>); the whole stays well below.

use std::time::Duration;

use selfheal_agents::model::{SecretText, clean};
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{Standing, cut, paragraphs};
use super::{Refusal, Sending};

/// Characters of a title.
const TITLE: usize = 600;
/// Characters of a section, escaped, with room for its fence.
const SECTION: usize = 2_900;
/// Characters of all sections, escaped.
const ALL: usize = 8_000;

/// A workspace and how it is reached.
pub struct Slack {
    post: Post,
    way: Way,
}

enum Way {
    Webhook(SecretText),
    Bot { api: String, channel: String },
}

impl Slack {
    /// By the address of an incoming webhook.
    pub fn by_webhook(url: SecretText, limit: Duration) -> Result<Self, PostError> {
        Ok(Self { post: Post::new(&[], limit)?, way: Way::Webhook(url) })
    }

    /// As a bot with this token that writes to `channel` (a name or an id).
    pub fn by_bot(
        token: &SecretText,
        channel: &str,
        api: &str,
        limit: Duration,
    ) -> Result<Self, PostError> {
        let (api, channel) = (api.trim_end_matches('/').to_owned(), channel.to_owned());
        Ok(Self { post: Post::bearing(token, limit)?, way: Way::Bot { api, channel } })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        match &self.way {
            Way::Webhook(url) => {
                let request = self.post.to(url.expose()).json(&message(alert, true));
                post::send(request).await?.accepted().map(drop)
            }
            Way::Bot { api, channel } => {
                let known = sending.threads.place(alert.incident).await;
                // What was said in another channel is not gone on with in this one.
                let known = known.as_deref().and_then(|place| {
                    let (wanted, place) = place.split_once(' ')?;
                    (wanted == channel).then(|| place.split_once(' '))?
                });
                let said = match known {
                    Some((channel, ts)) => self.go_on(api, channel, ts, alert).await?,
                    None => false,
                };
                if !said {
                    let mut first = message(alert, true);
                    first["channel"] = json!(channel);
                    let (id, ts) = self.call(api, "chat.postMessage", &first).await??;
                    let place = format!("{channel} {id} {ts}");
                    sending.threads.remember(alert.incident, &place).await;
                }
                Ok(())
            }
        }
    }

    /// Whether Slack knows the bot; `None` for an incoming webhook.
    pub(super) async fn check(&self) -> Option<Result<(), Refusal>> {
        let Way::Bot { api, .. } = &self.way else { return None };
        let asked = async {
            let request = self.post.to(&format!("{api}/auth.test"));
            said(&post::send(request).await?.accepted()?.json(), "auth.test")
        };
        Some(asked.await)
    }

    /// Shows in the first message how it stands now, and says the rest below it; `false` where
    /// the conversation is not there any more.
    async fn go_on(
        &self,
        api: &str,
        channel: &str,
        ts: &str,
        alert: &Alert,
    ) -> Result<bool, Refusal> {
        let mut reply = message(alert, true);
        (reply["channel"], reply["thread_ts"]) = (json!(channel), json!(ts));
        let gone = [
            "channel_not_found",
            "thread_not_found",
            "message_not_found",
            "is_archived",
            "not_in_channel",
        ];
        match self.call(api, "chat.postMessage", &reply).await? {
            Err(why) if gone.iter().any(|word| why.contains(word)) => return Ok(false),
            said => drop(said?),
        }
        let mut first = message(alert, false);
        (first["channel"], first["ts"]) = (json!(channel), json!(ts));
        // It is said by now: trouble with this must not say it again. Some workspaces forbid it, and
        // the first message stays as it was.
        if let Err(why) = self.call(api, "chat.update", &first).await.and_then(|inner| inner) {
            tracing::debug!(why, "the first message of a thread was not changed");
        }
        Ok(true)
    }

    /// Calls a method of Slack's; the inner answer is channel and time of the message, or what
    /// Slack said against it.
    async fn call(
        &self,
        api: &str,
        method: &str,
        body: &Value,
    ) -> Result<Result<(String, String), Refusal>, Refusal> {
        let request = self.post.to(&format!("{api}/{method}")).json(body);
        let answer = post::send(request).await?.accepted()?.json();
        let word = |name: &str| answer[name].as_str().map(|word| clean(word, 80));
        Ok(said(&answer, method).and_then(|()| {
            word("channel").zip(word("ts")).ok_or_else(|| {
                format!("{method} answered without a message; is the api_url Slack's?")
            })
        }))
    }
}

/// Whether an answer of Slack's says that all is well; its status always does.
fn said(answer: &Value, method: &str) -> Result<(), Refusal> {
    if answer["ok"] == true {
        return Ok(());
    }
    let why = clean(answer["error"].as_str().unwrap_or("no word of why"), 80);
    Err(format!("{method} was refused: {why}{}", remedy(&why)))
}

fn remedy(why: &str) -> &'static str {
    match why {
        "not_in_channel" => "; invite the bot into the channel",
        "channel_not_found" => "; name a channel that the bot can see",
        "invalid_auth" | "not_authed" | "token_revoked" | "account_inactive" => {
            "; give a bot token that is valid (xoxb-...)"
        }
        "missing_scope" => "; give the bot the scope chat:write",
        _ => "",
    }
}

/// The message; `whole` has the body below the title.
fn message(alert: &Alert, whole: bool) -> Value {
    let sign = match Standing::of(alert) {
        Standing::Well => ":large_green_circle:",
        Standing::Warning => ":large_yellow_circle:",
        Standing::Critical => ":red_circle:",
    };
    let title = escaped(&cut(&alert.title, TITLE));
    // A star of a stranger would end the bold type.
    let mut blocks = vec![section(&format!("{sign} *{}*", title.replace('*', "∗")))];
    if whole {
        let body = escaped(&alert.body).replace('`', "'");
        let fenced = |text: String| section(&format!("```{text}```"));
        blocks.extend(paragraphs(&body, SECTION, ALL).into_iter().map(fenced));
    }
    json!({ "text": title, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// As <https://docs.slack.dev/messaging/formatting-message-text> asks.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn no_name_calls_the_channel_and_no_section_is_too_long() {
        let message = message(&hostile(), true);
        let blocks = message["blocks"].as_array().unwrap();
        assert!((2..=50).contains(&blocks.len()));
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap();
            assert!(text.chars().count() <= 3_000, "{}", text.chars().count());
            assert!(!text.contains(['<', '>']), "{text}");
        }
        assert!(message["text"].as_str().unwrap().contains("&lt;!channel&gt;"));
    }

    #[test]
    fn a_fence_of_a_stranger_does_not_end_ours() {
        let message = message(&hostile(), true);
        for block in &message["blocks"].as_array().unwrap()[1..] {
            let text = block["text"]["text"].as_str().unwrap();
            assert_eq!(text.matches("```").count(), 2, "{text}");
        }
    }
}
