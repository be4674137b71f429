//! Who is logged in on the pages: kept in memory alone, so that a restart logs everybody out.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::Timestamp;

use super::book::Token;
use super::secret::{self, Digest};

/// How long a session lasts, used or not.
const LASTS: TimeDelta = TimeDelta::hours(12);
/// Sessions of one token at a time; its own that ends first gives way, and nobody else's.
const MOST: usize = 50;

#[derive(Debug)]
struct Session {
    token: Digest,
    until: Timestamp,
}

/// The sessions, by the digest of their id: the ids themselves are nowhere but in the cookies.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<Digest, Session>>,
}

impl Sessions {
    /// Begins one. Answers its id and how long it lasts.
    pub(super) fn begin(&self, token: &Token, now: Timestamp) -> io::Result<(String, Duration)> {
        let until = now + LASTS;
        let until = token.expires.map_or(until, |expires| expires.min(until));
        let id = secret::random()?;
        let mut open = self.open();
        open.retain(|_, session| now < session.until);
        let digest = token.digest();
        let own = || open.iter().filter(|(_, session)| session.token == digest);
        if own().count() >= MOST {
            let first = own().min_by_key(|(_, session)| session.until).map(|(id, _)| *id);
            first.map(|id| open.remove(&id));
        }
        open.insert(Digest::of(&id), Session { token: digest, until });
        Ok((id, (until - now).to_std().unwrap_or_default()))
    }

    /// With which token the session of this id was begun, if it still lasts.
    pub(super) fn token(&self, id: &str, now: Timestamp) -> Option<Digest> {
        let open = self.open();
        open.get(&Digest::of(id)).filter(|session| now < session.until).map(|open| open.token)
    }

    /// Ends one.
    pub(super) fn end(&self, id: &str) {
        self.open().remove(&Digest::of(id));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
