//! The login of the pages: a token is shown once and a cookie stands for it from then on.
//!
//! The cookie holds the id of a session and never the token. It goes to no other site's request
//! (`SameSite=Strict`) and no script sees it (`HttpOnly`).

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Query};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::Utc;
use serde::Deserialize;

use super::admit::{shown, too_many, unreadable};
use super::pages::html;
use super::pages::view::frame::Frame;
use super::state::Api;
use crate::access::{Access, Holder, Refused};
use crate::audit::{Act, Audit, By, Via};

const COOKIE: &str = "selfheal_session";

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/login", get(form).post(log_in)).route("/logout", post(log_out))
}

/// Where a token is asked for, and who is logged in.
#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    fault: Option<String>,
    holder: Option<Holder>,
}

impl LoginPage {
    fn new(next: String) -> Self {
        Self { frame: Frame::elsewhere(), next, fault: None, holder: None }
    }
}

#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

async fn form(
    Extension(access): Extension<Arc<Access>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let holder = match session(&headers).map(|id| access.logged_in(id, Utc::now())) {
        Some(Ok(holder)) => holder,
        Some(Err(error)) => return super::pages::problem(unreadable(&error.to_string())),
        None => None,
    };
    if let (Some(_), Some(next)) = (&holder, &asked.next) {
        // Whoever came from another site, as by a link in a mail, is logged in after all: now that
        // our own page asks, the cookie is sent.
        return Redirect::to(&local(next)).into_response();
    }
    let next = local(asked.next.as_deref().unwrap_or("/"));
    html(&LoginPage { holder, ..LoginPage::new(next) })
}

async fn log_in(
    Extension(access): Extension<Arc<Access>>,
    Extension(audit): Extension<Arc<Audit>>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let field = |wanted: &str| {
        url::form_urlencoded::parse(&body)
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let next = local(&field("next"));
    let again = |status: StatusCode, fault: String| {
        let page = LoginPage { fault: Some(fault), ..LoginPage::new(next.clone()) };
        (status, html(&page)).into_response()
    };
    match access.log_in(field("token").trim(), shown(&extensions)) {
        Ok((id, lasts)) => {
            note(&audit, &access, &id, "login").await;
            let cookie = [(header::SET_COOKIE, cookie(&id, lasts, &headers))];
            (AppendHeaders(cookie), Redirect::to(&next)).into_response()
        }
        Err(Refused::Unknown) => again(
            StatusCode::UNAUTHORIZED,
            "This token is not known, revoked or expired.".to_owned(),
        ),
        Err(Refused::TooMany { wait }) => {
            let (problem, seconds) = too_many(wait);
            let mut response = again(problem.status(), problem.detail().to_owned());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
        Err(Refused::Failed(why)) => super::pages::problem(unreadable(&why)),
    }
}

/// Writes down who logs in or out. Who is not known leaves nothing: nobody may fill the log.
async fn note(audit: &Audit, access: &Access, session: &str, act: &str) {
    let now = Utc::now();
    if let Ok(Some(Holder { name, .. })) = access.logged_in(session, now) {
        audit.write(&[Act::new(now, By { who: name, via: Via::Page }, act)]).await;
    }
}

async fn log_out(
    Extension(access): Extension<Arc<Access>>,
    Extension(audit): Extension<Arc<Audit>>,
    headers: HeaderMap,
) -> Response {
    if let Some(id) = session(&headers) {
        note(&audit, &access, id, "logout").await;
        access.log_out(id);
    }
    let cookie = [(header::SET_COOKIE, cookie("", Duration::ZERO, &headers))];
    (AppendHeaders(cookie), Redirect::to("/login")).into_response()
}

/// The cookie of a session, or with no time left the end of one.
///
/// It is kept to encrypted connections where the browser has one: a proxy before us says so, and
/// whoever says so untruly only harms the cookie that they get themselves.
fn cookie(id: &str, lasts: Duration, headers: &HeaderMap) -> HeaderValue {
    let encrypted = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if encrypted { "; Secure" } else { "" };
    let age = lasts.as_secs();
    let text = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    let mut value = HeaderValue::from_str(&text).expect("an id is hexadecimal digits");
    value.set_sensitive(true);
    value
}

/// The id of the session that a request shows.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Sends a person to the login, and from there back to what was asked for.
pub(super) fn send_there(asked: &Parts) -> Response {
    let looks = matches!(asked.method, Method::GET | Method::HEAD);
    let next =
        if looks { asked.uri.path_and_query().map_or("/", PathAndQuery::as_str) } else { "/" };
    let next: String = url::form_urlencoded::byte_serialize(local(next).as_bytes()).collect();
    let to = format!("/login?next={next}");
    let site = asked.headers.get("sec-fetch-site");
    if looks && site.is_some_and(|site| site == "cross-site" || site == "same-site") {
        // A redirect would still be the other site's request, which the cookie is kept from.
        let refresh = HeaderValue::from_str(&format!("0; url={to}"));
        if let Ok(refresh) = refresh {
            return ([(header::REFRESH, refresh)], StatusCode::OK).into_response();
        }
    }
    Redirect::to(&to).into_response()
}

/// The path if it is one of ours, else the overview: nobody is sent elsewhere after a login.
fn local(next: &str) -> String {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_ours = next.starts_with('/') && !next.starts_with("//") && plain;
    let path = next.parse::<Uri>().ok().filter(|uri| is_ours && uri.authority().is_none());
    match path {
        Some(uri) if !matches!(uri.path(), "/login" | "/logout") => next.to_owned(),
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_paths_of_ours() {
        for ours in ["/", "/incidents", "/incidents/7?x=1", "/docs/"] {
            assert_eq!(local(ours), ours);
        }
        for theirs in [
            "",
            "incidents",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/login?next=/",
            "/logout",
            "/ä",
        ] {
            assert_eq!(local(theirs), "/", "{theirs:?}");
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(text));
            session(&headers).map(str::to_owned)
        };
        assert_eq!(of("a=b; selfheal_session=12ab; c=d").as_deref(), Some("12ab"));
        assert_eq!(of("selfheal_session=12ab").as_deref(), Some("12ab"));
        assert_eq!(of("selfheal_sessions=12ab; x_selfheal_session=1"), None);
        assert_eq!(of(""), None);
    }
}
