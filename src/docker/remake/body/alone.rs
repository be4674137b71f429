//! From what Docker says of a container to a clone of it that is alone and lasts no longer than its trial.
//!
//! Its invariant: of how a container is run only what is listed here goes into the clone, so an
//! option nobody here has heard of opens nothing. What the container may write, the clone only
//! reads, or has a fresh one of; what would lead out of the clone is a reason to make none.

use selfheal_agents::model::{REHEARSAL_INCIDENT_LABEL, REHEARSAL_LABEL, RehearsalClone, Remake};
use serde_json::{Map, Value, json};

use super::{Document, Source, list, object, text};

/// How a container is run, as far as a clone may be run so, too.
const KEPT: [&str; 16] = [
    "CapAdd",
    "CapDrop",
    "CpusetCpus",
    "CpusetMems",
    "GroupAdd",
    "Init",
    "MemorySwappiness",
    "PidsLimit",
    "ReadonlyRootfs",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "Sysctls",
    "Tmpfs",
    "Ulimits",
    "UsernsMode",
];
/// Rights beyond Docker's own that lead nowhere from a clone without a network.
const HARMLESS: [&str; 22] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_NICE",
    "SYS_PTRACE",
    "SYS_RESOURCE",
];
/// Runtimes that give a container nothing of the host by themselves; Docker's own has no name.
const PLAIN_RUNTIMES: [&str; 5] = ["", "runc", "io.containerd.runc.v2", "runsc", "kata"];
/// Processes and threads that a clone has at most, where its container has no limit of its own.
const MOST_PROCESSES: i64 = 4096;
/// What a clone writes to its log at most.
const LOG_SIZE: &str = "1m";
/// Where memory runs short, a clone goes before anything that works.
const FIRST_TO_GO: i64 = 800;
/// Microseconds over which a quota of processor time counts, where nothing is said.
const CPU_PERIOD: i64 = 100_000;
/// Digits of the name of a volume that nobody gave one.
const NAMELESS: usize = 64;

impl Document {
    /// Why a clone of it would not be alone, if so.
    pub(in super::super) fn check_clone(&self) -> Result<(), String> {
        let host = &self.0["HostConfig"];
        if host["Privileged"] == json!(true) {
            return Err("it is privileged: a clone could do anything".to_owned());
        }
        let runtime = text(&host["Runtime"]);
        if !PLAIN_RUNTIMES.contains(&runtime) {
            // That of a graphics card hands it out by what stands in the environment.
            return Err(format!("its runtime `{runtime}` could give a clone what others use"));
        }
        for field in ["Devices", "DeviceRequests", "VolumesFrom"] {
            if !list(&host[field]).is_empty() {
                return Err(format!("it has {field} that a clone must not use"));
            }
        }
        for field in ["PidMode", "IpcMode", "UTSMode"] {
            let mode = text(&host[field]);
            if mode == "host" || mode.starts_with("container:") {
                return Err(format!("its {field} is `{mode}`: a clone would not be alone"));
            }
        }
        let right = |word: &Value| text(word).trim_start_matches("CAP_").to_uppercase();
        let mut rights = list(&host["CapAdd"]).iter().map(right);
        if let Some(right) = rights.find(|right| !HARMLESS.contains(&right.as_str())) {
            return Err(format!("it has the right {right}: a clone could do harm"));
        }
        let mut kinds = list(&self.0["Mounts"]).iter().map(|mount| text(&mount["Type"]));
        match kinds.find(|kind| !["bind", "volume", "tmpfs"].contains(kind)) {
            Some(kind) => Err(format!("it has a mount of the kind `{kind}`")),
            None => Ok(()),
        }
    }

    /// What is sent to make a clone of it.
    pub(in super::super) fn clone_body(
        &self,
        source: &Source,
        with: &Remake,
        clone: &RehearsalClone,
    ) -> Value {
        let mut body = self.body(source, with);
        // Others act on labels: a proxy sends requests, Compose counts its own.
        body["Labels"] = json!({
            REHEARSAL_LABEL: clone.expires_at.to_rfc3339(),
            REHEARSAL_INCIDENT_LABEL: clone.incident.to_string(),
        });
        body["NetworkingConfig"] = Value::Null;
        body["MacAddress"] = Value::Null;
        body["Domainname"] = Value::Null;
        body["Hostname"] = json!(self.host_name());
        let (mounts, fresh) = self.clone_mounts(clone);
        for at in fresh {
            object(&mut body["Volumes"]).insert(at, json!({}));
        }
        body["HostConfig"] = self.clone_host_config(clone, &mounts);
        body
    }

    fn host_name(&self) -> &str {
        text(&self.0["Config"]["Hostname"])
    }

    fn clone_host_config(&self, clone: &RehearsalClone, mounts: &[Value]) -> Value {
        let known = &self.0["HostConfig"];
        let kept = KEPT.iter().filter(|field| !known[**field].is_null());
        let mut host: Map<String, Value> =
            kept.map(|field| ((*field).to_owned(), known[*field].clone())).collect();
        let own = clone.own_memory_bytes.map_or_else(|| known["Memory"].clone(), Value::from);
        let memory = at_most(&own, clone.memory_bytes);
        let cpu = json!(clone.own_cpu_nanos.unwrap_or_else(|| own_cpu(known)));
        for (field, value) in [
            ("NetworkMode", json!("none")),
            ("RestartPolicy", json!({ "Name": "no" })),
            ("LogConfig", json!({ "Type": "json-file", "Config": { "max-size": LOG_SIZE } })),
            ("ExtraHosts", json!(self.own_names())),
            ("Memory", json!(memory)),
            ("MemorySwap", json!(memory)),
            ("NanoCpus", json!(at_most(&cpu, clone.cpu_nanos))),
            ("OomScoreAdj", json!(FIRST_TO_GO)),
            ("Mounts", json!(mounts)),
        ] {
            host.insert(field.to_owned(), value);
        }
        if known["PidsLimit"].as_i64().is_none_or(|most| most <= 0) {
            host.insert("PidsLimit".to_owned(), json!(MOST_PROCESSES));
        }
        if !clone.files.is_empty() {
            // The copies go into the clone's own layer.
            host.insert("ReadonlyRootfs".to_owned(), json!(false));
        }
        Value::Object(host)
    }

    /// It answers to its own names although it is on no network.
    fn own_names(&self) -> Vec<String> {
        let own = self.id();
        let empty = Map::new();
        let networks = self.0["Networks"].as_object().unwrap_or(&empty).values();
        let aliases = networks.flat_map(|endpoint| list(&endpoint["Aliases"])).map(text);
        let mut names: Vec<&str> = aliases.chain([self.host_name()]).collect();
        names.retain(|name| {
            !name.is_empty() && (*name == self.host_name() || !own.starts_with(name))
        });
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| format!("{name}:127.0.0.1")).collect()
    }

    /// What a clone sees of what is mounted, and where it gets a volume of its own.
    fn clone_mounts(&self, clone: &RehearsalClone) -> (Vec<Value>, Vec<String>) {
        let (mut mounts, mut fresh) = (self.in_memory(), vec![]);
        for mount in list(&self.0["Mounts"]) {
            let (name, at) = (text(&mount["Name"]), text(&mount["Destination"]));
            if clone.files.iter().any(|file| file.mount == at.trim_end_matches('/')) {
                // The clone has a copy in its own layer.
                continue;
            }
            match text(&mount["Type"]) {
                // Without what is mounted below it, which stays writable in a read-only mount.
                "bind" => mounts.push(json!({
                    "Type": "bind", "Source": mount["Source"], "Target": at, "ReadOnly": true,
                    "BindOptions": { "NonRecursive": true },
                })),
                "volume" if is_nameless(name) => fresh.push(at.to_owned()),
                // Docker would fill an empty volume from the image, read-only or not.
                "volume" => mounts.push(json!({
                    "Type": "volume", "Source": name, "Target": at, "ReadOnly": true,
                    "VolumeOptions": { "NoCopy": true },
                })),
                _ => {}
            }
        }
        (mounts, fresh)
    }

    fn in_memory(&self) -> Vec<Value> {
        let declared = list(&self.0["HostConfig"]["Mounts"]).iter();
        declared.filter(|mount| mount["Type"] == json!("tmpfs")).cloned().collect()
    }
}

fn is_nameless(volume: &str) -> bool {
    volume.is_empty()
        || (volume.len() == NAMELESS && volume.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The lower of a limit, where 0 is none, and the most there is.
fn at_most(limit: &Value, most: u64) -> u64 {
    limit.as_u64().filter(|limit| *limit > 0).map_or(most, |limit| limit.min(most))
}

/// The limit of processor time in billionths of a core, as it was asked for; 0 for none.
fn own_cpu(host: &Value) -> u64 {
    let number = |field: &str| host[field].as_i64().unwrap_or(0);
    let period = if number("CpuPeriod") > 0 { number("CpuPeriod") } else { CPU_PERIOD };
    let of_quota = number("CpuQuota").max(0).saturating_mul(1_000_000_000) / period;
    u64::try_from(number("NanoCpus").max(of_quota)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
