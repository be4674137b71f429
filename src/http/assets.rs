//! The pages' own style and script, and what they have from others, built into the program.
//!
//! Pages name each with a digest of its content, so a browser asks for it once and never gets an
//! old one. Whoever asks without the digest is let ask again each time.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Deserialize;

use super::extract::Params;
use super::problem::Problem;

/// Bytes of the digest in an address.
const DIGEST_BYTES: usize = 8;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// Where a page finds one of them.
pub(super) fn address(name: &str) -> String {
    let digest = Assets::get(name).map(|file| digest(&file)).unwrap_or_default();
    format!("/assets/{name}?v={digest}")
}

fn digest(file: &EmbeddedFile) -> String {
    let bytes = file.metadata.sha256_hash();
    bytes.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// With which content it is wanted.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(rename = "v")]
    digest: Option<String>,
}

/// One of them.
pub(super) async fn asset(Path(name): Path<String>, Params(wanted): Params<Wanted>) -> Response {
    let Some(file) = Assets::get(&name) else {
        return Problem::not_found("no such file").into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let kept = match wanted.digest {
        Some(wanted) if wanted == digest(&file) => "public, max-age=31536000, immutable",
        _ => "no-cache",
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)];
    (StatusCode::OK, headers, file.data.into_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(name: &str, digest: Option<String>) -> String {
        let answer = asset(Path(name.to_owned()), Params(Wanted { digest })).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.headers()[header::CACHE_CONTROL].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn only_what_is_asked_for_by_its_content_is_kept_for_good() {
        let address = address("vendor.js");
        let (_, digest) = address.split_once("?v=").unwrap();
        assert_eq!(digest.len(), 2 * DIGEST_BYTES, "{address}");
        assert!(kept("vendor.js", Some(digest.to_owned())).await.contains("immutable"));
        for old in [None, Some(String::new()), Some("0123456789abcdef".to_owned())] {
            assert_eq!(kept("vendor.js", old).await, "no-cache");
        }
    }

    #[test]
    fn our_own_script_is_small_and_what_others_made_names_its_licence() {
        let size = |name| Assets::get(name).unwrap().data.len();
        assert!(size("selfheal.js") <= 7_000, "{} bytes", size("selfheal.js"));
        let text = |name| String::from_utf8(Assets::get(name).unwrap().data.into_owned()).unwrap();
        let (script, licences) = (text("vendor.js"), text("vendor.txt"));
        for (made, licence) in [("htmx 4.0.1", "Zero-Clause BSD"), ("uPlot 1.6.32", "MIT License")]
        {
            assert!(script.lines().next().unwrap().contains(made), "{made}");
            assert!(licences.contains(made) && licences.contains(licence), "{made}");
        }
    }
}
