//! Docker's events, filtered at the server, in the words of the model.
//!
//! Never the exec events: each health probe makes three. Network events carry only the
//! container's id; it is resolved to the name, from what was seen before or by asking. The
//! stream ends with an error when the connection is lost; whoever reads it lists everything
//! anew then. Who caused an event is not known here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use selfheal_agents::model::{RuntimeEvent, RuntimeEventKind, TargetId, Timestamp, clean};
use selfheal_agents::ports::{WorldError, WorldResult};

use super::Docker;
use super::facts::health_status;

/// What the server is asked for, beside the two types.
const WANTED: [&str; 10] = [
    "die",
    "oom",
    "health_status",
    "kill",
    "stop",
    "start",
    "create",
    "destroy",
    "connect",
    "disconnect",
];
/// Silence after which the daemon is asked whether it lives.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// The most names remembered for the events of networks.
const MOST_NAMES: usize = 4096;

/// Names of containers by Docker id, also of removed ones: their last events come later.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeMap<String, String>>);

impl Names {
    pub(super) fn remember(&self, id: &str, name: &str) {
        // A panic elsewhere cannot leave half a name behind: the map is still good.
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(id.to_owned(), name.to_owned());
    }

    fn of(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// Whom an event is about.
#[derive(Debug, PartialEq, Eq)]
enum About {
    Name(String),
    Id(String),
}

impl Docker {
    pub(super) fn stream_events(
        &self,
        since: Option<Timestamp>,
    ) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        let docker = self.clone();
        stream::once(async move {
            // Silence tells nothing: whether it lives at all is asked first.
            match docker.ping().await {
                Ok(_) => {
                    let messages = docker.client.events(Some(options(since, None)));
                    docker.events_of(messages).boxed()
                }
                Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
            }
        })
        .flatten()
        .boxed()
    }

    pub(super) async fn events_until_now(
        &self,
        since: Timestamp,
    ) -> WorldResult<Vec<RuntimeEvent>> {
        let mut events = vec![];
        for message in self.messages_until_now(options(Some(since), Some(Utc::now()))).await? {
            events.extend(self.event(&message).await);
        }
        Ok(events)
    }

    /// The names of images that were pulled. Docker tells of a pull when it is over.
    pub(super) async fn pulled(&self, since: Timestamp) -> WorldResult<Vec<String>> {
        let filters = [("type", vec!["image"]), ("event", vec!["pull"])];
        let messages = self.messages_until_now(filtered(Some(since), Some(Utc::now()), filters));
        let names = messages.await?.into_iter().filter_map(|message| message.actor?.id);
        Ok(names.map(|name| clean(&name, TargetId::MAX_NAME)).collect())
    }

    /// What Docker remembers: it answers with that and closes.
    async fn messages_until_now(&self, options: EventsOptions) -> WorldResult<Vec<EventMessage>> {
        let messages = self.client.events(Some(options)).try_collect();
        self.within("the events", self.limits.read, messages).await
    }

    fn events_of<S>(
        self,
        messages: S,
    ) -> impl futures_util::Stream<Item = WorldResult<RuntimeEvent>> + Send
    where
        S: futures_util::Stream<Item = Result<EventMessage, bollard::errors::Error>>
            + Send
            + 'static,
    {
        let state = Some((Arc::new(self), messages.boxed()));
        stream::unfold(state, |state| async move {
            let (docker, mut messages) = state?;
            loop {
                match docker.next_message(&mut messages).await {
                    Ok(message) => {
                        if let Some(event) = docker.event(&message).await {
                            return Some((Ok(event), Some((docker, messages))));
                        }
                    }
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
    }

    /// The next message; an error when the stream is over or the daemon no longer answers.
    async fn next_message<S>(&self, messages: &mut S) -> WorldResult<EventMessage>
    where
        S: futures_util::Stream<Item = Result<EventMessage, bollard::errors::Error>> + Unpin,
    {
        loop {
            match tokio::time::timeout(LONGEST_SILENCE, messages.next()).await {
                Ok(Some(Ok(message))) => return Ok(message),
                Ok(Some(Err(error))) => {
                    return Err(self.error("the events", self.limits.read, &error));
                }
                Ok(None) => {
                    return Err(WorldError::Unreachable {
                        what: format!("Docker at {}", self.wire.address),
                        why: "it ended the stream of events".to_owned(),
                    });
                }
                // Silence is normal; a daemon that does not answer either is not.
                Err(_) => self.ping().await.map(drop)?,
            }
        }
    }

    async fn event(&self, message: &EventMessage) -> Option<RuntimeEvent> {
        let (about, at, kind) = read(message)?;
        let name = match about {
            About::Name(name) => {
                let id = message.actor.as_ref().and_then(|actor| actor.id.as_deref());
                self.names.remember(id.unwrap_or_default(), &name);
                name
            }
            About::Id(id) => match self.names.of(&id) {
                Some(name) => name,
                None => self.name_of(&id).await?,
            },
        };
        let target = TargetId::container(&name);
        Some(RuntimeEvent { at, target, kind, by_selfheal: false })
    }

    async fn name_of(&self, id: &str) -> Option<String> {
        match self.inspect(id).await {
            Ok(inspect) => Some(inspect.name.trim_start_matches('/').to_owned()),
            Err(error) => {
                tracing::debug!(container.id = id, %error, "an event of an unknown container");
                None
            }
        }
    }
}

fn options(since: Option<Timestamp>, until: Option<Timestamp>) -> EventsOptions {
    let filters = [("type", vec!["container", "network"]), ("event", WANTED.to_vec())];
    filtered(since, until, filters)
}

fn filtered<const N: usize>(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    filters: [(&str, Vec<&str>); N],
) -> EventsOptions {
    let time = |at: Timestamp| format!("{}.{:09}", at.timestamp(), at.timestamp_subsec_nanos());
    let filters = filters
        .map(|(key, words)| (key.to_owned(), words.into_iter().map(str::to_owned).collect()));
    EventsOptions {
        since: since.map(time),
        until: until.map(time),
        filters: Some(HashMap::from(filters)),
    }
}

/// What a message says; `None` for what nobody here needs.
fn read(message: &EventMessage) -> Option<(About, Timestamp, RuntimeEventKind)> {
    let action = message.action.as_deref()?;
    let actor = message.actor.as_ref()?;
    let attribute = |key: &str| {
        let attributes = actor.attributes.as_ref()?;
        attributes.get(key).map(|value| clean(value, TargetId::MAX_NAME))
    };
    let at = match (message.time_nano, message.time) {
        (Some(nanos), _) => DateTime::from_timestamp_nanos(nanos),
        (None, secs) => DateTime::from_timestamp(secs?, 0)?,
    };
    let kind = message.typ.map(|kind| kind.to_string()).unwrap_or_default();
    if kind == "network" {
        let network = attribute("name")?;
        let kind = match action {
            "connect" => RuntimeEventKind::NetworkConnect { network },
            "disconnect" => RuntimeEventKind::NetworkDisconnect { network },
            _ => return None,
        };
        return Some((About::Id(attribute("container")?), at, kind));
    }
    let kind = match action {
        "die" => RuntimeEventKind::Die { exit_code: attribute("exitCode")?.parse().ok()? },
        "oom" => RuntimeEventKind::Oom,
        "kill" => RuntimeEventKind::Kill { signal: attribute("signal").unwrap_or_default() },
        "stop" => RuntimeEventKind::Stop,
        "start" => RuntimeEventKind::Start,
        "create" => RuntimeEventKind::Create,
        "destroy" => RuntimeEventKind::Destroy,
        _ => {
            let status = action.strip_prefix("health_status: ")?;
            RuntimeEventKind::Health { status: health_status(status.trim())? }
        }
    };
    Some((About::Name(attribute("name")?), at, kind))
}

/// A message of whatever content is read or left.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzzed(message: &EventMessage) {
    let _ = read(message);
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::HealthStatus;

    use super::*;

    fn message(json: &str) -> EventMessage {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_death_names_its_container_and_exit_code() {
        let message = message(
            r#"{"Type":"container","Action":"die","Actor":{"ID":"c0ffee","Attributes":{"exitCode":"137","image":"shop","name":"web"}},"scope":"local","time":1767323045,"timeNano":1767323045123456789}"#,
        );
        let (about, at, kind) = read(&message).unwrap();
        assert_eq!(about, About::Name("web".to_owned()));
        assert_eq!(at.timestamp_subsec_nanos(), 123_456_789);
        assert_eq!(kind, RuntimeEventKind::Die { exit_code: 137 });
    }

    #[test]
    fn health_and_networks_are_understood() {
        let health = message(
            r#"{"Type":"container","Action":"health_status: unhealthy","Actor":{"ID":"c0ffee","Attributes":{"name":"web"}},"time":1}"#,
        );
        let status = HealthStatus::Unhealthy;
        assert_eq!(read(&health).unwrap().2, RuntimeEventKind::Health { status });
        let network = message(
            r#"{"Type":"network","Action":"disconnect","Actor":{"ID":"n1","Attributes":{"container":"c0ffee","name":"front","type":"bridge"}},"time":1}"#,
        );
        let (about, _, kind) = read(&network).unwrap();
        assert_eq!(about, About::Id("c0ffee".to_owned()));
        assert_eq!(kind, RuntimeEventKind::NetworkDisconnect { network: "front".to_owned() });
    }

    #[test]
    fn the_making_of_networks_and_exec_are_nobodys_concern() {
        for json in [
            r#"{"Type":"network","Action":"create","Actor":{"ID":"n1","Attributes":{"name":"front"}},"time":1}"#,
            r#"{"Type":"container","Action":"exec_start: true","Actor":{"ID":"c","Attributes":{"name":"web"}},"time":1}"#,
            r#"{"Type":"container","Action":"die","Actor":{"ID":"c"},"time":1}"#,
        ] {
            assert_eq!(read(&message(json)), None, "{json}");
        }
    }
}
