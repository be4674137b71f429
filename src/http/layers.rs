//! What surrounds every handler: an id and a log line for the request, a time limit, a
//! net for panics, and the headers that keep a browser narrow.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time limit of an ordinary call.
const LIMIT: Duration = Duration::from_secs(30);

/// Time limit of a call that waits for a cycle, a fix or a rollback.
const LONG_LIMIT: Duration = Duration::from_mins(3);

/// Nothing from elsewhere, nothing inline, no frame, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
     data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Gives the request an id (the caller's, if it is a harmless one) and logs it.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_harmless(id)).cloned();
    let id = given.unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is a header value")
    });
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let began = Instant::now();
    let mut response = next.run(request).await;
    tracing::debug!(
        http.method = %method,
        http.route = route,
        http.status = response.status().as_u16(),
        request.id = id.to_str().unwrap_or_default(),
        duration_ms = began.elapsed().as_secs_f64() * 1000.0,
        "{method} {route} answered {}",
        response.status()
    );
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn is_harmless(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=64).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Answers 408 when a handler takes too long. Event streams have no limit.
pub(super) async fn limit_time(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/api/events" {
        return next.run(request).await;
    }
    let limit = if request.method().is_safe() { LIMIT } else { LONG_LIMIT };
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("no answer within {seconds} s; what was begun goes on, see /api/incidents"),
        )
        .into_response()
    })
}

/// Narrows what a browser may do with the answer.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A panic of one request is an answer, not the end of the program.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn caught(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    Problem::internal(&format_args!("a handler panicked: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    async fn asked(method: &str, path: &str) -> (StatusCode, Duration) {
        let never = || std::future::pending::<()>();
        let router = Router::new().route("/x", any(never)).layer(from_fn(limit_time));
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let began = tokio::time::Instant::now();
        let answer = router.oneshot(request.unwrap()).await.unwrap();
        (answer.status(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_answer_is_told_so_after_a_while() {
        let (status, after) = asked("GET", "/x").await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        assert!((LIMIT..LIMIT * 2).contains(&after), "{after:?}");
        let (status, after) = asked("POST", "/x").await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        assert!((LONG_LIMIT..LONG_LIMIT * 2).contains(&after), "{after:?}");
    }
}
