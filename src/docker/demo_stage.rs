//! The stage of `selfheal demo`: one image and one container of our own making.
//!
//! Its invariant: it makes and removes only what carries the label [`DEMO_LABEL`], which
//! nobody but the demo sets. It pulls nothing. It heals nothing: that is done through the
//! port like everywhere else.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, RemoveContainerOptions, RemoveImageOptions,
    StartContainerOptions,
};
use chrono::DateTime;
use futures_util::TryStreamExt as _;
use selfheal_agents::health_monitor::DEMO_LABEL;
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{WorldError, WorldResult};
use serde::Deserialize;

use super::Docker;
use super::changes::segment;

/// How long the image may take to be taken in.
const IMPORT: Duration = Duration::from_mins(2);
/// The port the demo's service listens on in its container.
pub const DEMO_PORT: u16 = 8080;

/// What the container of a demo is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoContainer {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// The port of this machine's loopback that leads to [`DEMO_PORT`].
    pub port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Labelled {
    id: String,
    created: i64,
    labels: Option<HashMap<String, String>>,
}

/// Which demos' things are removed.
#[derive(Debug, Clone, Copy)]
pub enum DemoLeft<'a> {
    /// Those of this run.
    Of(&'a str),
    /// Those made before this time: what a killed demo left behind.
    Before(Timestamp),
}

impl DemoLeft<'_> {
    fn holds(self, thing: &Labelled) -> bool {
        let Some(run) = thing.labels.as_ref().and_then(|labels| labels.get(DEMO_LABEL)) else {
            return false;
        };
        match self {
            Self::Of(wanted) => run == wanted,
            // An unreadable time is no reason to remove.
            Self::Before(time) => {
                DateTime::from_timestamp(thing.created, 0).is_some_and(|made| made < time)
            }
        }
    }
}

/// The name of a run's container.
pub fn demo_container(run: &str) -> String {
    format!("selfheal-demo-{run}")
}

fn image(run: &str) -> String {
    format!("selfheal-demo:{run}")
}

impl Docker {
    /// Makes the image of a demo out of a tar archive; asks no registry.
    pub async fn stage_demo_image(&self, run: &str, archive: Vec<u8>) -> WorldResult<()> {
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some("selfheal-demo".to_owned()),
            tag: Some(run.to_owned()),
            changes: vec![format!("LABEL {DEMO_LABEL}={run}")],
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(archive.into());
        let importing = self.client.create_image(Some(options), Some(body), None);
        self.within("the import of the demo's image", IMPORT, importing.try_collect::<Vec<_>>())
            .await
            .map(drop)
    }

    /// Makes and starts the container of a demo, without a restart policy.
    pub async fn stage_demo_container(&self, run: &str, what: DemoContainer) -> WorldResult<()> {
        let name = demo_container(run);
        let port = format!("{DEMO_PORT}/tcp");
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(what.port.to_string()),
        };
        let body = ContainerCreateBody {
            image: Some(image(run)),
            cmd: Some(what.command),
            env: Some(what.environment),
            labels: Some(HashMap::from([(DEMO_LABEL.to_owned(), run.to_owned())])),
            exposed_ports: Some(vec![port.clone()]),
            host_config: Some(HostConfig {
                port_bindings: Some(HashMap::from([(port, Some(vec![binding]))])),
                // A demo must not be able to hurt the machine it runs on.
                memory: Some(256 * 1024 * 1024),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let made = self.client.create_container(Some(options), body);
        let made = self.within("the demo's container", self.limits.change, made).await?;
        let start = self.client.start_container(&made.id, None::<StartContainerOptions>);
        self.within("the start of the demo's container", self.limits.change, start).await
    }

    /// Removes containers and images of demos; returns how many things went.
    pub async fn clear_demo(&self, which: DemoLeft<'_>) -> WorldResult<usize> {
        let limit = self.limits.change;
        let mut removed = 0;
        for container in self.labelled("/containers/json?all=1&").await? {
            if which.holds(&container) {
                let options = RemoveContainerOptions {
                    force: true,
                    v: true,
                    ..RemoveContainerOptions::default()
                };
                let going = self.client.remove_container(&container.id, Some(options));
                gone(self.within("the removal of the demo's container", limit, going).await)?;
                removed += 1;
            }
        }
        for image in self.labelled("/images/json?").await? {
            if which.holds(&image) {
                let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
                let going = self.client.remove_image(&image.id, Some(options), None);
                gone(self.within("the removal of the demo's image", limit, going).await.map(drop))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn labelled(&self, path: &str) -> WorldResult<Vec<Labelled>> {
        let filters = segment(&format!("{{\"label\":[\"{DEMO_LABEL}\"]}}"));
        let path = format!("{path}filters={filters}");
        let asked = self.wire.get_json(&path);
        self.within("the list of what demos made", self.limits.read, asked).await
    }
}

/// What is gone already is removed.
fn gone(removal: WorldResult<()>) -> WorldResult<()> {
    match removal {
        Err(WorldError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(label: &str, run: &str, created: i64) -> Labelled {
        let labels = Some(HashMap::from([(label.to_owned(), run.to_owned())]));
        Labelled { id: "1".to_owned(), created, labels }
    }

    #[test]
    fn only_things_of_a_demo_are_removed() {
        let before = DemoLeft::Before(DateTime::from_timestamp(1000, 0).unwrap());
        assert!(DemoLeft::Of("a").holds(&thing(DEMO_LABEL, "a", 1)));
        assert!(!DemoLeft::Of("a").holds(&thing(DEMO_LABEL, "b", 1)));
        assert!(before.holds(&thing(DEMO_LABEL, "b", 999)));
        assert!(!before.holds(&thing(DEMO_LABEL, "b", 1000)), "another demo may run now");
        assert!(!before.holds(&thing("some.label", "b", 1)));
        assert!(!before.holds(&Labelled { id: "1".to_owned(), created: 1, labels: None }));
    }
}
