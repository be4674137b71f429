//! The API over a real coordinator in an invented world: shapes, errors, guards.

mod alerts;
mod decisions;
mod load;
mod lookups;
mod markup;
mod metrics;
mod pages;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use futures_util::StreamExt;
use selfheal::access::Access;
use selfheal::audit::Audit;
use selfheal::config::{Sources, load_from};
use selfheal::coordinator::{Coordinator, Parts, Rules};
use selfheal::http::{AllowedHosts, Configured, router};
use selfheal::knowledge;
use selfheal_agents::fakes::{FakeClock, FakeWorld, MemoryStore, healthy, start_time};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{
    DatabaseEndpoint, Endpoint, HttpEndpoint, Target, TargetId, TargetKind,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

struct Served {
    router: Router,
    world: FakeWorld,
    store: Arc<MemoryStore>,
    cancel: CancellationToken,
}

impl Served {
    fn new() -> Self {
        Self::on(MemoryStore::default())
    }

    fn on(store: MemoryStore) -> Self {
        Self::with(store, Rules::default())
    }

    fn with(store: MemoryStore, rules: Rules) -> Self {
        Self::set(store, rules, Sources::default())
    }

    /// With settings that come from there; what they say does not rule the coordinator.
    fn set(store: MemoryStore, rules: Rules, sources: Sources) -> Self {
        let world = FakeWorld::new(FakeClock::at(start_time()));
        world.add(healthy("db"));
        let store = Arc::new(store);
        let cancel = CancellationToken::new();
        let (catalogue, broken) = knowledge::load(None, knowledge::Keep::InForce);
        assert!(broken.is_empty(), "{broken:?}");
        let coordinator = Coordinator::start(Parts {
            world: world.world(),
            store: store.clone(),
            fleet: Arc::new(selfheal_agents::ports::Alone),
            rules: watch::Sender::new(Arc::new(rules)).subscribe(),
            catalogue: watch::Sender::new(Arc::new(catalogue)).subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit: Arc::new(Audit::in_memory(store.clone())),
            wake: Arc::default(),
            cancel: cancel.clone(),
        });
        let hosts = AllowedHosts::new([127, 0, 0, 1].into(), &[]);
        let settings = load_from(&sources).expect("the test's own settings are sound").settings;
        let settings = watch::Sender::new(Arc::new(settings)).subscribe();
        let configured = Configured {
            sources,
            settings,
            channels: selfheal::app::channels,
            doctor: selfheal::cli::examine,
            fleet: None,
            history: None,
            tie: Some(Arc::default()),
            heart: Arc::default(),
            collector: None,
        };
        let access = Arc::new(Access::new(Path::new("/nonexistent"), false));
        let router = router(coordinator, configured, access, hosts, cancel.clone());
        Self { router, world, store, cancel }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.expect("the test's own request is sound")
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(
            self.send(
                asked("GET", path).body(Body::empty()).expect("the test's own request is sound"),
            )
            .await,
        )
        .await
    }

    async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        read(
            self.send(
                asked("POST", path)
                    .body(Body::from(body.to_owned()))
                    .expect("the test's own request is sound"),
            )
            .await,
        )
        .await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn asked(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8003")
        .header("content-type", "application/json")
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 4 * 1024 * 1024)
        .await
        .expect("the test's own request is sound");
    String::from_utf8(bytes.to_vec()).expect("the test's own request is sound")
}

/// The text of an answer that comes compressed.
async fn unpacked(response: Response<Body>) -> String {
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let bytes = to_bytes(response.into_body(), 4 * 1024 * 1024)
        .await
        .expect("the test's own request is sound");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut plain)
        .expect("it is packed by gzip");
    plain
}

/// The answer as JSON; an error must be a whole problem document.
async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let kind = response.headers()[header::CONTENT_TYPE]
        .to_str()
        .expect("the test's own request is sound")
        .to_owned();
    assert!(response.headers().contains_key("x-request-id"));
    let value: Value =
        serde_json::from_str(&text(response).await).expect("the test's own request is sound");
    if status.as_u16() >= 400 && value.get("service").is_none() {
        assert_eq!(kind, "application/problem+json", "{value}");
        assert_eq!(value["status"], status.as_u16(), "{value}");
        for member in ["type", "title", "detail"] {
            assert!(value[member].as_str().is_some_and(|text| !text.is_empty()), "{value}");
        }
    }
    (status, value)
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let served = Served::new();
    for (path, status) in [
        ("/nothing/here", 404),
        ("/api/monitoring/trigger-check", 405),
        ("/api/incidents?state=opne", 400),
        ("/api/incidents?limti=3", 400),
        ("/api/incidents/7", 400),
        ("/api/incidents/01890a5d-ac96-774b-bcce-b302099a8057", 404),
        ("/api/targets/web", 400),
        ("/api/targets/container:nobody", 404),
        ("/api/automation/statistics", 501),
    ] {
        assert_eq!(served.get(path).await.0, status, "{path}");
    }
    for (path, body, status) in [
        ("/api/monitoring/trigger-check", "{", 400),
        ("/api/monitoring/trigger-check", r#"{"dryrun": true}"#, 400),
        ("/api/monitoring/trigger-check", r#"{"target": "container:nobody"}"#, 404),
        ("/api/monitoring/rollback/..%2F..%2Fetc", "", 400),
        ("/api/monitoring/rollback/backup_20251019_170000", "", 404),
        ("/api/monitoring/rollback/backup_20251019_170000?forse=true", "", 400),
        ("/api/freeze", r#"{"for": "soon"}"#, 400),
        ("/api/freeze", r#"{"target": "container:nobody"}"#, 404),
        ("/api/automation/start", "{}", 501),
    ] {
        assert_eq!(served.post(path, body).await.0, status, "{path} {body}");
    }
    let huge = "x".repeat(1024 * 1024 + 1);
    assert_eq!(served.post("/api/freeze", &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_check_without_a_body_sees_what_is_wrong_and_the_contract_holds() {
    let served = Served::new();
    served.world.add(healthy("web"));
    let (code, well) = served.post("/api/monitoring/trigger-check", "").await;
    assert_eq!((code, &well["status"]), (StatusCode::OK, &json!("success")), "{well}");
    assert_eq!((&well["data"]["status"], &well["data"]["issues"]), (&json!("healthy"), &json!(0)));

    served.world.crash("web", 1);
    let (_, dry) = served.post("/api/monitoring/trigger-check", r#"{"dry_run": true}"#).await;
    let data = &dry["data"];
    assert_eq!(data["status"], "issues_found", "{dry}");
    assert!(data["issues"].as_u64() >= Some(1) && data["cycle_id"].is_string(), "{dry}");
    assert_eq!(data["incidents"][0]["target"], "container:web", "{dry}");

    let (_, health) = served.get("/api/monitoring/health").await;
    let checks = &health["data"]["checks"];
    assert_eq!(health["data"]["overall_status"], "critical", "{health}");
    assert_eq!(checks["docker"]["containers_running"], 1, "{health}");
    assert_eq!(checks["redis"]["status"], "not_configured", "{health}");

    let (_, status) = served.get("/api/monitoring/status").await;
    for member in ["last_check", "next_check", "fix_statistics", "recent_backups"] {
        assert!(status["data"].get(member).is_some(), "{member} is missing: {status}");
    }
    assert_eq!(status["data"]["autonomous_mode"], "enabled");
    let (_, history) = served.get("/api/monitoring/stats").await;
    assert_eq!(history["data"]["total_fixes"], 0, "{history}");
    let (_, backups) = served.get("/api/monitoring/backups").await;
    assert_eq!(backups["data"], json!({ "backups": [], "total": 0 }));
    let (_, target) = served.get("/api/targets/container:web").await;
    assert_eq!(target["verdict"], "critical", "{target}");
}

#[tokio::test]
async fn a_freeze_is_seen_and_ends() {
    let served = Served::new();
    let (status, frozen) = served.post("/api/freeze", r#"{"for": "30m", "reason": "x"}"#).await;
    assert_eq!(status, StatusCode::OK, "{frozen}");
    let (_, now) = served.get("/api/monitoring/status").await;
    assert_eq!(now["data"]["autonomous_mode"], "frozen", "{now}");
    let ended = served.send(asked("DELETE", "/api/freeze").body(Body::empty()).unwrap()).await;
    assert_eq!(ended.status(), StatusCode::OK);
    let (_, now) = served.get("/api/monitoring/status").await;
    assert_eq!(now["data"]["autonomous_mode"], "enabled", "{now}");
}

#[tokio::test]
async fn health_is_unhealthy_where_triggers_are_not_handled() {
    let store = MemoryStore::default();
    store.damage(Some("a record at /secret/place"));
    let served = Served::on(store);
    let (status, _) = served.post("/api/monitoring/trigger-check", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, health) = served.get("/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{health}");
    let handled = &health["message_handler_running"];
    assert_eq!((&health["status"], handled), (&json!("unhealthy"), &json!(false)), "{health}");
    let detail = health["detail"].as_str().unwrap();
    assert!(detail.contains("journal") && !detail.contains("secret"), "{health}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_null_and_not_left_out() {
    let database = DatabaseEndpoint {
        host: "db".to_owned(),
        port: 5432,
        user: None,
        password: None,
        database: None,
        tls: false,
    };
    let page = HttpEndpoint {
        url: "http://shop/".to_owned(),
        expected_status: vec![],
        body_contains: None,
        headers: [].into(),
    };
    let mut rules = Rules::default();
    for (kind, endpoint) in [
        (TargetKind::Postgres, Endpoint::Postgres(database)),
        (TargetKind::Http, Endpoint::Http(page)),
    ] {
        let id = TargetId::lossy(kind, "shop");
        rules.declared.targets.push(Target { endpoint: Some(endpoint), ..Target::bare(id) });
    }
    let served = Served::with(MemoryStore::default(), rules);
    served.post("/api/monitoring/trigger-check", "").await;
    let (_, health) = served.get("/api/monitoring/health").await;
    let checks = &health["data"]["checks"];
    for (kind, figure) in [("database", "latency_ms"), ("api", "response_time_ms")] {
        assert_eq!(checks[kind]["status"], "critical", "nobody answers there: {health}");
        assert_eq!(checks[kind].get(figure), Some(&Value::Null), "{health}");
    }
    assert_eq!(checks["redis"].get("connected"), None, "there is none: {health}");
    assert!(checks["host"]["cpu_percent"].is_number(), "{health}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_is_unhealthy() {
    let served = Served::new();
    let (status, well) = served.get("/health").await;
    assert_eq!((status, &well["message_handler_running"]), (StatusCode::OK, &json!(true)));
    served.store.refuse_writes(Some("disk full at /secret/place"));
    // So long an answer may be given again while the disk is asked anew.
    tokio::time::advance(Duration::from_secs(5)).await;
    let (status, health) = served.get("/health").await;
    assert_eq!((status.as_u16(), &health["status"]), (503, &json!("unhealthy")), "{health}");
    assert!(!health.to_string().contains("secret"), "{health}");
    let (_, same) = served.get("/api/automation/health").await;
    assert_eq!(same, health);
}

#[tokio::test]
async fn who_decides_is_in_the_record() {
    let served = Served::new();
    served.world.add(healthy("web"));
    served.post("/api/monitoring/trigger-check", "").await;
    let (frozen, _) = served.post("/api/freeze", r#"{"for": "30m"}"#).await;
    assert_eq!(frozen, StatusCode::OK);
    served.world.crash("web", 1);
    let (_, report) = served.post("/api/monitoring/trigger-check", "").await;
    let id = report["data"]["incidents"][0]["id"].as_str().expect("an incident").to_owned();
    let dismissal = asked("POST", &format!("/api/incidents/{id}/dismiss"))
        .header("x-selfheal-user", "ada")
        .body(Body::empty())
        .unwrap();
    assert_eq!(served.send(dismissal).await.status(), StatusCode::OK);
    let (_, incident) = served.get(&format!("/api/incidents/{id}")).await;
    assert!(incident["timeline"].to_string().contains("ada"), "{incident}");
}

#[tokio::test]
async fn other_names_and_other_pages_are_kept_out() {
    let served = Served::new();
    let rebound = Request::get("/api/targets").header("host", "evil.example");
    let (status, _) = read(served.send(rebound.body(Body::empty()).unwrap()).await).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    let forged = asked("POST", "/freeze").header("origin", "https://evil.example");
    let (status, _) = read(served.send(forged.body(Body::empty()).unwrap()).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (_, now) = served.get("/api/monitoring/status").await;
    assert_eq!(now["data"]["autonomous_mode"], "enabled", "the forged freeze did nothing");
}

#[tokio::test]
async fn the_page_shows_what_is_wrong_and_its_buttons_work_without_script() {
    let served = Served::new();
    served.world.add(healthy("web"));
    served.post("/api/monitoring/trigger-check", "").await;
    served.world.crash("web", 1);
    served.post("/api/monitoring/trigger-check", r#"{"dry_run": true}"#).await;
    let page = served.send(asked("GET", "/").body(Body::empty()).unwrap()).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = text(page).await;
    assert!(html.contains("container:web") && html.contains("critical"), "{html}");

    let freeze = asked("POST", "/freeze?for=30m").header("origin", "http://127.0.0.1:8003");
    let answer = served.send(freeze.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let page = served.send(asked("GET", "/").body(Body::empty()).unwrap()).await;
    assert!(text(page).await.contains("Let automatic fixes go on"));
}

#[tokio::test]
async fn events_come_as_they_happen_and_end_with_the_program() {
    let served = Served::new();
    let stream = served.send(asked("GET", "/api/events").body(Body::empty()).unwrap()).await;
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut frames = stream.into_body().into_data_stream();
    served.post("/api/monitoring/trigger-check", "").await;
    let mut seen = String::new();
    while !seen.contains("event: cycle_finished") {
        let frame = frames.next().await.expect("the stream goes on").unwrap();
        seen.push_str(&String::from_utf8_lossy(&frame));
    }
    assert!(seen.contains("event: cycle_started") && seen.contains("\nid: "), "{seen}");
    served.cancel.cancel();
    while let Some(frame) = frames.next().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let served = Served::new();
    let (status, document) = served.get("/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["paths"]["/api/monitoring/trigger-check"]["post"].is_object());
    let page = served.send(asked("GET", "/docs/").body(Body::empty()).unwrap()).await;
    assert!(unpacked(page).await.contains("swagger-ui"));
    let metrics = served.send(asked("GET", "/metrics").body(Body::empty()).unwrap()).await;
    assert!(text(metrics).await.contains("total_jobs_processed"));
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again_and_what_is_long_is_compressed() {
    let served = Served::new();
    let ask = |path: &str, name: &'static str, value: &str| {
        served.send(asked("GET", path).header(name, value).body(Body::empty()).unwrap())
    };
    let first = served.send(asked("GET", "/api/targets").body(Body::empty()).unwrap()).await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(first.headers()[header::CACHE_CONTROL], "private, no-cache");
    for known in
        [tag.clone(), format!("\"other\", {}", tag.trim_start_matches("W/")), "*".to_owned()]
    {
        let again = ask("/api/targets", "if-none-match", &known).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(again.headers()[header::ETAG].to_str().unwrap(), tag);
        assert_eq!(text(again).await, "");
    }
    let other = ask("/api/targets", "if-none-match", "W/\"other\"").await;
    assert_eq!(other.status(), StatusCode::OK);
    served.post("/api/monitoring/trigger-check", "").await;
    let changed = ask("/api/targets", "if-none-match", &tag).await;
    assert_eq!(changed.status(), StatusCode::OK, "a target was seen meanwhile");
    let missing = ask("/api/targets/container:none", "if-none-match", "*").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    let packed = ask("/openapi.json", "accept-encoding", "gzip").await;
    assert_eq!(
        unpacked(packed).await,
        text(ask("/openapi.json", "accept-encoding", "identity").await).await
    );
    // What happens is told as it happens, not when a block is full.
    let events = ask("/api/events", "accept-encoding", "gzip").await;
    assert!(!events.headers().contains_key(header::CONTENT_ENCODING));
    assert!(!events.headers().contains_key(header::ETAG));
    // A page shows what only who is logged in may see.
    let page = ask("/", "if-none-match", "*").await;
    assert_eq!(
        (page.status(), &page.headers()[header::CACHE_CONTROL]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
}
