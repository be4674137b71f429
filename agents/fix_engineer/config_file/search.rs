//! What a walk over a file met under the wanted key.
//!
//! Invariant: a key that two places answer to is never resolved to one of them. Formats
//! report every name they pass; what is not on the way to the key costs nothing.

use std::ops::Range;

/// Where `part`, a slice of `whole`, begins in it.
pub(super) fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// Why a text cannot be read, and at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) why: &'static str,
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word that may be a number.
    Scalar,
    /// A table, map or list.
    Group,
    /// A text, or something else that is no number.
    Other,
}

/// One place that the key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// What of the key is still ahead; nothing when the way leads elsewhere. A name may hold
/// dots itself, so the way is matched by text and not by splitting the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trail<'k>(Option<&'k str>);

impl Trail<'_> {
    /// Whether the key ends here.
    pub(super) fn is_end(self) -> bool {
        self.0 == Some("")
    }

    /// Whether the key goes on below here.
    pub(super) fn is_on_the_way(self) -> bool {
        self.0.is_some_and(|rest| !rest.is_empty())
    }

    /// One level deeper, without telling the search (sections may stand twice).
    pub(super) fn below(self, name: &str) -> Self {
        let rest = self.0.filter(|rest| !rest.is_empty()).and_then(|rest| rest.strip_prefix(name));
        Self(rest.and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }))
    }
}

/// The search for one key in one text.
#[derive(Debug)]
pub(super) struct Search<'k> {
    key: &'k str,
    /// How much of the key was ahead, and where: the same twice is a doubled name.
    passed: Vec<(usize, usize)>,
    found: Option<Found>,
}

impl<'k> Search<'k> {
    pub(super) fn new(key: &'k str) -> Self {
        Self { key, passed: Vec::new(), found: None }
    }

    /// The key as asked.
    pub(super) fn key(&self) -> &'k str {
        self.key
    }

    /// The whole key, at the top of the document.
    pub(super) fn top(&self) -> Trail<'k> {
        Trail(Some(self.key))
    }

    /// Goes to the member `name`, which stands at byte `at`.
    pub(super) fn enter(&mut self, above: Trail<'k>, name: &str, at: usize) -> Trail<'k> {
        let trail = above.below(name);
        if let Some(rest) = trail.0.filter(|rest| !rest.is_empty()) {
            self.passed.push((rest.len(), at));
        }
        trail
    }

    /// Reports what stands where the trail has led.
    pub(super) fn see(&mut self, trail: Trail<'k>, span: Range<usize>, kind: Kind) {
        if trail.is_end() {
            self.passed.push((0, span.start));
            self.found = Some(Found { span, kind });
        }
    }

    /// Takes back that the value which began at `start` is one plain word.
    pub(super) fn spoil(&mut self, start: usize) {
        if let Some(found) = self.found.as_mut().filter(|found| found.span.start == start) {
            found.kind = Kind::Other;
        }
    }

    /// Two places with the same name on the way, as bytes.
    pub(super) fn doubled(&self) -> Option<(usize, usize)> {
        self.passed.iter().enumerate().find_map(|(index, (rest, at))| {
            let again = self.passed[index + 1..].iter().find(|(other, _)| other == rest)?;
            Some((*at, again.1))
        })
    }

    /// What the key names.
    pub(super) fn found(&self) -> Option<Found> {
        self.found.clone()
    }
}
