//! Asks the running daemon through its API.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use selfheal_agents::model::clean;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::output::{Exit, Failure};
use super::trust::Trust;
use crate::http::USER_AGENT;
use crate::http::body::{OwnHealth, ProblemBody, Success};

/// How long the daemon may take to accept.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long the daemon may take to answer; it has a limit of its own below this.
const LIMIT: Duration = Duration::from_secs(190);

/// A daemon at an address.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    who: String,
    token: Option<HeaderValue>,
}

/// Why the daemon did not answer.
#[derive(Debug)]
pub enum CallError {
    /// Nobody listens there.
    Absent(String),
    /// It answered that it will not, or something that is no answer.
    Refused(Failure),
    /// It answered that it cannot now; it may later.
    NotNow(String),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Absent(text) => Self::new(Exit::Unreachable, text).next("selfheal run"),
            CallError::Refused(failure) => failure,
            CallError::NotNow(text) => Self::new(Exit::Wrong, text).next("the same in a moment"),
        }
    }
}

impl Client {
    /// Prepares calls to the daemon at `url`, in the name of `who`.
    pub(super) fn new(url: &str, who: &str, trust: Trust) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(Exit::Usage, format!("`{url}` is no address of a daemon: {why}"))
                .next("selfheal status --url http://127.0.0.1:8003")
        };
        let base = Url::parse(url)
            .map_err(|_| wrong("it does not begin with http:// or https://".to_owned()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("it does not begin with http:// or https://".to_owned()));
        }
        let http = trust
            .given_to(reqwest::Client::builder())?
            // The daemon is near; a proxy for the world outside is of no use.
            .no_proxy()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .build()
            .map_err(|e| Failure::new(Exit::Wrong, format!("no HTTP client: {e}")))?;
        Ok(Self { http, base, who: clean(who, 64), token: None })
    }

    /// The same showing a token, for a daemon that asks for one.
    pub(super) fn with_token(mut self, token: &SecretString) -> Result<Self, Failure> {
        let text = format!("Bearer {}", token.expose_secret());
        let mut header = HeaderValue::from_str(&text).map_err(|_| {
            Failure::new(Exit::Usage, "the token has characters that no token has")
                .next("put what `selfheal token create` printed into SELFHEAL_TOKEN")
        })?;
        header.set_sensitive(true);
        self.token = Some(header);
        Ok(self)
    }

    /// Where it asks.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// In whose name it asks.
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// A plain answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// How the daemon itself is, which it also says when it is not well.
    pub(super) async fn own_health(&self) -> Result<OwnHealth, CallError> {
        let response = self.request(Method::GET, "/health").send().await;
        let body = response.map_err(|e| self.absent(&e))?.bytes().await;
        let body = body.map_err(|e| self.absent(&e))?;
        serde_json::from_slice(&body).map_err(|_| self.stranger())
    }

    /// An answer under `/api/monitoring`.
    pub(super) async fn monitoring<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let answer: Success<T> = self.get(path).await?;
        Ok(answer.data)
    }

    /// Asks for something to be done.
    pub(super) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, CallError> {
        let request = self.request(Method::POST, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.answer(request).await
    }

    /// Asks for something to be ended.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// The event stream, going on after that event; it has no time limit.
    pub(super) async fn events(&self, after: Option<&str>) -> Result<Response, CallError> {
        let request = self.request(Method::GET, "/api/events").timeout(Duration::from_hours(24));
        let request = match after {
            Some(after) => request.header("last-event-id", after),
            None => request,
        };
        let response = request.send().await.map_err(|e| self.absent(&e))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, response).await),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        let request = self.http.request(method, url).header("x-selfheal-user", &self.who);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    fn absent(&self, error: &reqwest::Error) -> CallError {
        if let Some(why) = crate::probes::tls_fault(error) {
            let what = format!("the daemon at {} is not trusted: {why}", self.url());
            return CallError::Refused(
                Failure::new(Exit::Unreachable, what).next(
                    "name the authority of its certificate with --ca-file or SELFHEAL_CA_FILE",
                ),
            );
        }
        let why = if error.is_timeout() { "it did not answer in time" } else { "nobody answers" };
        CallError::Absent(format!("the daemon at {} cannot be reached: {why}", self.url()))
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let response = request.send().await.map_err(|e| self.absent(&e))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(status, response).await);
        }
        let body = response.bytes().await.map_err(|e| self.absent(&e))?;
        serde_json::from_slice(&body).map_err(|_| self.stranger())
    }

    /// Why it will not, or cannot now.
    async fn refusal(&self, status: StatusCode, response: Response) -> CallError {
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.absent(&error),
        };
        let problem = serde_json::from_slice::<ProblemBody>(&body).ok();
        if is_not_now(status) {
            // A proxy before a daemon that is away answers in words of its own.
            let why = problem.map_or_else(|| format!("it answers {status}"), |said| said.detail);
            return CallError::NotNow(why);
        }
        let Some(problem) = problem else { return self.stranger() };
        let exit = match status {
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Exit::Usage,
            _ => Exit::Wrong,
        };
        let refused = Failure::new(exit, problem.detail);
        CallError::Refused(match status {
            StatusCode::UNAUTHORIZED => self.no_entry(),
            StatusCode::FORBIDDEN if self.token.is_some() => {
                refused.next("selfheal token list, where the daemon runs")
            }
            _ => refused,
        })
    }

    fn no_entry(&self) -> Failure {
        let (what, next) = if self.token.is_some() {
            (
                "refuses this token: it is not known there, revoked or expired",
                "selfheal token list, where the daemon runs",
            )
        } else {
            (
                "asks for a token",
                "selfheal token create NAME --scope operator, where the daemon runs; then put what \
                 it prints into SELFHEAL_TOKEN, or into a file and name that with --token-file",
            )
        };
        Failure::new(Exit::Usage, format!("the daemon at {} {what}", self.url())).next(next)
    }

    fn stranger(&self) -> CallError {
        let text = format!("what answers at {} is no Selfheal of this version", self.url());
        CallError::Refused(
            Failure::new(Exit::Unreachable, text)
                .next("name the right address with --url or SELFHEAL_URL"),
        )
    }
}

/// Whether it may be answered later.
fn is_not_now(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// A text as one part of a path or query.
pub(super) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
