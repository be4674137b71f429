//! Reads logs: a batch after a cursor, or lines as they come.
//!
//! Docker finds the end of a log fast and its middle slowly (a log that nobody rotates has
//! gigabytes, and the whole file is read for a start time). So the newest entries are asked
//! for first; only when they do not reach back to the cursor is the whole log asked for, for
//! a limited time. A line that was not yet ended is left for the next time.

use std::collections::VecDeque;

use bollard::errors::Error;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use selfheal_agents::model::{LogBatch, LogCursor, LogLine, Timestamp, clean};
use selfheal_agents::ports::{WorldError, WorldResult};

use super::Docker;
use super::log_batch::Gathering;
use super::log_decoder::Decoder;

/// Entries asked for beyond the wanted lines: the lines of the cursor's own time, and the
/// fragments of long lines.
const SLACK: usize = 256;

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

impl Docker {
    pub(super) async fn read_logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        let inspect = self.inspect(name).await?;
        let what = format!("the log of container `{name}`");
        let limit = self.limits.read;
        let ended = !inspect.state.running;
        let tail = if since.is_some() { max_lines.saturating_add(SLACK) } else { max_lines };
        let from = since.map(|cursor| cursor.at);
        let path = log_path(&inspect.id, false, from, Some(tail));

        let mut gathering = Gathering::new(since, max_lines);
        let newest = async {
            let mut reading = self.open_log(&path, inspect.config.tty).await?;
            reading.drain(&mut gathering).await?;
            Ok(reading.decoder)
        };
        let decoder = self.within(&what, limit, newest).await?;
        let reaches_back = since.is_none() || decoder.entries() < tail as u64;
        let batch = finish(&what, decoder, gathering, ended)?;
        if reaches_back {
            return Ok(batch);
        }

        let mut gathering = Gathering::new(since, max_lines);
        let path = log_path(&inspect.id, false, from, None);
        let whole = async {
            let mut reading = self.open_log(&path, inspect.config.tty).await?;
            reading.drain(&mut gathering).await?;
            Ok(reading.decoder)
        };
        match self.within(&what, limit, whole).await {
            Ok(decoder) => finish(&what, decoder, gathering, ended),
            Err(error) => {
                tracing::warn!(container.name = name, %error, "only the newest log lines were read");
                // What was counted until then is the least that was left out.
                let counted = gathering.finish();
                let seen = counted.dropped + counted.lines.len() as u64;
                let dropped = batch.dropped.max(seen.saturating_sub(batch.lines.len() as u64));
                Ok(LogBatch { dropped, ..batch })
            }
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

fn finish(
    what: &str,
    decoder: Decoder,
    mut gathering: Gathering,
    ended: bool,
) -> WorldResult<LogBatch> {
    let complaint = decoder.complaint();
    if ended {
        decoder.finish(&mut |line| gathering.take(line));
    }
    let batch = gathering.finish();
    match complaint {
        // What came before the complaint is as good as ever.
        Some(why) if batch.lines.is_empty() => {
            Err(WorldError::Refused { what: what.to_owned(), why: clean(&why, 300) })
        }
        _ => Ok(batch),
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
