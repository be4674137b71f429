//! `demo`: breaks a container of its own making and shows how it is healed.
//!
//! Its invariant: it touches and sees nothing but that one container ([`only`]), keeps its
//! history in a folder of its own, and removes everything whatever happens. The container
//! holds this program itself ([`archive`]), so no registry is needed.
//!
//! Rejected: to break a container of the user's. A demo that can hurt is not tried.

mod archive;
mod only;
mod service;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use selfheal_agents::model::{IncidentId, IncidentState, TargetId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::archive::{Archive, PROGRAM};
use self::only::Only;
pub(super) use self::service::serve;
use super::daemon::{not_started, start_log, wait_for_the_end};
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::render::{self, live_line};
use crate::app::{App, assemble_seeing};
use crate::config::{Address, DeclaredKind, Logs, Settings, TargetSettings};
use crate::coordinator::{Happening, LiveEvent, Scope, Trigger};
use crate::docker::{DEMO_PORT, DemoContainer, DemoLeft, Docker, demo_container};
use crate::http::incident_detail;

/// How long the fix must prove itself: short, since somebody looks on.
const WINDOW: Duration = Duration::from_secs(10);
/// How long anything may take before the demo gives up.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often is looked while something is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(1);
/// What a killed demo left behind is removed when it is older than this.
const LEFT_BEHIND: TimeDelta = TimeDelta::minutes(10);

/// One run.
struct Demo {
    docker: Docker,
    run: String,
    settings: Settings,
    ask: reqwest::Client,
    interrupted: CancellationToken,
}

/// Plays the demo and removes everything it made.
pub(super) async fn run(settings: &Settings, out: Output) -> Outcome {
    start_log(&Logs { level: "error".to_owned(), ..settings.logs.clone() })?;
    let docker = Docker::connect(&settings.docker.host)
        .map_err(|error| Failure::new(Exit::Usage, error).next("selfheal config check"))?;
    docker.ping().await.map_err(|error| {
        Failure::new(Exit::Unreachable, format!("the demo needs Docker: {error}"))
            .next("selfheal doctor")
    })?;
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(Exit::Wrong, format!("a temporary folder cannot be made: {error}"))
    })?;
    let run = uuid::Uuid::now_v7().simple().to_string().split_off(24);
    let ask = reqwest::Client::builder().timeout(REQUEST).no_proxy().build();
    let demo = Demo {
        settings: Settings { data_dir: folder.path().to_owned(), ..only_docker(settings) },
        docker,
        run,
        ask: ask.map_err(|error| Failure::new(Exit::Wrong, error))?,
        interrupted: CancellationToken::new(),
    };
    let interrupted = demo.interrupted.clone();
    tokio::spawn(async move {
        if wait_for_the_end().await.is_ok() {
            tell("interrupted: cleaning up");
            interrupted.cancel();
        }
    });
    let played = demo.play(out).await;
    let cleared = demo.clear().await;
    played.and_then(|exit| cleared.map(|()| exit))
}

/// Of the user's settings only where Docker is: the demo shows what Selfheal does unasked.
fn only_docker(settings: &Settings) -> Settings {
    let mut own = Settings::default();
    own.docker.host.clone_from(&settings.docker.host);
    own.healing.validation_window = WINDOW;
    own
}

impl Demo {
    async fn play(&self, out: Output) -> Outcome {
        let left = DemoLeft::Before(Utc::now() - LEFT_BEHIND);
        if self.docker.clear_demo(left).await.map_err(docker_failed)? > 0 {
            tell("removed what an earlier demo had left behind");
        }
        let address = self.raise().await?;
        let first = self.life(&address, None).await?;
        let name = demo_container(&self.run);
        tell(format!("1. started container {name}; {address}/ answers"));
        let app = self.watching(&address, &name).await?;
        let told = self.break_and_heal(&app, &address, &first, out).await;
        app.cancel.cancel();
        app.background.close();
        let ended = async {
            app.coordinator.applied().await;
            app.background.wait().await;
        };
        let _ = tokio::time::timeout(PATIENCE, ended).await;
        told
    }

    /// Makes the image and the container. Not interrupted half way: what is begun is known
    /// to the one who clears up.
    async fn raise(&self) -> Result<String, Failure> {
        tell("making a small image of this program itself; no registry is asked");
        let packed = tokio::task::spawn_blocking(archive::of_this_program).await;
        let Archive { bytes, library_path } =
            packed.map_err(|error| Failure::new(Exit::Wrong, error))?.map_err(|error| {
                let what = format!("this program cannot be packed into an image: {error}");
                Failure::new(Exit::Wrong, what).next("selfheal check --dry-run")
            })?;
        self.docker.stage_demo_image(&self.run, bytes).await.map_err(docker_failed)?;
        self.unless_interrupted()?;
        let port = free_port()
            .map_err(|error| Failure::new(Exit::Wrong, format!("no free port: {error}")))?;
        let container = DemoContainer {
            command: [PROGRAM, "demo-service", "--port", &DEMO_PORT.to_string()]
                .map(str::to_owned)
                .into(),
            environment: vec![format!("LD_LIBRARY_PATH={library_path}")],
            port,
        };
        self.docker.stage_demo_container(&self.run, container).await.map_err(docker_failed)?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// A Selfheal of its own that sees the container and its address, after a first look.
    async fn watching(&self, address: &str, name: &str) -> Result<App, Failure> {
        let mut settings = self.settings.clone();
        settings.targets.push(TargetSettings {
            kind: DeclaredKind::Http,
            name: name.to_owned(),
            url: Address::new(format!("{address}/health")),
            container: Some(name.to_owned()),
            password: None,
            password_file: None,
            expected_status: vec![],
            body_contains: None,
            headers: std::collections::BTreeMap::new(),
            external: false,
            shared: None,
        });
        let (name, since) = (name.to_owned(), Utc::now());
        let app = assemble_seeing(settings, |docker| {
            Arc::new(Only { all: Arc::new(docker), name, since })
        });
        let app = app.await.map_err(not_started)?;
        app.coordinator.check(Scope::All, Trigger::CommandLine, false).await?;
        app.start_following();
        Ok(app)
    }

    async fn break_and_heal(&self, app: &App, address: &str, first: &str, out: Output) -> Outcome {
        let (newest, mut incident) = watch::channel(None);
        let target = TargetId::container(&demo_container(&self.run));
        let happenings = app.coordinator.subscribe();
        let following = tokio::spawn(follow(happenings, target, newest));
        // It ends before it has answered, or after.
        let _ = self.ask.post(format!("{address}/crash")).send().await;
        let broken = Instant::now();
        tell("2. broke it: its main process ended with exit code 1, as after a crash");
        let mut held = incident.clone();
        tokio::select! {
            answered = self.life(address, Some(first)) => {
                answered?;
                let healed = broken.elapsed().as_secs_f64();
                tell(format!("3. healed after {healed:.1} s: asked from outside, it answers again"));
                tell(format!("   now the fix must prove itself for {} s", WINDOW.as_secs()));
            }
            _ = held.wait_for(|newest| is_over(*newest)) => tell("3. not healed; see why"),
        }
        let over = incident.wait_for(|newest| is_over(*newest));
        let newest = self.patiently("the proof of the fix", over).await?.ok().and_then(|n| *n);
        following.abort();
        match newest {
            Some((id, state)) => {
                show(app, id, out).await?;
                Ok(if state == IncidentState::Resolved { Exit::Done } else { Exit::Wrong })
            }
            None => Err(Failure::new(Exit::Wrong, "the demo's own Selfheal ended too early")),
        }
    }

    /// The name of the service's present life, once it answers and is not `before`.
    async fn life(&self, address: &str, before: Option<&str>) -> Result<String, Failure> {
        let answers = async {
            loop {
                let asked = self.ask.get(format!("{address}/")).send().await;
                if let Ok(answer) = asked
                    && answer.status().is_success()
                    && let Ok(life) = answer.text().await
                    && Some(life.as_str()) != before
                {
                    return life;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        self.patiently(&format!("an answer of {address}"), answers).await
    }

    async fn patiently<T>(
        &self,
        what: &str,
        wanted: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let limited = tokio::time::timeout(PATIENCE, wanted);
        match self.interrupted.run_until_cancelled(limited).await {
            None => Err(interrupted()),
            Some(Ok(wanted)) => Ok(wanted),
            Some(Err(_)) => {
                let seconds = PATIENCE.as_secs();
                Err(Failure::new(Exit::Wrong, format!("waited {seconds} s in vain for {what}"))
                    .next("selfheal doctor"))
            }
        }
    }

    fn unless_interrupted(&self) -> Result<(), Failure> {
        if self.interrupted.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }

    async fn clear(&self) -> Result<(), Failure> {
        let cleared = self.docker.clear_demo(DemoLeft::Of(&self.run)).await;
        cleared.map_err(|error| {
            let what = format!("the demo's container or image is left: {error}");
            let remedy = format!("docker rm -f {}", demo_container(&self.run));
            Failure::new(Exit::Wrong, what).next(remedy)
        })?;
        tell("4. cleaned up: container, image and history of the demo are gone");
        Ok(())
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Wrong, "interrupted before the end")
}

fn docker_failed(error: selfheal_agents::ports::WorldError) -> Failure {
    Failure::new(Exit::Wrong, error).next("selfheal doctor")
}

/// The same after each restart, unlike one that Docker chooses.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Where an incident stands.
type Newest = Option<(IncidentId, IncidentState)>;

/// Whether nothing more happens by itself.
fn is_over(newest: Newest) -> bool {
    newest.is_some_and(|(_, state)| state.is_closed() || state == IncidentState::Held)
}

/// Tells what agents do, and passes on where the incident of `target` stands.
async fn follow(mut live: Receiver<LiveEvent>, target: TargetId, newest: watch::Sender<Newest>) {
    loop {
        match live.recv().await {
            Ok(event) => {
                live_line(&event.what).into_iter().for_each(tell);
                if let Happening::Incident { incident, .. } = &event.what
                    && incident.target == target
                {
                    newest.send_replace(Some((incident.id, incident.state)));
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Shows the whole incident.
async fn show(app: &App, id: IncidentId, out: Output) -> Result<(), Failure> {
    let store = app.coordinator.store().as_ref();
    let Some(incident) = store.incident(id).await? else { return Ok(()) };
    let mut detail = incident_detail(store, &incident).await?;
    // What could be taken back is about to be removed.
    detail.can.rollback = false;
    let out = Output { style: Style::of_system(Utc::now()), ..out };
    out.show(&detail, |detail, style| render::incident(detail, true, style))
}
