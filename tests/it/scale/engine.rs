//! A stand-in for the Docker engine on a Unix socket: a real HTTP server that speaks what Selfheal
//! asks for, over as many containers as wanted.
//!
//! It can be killed and come back, and it can hang: it takes requests then, and answers none. What
//! it tells is what Docker tells, as far as Selfheal reads it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What is written to a log that is followed, one line after the other; `None` at its end.
pub(super) type Source = Box<dyn FnMut() -> Option<String> + Send>;

/// What its threads are called, so that what they use is not taken for Selfheal's.
pub(super) const THREAD: &str = "stand-in";

/// One container.
#[derive(Clone)]
struct Container {
    name: String,
    exit_code: Option<i64>,
}

#[derive(Default)]
struct Known {
    containers: Mutex<BTreeMap<String, Container>>,
    asked: Mutex<BTreeMap<String, usize>>,
    hangs: AtomicBool,
    /// Never said: Selfheal is not told of what happens, it has to look.
    silence: watch::Sender<()>,
    logs: Mutex<BTreeMap<String, Source>>,
    followed: AtomicUsize,
    /// How many lines there are in a log that is read and not followed.
    written: Mutex<BTreeMap<String, usize>>,
    /// What single lines say, with their time.
    said: Mutex<BTreeMap<String, Vec<Said>>>,
}

type Said = (DateTime<Utc>, String);

/// The engine. It ends with this.
pub(crate) struct Engine {
    socket: PathBuf,
    known: Arc<Known>,
    runtime: Option<Runtime>,
}

fn id_of(number: usize) -> String {
    format!("{number:064x}")
}

impl Engine {
    /// One with so many running containers, `c0` and on.
    pub(crate) fn of(socket: &Path, containers: usize) -> Self {
        let named = |number| Container { name: format!("c{number}"), exit_code: None };
        let containers = (0..containers).map(|number| (id_of(number + 1), named(number)));
        let known = Known { containers: Mutex::new(containers.collect()), ..Known::default() };
        let mut engine = Self { socket: socket.to_owned(), known: Arc::new(known), runtime: None };
        engine.start();
        engine
    }

    /// Answers from now on.
    pub(super) fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .expect("threads can be had");
        drop(std::fs::remove_file(&self.socket));
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&self.socket).expect("the test's own folder can be written")
        };
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&self.known));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        self.runtime = Some(runtime);
    }

    /// Dies with all its connections, as by SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        drop(std::fs::remove_file(&self.socket));
    }

    /// Takes requests and answers none, or answers again.
    pub(super) fn hang(&self, hangs: bool) {
        self.known.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Every container ends with this code or runs, and nobody is told.
    pub(super) fn end_all(&self, exit_code: Option<i64>) {
        for container in self.known.containers.lock().unwrap().values_mut() {
            container.exit_code = exit_code;
        }
    }

    /// One container ends with this code or runs, and nobody is told.
    pub(super) fn end(&self, container: &str, exit_code: Option<i64>) {
        let mut containers = self.known.containers.lock().unwrap();
        for one in containers.values_mut().filter(|one| one.name == container) {
            one.exit_code = exit_code;
        }
    }

    /// What the log of a container says to whoever follows it.
    pub(super) fn log(&self, container: &str, source: Source) {
        self.known.logs.lock().unwrap().insert(container.to_owned(), source);
    }

    /// So many lines were written just now.
    pub(super) fn wrote(&self, container: &str, lines: usize) {
        self.known.written.lock().unwrap().insert(container.to_owned(), lines);
    }

    /// Whoever follows the log of this container hears what it says from then on.
    pub(super) fn speaks(&self, container: &str) {
        self.log(container, said(&self.known, container));
    }

    /// A line of a container that [speaks](Self::speaks), also for whoever reads its log later.
    pub(super) fn says(&self, container: &str, line: &str) {
        let mut said = self.known.said.lock().unwrap();
        said.entry(container.to_owned()).or_default().push((Utc::now(), line.to_owned()));
    }

    /// How many logs are followed.
    pub(super) fn followed(&self) -> usize {
        self.known.followed.load(Ordering::SeqCst)
    }

    /// How often each kind of request came since this was asked last.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.known.asked.lock().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn answer(State(known): State<Arc<Known>>, request: Request) -> Response {
    let target = request.uri().to_string();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let kind = match parts[..] {
        ["containers", _, what] => format!("containers/{{id}}/{what}"),
        _ => parts.join("/"),
    };
    *known.asked.lock().unwrap().entry(kind).or_default() += 1;
    if known.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    match parts[..] {
        ["version"] => json(&json!({"Version": "20.10.24", "ApiVersion": "1.41"})),
        ["events"] if query.contains("until=") => Body::empty().into_response(),
        ["events"] => events(&known),
        ["containers", "json"] => json(&list(&known)),
        ["containers", name, "json"] => of(&known, name, |id, one| json(&inspect(id, one))),
        ["containers", name, "stats"] => of(&known, name, |_, _| json(&stats())),
        ["containers", name, "top"] => of(&known, name, |_, _| json(&json!({"Processes": []}))),
        ["containers", name, "logs"] => {
            let follows = query.contains("follow=true");
            of(&known, name, |_, one| {
                if follows {
                    followed(&known, &one.name)
                } else {
                    written(&known, &one.name, query)
                }
            })
        }
        _ => absent(),
    }
}

fn json(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn absent() -> Response {
    (StatusCode::NOT_FOUND, r#"{"message":"no such thing"}"#).into_response()
}

fn of(known: &Known, name: &str, tell: impl FnOnce(&str, &Container) -> Response) -> Response {
    let containers = known.containers.lock().unwrap();
    let by_name = || containers.iter().find(|(_, one)| one.name == name);
    let found = containers.get_key_value(name).or_else(by_name);
    found.map_or_else(absent, |(id, one)| tell(id, one))
}

fn list(known: &Known) -> Value {
    let containers = known.containers.lock().unwrap();
    let line = |(id, one): (&String, &Container)| json!({"Id": id, "Names": [format!("/{}", one.name)], "Image": "shop:1"});
    containers.iter().map(line).collect()
}

fn inspect(id: &str, of: &Container) -> Value {
    let is_up = of.exit_code.is_none();
    let status = if is_up { "running" } else { "exited" };
    let finished = if is_up { "0001-01-01T00:00:00Z" } else { "2026-01-02T00:00:00Z" };
    json!({
        "Id": id, "Name": format!("/{}", of.name), "Created": "2026-01-01T00:00:00Z",
        "Image": "sha256:1111", "RestartCount": 0,
        "State": {
            "Status": status, "Running": is_up, "Pid": 0, "ExitCode": of.exit_code.unwrap_or(0),
            "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": finished,
        },
        "Config": {"Image": "shop:1", "Labels": {}, "Cmd": ["shop"]},
        "HostConfig": {"NetworkMode": "bridge", "RestartPolicy": {"Name": "no"}},
        "NetworkSettings": {"Networks": {"bridge": {}}}, "Mounts": [],
    })
}

fn stats() -> Value {
    json!({
        "read": Utc::now().to_rfc3339(),
        "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}},
        "memory_stats": {"usage": 16 << 20, "stats": {"inactive_file": 0}},
        "pids_stats": {"current": 1},
    })
}

/// Nothing, until the engine ends.
fn events(known: &Known) -> Response {
    let silence = known.silence.subscribe();
    let nothing = stream::unfold(silence, |mut silence| async move {
        silence.changed().await.ok()?;
        Some((Ok::<_, Infallible>(Bytes::new()), silence))
    });
    Body::from_stream(nothing).into_response()
}

/// As many lines at once as Docker sends, each as Docker frames it.
fn followed(known: &Known, name: &str) -> Response {
    known.followed.fetch_add(1, Ordering::SeqCst);
    let Some(mut source) = known.logs.lock().unwrap().remove(name) else { return events(known) };
    let lines = std::iter::from_fn(move || {
        let first = source()?;
        let rest = std::iter::from_fn(&mut source).take(49);
        let piece = std::iter::once(first).chain(rest).flat_map(|line| framed(&line));
        Some(Ok::<_, Infallible>(piece.collect::<Bytes>()))
    });
    let paced = stream::unfold(lines, |mut lines| async move {
        // A line may wait for its moment, and whoever runs beside for this thread.
        tokio::task::yield_now().await;
        let piece = lines.next()?;
        if piece.as_ref().is_ok_and(Bytes::is_empty) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Some((piece, lines))
    });
    Body::from_stream(paced).into_response()
}

/// What is said from now on.
fn said(known: &Arc<Known>, name: &str) -> Source {
    let mut said = known.said.lock().unwrap().get(name).map_or(0, Vec::len);
    let (known, name) = (Arc::downgrade(known), name.to_owned());
    Box::new(move || {
        let known = known.upgrade()?;
        let all = known.said.lock().unwrap();
        let next = all.get(&name).and_then(|lines| lines.get(said));
        said += usize::from(next.is_some());
        Some(next.map(|(_, line)| line.clone()).unwrap_or_default())
    })
}

fn written(known: &Known, name: &str, query: &str) -> Response {
    let lines = known.written.lock().unwrap().get(name).copied().unwrap_or_default();
    let tail = query.split('&').find_map(|part| part.strip_prefix("tail=")?.parse().ok());
    let told = lines.min(tail.unwrap_or(usize::MAX));
    let since = query
        .split('&')
        .find_map(|part| part.strip_prefix("since=")?.split('.').next()?.parse::<i64>().ok());
    let since = since.unwrap_or_default();
    let said = known.said.lock().unwrap().get(name).cloned().unwrap_or_default();
    let said = said.into_iter().filter(|(at, _)| at.timestamp() >= since);
    let text: Vec<u8> = (0..told)
        .flat_map(|nth| framed(&format!("line {nth}")))
        .chain(said.flat_map(|(at, line)| framed_at(at, &line)))
        .collect();
    Body::from(text).into_response()
}

/// An empty line is none: its writer waits.
fn framed(line: &str) -> Vec<u8> {
    if line.is_empty() {
        return vec![];
    }
    framed_at(Utc::now(), line)
}

fn framed_at(at: DateTime<Utc>, line: &str) -> Vec<u8> {
    let text = format!("{} {line}\n", at.format("%Y-%m-%dT%H:%M:%S%.9fZ"));
    let length = u32::try_from(text.len()).expect("a line is short");
    let mut frame = vec![1, 0, 0, 0];
    frame.extend(length.to_be_bytes());
    frame.extend(text.into_bytes());
    frame
}
