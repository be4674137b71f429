//! OpenTelemetry traces of cycles, sent by OTLP over HTTP as JSON. Off until an address is given.
//!
//! It listens to what the flow tells everybody and asks it for nothing, so that the flow never waits for
//! it: where the collector is away or slow, spans are counted as dropped and forgotten. It does not
//! look into programs that Selfheal watches.

mod collector;
mod compose;
mod otlp;

pub use collector::{Collector, SetupError, is_collector};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::compose::{Composer, Span};
use crate::alerts::post::{Post, send};
use crate::coordinator::LiveEvent;

/// So many groups of spans wait for a collector that is slow.
const WAITING: usize = 256;
/// So many of them go with one request at most.
const TOGETHER: usize = 64;
/// How long what is left may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// Sends the traces of what `live` tells until `cancel`, and then what is left.
pub async fn run(
    collector: Arc<Collector>,
    mut live: broadcast::Receiver<LiveEvent>,
    cancel: CancellationToken,
) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let sending = tokio::spawn(send_all(Arc::clone(&collector), waiting));
    let mut composer = Composer::default();
    let mut compose = |event: &LiveEvent| {
        let done = composer.take(event);
        let count = done.len() as u64;
        if count > 0 && queue.try_send(done).is_err() {
            collector.dropped.fetch_add(count, Ordering::Relaxed);
        }
    };
    while let Some(event) = cancel.run_until_cancelled(live.recv()).await {
        match event {
            Ok(event) => compose(&event),
            // What was missed is in no trace.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    while let Ok(event) = live.try_recv() {
        compose(&event);
    }
    drop(queue);
    if tokio::time::timeout(LAST, sending).await.is_err() {
        tracing::debug!("the last spans are not sent: the collector is too slow");
    }
}

async fn send_all(collector: Arc<Collector>, mut waiting: mpsc::Receiver<Vec<Span>>) {
    let mut groups = vec![];
    let mut is_away = false;
    while waiting.recv_many(&mut groups, TOGETHER).await > 0 {
        let all: Vec<Span> = groups.drain(..).flatten().collect();
        let body = otlp::request(&collector.resource, &all);
        let rejected = post(&collector.post, &collector.url, body, all.len() as u64).await;
        let (sent, dropped) = match &rejected {
            Ok(rejected) => (all.len() as u64 - rejected, *rejected),
            Err(_) => (0, all.len() as u64),
        };
        collector.sent.fetch_add(sent, Ordering::Relaxed);
        collector.dropped.fetch_add(dropped, Ordering::Relaxed);
        match rejected {
            Err(why) if !is_away => {
                tracing::warn!("traces are dropped, healing goes on without: the collector: {why}");
            }
            Ok(_) if is_away => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        is_away = sent == 0 && dropped > 0;
    }
}

/// Answers how many of them the collector rejected.
async fn post(post: &Post, url: &str, body: String, count: u64) -> Result<u64, String> {
    let request = post.to(url).header("content-type", "application/json").body(body);
    let answer = send(request).await?.accepted()?.json();
    // As JSON has no number that is long enough for all, it comes as a text.
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok());
    Ok(rejected.unwrap_or(0).min(count))
}

#[cfg(test)]
mod tests;
