//! Until when a server's certificate is valid.
//!
//! Invariant: nothing is trusted here. Whatever certificate the server shows is read, the
//! expired and self-signed ones too, since those are what a person must hear of; no byte
//! is sent over the connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use selfheal_agents::model::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// Certificates live for months.
const REMEMBERED: Duration = Duration::from_hours(1);
/// One about to end may be renewed at any moment.
const REMEMBERED_NEAR_ITS_END: Duration = Duration::from_mins(1);
const NEAR_ITS_END_SECS: i64 = 30 * 24 * 3600;

/// What was read, by host and port.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    read: Mutex<HashMap<(String, u16), (Instant, Timestamp)>>,
}

impl Certificates {
    /// End of validity of the certificate behind an `https` address; nothing for others
    /// and where none could be read.
    pub(super) async fn expiry(&self, url: &str) -> Option<Timestamp> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        // Brackets around an IPv6 address belong to the URL, not to the name.
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let key = (host, url.port_or_known_default()?);
        if let Some(known) = self.remembered(&key) {
            return Some(known);
        }
        let expiry = read_expiry(&key.0, key.1).await?;
        self.lock().insert(key, (Instant::now(), expiry));
        Some(expiry)
    }

    fn remembered(&self, key: &(String, u16)) -> Option<Timestamp> {
        let (at, expiry) = *self.lock().get(key)?;
        let left_secs = (expiry - chrono::Utc::now()).num_seconds();
        let lifetime =
            if left_secs > NEAR_ITS_END_SECS { REMEMBERED } else { REMEMBERED_NEAR_ITS_END };
        (at.elapsed() < lifetime).then_some(expiry)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), (Instant, Timestamp)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_expiry(host: &str, port: u16) -> Option<Timestamp> {
    let (connector, recorder) = trusting_nobody()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let stream = TcpStream::connect((host, port)).await.ok()?;
    // A handshake that fails later (a client certificate is wanted) has shown it all the same.
    let _ = connector.connect(name, stream).await;
    let shown = recorder.shown.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    end_of(&shown).ok()
}

/// When a certificate (DER) ends; the error says what is wrong with it.
pub(crate) fn end_of(certificate: &[u8]) -> Result<Timestamp, String> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("it is no certificate: {error}"))?;
    let ends = read.validity().not_after.timestamp();
    Timestamp::from_timestamp(ends, 0).ok_or_else(|| "its end is no time".to_owned())
}

/// Completes a handshake and says goodbye: one that breaks off stands in the server's log. A server
/// that fails at it has answered all the same.
pub(super) async fn shake_hands(host: &str, stream: TcpStream) {
    let Some((connector, _)) = trusting_nobody() else { return };
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return };
    if let Ok(mut stream) = connector.connect(name, stream).await {
        let _ = stream.shutdown().await;
        // Until it hangs up: what it still says, left unread, would be a broken connection to it.
        let _ = stream.read(&mut [0]).await;
    }
}

fn trusting_nobody() -> Option<(TlsConnector, Arc<Recorder>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let recorder = Arc::new(Recorder { provider: Arc::clone(&provider), shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    Some((TlsConnector::from(Arc::new(config)), recorder))
}

/// Accepts any certificate and keeps it.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
