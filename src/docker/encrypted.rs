//! TLS to an engine: its certificate is checked against an authority, and ours is shown to it.
//!
//! The invariant: nobody is trusted whom the given authority does not vouch for. The files are read
//! once; renewed ones are used from the next start on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The files that `docker --tlsverify` takes, each as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The authority that made the engine's certificate.
    pub ca: PathBuf,
    /// The certificate that the engine lets in.
    pub certificate: PathBuf,
    /// Its key, without a passphrase.
    pub key: PathBuf,
}

/// Why these files give no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct CredentialsError {
    /// Which file.
    pub file: PathBuf,
    why: String,
}

impl Credentials {
    /// Reads the files and puts them together.
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, CredentialsError> {
        let wrong = |file: &Path, why: String| CredentialsError { file: file.to_owned(), why };
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            roots.add(authority).map_err(|error| {
                wrong(&self.ca, format!("it holds no usable authority: {error}"))
            })?;
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| wrong(&self.key, said(e)))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.ca, error.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&self.certificate)?, key)
            .map_err(|error| {
                let certificate = self.certificate.display();
                wrong(&self.key, format!("it does not go with {certificate}: {error}"))
            })?;
        Ok(Arc::new(config))
    }
}

/// The certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let wrong = |why| CredentialsError { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(said(error)))?;
    if found.is_empty() {
        return Err(wrong("it holds no certificate as PEM".to_owned()));
    }
    Ok(found)
}

fn said(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => {
            format!("it cannot be read: {error}; whoever runs Selfheal must be allowed to")
        }
        pem::Error::NoItemsFound => "it holds no key without a passphrase as PEM".to_owned(),
        error => format!("it is no PEM: {error}"),
    }
}
