//! Makes a container again: takes the old one out of the way, makes another like it, and clears
//! away whichever of the two is not wanted in the end.
//!
//! Its invariant: a container is known by name *and* id wherever it is moved or removed, and no
//! volume is ever removed. What is sent is what Docker said of the old container, nearly
//! untouched ([`body`]), so that an option nobody here has heard of is in the new one as well.

mod body;
mod rehearsal;

use async_trait::async_trait;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder};
use selfheal_agents::model::{
    Blueprint, ImageFacts, ImageName, REMADE_LABEL, Remake, SecretText, clean,
};
use selfheal_agents::ports::{Remakes, WorldError, WorldResult, if_there};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Docker;
use super::changes::segment;
use super::facts::{command, environment};
use super::inspect::{Config, Inspect};
use body::Document;

/// `GET /images/{name}/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(default)]
    config: Value,
}

impl Docker {
    /// An image by its id or name; `None` if it is not here.
    async fn find_image(&self, name: &str) -> WorldResult<Option<Image>> {
        let what = format!("the image `{}`", clean(name, 200));
        let path = format!("/images/{}/json", segment(name));
        let asked = self.wire.get_json::<Image>(&path);
        match self.within(&what, self.limits.read, asked).await {
            // Docker's own words, for a name as for an id.
            Err(WorldError::Refused { why, .. })
                if why.to_lowercase().contains("no such image") =>
            {
                Ok(None)
            }
            answer => if_there(answer),
        }
    }

    /// One container as Docker describes it, whole.
    async fn described(&self, name: &str) -> WorldResult<Value> {
        let known = self.inspect(name).await?;
        let path = format!("/containers/{}/json", known.id);
        let what = format!("container `{name}`");
        self.within(&what, self.limits.read, self.wire.get_json(&path)).await
    }

    /// The container of that name, if there is one.
    async fn find(&self, name: &str) -> WorldResult<Option<Inspect>> {
        if_there(self.inspect(name).await)
    }

    /// The container of that name if it has that id; another one is somebody else's.
    async fn only(&self, name: &str, id: &str) -> WorldResult<Inspect> {
        let found = self.inspect(name).await?;
        if found.id == id {
            return Ok(found);
        }
        Err(WorldError::Conflict { what: format!("container `{name}`") })
    }

    async fn rename(&self, id: &str, from: &str, to: &str) -> WorldResult<()> {
        let what = format!("the renaming of container `{from}` to `{to}`");
        let options = RenameContainerOptionsBuilder::default().name(to).build();
        let renaming = self.client.rename_container(id, options);
        self.changing(&what, self.limits.change, renaming).await
    }

    async fn set_restart_policy(&self, name: &str, id: &str, policy: &Value) -> WorldResult<()> {
        let what = format!("the restart policy of container `{name}`");
        let path = format!("/containers/{id}/update");
        let update = json!({ "RestartPolicy": policy });
        let updating = self.wire.post_json(&path, &update);
        self.changing(&what, self.limits.change, updating).await.map(drop)
    }

    /// The image to make it from: by the name it was known by, if that still means it.
    async fn image_to_use(&self, wanted: &ImageName) -> WorldResult<body::Source> {
        let by_name = match self.find_image(&wanted.name).await? {
            Some(found) => found.id == wanted.id,
            None => false,
        };
        Ok(body::Source { image: wanted.clone(), by_name })
    }

    async fn create(&self, name: &str, document: &Document, with: &Remake) -> WorldResult<()> {
        let wanted = with.image.clone().unwrap_or_else(|| document.image());
        let source = self.image_to_use(&wanted).await?;
        let body = document.body(&source, with);
        let what = format!("the making of container `{name}`");
        let path = format!("/containers/create?name={}", segment(name));
        self.changing(&what, self.limits.change, self.wire.post_json(&path, &body)).await.map(drop)
    }

    /// Docker before API 1.44 takes one network when a container is made.
    async fn join_the_others(&self, name: &str, document: &Document) -> WorldResult<()> {
        let now = self.inspect(name).await?;
        for (network, endpoint) in document.endpoints() {
            if now.network_settings.networks.contains_key(&network) {
                continue;
            }
            let what = format!("the connection of container `{name}` to network `{network}`");
            let path = format!("/networks/{}/connect", segment(&network));
            let request = json!({ "Container": now.id, "EndpointConfig": endpoint });
            let joining = self.wire.post_json(&path, &request);
            self.changing(&what, self.limits.change, joining).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Remakes for Docker {
    async fn image(&self, id: &str) -> WorldResult<ImageFacts> {
        let what = || format!("the image `{}`", clean(id, 200));
        let found = self.find_image(id).await?;
        let image = found.ok_or_else(|| WorldError::NotFound { what: what() })?;
        let config: Config = serde_json::from_value(image.config)
            .map_err(|error| WorldError::Refused { what: what(), why: error.to_string() })?;
        Ok(ImageFacts {
            id: image.id,
            environment: environment(&config.env),
            command: SecretText::new(command(&config)),
        })
    }

    async fn blueprint(&self, name: &str) -> WorldResult<Blueprint> {
        let described = self.described(name).await?;
        let id = described["Image"].as_str().unwrap_or_default();
        let image = self.find_image(id).await?.map(|image| image.config);
        let document = Document::of(&described, image.as_ref());
        document.check().map_err(|why| WorldError::Refused {
            what: format!("making container `{name}` again"),
            why,
        })?;
        Ok(Blueprint {
            id: document.id(),
            image_id: id.to_owned(),
            running: described["State"]["Running"].as_bool().unwrap_or(false),
            networks: document.endpoints().into_iter().map(|(network, _)| network).collect(),
            document: SecretText::new(document.to_text()),
        })
    }

    async fn set_aside(
        &self,
        name: &str,
        id: &str,
        aside: &str,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        if self.find(aside).await?.is_some_and(|found| found.id == id) {
            return Ok(());
        }
        let found = self.only(name, id).await?;
        // First: a restart of the engine at any later moment must not start both.
        self.set_restart_policy(name, &found.id, &json!({ "Name": "no" })).await?;
        self.stop_container(name, stop_timeout_secs).await?;
        self.rename(&found.id, name, aside).await
    }

    async fn make(&self, name: &str, from: &Blueprint, with: &Remake) -> WorldResult<()> {
        let document = read(name, from)?;
        let mark = |known: &Inspect| known.config.labels.get(REMADE_LABEL) == Some(&with.mark);
        match self.find(name).await? {
            Some(known) if mark(&known) => {}
            Some(_) => return Err(WorldError::Conflict { what: format!("container `{name}`") }),
            None => self.create(name, &document, with).await?,
        }
        self.join_the_others(name, &document).await
    }

    async fn put_back(&self, aside: &str, name: &str, from: &Blueprint) -> WorldResult<()> {
        let document = read(name, from)?;
        if self.find(name).await?.is_none_or(|found| found.id != from.id) {
            self.only(aside, &from.id).await?;
            self.rename(&from.id, aside, name).await?;
        }
        self.set_restart_policy(name, &from.id, document.restart_policy()).await
    }

    async fn remove(&self, name: &str, id: &str) -> WorldResult<()> {
        if self.find(name).await?.is_none_or(|found| found.id != id) {
            return Ok(());
        }
        let what = format!("the removal of container `{name}`");
        let options = RemoveContainerOptionsBuilder::default().force(true).v(false).build();
        let removing = self.client.remove_container(id, Some(options));
        match self.changing(&what, self.limits.change, removing).await {
            Err(WorldError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

fn read(name: &str, from: &Blueprint) -> WorldResult<Document> {
    Document::read(from.document.expose()).map_err(|error| WorldError::Refused {
        what: format!("making container `{name}` again"),
        why: format!("how it was made cannot be read: {error}"),
    })
}
