use super::*;

/// One runbook about these signatures.
fn about(signatures: &[(&str, u64)]) -> Catalogue {
    let parts = signatures
        .iter()
        .map(|(word, least)| format!("[[signature]]\nlog = '{word}'\nat_least = {least}\n"));
    let examples = signatures.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
    let text = format!(
        "id = \"own\"\ntitle = \"Own\"\ncategory = \"database\"\nseverity = \"warning\"\n\
         technology = \"test\"\nstatus = \"reproduced\"\nlinks = [\"https://example.org/page\"]\n\
         {}[diagnosis]\nsummary = \"it is\"\nbase = 50\n\
         [examples]\nmatch = [{}]\nnear_miss = [\"fine\"]",
        parts.collect::<String>(),
        examples.join(", ")
    );
    let (catalogue, broken) = Catalogue::load([("test/own.toml".to_owned(), text)]);
    assert_eq!(broken, []);
    catalogue
}

/// What is found with `after` in force, when these lines were read with `before` in force.
fn reloaded(before: &Catalogue, lines: &[(i64, &str)], after: &Catalogue) -> Vec<Finding> {
    let mut detector = ErrorDetector::default();
    detector.detect(&web_at(10).0, &logs("web", lines), before);
    detector.detect(&web_at(11).0, &logs("web", &[]), after)
}

#[test]
fn lines_of_a_signature_count_for_it_wherever_it_stands_in_a_changed_runbook() {
    let before = about(&[("boom", 3), ("crash", 1)]);
    let swapped = about(&[("crash", 1), ("boom", 3)]);
    let booms = [(1, "boom 1"), (2, "boom 2")];
    assert_eq!(keys(&reloaded(&before, &booms, &swapped)), Vec::<&str>::new());
    let once_more = [(1, "boom 1"), (2, "boom 2"), (3, "boom 3")];
    let found = reloaded(&before, &once_more, &swapped);
    assert_eq!((found.len(), found[0].count), (1, 3));
}

#[test]
fn lines_of_a_signature_that_is_no_more_count_for_no_other() {
    let lines = [(1, "boom 1"), (2, "boom 2"), (3, "crash 1")];
    let before = about(&[("boom", 2), ("crash", 2)]);
    assert_eq!(keys(&reloaded(&before, &lines, &about(&[("bang", 1)]))), Vec::<&str>::new());
    let found = reloaded(&before, &lines, &about(&[("crash", 1)]));
    assert_eq!((found[0].count, found[0].samples.as_slice()), (1, &["crash 1".to_owned()][..]));
}

#[test]
fn a_changed_number_of_lines_is_asked_of_what_was_counted() {
    let lines = [(1, "boom 1"), (2, "boom 2")];
    assert_eq!(reloaded(&about(&[("boom", 3)]), &lines, &about(&[("boom", 2)])).len(), 1);
    assert_eq!(reloaded(&about(&[("boom", 2)]), &lines, &about(&[("boom", 3)])).len(), 0);
}
