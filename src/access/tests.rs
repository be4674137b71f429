use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

fn now() -> Timestamp {
    selfheal_agents::fakes::start_time()
}

fn shown(now: Timestamp) -> Shown {
    Shown { from: None, now, at: Instant::now() }
}

/// A data directory with one token, and that token.
fn with_token(expires: Option<Timestamp>) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let made = TokenBook::of(dir.path()).create("anna", Scope::Operator, expires, now());
    let (_, secret) = made.unwrap();
    (dir, secret.expose_secret().to_owned())
}

#[test]
fn a_token_opens_until_it_expires() {
    let expires = now() + TimeDelta::days(90);
    let (dir, secret) = with_token(Some(expires));
    let access = Access::new(dir.path(), true);
    let last = expires - TimeDelta::milliseconds(1);
    let anna = access.holder(&secret, shown(last)).unwrap();
    assert_eq!((anna.name.as_str(), anna.scope), ("anna", Scope::Operator));
    assert!(access.still_holds(&anna, last) && !access.still_holds(&anna, expires));
    assert!(matches!(access.holder(&secret, shown(expires)), Err(Refused::Unknown)));
}

#[test]
fn nothing_that_is_like_a_token_opens() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    assert!(access.holder(&secret, shown(now())).is_ok());
    let hex = secret.trim_start_matches("shl_");
    let shorter = &secret[..secret.len() - 1];
    for wrong in ["", "shl_", hex, shorter, &secret.to_uppercase(), &format!("{secret} ")] {
        assert!(matches!(access.holder(wrong, shown(now())), Err(Refused::Unknown)), "{wrong}");
    }
    // The file does not give the token away, not even to whoever shows what stands in it.
    let file = std::fs::read_to_string(dir.path().join("tokens.json")).unwrap();
    assert!(!file.contains(hex), "{file}");
    let digest = file.split('"').find(|part| part.len() == 64).unwrap();
    assert!(matches!(access.holder(digest, shown(now())), Err(Refused::Unknown)));
}

#[test]
fn a_right_token_is_let_in_however_many_wrong_ones_came_before() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    let (shown, mut slowed) = (shown(now()), false);
    for _ in 0..100 {
        slowed |= matches!(access.holder("shl_wrong", shown), Err(Refused::TooMany { .. }));
    }
    assert!(slowed);
    assert!(access.holder(&secret, shown).is_ok());
}

#[test]
fn what_another_process_wrote_counts_at_once() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    assert!(access.holder(&secret, shown(now())).is_ok());
    let (id, _) = access.log_in(&secret, shown(now())).unwrap();
    assert!(access.logged_in(&id, now()).unwrap().is_some());
    let another = TokenBook::of(dir.path());
    let (_, second) = another.create("bert", Scope::Viewer, None, now()).unwrap();
    assert_eq!(access.holder(second.expose_secret(), shown(now())).unwrap().name, "bert");
    another.revoke("anna").unwrap();
    assert!(matches!(access.holder(&secret, shown(now())), Err(Refused::Unknown)));
    assert_eq!(access.logged_in(&id, now()).unwrap(), None, "its sessions end with it");
}

#[test]
fn a_name_that_is_given_again_does_not_revive_the_old_token_and_its_sessions() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    let (id, _) = access.log_in(&secret, shown(now())).unwrap();
    let book = TokenBook::of(dir.path());
    book.revoke("anna").unwrap();
    book.create("anna", Scope::Admin, None, now()).unwrap();
    assert!(access.holder(&secret, shown(now())).is_err());
    assert_eq!(access.logged_in(&id, now()).unwrap(), None);
}

#[test]
fn a_session_ends_after_twelve_hours_by_logging_out_and_with_its_token() {
    let hours = TimeDelta::hours;
    let (dir, secret) = with_token(Some(now() + hours(20)));
    let access = Access::new(dir.path(), true);
    let (id, lasts) = access.log_in(&secret, shown(now())).unwrap();
    assert_eq!(lasts, Duration::from_hours(12));
    assert!(access.logged_in(&id, now() + hours(12) - TimeDelta::seconds(1)).unwrap().is_some());
    assert!(access.logged_in(&id, now() + hours(12)).unwrap().is_none());

    let (late, lasts) = access.log_in(&secret, shown(now() + hours(18))).unwrap();
    assert_eq!(lasts, Duration::from_hours(2));
    assert!(access.logged_in(&late, now() + hours(20)).unwrap().is_none());

    access.log_out(&id);
    assert!(access.logged_in(&id, now()).unwrap().is_none());
    assert!(access.logged_in("", now()).unwrap().is_none());
}

#[test]
fn a_file_that_cannot_be_read_lets_nobody_in() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    let (id, _) = access.log_in(&secret, shown(now())).unwrap();
    let file = dir.path().join("tokens.json");
    let whole = std::fs::read(&file).unwrap();
    for broken in [&b""[..], b"{}", b"[]", &whole[..whole.len() / 2]] {
        std::fs::write(&file, broken).unwrap();
        assert!(matches!(access.holder(&secret, shown(now())), Err(Refused::Failed(_))));
        assert!(access.logged_in(&id, now()).is_err());
    }
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(access.holder(&secret, shown(now())), Err(Refused::Unknown)));
    assert_eq!(access.logged_in(&id, now()).unwrap(), None);
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let book = TokenBook::of(&folder);
    let long = "x".repeat(65);
    for name in ["", "a b", "-x", "ä", "api", "Selfheal", "a\nb", "a/b", &long] {
        let made = book.create(name, Scope::Viewer, None, now());
        assert!(matches!(made, Err(TokenError::Name(_))), "{name}");
    }
    let past = book.create("anna", Scope::Viewer, Some(now()), now());
    assert!(matches!(past, Err(TokenError::Past(_))));
    assert!(matches!(book.revoke("anna"), Err(TokenError::Missing(_))));
    assert!(!folder.exists());
    book.create("anna", Scope::Viewer, None, now()).unwrap();
    let twice = book.create("anna", Scope::Admin, None, now());
    assert!(matches!(twice, Err(TokenError::Taken(_))));
    assert_eq!(book.tokens().unwrap()[0].scope, Scope::Viewer);
}

#[test]
fn nobody_but_the_owner_may_read_the_file() {
    let (dir, _) = with_token(None);
    let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode();
    assert_eq!(mode("tokens.json") & 0o777, 0o600);
}

#[test]
fn tokens_that_are_made_at_once_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        for number in 0..16 {
            let path = dir.path();
            threads.spawn(move || {
                let name = format!("t{number}");
                TokenBook::of(path).create(&name, Scope::Viewer, None, now()).unwrap();
            });
        }
    });
    assert_eq!(TokenBook::of(dir.path()).tokens().unwrap().len(), 16);
}

#[test]
fn whoever_logs_in_again_and_again_logs_nobody_else_out() {
    let (dir, secret) = with_token(None);
    let access = Access::new(dir.path(), true);
    let (_, other) = TokenBook::of(dir.path()).create("bert", Scope::Viewer, None, now()).unwrap();
    let (first, _) = access.log_in(other.expose_secret(), shown(now())).unwrap();
    let (hers, _) = access.log_in(&secret, shown(now())).unwrap();
    for second in 1..200 {
        let later = now() + TimeDelta::seconds(second);
        access.log_in(other.expose_secret(), shown(later)).unwrap();
    }
    assert!(access.logged_in(&hers, now()).unwrap().is_some());
    assert!(access.logged_in(&first, now()).unwrap().is_none(), "his own give way");
}
