//! `selfheal demo` on the real Docker engine: the story to its end, and nothing left of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
use selfheal::docker::Docker;
use selfheal_agents::health_monitor::DEMO_LABEL;

fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

/// Whether there is a Docker to demonstrate on; always in CI.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
async fn docker_answers() -> bool {
    let Err(error) = Docker::connect(&host()).unwrap().ping().await else { return true };
    assert!(std::env::var_os("CI").is_none(), "no Docker in CI: {error}");
    eprintln!("SKIPPED, not tested: no Docker here: {error}");
    false
}

fn demo(folder: &Path, docker: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("selfheal"));
    command
        .args(["demo", "--json"])
        .current_dir(folder)
        .env("TMPDIR", folder)
        .env("SELFHEAL__DOCKER__HOST", docker)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run_of(said: &str) -> String {
    let (_, after) = said.split_once("selfheal-demo-").unwrap_or_else(|| panic!("{said}"));
    after.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Containers and images with the label of this run.
async fn left_of(run: &str) -> (usize, usize) {
    let client = match host().strip_prefix("unix://") {
        Some(socket) => {
            bollard::Docker::connect_with_unix(socket, 60, bollard::API_DEFAULT_VERSION)
        }
        None => bollard::Docker::connect_with_http(&host(), 60, bollard::API_DEFAULT_VERSION),
    };
    let client = client.unwrap().negotiate_version().await.unwrap();
    let filters = Some(HashMap::from([("label".to_owned(), vec![format!("{DEMO_LABEL}={run}")])]));
    let containers =
        ListContainersOptions { all: true, filters: filters.clone(), ..<_>::default() };
    let images = ListImagesOptions { filters, ..<_>::default() };
    (
        client.list_containers(Some(containers)).await.unwrap().len(),
        client.list_images(Some(images)).await.unwrap().len(),
    )
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_demo_heals_what_it_broke_and_leaves_nothing() {
    if !docker_answers().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = demo(folder.path(), &host());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}\n{out}");
    let incident: serde_json::Value = serde_json::from_str(&out).unwrap();
    let run = run_of(&err);
    assert_eq!(incident["state"], "resolved", "{out}");
    assert_eq!(incident["target"], format!("container:selfheal-demo-{run}"));
    assert_eq!(incident["fix_detail"]["steps"].as_array().unwrap().len(), 1, "{out}");
    for step in ["1. started", "2. broke it", "3. healed after", "4. cleaned up"] {
        assert!(err.contains(step), "{step}: {err}");
    }
    assert_eq!(left_of(&run).await, (0, 0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no history is left");
}

#[tokio::test]
async fn an_interrupted_demo_cleans_up_too() {
    if !docker_answers().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &host()).spawn().unwrap();
    let (code, said) = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("2. broke it") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        lines.read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    })
    .await
    .unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("interrupted: cleaning up") && said.contains("4. cleaned up"), "{said}");
    assert_eq!(left_of(&run_of(&said)).await, (0, 0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no history is left");
}

#[test]
fn without_docker_the_demo_says_what_is_missing_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}/none.sock", folder.path().display());
    let output = demo(folder.path(), &nowhere).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("none.sock") && err.contains("next: selfheal doctor"), "{err}");
}

#[test]
fn the_service_of_the_demo_is_not_offered_to_people() {
    let help = Command::new(assert_cmd::cargo::cargo_bin!("selfheal")).arg("--help").output();
    assert!(!texts(&help.unwrap()).0.contains("demo-service"));
}
