//! From what Docker says of a container to what makes one like it.
//!
//! Pure. Docker's answer mixes what was asked for with what was given: an address, the short id
//! as an alias, what the image brought along. Only what was asked for goes into the request. A
//! volume without a name becomes one by the name that Docker gave it, so that its data are there
//! again.

mod alone;

use std::collections::BTreeMap;

use selfheal_agents::model::{IMAGE_LABEL, ImageName, REMADE_LABEL, Remake};
use serde_json::{Map, Value, json};

/// Length of the id that Docker uses as host name and alias by itself.
const SHORT_ID: usize = 12;
/// Labels by which others own a container: they make it again themselves.
const OWNERS: [(&str, &str); 2] =
    [("com.docker.swarm.service.id", "Swarm"), ("io.kubernetes.pod.name", "Kubernetes")];

/// What is kept of Docker's answer.
pub(super) struct Document(Value);

/// An image, and whether its name still means it.
pub(super) struct Source {
    pub(super) image: ImageName,
    pub(super) by_name: bool,
}

impl Document {
    /// Of a container's description and the configuration of its image, where that is known.
    pub(super) fn of(described: &Value, image: Option<&Value>) -> Self {
        Self(json!({
            "Id": described["Id"],
            "Image": described["Image"],
            "Config": described["Config"],
            "HostConfig": described["HostConfig"],
            "Networks": without_what_was_given(&described["NetworkSettings"]["Networks"]),
            "Mounts": in_order(&described["Mounts"]),
            "ImageConfig": image,
        }))
    }

    pub(super) fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    pub(super) fn to_text(&self) -> String {
        self.0.to_string()
    }

    pub(super) fn id(&self) -> String {
        text(&self.0["Id"]).to_owned()
    }

    /// What it is made from.
    pub(super) fn image(&self) -> ImageName {
        let labelled = &self.0["Config"]["Labels"][IMAGE_LABEL];
        let named = &self.0["Config"]["Image"];
        let name = if text(named).starts_with("sha256:") && labelled.is_string() {
            labelled
        } else {
            named
        };
        ImageName { id: text(&self.0["Image"]).to_owned(), name: text(name).to_owned() }
    }

    pub(super) fn restart_policy(&self) -> &Value {
        &self.0["HostConfig"]["RestartPolicy"]
    }

    /// Why one like it cannot be made just like that, if so.
    pub(super) fn check(&self) -> Result<(), String> {
        let host = &self.0["HostConfig"];
        if host["AutoRemove"] == json!(true) {
            return Err("it was made with `--rm`: Docker removes it as soon as it stops".into());
        }
        if text(&host["NetworkMode"]).starts_with("container:") {
            return Err("it lives in the network of another container".to_owned());
        }
        if host["Links"].as_array().is_some_and(|links| !links.is_empty()) {
            return Err("it is tied to others by `--link`".to_owned());
        }
        let labels = &self.0["Config"]["Labels"];
        match OWNERS.iter().find(|(label, _)| labels[*label].is_string()) {
            Some((_, owner)) => Err(format!("it belongs to {owner}, which makes it again itself")),
            None if self.id().is_empty() || text(&self.0["Image"]).is_empty() => {
                Err("Docker does not say what it was made from".to_owned())
            }
            None => Ok(()),
        }
    }

    /// The networks it was put on, each with what was asked for there.
    pub(super) fn endpoints(&self) -> Vec<(String, Value)> {
        let empty = Map::new();
        let networks = self.0["Networks"].as_object().unwrap_or(&empty).iter();
        // These take no options.
        let own = |(name, _): &(&String, &Value)| !["host", "none"].contains(&name.as_str());
        networks.filter(own).map(|(name, endpoint)| (name.clone(), self.asked(endpoint))).collect()
    }

    fn asked(&self, endpoint: &Value) -> Value {
        let id = self.id();
        let own = id.get(..SHORT_ID).unwrap_or(&id);
        let aliases: Vec<&Value> =
            list(&endpoint["Aliases"]).iter().filter(|alias| text(alias) != own).collect();
        json!({
            "IPAMConfig": endpoint["IPAMConfig"],
            "Links": endpoint["Links"],
            "Aliases": aliases,
            "DriverOpts": endpoint["DriverOpts"],
        })
    }

    /// What is sent to make one like it.
    pub(super) fn body(&self, source: &Source, with: &Remake) -> Value {
        let mut body = self.0["Config"].clone();
        if with.image.is_some() {
            leave_to_image(&mut body, &self.0["ImageConfig"]);
        }
        self.name_host(&mut body);
        let image = if source.by_name { &source.image.name } else { &source.image.id };
        body["Image"] = json!(image);
        give(&mut body, with);
        label(&mut body, source, with);
        body["HostConfig"] = self.host_config();
        body["NetworkingConfig"] = self.networking();
        body
    }

    /// Docker makes the short id the name where nobody chose one, and takes none on the host's.
    fn name_host(&self, body: &mut Value) {
        let by_itself = self.id().starts_with(text(&body["Hostname"]));
        if by_itself || self.0["HostConfig"]["NetworkMode"] == json!("host") {
            body["Hostname"] = json!("");
        }
    }

    fn host_config(&self) -> Value {
        let mut host = self.0["HostConfig"].clone();
        let mut binds = list(&host["Binds"]).to_vec();
        for mount in list(&self.0["Mounts"]).iter().filter(|mount| mount["Type"] == json!("volume"))
        {
            let (name, at) = (text(&mount["Name"]), text(&mount["Destination"]));
            if name.is_empty() || binds.iter().any(|bind| goes_to(text(bind), at)) {
                continue;
            }
            let declared = host["Mounts"].as_array_mut().and_then(|mounts| {
                mounts.iter_mut().find(|declared| is_same(text(&declared["Target"]), at))
            });
            if let Some(declared) = declared {
                declared["Source"] = json!(name);
            } else {
                let how = if mount["RW"] == json!(false) { ":ro" } else { "" };
                binds.push(json!(format!("{name}:{at}{how}")));
            }
        }
        host["Binds"] = json!(binds);
        host
    }

    /// The one network that every version of Docker takes with the container.
    fn networking(&self) -> Value {
        let mode = text(&self.0["HostConfig"]["NetworkMode"]);
        let known = &self.0["Networks"];
        let is_first = |name: &str| name == mode || text(&known[name]["NetworkID"]) == mode;
        let first: BTreeMap<String, Value> = self
            .endpoints()
            .into_iter()
            .filter(|(name, _)| name != "bridge" && is_first(name))
            .collect();
        json!({ "EndpointsConfig": first })
    }
}

/// What is asked for on a network, and its id, by which it may have been asked for.
const ASKED: [&str; 5] = ["NetworkID", "IPAMConfig", "Links", "Aliases", "DriverOpts"];

fn without_what_was_given(networks: &Value) -> Value {
    let mut networks = networks.clone();
    for endpoint in networks.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(fields) = endpoint.as_object_mut() {
            fields.retain(|name, _| ASKED.contains(&name.as_str()));
        }
    }
    networks
}

/// Docker tells mounts in any order.
fn in_order(mounts: &Value) -> Value {
    let mut mounts = list(mounts).to_vec();
    mounts.sort_by(|a, b| text(&a["Destination"]).cmp(text(&b["Destination"])));
    json!(mounts)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether `SOURCE:DESTINATION[:OPTIONS]` leads there.
fn goes_to(bind: &str, at: &str) -> bool {
    bind.split(':').nth(1).is_some_and(|place| is_same(place, at))
}

/// `/data/` is `/data`.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made one")
}

/// Leaves to the new image what the old one had by itself.
fn leave_to_image(body: &mut Value, image: &Value) {
    for field in ["User", "WorkingDir", "StopSignal", "Shell", "StopTimeout", "OnBuild"] {
        if body[field] == image[field] {
            body[field] = Value::Null;
        }
    }
    // An entry point of one's own takes the image's arguments away.
    if body["Entrypoint"] == image["Entrypoint"] {
        body["Entrypoint"] = Value::Null;
        if body["Cmd"] == image["Cmd"] {
            body["Cmd"] = Value::Null;
        }
    }
    let given: Vec<Value> =
        list(&body["Env"]).iter().filter(|v| !list(&image["Env"]).contains(v)).cloned().collect();
    body["Env"] = json!(given);
    for field in ["Labels", "ExposedPorts", "Volumes"] {
        leave_entries(&mut body[field], &image[field]);
    }
    leave_health_check(&mut body["Healthcheck"], &image["Healthcheck"]);
}

fn leave_entries(body: &mut Value, image: &Value) {
    if let Some(entries) = body.as_object_mut() {
        entries.retain(|name, value| image.get(name) != Some(value));
    }
}

/// Empty and 0 mean the image's own.
fn leave_health_check(body: &mut Value, image: &Value) {
    let Some(check) = body.as_object_mut() else { return };
    check.retain(|name, value| image.get(name) != Some(value));
    if check.is_empty() {
        *body = Value::Null;
    }
}

/// Adds the variables; one that is there is replaced.
fn give(body: &mut Value, with: &Remake) {
    let others = |line: &&Value| {
        let name = text(line).split('=').next().unwrap_or_default();
        !with.variables.contains_key(name)
    };
    let mut lines: Vec<Value> = list(&body["Env"]).iter().filter(others).cloned().collect();
    let given = with.variables.iter().map(|(name, value)| format!("{name}={}", value.expose()));
    lines.extend(given.map(Value::from));
    body["Env"] = json!(lines);
}

fn label(body: &mut Value, source: &Source, with: &Remake) {
    let labels = object(&mut body["Labels"]);
    labels.insert(REMADE_LABEL.to_owned(), json!(with.mark));
    labels.remove(IMAGE_LABEL);
    if !source.by_name {
        labels.insert(IMAGE_LABEL.to_owned(), json!(source.image.name));
    }
}

#[cfg(test)]
mod tests;
