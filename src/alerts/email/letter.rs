//! What a letter looks like: headers by which mail programs keep an incident's letters
//! together, the text, and the same as HTML. Pure.

use std::time::SystemTime;

use askama::Template;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use selfheal_agents::model::{Severity, clean};
use selfheal_agents::ports::Alert;

use super::Refusal;

/// Longer subjects are cut by mail programs.
const SUBJECT_CHARS: usize = 120;
const TITLE_CHARS: usize = 400;
const LINE_CHARS: usize = 600;
/// More than any alert of ours has.
const MOST_LINES: usize = 200;

/// The whole message as it goes over the wire.
pub(super) fn compose(
    alert: &Alert,
    from: &Mailbox,
    to: &[Mailbox],
    machine: &str,
) -> Result<Vec<u8>, Refusal> {
    let domain = from.email.domain();
    let mut builder = Message::builder()
        .from(from.clone())
        .date(SystemTime::from(alert.at))
        .message_id(Some(message_id(&alert.key, domain)))
        .subject(clean(&alert.title, SUBJECT_CHARS))
        .raw_header(ours("Auto-Submitted", "auto-generated"))
        // Exchange answers with an absence note all the same unless it reads this.
        .raw_header(ours("X-Auto-Response-Suppress", "All"));
    for recipient in to {
        builder = builder.to(recipient.clone());
    }
    if let Some(incident) = alert.incident {
        // A letter that was never sent: whichever is the first, the others hang on it, and
        // nothing has to be remembered.
        let thread = message_id(&incident.to_string(), domain);
        builder = builder.in_reply_to(thread.clone()).references(thread);
    }
    let page = Page::of(alert, machine);
    let html = page.render().map_err(|error| format!("the letter cannot be written: {error}"))?;
    let parts = MultiPart::alternative_plain_html(page.text(), html);
    let letter = builder.multipart(parts).map_err(|error| error.to_string())?;
    Ok(letter.formatted())
}

fn ours(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// An id made of what stays the same when a letter is sent again (RFC 5322, 3.6.4).
fn message_id(key: &str, domain: &str) -> String {
    let bare = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' };
    let left: String = key.chars().take(180).map(bare).collect();
    // `a..b` and an end in a dot are no dot-atom.
    let words: Vec<&str> = left.split('.').filter(|word| !word.is_empty()).collect();
    format!("<{}@{domain}>", words.join("."))
}

/// A letter's content; everything in it is clean.
#[derive(Template)]
#[template(path = "mail.html")]
struct Page {
    title: String,
    badge: &'static str,
    colour: &'static str,
    sections: Vec<Section>,
    footer: String,
}

/// A heading with lines below it, each without its indent; or a paragraph.
struct Section {
    heading: Option<String>,
    lines: Vec<String>,
}

impl Page {
    fn of(alert: &Alert, machine: &str) -> Self {
        let (badge, colour) = match (alert.event.as_str(), alert.severity) {
            ("resolved", _) => ("Healed", "#1a7f37"),
            (_, Severity::Info) => ("Over", "#1a7f37"),
            (_, Severity::Warning) => ("Warning", "#9a6700"),
            (_, Severity::Critical) => ("Critical", "#cf222e"),
        };
        let at = alert.at.format("%Y-%m-%d %H:%M:%S UTC");
        Self {
            title: clean(&alert.title, TITLE_CHARS),
            badge,
            colour,
            sections: sections(&alert.body),
            footer: clean(&format!("Selfheal on {machine}, {at}"), LINE_CHARS),
        }
    }

    fn text(&self) -> String {
        let mut text = self.title.clone();
        for section in &self.sections {
            text.push_str("\n\n");
            let indent = if section.heading.is_some() { "  " } else { "" };
            let heading = section.heading.iter().cloned();
            let lines = section.lines.iter().map(|line| format!("{indent}{line}"));
            text.push_str(&heading.chain(lines).collect::<Vec<_>>().join("\n"));
        }
        // The mark by which mail programs know a signature.
        format!("{text}\n\n-- \n{}\n", self.footer)
    }
}

/// Bodies are paragraphs; indented lines belong to the line above them.
fn sections(body: &str) -> Vec<Section> {
    let bounded: Vec<&str> = body.lines().take(MOST_LINES).collect();
    bounded
        .split(|line| line.trim().is_empty())
        .filter(|lines| !lines.is_empty())
        .map(|lines| {
            let lines: Vec<String> = lines.iter().map(|line| clean(line, LINE_CHARS)).collect();
            let has_heading = lines.len() > 1
                && !lines[0].starts_with(' ')
                && lines[1..].iter().all(|line| line.starts_with(' '));
            if has_heading {
                let outdented = |line: &String| {
                    line.strip_prefix("  ").unwrap_or_else(|| line.trim_start()).to_owned()
                };
                return Section {
                    heading: lines.first().cloned(),
                    lines: lines[1..].iter().map(outdented).collect(),
                };
            }
            Section { heading: None, lines }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};
    use selfheal_agents::model::IncidentId;

    fn alert(title: &str, body: &str) -> Alert {
        Alert {
            key: "0199fc00-0000-7000-0000-000000000001 held".to_owned(),
            event: "held".to_owned(),
            severity: Severity::Warning,
            title: title.to_owned(),
            body: body.to_owned(),
            incident: Some(IncidentId(uuid::Uuid::nil())),
            target: None,
            holds: vec![],
            at: Utc.timestamp_opt(1_760_893_200, 0).unwrap(),
        }
    }

    fn composed(alert: &Alert) -> String {
        let (from, to) =
            ("selfheal@example.org".parse().unwrap(), ["ops@example.org".parse().unwrap()]);
        String::from_utf8(compose(alert, &from, &to, "alpha").unwrap()).unwrap()
    }

    #[test]
    fn every_letter_of_an_incident_hangs_on_the_same_id_and_has_one_of_its_own() {
        let held = alert("web: it fails", "x");
        let resolved = Alert { key: held.key.replace("held", "resolved"), ..held.clone() };
        let header = |letter: &str, name: &str| {
            let found = letter.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.map(str::to_owned).unwrap_or_default()
        };
        let (one, two) = (composed(&held), composed(&resolved));
        for name in ["References", "In-Reply-To"] {
            assert!(header(&one, name).ends_with("@example.org>"), "{one}");
            assert_eq!(header(&one, name), header(&two, name));
        }
        assert_ne!(header(&one, "Message-ID"), header(&two, "Message-ID"));
        assert_eq!(header(&one, "Message-ID"), header(&composed(&held), "Message-ID"));
        assert!(one.contains("Auto-Submitted: auto-generated\r\n"), "{one}");
    }

    #[test]
    fn the_words_of_strangers_make_no_header_and_no_markup() {
        let hostile = "web\r\nBcc: all@example.org\r\n\r\n<script>x()</script> password=hunter2";
        let letter = alert(hostile, &format!("What happened\n  {hostile}"));
        let page = Page::of(&letter, "alpha");
        let html = page.render().unwrap();
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;"), "{html}");
        assert!(!format!("{html}{}", page.text()).contains("hunter2"), "{html}");
        let wire = composed(&letter);
        let (head, _) = wire.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }

    #[test]
    fn a_key_of_any_text_makes_a_message_id() {
        assert_eq!(message_id("blind 2025: it's. ", "a.org"), "<blind.2025.it.s@a.org>");
        assert_eq!(message_id("a\r\n<b>", "a.org"), "<a.b@a.org>");
    }

    #[test]
    fn no_line_on_the_wire_is_longer_than_smtp_allows() {
        let letter = alert(&"é".repeat(2000), &format!("Head\n  {}", "x".repeat(5000)));
        assert!(composed(&letter).split("\r\n").all(|line| line.len() <= 998));
    }

    #[test]
    fn paragraphs_and_sections_are_told_apart() {
        let found = sections("A sentence.\nAnd more.\n\nWhat to do\n  this\n    that");
        let seen: Vec<_> = found.iter().map(|s| (s.heading.as_deref(), s.lines.len())).collect();
        assert_eq!(seen, [(None, 2), (Some("What to do"), 2)]);
    }
}
