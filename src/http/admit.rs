//! Who is let in: the token or the session of a request, and whether it may do what it asks for.
//!
//! It stands before every handler. Where no token is demanded, who shows none is let in; who
//! shows one is held to it all the same, so that a name in the record is always a proven one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::login;
use super::needs::{Known, Need, needed};
use super::pages;
use super::problem::Problem;
use crate::access::{Access, Holder, Refused, Scope, Shown};

/// Lets a request in, or says why not.
pub(super) async fn admit(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match decide(&access, &parts) {
        Ok(holder) => {
            if let Some(holder) = holder {
                parts.extensions.insert(holder);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(denied) => denied.answer(&parts),
    }
}

/// Why a request is not let in.
enum Denied {
    /// It must show a token.
    NoToken,
    /// The one it showed is none.
    WrongToken,
    /// Too many were none.
    TooMany(Duration),
    /// What it showed is too small for what it asks for.
    TooSmall(Holder, Scope),
    /// Anything else.
    Problem(Problem),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::WrongToken,
            Refused::TooMany { wait } => Self::TooMany(wait),
            Refused::Failed(why) => Self::Problem(unreadable(&why)),
        }
    }
}

/// Who may come in: `None` is somebody who showed nothing and need not.
fn decide(access: &Access, parts: &Parts) -> Result<Option<Holder>, Denied> {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let known = route.map(|route| needed(&parts.method, route));
    if known == Some(Known::Needs(Need::Nothing)) {
        return Ok(None);
    }
    let holder = match bearer(&parts.headers) {
        Some(secret) => Some(access.holder(secret, shown(&parts.extensions))?),
        None => match login::session(&parts.headers) {
            Some(id) => access.logged_in(id, Utc::now())?,
            None => None,
        },
    };
    let Some(holder) = holder else {
        return if access.demands() { Err(Denied::NoToken) } else { Ok(None) };
    };
    match known {
        // What is nowhere gets its 404 from the handler for that.
        None => Ok(Some(holder)),
        Some(Known::Needs(need)) => match need.scope().filter(|scope| holder.scope < *scope) {
            Some(scope) => Err(Denied::TooSmall(holder, scope)),
            None => Ok(Some(holder)),
        },
        Some(Known::OtherMethod) => Err(Denied::Problem(other_method(&parts.method, &parts.uri))),
        Some(Known::Nothing) => Err(Denied::Problem(Problem::new(
            StatusCode::FORBIDDEN,
            "no scope is known that may do this",
        ))),
    }
}

/// The token in the header for it. Another scheme is not for us: a proxy that asks for a password
/// of its own passes it on.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// Where and when a token is shown.
pub(super) fn shown(extensions: &Extensions) -> Shown {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    Shown { from: peer.map(|ConnectInfo(peer)| peer.ip()), now: Utc::now(), at: Instant::now() }
}

/// What answers a method that a path does not take.
pub(super) fn other_method(method: &Method, uri: &Uri) -> Problem {
    let detail = format!("{} does not take {method}; /docs lists the calls", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// The tokens cannot be read; where they lie is for the log alone.
pub(super) fn unreadable(why: &str) -> Problem {
    tracing::error!(why, "nobody is let in: {why}");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the tokens cannot be read, so nobody is let in; Selfheal's log says why",
    )
}

/// What is said to whoever showed too many wrong tokens.
pub(super) fn too_many(wait: Duration) -> (Problem, HeaderValue) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("too many wrong tokens came from there; try again in {seconds} s");
    (Problem::new(StatusCode::TOO_MANY_REQUESTS, detail), HeaderValue::from(seconds))
}

impl Denied {
    fn answer(self, asked: &Parts) -> Response {
        let for_a_person = is_page(asked.uri.path());
        let shown = |problem: Problem| {
            if for_a_person { pages::problem(problem) } else { problem.into_response() }
        };
        let unauthorized = |detail: &str, challenge: &'static str| {
            let mut response = shown(Problem::new(StatusCode::UNAUTHORIZED, detail));
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        };
        match self {
            Self::NoToken if for_a_person => login::send_there(asked),
            Self::NoToken => unauthorized(
                "a token is needed: `Authorization: Bearer TOKEN`; `selfheal token create` makes one",
                "Bearer",
            ),
            Self::WrongToken => unauthorized(
                "this token is not known, revoked or expired; `selfheal token list` shows those \
                 there are",
                "Bearer error=\"invalid_token\"",
            ),
            Self::TooMany(wait) => {
                let (problem, seconds) = too_many(wait);
                let mut response = shown(problem);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
            Self::TooSmall(holder, scope) => shown(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "this needs a token of scope {scope}; `{}` is of scope {}",
                    holder.name, holder.scope
                ),
            )),
            Self::Problem(problem) => shown(problem),
        }
    }
}

/// Whether a person looks at what is there, and not a program.
pub(super) fn is_page(path: &str) -> bool {
    !path.starts_with("/api/") && !["/api", "/metrics", "/openapi.json"].contains(&path)
}

#[cfg(test)]
mod tests;
