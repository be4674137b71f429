//! Engines of other hosts, beside the own one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::docker::{Address, Credentials, Docker, Login};

/// A Docker engine of another host. Its containers are called `NAME/CONTAINER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// What its containers are named after: 1 to 40 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Where it listens: `tcp://` or `https://` with host and port, `ssh://` with user and host
    /// (and the path of its socket, if that is not `/var/run/docker.sock`), or `unix://` with a path.
    pub host: String,
    /// The authority that made the engine's certificate, as PEM; the next two belong to it, and
    /// with the three the connection is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that the engine lets in, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate, as PEM without a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// With `ssh://`: the private key, without a passphrase. Otherwise OpenSSH's own settings and
    /// agent say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<PathBuf>,
    /// With `ssh://`: the hosts that are known, in place of those of the user who runs Selfheal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
}

impl Engine {
    /// Its address, and what it is spoken to with; an error says what is wrong with both together.
    pub fn address(&self) -> Result<(Address, Option<Credentials>), String> {
        let files = (self.ca_file.clone(), self.cert_file.clone(), self.key_file.clone());
        let credentials = match files {
            (Some(ca), Some(certificate), Some(key)) => Some(Credentials { ca, certificate, key }),
            (None, None, None) if self.host.starts_with("https://") => {
                return Err("an encrypted connection needs ca_file, cert_file and key_file, as \
                            `docker --tlsverify` does"
                    .to_owned());
            }
            (None, None, None) => None,
            _ => return Err("ca_file, cert_file and key_file belong together: give all".to_owned()),
        };
        let address = match &credentials {
            Some(_) => Address::parse_encrypted(&self.host),
            None => Address::parse(&self.host),
        };
        let address = address.map_err(|invalid| invalid.to_string())?;
        let is_ssh = matches!(address, Address::Ssh(_));
        if !is_ssh && (self.identity_file.is_some() || self.known_hosts_file.is_some()) {
            return Err("identity_file and known_hosts_file belong to `ssh://`".to_owned());
        }
        self.login()?;
        Ok((address, credentials))
    }

    /// What SSH goes by.
    fn login(&self) -> Result<Login, String> {
        Login::new(self.identity_file.clone(), self.known_hosts_file.clone())
    }

    /// The engine. Connects to nothing yet, but reads the files.
    pub fn docker(&self) -> Result<Docker, String> {
        let (address, credentials) = self.address()?;
        let docker = match address {
            Address::Ssh(ssh) => Docker::through_ssh(ssh, self.login()?),
            address => Docker::reached_by(address, credentials.as_ref()),
        };
        docker.map_err(|error| error.to_string())
    }
}
