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
use super::needs::{Known, Need, cost, needed};
use super::pages;
use super::problem::Problem;
use crate::access::{Access, Cost, Holder, Refused, Scope, Shown};

/// Lets a request in, or says why not.
pub(super) async fn admit(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match decide(&access, &parts).and_then(|let_in| unhurried(&access, &parts, let_in)) {
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
    /// It asked for too much in too short a time.
    TooFast(Cost, Duration),
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

/// Who was let in, if they showed anything, and what they ask for costs.
type LetIn = (Option<Holder>, Cost);

/// Who may come in: `None` is somebody who showed nothing and need not.
fn decide(access: &Access, parts: &Parts) -> Result<LetIn, Denied> {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let known = route.map(|route| (needed(&parts.method, route), route));
    if let Some((Known::Needs(Need::Nothing), _)) = known {
        return Ok((None, Cost::Free));
    }
    let holder = match bearer(&parts.headers) {
        Some(secret) => Some(access.holder(secret, shown(&parts.extensions))?),
        None => match login::session(&parts.headers) {
            Some(id) => access.logged_in(id, Utc::now())?,
            None => None,
        },
    };
    let Some(holder) = holder else {
        let cost = match known {
            Some((Known::Needs(need), route)) => cost(need, route),
            _ => Cost::Free,
        };
        return if access.demands() { Err(Denied::NoToken) } else { Ok((None, cost)) };
    };
    match known {
        // What is nowhere gets its 404 from the handler for that.
        None => Ok((Some(holder), Cost::Free)),
        Some((Known::Needs(need), route)) => {
            match need.scope().filter(|scope| holder.scope < *scope) {
                Some(scope) => Err(Denied::TooSmall(holder, scope)),
                None => Ok((Some(holder), cost(need, route))),
            }
        }
        Some((Known::OtherMethod, _)) => {
            Err(Denied::Problem(other_method(&parts.method, &parts.uri)))
        }
        Some((Known::Nothing, _)) => Err(Denied::Problem(Problem::new(
            StatusCode::FORBIDDEN,
            "no scope is known that may do this",
        ))),
    }
}

/// Whoever was let in, unless they ask too fast.
fn unhurried(
    access: &Access,
    parts: &Parts,
    (holder, cost): LetIn,
) -> Result<Option<Holder>, Denied> {
    if cost == Cost::Free {
        return Ok(holder);
    }
    match access.too_fast(cost, holder.as_ref(), shown(&parts.extensions)) {
        Some(wait) => Err(Denied::TooFast(cost, wait)),
        None => Ok(holder),
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
    later("too many wrong tokens came from there", wait)
}

/// What is said to whoever is to come again later.
fn later(why: &str, wait: Duration) -> (Problem, HeaderValue) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("{why}; try again in {seconds} s");
    (Problem::new(StatusCode::TOO_MANY_REQUESTS, detail), HeaderValue::from(seconds))
}

/// Which of the limits that was.
fn too_fast(cost: Cost, wait: Duration) -> (Problem, HeaderValue) {
    let setting = if cost == Cost::Write { "writes_per_minute" } else { "costly_reads_per_minute" };
    later(&format!("more was asked for in a minute than api.{setting} allows"), wait)
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
        let retry = |(problem, seconds): (Problem, HeaderValue)| {
            let mut response = shown(problem);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
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
            Self::TooMany(wait) => retry(too_many(wait)),
            Self::TooFast(cost, wait) => retry(too_fast(cost, wait)),
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
