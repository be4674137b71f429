//! Reads a page as a browser would, as far as tests need it: its tags with their attributes.

use std::collections::BTreeSet;

/// What closes no tag.
const VOID: [&str; 8] = ["!doctype", "meta", "link", "img", "br", "hr", "input", "col"];

/// Texts that a page without escapes would run, or that would break it.
pub(super) const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    "</textarea></title></svg>{{ 7*7 }}",
];

/// A tag as it stands in the page.
struct Tag<'a> {
    name: String,
    closes: bool,
    is_empty: bool,
    /// Names and values.
    attributes: Vec<(String, &'a str)>,
}

/// Fails if a page is not one that a browser reads as it was meant, with one heading, a title, and
/// nothing that runs or is styled within it, nor asks for anything by htmx.
pub(super) fn assert_sound(html: &str) {
    let mut open: Vec<String> = vec![];
    let mut ids = BTreeSet::new();
    let (mut headings, mut scripts) = (0, 0);
    for tag in tags(html) {
        if tag.closes {
            assert_eq!(open.pop().as_deref(), Some(&*tag.name), "what is closed was open\n{html}");
            continue;
        }
        headings += usize::from(tag.name == "h1");
        scripts += usize::from(tag.name == "script");
        assert_ne!(tag.name, "style", "{html}");
        for (name, value) in &tag.attributes {
            let harmless = !name.starts_with("on") && name != "style" && name != "autofocus";
            assert!(harmless, "{name}={value}\n{html}");
            let asks = name.trim_start_matches("data-").starts_with("hx-");
            assert!(!asks || !open.iter().any(|outer| outer == "main"), "{name}={value}\n{html}");
            let led = !["href", "src", "action", "formaction"].contains(&name.as_str());
            let outside = name == "href" && value.starts_with("https://");
            assert!(led || outside || value.starts_with(['/', '#']), "{name}={value}");
            assert!(name != "id" || ids.insert(*value), "the id {value} is there twice\n{html}");
        }
        if !tag.is_empty && !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name);
        }
    }
    assert!(open.is_empty(), "{open:?} is never closed\n{html}");
    assert_eq!((headings, scripts), (1, 2), "one heading; our script and that of others\n{html}");
    let title = html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    assert!(title.is_some_and(|title| !title.trim().is_empty()), "{html}");
    for id in labelled(html) {
        assert!(ids.contains(id), "nothing has the id {id}\n{html}");
    }
}

fn labelled(html: &str) -> Vec<&str> {
    let named = tags(html).into_iter().flat_map(|tag| tag.attributes);
    named
        .filter(|(name, _)| matches!(name.as_str(), "aria-labelledby" | "for"))
        .map(|(_, value)| value)
        .collect()
}

/// Every tag: all that is escaped in a page holds no `<`.
fn tags(html: &str) -> Vec<Tag<'_>> {
    html.split('<').skip(1).map(|rest| tag(rest.split('>').next().unwrap_or(rest))).collect()
}

fn tag(text: &str) -> Tag<'_> {
    let closes = text.starts_with('/');
    let is_empty = text.ends_with('/');
    let inside = text.trim_matches('/');
    let (name, mut rest) = inside.split_once([' ', '\n']).unwrap_or((inside, ""));
    let mut attributes = vec![];
    while !rest.trim().is_empty() {
        let (bare, value, after) = match rest.split_once("=\"") {
            Some((bare, quoted)) => {
                let (value, after) = quoted.split_once('"').expect("every quote is closed");
                (bare, value, after)
            }
            None => (rest, "", ""),
        };
        let mut names: Vec<&str> = bare.split_whitespace().collect();
        let last = names.pop().unwrap_or_default();
        attributes.extend(names.into_iter().map(|name| (name.to_lowercase(), "")));
        attributes.push((last.to_lowercase(), value));
        rest = after;
    }
    Tag { name: name.to_lowercase(), closes, is_empty, attributes }
}

#[test]
fn what_would_run_is_found() {
    let scripts = "<script src=\"/a\"></script><script src=\"/b\"></script>";
    let page = |body: &str| format!("<title>x</title>{scripts}<h1>x</h1><main>{body}</main>");
    assert_sound(&page("<p id=\"a\">well</p>"));
    for bad in HOSTILE.iter().take(2).copied().chain([
        "<p style=\"x\">x</p>",
        "<a href=\"javascript:x\">x</a>",
        "<p><b>x</p></b>",
        "<h1>x</h1>",
        "<p id=\"a\"></p><p id=\"a\"></p>",
        "<p aria-labelledby=\"nobody\">x</p>",
        "<p hx-get=\"/\">x</p>",
        "<p data-hx-on:click=\"x\">x</p>",
    ]) {
        let page = page(bad);
        assert!(std::panic::catch_unwind(|| assert_sound(&page)).is_err(), "{bad}");
    }
}
