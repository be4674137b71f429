//! Whether two templates are the same pattern.
//!
//! A template may be written with more or fewer places left open, depending on how many lines
//! were seen. What only differs in names is one pattern; what differs in plain words, or in the
//! name of an error, is not.

/// What stands for something that varies.
const PLACE: &str = "<*>";
/// Templates with fewer words say too little to be compared loosely.
const FEWEST_WORDS: usize = 4;

/// Whether every line of `narrow` is one of `wide`, too.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split_whitespace(), narrow.split_whitespace());
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) => return true,
            (Some(wide), Some(narrow)) if fits(wide, narrow) => {}
            _ => return false,
        }
    }
}

/// Whether a word is one of those that a word with open places stands for.
fn fits(wide: &str, word: &str) -> bool {
    if wide == word {
        return true;
    }
    let mut parts = wide.split(PLACE);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = word.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let mut characters = rest.chars();
        if characters.next().is_none() {
            return false;
        }
        rest = characters.as_str();
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The one template of two that differ in names alone, if they do.
pub(super) fn joined(one: &str, other: &str) -> Option<String> {
    let ones: Vec<&str> = one.split_whitespace().collect();
    let others: Vec<&str> = other.split_whitespace().collect();
    if ones.len() != others.len() || ones.len() < FEWEST_WORDS {
        return None;
    }
    let mut left = (ones.len() / 4).max(1);
    let mut joined = Vec::with_capacity(ones.len());
    for (one, other) in ones.into_iter().zip(others) {
        if one == other {
            joined.push(one);
        } else if left > 0 && is_name(one) && is_name(other) {
            left -= 1;
            joined.push(PLACE);
        } else {
            return None;
        }
    }
    Some(joined.join(" "))
}

/// Whether a word names a thing, rather than saying something about it.
fn is_name(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '<' && c != '>');
    if ["Error", "Exception", "Failure", "error"].iter().any(|end| inner.ends_with(end)) {
        return false;
    }
    let quoted = word.starts_with(['"', '\'', '`', '«']);
    let joint = inner.contains(|c: char| c.is_ascii_digit() || "_./@:=<".contains(c));
    let camel =
        inner.chars().zip(inner.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    quoted || joint || camel
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_place_takes_any_one_word() {
        for (wide, narrow) in [
            ("user <*> failed", "user ann failed"),
            ("user <*> failed", "user <*> failed"),
            ("job_<*> failed", "job_17 failed"),
            ("a <*>: denied", "a /x/y: denied"),
        ] {
            assert!(covers(wide, narrow), "{wide} / {narrow}");
        }
        for (wide, narrow) in [
            ("user <*> failed", "user failed"),
            ("user <*> failed", "user ann has failed"),
            ("user <*> failed", "user ann won"),
            ("user ann failed", "user <*> failed"),
            ("job_<*> failed", "job_ failed"),
        ] {
            assert!(!covers(wide, narrow), "{wide} / {narrow}");
        }
    }

    #[test]
    fn names_may_differ_and_what_is_said_may_not() {
        let joined_is = |one, other, wanted: Option<&str>| {
            assert_eq!(joined(one, other).as_deref(), wanted, "{one} / {other}");
        };
        joined_is(
            "cannot load shop.cart for now",
            "cannot load shop.till for now",
            Some("cannot load <*> for now"),
        );
        joined_is("cannot load the config now", "cannot load the orders now", None);
        joined_is("org.shop.ReadError: no such till", "org.shop.WriteError: no such till", None);
        joined_is("no a.b", "no a.c", None);
        joined_is("cannot load shop.cart now", "cannot load shop.cart", None);
    }

    proptest! {
        #[test]
        fn every_template_covers_itself_and_what_fills_its_places(
            words in proptest::collection::vec("[a-z<*>_.]{1,6}", 1..8),
            open in proptest::collection::vec(any::<bool>(), 8),
        ) {
            let narrow = words.join(" ");
            let wide: Vec<&str> = words
                .iter()
                .zip(open)
                .map(|(word, open)| if open { PLACE } else { word.as_str() })
                .collect();
            prop_assert!(covers(&narrow, &narrow));
            prop_assert!(covers(&wide.join(" "), &narrow));
        }

        #[test]
        fn what_was_joined_covers_both(
            one in "[a-z]{2,5} [a-z]{2,5} [a-z]{2,4}\\.[a-z]{2,4} [a-z]{2,5}",
            name in "[a-z]{2,4}\\.[a-z]{2,4}",
        ) {
            let mut words: Vec<&str> = one.split(' ').collect();
            words[2] = &name;
            let other = words.join(" ");
            if let Some(joined) = joined(&one, &other) {
                prop_assert!(covers(&joined, &one) && covers(&joined, &other));
            }
        }
    }
}
