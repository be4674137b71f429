//! TLS for the API, by a certificate and a key in files.
//!
//! The invariant: only a certificate that was read whole and whose key belongs to it is ever used.
//! Whoever renews the files while Selfheal runs has the new one used within seconds; what cannot
//! be used is told of in the log, and the one before stays. Which one is shown is written down beside
//! the store, for the command line, which asks the daemon of its own settings by this very certificate.
//! It asks nobody for a certificate of their own, and makes none.

mod listener;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selfheal_agents::model::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::listener::TlsListener;
use crate::probes::certificate::end_of;
use crate::store::replace_as_owner;
use crate::upkeep::{Part, Upkeep};

/// How often is looked whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A certificate that ends so soon should have been renewed.
pub const RENEW_BEFORE: chrono::TimeDelta = chrono::TimeDelta::days(14);
/// Where in the data directory the certificate stands that is shown.
const SHOWN: &str = "api-certificate.der";
/// The files are looked at each few seconds.
const CERTIFICATE: Part =
    Part { name: "the API's certificate", turns_within: Some(Duration::from_mins(2)) };

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be used.
    #[error("api.tls.cert_file = \"{}\": {why}", file.display())]
    Certificate {
        /// Which file.
        file: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// The key cannot be used.
    #[error("api.tls.key_file = \"{}\": {why}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
}

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those between it and its authority after it, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM without a passphrase.
    pub key: PathBuf,
}

/// A certificate that can be used.
#[derive(Debug, Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    /// The certificate itself, without those between it and its authority.
    certificate: CertificateDer<'static>,
    /// Until when it is valid.
    pub ends: Timestamp,
}

impl TlsFiles {
    /// Reads both and puts them together.
    pub fn identity(&self) -> Result<Identity, TlsError> {
        let chain = certificates(&self.certificate)?;
        let certificate = chain[0].clone();
        let ends = end_of(&certificate).map_err(|why| self.certificate_is_wrong(why))?;
        let key = self.private_key()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.certificate_is_wrong(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => self.key_is_wrong(format!(
                    "this key does not belong to the certificate in {}; name the key that it was \
                     made with",
                    self.certificate.display()
                )),
                error => self.certificate_is_wrong(format!("it cannot be used: {error}")),
            })?;
        let mut config = config;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity { config: Arc::new(config), certificate, ends })
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            self.key_is_wrong(match error {
                pem::Error::Io(error) => unreadable(&error),
                pem::Error::NoItemsFound => "it holds no private key without a passphrase; give \
                     the key as PEM (`-----BEGIN PRIVATE KEY-----`)"
                    .to_owned(),
                error => format!("it is no PEM: {error}"),
            })
        })
    }

    fn key_is_wrong(&self, why: String) -> TlsError {
        TlsError::Key { file: self.key.clone(), why }
    }

    fn certificate_is_wrong(&self, why: String) -> TlsError {
        TlsError::Certificate { file: self.certificate.clone(), why }
    }

    /// What shows that a file is another one than before.
    fn marks(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.certificate, &self.key].map(|file| {
            let facts = file.metadata().ok()?;
            Some((facts.modified().ok()?, facts.len()))
        })
    }
}

/// The certificate that the daemon of this data directory shows, as far as is known; whatever stands
/// in the files that its settings name.
pub fn shown(data_dir: &Path) -> Option<CertificateDer<'static>> {
    let read = std::fs::read(data_dir.join(SHOWN)).ok()?;
    Some(CertificateDer::from(read))
}

/// The certificates of a file, at least one.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError::Certificate { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| {
        wrong(match error {
            pem::Error::Io(error) => unreadable(&error),
            error => format!("it is no PEM: {error}"),
        })
    })?;
    if chain.is_empty() {
        let why = "it holds no certificate; give it as PEM (`-----BEGIN CERTIFICATE-----`)";
        return Err(wrong(why.to_owned()));
    }
    Ok(chain)
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it cannot be read: {error}; whoever runs Selfheal must be allowed to")
}

/// TLS in use.
#[derive(Debug, Clone)]
pub struct Tls {
    files: TlsFiles,
    marks: [Option<(SystemTime, u64)>; 2],
    /// Why the changed files are not used, as it was told.
    refused: Option<String>,
    config: watch::Sender<Arc<ServerConfig>>,
    /// The one in use.
    certificate: CertificateDer<'static>,
    /// Where it is written down.
    shown: PathBuf,
}

impl Tls {
    /// By these files, as they are now, with what is shown written into `data_dir`.
    pub fn of(files: TlsFiles, data_dir: &Path) -> Result<Self, TlsError> {
        // Before they are read: what changes meanwhile is read again.
        let marks = files.marks();
        let identity = files.identity()?;
        tell_of_end(&identity);
        Ok(Self {
            config: watch::Sender::new(identity.config),
            certificate: identity.certificate,
            shown: data_dir.join(SHOWN),
            marks,
            refused: None,
            files,
        })
    }

    /// The listener that speaks it.
    pub(super) fn over(&self, tcp: TcpListener) -> TlsListener {
        TlsListener::new(tcp, self.config.subscribe())
    }

    /// Keeps following the files until `cancel`.
    pub(super) fn keep(self, upkeep: &Upkeep, cancel: &CancellationToken) {
        let cancel = cancel.clone();
        upkeep.keep(CERTIFICATE, move || {
            let (following, cancel) = (self.clone().follow(), cancel.clone());
            async move {
                cancel.run_until_cancelled(following).await;
            }
        });
    }

    async fn follow(mut self) {
        self.write_down();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    /// Writes down which certificate is shown. Without that the command line knows those of the files.
    fn write_down(&self) {
        if let Err(error) = replace_as_owner(&self.shown, &self.certificate) {
            tracing::warn!(%error, "{} cannot be written: {error}", self.shown.display());
        }
    }

    /// Takes the files anew if they changed.
    fn look(&mut self) {
        let marks = self.files.marks();
        if marks == self.marks {
            return;
        }
        match self.files.identity() {
            Ok(identity) => {
                self.marks = marks;
                self.refused = None;
                let until = identity.ends.format("%Y-%m-%d %H:%M:%S UTC");
                tracing::info!("the API has a new certificate, valid until {until}");
                tell_of_end(&identity);
                self.config.send_replace(identity.config);
                self.certificate = identity.certificate;
                self.write_down();
            }
            // It is read again: who may read it can change without any mark of its own.
            Err(error) => {
                let why = error.to_string();
                if self.refused.as_ref() != Some(&why) {
                    tracing::error!("the changed certificate is refused, the old one stays: {why}");
                    self.refused = Some(why);
                }
            }
        }
    }
}

fn tell_of_end(identity: &Identity) {
    let (ends, now) = (identity.ends, chrono::Utc::now());
    if ends <= now {
        tracing::error!("the API's certificate ended at {ends}: nobody will trust it; renew it");
    } else if ends - now < RENEW_BEFORE {
        tracing::warn!("the API's certificate ends at {ends}; renew it");
    }
}

/// Tells handlers that the connection is encrypted, in the words of a proxy.
pub(super) async fn encrypted(mut request: Request, next: Next) -> Response {
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    next.run(request).await
}

#[cfg(test)]
mod tests;
