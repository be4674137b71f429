//! Stands between Selfheal and the Docker engine, and shows it one stack alone.
//!
//! Lists and events are narrowed to the stack's label, so that other containers of a shared
//! engine are out of sight. Every call that changes something is written down, in order; one that
//! names a container of somebody else is refused. So what Selfheal did is known from
//! outside, not from its own record.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::engine::docker;
use super::stack::{RUN_LABEL, Stack};
use crate::relaying::{self, Verdict};

/// What stands in the name of every clone.
pub(crate) const CLONE: &str = ".selfheal-rehearsal-";

/// One change that Selfheal asked the engine for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The container's name, or the path where it names none.
    pub(crate) object: String,
    /// What was asked, such as `restart`.
    pub(crate) verb: String,
    /// Whether the object belongs to the stack; if not, the engine never heard of it.
    pub(crate) ours: bool,
}

/// The relay; it ends with the process.
pub(crate) struct Relay {
    socket: PathBuf,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Relay {
    /// Listens for Selfheal on a socket in the stack's folder.
    pub(crate) fn before(stack: &Stack) -> Result<Self> {
        Self::on(stack, "docker.sock")
    }

    /// One more, on a socket of this name, whose changes are written down by themselves.
    pub(crate) fn on(stack: &Stack, name: &str) -> Result<Self> {
        let socket = stack.folder("relay")?.join(name);
        let listener = UnixListener::bind(&socket).context("listen for Selfheal")?;
        let changes = Arc::new(Mutex::new(vec![]));
        let view = View { label: stack.label(), prefix: stack.name(""), changes: changes.clone() };
        relaying::serve(listener, engine_socket(), move |method, target| {
            view.judge(method, target)
        });
        Ok(Self { socket, changes })
    }

    /// The address for the setting `docker.host`.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What Selfheal changed until now, in order.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.lock().expect("no relay thread panics").clone()
    }
}

/// Whether this is the name of a clone that a fix is tried on.
pub(crate) fn is_clone(name: &str) -> bool {
    name.contains(CLONE)
}

fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    Path::new(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock")).to_owned()
}

struct View {
    label: String,
    /// What the names of the stack's containers begin with.
    prefix: String,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl View {
    /// Lets reads pass, narrowed to the stack, and of changes those of its own containers.
    fn judge(&self, method: &str, target: &str) -> Verdict {
        if method != "GET" && method != "HEAD" && !self.permits(target) {
            return Verdict::Refuse;
        }
        Verdict::Pass(self.narrowed(target))
    }

    /// Writes a change down and answers whether it may pass.
    fn permits(&self, target: &str) -> bool {
        // What is to be made is not there yet: it is the stack's own by its name.
        if let Some(name) = target.strip_prefix("/containers/create?name=") {
            return self.write_down(name, "create", name.starts_with(&self.prefix));
        }
        let path = target.split('?').next().unwrap_or("");
        let parts: Vec<&str> = path.split('/').skip_while(|p| *p != "containers").collect();
        let verb = parts.get(2).copied().unwrap_or(path);
        let template =
            format!("{{{{.Name}}}} {RUN_LABEL}={{{{index .Config.Labels \"{RUN_LABEL}\"}}}}");
        let seen = parts.get(1).and_then(|id| {
            docker(&["inspect", "--type", "container", "--format", &template, id]).ok()
        });
        let (object, label) = seen.as_deref().and_then(|s| s.split_once(' ')).unwrap_or((path, ""));
        // Network changes name the container in the body; the network is the stack's own.
        let own_network = path.contains("/networks/");
        let object = object.trim_start_matches('/');
        // A clone carries none of its container's labels.
        let own_clone = is_clone(object) && object.starts_with(&self.prefix);
        let ours = label == self.label || own_network || own_clone;
        self.write_down(object, verb, ours)
    }

    fn write_down(&self, object: &str, verb: &str, ours: bool) -> bool {
        let change = Change { object: object.to_owned(), verb: verb.to_owned(), ours };
        self.changes.lock().expect("no relay thread panics").push(change);
        ours
    }

    /// The request target, with lists and events narrowed to the stack.
    fn narrowed(&self, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.ends_with("/containers/json") && !path.ends_with("/events") {
            return target.to_owned();
        }
        let mut pairs: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut filters: Value = pairs
            .get("filters")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| json!({}));
        // Two spellings exist; the engine wants one of them throughout.
        let as_map = filters.as_object().is_some_and(|all| all.values().any(Value::is_object));
        let label = &self.label;
        filters["label"] = if as_map { json!({ label: true }) } else { json!([label]) };
        pairs.insert("filters".to_owned(), filters.to_string());
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{path}?{query}")
    }
}
