use axum::Router;
use axum::body::{Body, to_bytes};
use futures_util::StreamExt;
use secrecy::ExposeSecret;
use selfheal_agents::fakes::{FakeClock, FakeWorld, MemoryStore, healthy, start_time};
use selfheal_agents::health_monitor::changes::DigestKey;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::needs::NEEDS;
use super::super::{AllowedHosts, Configured, router};
use super::*;
use crate::access::TokenBook;
use crate::audit::{Audit, Entry, Via};
use crate::config::{Settings, Sources};
use crate::coordinator::{Coordinator, Parts, Rules};
use crate::knowledge;

/// Calls of each kind that are let through in a minute.
const LIMIT: u32 = 100;
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

struct Served {
    router: Router,
    audit: Arc<Audit>,
    dir: TempDir,
    cancel: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Served {
    fn new(demands: bool) -> Self {
        let world = FakeWorld::new(FakeClock::at(start_time()));
        world.add(healthy("db"));
        let cancel = CancellationToken::new();
        let (catalogue, _) = knowledge::load(None, knowledge::Keep::InForce);
        let store = Arc::<MemoryStore>::default();
        let audit = Arc::new(Audit::in_memory(store.clone()));
        let coordinator = Coordinator::start(Parts {
            world: world.world(),
            store,
            fleet: Arc::new(selfheal_agents::ports::Alone),
            rules: watch::Sender::new(Arc::new(Rules::default())).subscribe(),
            catalogue: watch::Sender::new(Arc::new(catalogue)).subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit: Arc::clone(&audit),
            wake: Arc::default(),
            cancel: cancel.clone(),
        });
        let dir = tempfile::tempdir().unwrap();
        let access = Arc::new(Access::new(dir.path(), demands).with_pace(LIMIT, LIMIT));
        let hosts = AllowedHosts::new([127, 0, 0, 1].into(), &[]);
        let (sources, settings) = (Sources::default(), Arc::new(Settings::default()));
        let settings = watch::Sender::new(settings).subscribe();
        let configured = Configured {
            sources,
            settings,
            channels: crate::app::channels,
            doctor: |_| Box::pin(async { vec![] }),
            fleet: None,
            history: None,
            tie: None,
            heart: Arc::default(),
            collector: None,
        };
        let router = router(coordinator, configured, access, hosts, cancel.clone());
        Self { router, audit, dir, cancel }
    }

    /// What stands in the audit log of what people do.
    async fn acts(&self) -> Vec<Entry> {
        let newest = self.audit.newest(1000).await.unwrap();
        newest.into_iter().rev().filter(|entry| entry.via != Via::Selfheal).collect()
    }

    fn token(&self, name: &str, scope: Scope) -> String {
        let made = TokenBook::of(self.dir.path()).create(name, scope, None, Utc::now());
        made.unwrap().1.expose_secret().to_owned()
    }

    async fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Response {
        let asked = axum::http::Request::builder().method(method).uri(path);
        let asked =
            more.iter().fold(asked.header("host", "127.0.0.1:8003"), |asked, (name, value)| {
                asked.header(*name, *value)
            });
        let asked = asked.body(Body::from(body.to_owned())).unwrap();
        self.router.clone().oneshot(asked).await.unwrap()
    }

    async fn with_token(&self, method: &str, path: &str, token: &str) -> Response {
        self.send(method, path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    /// Logs in on the page; answers the cookie.
    async fn log_in(&self, token: &str) -> String {
        let answer = self.send("POST", "/login", &[], &format!("token={token}&next=%2Fdocs")).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[header::LOCATION], "/docs");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        for wanted in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
            assert!(cookie.contains(wanted), "{cookie}");
        }
        assert!(!cookie.contains(token) && !cookie.contains("Secure"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }
}

async fn text(answer: Response) -> String {
    let bytes = to_bytes(answer.into_body(), 1024 * 1024).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn filled(route: &str) -> String {
    let id = if route.starts_with("/api/targets") { "host" } else { ID };
    [
        ("{id}", id),
        ("{name}", "selfheal.css"),
        ("{*rest}", "swagger-ui.css"),
        ("{backup_id}", "backup_20251019_170000"),
        ("{decision}", "approve"),
    ]
    .iter()
    .fold(route.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[tokio::test]
async fn every_route_wants_what_the_table_says_of_every_scope_and_of_nobody() {
    let served = Served::new(true);
    let tokens = Scope::ALL.map(|scope| (scope, served.token(scope.as_str(), scope)));
    let wrong = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE];
    for (method, route, need) in NEEDS {
        let path = filled(route);
        let nobody = served.send(method, &path, &[], "").await;
        let Some(least) = need.scope() else {
            // The login answers 401 for what is typed into it.
            let is_login = (method, route) == ("POST", "/login");
            assert!(is_login || !wrong.contains(&nobody.status()), "{method} {route}");
            continue;
        };
        if is_page(&path) {
            assert_eq!(nobody.status(), StatusCode::SEE_OTHER, "{method} {route}");
            let to = nobody.headers()[header::LOCATION].to_str().unwrap();
            assert!(to.starts_with("/login?next=%2F"), "{method} {route}: {to}");
        } else {
            assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED, "{method} {route}");
            assert_eq!(nobody.headers()[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(nobody.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
        for (scope, token) in &tokens {
            let answer = served.with_token(method, &path, token).await;
            if *scope < least {
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {route} as {scope}");
                assert!(text(answer).await.contains(&format!("a token of scope {least}")));
            } else {
                assert!(!wrong.contains(&answer.status()), "{method} {route} as {scope}");
            }
        }
        let unknown = served.with_token(method, &path, "shl_0").await.status();
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        assert!(refused.contains(&unknown), "{method} {route}: {unknown}");
    }
}

#[tokio::test]
async fn nothing_is_told_of_other_paths_and_methods_without_a_token() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Admin);
    for (method, path, status) in [
        ("GET", "/api/nothing", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/incidents", 405),
        ("PUT", "/api/freeze", 405),
        ("OPTIONS", "/api/freeze", 405),
        ("HEAD", "/api/incidents", 200),
    ] {
        let nobody = served.send(method, path, &[], "").await.status().as_u16();
        assert!([401, 303].contains(&nobody), "{method} {path}: {nobody}");
        let known = served.with_token(method, path, &token).await.status().as_u16();
        assert_eq!(known, status, "{method} {path}");
    }
}

#[tokio::test]
async fn the_name_of_the_token_is_who_decided() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Operator);
    let bearer = format!("Bearer {token}");
    let claim = [("authorization", bearer.as_str()), ("x-selfheal-user", "the boss")];
    let frozen = text(served.send("POST", "/api/freeze", &claim, "").await).await;
    assert!(frozen.contains("\"anna\"") && !frozen.contains("boss"), "{frozen}");
    assert_eq!(served.send("DELETE", "/api/freeze", &claim, "").await.status(), StatusCode::OK);

    let cookie = served.log_in(&token).await;
    let answer = served.send("POST", "/freeze", &[("cookie", &cookie)], "").await;
    assert_eq!(answer.headers()[header::LOCATION], "/");
    let page = text(served.send("GET", "/", &[("cookie", &cookie)], "").await).await;
    assert!(page.contains("anna"), "{page}");
}

#[tokio::test]
async fn a_session_ends_by_logging_out_and_with_its_token() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Viewer);
    let status =
        async |cookie: &str| served.send("GET", "/", &[("cookie", cookie)], "").await.status();
    let (first, second) = (served.log_in(&token).await, served.log_in(&token).await);
    assert_eq!((status(&first).await, status(&second).await), (StatusCode::OK, StatusCode::OK));
    let out = served.send("POST", "/logout", &[("cookie", &first)], "").await;
    assert!(out.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(status(&first).await, StatusCode::SEE_OTHER);
    assert_eq!(status(&second).await, StatusCode::OK);
    TokenBook::of(served.dir.path()).revoke("anna").unwrap();
    assert_eq!(status(&second).await, StatusCode::SEE_OTHER);
    let events = served.send("GET", "/api/events", &[("cookie", &second)], "").await;
    assert_eq!(events.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_cookie_of_an_encrypted_connection_stays_on_encrypted_ones() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Viewer);
    let proxied = [("x-forwarded-proto", "https")];
    let answer = served.send("POST", "/login", &proxied, &format!("token={token}")).await;
    assert!(answer.headers()[header::SET_COOKIE].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn a_link_in_a_mail_leads_through_the_login_to_where_it_points() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Viewer);
    let cookie = served.log_in(&token).await;
    // A browser sends no cookie with what another site asks for.
    let site = [("sec-fetch-site", "cross-site")];
    let answer = served.send("GET", "/incidents?cursor=1", &site, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let refresh = answer.headers()[header::REFRESH].to_str().unwrap().to_owned();
    let to = refresh.strip_prefix("0; url=").unwrap();
    let answer = served.send("GET", to, &[("cookie", &cookie)], "").await;
    assert_eq!(answer.headers()[header::LOCATION], "/incidents?cursor=1");
    let page = text(served.send("GET", to, &[], "").await).await;
    assert!(page.contains("value=\"/incidents?cursor=1\"") && page.contains("type=\"password\""));
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_the_right_one_is_not() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Viewer);
    let mut last = None;
    for _ in 0..20 {
        let answer = served.send("POST", "/login", &[], "token=shl_guess").await;
        assert!(answer.headers().get(header::SET_COOKIE).is_none());
        last = Some(answer);
    }
    let last = last.unwrap();
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = last.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let api = served.with_token("GET", "/api/targets", "shl_guess").await;
    assert_eq!(api.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(api.headers().contains_key(header::RETRY_AFTER));
    served.log_in(&token).await;
}

#[tokio::test]
async fn without_a_demand_everything_is_open_and_a_token_that_is_shown_still_counts() {
    let served = Served::new(false);
    let token = served.token("anna", Scope::Viewer);
    for path in ["/", "/api/targets", "/metrics", "/openapi.json"] {
        assert_eq!(served.send("GET", path, &[], "").await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(served.send("POST", "/api/freeze", &[], "").await.status(), StatusCode::OK);
    let small = served.with_token("POST", "/api/freeze", &token).await;
    assert_eq!(small.status(), StatusCode::FORBIDDEN);
    let wrong = served.with_token("GET", "/api/targets", "shl_0").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    // The password of a proxy before us is none of ours.
    let basic = [("authorization", "Basic YTpi")];
    assert_eq!(served.send("GET", "/", &basic, "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn tokens_that_cannot_be_read_let_nobody_in_and_say_nothing_of_where_they_lie() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Admin);
    std::fs::write(served.dir.path().join("tokens.json"), "{").unwrap();
    let answer = served.with_token("GET", "/api/targets", &token).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!text(answer).await.contains("tokens.json"));
    assert_eq!(served.send("GET", "/health", &[], "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stream_of_events_ends_when_its_token_is_revoked() {
    let served = Served::new(true);
    let (anna, bert) = (served.token("anna", Scope::Viewer), served.token("bert", Scope::Operator));
    let events = served.with_token("GET", "/api/events", &anna).await;
    assert_eq!(events.status(), StatusCode::OK);
    let mut events = events.into_body().into_data_stream();
    served.with_token("POST", "/api/freeze", &bert).await;
    let first = events.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: "), "{first:?}");
    TokenBook::of(served.dir.path()).revoke("anna").unwrap();
    served.with_token("DELETE", "/api/freeze", &bert).await;
    while events.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_ends_with_the_session_that_it_was_let_in_by() {
    let served = Served::new(true);
    let token = served.token("anna", Scope::Viewer);
    let (open, ends) = (served.log_in(&token).await, served.log_in(&token).await);
    let mut streams = vec![];
    for cookie in [&open, &ends] {
        let events = served.send("GET", "/api/events", &[("cookie", cookie)], "").await;
        assert_eq!(events.status(), StatusCode::OK);
        streams.push(events.into_body().into_data_stream());
    }
    served.send("POST", "/logout", &[("cookie", &ends)], "").await;
    let long = std::time::Duration::from_secs(10);
    let ended = async { while streams[1].next().await.is_some() {} };
    assert!(tokio::time::timeout(long, ended).await.is_ok(), "nothing happens, and it ends");
    let goes_on = async { while streams[0].next().await.is_some() {} };
    assert!(tokio::time::timeout(long, goes_on).await.is_err(), "the other is still logged in");
}

#[tokio::test]
async fn tokens_are_made_on_the_page_by_an_administrator_who_is_logged_in_and_by_nobody_else() {
    let open = Served::new(false);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let wish = "name=grafana&scope=viewer&days=30";
    let refused = open.send("POST", "/settings/tokens", &[form], wish).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "though anybody may do everything there");

    let served = Served::new(true);
    let cookie = served.log_in(&served.token("anna", Scope::Admin)).await;
    let otto = served.log_in(&served.token("otto", Scope::Operator)).await;
    let as_anna = [form, ("cookie", cookie.as_str())];
    let as_otto = [form, ("cookie", otto.as_str())];
    let page = text(served.send("GET", "/settings", &as_otto, "").await).await;
    assert!(!page.contains("anna"), "who has one is for administrators: {page}");
    let refused = served.send("POST", "/settings/tokens", &as_otto, wish).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let page = text(served.send("POST", "/settings/tokens", &as_anna, wish).await).await;
    let secret = page.split("shl_").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let grafana = served.with_token("GET", "/api/targets", &format!("shl_{secret}")).await;
    assert_eq!(grafana.status(), StatusCode::OK);
    let page = text(served.send("GET", "/settings", &as_anna, "").await).await;
    assert!(page.contains("grafana") && !page.contains(secret), "it is shown once: {page}");
    let written = format!("{:?}", served.acts().await);
    assert!(written.contains("token_create") && !written.contains(secret), "{written}");
    for (wish, status) in [
        (wish, StatusCode::CONFLICT),
        ("name=a%20b&scope=viewer", StatusCode::BAD_REQUEST),
        ("name=ab&scope=king", StatusCode::BAD_REQUEST),
        ("name=ab&scope=viewer&days=soon", StatusCode::BAD_REQUEST),
    ] {
        let answer = served.send("POST", "/settings/tokens", &as_anna, wish).await;
        assert_eq!(answer.status(), status, "{wish}");
    }
    let gone = served.send("POST", "/settings/tokens/grafana/revoke", &as_anna, "").await;
    assert_eq!(gone.status(), StatusCode::SEE_OTHER);
    let grafana = served.with_token("GET", "/api/targets", &format!("shl_{secret}")).await;
    assert_eq!(grafana.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_route_that_changes_something_leaves_an_entry_and_no_other_does() {
    let served = Served::new(true);
    let anna = served.token("anna", Scope::Admin);
    let grafana = served.token("grafana", Scope::Viewer);
    for (method, route, need) in NEEDS {
        if matches!(route, "/login" | "/logout") {
            continue;
        }
        let (path, before) = (filled(route), served.acts().await.len());
        served.send(method, &path, &[], "").await;
        if need.scope().is_some_and(|scope| scope > Scope::Viewer) {
            served.with_token(method, &path, &grafana).await;
        }
        assert_eq!(served.acts().await.len(), before, "{method} {route}: who is not let in");
        let status = served.with_token(method, &path, &anna).await.status();
        let new = served.acts().await.split_off(before);
        let words: Vec<&str> = new.iter().map(|entry| entry.act.as_str()).collect();
        let Need::Act(_, word) = need else {
            assert!(words.is_empty(), "{method} {route}: {new:?}");
            continue;
        };
        let word = if word == "{decision}" { "approve" } else { word };
        let is_refused = status.is_client_error() || status.is_server_error();
        let expected = if is_refused { vec![word, "refused"] } else { vec![word] };
        assert_eq!(words, expected, "{method} {route}: {status}");
        let via = if is_page(&path) { Via::Page } else { Via::Api };
        assert!(
            new.iter().all(|entry| (entry.who.as_str(), entry.via) == ("anna", via)),
            "{new:?}"
        );
    }
}

#[tokio::test]
async fn an_entry_says_who_did_what_to_what_by_which_way_and_why() {
    let served = Served::new(false);
    let json = ("content-type", "application/json");
    let hostile =
        r#"{"target": "container:nobody", "reason": "\u001b[2Jmoving\nhouse", "for": "1h"}"#;
    let cli = [json, ("user-agent", "selfheal/1.0"), ("x-selfheal-user", "otto")];
    served.send("POST", "/api/freeze", &cli, hostile).await;
    let path = format!("/api/incidents/{ID}/dismiss");
    served.send("POST", &path, &[json], r#"{"reason": "a known fault"}"#).await;
    served.send("POST", "/targets/container:db/freeze?for=30m", &[], "").await;
    served.send("DELETE", "/api/freeze?target=container%3Adb", &[], "").await;
    let token = served.token("anna", Scope::Operator);
    let cookie = served.log_in(&token).await;
    served.send("POST", "/logout", &[("cookie", &cookie)], "").await;
    let acts = served.acts().await;
    let told: Vec<String> = acts
        .iter()
        .map(|entry| {
            let Entry { who, via, act, target, incident, detail, .. } = entry;
            let target = target.as_deref().unwrap_or("-");
            let incident = incident.map_or("-".to_owned(), |id| id.to_string());
            format!("{who} {} {act} {target} {incident} {detail}", via.as_str())
        })
        .collect();
    let expected = [
        "otto cli freeze container:nobody - for=1h, reason=[2Jmoving house".to_owned(),
        "otto cli refused container:nobody - freeze: 404 Not Found".to_owned(),
        format!("api api dismiss - {ID} reason=a known fault"),
        format!("api api refused - {ID} dismiss: 404 Not Found"),
        "page page freeze container:db - for=30m".to_owned(),
        "page page refused container:db - freeze: 404 Not Found".to_owned(),
        "api api unfreeze container:db - ".to_owned(),
        "anna page login - - ".to_owned(),
        "anna page logout - - ".to_owned(),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_newest_entries_are_for_administrators_and_name_the_head() {
    let served = Served::new(true);
    let (anna, otto) = (served.token("anna", Scope::Admin), served.token("otto", Scope::Operator));
    for _ in 0..3 {
        served.with_token("DELETE", "/api/freeze", &otto).await;
    }
    assert_eq!(served.with_token("GET", "/api/audit", &otto).await.status(), StatusCode::FORBIDDEN);
    let answer = served.with_token("GET", "/api/audit?limit=2", &anna).await;
    let page: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
    let seqs: Vec<_> = page["entries"].as_array().unwrap().iter().map(|e| &e["seq"]).collect();
    assert_eq!(seqs, [3, 2], "{page}");
    assert_eq!(page["head"], served.audit.witness().await.unwrap().to_string());
    let refused = served.with_token("GET", "/api/audit?limit=0", &anna).await.status();
    assert_eq!(refused, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_asks_too_fast_is_told_when_to_come_again_and_nobody_else_is() {
    let served = Served::new(true);
    let (wild, calm) = (served.token("wild", Scope::Admin), served.token("calm", Scope::Admin));
    let status = async |method: &str, path: &str, token: &str| {
        served.with_token(method, path, token).await.status()
    };
    for (method, path, setting) in [
        ("DELETE", "/api/freeze", "api.writes_per_minute"),
        ("GET", "/api/audit", "api.costly_reads_per_minute"),
    ] {
        let mut let_through = 0;
        let answer = loop {
            let answer = served.with_token(method, path, &wild).await;
            if answer.status() != StatusCode::OK {
                break answer;
            }
            let_through += 1;
            // More come in while that takes its time, and never all.
            assert!(let_through < 10 * LIMIT, "{method} {path}");
        };
        assert!(let_through >= LIMIT, "{method} {path}: {let_through}");
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{method} {path}");
        let wait: u64 = answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let said = text(answer).await;
        assert!(said.contains(setting), "{said}");
    }
    assert_eq!(status("GET", "/api/incidents", &wild).await, StatusCode::OK, "looking goes on");
    assert_eq!(status("DELETE", "/api/freeze", &calm).await, StatusCode::OK);
    assert_eq!(status("GET", "/api/audit", &calm).await, StatusCode::OK);
}
