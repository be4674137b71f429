//! What a person looks up on the pages: knowledge, learning, the agents at work, settings.

use axum::http::StatusCode;
use selfheal::config::Sources;
use selfheal::coordinator::Rules;
use selfheal_agents::fakes::{MemoryStore, healthy};
use serde_json::Value;

use super::Served;
use super::decisions::after_a_fix;
use super::markup::HOSTILE;

#[tokio::test]
async fn runbooks_are_found_read_and_asked_about_lines() {
    let served = Served::new();
    let (_, html) = served.page("/knowledge?q=postgresql%20disk%20full").await;
    assert!(html.contains("<a href=\"/knowledge/postgresql-disk-full\">"), "{html}");
    let (_, html) = served.page("/knowledge/postgresql-disk-full").await;
    assert!(html.contains("No fix of it was applied here yet"), "{html}");
    assert!(html.contains("The target cannot write") && !html.contains("{target}"), "{html}");
    let (status, html) = served.page("/knowledge/postgresql-disk-ful").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("did you mean `postgresql-disk-full`"), "{html}");

    let mut lines = HOSTILE.map(str::to_owned).to_vec();
    lines.push("node: FATAL: JavaScript heap out of memory".to_owned());
    lines.push(format!("\u{1b}[31m\u{202e}{}", "x".repeat(10_000)));
    let given = lines.join("\r\n");
    let (status, html) = served.press("/knowledge/explain", &[("lines", &given)]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("<a href=\"/knowledge/node-heap-full\">"), "{html}");
    assert!(html.contains("1 of 6 lines known") && !html.contains('\u{202e}'), "{html}");
    let many = "ready\n".repeat(500);
    let (_, html) = served.press("/knowledge/explain", &[("lines", &many)]).await;
    assert!(html.contains("300 more were left out"), "{html}");
    let huge = "x".repeat(1024 * 1024);
    let (status, _) = served.press("/knowledge/explain", &[("lines", &huge)]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn what_a_fix_taught_is_shown() {
    let (served, _) = after_a_fix().await;
    let (_, html) = served.page("/learning").await;
    for said in ["100 % of 1 fix helped", "<th scope=\"row\">config.set</th>", "21 % to 100 %"] {
        assert!(html.contains(said), "{said}: {html}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_worked_and_how_long_is_shown() {
    let (served, _) = after_a_fix().await;
    let (_, html) = served.page("/pipeline").await;
    for said in ["health-monitor", "Cycles since the start", "API or page", "Alerts on their way"] {
        assert!(html.contains(said), "{said}: {html}");
    }
}

#[tokio::test]
async fn pages_with_nothing_to_show_say_so_and_mark_their_place() {
    let served = Served::new();
    for path in ["/backups", "/approvals", "/knowledge", "/learning", "/pipeline", "/settings"] {
        let (status, html) = served.page(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains(&format!("<a href=\"{path}\" aria-current=\"page\">")), "{html}");
        assert_eq!(html.matches("aria-current").count(), 1, "{path}");
    }
    let none = "/backups/backup_20251019_170000";
    for (path, status) in [(none, 404), ("/backups/..%2Fetc", 400), ("/knowledge/%3Cb%3E", 404)] {
        assert_eq!(served.page(path).await.0, status, "{path}");
    }
    assert_eq!(served.press(&format!("{none}/rollback"), &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn settings_are_shown_with_their_origin_and_without_secrets_and_a_channel_is_tried() {
    let given = [
        ("SELFHEAL__ALERTS__WEBHOOK__URL", "http://127.0.0.1:9/hunter2"),
        ("SELFHEAL__DATA_DIR", "/tmp/<script>alert(1)</script>"),
    ];
    let environment = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let sources = Sources { environment, ..Sources::default() };
    let served = Served::set(MemoryStore::default(), Rules::default(), sources);
    let (status, html) = served.page("/settings").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("environment SELFHEAL__ALERTS__WEBHOOK__URL"), "{html}");
    assert!(!html.contains("hunter2"), "{html}");
    let (status, html) = served.press("/settings/alerts/log", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("arrived by <strong>log</strong>"), "{html}");
    let (_, html) = served.press("/settings/alerts/webhook", &[]).await;
    assert!(html.contains("did not arrive by <strong>webhook</strong>"), "{html}");
    assert!(!html.contains("hunter2"), "{html}");
    let (status, _) = served.press("/settings/alerts/nobody", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_follow_each_other_by_their_cursor_until_there_is_none() {
    let served = Served::new();
    served.post("/api/monitoring/trigger-check", "").await;
    for name in ["one", "two", "three"] {
        served.world.add(healthy(name));
        served.world.crash(name, 1);
    }
    served.post("/api/freeze", "").await;
    served.post("/api/monitoring/trigger-check", "").await;
    let (_, whole) = served.get("/api/incidents").await;
    let ids = |page: &Value| -> Vec<String> {
        let incidents = page["incidents"].as_array().expect("a list");
        incidents.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert!(ids(&whole).len() >= 3 && whole["next_cursor"].is_null(), "{whole}");
    let (mut read, mut path) = (vec![], "/api/incidents?limit=2".to_owned());
    loop {
        let (_, page) = served.get(&path).await;
        assert!((1..=2).contains(&ids(&page).len()), "{page}");
        read.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/incidents?limit=2&cursor={cursor}");
    }
    assert_eq!(read, ids(&whole), "nothing twice and nothing left out");
}
