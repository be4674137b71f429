//! Reads logs: a batch after a cursor, or lines as they come.
//!
//! Docker finds the end of a log fast and its middle slowly (a log that nobody rotates has
//! gigabytes, and the whole file is read for a start time). So the newest entries are asked
//! for first; only when they do not reach back to the cursor is the whole log asked for, for
//! a limited time. A line that was not yet ended is left for the next time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bollard::errors::Error;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use selfheal_agents::model::{LogBatch, LogCursor, LogLine, Timestamp, clean};
use selfheal_agents::ports::{WorldError, WorldResult};

use super::Docker;
use super::inspect::Inspect;
use super::log_batch::{Gathering, Seen};
use super::log_decoder::Decoder;

/// Entries asked for beyond the wanted lines: the lines of the cursor's own time, and the
/// fragments of long lines.
const SLACK: usize = 256;
/// The most containers whose last lines are remembered.
const MOST_CONTAINERS: usize = 1024;

/// A log answer being read.
struct Reading {
    body: Incoming,
    decoder: Decoder,
}

impl Reading {
    /// Reads the next piece; `false` at the end.
    async fn next(&mut self, lines: &mut impl FnMut(LogLine)) -> Result<bool, Error> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        if let Ok(bytes) = frame?.into_data() {
            self.decoder.feed(&bytes, lines);
        }
        Ok(true)
    }

    async fn drain(&mut self, gathering: &mut Gathering) -> Result<(), Error> {
        while self.next(&mut |line| gathering.take(line)).await? {}
        Ok(())
    }
}

/// What was last read of each container, by Docker id: it finds the lines written late. Lost
/// with the process; the cursor alone is enough but for those.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<BTreeMap<String, Seen>>);

impl Recent {
    /// What was read before this cursor.
    fn before(&self, id: &str, cursor: LogCursor) -> Seen {
        // A panic elsewhere cannot leave half an entry behind: the map is still good.
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = recent.get(id).filter(|seen| seen.cursor == cursor);
        seen.cloned().unwrap_or_else(|| Seen::of(cursor))
    }

    fn remember(&self, id: &str, seen: Seen) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST_CONTAINERS && !recent.contains_key(id) {
            recent.clear();
        }
        recent.insert(id.to_owned(), seen);
    }
}

/// One batch being asked for.
struct Asked {
    inspect: Inspect,
    what: String,
    before: Option<Seen>,
    max_lines: usize,
}

/// A log read to its end, or to the end of the newest part.
struct Read {
    batch: LogBatch,
    seen: Option<Seen>,
    /// Log entries that were looked at.
    entries: u64,
}

impl Docker {
    pub(super) async fn read_logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        let inspect = self.inspect(name).await?;
        let before = since.map(|cursor| self.recent.before(&inspect.id, cursor));
        let what = format!("the log of container `{name}`");
        let asked = Asked { inspect, what, before, max_lines };
        let again = asked.before.as_ref().map_or(0, |seen| seen.len() + SLACK);
        let tail = max_lines.saturating_add(again);

        let newest = self.read_part(&asked, Some(tail)).await?;
        let reaches_back = asked.before.is_none() || newest.entries < tail as u64;
        let read = if reaches_back { newest } else { self.read_whole(&asked, newest).await };
        if let Some(seen) = read.seen {
            self.recent.remember(&asked.inspect.id, seen);
        }
        Ok(read.batch)
    }

    /// Everything since the cursor, or the newest part if that takes too long.
    async fn read_whole(&self, asked: &Asked, newest: Read) -> Read {
        match self.read_part(asked, None).await {
            Ok(whole) => whole,
            Err(error) => {
                tracing::warn!(%error, "only the newest lines of a log were read");
                // How many lie between is not known; that there are some is.
                let batch = LogBatch { dropped: newest.batch.dropped.max(1), ..newest.batch };
                Read { batch, seen: None, ..newest }
            }
        }
    }

    async fn read_part(&self, asked: &Asked, tail: Option<usize>) -> WorldResult<Read> {
        let from = asked.before.as_ref().map(|seen| seen.from);
        let path = log_path(&asked.inspect.id, false, from, tail);
        let reading = async {
            let mut gathering = Gathering::new(asked.before.clone(), asked.max_lines);
            let _turn = self.wire.turn_at_logs().await;
            let mut reading = self.open_log(&path, asked.inspect.config.tty).await?;
            reading.drain(&mut gathering).await?;
            Ok((reading.decoder, gathering))
        };
        let (decoder, mut gathering) = self.within(&asked.what, self.limits.read, reading).await?;
        let (entries, complaint) = (decoder.entries(), decoder.complaint());
        if !asked.inspect.state.running {
            decoder.finish(&mut |line| gathering.take(line));
        }
        let (batch, seen) = gathering.finish();
        match complaint {
            // What came before the complaint is as good as ever.
            Some(why) if batch.lines.is_empty() => {
                Err(WorldError::Refused { what: asked.what.clone(), why: clean(&why, 300) })
            }
            _ => Ok(Read { batch, seen, entries }),
        }
    }

    async fn open_log(&self, path: &str, tty: bool) -> Result<Reading, Error> {
        Ok(Reading { body: self.wire.get(path).await?, decoder: Decoder::new(tty) })
    }

    pub(super) fn stream_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine> {
        let docker = self.clone();
        let name = name.to_owned();
        let opened = async move {
            match docker.follow(&name, since).await {
                Ok(reading) => Some(Following { reading, ready: VecDeque::new(), since, name }),
                Err(error) => {
                    tracing::debug!(container.name = name, %error, "the log cannot be followed");
                    None
                }
            }
        };
        stream::once(opened)
            .filter_map(std::future::ready)
            .flat_map(|following| stream::unfold(following, Following::step))
            .boxed()
    }

    async fn follow(&self, name: &str, since: Timestamp) -> WorldResult<Reading> {
        let inspect = self.inspect(name).await?;
        let path = log_path(&inspect.id, true, Some(since), None);
        let what = format!("the log of container `{name}`");
        self.within(&what, self.limits.read, self.open_log(&path, inspect.config.tty)).await
    }
}

/// A log that is read while it is written.
struct Following {
    reading: Reading,
    ready: VecDeque<LogLine>,
    since: Timestamp,
    name: String,
}

impl Following {
    async fn step(mut self) -> Option<(LogLine, Self)> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((line, self));
            }
            let (ready, since) = (&mut self.ready, self.since);
            let mut keep = |line: LogLine| {
                if line.at >= since {
                    ready.push_back(line);
                }
            };
            match self.reading.next(&mut keep).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    tracing::debug!(container.name = self.name, %error, "a followed log broke off");
                    return None;
                }
            }
        }
    }
}

fn log_path(id: &str, follow: bool, since: Option<Timestamp>, tail: Option<usize>) -> String {
    // Docker takes nanoseconds as a fraction and keeps what is as old or younger.
    let since = since.map_or_else(String::new, |since| {
        format!("&since={}.{:09}", since.timestamp(), since.timestamp_subsec_nanos())
    });
    let tail = tail.map_or_else(String::new, |tail| format!("&tail={tail}"));
    format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={follow}{since}{tail}")
}
