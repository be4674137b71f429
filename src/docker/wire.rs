//! The connection: one HTTP request to Docker over a socket of its own.
//!
//! Bollard's requests and our raw reads go the same way, so that every failure has the
//! same shape. A connection is made for each request: the daemon may come and go, and
//! nothing remembers that it was away. Sets no time limit; the callers do.

use std::path::PathBuf;
use std::sync::Arc;

use bollard::errors::Error;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::ssh::{Login, Tunnel};

/// The largest answer that is read whole, in bytes: a list of some ten thousand containers.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// What is read from Docker at once, in bytes; its headers have to fit.
const READ_BUFFER: usize = 4 * 1024;
/// So many answers are read at the same time from an engine of this machine, ...
const READ_AT_ONCE: usize = 16;
/// ... and from one that is further away, where most of the time is the way: each has a connection of its
/// own, and what a thousand need together at one moment the program would keep.
const READ_AT_ONCE_FROM_AFAR: usize = 64;
/// The largest error answer that is read, in bytes.
const LARGEST_ERROR: usize = 16 * 1024;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests to one address.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) address: Address,
    way: Way,
    turns: Arc<Semaphore>,
    turns_at_logs: Arc<Semaphore>,
}

/// What a connection to the address is made by.
#[derive(Debug, Clone)]
enum Way {
    Unix(PathBuf),
    /// With what it is encrypted, where it is.
    Tcp(String, u16, Option<Arc<ClientConfig>>),
    Ssh(Arc<Tunnel>),
}

impl Wire {
    /// Prepares the way there; `tls` is for TCP, `login` for SSH.
    pub(super) fn new(address: Address, tls: Option<Arc<ClientConfig>>, login: Login) -> Self {
        let way = match address.clone() {
            Address::Unix(path) => Way::Unix(path),
            Address::Tcp { host, port } => Way::Tcp(host, port, tls),
            Address::Ssh(ssh) => Way::Ssh(Arc::new(Tunnel::new(ssh, login))),
        };
        let is_near = matches!(way, Way::Unix(_));
        let at_once = if is_near { READ_AT_ONCE } else { READ_AT_ONCE_FROM_AFAR };
        let turns = || Arc::new(Semaphore::new(at_once));
        Self { address, way, turns: turns(), turns_at_logs: turns() }
    }

    /// Waits until few enough answers are read to read one more, which is as long as this is kept.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.turns.acquire().await.ok()
    }

    /// The same for logs, which are not read in turn with all else: drivers of logs hang where the engine
    /// does not.
    pub(super) async fn turn_at_logs(&self) -> Option<SemaphorePermit<'_>> {
        self.turns_at_logs.acquire().await.ok()
    }

    /// Waits until a way that has to be opened first is open, or fails with why it is not.
    pub(super) async fn opened(&self) -> Result<(), Error> {
        match &self.way {
            Way::Ssh(tunnel) => Ok(tunnel.opened().await.map(drop)?),
            Way::Unix(_) | Way::Tcp(..) => Ok(()),
        }
    }

    /// Sends one request over a new connection; the answer may have any status.
    pub(super) async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<AnyError>,
    {
        match &self.way {
            Way::Unix(path) => {
                exchange(tokio::net::UnixStream::connect(path).await?, "docker", request).await
            }
            Way::Tcp(host, port, tls) => {
                let bare = host.trim_matches(['[', ']']);
                let stream = tokio::net::TcpStream::connect((bare, *port)).await?;
                let authority = format!("{host}:{port}");
                let Some(tls) = tls else {
                    return exchange(stream, &authority, request).await;
                };
                let name = ServerName::try_from(bare.to_owned()).map_err(std::io::Error::other)?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
                exchange(stream, &authority, request).await
            }
            // In a box: seldom gone, it would make the calls of the other ways larger.
            Way::Ssh(tunnel) => Box::pin(through(tunnel, request)).await,
        }
    }

    /// Asks for something and gives its body as it comes; a refusal is an error.
    pub(super) async fn get(&self, path_and_query: &str) -> Result<Incoming, Error> {
        let request = Request::get(path_and_query).body(Empty::<Bytes>::new())?;
        accepted(self.send(request).await?).await
    }

    /// Sends a document and gives back what was answered, null where nothing was.
    pub(super) async fn post_json(&self, path: &str, document: &Value) -> Result<Value, Error> {
        let body = Full::new(Bytes::from(document.to_string()));
        let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(body)?;
        let answer = accepted(self.send(request).await?).await?;
        let body = Limited::new(answer, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| Error::IOError { err: std::io::Error::other(error) })?;
        let body = body.to_bytes();
        if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&body)?) }
    }

    /// Asks for something of so many bytes at most and reads it whole.
    pub(super) async fn get_bytes(&self, path: &str, most: usize) -> Result<Bytes, Error> {
        let body = Limited::new(self.get(path).await?, most).collect().await;
        let body = body.map_err(|error| Error::IOError { err: std::io::Error::other(error) })?;
        Ok(body.to_bytes())
    }

    /// Sends a tar archive.
    pub(super) async fn put_tar(&self, path: &str, archive: Vec<u8>) -> Result<(), Error> {
        let body = Full::new(Bytes::from(archive));
        let request = Request::put(path).header(CONTENT_TYPE, "application/x-tar").body(body)?;
        accepted(self.send(request).await?).await.map(drop)
    }

    /// Asks for something and reads it as JSON.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let _turn = self.turn().await;
        let body = self.get(path).await?;
        let body =
            Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| match error
                .downcast::<hyper::Error>(
            ) {
                Ok(err) => Error::HyperResponseError { err: *err },
                Err(other) => Error::IOError { err: std::io::Error::other(other) },
            })?;
        Ok(serde_json::from_slice(&body.to_bytes())?)
    }
}

/// Through SSH, whose client knows best why a connection breaks off.
async fn through<B>(tunnel: &Tunnel, request: Request<B>) -> Result<Response<Incoming>, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<AnyError>,
{
    let (stream, talk) = tunnel.connect().await?;
    match exchange(stream, "docker", request).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(talk.last_word().await.map_or(error, Error::from)),
    }
}

/// The body of an answer; a refusal is an error.
async fn accepted(response: Response<Incoming>) -> Result<Incoming, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = Limited::new(response.into_body(), LARGEST_ERROR).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Err(Error::DockerResponseServerError {
        status_code: status.as_u16(),
        message: message_of(&body),
    })
}

async fn exchange<S, B>(
    stream: S,
    host: &str,
    mut request: Request<B>,
) -> Result<Response<Incoming>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<AnyError>,
{
    // Bollard writes an absolute address with an invented host; a server wants the path.
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = without_version(path.as_str()).parse()?;
    }
    let host = HeaderValue::from_str(host).unwrap_or_else(|_| HeaderValue::from_static("docker"));
    request.headers_mut().insert(HOST, host);
    // A followed log holds its connection, and so its buffer, as long as the container lives.
    let mut connection = hyper::client::conn::http1::Builder::new();
    connection.read_buf_exact_size(Some(READ_BUFFER));
    let (mut sender, connection) = connection.handshake(TokioIo::new(stream)).await?;
    // Ends when the answer was read or is no longer wanted.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to Docker ended with an error");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// The path without a version of the API before it, such as `/v1.41`.
fn without_version(path: &str) -> &str {
    let Some((version, _)) = path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) else {
        return path;
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match version.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => &path[2 + version.len()..],
        _ => path,
    }
}

/// Docker's own words in a refusal: `{"message": "..."}`, else the body as it is.
pub(super) fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice::<Refusal>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |refusal| refusal.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_is_taken_from_a_path() {
        for (path, expected) in [
            ("/v1.41/containers/json?all=1", "/containers/json?all=1"),
            ("/containers/v1.41/json", "/containers/v1.41/json"),
            ("/version", "/version"),
            ("/v1.x/events", "/v1.x/events"),
            ("/v1.41", "/v1.41"),
        ] {
            assert_eq!(without_version(path), expected);
        }
    }

    #[test]
    fn a_refusal_is_read_from_json_or_taken_as_it_is() {
        assert_eq!(message_of(br#"{"message":"no"}"#), "no");
        assert_eq!(message_of(b"<html>"), "<html>");
    }
}
