//! Runbooks by words, those that are about them first.

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::model::Runbook;

/// The runbooks that hold all `words`, whatever their case; the nearer to the title a word
/// stands, the further up.
pub(crate) fn search<'a>(catalogue: &'a Catalogue, words: &[String]) -> Vec<&'a Runbook> {
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut found: Vec<(u32, &Runbook)> = catalogue
        .iter()
        .filter_map(|runbook| {
            let fields = fields(runbook);
            let points: Option<Vec<u32>> = words.iter().map(|word| points(&fields, word)).collect();
            Some((points?.iter().sum(), runbook))
        })
        .collect();
    // Stable: among equals the order of ids stays.
    found.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
    found.into_iter().map(|(_, runbook)| runbook).collect()
}

/// The id most like `wanted`: the one that shares most of its words.
pub(crate) fn nearest<'a>(catalogue: &'a Catalogue, wanted: &str) -> Option<&'a str> {
    let wanted: Vec<&str> = wanted.split(['-', '_', ' ', '/']).collect();
    let shared = |id: &str| id.split('-').filter(|part| wanted.contains(part)).count();
    let extra = |id: &str| id.split('-').count();
    let best = catalogue
        .iter()
        .max_by_key(|runbook| (shared(&runbook.id), std::cmp::Reverse(extra(&runbook.id))))?;
    (shared(&best.id) > 0).then_some(best.id.as_str())
}

/// What is said where, with how much a word there counts.
fn fields(runbook: &Runbook) -> [(u32, String); 6] {
    let patterns =
        runbook.signatures.iter().filter_map(|s| s.log.as_deref().or(s.check.as_deref()));
    let signs: Vec<&str> =
        patterns.chain(runbook.examples.matching.iter().map(String::as_str)).collect();
    let remedies: Vec<&str> = runbook
        .fixes
        .iter()
        .flat_map(|fix| [fix.action.as_str(), fix.why.as_str()])
        .chain(runbook.avoid.iter().map(String::as_str))
        .collect();
    [
        (40, runbook.id.replace('-', " ")),
        (30, runbook.title.to_lowercase()),
        (20, format!("{} {}", runbook.technology, runbook.category.as_str())),
        (10, runbook.diagnosis.summary.to_lowercase()),
        (5, signs.join(" ").to_lowercase()),
        (2, remedies.join(" ").to_lowercase()),
    ]
}

/// What a word brings: most where it stands by itself, half as a part of another word.
fn points(fields: &[(u32, String)], word: &str) -> Option<u32> {
    let of_field = |(weight, text): &(u32, String)| {
        if !text.contains(word) {
            return None;
        }
        let whole = text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
        Some(if whole { *weight * 2 } else { *weight })
    };
    fields.iter().filter_map(of_field).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<'a>(catalogue: &'a Catalogue, words: &[&str]) -> Vec<&'a str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        search(catalogue, &words).into_iter().map(|runbook| runbook.id.as_str()).collect()
    }

    #[test]
    fn what_is_about_the_words_comes_before_what_only_mentions_them() {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        let found = ids(&catalogue, &["Disk", "FULL", "postgresql"]);
        assert_eq!(found[0], "postgresql-disk-full");
        assert!(ids(&catalogue, &["429"]).contains(&"rate-limited"), "as its lines say");
        assert_eq!(ids(&catalogue, &["disk", "no-such-word"]), Vec::<&str>::new());
    }

    #[test]
    fn all_words_have_to_be_there_and_more_words_find_fewer() {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        let one = ids(&catalogue, &["connections"]);
        let two = ids(&catalogue, &["connections", "postgresql"]);
        assert!(two.len() < one.len() && two.iter().all(|id| one.contains(id)));
    }

    #[test]
    fn an_id_that_is_not_there_is_answered_with_one_like_it() {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        assert_eq!(nearest(&catalogue, "postgresql-disk-ful"), Some("postgresql-disk-full"));
        assert_eq!(nearest(&catalogue, "zzz"), None);
    }
}
