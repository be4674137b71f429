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
/// Sessions at a time; the one that ends first gives way.
const MOST: usize = 1000;

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
        if open.len() >= MOST {
            let first = open.iter().min_by_key(|(_, session)| session.until);
            if let Some(first) = first.map(|(id, _)| *id) {
                open.remove(&first);
            }
        }
        open.insert(Digest::of(&id), Session { token: token.digest(), until });
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
