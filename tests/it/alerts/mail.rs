//! E-mail against a real mail server that refuses, puts off, hangs and cuts connections.

use std::sync::Arc;
use std::time::Duration;

use selfheal::alerts::{AlertEvent, Channel, ChannelKind, Email, alert_for};
use selfheal::config::{Email as Settings, Secret, SmtpTls};
use selfheal_agents::fakes::MemoryStore;
use selfheal_agents::ports::Store;

use super::delivery::Worker;
use super::smtp::MailServer;
use super::texts::crashed;
use crate::store::samples::{alert, incident_id};

fn channel(settings: &Settings, limit: Duration) -> Channel {
    let email = Email::new(settings, limit).expect("good settings");
    Channel { name: "email".to_owned(), kind: ChannelKind::Email(email), quiet: Arc::default() }
}

async fn queued(events: &[&str]) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    for event in events {
        let alert = alert(Some(incident_id(1)), event, 0);
        store.enqueue(&alert, &["email".to_owned()]).await.unwrap();
    }
    store
}

async fn none_waits(store: &Arc<dyn Store>) -> bool {
    store.waiting().await.unwrap() == 0
}

#[tokio::test]
async fn a_letter_arrives_whole_in_every_way_of_protection() {
    for (tls, login) in [(SmtpTls::None, false), (SmtpTls::Starttls, true), (SmtpTls::Tls, true)] {
        let Some(server) = MailServer::start(tls, login) else { return };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let alert = alert_for(&crashed(), AlertEvent::Resolved);
        store.enqueue(&alert, &["email".to_owned()]).await.unwrap();
        let settings = server.settings(&["ops", "night"]);
        let worker = Worker::start(&store, vec![channel(&settings, Email::LIMIT)]);
        worker.minutes_until(async || none_waits(&store).await).await;
        worker.stop().await;
        let letters = server.letters();
        assert_eq!((letters.len(), server.has("ops"), server.has("night")), (2, 1, 1), "{tls:?}");
        let letter = &letters[0];
        assert_eq!(letter["defects"], serde_json::json!([]));
        assert_eq!(letter["user"].is_string(), login, "{tls:?}");
        assert_eq!(letter["encrypted"], tls != SmtpTls::None, "{tls:?}");
        assert_eq!(letter["from"], "selfheal@example.org");
        let headers = &letter["headers"];
        assert_eq!(headers["Auto-Submitted"], "auto-generated");
        assert_eq!(headers["To"], "ops@example.org, night@example.org");
        assert!(
            alert.title.starts_with(headers["Subject"].as_str().unwrap().trim_end_matches('…'))
        );
        assert_eq!(headers["References"], headers["In-Reply-To"]);
        let text = letter["text"].as_str().unwrap();
        let as_sent = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let whole = format!("{}\n\n{}\n\n-- \n", alert.title, alert.body);
        assert!(as_sent(text).starts_with(&as_sent(&whole)), "{text}");
        let html = letter["html"].as_str().unwrap();
        assert!(html.contains("Healed") && html.contains("What to do</h2>"), "{html}");
    }
}

#[tokio::test]
async fn the_letters_of_an_incident_hang_together() {
    let Some(server) = MailServer::start(SmtpTls::None, false) else { return };
    let store = queued(&["held", "resolved"]).await;
    let worker = Worker::start(&store, vec![channel(&server.settings(&["ops"]), Email::LIMIT)]);
    worker.minutes_until(async || none_waits(&store).await).await;
    worker.stop().await;
    let letters = server.letters();
    let [one, two] = [&letters[0]["headers"], &letters[1]["headers"]];
    assert_eq!(one["References"], two["References"]);
    assert_ne!(one["Message-ID"], two["Message-ID"]);
}

#[tokio::test]
async fn an_address_that_is_refused_keeps_the_letter_from_nobody_else() {
    let Some(server) = MailServer::start(SmtpTls::None, false) else { return };
    let store = queued(&["held", "resolved"]).await;
    let settings = server.settings(&["refused", "ops"]);
    let worker = Worker::start(&store, vec![channel(&settings, Email::LIMIT)]);
    worker.minutes_until(async || none_waits(&store).await).await;
    worker.stop().await;
    assert_eq!((server.has("ops"), server.has("refused")), (2, 0));
}

#[tokio::test]
async fn a_letter_that_everybody_refuses_waits() {
    let Some(server) = MailServer::start(SmtpTls::None, false) else { return };
    let store = queued(&["held"]).await;
    let settings = server.settings(&["refused"]);
    let worker = Worker::start(&store, vec![channel(&settings, Email::LIMIT)]);
    worker.minutes_until(async || server.tries("refused") >= 3).await;
    worker.stop().await;
    assert!(!none_waits(&store).await);
}

#[tokio::test]
async fn who_was_put_off_or_cut_off_gets_it_later_and_nobody_twice() {
    let Some(server) = MailServer::start(SmtpTls::None, false) else { return };
    let store = queued(&["held"]).await;
    let settings = server.settings(&["ops", "grey", "drop", "night"]);
    let worker = Worker::start(&store, vec![channel(&settings, Email::LIMIT)]);
    worker.minutes_until(async || none_waits(&store).await).await;
    worker.stop().await;
    let each = ["ops", "grey", "drop", "night"].map(|name| server.has(name));
    assert_eq!(each, [1, 1, 1, 1]);
    assert_eq!((server.tries("grey"), server.tries("ops")), (2, 1));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_tried_again() {
    let Some(server) = MailServer::start(SmtpTls::None, false) else { return };
    let store = queued(&["held"]).await;
    let settings = server.settings(&["hang", "ops"]);
    let worker = Worker::start(&store, vec![channel(&settings, Duration::from_secs(1))]);
    worker.minutes_until(async || server.tries("hang") >= 2 && server.has("ops") == 1).await;
    worker.stop().await;
    assert!(!none_waits(&store).await);
}

#[tokio::test]
async fn a_server_that_says_nothing_or_is_not_there_is_told_in_words() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = Settings {
        host: Some("127.0.0.1".to_owned()),
        port: Some(silent.local_addr().unwrap().port()),
        tls: SmtpTls::None,
        from: Some("selfheal@example.org".to_owned()),
        to: vec!["ops@example.org".to_owned()],
        ..Settings::default()
    };
    let test = async |settings: &Settings| {
        Email::new(settings, Duration::from_millis(300)).unwrap().test().await.unwrap_err()
    };
    assert!(test(&settings).await.contains("in time"));
    settings.port = Some(crate::support::free_port().unwrap());
    assert!(test(&settings).await.contains("refused"), "{}", test(&settings).await);
}

#[tokio::test]
async fn nothing_is_said_without_the_protection_that_was_asked_for() {
    let Some(open) = MailServer::start(SmtpTls::None, false) else { return };
    let test = async |settings: &Settings| Email::new(settings, Email::LIMIT).unwrap().test().await;
    let wanted = Settings { tls: SmtpTls::Starttls, ..open.settings(&["ops"]) };
    assert!(test(&wanted).await.unwrap_err().contains("STARTTLS"));

    let Some(protected) = MailServer::start(SmtpTls::Starttls, true) else { return };
    let settings = protected.settings(&["ops"]);
    assert_eq!(test(&settings).await, Ok(()));
    let stranger = Settings { ca_file: None, ..settings.clone() };
    assert!(test(&stranger).await.unwrap_err().contains("certificate"));
    let guessed = Settings { password: Some(Secret::new("gu3ss")), ..settings };
    let refused = test(&guessed).await.unwrap_err();
    assert!(refused.contains("535") && !refused.contains("gu3ss"), "{refused}");
}

#[test]
fn a_file_without_certificates_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = Settings {
        host: Some("localhost".to_owned()),
        from: Some("selfheal@example.org".to_owned()),
        ca_file: Some(file.path().to_owned()),
        ..Settings::default()
    };
    let Err(refused) = Email::new(&settings, Email::LIMIT) else { panic!("accepted") };
    assert!(refused.to_string().contains(&file.path().display().to_string()), "{refused}");
}
