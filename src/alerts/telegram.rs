//! The channel `telegram`: as a bot; what comes later of an incident answers its first message.
//!
//! What is bold and what is code is told beside the text, so nothing in the text is a mark.
//! Telegram takes 4,096 UTF-16 units (<https://core.telegram.org/bots/api#sendmessage>).

use std::time::Duration;

use selfheal_agents::model::{SecretText, clean};
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{body, cut};
use super::{Refusal, Sending};

const TITLE: usize = 400;
/// Characters of a body, which may have two units each.
const BODY: usize = 1_500;

/// A chat and the bot that writes to it.
pub struct Telegram {
    post: Post,
    /// Before the name of a method; the token is part of it.
    base: SecretText,
    chat: String,
}

impl Telegram {
    /// As the bot with this token, to this chat (a number, or `@name` of a public channel).
    pub fn new(
        token: &SecretText,
        chat: &str,
        api: &str,
        limit: Duration,
    ) -> Result<Self, PostError> {
        let api = api.trim_end_matches('/');
        let base = SecretText::new(format!("{api}/bot{}", token.expose()));
        Ok(Self { post: Post::new(&[], limit)?, base, chat: chat.to_owned() })
    }

    /// Whether Telegram knows the bot.
    pub(super) async fn check(&self) -> Result<(), Refusal> {
        self.call("getMe", &json!({})).await.map(drop)
    }

    /// Calls a method of the Bot API; answers its result.
    async fn call(&self, method: &str, body: &Value) -> Result<Value, Refusal> {
        let request = self.post.to(&format!("{}/{method}", self.base.expose())).json(body);
        let mut answer = post::send(request).await?.accepted()?.json();
        if answer["ok"] != true {
            let why = answer["description"].as_str().unwrap_or("no word of why");
            return Err(format!("{method} was refused: {}", clean(why, 120)));
        }
        Ok(answer["result"].take())
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        let first = sending.threads.place(alert.incident).await;
        // In another chat the same number is another's message.
        let first = first.as_deref().and_then(|place| {
            let (chat, id) = place.rsplit_once(' ')?;
            (chat == self.chat).then(|| id.parse::<i64>().ok())?
        });
        let mut message = message(alert);
        message["chat_id"] = json!(self.chat);
        if let Some(first) = first {
            message["reply_parameters"] =
                json!({ "message_id": first, "allow_sending_without_reply": true });
        }
        let sent = self.call("sendMessage", &message).await?;
        if let (None, Some(id)) = (first, sent["message_id"].as_i64()) {
            sending.threads.remember(alert.incident, &format!("{} {id}", self.chat)).await;
        }
        Ok(())
    }
}

fn message(alert: &Alert) -> Value {
    let title = cut(&alert.title, TITLE);
    let body = body(&alert.body, BODY);
    let units = |text: &str| text.encode_utf16().count();
    let bold = json!({ "type": "bold", "offset": 0, "length": units(&title) });
    let code = json!({ "type": "pre", "offset": units(&title) + 2, "length": units(&body) });
    json!({
        "text": format!("{title}\n\n{body}"),
        "entities": [bold, code],
        "link_preview_options": { "is_disabled": true },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn marks_are_counted_in_utf_16_and_all_fits() {
        let mut alert = hostile();
        alert.body = "\u{1f4a5}\n".repeat(5_000);
        let message = message(&alert);
        let text: Vec<u16> = message["text"].as_str().unwrap().encode_utf16().collect();
        assert!(text.len() <= 4_096, "{}", text.len());
        let at = |mark: &Value| {
            let at = |name: &str| usize::try_from(mark[name].as_u64().unwrap()).unwrap();
            String::from_utf16(&text[at("offset")..at("offset") + at("length")]).unwrap()
        };
        assert_eq!(at(&message["entities"][0]), alert.title);
        assert!(at(&message["entities"][1]).starts_with("\u{1f4a5}\n"));
    }
}
