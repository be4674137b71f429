//! What a handler takes out of a request, with a problem document when it is not there.

use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use selfheal_agents::model::clean;
use serde::de::DeserializeOwned;

use super::admit::is_page;
use super::problem::Problem;
use crate::access::Holder;
use crate::audit::{By, Via};

/// The largest body taken, in bytes.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// A JSON body; an empty one is the default.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|e| body_problem(&e))?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        // `null` says nothing, too.
        parsed(json, &bytes).map(|body: Option<T>| Self(body.unwrap_or_default()))
    }
}

/// A JSON body that must be there.
pub(super) struct RequiredJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for RequiredJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|e| body_problem(&e))?;
        parsed(json, &bytes).map(Self)
    }
}

/// Says which member does not fit, however deep it lies.
fn parsed<T: DeserializeOwned>(json: bool, bytes: &[u8]) -> Result<T, Problem> {
    if !json {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is not JSON by its header; send `Content-Type: application/json`",
        ));
    }
    // Every body of ours is an object; a list would be read as its members in their order, and an empty
    // one as all that is left out.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request("the body does not fit: it is a list, not an object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!("`{path}`: ") };
        Problem::bad_request(format!("the body does not fit: {at}{}", error.into_inner()))
    })?;
    let ended = reader.end();
    ended.map_err(|error| Problem::bad_request(format!("the body does not fit: {error}")))?;
    Ok(value)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return true;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A body that could not be read at all: too large, or the client went away.
pub(super) fn body_problem(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body is larger than {BODY_LIMIT} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
    }
    Problem::bad_request("the body could not be read to its end")
}

/// The fields of a form of our pages; without any, the default.
pub(super) struct Fields<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|e| body_problem(&e))?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let whole = Request::from_parts(parts, Body::from(bytes));
        let Form(fields) = Form::from_request(whole, state)
            .await
            .map_err(|e| Problem::bad_request(format!("the form does not fit: {e}")))?;
        Ok(Self(fields))
    }
}

/// Query parameters; an unknown one is refused, since it is a misspelt one.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request(format!("the query does not fit: {e}")))?;
        Ok(Self(value))
    }
}

/// The one part of the path that is a name: an id of an incident, a backup or a target.
pub(super) struct Named<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Named<T>
where
    S: Send + Sync,
    T: FromStr<Err: std::fmt::Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request(format!("the path does not fit: {e}")))?;
        text.parse().map(Self).map_err(|e: T::Err| Problem::bad_request(e.to_string()))
    }
}

/// By what the command line is known; a claim, as what somebody without a token calls themselves.
pub const USER_AGENT: &str = concat!("selfheal/", env!("CARGO_PKG_VERSION"));

/// Who asks, and by which way.
///
/// Who is the name of the token. Without one it is the header `X-Selfheal-User`, or `api`: a claim
/// for the record, no proof; and on a page `page`.
pub(super) fn by(parts: &Parts) -> By {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let via = if is_page(parts.uri.path()) {
        Via::Page
    } else if text("user-agent").is_some_and(|agent| agent.starts_with("selfheal/")) {
        Via::Cli
    } else {
        Via::Api
    };
    let who = match (parts.extensions.get::<Holder>(), via) {
        (Some(holder), _) => holder.name.clone(),
        (None, Via::Page) => "page".to_owned(),
        (None, _) => clean(text("x-selfheal-user").unwrap_or_default().trim(), 64),
    };
    // Nobody passes for Selfheal itself.
    let is_none = who.is_empty() || who.eq_ignore_ascii_case("selfheal");
    By { who: if is_none { "api".to_owned() } else { who }, via }
}

/// Who asks, by the API or on a page.
pub(super) struct Who(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(by(parts).who))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Wish {
        word: Option<String>,
    }

    #[test]
    fn a_list_is_no_object_with_its_members_in_their_order() {
        for list in ["[]", " [\"all\"]", "\n\t[null]"] {
            let problem = parsed::<Option<Wish>>(true, list.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{list}");
        }
        for (object, word) in [("{}", None), ("null", None), (" {\"word\": \"all\"}", Some("all"))]
        {
            let wish = parsed::<Option<Wish>>(true, object.as_bytes()).unwrap().unwrap_or_default();
            assert_eq!(wish.word.as_deref(), word, "{object}");
        }
    }
}
