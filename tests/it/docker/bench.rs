//! A bench for one test: an image and containers of its own on the real Docker, removed
//! afterwards whatever happened.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest};
use bollard::models::{ExecConfig, Ipam, IpamConfig, NetworkingConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use futures_util::{FutureExt as _, StreamExt as _};
use selfheal::docker::Docker;
use selfheal_agents::model::{TargetId, Timestamp};
use selfheal_agents::ports::ContainerRuntime as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The statically linked programs every image here is made of.
const BUSYBOX: &str = "/bin/busybox";
const PROGRAMS: [&str; 12] =
    ["sh", "sleep", "echo", "printf", "head", "tr", "seq", "cat", "tail", "true", "false", "yes"];
/// Everything made here carries it, so that `scripts/test` removes what a killed test left.
const TEST_LABEL: (&str, &str) = ("selfheal.test", "1");
/// How long a condition is waited for on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// Where Docker listens for these tests.
pub(super) fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

/// What a test works with.
pub(super) struct Bench {
    /// What is tested.
    pub(super) docker: Docker,
    client: bollard::Docker,
    prefix: String,
    containers: Mutex<Vec<String>>,
    networks: Mutex<Vec<String>>,
    volumes: Mutex<Vec<String>>,
    images: Mutex<Vec<String>>,
}

/// Runs a test on a bench of its own. Without Docker it is skipped, loudly; never in CI.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(super) async fn on_a_bench<F: Future<Output = ()>>(test: impl FnOnce(&'static Bench) -> F) {
    let docker = Docker::connect(&host()).unwrap();
    if let Err(error) = docker.ping().await {
        assert!(std::env::var_os("CI").is_none(), "no Docker in CI: {error}");
        eprintln!("SKIPPED, not tested: no Docker here: {error}");
        return;
    }
    // Kept for the life of the test process, so that a test may lend it to its tasks.
    let bench: &'static Bench = Box::leak(Box::new(Bench::new(docker).await));
    // In a box: what a test holds of containers is large.
    let result = Box::pin(AssertUnwindSafe(test(bench)).catch_unwind()).await;
    bench.clear().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Looks again until `look` finds something.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The kinds of a container's events since a time, up to the first named `last`.
pub(super) async fn events_until(
    bench: &Bench,
    name: &str,
    since: Timestamp,
    last: &str,
) -> Vec<String> {
    let target = TargetId::container(name);
    let mut events = bench.docker.events(Some(since));
    let mut seen = vec![];
    let reading = async {
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            if event.target == target {
                assert!(event.at >= since && !event.by_selfheal);
                seen.push(event.kind.name().to_owned());
                if event.kind.name() == last {
                    return;
                }
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    assert!(ended.is_ok(), "no `{last}` among {seen:?}");
    seen
}

impl Bench {
    async fn new(docker: Docker) -> Self {
        let client = bollard::Docker::connect_with_host(&host()).unwrap();
        let client = client.negotiate_version().await.unwrap();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("selfheal-it-{}-{serial}", std::process::id());
        let (containers, networks, volumes, images) = Default::default();
        let bench = Self { docker, client, prefix, containers, networks, volumes, images };
        bench.import(&bench.prefix, &[]).await;
        bench
    }

    /// Makes one more image, changed by lines as of a Dockerfile, and gives its full name.
    pub(super) async fn image(&self, short: &str, changes: &[&str]) -> String {
        let name = self.name(short);
        self.import(&name, changes).await;
        format!("{name}:1")
    }

    async fn import(&self, name: &str, changes: &[&str]) {
        let (label, value) = TEST_LABEL;
        let mut lines = vec![format!("LABEL {label}={value}")];
        lines.extend(changes.iter().map(|change| (*change).to_owned()));
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(name)
            .tag("1")
            .changes(lines)
            .build();
        let body = bollard::body_full(file_system().into());
        let steps: Vec<_> =
            self.client.create_image(Some(options), Some(body), None).collect().await;
        for step in steps {
            step.unwrap();
        }
        self.images.lock().unwrap().push(format!("{name}:1"));
    }

    /// An image that BuildKit builds of these files, by their names; it keeps what it built.
    pub(super) async fn build(&self, short: &str, files: &[(&str, &[u8])]) -> String {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(u64::try_from(bytes.len()).unwrap());
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        let (name, body) = (format!("{}:1", self.name(short)), archive.into_inner().unwrap());
        let (label, value) = TEST_LABEL;
        // By hand: bollard leaves at the first word of BuildKit's that it does not know.
        let socket = host().trim_start_matches("unix://").to_owned();
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let head = format!(
            "POST /build?version=2&t={name}&labels=%7B%22{label}%22%3A%22{value}%22%7D HTTP/1.1\r\n\
             Host: docker\r\nConnection: close\r\nContent-Type: application/x-tar\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(self.client.inspect_image(&name).await.is_ok(), "{told}");
        name
    }

    pub(super) async fn remove_image(&self, name: &str) {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        self.client.remove_image(name, Some(options), None).await.unwrap();
    }

    /// The full name of this bench's thing.
    pub(super) fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.prefix)
    }

    /// A container body that runs a shell script.
    pub(super) fn script(&self, script: &str) -> ContainerCreateBody {
        let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
        ContainerCreateBody {
            cmd: Some(cmd),
            image: Some(format!("{}:1", self.prefix)),
            env: Some(vec!["PATH=/bin".to_owned()]),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes a container and gives its full name.
    pub(super) async fn create(&self, short: &str, mut body: ContainerCreateBody) -> String {
        let name = self.name(short);
        body.labels.get_or_insert_default().extend([test_label()]);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.client.create_container(Some(options), body).await.unwrap();
        self.containers.lock().unwrap().push(name.clone());
        name
    }

    /// Makes and starts a container and gives its full name.
    pub(super) async fn run(&self, short: &str, body: ContainerCreateBody) -> String {
        let name = self.create(short, body).await;
        self.client.start_container(&name, None::<StartContainerOptions>).await.unwrap();
        name
    }

    /// As a person would: `docker stop`.
    pub(super) async fn stop(&self, name: &str, seconds: i32) {
        let options =
            bollard::query_parameters::StopContainerOptionsBuilder::default().t(seconds).build();
        self.client.stop_container(name, Some(options)).await.unwrap();
    }

    /// As a person would: `docker pause`.
    pub(super) async fn pause(&self, name: &str) {
        self.client.pause_container(name).await.unwrap();
    }

    /// Runs a script inside a container, to its end.
    pub(super) async fn exec(&self, name: &str, script: &str) {
        let exec = ExecConfig {
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            attach_stdout: Some(true),
            ..ExecConfig::default()
        };
        let id = self.client.create_exec(name, exec).await.unwrap().id;
        let started = self.client.start_exec(&id, None).await.unwrap();
        if let bollard::exec::StartExecResults::Attached { mut output, .. } = started {
            while output.next().await.is_some() {}
        }
    }

    /// What is called so, or will be, goes with the bench.
    pub(super) fn clears_away(&self, container: &str) {
        self.containers.lock().unwrap().push(container.to_owned());
    }

    /// The volumes that a container has now go with the bench.
    pub(super) async fn clears_away_volumes_of(&self, container: &str) {
        for mount in self.docker.container(container).await.unwrap().mounts {
            let name = mount.source.trim_end_matches("/_data").rsplit('/').next().unwrap();
            self.volumes.lock().unwrap().push(name.to_owned());
        }
    }

    /// The volume behind the first mount of a container.
    pub(super) async fn first_volume_of(&self, container: &str) -> String {
        let mounts = self.docker.container(container).await.unwrap().mounts;
        let name = mounts[0].source.trim_end_matches("/_data").rsplit('/').next();
        name.unwrap().to_owned()
    }

    /// Whether there is a volume of that name.
    pub(super) async fn has_volume(&self, name: &str) -> bool {
        self.client.inspect_volume(name).await.is_ok()
    }

    /// Makes a network and gives its full name.
    pub(super) async fn network(&self, short: &str) -> String {
        self.network_of(short, None).await
    }

    /// Makes a network of these addresses, such as `10.9.8.0/24`, and gives its full name.
    pub(super) async fn network_of(&self, short: &str, subnet: Option<String>) -> String {
        let name = self.name(short);
        let ipam = subnet.map(|subnet| {
            let config = IpamConfig { subnet: Some(subnet), ..IpamConfig::default() };
            Ipam { config: Some(vec![config]), ..Ipam::default() }
        });
        let request = NetworkCreateRequest {
            name: name.clone(),
            ipam,
            labels: Some([test_label()].into()),
            ..NetworkCreateRequest::default()
        };
        self.client.create_network(request).await.unwrap();
        self.networks.lock().unwrap().push(name.clone());
        name
    }

    async fn clear(&self) {
        let containers = self.containers.lock().unwrap().clone();
        for name in containers {
            // Under load Docker fails a removal that succeeds a moment later.
            eventually("a container is removed", || async {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                let removed = self.client.remove_container(&name, Some(options)).await;
                match removed {
                    Err(error) if !is_gone(&error) => None,
                    _ => Some(()),
                }
            })
            .await;
        }
        let networks = self.networks.lock().unwrap().clone();
        for name in networks {
            eventually("a network is removed", || async {
                self.client.remove_network(&name).await.ok()
            })
            .await;
        }
        let volumes = self.volumes.lock().unwrap().clone();
        for name in volumes {
            let removed = self.client.remove_volume(&name, None::<RemoveVolumeOptions>).await;
            assert!(removed.is_ok() || is_gone(&removed.unwrap_err()), "volume {name} stays");
        }
        let images = self.images.lock().unwrap().clone();
        for name in images {
            self.remove_image(&name).await;
        }
    }
}

fn test_label() -> (String, String) {
    (TEST_LABEL.0.to_owned(), TEST_LABEL.1.to_owned())
}

fn is_gone(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}

/// The same body on a network, under an alias.
pub(super) fn on_network(
    body: ContainerCreateBody,
    network: &str,
    alias: &str,
) -> ContainerCreateBody {
    let endpoint =
        EndpointSettings { aliases: Some(vec![alias.to_owned()]), ..EndpointSettings::default() };
    let endpoints = [(network.to_owned(), endpoint)].into();
    ContainerCreateBody {
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
        ..body
    }
}

/// The same body with a memory limit and no swap beyond it.
pub(super) fn with_memory(body: ContainerCreateBody, bytes: i64) -> ContainerCreateBody {
    ContainerCreateBody {
        host_config: Some(HostConfig {
            memory: Some(bytes),
            memory_swap: Some(bytes),
            ..HostConfig::default()
        }),
        ..body
    }
}

/// The same body as `docker run --rm` makes it.
pub(super) fn removed_at_its_end(body: ContainerCreateBody) -> ContainerCreateBody {
    ContainerCreateBody {
        host_config: Some(HostConfig { auto_remove: Some(true), ..HostConfig::default() }),
        ..body
    }
}

pub(crate) fn file_system() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for folder in ["bin/", "tmp/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_data(&mut header, folder, std::io::empty()).unwrap();
    }
    archive.append_path_with_name(BUSYBOX, "bin/busybox").unwrap();
    for program in PROGRAMS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{program}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap()
}
