//! Whom the command line trusts where the daemon speaks TLS.
//!
//! The daemon of one's own settings is known by its very certificate, whatever name stands in it:
//! on this machine it is asked by its address. That is the one in the file, or the one that the daemon
//! wrote into its data directory when it began to show it: a file that was renewed badly is not used.
//! Any other is judged by the authorities of the
//! system, or by those of a file that was named for it.

use std::path::Path;
use std::sync::Arc;

use reqwest::{Certificate, ClientBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::output::{Exit, Failure};
use crate::http::tls::{TlsError, certificates, shown};

/// Whose certificate is good.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// That of an authority that the system knows.
    System,
    /// That of these authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// These very ones.
    Only(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// The authorities of a file.
    pub(super) fn authorities(file: &Path) -> Result<Self, Failure> {
        certificates(file).map(Self::Authorities).map_err(|error| {
            let (TlsError::Certificate { why, .. } | TlsError::Key { why, .. }) = error;
            let what = format!("the authorities in {}: {why}", file.display());
            Failure::new(Exit::Usage, what).next("name a PEM file with --ca-file")
        })
    }

    /// The certificate of one's own settings, and the one that their daemon says it shows.
    pub(super) fn own(file: &Path, data_dir: &Path) -> Result<Self, Failure> {
        let shown = shown(data_dir);
        match certificates(file) {
            Ok(chain) => Ok(Self::Only(chain.into_iter().take(1).chain(shown).collect())),
            Err(error) => match shown {
                Some(shown) => Ok(Self::Only(vec![shown])),
                None => Err(Failure::new(Exit::Usage, error)),
            },
        }
    }

    pub(super) fn given_to(self, client: ClientBuilder) -> Result<ClientBuilder, Failure> {
        let wrong = |error: String| Failure::new(Exit::Usage, format!("no TLS: {error}"));
        match self {
            Self::System => Ok(client),
            Self::Authorities(all) => {
                let all: Result<Vec<_>, _> =
                    all.iter().map(|one| Certificate::from_der(one)).collect();
                Ok(client.tls_certs_only(all.map_err(|error| wrong(error.to_string()))?))
            }
            Self::Only(certificates) => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let verifier = Arc::new(Pinned { certificates, provider: Arc::clone(&provider) });
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| wrong(error.to_string()))?
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
                    .with_no_client_auth();
                Ok(client.tls_backend_preconfigured(config))
            }
        }
    }
}

/// Accepts these certificates, from whoever has the key.
#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|one| one == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
