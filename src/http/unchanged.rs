//! Answers in one line where the asker has already what is there.
//!
//! What a program may ask for again and again (the API, its document, the pages' own files) carries an
//! entity tag: a digest of the answer. Pages are not kept by anybody, since who looks at them may
//! log out. The work of making the answer is done all the same; what is saved is the way.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// What is larger goes without a tag.
const LARGEST: u64 = 8 * 1024 * 1024;
/// Bytes of the digest in a tag.
const TAG_BYTES: usize = 16;

/// Adds the tag, and leaves the body out where the asker knows the tag.
pub(super) async fn tagged(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_repeated = path.starts_with("/api/") || path.starts_with("/assets/");
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read || !(is_repeated || path == "/openapi.json") {
        return next.run(request).await;
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    // A stream has no size.
    let size = response.body().size_hint().exact();
    if response.status() != StatusCode::OK || size.is_none_or(|size| size > LARGEST) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return Problem::internal(&error).into_response(),
    };
    mark(&mut parts.headers, &bytes);
    if known.is_some_and(|known| knows(&known, &parts.headers)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Weak, since it may be compressed on its way.
fn mark(headers: &mut HeaderMap, bytes: &[u8]) {
    let digest: String =
        Sha256::digest(bytes).iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let tag = HeaderValue::from_str(&format!("W/\"{digest}\"")).expect("hexadecimal digits");
    headers.insert(header::ETAG, tag);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
}

/// Whether the tag is among those the asker knows; compared weakly (RFC 9110, 13.1.2).
fn knows(known: &HeaderValue, headers: &HeaderMap) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Some(own) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    let own = opaque(own);
    known
        .to_str()
        .is_ok_and(|known| known.split(',').map(opaque).any(|tag| tag == own || tag == "*"))
}
