//! Sockets that are missing, silent or no Docker at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use selfheal::docker::{Docker, Limits};
use selfheal_agents::model::ContainerStatus;
use selfheal_agents::ports::{ContainerRuntime as _, WorldError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::bench;

const LIMIT: Duration = Duration::from_millis(500);
/// More than enough for a call with that limit, on a loaded machine.
const AT_MOST: Duration = Duration::from_secs(30);

fn docker_at(path: &Path) -> Docker {
    let limits = Limits { read: LIMIT, change: LIMIT };
    Docker::connect(&format!("unix://{}", path.display())).unwrap().with_limits(limits)
}

/// A socket that answers everybody with these bytes and then closes, or says nothing.
fn listener(answer: Option<&'static [u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Ok((mut peer, _)) = listener.accept().await {
            match answer {
                None => silent.push(peer),
                Some(answer) => {
                    tokio::spawn(async move {
                        let mut request = [0; 4096];
                        let _ = peer.read(&mut request).await;
                        let _ = peer.write_all(answer).await;
                    });
                }
            }
        }
    });
    (folder, path)
}

async fn errors(docker: &Docker) -> Vec<WorldError> {
    let all = async {
        vec![
            docker.ping().await.map(drop).unwrap_err(),
            docker.containers().await.map(drop).unwrap_err(),
            docker.container("web").await.map(drop).unwrap_err(),
            docker.usage("web").await.map(drop).unwrap_err(),
            docker.logs("web", None, 10).await.map(drop).unwrap_err(),
            docker.restart("web", None, 1).await.unwrap_err(),
            docker.events(None).next().await.unwrap().unwrap_err(),
        ]
    };
    tokio::time::timeout(AT_MOST, all).await.expect("every call ends by itself")
}

#[tokio::test]
async fn rubbish_is_recognised_as_no_docker() {
    let answers: [&[u8]; 5] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\x00garbage\n\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"Version\":",
    ];
    for answer in answers {
        let (_folder, path) = listener(Some(answer));
        for error in errors(&docker_at(&path)).await {
            assert!(matches!(error, WorldError::Unreachable { .. }), "{error:?} to {answer:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}

#[tokio::test]
async fn another_web_server_is_recognised_as_no_docker() {
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found";
    let (_folder, path) = listener(Some(answer));
    let docker = docker_at(&path);
    for error in [
        docker.ping().await.map(drop).unwrap_err(),
        docker.containers().await.map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().contains("does not speak Docker's API"), "{error}");
    }
}

#[tokio::test]
async fn a_silent_socket_times_out() {
    let (_folder, path) = listener(None);
    for error in errors(&docker_at(&path)).await {
        assert!(matches!(error, WorldError::TimedOut { .. }), "{error:?}");
    }
}

/// An engine that knows these containers, and never tells more of those called `stuck`.
fn engine_with(names: &[String]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let entry = |name: &String| {
        format!(r#"{{"Id":"id-{name}","Names":["/{name}"],"Image":"x","State":"running"}}"#)
    };
    let list = format!("[{}]", names.iter().map(entry).collect::<Vec<_>>().join(","));
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = peer.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split_whitespace().nth(1).unwrap();
            let id = path.trim_start_matches("/containers/").trim_end_matches("/json");
            let body = if path.contains("all=1") {
                list.clone()
            } else if id.contains("stuck") {
                silent.push(peer);
                continue;
            } else {
                let name = id.trim_start_matches("id-");
                format!(r#"{{"Id":"{id}","Name":"/{name}","State":{{"Status":"running"}}}}"#)
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = peer.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (folder, path)
}

#[tokio::test]
async fn containers_that_cannot_be_looked_at_delay_nobody_and_are_not_taken_for_gone() {
    // More than are asked side by side, and before all others.
    let stuck = (0..20).map(|n| format!("a-stuck-{n:02}"));
    let names: Vec<String> = stuck.chain(["web", "worker"].map(str::to_owned)).collect();
    // One that answers comes first: an engine that tells nothing of anything is away.
    let (_folder, path) = engine_with(&[vec!["a-first".to_owned()], names].concat());
    // Longer than the test may take: nobody may wait for it.
    let limits = Limits { read: AT_MOST * 10, change: LIMIT };
    let docker =
        Docker::connect(&format!("unix://{}", path.display())).unwrap().with_limits(limits);
    let seen = tokio::time::timeout(AT_MOST, docker.containers()).await.unwrap().unwrap();
    let of = |status| {
        let some = seen.iter().filter(move |c| c.status == status);
        some.map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(ContainerStatus::Running), ["a-first", "web", "worker"]);
    assert_eq!(of(ContainerStatus::Unknown).len(), 20);
}

#[tokio::test]
async fn an_engine_that_tells_nothing_of_its_containers_is_away() {
    let (_folder, path) = engine_with(&["stuck".to_owned()]);
    let away = docker_at(&path).containers().await;
    assert!(matches!(away, Err(WorldError::TimedOut { .. })), "{away:?}");
}

#[tokio::test]
async fn a_closed_connection_is_a_clear_error() {
    let (_folder, path) = listener(Some(b""));
    for error in errors(&docker_at(&path)).await {
        assert!(matches!(error, WorldError::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_socket_asks_whether_docker_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    for error in errors(&docker_at(&folder.path().join("none.sock"))).await {
        assert!(error.is_transient());
        assert!(error.to_string().contains("is Docker installed and running?"), "{error}");
    }
}

#[tokio::test]
async fn docker_is_found_when_it_comes_later() {
    bench::on_a_bench(|_| async {
        let host = bench::host();
        let Some(real) = host.strip_prefix("unix://") else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let docker = Docker::connect(&format!("unix://{}", path.display())).unwrap();
        assert!(docker.containers().await.is_err());
        assert!(docker.start("web").await.is_err());
        std::os::unix::fs::symlink(real, &path).unwrap();
        docker.containers().await.unwrap();
        let missing = docker.start("no-such-container-anywhere").await;
        assert!(matches!(missing, Err(WorldError::NotFound { .. })), "{missing:?}");
        std::fs::remove_file(&path).unwrap();
        assert!(docker.ping().await.unwrap_err().is_transient());
    })
    .await;
}

#[tokio::test]
async fn the_events_end_with_an_error_when_the_connection_is_lost() {
    // Answers the question for the version and is an event at the same time.
    let event = r#"{"ApiVersion":"1.41","Version":"20.10","Type":"container","Action":"die",
        "Actor":{"ID":"c1","Attributes":{"name":"web","exitCode":"1"}},"timeNano":1000000000}"#;
    let event = event.replace('\n', " ") + "\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n0\r\n\r\n",
        event.len()
    );
    let (_folder, path) = listener(Some(answer.leak().as_bytes()));
    let events: Vec<_> = docker_at(&path).events(None).collect().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].as_ref().unwrap().target.to_string(), "container:web");
    assert!(events[1].as_ref().unwrap_err().is_transient());
}

/// What an engine that speaks API versions 1.`oldest` to 1.`newest` answers.
fn versioned(path: &str, oldest: u32, newest: u32) -> (&'static str, String) {
    let refused = |why: &str| ("400 Bad Request", format!(r#"{{"message":"{why}"}}"#));
    let version = path.strip_prefix("/v1.").and_then(|rest| rest.split('/').next());
    match version.and_then(|minor| minor.parse::<u32>().ok()) {
        Some(version) if version < oldest => refused("client version is too old"),
        Some(version) if version > newest => refused("client version is too new"),
        _ if path.ends_with("/version") => {
            ("200 OK", format!(r#"{{"Version":"x","ApiVersion":"1.{newest}"}}"#))
        }
        _ if path.ends_with("/containers/web/json") => {
            let web = r#"{"Id":"a1","Name":"/web","State":{"Status":"running"}}"#;
            ("200 OK", web.to_owned())
        }
        _ => ("204 No Content", String::new()),
    }
}

#[tokio::test]
async fn an_engine_exchanged_for_a_newer_or_older_one_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let docker = docker_at(&path);
    for (oldest, newest) in [(24, 41), (44, 52), (24, 41)] {
        let listener = UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let read = peer.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split_whitespace().nth(1).unwrap();
                let (status, body) = versioned(path, oldest, newest);
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = peer.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        docker.signal("web", "HUP").await.unwrap();
        serving.abort();
        std::fs::remove_file(&path).unwrap();
    }
}
