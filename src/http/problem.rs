//! What a request is answered when it cannot be done: a problem document (RFC 9457).
//!
//! The one error type of the API. Its text says what was wrong, where, and what to do;
//! what is wrong inside us is logged here, once, and never shown.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use selfheal_agents::model::clean;
use selfheal_agents::ports::StoreError;

use super::body::ProblemBody;
use crate::coordinator::RequestError;

/// A request that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

/// What handlers answer.
pub(super) type Answer<T> = Result<T, Problem>;

impl Problem {
    /// With this status; `detail` may hold text from strangers.
    pub(super) fn new(status: StatusCode, detail: impl AsRef<str>) -> Self {
        Self { status, detail: clean(detail.as_ref(), 600) }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Something failed in here; `fault` goes to the log only.
    pub(super) fn internal(fault: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %fault, "a request failed: {fault}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Selfheal could not do this; its log says why (journalctl -u selfheal, or docker logs)",
        )
    }

    /// The status.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// What was wrong and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    fn body(&self) -> ProblemBody {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let kind = title.to_ascii_lowercase().replace(' ', "-");
        ProblemBody {
            kind: format!("urn:selfheal:problem:{kind}"),
            title: title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.body()).expect("a problem is plain text");
        let kind = HeaderValue::from_static("application/problem+json");
        (self.status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotFound(text) => Self::not_found(text),
            RequestError::Conflict(text) | RequestError::NotYet(text) => {
                Self::new(StatusCode::CONFLICT, text)
            }
            RequestError::Failed(text) => {
                tracing::error!(error = %text, "a request failed: {text}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "a request failed: {error}");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the store cannot be read now; `selfheal doctor` says why",
                )
            }
            StoreError::Conflict(text) => Self::new(StatusCode::CONFLICT, text),
            StoreError::Corrupt(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_internal_fault_is_not_shown() {
        let problem = Problem::internal(&"password=hunter2 at /var/lib");
        assert!(!problem.detail().contains("hunter2"));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_strangers_wrote_is_cleaned() {
        let problem = Problem::not_found("no target \u{1b}[31mred\u{202e}");
        assert_eq!(problem.detail(), "no target [31mred");
    }

    #[test]
    fn it_carries_the_members_of_the_standard() {
        let body = serde_json::to_value(Problem::bad_request("x").body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:selfheal:problem:bad-request",
                "title": "Bad Request",
                "status": 400,
                "detail": "x",
            })
        );
    }
}
