//! Asks an HTTP endpoint and compares the answer with the wanted one.
//!
//! Invariant: one request, no redirect, no proxy, no kept connection, a bounded part of
//! the body. Certificates are judged strictly; their expiry is read apart, by
//! [`super::certificate`], also where they are no longer valid.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use selfheal_agents::model::{HttpEndpoint, HttpFacts};

use super::certificate::Certificates;

/// As much of a body as is looked at.
const LARGEST_BODY_BYTES: usize = 64 * 1024;

/// Asks HTTP endpoints.
#[derive(Debug, Default)]
pub(super) struct HttpProbe {
    /// Made at the first use: reading the system's root certificates takes a moment.
    client: OnceLock<Client>,
    certificates: Certificates,
}

impl HttpProbe {
    pub(super) async fn ask(&self, endpoint: &HttpEndpoint, limit: Duration) -> HttpFacts {
        let start = Instant::now();
        let mut facts = HttpFacts::default();
        let outcome = tokio::time::timeout(limit, self.request(&mut facts, endpoint));
        let expiry = tokio::time::timeout(limit, self.certificates.expiry(&endpoint.url));
        let (outcome, expiry) = tokio::join!(outcome, expiry);
        facts.certificate_expires_at = expiry.ok().flatten();
        facts.error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(word)) => Some(word),
            Err(_) => Some("timeout".to_owned()),
        };
        facts.ok = facts.error.is_none();
        facts.timed_out = facts.error.as_deref() == Some("timeout");
        if facts.latency_ms.is_none() && facts.timed_out {
            facts.latency_ms = Some(super::elapsed_ms(start));
        }
        facts
    }

    /// The word for what was wrong is the error.
    async fn request(&self, facts: &mut HttpFacts, endpoint: &HttpEndpoint) -> Result<(), String> {
        let start = Instant::now();
        let headers = headers(&endpoint.headers)?;
        let client = self.client.get_or_init(client);
        let mut response =
            client.get(&endpoint.url).headers(headers).send().await.map_err(|e| word_of(&e))?;
        let status = response.status().as_u16();
        facts.status = Some(status);
        let body = read_body(&mut response).await.map_err(|error| word_of(&error))?;
        facts.latency_ms = Some(super::elapsed_ms(start));
        let is_right = if endpoint.expected_status.is_empty() {
            (200..=399).contains(&status)
        } else {
            endpoint.expected_status.contains(&status)
        };
        if !is_right {
            return Err(status.to_string());
        }
        let wanted = endpoint.body_contains.as_deref().unwrap_or("");
        if String::from_utf8_lossy(&body).contains(wanted) {
            Ok(())
        } else {
            Err("body".to_owned())
        }
    }
}

fn headers(wanted: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        // The value may be a secret: only the name is shown.
        let (name, value) = parsed
            .ok_or_else(|| super::reason(&format!("the header `{name}` is not valid"), None))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The time limit is the caller's: it spans the whole of a question.
fn client() -> Client {
    let mut roots = rustls::RootCertStore::empty();
    // A system without root certificates trusts nobody: then every https answer is `tls`.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("selfheal/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .expect("the options are constant and the TLS configuration is ours")
}

async fn read_body(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < LARGEST_BODY_BYTES {
        let Some(chunk) = response.chunk().await? else { break };
        let room = LARGEST_BODY_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(body)
}

/// The client's errors hide their cause behind several others.
fn word_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timeout".to_owned();
    }
    if error.is_dns() {
        return "dns".to_owned();
    }
    if tls_fault(error).is_some() {
        return "tls".to_owned();
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
        if let Some(word) = source.downcast_ref::<io::Error>().and_then(super::word_of) {
            return word.to_owned();
        }
    }
    // The outer error repeats the address, which may hold a secret in its query.
    super::reason(&deepest, None)
}

/// What the TLS library says, if it is what failed.
pub(crate) fn tls_fault(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
        let within = || source.downcast_ref::<io::Error>().and_then(tls_within);
        if let Some(fault) = source.downcast_ref::<rustls::Error>().or_else(within) {
            return Some(fault);
        }
    }
    None
}

/// An error of the TLS library travels inside one or several of the input and output kind,
/// which do not name it as their source.
fn tls_within(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = || inner.downcast_ref::<io::Error>().and_then(tls_within);
    inner.downcast_ref::<rustls::Error>().or_else(deeper)
}
