//! Keeps the end of what a program writes, however much that is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use selfheal_agents::model::clean;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinSet;

/// Bytes kept of both streams together.
const BYTES_KEPT: usize = 16 * 1024;
/// Lines shown, and characters of each.
const LINES_SHOWN: usize = 8;
const CHARS_SHOWN: usize = 200;
/// What was started by a program may hold its streams open: they are listened to for so much
/// longer.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// What a program writes while it runs.
pub(super) struct Output {
    kept: Arc<Mutex<VecDeque<u8>>>,
    readers: JoinSet<()>,
}

impl Output {
    /// Listens to both streams, so that the program never waits for a reader.
    pub(super) fn of(child: &mut Child) -> Self {
        let mut output = Self { kept: Arc::default(), readers: JoinSet::new() };
        if let Some(stream) = child.stdout.take() {
            output.readers.spawn(keep_the_end(stream, Arc::clone(&output.kept)));
        }
        if let Some(stream) = child.stderr.take() {
            output.readers.spawn(keep_the_end(stream, Arc::clone(&output.kept)));
        }
        output
    }

    /// The last lines, once the program has ended: without control characters and secrets, a
    /// stroke between them.
    pub(super) async fn last_lines(mut self) -> String {
        let all_read = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(AFTERWARDS, all_read).await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
        drop(kept);
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .take(LINES_SHOWN)
            .map(|line| clean(line, CHARS_SHOWN))
            .collect();
        lines.reverse();
        lines.join(" | ")
    }
}

async fn keep_the_end(mut stream: impl AsyncRead + Unpin, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..read]);
        let surplus = kept.len().saturating_sub(BYTES_KEPT);
        kept.drain(..surplus);
    }
}
