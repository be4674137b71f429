//! What a running daemon does, as it does it: shown on standard error while a command waits for it,
//! or handed to whoever wants the events themselves.

use reqwest::Response;

use super::client::Client;
use super::output::tell;
use super::render::live_line;
use crate::coordinator::{Happening, LiveEvent};

/// The longest unfinished part of the stream that is kept, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A following that ends when this is dropped.
pub(super) struct Following(tokio::task::JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows `client`'s daemon from now on. A daemon that does not tell is no error.
pub(super) async fn follow(client: &Client) -> Option<Following> {
    follow_what(client, |_| true).await
}

/// The same with nothing but what becomes of incidents.
pub(super) async fn follow_incidents(client: &Client) -> Option<Following> {
    follow_what(client, |what| matches!(what, Happening::Incident { .. })).await
}

async fn follow_what(client: &Client, wanted: fn(&Happening) -> bool) -> Option<Following> {
    let response = client.events(None).await.ok()?;
    Some(Following(tokio::spawn(show(response, wanted))))
}

async fn show(response: Response, wanted: fn(&Happening) -> bool) {
    let mut events = Events::of(response);
    while let Some(events) = events.next().await {
        let wanted = events.into_iter().filter(|event| wanted(&event.what));
        wanted.filter_map(|event| live_line(&event.what)).for_each(tell);
    }
}

/// The events of a running daemon, until the connection ends.
pub(super) struct Events {
    response: Response,
    lines: Lines,
    /// The newest id, by which the daemon can go on after it.
    pub(super) newest: Option<String>,
}

impl Events {
    /// Those that an answer brings.
    pub(super) fn of(response: Response) -> Self {
        Self { response, lines: Lines::default(), newest: None }
    }

    /// The next of them, of which there may be none yet; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<LiveEvent>> {
        let chunk = self.response.chunk().await.ok().flatten()?;
        let lines = self.lines.take(&chunk);
        let value =
            |line: &str, name: &str| line.strip_prefix(name).map(|text| text.trim().to_owned());
        if let Some(newest) = lines.iter().rev().find_map(|line| value(line, "id:")) {
            self.newest = Some(newest);
        }
        let events = lines.iter().filter_map(|line| value(line, "data:"));
        Some(events.filter_map(|text| serde_json::from_str(&text).ok()).collect())
    }
}

/// Cuts a stream into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(chunk);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > LONGEST {
                self.rest.clear();
            }
            return vec![];
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_stream_is_cut() {
        let mut lines = Lines::default();
        assert!(lines.take(b"data: {\"a\"").is_empty());
        assert_eq!(lines.take(b":1}\n\nda"), ["data: {\"a\":1}", ""]);
        assert_eq!(lines.take(b"ta: x\n"), ["data: x"]);
    }
}
