//! What is around every page: the menu, with the place marked that is shown.

use crate::http::assets;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The menu, in its order: where an entry leads, and its name.
const MENU: [(&str, &str); 11] = [
    ("/", "Overview"),
    ("/incidents", "Incidents"),
    ("/approvals", "Approvals"),
    ("/targets", "Targets"),
    ("/fleet", "Fleet"),
    ("/backups", "Backups"),
    ("/knowledge", "Knowledge"),
    ("/learning", "Learning"),
    ("/pipeline", "Pipeline"),
    ("/settings", "Settings"),
    ("/docs/", "API"),
];

/// An entry of the menu.
pub(in crate::http) struct Entry {
    pub(in crate::http) href: &'static str,
    pub(in crate::http) name: &'static str,
    /// `page` where it is what is shown, `true` where that is a part of it, else empty.
    pub(in crate::http) current: &'static str,
}

/// Around every page.
pub(in crate::http) struct Frame {
    pub(in crate::http) version: &'static str,
    pub(in crate::http) menu: Vec<Entry>,
    /// Whether the page is asked for anew when something happens; what answers a form is not.
    pub(in crate::http) is_live: bool,
}

impl Frame {
    /// On the page of the menu at `href`.
    pub(super) fn on(href: &str) -> Self {
        Self::marked(href, "page")
    }

    /// On a page that is reached from the one at `href`.
    pub(super) fn within(href: &str) -> Self {
        Self::marked(href, "true")
    }

    /// On a page that has no place in the menu.
    pub(in crate::http) fn elsewhere() -> Self {
        Self::marked("", "").still()
    }

    /// What is shown stays as it is.
    pub(super) fn still(self) -> Self {
        Self { is_live: false, ..self }
    }

    /// Where one of the pages' own files is.
    #[expect(clippy::unused_self, reason = "the templates have it from here")]
    pub(in crate::http) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    fn marked(shown: &str, mark: &'static str) -> Self {
        let entry = |(href, name): (&'static str, &'static str)| Entry {
            href,
            name,
            current: if href == shown { mark } else { "" },
        };
        Self { version: VERSION, menu: MENU.map(entry).into(), is_live: true }
    }
}
