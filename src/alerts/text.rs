//! What channels have in common: how an alert looks, and texts cut to what a service takes.

use selfheal_agents::model::Severity;
use selfheal_agents::ports::Alert;

/// How things stand by an alert: what its colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All is well again, or nothing has to be done.
    Well,
    /// Somebody should look.
    Warning,
    /// Somebody must look now.
    Critical,
}

impl Standing {
    pub(super) fn of(alert: &Alert) -> Self {
        match alert.severity {
            _ if alert.is_over() => Self::Well,
            Severity::Info => Self::Well,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }

    /// The colour as red, green and blue.
    pub(super) const fn color(self) -> u32 {
        match self {
            Self::Well => 0x1a_7f37,
            Self::Warning => 0x9a_6700,
            Self::Critical => 0xcf_222e,
        }
    }
}

/// At most so many characters, with a mark where something is left out.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A body in parts of whole lines, each at most `part` characters, all at most `all`; the last
/// line says where the rest is, if there is more.
pub(super) fn paragraphs(body: &str, part: usize, all: usize) -> Vec<String> {
    const REST: &str = "(selfheal explain shows the rest)";
    let mut parts: Vec<String> = vec![];
    let mut room = all;
    for line in body.lines() {
        let line = cut(line, part);
        let long = line.chars().count() + 1;
        if long > room {
            parts.push(REST.to_owned());
            break;
        }
        room -= long;
        match parts.last_mut() {
            Some(last) if last.chars().count() + long <= part => {
                last.push('\n');
                last.push_str(&line);
            }
            _ => parts.push(line),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A body as one text of at most so many characters.
pub(super) fn body(text: &str, most: usize) -> String {
    paragraphs(text, most, most.saturating_sub(60)).join("\n")
}

#[cfg(test)]
pub(super) mod tests {
    use selfheal_agents::model::TargetId;

    use super::*;

    /// What strangers may have written, and much of it.
    pub(in crate::alerts) fn hostile() -> Alert {
        let line = "<!channel> <@U1> @everyone ```*_~|`[x](javascript:1) \u{1f4a5} & <b>";
        Alert {
            key: "k".to_owned(),
            event: "held".to_owned(),
            severity: Severity::Critical,
            title: format!("{line} {line}"),
            body: vec![line; 400].join("\n"),
            incident: None,
            target: Some(TargetId::container("web")),
            holds: vec![],
            at: selfheal_agents::fakes::start_time(),
        }
    }

    #[test]
    fn a_long_body_is_cut_at_a_line_and_says_so() {
        let text = vec!["a line of twenty c..."; 100].join("\n");
        let parts = paragraphs(&text, 100, 1_000);
        assert!(parts.iter().all(|part| part.chars().count() <= 100));
        let all: usize = parts.iter().map(|part| part.chars().count()).sum();
        assert!(all <= 1_000 + 60, "{all}");
        assert!(parts.last().unwrap().contains("selfheal explain"));
        assert_eq!(paragraphs("one\n\ntwo", 100, 1_000), ["one\n\ntwo"]);
        assert!(body(&text, 500).chars().count() <= 500);
    }

    #[test]
    fn a_cut_counts_characters_and_not_bytes() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
