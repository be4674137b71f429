//! What a person decides on the pages: the way back, and what waits for them.

use std::time::Duration;

use axum::http::StatusCode;
use selfheal::coordinator::Rules;
use selfheal_agents::fakes::{MemoryStore, container, healthy};
use selfheal_agents::model::{ApplyMethod, Mode, TargetId, Tunable, TunableRole};
use selfheal_agents::ports::{Backups, Incidents};

use super::Served;
use super::markup::HOSTILE;

const FILE: &str = "/srv/worker/config.json";

/// The world's clock goes with the virtual one.
fn let_time_pass(served: &Served) {
    let (clock, stop) = (served.world.clock().clone(), served.cancel.clone());
    tokio::spawn(async move {
        let tick = Duration::from_millis(100);
        while stop.run_until_cancelled(tokio::time::sleep(tick)).await.is_some() {
            clock.advance(tick);
        }
    });
}

/// A worker whose declared delay was turned by a fix that helped.
pub(super) async fn after_a_fix() -> (Served, String) {
    let mut rules = Rules::default();
    rules.declared.tunables.push(Tunable {
        target: TargetId::container("worker"),
        file: FILE.to_owned(),
        key: "delay_s".to_owned(),
        role: TunableRole::Delay,
        min: 0.1,
        max: 10.0,
        apply: ApplyMethod::Restart,
        walk_back: false,
    });
    let served = Served::with(MemoryStore::default(), rules);
    served.world.add(container("worker")).file(FILE, "{\"delay_s\": 1.0}\n");
    served.world.clock().advance_secs(3600);
    let_time_pass(&served);
    served.post("/api/monitoring/trigger-check", "").await;
    for _ in 0..20 {
        served.world.log("worker", "ERROR provider answered HTTP 429 Too Many Requests");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    served.post("/api/monitoring/trigger-check", "").await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let backups = served.store.backups(9).await.expect("it is in memory");
    assert_eq!(backups.len(), 1, "{backups:?}");
    let path = format!("/backups/{}", backups[0].id);
    (served, path)
}

/// A container that is down and may only be started once a person agrees.
async fn held() -> (Served, String) {
    let served =
        Served::with(MemoryStore::default(), Rules { mode: Mode::Approve, ..Rules::default() });
    served.world.add(healthy("web"));
    served.world.clock().advance_secs(3600);
    let_time_pass(&served);
    served.post("/api/monitoring/trigger-check", "").await;
    served.world.crash("web", 1);
    served.post("/api/monitoring/trigger-check", "").await;
    let open = served.store.open_incidents().await.expect("it is in memory");
    assert_eq!(open.len(), 1, "{open:?}");
    (served, format!("/incidents/{}", open[0].id))
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_tried_before_it_is_done_and_its_button_does_it() {
    let (served, path) = after_a_fix().await;
    let (_, list) = served.page("/backups").await;
    assert!(list.contains(&format!("<a href=\"{path}\">")) && list.contains("stands"), "{list}");
    let (_, html) = served.page(&path).await;
    assert!(html.contains("undo: ") && html.contains("again: "), "{html}");
    assert!(html.contains("<span class=\"del\">-{&#34;delay_s&#34;: 1.5}</span>"), "{html}");
    assert!(html.contains("<span class=\"add\">+{&#34;delay_s&#34;: 1.0}</span>"), "{html}");
    assert_eq!(served.world.text(FILE), "{\"delay_s\": 1.5}\n", "to look at it changes nothing");

    let (status, to) = served.press(&format!("{path}/rollback"), &[]).await;
    assert_eq!((status, to.as_str()), (StatusCode::SEE_OTHER, path.as_str()));
    assert_eq!(served.world.text(FILE), "{\"delay_s\": 1.0}\n");
    let (_, html) = served.page(&path).await;
    assert!(html.contains("was rolled back already") && !html.contains("<button"), "{html}");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_later_change_is_shown_and_only_overwritten_by_who_insists() {
    let (served, path) = after_a_fix().await;
    let theirs = format!("{{\"delay_s\": 4}}\n{}\n", HOSTILE.concat());
    served.world.file(FILE, &theirs);
    let (_, html) = served.page(&path).await;
    assert!(html.contains("was changed since") && html.contains("all the same"), "{html}");
    let (status, _) = served.press(&format!("{path}/rollback"), &[]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(served.world.text(FILE), theirs);
    let (status, _) = served.press(&format!("{path}/rollback"), &[("force", "true")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(served.world.text(FILE), "{\"delay_s\": 1.0}\n");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_approved_by_its_button() {
    let (served, incident) = held().await;
    let (_, html) = served.page("/approvals").await;
    for said in
        ["container:web", "can be approved as it is until", "How sure", "cannot be taken back"]
    {
        assert!(html.contains(said), "{said}: {html}");
    }
    assert!(html.contains(&format!("action=\"{incident}/approve\"")), "{html}");
    let (status, to) = served.press(&format!("{incident}/approve"), &[]).await;
    assert_eq!((status, to), (StatusCode::SEE_OTHER, incident));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(served.world.facts("web").is_up());
    let (_, html) = served.page("/approvals").await;
    assert!(html.contains("Nothing waits for you"), "{html}");
}

#[tokio::test(start_paused = true)]
async fn the_api_takes_a_yes_for_good_as_the_page_does() {
    let (served, incident) = held().await;
    let path = format!("/api{incident}/approve");
    let (status, problem) = served.post(&path, r#"{"allways": true}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let (_, html) = served.page("/targets/container%3Aweb").await;
    assert!(!html.contains("is not asked for here"), "{html}");
    let (status, done) = served.post(&path, r#"{"always": true}"#).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(served.world.facts("web").is_up());
    let (_, html) = served.page("/targets/container%3Aweb").await;
    assert!(html.contains("is not asked for here"), "{html}");
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_is_too_old_says_so() {
    let (served, _) = held().await;
    served.world.clock().advance_secs(3600);
    let (_, html) = served.page("/approvals").await;
    assert!(html.contains("has it made anew first"), "{html}");
}

#[tokio::test(start_paused = true)]
async fn a_dismissal_tells_why() {
    let (served, incident) = held().await;
    let why = format!("it is meant to be off {}", HOSTILE[1]);
    let (status, _) = served.press(&format!("{incident}/dismiss"), &[("reason", &why)]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, html) = served.page(&incident).await;
    assert!(html.contains("dismissed: it is meant to be off"), "{html}");
    assert!(!served.world.facts("web").is_up());
}
