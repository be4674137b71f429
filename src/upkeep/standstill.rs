//! Ends the program when its runtime stands still, so that whoever started it starts it again.
//!
//! Where every thread of the runtime is blocked nothing that runs on it can say so, and what blocks
//! one cannot be broken off. A thread of its own looks for the sign that the runtime gives from time
//! to time, and aborts when it was missing for long: the journal provides for an end in the midst of
//! anything. A process that was stopped, or whose machine slept, is none that stands still: then
//! the thread itself overslept, and begins anew. It knows nothing of who starts the program again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use super::lock;

/// How often within the limit is looked, and a sign is given.
const LOOKS: u32 = 12;
/// Whoever slept for so many times as long as he meant to was stopped, or the machine is too slow to
/// judge anybody.
const OVERSLEPT: u32 = 3;
/// What is said and written at the end may take so long: it may be that which hangs.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Where an end is noted for the next start, in the folder of the data.
const NOTE: &str = "stood-still";

/// Watches a runtime until it is dropped.
#[derive(Debug)]
pub struct Standstill {
    signs: Arc<Signs>,
    look_every: Duration,
}

#[derive(Debug, Default)]
struct Signs {
    given: AtomicU64,
    hang: Mutex<Option<String>>,
}

impl Standstill {
    /// Begins to watch; the program ends when no sign was given for `limit`, which is noted in the
    /// folder.
    pub fn watched(limit: Duration, folder: &Path) -> std::io::Result<Self> {
        let signs = Arc::<Signs>::default();
        let look_every = limit / LOOKS;
        let watch = Watch { signs: Arc::downgrade(&signs), look_every, note: folder.join(NOTE) };
        std::thread::Builder::new().name("standstill".to_owned()).spawn(move || watch.look())?;
        Ok(Self { signs, look_every })
    }

    /// Gives signs from the runtime while nothing hangs that only a new start cures. Never ends.
    pub async fn give_signs(&self, hang: impl Fn() -> Option<String>) {
        let mut turns = tokio::time::interval(self.look_every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let hang = hang();
            if hang.is_none() {
                self.signs.given.fetch_add(1, Ordering::Relaxed);
            }
            *lock(&self.signs.hang) = hang;
        }
    }
}

/// What became of the last run, where it ended itself; it is told once.
pub fn stood_still(folder: &Path) -> Option<String> {
    let note = folder.join(NOTE);
    let what = std::fs::read_to_string(&note).ok()?;
    std::fs::remove_file(&note).ok()?;
    Some(what)
}

struct Watch {
    signs: Weak<Signs>,
    look_every: Duration,
    note: PathBuf,
}

impl Watch {
    fn look(self) {
        let (mut seen, mut missed) = (None, 0);
        loop {
            let asleep = Instant::now();
            std::thread::sleep(self.look_every);
            let Some(signs) = self.signs.upgrade() else { return };
            let given = Some(signs.given.load(Ordering::Relaxed));
            if given != seen || asleep.elapsed() > self.look_every * OVERSLEPT {
                (seen, missed) = (given, 0);
                continue;
            }
            missed += 1;
            if missed >= LOOKS {
                let hang = signs.hang.try_lock().ok().and_then(|mut hang| hang.take());
                self.end(hang.as_deref().unwrap_or("its threads are all blocked"));
            }
        }
    }

    /// Says why, and ends the program without waiting for anything that hangs.
    fn end(&self, why: &str) -> ! {
        let limit = humantime::format_duration(self.look_every * LOOKS);
        let what = format!(
            "it stood still for {limit} ({why}), and Selfheal ended itself at {} to be started \
             anew",
            chrono::Utc::now().format("%Y-%m-%d %H:%M:%S UTC")
        );
        let (said, waits) = mpsc::channel();
        let note = self.note.clone();
        let saying = std::thread::Builder::new().spawn(move || {
            let _ = std::fs::write(note, &what);
            tracing::error!("a fault of Selfheal's own: {what}");
            let _ = said.send(());
        });
        if saying.is_ok() {
            let _ = waits.recv_timeout(LAST_WORDS);
        }
        std::process::abort()
    }
}
