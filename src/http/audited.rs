//! Writes every act into the audit log, before it is done; and that it was refused, where it was.
//!
//! It stands before every handler, and asks the table of needs what an act is: a call that changes
//! something cannot be added without a word for it. Who is not let in comes not so far, so that
//! nobody without a token can fill the log.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::admit::is_page;
use super::extract::{body_problem, by};
use super::needs::{Known, Need, needed};
use super::pages;
use crate::audit::{Act, Audit};

/// What a call said: the names and values in its path, its query and its body.
type Said = Vec<(String, String)>;

/// Writes an act down and lets it be done.
pub(super) async fn audited(
    State(audit): State<Arc<Audit>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let needed = route.as_ref().map(|route| needed(request.method(), route.as_str()));
    let (Some(route), Some(Known::Needs(Need::Act(_, word)))) = (route, needed) else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let body = match Bytes::from_request(whole, &()).await {
        Ok(body) => body,
        Err(rejection) => {
            let problem = body_problem(&rejection);
            let for_a_person = is_page(parts.uri.path());
            return if for_a_person { pages::problem(problem) } else { problem.into_response() };
        }
    };
    let said = said(&mut parts, &body).await;
    let act = act(&parts, route.as_str(), word, said);
    audit.write(std::slice::from_ref(&act)).await;
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        audit.write(&[act.refused(Utc::now(), &in_words(status))]).await;
    }
    response
}

fn in_words(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    format!("{} {reason}", status.as_u16())
}

async fn said(parts: &mut Parts, body: &[u8]) -> Said {
    let mut said = vec![];
    if let Ok(params) = RawPathParams::from_request_parts(parts, &()).await {
        said.extend(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let form = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect::<Said>();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim).unwrap_or_default();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        said.extend(form(body));
    } else if let Ok(members) = serde_json::from_slice::<serde_json::Map<_, _>>(body) {
        said.extend(members.into_iter().filter(|(_, value)| !value.is_null()).map(
            |(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        ));
    }
    // Last: what the path or the body says of the same name is what is done.
    said.extend(form(parts.uri.query().unwrap_or_default().as_bytes()));
    said
}

/// What is done, in the words of the table and of the call.
fn act(parts: &Parts, route: &str, word: &str, mut said: Said) -> Act {
    let mut take = |wanted: &str| {
        let at = said.iter().position(|(name, _)| name == wanted)?;
        Some(said.remove(at).1)
    };
    let of_path = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
    let word = of_path.map_or(Some(word.to_owned()), &mut take).unwrap_or_default();
    let incident = route.contains("/incidents/").then(|| take("id")).flatten();
    let target = take(if route.contains("/targets/") { "id" } else { "target" });
    let act = Act::new(Utc::now(), by(parts), word);
    let act = match incident.as_ref().map(|id| id.parse()) {
        Some(Ok(id)) => act.about(id),
        // Whatever it is, it is written down.
        Some(Err(_)) => act.on(incident.unwrap_or_default()),
        None => act,
    };
    let act = match target {
        Some(target) => act.on(target),
        None => act,
    };
    let rest: Vec<String> = said.iter().map(|(name, value)| pair(name, value)).collect();
    act.saying(rest.join(", "))
}

/// In quotes where it could be read as more than one.
fn pair(name: &str, value: &str) -> String {
    if value.contains(['=', ',', '"']) {
        format!("{name}={value:?}")
    } else {
        format!("{name}={value}")
    }
}
