//! A handful of services on a network of their own, as Compose would lay them out.
//!
//! Everything of a stack carries its run's label and is removed when the stack is
//! dropped, also when a test panics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use uuid::Uuid;

use super::engine::{self, TEST_LABEL, docker};
use super::relay::CLONE;
use crate::support::{Answer, ask, free_port, until};

/// How long a service may take until it answers for the first time, on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long a container must have run before what is seen of it is believed, and before a fault is
/// no part of its deployment.
const SETTLED_AFTER: chrono::TimeDelta = chrono::TimeDelta::seconds(11);

/// The label whose value names the run.
pub(crate) const RUN_LABEL: &str = "selfheal.test.run";

/// Which image a service is made from.
#[derive(Clone)]
enum Image {
    /// One of the lab's.
    Lab(&'static str),
    /// One made for this stack.
    Own(String),
}

/// One service: which image, and how it is run.
#[derive(Clone)]
pub(crate) struct Service {
    role: &'static str,
    image: Image,
    arguments: Vec<String>,
    command: Vec<String>,
    port: Option<u16>,
}

impl Service {
    /// A service whose name on the network is `role`, from one of the lab's images.
    pub(crate) fn new(role: &'static str, image: &'static str) -> Self {
        let image = Image::Lab(image);
        Self { role, image, arguments: vec![], command: vec![], port: None }
    }

    /// The same from an image of this stack's own: see [`Stack::image`].
    pub(crate) fn made_from(self, image: &str) -> Self {
        Self { image: Image::Own(image.to_owned()), ..self }
    }

    /// More arguments of `docker run`.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// What is run, after the entry point.
    pub(crate) fn with_command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// An environment variable.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.with(&["--env", &format!("{name}={value}")])
    }

    /// Docker's health check, every second, unhealthy after two failures.
    pub(crate) fn health(self, command: &str) -> Self {
        self.with(&["--health-cmd", command, "--health-interval=1s"])
            .with(&["--health-timeout=2s", "--health-retries=2"])
    }

    /// The usual health check of a service that speaks HTTP on port 8080.
    pub(crate) fn asks_itself(self) -> Self {
        self.health("/usr/bin/wget -q -T 2 -O /dev/null http://127.0.0.1:8080/health")
    }

    /// What it needs, in Compose's words.
    pub(crate) fn needs(self, roles: &[&str]) -> Self {
        let each: Vec<String> =
            roles.iter().map(|r| format!("{r}:service_started:false")).collect();
        self.with(&["--label", &format!("com.docker.compose.depends_on={}", each.join(","))])
    }

    /// A folder of the host, mounted read-only.
    pub(crate) fn mount(self, folder: &Path, at: &str) -> Self {
        self.with(&["--volume", &format!("{}:{at}:ro", folder.display())])
    }

    /// Makes this port reachable from outside.
    pub(crate) fn publish(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

/// The services of one test.
pub(crate) struct Stack {
    run: String,
    folder: TempDir,
    ports: BTreeMap<&'static str, u16>,
}

/// What an image of a stack's own is called after.
const IMAGES: &str = "fault-lab-own";

impl Stack {
    /// An empty stack with its network.
    pub(crate) fn new() -> Result<Self> {
        let unique = Uuid::now_v7().simple().to_string();
        // The last digits of such an id are random; the first are the time.
        let run = format!("lab-{}", &unique[24..]);
        let stack = Self { run, folder: TempDir::new()?, ports: BTreeMap::new() };
        let label = stack.label();
        docker(&["network", "create", "--label", TEST_LABEL, "--label", &label, &stack.run])?;
        Ok(stack)
    }

    /// The label that everything of this stack carries, with its value.
    pub(crate) fn label(&self) -> String {
        format!("{RUN_LABEL}={}", self.run)
    }

    /// The container's name.
    pub(crate) fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.run)
    }

    /// The network that all of them are on.
    pub(crate) fn network(&self) -> &str {
        &self.run
    }

    /// The filter of Docker's list that leaves the clones of this stack's containers.
    pub(crate) fn clones(&self) -> String {
        format!("name=^/?{}-.*{CLONE}", self.run)
    }

    /// A folder of the host for this stack's files, made if missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A volume in memory of this size, such as `8m`; answers its name.
    pub(crate) fn small_volume(&self, name: &str, size: &str) -> Result<String> {
        let (name, label, size) = (self.name(name), self.label(), format!("o=size={size}"));
        let driver = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", &size];
        let line = ["volume", "create", "--label", TEST_LABEL, "--label", &label];
        docker(&[&line[..], &driver, &[name.as_str()]].concat())
    }

    /// Makes an image out of one of the lab's by lines of a Dockerfile; answers its name, which a
    /// later one may take over.
    pub(crate) fn image(&self, of: &str, lines: &str) -> Result<String> {
        let (folder, name) = (self.folder("image")?, format!("{IMAGES}/{}:latest", self.run));
        let text = format!("FROM fault-lab/{of}:{}\n{lines}\n", engine::tag()?);
        std::fs::write(folder.join("Dockerfile"), text)?;
        let label = self.label();
        let path = folder.display().to_string();
        docker(&["build", "--quiet", "--label", &label, "--tag", &name, &path])?;
        Ok(name)
    }

    /// Starts a service. It may not be ready yet: see [`Self::wait_for`].
    pub(crate) fn start(&mut self, service: Service) -> Result<()> {
        if service.port.is_some() && !self.ports.contains_key(service.role) {
            self.ports.insert(service.role, free_port()?);
        }
        self.run(service)
    }

    /// Makes a service anew, as Compose does when its file says something else.
    pub(crate) fn deploy(&self, service: Service) -> Result<()> {
        docker(&["rm", "--force", "--volumes", &self.name(service.role)])?;
        self.run(service)
    }

    fn run(&self, service: Service) -> Result<()> {
        let (name, label) = (self.name(service.role), self.label());
        let image = match service.image {
            Image::Lab(image) => format!("fault-lab/{image}:{}", engine::tag()?),
            Image::Own(image) => image,
        };
        let project = format!("com.docker.compose.project={}", self.run);
        let compose = format!("com.docker.compose.service={}", service.role);
        let mut line: Vec<String> =
            ["run", "--detach", "--name", &name, "--hostname", service.role]
                .into_iter()
                .chain(["--network", &self.run, "--network-alias", service.role])
                .chain(["--label", TEST_LABEL, "--label", &label])
                .chain(["--label", &project, "--label", &compose, "--stop-timeout", "2"])
                .map(str::to_owned)
                .collect();
        if let Some(inside) = service.port {
            let outside = self.port(service.role)?;
            line.extend(["--publish".to_owned(), format!("127.0.0.1:{outside}:{inside}")]);
        }
        line.extend(service.arguments);
        line.push(image);
        line.extend(service.command);
        docker(&line)?;
        Ok(())
    }

    /// Starts so many containers that do nothing, beside those there are.
    pub(crate) fn start_idle(&self, count: usize) -> Result<()> {
        let (label, image) = (self.label(), format!("fault-lab/base:{}", engine::tag()?));
        for _ in 0..count {
            docker(
                &["run", "--detach", "--label", TEST_LABEL, "--label", &label, "--network=none"]
                    .into_iter()
                    .chain(["--entrypoint=/usr/bin/tini", &image, "--", "sleep", "86400"])
                    .collect::<Vec<_>>(),
            )?;
        }
        Ok(())
    }

    /// The port at which a service is reached from outside.
    pub(crate) fn port(&self, role: &str) -> Result<u16> {
        self.ports.get(role).copied().with_context(|| format!("`{role}` publishes no port"))
    }

    /// Asks a service from outside; anything but status 200 is an error.
    pub(crate) fn get(&self, role: &str, path: &str) -> Result<Answer> {
        let answer = ask("GET", self.port(role)?, path, "")?;
        if answer.status != 200 {
            bail!("{role}{path} answered {}: {}", answer.status, answer.body);
        }
        Ok(answer)
    }

    /// Turns one of the switches that the lab's own services have.
    pub(crate) fn post(&self, role: &str, path: &str) -> Result<()> {
        let answer = ask("POST", self.port(role)?, path, "")?;
        anyhow::ensure!(answer.status == 200, "{role}{path} answered {}", answer.status);
        Ok(())
    }

    /// Waits until a service answers for the first time; else says what it logged.
    pub(crate) fn wait_for(&self, role: &str, path: &str) -> Result<()> {
        until(&format!("{role}{path} answers"), START_LIMIT, || self.get(role, path))
            .map(|_| ())
            .with_context(|| format!("its log: {}", self.log(role)))
    }

    /// Waits until Docker's health check, where the service has one, is content.
    pub(crate) fn wait_until_healthy(&self, role: &str) -> Result<()> {
        let status = "{{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}";
        until(&format!("{role} is healthy"), START_LIMIT, || {
            let seen = self.inspect(role, status)?;
            anyhow::ensure!(seen == "healthy", "its health check says {seen}");
            Ok(())
        })
    }

    /// Waits until every container has run for so long that Selfheal believes what it sees: a
    /// container made a moment ago is a deployment under way, and one that has not run for the
    /// length of a window is no proof of what it was made with.
    pub(crate) fn wait_until_settled(&self) -> Result<()> {
        let label = format!("label={}", self.label());
        let ids = docker(&["ps", "--quiet", "--no-trunc", "--filter", &label])?;
        let template = ["inspect", "--format", "{{.State.StartedAt}}"];
        let started = docker(&template.into_iter().chain(ids.lines()).collect::<Vec<_>>())?;
        until("every container has run for a while", START_LIMIT, || {
            for line in started.lines() {
                let age = chrono::Utc::now() - line.parse::<chrono::DateTime<chrono::Utc>>()?;
                anyhow::ensure!(age > SETTLED_AFTER, "one has run for {age}");
            }
            Ok(())
        })
    }

    /// The last lines of a service's log, both streams.
    pub(crate) fn log(&self, role: &str) -> String {
        std::process::Command::new("docker")
            .args(["logs", "--tail", "15", &self.name(role)])
            .output()
            .map(|o| [o.stdout, o.stderr].concat())
            .map_or_else(|e| e.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One fact of a container, in the template language of `docker inspect`.
    pub(crate) fn inspect(&self, role: &str, template: &str) -> Result<String> {
        docker(&["inspect", "--type", "container", "--format", template, &self.name(role)])
    }

    /// Sends a signal to a container's first process behind the engine's back, as the kernel
    /// or a crash would: Docker then reports a death and no `kill`.
    pub(crate) fn signal_from_host(&self, role: &str, signal: &str) -> Result<()> {
        let process = self.inspect(role, "{{.State.Pid}}")?;
        let image = format!("fault-lab/base:{}", engine::tag()?);
        let signal = format!("-{signal}");
        docker(
            &["run", "--rm", "--label", TEST_LABEL, "--pid=host", "--network=none", &image]
                .into_iter()
                .chain(["kill", &signal, &process])
                .collect::<Vec<_>>(),
        )?;
        Ok(())
    }
}

/// The names of all volumes of these containers.
fn volumes_of(containers: &str) -> Result<String> {
    let names = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{end}}{{end}}";
    let line = ["inspect", "--type", "container", "--format", names].into_iter();
    docker(&line.chain(containers.lines()).collect::<Vec<_>>())
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Docker under load sometimes refuses once; a leftover is no reason to fail a test.
        let label = format!("label={}", self.label());
        let removed = until("the stack is removed", Duration::from_secs(30), || {
            let containers = docker(&["ps", "--all", "--quiet", "--filter", &label])?;
            if !containers.is_empty() {
                let nameless = volumes_of(&containers)?;
                let mut line = vec!["rm", "--force", "--volumes"];
                line.extend(containers.lines());
                docker(&line)?;
                // A container that was made again has them by name, and leaves them.
                let line = ["volume", "rm", "--force"].into_iter();
                drop(docker(&line.chain(nameless.split_whitespace()).collect::<Vec<_>>()));
            }
            // A clone carries none of its container's labels.
            let clones = docker(&["ps", "--all", "--quiet", "--filter", &self.clones()])?;
            if !clones.is_empty() {
                let line = ["rm", "--force", "--volumes"].into_iter();
                docker(&line.chain(clones.lines()).collect::<Vec<_>>())?;
            }
            let volumes = docker(&["volume", "ls", "--quiet", "--filter", &label])?;
            if !volumes.is_empty() {
                docker(&["volume", "rm"].into_iter().chain(volumes.lines()).collect::<Vec<_>>())?;
            }
            let images = docker(&["images", "--quiet", "--filter", &label])?;
            if !images.is_empty() {
                docker(&["rmi", "--force"].into_iter().chain(images.lines()).collect::<Vec<_>>())?;
            }
            docker(&["network", "rm", &self.run])
        });
        drop(removed);
    }
}
