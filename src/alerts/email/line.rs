//! A connection to the mail server, opened when it is needed and again after a failure.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use selfheal_agents::model::SecretText;

use crate::config::SmtpTls;

/// How long a server may take for a farewell that changes nothing.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the mail server is reached.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: SmtpTls,
    /// Certificates trusted beside those of the system.
    pub(super) authority: Option<Certificate>,
    /// User and password.
    pub(super) login: Option<(SecretText, SecretText)>,
    /// The name in the greeting; without it an address.
    pub(super) greets_as: Option<String>,
}

/// Why a delivery failed.
pub(super) struct Refused {
    pub(super) why: String,
    /// Whether this very address or message is refused for good (a reply 5xx).
    pub(super) address: bool,
}

/// A connection that comes and goes.
pub(super) struct Line<'a> {
    server: &'a Server,
    limit: Duration,
    open: Option<AsyncSmtpConnection>,
}

impl<'a> Line<'a> {
    pub(super) const fn new(server: &'a Server, limit: Duration) -> Self {
        Self { server, limit, open: None }
    }

    /// Delivers to one envelope.
    pub(super) async fn send(&mut self, envelope: &Envelope, letter: &[u8]) -> Result<(), Refused> {
        let limit = self.limit;
        let delivery = async {
            self.open().await?;
            // Taken: a connection on which something failed is not used again.
            let Some(mut connection) = self.open.take() else { return Ok(()) };
            connection.send(envelope, letter).await.map_err(|error| Refused {
                address: error.is_permanent(),
                why: in_words(&error),
            })?;
            self.open = Some(connection);
            Ok(())
        };
        tokio::time::timeout(limit, delivery).await.unwrap_or_else(|_| Err(late()))
    }

    /// Makes sure that there is a connection on which mail can be sent.
    pub(super) async fn open(&mut self) -> Result<(), Refused> {
        if self.open.is_none() {
            let connected = tokio::time::timeout(self.limit, connect(self.server)).await;
            // A login that is refused says nothing of an address.
            let refused = |error| Refused { why: in_words(&error), address: false };
            self.open = Some(connected.map_err(|_| late())?.map_err(refused)?);
        }
        Ok(())
    }

    /// Takes leave; nothing depends on whether the server answers.
    pub(super) async fn close(self) {
        if let Some(mut connection) = self.open {
            let _ = tokio::time::timeout(FAREWELL, connection.abort()).await;
        }
    }
}

async fn connect(server: &Server) -> Result<AsyncSmtpConnection, Error> {
    let name = server.greets_as.clone().map_or_else(ClientId::default, ClientId::Domain);
    let tls = match server.tls {
        SmtpTls::None => None,
        SmtpTls::Starttls | SmtpTls::Tls => Some(protection(server)?),
    };
    let address = (server.host.as_str(), server.port);
    let (at_once, later) = if server.tls == SmtpTls::Tls { (tls, None) } else { (None, tls) };
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(address, None, &name, at_once, None).await?;
    if let Some(tls) = later {
        connection.starttls(tls, &name).await?;
    }
    if let Some((user, password)) = &server.login {
        let login = Credentials::new(user.expose().to_owned(), password.expose().to_owned());
        connection.auth(DEFAULT_MECHANISMS, &login).await?;
    }
    Ok(connection)
}

/// Made for each connection: the certificates of the system are not kept in memory for a
/// letter a week, and new ones count at once.
fn protection(server: &Server) -> Result<TlsParameters, Error> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(authority) = &server.authority {
        builder = builder.add_root_certificate(authority.clone());
    }
    builder.build_rustls()
}

fn late() -> Refused {
    Refused { why: "the mail server did not answer in time".to_owned(), address: false }
}

fn in_words(error: &Error) -> String {
    match error.status() {
        // The server's own words, in which it may name its remedy.
        Some(code) => {
            let said = std::error::Error::source(error).map(ToString::to_string);
            format!("the mail server answered {code} {}", said.unwrap_or_default())
        }
        None => format!("the mail server cannot be used: {error}"),
    }
}
