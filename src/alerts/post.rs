//! Sends over HTTP, and says in words without secrets why something did not arrive.
//!
//! Addresses and headers often are secrets: neither appears in an error or a log. Redirects are
//! not followed, so that an alert goes nowhere but where it was sent.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};
use selfheal_agents::model::{SecretText, clean};

use super::Refusal;

/// How long one try may take.
pub const LIMIT: Duration = Duration::from_secs(10);
/// More of an answer than any of ours needs, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Shorter parts of an address are words such as `api`.
const LEAST_SECRET: usize = 6;
/// Length of what is quoted of an answer, in characters.
const QUOTED: usize = 120;

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// A header has no proper name or value.
    #[error("the header `{0}` is not a valid header")]
    Header(String),
    /// An address does not name what it has to.
    #[error("the address names no topic; write it like https://ntfy.sh/my-topic")]
    Topic,
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Sends requests with the same headers.
pub(crate) struct Post {
    client: reqwest::Client,
}

/// What came back.
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// Parts of the address that an answer may repeat, and nobody else is to read.
    secrets: Vec<String>,
}

impl Post {
    /// One whose tries take at most `limit`.
    pub(crate) fn new(
        headers: &[(String, SecretText)],
        limit: Duration,
    ) -> Result<Self, PostError> {
        // Another part of the program may have installed the same provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let invalid = || PostError::Header(name.clone());
            let key: HeaderName = name.parse().map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        let client = reqwest::Client::builder()
            .timeout(limit)
            .redirect(Policy::none())
            .default_headers(map)
            .user_agent(concat!("selfheal/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| PostError::Client(error.without_url().to_string()))?;
        Ok(Self { client })
    }

    /// One that shows this token with every request.
    pub(super) fn bearing(token: &SecretText, limit: Duration) -> Result<Self, PostError> {
        let value = SecretText::new(format!("Bearer {}", token.expose()));
        Self::new(&[("authorization".to_owned(), value)], limit)
    }

    /// A request that asks for this address.
    pub(super) fn asking(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    /// A request to this address, to be filled and sent.
    pub(crate) fn to(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }
}

/// Sends a request and reads what comes back, whatever it says.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, Refusal> {
    let (client, request) = request.build_split();
    let request = request.map_err(in_words)?;
    let secrets = secrets_of(request.url());
    let mut answer = client.execute(request).await.map_err(in_words)?;
    let status = answer.status();
    let mut body = vec![];
    while let Some(part) = answer.chunk().await.map_err(in_words)? {
        let room = LONGEST_ANSWER - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if body.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(Answer { status, body, secrets })
}

/// Path, query and the longer parts of both: a page for an unknown path often repeats it.
fn secrets_of(url: &reqwest::Url) -> Vec<String> {
    let whole = [Some(url.path()), url.query()].into_iter().flatten();
    let parts = whole.clone().flat_map(|part| part.split(['/', '&', '=']));
    whole
        .clone()
        .chain(parts)
        .filter(|part| part.len() >= LEAST_SECRET)
        .map(str::to_owned)
        .collect()
}

impl Answer {
    /// Good if its status says so; else a refusal with the first of what it said.
    pub(crate) fn accepted(self) -> Result<Self, Refusal> {
        let Self { status, body, secrets } = &self;
        if status.is_success() {
            return Ok(self);
        }
        if status.is_redirection() {
            return Err(format!(
                "it answered {status}; redirects are not followed, give the final address"
            ));
        }
        let said = String::from_utf8_lossy(body).into_owned();
        let said = secrets.iter().fold(said, |said, secret| said.replace(secret, "***"));
        let said = clean(&said, QUOTED);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Err(format!("it answered {status}{said}"))
    }

    /// What it says as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn in_words(error: reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let error = error.without_url();
    // The sources say what the outer error leaves out, such as `connection refused`.
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}
