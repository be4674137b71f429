//! Bodies, forms and ids of the API, as whatever bytes (see `crate::fuzzed`).

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::CONTENT_TYPE;
use futures_util::FutureExt as _;
use selfheal_agents::model::{BackupId, IncidentId, TargetId};
use serde::de::DeserializeOwned;

use super::body::{ApproveRequest, CheckRequest, DismissRequest, FreezeRequest};
use super::extract::{Fields, OptionalJson};

/// Each is read or refused, as in a handler.
pub(crate) fn bodies(bytes: &[u8]) {
    json::<ApproveRequest>(bytes);
    json::<CheckRequest>(bytes);
    json::<DismissRequest>(bytes);
    form::<DismissRequest>(bytes);
    if let Some(freeze) = json::<FreezeRequest>(bytes) {
        let now = chrono::Utc::now();
        if let Ok(Some(until)) = freeze.until(now) {
            assert!(until > now, "{freeze:?}");
        }
        assert!(!freeze.reason().chars().any(char::is_control), "{freeze:?}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        let _ = line.parse::<BackupId>().map(|id| {
            assert!(!id.to_string().contains(['/', '\0']), "an id is no path: {id}");
        });
        let _ = line.parse::<IncidentId>();
        let _ = line.parse::<TargetId>().map(|id| {
            assert_eq!(id.to_string().parse::<TargetId>().ok(), Some(id), "{line:?}");
        });
    }
}

fn request(kind: &str, bytes: &[u8]) -> Request {
    let mut request = Request::new(Body::from(bytes.to_vec()));
    *request.method_mut() = axum::http::Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a kind of ours"));
    request
}

/// What lies in memory is there at once.
fn json<T: DeserializeOwned + Default>(bytes: &[u8]) -> Option<T> {
    let read = OptionalJson::<T>::from_request(request("application/json", bytes), &());
    read.now_or_never()?.ok().map(|OptionalJson(read)| read)
}

fn form<T: DeserializeOwned + Default>(bytes: &[u8]) {
    let kind = "application/x-www-form-urlencoded";
    let _ = Fields::<T>::from_request(request(kind, bytes), &()).now_or_never();
}
