//! Each action through a proxy in front of Docker that lets pass what the action says it needs and
//! nothing else; and the table of that, for who sets such a proxy up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use selfheal::docker::Docker;
use selfheal_agents::fakes::FakeWorld;
use selfheal_agents::fix_engineer::actions::{
    Act as _, Action, BuildCachePrune, ContainerPause, ContainerRestart, ContainerSetCpu,
    ContainerSetMemory, ContainerSignal, ContainerStart, ContainerStop, ContainerUnpause,
    NetworkConnect,
};
use selfheal_agents::model::{MemoryLimits, NetworkAttachment};
use selfheal_agents::ports::{ContainerRuntime as _, World};

use super::bench::{Bench, host, on_a_bench, with_memory};
use super::remake::{service, with_variable};
use crate::relaying::{self, Verdict};

const MIB: u64 = 1024 * 1024;
/// What every look may ask for.
const READS: &[&str] =
    &["GET /version", "GET /containers/json", "GET /containers/{id}/json", "GET /images/{id}/json"];

/// A filter in front of Docker. It keeps what it refused.
struct Filter {
    socket: PathBuf,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

impl Filter {
    fn of(calls: &'static [&'static str], folder: &Path) -> Self {
        let socket = folder.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let refused = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&refused);
        let engine = host().trim_start_matches("unix://").into();
        relaying::serve(listener, engine, move |method, target| {
            let call = template(method, target);
            if calls.contains(&call.as_str()) || READS.contains(&call.as_str()) {
                return Verdict::Pass(target.to_owned());
            }
            seen.lock().unwrap().insert(call);
            Verdict::Refuse
        });
        Self { socket, refused }
    }

    /// The world as seen through it; nothing else than Docker is asked for.
    fn world(&self) -> World {
        let docker = Docker::connect(&format!("unix://{}", self.socket.display())).unwrap();
        World { runtime: Arc::new(docker), ..FakeWorld::default().world() }
    }
}

/// Method and path of a call, with `{id}` for what it is about.
fn template(method: &str, target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let is_version = |part: &&str| part.starts_with("v1.");
    if parts.first().is_some_and(is_version) {
        parts.remove(0);
    }
    let collective = matches!(parts.first(), Some(&"build" | &"system"))
        || matches!(parts.get(1), Some(&"json" | &"create") | None);
    if !collective {
        parts[1] = "{id}";
    }
    format!("{method} /{}", parts.join("/"))
}

#[test]
fn a_call_is_known_by_method_and_path() {
    for (target, path) in [
        ("/v1.41/containers/web/restart?t=5", "/containers/{id}/restart"),
        ("/containers/create?name=web", "/containers/create"),
        ("/v1.41/containers/json?all=1", "/containers/json"),
        ("/containers/abc", "/containers/{id}"),
        ("/version", "/version"),
        ("/build/prune?filters=x", "/build/prune"),
    ] {
        assert_eq!(template("POST", target), format!("POST {path}"));
    }
}

/// One of each action that changes something through Docker, and what it is to be tried on.
async fn example(name: &str, bench: &Bench) -> Vec<Action> {
    let sleeper = bench.script("trap 'exit 0' TERM HUP; while true; do sleep 0.1; done");
    if name == "container.recreate" {
        return vec![Action::ContainerRecreate(with_variable(&service(bench).await))];
    }
    let short = name.replace('.', "-");
    let container = bench.run(&short, with_memory(sleeper, 64 << 20)).await;
    let restart = |signal: Option<&str>| ContainerRestart {
        container: container.clone(),
        stop_timeout_secs: 1,
        signal: signal.map(str::to_owned),
    };
    vec![match name {
        "container.start" => {
            bench.stop(&container, 0).await;
            Action::ContainerStart(ContainerStart { container })
        }
        "container.restart" => {
            let politely = Action::ContainerRestart(restart(Some("SIGINT")));
            return vec![Action::ContainerRestart(restart(None)), politely];
        }
        "container.signal" => {
            let body = bench.script("trap : HUP; while true; do sleep 0.1; done");
            let container = bench.run("hears", body).await;
            Action::ContainerSignal(ContainerSignal { container, signal: "HUP".to_owned() })
        }
        "container.pause" => Action::ContainerPause(ContainerPause { container }),
        "container.unpause" => {
            bench.pause(&container).await;
            Action::ContainerUnpause(ContainerUnpause { container })
        }
        "container.set_memory" => {
            let bytes = Some(96 * MIB);
            let limits = MemoryLimits { memory_bytes: bytes, memory_swap_bytes: bytes };
            let make_room = Some(restart(None));
            Action::ContainerSetMemory(ContainerSetMemory { container, limits, make_room })
        }
        "container.set_cpu" => {
            Action::ContainerSetCpu(ContainerSetCpu { container, limit_nanos: 500_000_000 })
        }
        "container.stop" => Action::ContainerStop(ContainerStop {
            container,
            stop_timeout_secs: 1,
            in_favour_of: bench.name("successor"),
        }),
        "network.connect" => {
            let network = bench.network("more").await;
            let attachment = NetworkAttachment {
                network,
                aliases: vec!["web".to_owned()],
                ip: None,
                fixed_ip: None,
            };
            Action::NetworkConnect(NetworkConnect { container, attachment, rejoins: false })
        }
        "build_cache.prune" => {
            Action::BuildCachePrune(BuildCachePrune { unused_hours: 168, bytes: 0 })
        }
        other => panic!("no example of `{other}`"),
    }]
}

async fn is_done_and_undone(action: &Action, calls: &'static [&'static str]) {
    let folder = tempfile::tempdir().unwrap();
    let filter = Filter::of(calls, folder.path());
    let world = filter.world();
    let what = action.describe();
    let before = action.capture(&world).await.unwrap();
    action.apply(&world, &before).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    action.is_applied(&world, &before).await.unwrap();
    action.undo(&world, &before).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = action.apply(&world, &before).await;
    assert!(again.is_ok(), "{what}: {again:?}");
    action.settle(&world, &before).await.unwrap();
    assert_eq!(*filter.refused.lock().unwrap(), BTreeSet::new(), "{what}");
}

#[tokio::test]
async fn each_action_gets_by_with_the_calls_that_it_names() {
    on_a_bench(|bench| async {
        for (name, calls) in Action::CALLS.iter().filter(|(_, calls)| !calls.is_empty()) {
            for action in example(name, bench).await {
                is_done_and_undone(&action, calls).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_proxy_does_not_let_pass_is_refused_and_changes_nothing() {
    on_a_bench(|bench| async {
        let container = bench.run("kept", bench.script("sleep 1000")).await;
        let before = bench.docker.container(&container).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let filter = Filter::of(&[], folder.path());
        let restart =
            ContainerRestart { container: container.clone(), stop_timeout_secs: 1, signal: None };
        let world = filter.world();
        let captured = restart.capture(&world).await.unwrap();
        let error = restart.apply(&world, &captured).await.unwrap_err();
        assert!(!error.is_transient(), "a proxy does not change its mind: {error}");
        let now = bench.docker.container(&container).await.unwrap();
        assert_eq!(now.started_at, before.started_at);
    })
    .await;
}

/// `UPDATE_DOCS=1 cargo nextest run --test it -E 'test(table_of_calls)'` writes it anew.
#[test]
fn the_table_of_calls_in_the_documentation_is_true() {
    const BEGIN: &str = "<!-- calls: a test writes this -->\n";
    const END: &str = "<!-- end of calls -->";
    let mut table = "| action | calls of Docker's API |\n|---|---|\n".to_owned();
    for (name, calls) in Action::CALLS {
        let calls: Vec<String> = calls.iter().map(|call| format!("`{call}`")).collect();
        let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
        writeln!(table, "| `{name}` | {calls} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ACTIONS.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let wanted = format!("{head}{BEGIN}{table}{END}{tail}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert!(
        wanted == std::fs::read_to_string(&path).unwrap(),
        "{} is old; run with UPDATE_DOCS=1",
        path.display()
    );
}
