//! Who may look and who may act: tokens, what each of them may do, and who is logged in.
//!
//! A token is made and revoked on the command line, which works beside a running daemon; so
//! tokens lie in a file of their own and not in the store, which only one process may write.
//! The daemon reads that file again when it changed. The one invariant: what cannot be read
//! lets nobody in. Which call needs what stands in `http::needs`.

mod book;
mod brake;
mod bucket;
mod pace;
mod scope;
mod secret;
mod sessions;

pub use book::{Token, TokenBook, TokenError};
pub use pace::Cost;
pub use scope::Scope;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use selfheal_agents::model::Timestamp;

use self::brake::Brake;
pub(crate) use self::brake::network;
use self::pace::Pace;
use self::secret::Digest;
use self::sessions::Sessions;

/// Who asks, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the token.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    token: Digest,
}

impl From<&Token> for Holder {
    fn from(token: &Token) -> Self {
        Self { name: token.name.clone(), scope: token.scope, token: token.digest() }
    }
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such token, or it is no longer valid.
    #[error("this token is not known, revoked or expired")]
    Unknown,
    /// Too many wrong ones came from there.
    #[error("too many wrong tokens")]
    TooMany {
        /// How long until the next is looked at.
        wait: Duration,
    },
    /// What is known cannot be read, or nothing random is to be had.
    #[error("{0}")]
    Failed(String),
}

/// Where and when a token was shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// From which address, where that is known.
    pub from: Option<IpAddr>,
    /// When, for what expires.
    pub now: Timestamp,
    /// The same for what is slowed down: a clock that nobody can set.
    pub at: Instant,
}

/// Everything that decides who is let in.
#[derive(Debug)]
pub struct Access {
    demands: bool,
    book: TokenBook,
    sessions: Sessions,
    brake: Brake,
    pace: Pace,
}

impl Access {
    /// With the tokens of this data directory; whether each call must show one is `demands`.
    pub fn new(data_dir: &Path, demands: bool) -> Self {
        let (sessions, brake) = (Sessions::default(), Brake::default());
        let (book, pace) = (TokenBook::of(data_dir), Pace::default());
        Self { demands, book, sessions, brake, pace }
    }

    /// The same with a limit on what anybody asks for in a minute; 0 is none.
    #[must_use]
    pub fn with_pace(self, writes: u32, costly_reads: u32) -> Self {
        Self { pace: Pace::new(writes, costly_reads), ..self }
    }

    /// How long whoever was let in has to wait, where they asked for too much in a short time.
    pub fn too_fast(&self, cost: Cost, holder: Option<&Holder>, shown: Shown) -> Option<Duration> {
        self.pace.ask(cost, holder, shown.from, shown.at)
    }

    /// Whether nobody is let in without a token.
    pub const fn demands(&self) -> bool {
        self.demands
    }

    /// The tokens there are.
    pub const fn book(&self) -> &TokenBook {
        &self.book
    }

    /// Who holds the token `secret`.
    ///
    /// A right one is let in however many wrong ones came before: nobody finds one of 2^256 by
    /// trying, and nobody may keep the others out by showing wrong ones. What is slowed down is
    /// the work and the noise of those.
    pub fn holder(&self, secret: &str, shown: Shown) -> Result<Holder, Refused> {
        self.token(secret, shown).map(|token| Holder::from(&token))
    }

    fn token(&self, secret: &str, shown: Shown) -> Result<Token, Refused> {
        match self.book.live(&Digest::of(secret), shown.now).map_err(failed)? {
            Some(token) => Ok(token),
            None => match self.brake.miss(shown.from, shown.at) {
                Some(wait) => Err(Refused::TooMany { wait }),
                None => Err(Refused::Unknown),
            },
        }
    }

    /// Begins a session of the token `secret`. Answers the id of the session, which is as
    /// secret as the token, and how long it lasts.
    pub fn log_in(&self, secret: &str, shown: Shown) -> Result<(String, Duration), Refused> {
        let token = self.token(secret, shown)?;
        self.sessions.begin(&token, shown.now).map_err(|error| Refused::Failed(error.to_string()))
    }

    /// Who is logged in under the id; nobody once the token is revoked or expired.
    pub fn logged_in(&self, id: &str, now: Timestamp) -> Result<Option<Holder>, Refused> {
        let Some(digest) = self.sessions.token(id, now) else {
            return Ok(None);
        };
        let token = self.book.live(&digest, now).map_err(failed)?;
        Ok(token.as_ref().map(Holder::from))
    }

    /// Whether the token that let somebody in is still worth something; asked again and again
    /// where an answer has no end.
    pub fn still_holds(&self, holder: &Holder, now: Timestamp) -> bool {
        self.book.live(&holder.token, now).is_ok_and(|token| token.is_some())
    }

    /// Ends a session.
    pub fn log_out(&self, id: &str) {
        self.sessions.end(id);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn failed(error: TokenError) -> Refused {
    Refused::Failed(error.to_string())
}

#[cfg(test)]
mod tests;
