//! The pages over a real coordinator in an invented world: what they show, and that nothing in
//! them is anybody else's to say.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use chrono::TimeDelta;
use selfheal_agents::fakes::{healthy, labels, start_time};
use selfheal_agents::model::{Change, ChangeKind, Observation, ObservedValue, TargetId, Verdict};
use selfheal_agents::ports::Memory;

use super::markup::{HOSTILE, assert_sound};
use super::{Served, asked, text};

impl Served {
    /// A page, which must be a sound one, whatever it says.
    pub(super) async fn page(&self, path: &str) -> (StatusCode, String) {
        let response = self
            .send(asked("GET", path).body(Body::empty()).expect("the test's own request is sound"))
            .await;
        let kind = response.headers()[header::CONTENT_TYPE]
            .to_str()
            .expect("the test's own request is sound")
            .to_owned();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        let status = response.status();
        let html = text(response).await;
        assert_sound(&html);
        (status, html)
    }

    /// Presses a button, as a browser without script does, and answers where it leads.
    pub(super) async fn press(&self, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(path)
            .header("host", "127.0.0.1:8003")
            .header("origin", "http://127.0.0.1:8003")
            .header("content-type", "application/x-www-form-urlencoded");
        let response = self
            .send(request.body(Body::from(body)).expect("the test's own request is sound"))
            .await;
        let status = response.status();
        let location = response
            .headers()
            .get(header::LOCATION)
            .map(|to| to.to_str().expect("the test's own request is sound").to_owned());
        let html = text(response).await;
        if !html.is_empty() {
            assert_sound(&html);
        }
        (status, location.unwrap_or(html))
    }

    pub(super) async fn look(&self) {
        let (status, _) = self.post("/api/monitoring/trigger-check", r#"{"dry_run": true}"#).await;
        assert_eq!(status, StatusCode::OK);
    }
}

/// `web` needs `db`, says its label.
fn shop() -> Served {
    let served = Served::new();
    let mut web = healthy("web");
    web.labels = labels(&[("selfheal.depends-on", "db"), ("selfheal.mode", "approve")]);
    served.world.add(web);
    served
}

#[tokio::test]
async fn targets_are_shown_worst_first_and_found_by_words() {
    let served = shop();
    let (_, html) = served.page("/targets").await;
    assert!(html.contains("Nothing was looked at yet"), "{html}");
    served.look().await;
    served.world.crash("web", 1);
    served.look().await;
    let (status, html) = served.page("/targets").await;
    assert_eq!(status, StatusCode::OK);
    let place = |id: &str| html.find(&format!("<strong>{id}</strong>")).expect(id);
    assert!(place("container:web") < place("container:db"), "{html}");
    assert!(html.contains(r#"<a href="/targets" aria-current="page">"#), "{html}");
    let (_, html) = served.page("/targets?q=CRITICAL%20web").await;
    assert!(html.contains("container:web") && !html.contains("container:db"), "{html}");
    let (_, html) = served.page("/targets?q=no-such-thing").await;
    assert!(html.contains("No target has all of these words"), "{html}");
}

#[tokio::test]
async fn the_page_of_a_target_shows_what_it_needs_and_who_needs_it_with_the_source() {
    let served = shop();
    served.look().await;
    let (_, web) = served.page("/targets/container:web").await;
    assert!(web.contains("is needed: label"), "{web}");
    assert!(web.contains("its label or its own entry"), "where its mode comes from: {web}");
    let (_, db) = served.page("/targets/container%3Adb").await;
    assert!(db.contains(r#"<a href="/targets/container%3Aweb""#), "{db}");
    assert!(db.contains("needs it: label"), "{db}");
}

#[tokio::test]
async fn a_target_is_frozen_and_let_go_by_its_own_buttons() {
    let served = shop();
    served.look().await;
    let path = "/targets/container%3Aweb";
    let (status, to) =
        served.press(&format!("{path}/freeze"), &[("for", "2h"), ("reason", HOSTILE[0])]).await;
    assert_eq!((status, to.as_str()), (StatusCode::SEE_OTHER, path));
    let (_, html) = served.page(path).await;
    assert!(html.contains("is frozen until") && html.contains("alert(1)"), "{html}");
    let (_, list) = served.page("/targets").await;
    assert!(list.contains("frozen"), "{list}");
    let (status, _) = served.press(&format!("{path}/unfreeze"), &[]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, html) = served.page(path).await;
    assert!(html.contains("Freeze for 2 hours"), "{html}");

    let (status, said) = served.press(&format!("{path}/freeze"), &[("for", "soon")]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    let (status, _) = served.press("/targets/container%3Anobody/freeze", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_is_answered_by_a_page() {
    let served = Served::new();
    for (path, status) in [
        ("/targets/container:nobody", StatusCode::NOT_FOUND),
        ("/targets/%3Cscript%3Ealert(1)%3C%2Fscript%3E", StatusCode::BAD_REQUEST),
        ("/incidents/01890a5d-ac96-774b-bcce-b302099a8057", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(served.page(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn nothing_that_strangers_wrote_runs_on_the_pages_of_targets() {
    let served = shop();
    let host = TargetId::host();
    for (minute, text) in HOSTILE.into_iter().enumerate() {
        served.world.log("web", &format!("ERROR {text} \u{1b}[31m {}", "x".repeat(10_000)));
        let at = start_time() + TimeDelta::minutes(i64::try_from(minute).unwrap());
        let target = TargetId::container("web");
        let what = format!("the image changed to {text}");
        let kind = ChangeKind::Image;
        let change = Change { at, target, kind, what, by_selfheal: false };
        served.store.record_changes(&[change]).await.unwrap();
        let seen = Observation {
            target: host.clone(),
            check: format!("host.disk:{text}"),
            value: ObservedValue::Number(7.0),
            unit: text.to_owned(),
            verdict: Verdict::Ok,
            detail: text.to_owned(),
            at,
            since: at,
        };
        served.store.record_observations(&[seen]).await.unwrap();
    }
    served.world.change("web", |web| web.start_error = HOSTILE.concat());
    served.world.crash("web", 1);
    served.look().await;
    for path in ["/", "/targets", "/targets/container:web", "/targets/host", "/incidents"] {
        let (status, html) = served.page(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!html.contains(steers), "{path}");
    }
    let (_, html) = served.page("/targets/container:web").await;
    assert!(html.contains("the image changed to"), "{html}");
    let (_, html) = served.page("/targets/host").await;
    assert_eq!(html.matches("<figure").count(), HOSTILE.len(), "a line for each level: {html}");
    for text in HOSTILE {
        let sought: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        served.page(&format!("/targets?q={sought}")).await;
    }
}
