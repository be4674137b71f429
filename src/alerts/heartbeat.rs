//! The sign of life to a dead-man's switch: one that stays away raises the alarm where Selfheal cannot.
//!
//! It is given only while everything turns, so that it means more than that the process is there. It
//! goes past the outbox: one that did not arrive is not made up for. Nothing waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use selfheal_agents::model::clean;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::post::{self, LIMIT, Post};
use crate::config::Settings;

/// How soon is looked again whether everything turns, where something did not.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How the signs of life fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fares {
    /// None was due yet, or none is wanted.
    #[default]
    Unknown,
    /// The last one arrived.
    Arrives,
    /// The last one did not.
    Lost,
    /// None is given: something does not turn.
    Withheld,
}

impl Fares {
    /// In words, where one is wanted.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Arrives => Some("arrives"),
            Self::Lost => Some("does not arrive; the log says why"),
            Self::Withheld => Some("is withheld, since something does not turn"),
        }
    }
}

/// What whoever shows it sees of the heart.
#[derive(Debug, Default)]
pub struct Heart {
    fares: Mutex<Fares>,
    arrived: AtomicU64,
}

impl Heart {
    /// How the signs of life fare.
    pub fn fares(&self) -> Fares {
        *self.fares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many arrived since the start.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Notes how it fares; answers whether that is news.
    fn note(&self, fares: Fares) -> bool {
        let mut now = self.fares.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *now, fares) != fares
    }
}

/// Beats until `cancel`, while `stopped` names nothing that does not turn; follows the settings.
pub async fn heartbeat(
    mut settings: watch::Receiver<Arc<Settings>>,
    stopped: impl Fn() -> Option<String>,
    heart: Arc<Heart>,
    cancel: CancellationToken,
) {
    let post = match Post::new(&[], LIMIT) {
        Ok(post) => post,
        Err(error) => {
            tracing::error!(%error, "no sign of life can be given: {error}");
            return cancel.cancelled().await;
        }
    };
    loop {
        let begun = Instant::now();
        let of = settings.borrow_and_update().heartbeat.clone();
        let mut pause = of.every;
        if let Some(url) = &of.url {
            if let Some(what) = stopped() {
                pause = LOOK_AGAIN.min(pause);
                if heart.note(Fares::Withheld) {
                    tracing::error!("no sign of life is given: {what}");
                }
            } else if cancel.run_until_cancelled(beat(&post, url.expose(), &heart)).await.is_none()
            {
                return;
            }
        } else {
            heart.note(Fares::Unknown);
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep_until(begun + pause) => {}
            () = changed(&mut settings, &of) => {}
        }
    }
}

/// Waits until the settings of it are no longer these.
async fn changed(settings: &mut watch::Receiver<Arc<Settings>>, from: &crate::config::Heartbeat) {
    if settings.wait_for(|settings| settings.heartbeat != *from).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn beat(post: &Post, url: &str, heart: &Heart) {
    let sent = post::send(post.asking(url)).await;
    match sent.and_then(|answer| answer.accepted().map(drop)) {
        Ok(()) => {
            heart.arrived.fetch_add(1, Ordering::Relaxed);
            if heart.note(Fares::Arrives) {
                tracing::info!("signs of life arrive");
            }
        }
        Err(why) => {
            if heart.note(Fares::Lost) {
                let why = clean(&why, 300);
                tracing::warn!("a sign of life did not arrive, the next one is tried: {why}");
            }
        }
    }
}
