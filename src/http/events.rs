//! What happens, as server-sent events, with resumption.
//!
//! One task keeps the newest events in a bounded ring; every client reads from the ring at
//! its own pace, so a slow one costs nothing and misses at most what has left the ring. It
//! is told so by a `gap` event: then it should ask for the state anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use chrono::Utc;
use futures_util::stream::{Stream, unfold};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::login;
use super::problem::{Answer, Problem};
use super::state::Api;
use crate::access::{Access, Holder};
use crate::coordinator::LiveEvent;
use crate::upkeep::{Part, Upkeep};

/// Events kept for clients that come back.
const KEPT: usize = 512;
/// How often whoever showed a token is asked for it again, where nothing happens.
const LOOKED_AGAIN: Duration = Duration::from_secs(2);
/// Streams at the same time.
const STREAMS: usize = 64;

/// Nothing may be said for long.
const EVENTS: Part = Part { name: "the events of the API", turns_within: None };

/// The newest events. Cloning shares them.
#[derive(Clone)]
pub(super) struct Events {
    ring: Arc<Mutex<VecDeque<Arc<LiveEvent>>>>,
    newest: watch::Receiver<u64>,
    /// Tells ids of this run of the program from those of an earlier one.
    run: Arc<str>,
    streams: Arc<Semaphore>,
    cancel: CancellationToken,
}

impl Events {
    /// Keeps what `live` says until `cancel`.
    pub(super) fn keep(
        live: broadcast::Receiver<LiveEvent>,
        upkeep: &Upkeep,
        cancel: CancellationToken,
    ) -> Self {
        let ring = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let (tell, newest) = watch::channel(0);
        let run = Uuid::now_v7().simple().to_string();
        // The end of the id is random, the beginning is the time.
        let run = Arc::from(&run[24..]);
        let (kept, ended) = (Arc::clone(&ring), cancel.clone());
        // What is said while it is begun anew is seen as a gap by every client.
        let (again, mut from) = (live.resubscribe(), Some(live));
        upkeep.keep(EVENTS, move || {
            let live = from.take().unwrap_or_else(|| again.resubscribe());
            record(live, Arc::clone(&kept), tell.clone(), ended.clone())
        });
        Self { ring, newest, run, streams: Arc::new(Semaphore::new(STREAMS)), cancel }
    }

    /// Everything kept after event `last`.
    fn after(&self, last: u64) -> Vec<Arc<LiveEvent>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().filter(|event| event.id > last).cloned().collect()
    }

    /// Where a client stands that has seen `id` last; `None` if that cannot be known.
    fn position(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        number.parse().ok().filter(|_| *run == *self.run)
    }
}

async fn record(
    mut live: broadcast::Receiver<LiveEvent>,
    ring: Arc<Mutex<VecDeque<Arc<LiveEvent>>>>,
    tell: watch::Sender<u64>,
    cancel: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            event = live.recv() => event,
        };
        match event {
            Ok(event) => {
                let id = event.id;
                {
                    let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                    if ring.len() == KEPT {
                        ring.pop_front();
                    }
                    ring.push_back(Arc::new(event));
                }
                tell.send_replace(id);
            }
            // The missing ids are seen as a gap by every client.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// What a client was let in by.
struct Pass {
    access: Arc<Access>,
    holder: Holder,
    /// The session, where it showed no token of its own.
    session: Option<String>,
}

impl Pass {
    /// Whether it would be let in again.
    fn still_holds(&self) -> bool {
        let now = Utc::now();
        let lasts = |id: &String| matches!(self.access.logged_in(id, now), Ok(Some(_)));
        self.access.still_holds(&self.holder, now) && self.session.as_ref().is_none_or(lasts)
    }
}

/// One client's place in the stream.
struct Reader {
    events: Events,
    newest: watch::Receiver<u64>,
    /// The last event sent; `None` when what came before is not known.
    last: Option<u64>,
    waiting: VecDeque<Arc<LiveEvent>>,
    /// By what it was let in, where it showed anything.
    pass: Option<Pass>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while self.waiting.is_empty() {
            self.newest.mark_unchanged();
            self.waiting = self.events.after(self.last.unwrap_or(0)).into();
            if self.waiting.is_empty() {
                tokio::select! {
                    () = self.events.cancel.cancelled() => return None,
                    changed = self.newest.changed() => changed.ok()?,
                    // A stream may last for days: its token may be revoked or expire meanwhile, and
                    // its session end.
                    () = tokio::time::sleep(LOOKED_AGAIN), if self.pass.is_some() => {
                        if !self.may_still_look() {
                            return None;
                        }
                    }
                }
            }
        }
        if self.events.cancel.is_cancelled() || !self.may_still_look() {
            return None;
        }
        let first = self.waiting.front()?.id;
        if self.last.is_none_or(|last| first > last + 1) {
            self.last = Some(first - 1);
            let gap = Event::default()
                .event("gap")
                .data(r#"{"type":"gap","text":"events were missed: ask for the state anew"}"#);
            return Some((Ok(gap), self));
        }
        let event = self.waiting.pop_front()?;
        self.last = Some(event.id);
        let sent = written(&event, &self.events.run);
        Some((Ok(sent), self))
    }

    fn may_still_look(&self) -> bool {
        self.pass.as_ref().is_none_or(Pass::still_holds)
    }
}

fn written(event: &LiveEvent, run: &str) -> Event {
    let value = serde_json::to_value(event).unwrap_or_default();
    let name = value.pointer("/what/type").and_then(|name| name.as_str()).unwrap_or("message");
    Event::default().id(format!("{run}-{}", event.id)).event(name).data(value.to_string())
}

/// What happens, as it happens
///
/// Cycles, agents, incidents, validation looks and freezes. `Last-Event-ID` resumes.
#[utoipa::path(
    get, path = "/api/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event seen")),
    responses(
        (status = 200, description = "A stream that does not end", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many streams", body = super::body::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
    Extension(access): Extension<Arc<Access>>,
    holder: Option<Extension<Holder>>,
    headers: HeaderMap,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let events = api.events.clone();
    let permit = Arc::clone(&events.streams).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{STREAMS} event streams are open already; close one"),
        )
    })?;
    let newest = events.newest.clone();
    let last = match headers.get("last-event-id") {
        Some(id) => events.position(id.to_str().unwrap_or_default()),
        None => Some(*newest.borrow()),
    };
    let session = login::session(&headers).filter(|_| !headers.contains_key(AUTHORIZATION));
    let session = session.map(str::to_owned);
    let pass = holder.map(|Extension(holder)| Pass { access, holder, session });
    let waiting = VecDeque::new();
    let reader = Reader { events, newest, last, waiting, pass, _permit: permit };
    Ok(Sse::new(unfold(reader, Reader::next))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)).text("still here")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Happening;
    use selfheal_agents::model::Timestamp;

    fn event(id: u64) -> LiveEvent {
        LiveEvent { id, at: Timestamp::UNIX_EPOCH, what: Happening::Frozen { freezes: vec![] } }
    }

    fn upkeep() -> Upkeep {
        Upkeep::new(CancellationToken::new())
    }

    async fn kept(events: &Events, newest: u64) {
        let mut seen = events.newest.clone();
        seen.wait_for(|id| *id >= newest).await.unwrap();
    }

    fn reader(events: &Events, last: Option<u64>) -> Reader {
        Reader {
            events: events.clone(),
            newest: events.newest.clone(),
            last,
            waiting: VecDeque::new(),
            pass: None,
            _permit: Arc::clone(&events.streams).try_acquire_owned().unwrap(),
        }
    }

    async fn sent(reader: Reader, count: usize) -> Vec<String> {
        let mut reader = Some(reader);
        let mut lines = vec![];
        for _ in 0..count {
            let (event, next) = reader.take().unwrap().next().await.unwrap();
            // The event's own text form is what goes over the wire.
            lines.push(format!("{:?}", event.unwrap()));
            reader = Some(next);
        }
        lines
    }

    #[tokio::test]
    async fn a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
        let (live, from) = broadcast::channel(64);
        let events = Events::keep(from, &upkeep(), CancellationToken::new());
        for id in 1..=5 {
            live.send(event(id)).unwrap();
        }
        kept(&events, 5).await;
        let id = format!("{}-3", events.run);
        let lines = sent(reader(&events, events.position(&id)), 2).await;
        assert!(lines[0].contains(&format!("{}-4", events.run)), "{lines:?}");
        assert!(lines[1].contains(&format!("{}-5", events.run)), "{lines:?}");
    }

    #[tokio::test]
    async fn an_id_of_another_run_and_one_that_left_the_ring_are_told_of_the_gap() {
        let (live, from) = broadcast::channel(2048);
        let events = Events::keep(from, &upkeep(), CancellationToken::new());
        for id in 1..=(KEPT as u64 + 10) {
            live.send(event(id)).unwrap();
        }
        kept(&events, KEPT as u64 + 10).await;
        assert_eq!(events.after(0).len(), KEPT, "the ring is bounded");
        for seen in ["deadbeef-3".to_owned(), format!("{}-2", events.run), "nonsense".to_owned()] {
            let lines = sent(reader(&events, events.position(&seen)), 2).await;
            assert!(lines[0].contains("gap"), "{seen}: {lines:?}");
            assert!(lines[1].contains(&format!("{}-11", events.run)), "{seen}: {lines:?}");
        }
    }

    #[tokio::test]
    async fn shutting_down_ends_every_stream() {
        let (_live, from) = broadcast::channel(4);
        let cancel = CancellationToken::new();
        let events = Events::keep(from, &upkeep(), cancel.clone());
        let waiting = tokio::spawn(reader(&events, Some(0)).next());
        cancel.cancel();
        assert!(waiting.await.unwrap().is_none());
    }
}
