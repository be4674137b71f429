//! The channel `email`: one message for each alert, by SMTP.
//!
//! Each recipient is a delivery of its own over the same connection, so that one address
//! the server refuses keeps the alert from nobody else. Who has it is remembered until all
//! have; what is sent twice after a crash carries the same Message-ID, by which mail
//! programs know it. The password is neither in an error nor in a log.

mod letter;
mod line;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::address::{AddressError, Envelope};
use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;

use self::line::{Line, Server};
use super::{Refusal, Sending, machine};
use crate::config::{Email as Settings, SmtpTls};

/// A mail server and who is told through it.
pub struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// The machine's name, so that the reader of many knows which one writes.
    machine: String,
    limit: Duration,
    /// Who has which alert already while others do not.
    told: Mutex<BTreeSet<(String, String)>>,
}

/// Why e-mail cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// An address is none.
    #[error("`{address}` is no mail address: {why}")]
    Address {
        /// As it was written.
        address: String,
        /// What is wrong with it.
        why: AddressError,
    },
    /// A needed setting is missing.
    #[error("the setting {0} is missing")]
    Missing(&'static str),
    /// The file of certificates cannot be used.
    #[error("the certificates in {} cannot be used: {why}", file.display())]
    Authority {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

impl Email {
    /// How long one recipient may take. Servers that fend off spam make a stranger wait
    /// half a minute for the greeting.
    pub const LIMIT: Duration = Duration::from_mins(1);

    /// The channel of these settings, whose deliveries take at most `limit` each.
    pub fn new(settings: &Settings, limit: Duration) -> Result<Self, EmailError> {
        let host = settings.host.clone().ok_or(EmailError::Missing("host"))?;
        let from = settings.from.as_deref().ok_or(EmailError::Missing("from"))?;
        let authority = match (&settings.ca_file, settings.tls) {
            (None, _) | (_, SmtpTls::None) => None,
            (Some(file), _) => Some(authority(file)?),
        };
        let machine = machine();
        let login = settings.user.as_ref().zip(settings.password.as_ref());
        Ok(Self {
            server: Server {
                port: settings.port(),
                tls: settings.tls,
                authority,
                login: login.map(|(user, password)| (user.to_model(), password.to_model())),
                // A name without a domain is refused by some; the default is an address.
                greets_as: machine.contains('.').then(|| machine.clone()),
                host,
            },
            from: mailbox(from)?,
            to: settings.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?,
            machine,
            limit,
            told: Mutex::default(),
        })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        let letter = letter::compose(alert, &self.from, &self.to, &self.machine)?;
        let mut line = Line::new(&self.server, self.limit);
        let (mut told, mut later, mut never) = (0_usize, vec![], vec![]);
        for recipient in &self.to {
            let address = recipient.email.to_string();
            let mark = (alert.key.clone(), address.clone());
            if self.is_marked(&mark) {
                told += 1;
                continue;
            }
            let envelope =
                Envelope::new(Some(self.from.email.clone()), vec![recipient.email.clone()])
                    .map_err(|error| error.to_string())?;
            match line.send(&envelope, &letter).await {
                Ok(()) => {
                    told += 1;
                    self.mark(mark);
                }
                Err(refused) => {
                    let list = if refused.address { &mut never } else { &mut later };
                    list.push(format!("{address}: {}", refused.why));
                }
            }
        }
        line.close().await;
        // Once somebody was told, an address that will not be better tomorrow holds up nothing.
        let still_to_tell = if told > 0 { later.first() } else { later.first().or(never.first()) };
        if let Some(why) = still_to_tell {
            return Err(why.clone());
        }
        for why in &never {
            tracing::warn!(channel = "email", "the mail server refuses an address: {why}");
        }
        self.forget(&alert.key);
        Ok(())
    }

    /// Whether the server can be reached and lets this one in; nothing is sent.
    pub async fn test(&self) -> Result<(), String> {
        let mut line = Line::new(&self.server, self.limit);
        let reached = line.open().await.map_err(|refused| refused.why);
        line.close().await;
        reached
    }

    fn is_marked(&self, mark: &(String, String)) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    fn mark(&self, mark: (String, String)) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(mark);
    }

    /// Everybody has it. What else is remembered is as much as waits in the outbox.
    fn forget(&self, key: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(alert, _)| alert != key);
    }
}

fn mailbox(text: &str) -> Result<Mailbox, EmailError> {
    text.parse().map_err(|why| EmailError::Address { address: text.to_owned(), why })
}

fn authority(file: &Path) -> Result<Certificate, EmailError> {
    let unusable = |why: String| EmailError::Authority { file: file.to_owned(), why };
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(unusable("there is no PEM block in it".to_owned()));
    }
    Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))
}
