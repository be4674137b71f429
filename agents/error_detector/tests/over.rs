use super::*;

fn catalogue() -> Catalogue {
    let text = "id = \"begins\"\ntitle = \"It begins\"\ncategory = \"database\"\n\
         severity = \"critical\"\ntechnology = \"test\"\nstatus = \"reproduced\"\n\
         links = [\"https://example.org/page\"]\n\
         over_when = { check = \"postgres.reachable\", is = [\"ok\"] }\n\
         [applies]\nkinds = [\"postgres\", \"container\"]\n\
         [[signature]]\nlog = 'FATAL: it begins'\n\
         [[signature]]\nlog = 'driver: it begins'\nside = \"client\"\n\
         [diagnosis]\nsummary = \"it is\"\nbase = 50\n\
         [examples]\nmatch = [\"FATAL: it begins\", \"driver: it begins\"]\nnear_miss = [\"fine\"]";
    let (catalogue, broken) = Catalogue::load([("test/begins.toml".to_owned(), text.to_owned())]);
    assert_eq!(broken, []);
    catalogue
}

/// A database that answers with this word, and somebody who needs it.
fn answers(secs: i64, word: &str) -> Scene {
    let verdict = if word == "ok" { Verdict::Ok } else { Verdict::Critical };
    Scene::at(secs)
        .container(fakes::container("db"))
        .container(fakes::container("app"))
        .service("postgres:orders", "db")
        .sees(
            "postgres:orders",
            "postgres.reachable",
            ObservedValue::Text(word.to_owned()),
            verdict,
        )
}

const BEGINS: &str = "postgres:orders log begins";

#[test]
fn a_line_counts_no_more_once_its_server_has_answered_since() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let said = logs("db", &[(1, "FATAL: it begins")]);
    let begins = detector.detect(&answers(5, "starting").0, &said, &catalogue);
    assert!(keys(&begins).contains(&BEGINS), "{begins:?}");
    assert_eq!(detector.detect(&answers(10, "ok").0, &BTreeMap::new(), &catalogue), []);
    let freezes = detector.detect(&answers(15, "timeout").0, &BTreeMap::new(), &catalogue);
    assert!(
        !keys(&freezes).contains(&BEGINS),
        "what it said before it answered tells nothing of now"
    );
    let again = logs("db", &[(17, "FATAL: it begins")]);
    let begins = detector.detect(&answers(20, "timeout").0, &again, &catalogue);
    assert!(keys(&begins).contains(&BEGINS), "what it says afterwards counts");
}

#[test]
fn while_its_server_does_not_answer_a_line_counts() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let said = logs("db", &[(1, "FATAL: it begins")]);
    for (secs, word) in [(5, "starting"), (10, "timeout"), (15, "refused")] {
        let begins = detector.detect(&answers(secs, word).0, &said, &catalogue);
        assert!(keys(&begins).contains(&BEGINS), "it says {word}");
    }
}

#[test]
fn what_another_program_complains_of_is_not_over_with_the_servers_answer() {
    let (mut detector, catalogue) = (ErrorDetector::default(), catalogue());
    let said = logs("app", &[(1, "driver: it begins")]);
    let complains = detector.detect(&answers(5, "ok").0, &said, &catalogue);
    assert_eq!(complains.len(), 1, "{complains:?}");
    assert_eq!(complains[0].target, TargetId::container("app"));
}
