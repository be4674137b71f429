//! Stands between Selfheal and the Docker engine, and shows it one stack alone.
//!
//! Lists and events are narrowed to the stack's label, so that other containers of a shared
//! engine are out of sight. Every call that changes something is written down, in order; one that
//! names a container of somebody else is refused. So what Selfheal did is known from
//! outside, not from its own record.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::engine::docker;
use super::stack::{RUN_LABEL, Stack};

/// The longest request head accepted.
const HEAD_LIMIT: usize = 64 * 1024;

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
    /// Listens on a socket in the stack's folder.
    pub(crate) fn before(stack: &Stack) -> Result<Self> {
        let socket = stack.folder("relay")?.join("docker.sock");
        let listener = UnixListener::bind(&socket).context("listen for Selfheal")?;
        let changes = Arc::new(Mutex::new(vec![]));
        let view = View {
            label: stack.label(),
            prefix: stack.name(""),
            engine: engine_socket(),
            changes: changes.clone(),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let view = view.clone();
                // A connection that breaks off is the client's business.
                std::thread::spawn(move || drop(view.relay(client)));
            }
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

fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    Path::new(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock")).to_owned()
}

#[derive(Clone)]
struct View {
    label: String,
    /// What the names of the stack's containers begin with.
    prefix: String,
    engine: PathBuf,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl View {
    /// One connection, one request: the answer ends the connection.
    fn relay(&self, mut client: UnixStream) -> Result<()> {
        let (head, body) = read_head(&mut client)?;
        let mut lines = head.split("\r\n");
        let request = lines.next().context("an empty request")?;
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if method != "GET" && method != "HEAD" && !self.permits(target) {
            let refusal =
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return Ok(client.write_all(refusal.as_bytes())?);
        }
        let mut passed = format!("{method} {} HTTP/1.1\r\n", self.narrowed(target));
        for line in lines.filter(|l| !l.to_ascii_lowercase().starts_with("connection:")) {
            passed.push_str(line);
            passed.push_str("\r\n");
        }
        passed.push_str("Connection: close\r\n\r\n");
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(passed.as_bytes())?;
        engine.write_all(&body)?;
        let (mut to, mut from) = (engine.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            let copied = std::io::copy(&mut from, &mut to);
            // The client went away: a followed log or event stream must end, too.
            drop((copied, to.shutdown(Shutdown::Both)));
        });
        std::io::copy(&mut engine, &mut client)?;
        Ok(client.shutdown(Shutdown::Both)?)
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
        let ours = label == self.label || own_network;
        self.write_down(object.trim_start_matches('/'), verb, ours)
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

/// The head of a request without its last empty line, and what came after it.
fn read_head(client: &mut UnixStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = client.read(&mut buffer)?;
        anyhow::ensure!(read > 0 && bytes.len() < HEAD_LIMIT, "no complete request");
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes[..end]).into_owned(), body));
        }
    }
}
