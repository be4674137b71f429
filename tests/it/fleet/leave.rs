//! The leave to change what several nodes reach, as the adapters keep it.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use selfheal::docker::{Docker, Limits};
use selfheal::host::LocalCommands;
use selfheal::leave;
use selfheal::probes::Probes;
use selfheal_agents::model::{
    Command, CommandPart, DatabaseEndpoint, Endpoint, MemoryLimits, NetworkAttachment,
    ServerSetting, TargetId,
};
use selfheal_agents::ports::{
    Commands as _, ContainerRuntime as _, Permit, Prober as _, Servers as _, WorldError,
    WorldResult,
};
use tokio::runtime::Runtime;

use crate::scale::engine::Engine;

/// A lease of which so much is left.
struct Left(Duration);

impl Permit for Left {
    fn is_valid(&self) -> bool {
        true
    }
    fn covers(&self, limit: Duration) -> bool {
        self.0 > limit
    }
}

#[test]
fn no_call_goes_to_docker_that_may_end_after_the_lease_also_not_by_the_time_to_stop() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    let engine = Engine::of(&socket, 1);
    let change = Limits::default().change;
    let waiting = tokio::runtime::Runtime::new()?;
    let docker =
        waiting.block_on(async { Docker::connect(&format!("unix://{}", socket.display())) })?;
    let verb = |left: Duration, stop_secs: u32, signal: Option<&'static str>| {
        let docker = docker.clone();
        let restart = async move { docker.restart("c0", signal, stop_secs).await };
        let ended = waiting.block_on(leave::under(Arc::new(Left(left)), restart));
        let asked = engine.asked();
        let came =
            asked.keys().filter(|kind| !kind.ends_with("/json")).cloned().collect::<Vec<_>>();
        (matches!(ended, Err(WorldError::NoLeave { .. })), came)
    };
    let stop = Duration::from_mins(2);
    for (signal, call) in [(None, "containers/{id}/restart"), (Some("INT"), "containers/{id}/kill")]
    {
        let (refused, came) = verb(change + stop, 120, signal);
        ensure!(refused && came.is_empty(), "{signal:?}: {came:?}");
        let (refused, came) = verb(change + stop + Duration::from_secs(1), 120, signal);
        ensure!(!refused && came.iter().any(|kind| kind == call), "{signal:?}: {came:?}");
    }
    Ok(())
}

/// A lease that ends now.
fn ended<T>(waiting: &Runtime, call: impl Future<Output = WorldResult<T>>) -> bool {
    let ended = waiting.block_on(leave::under(Arc::new(Left(Duration::ZERO)), call));
    matches!(ended, Err(WorldError::NoLeave { .. }))
}

#[test]
fn nothing_reaches_an_engine_a_server_or_a_program_when_the_lease_is_about_to_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    let engine = Engine::of(&socket, 1);
    let waiting = Runtime::new()?;
    let docker =
        waiting.block_on(async { Docker::connect(&format!("unix://{}", socket.display())) })?;
    ensure!(ended(&waiting, docker.start("c0")), "start");
    ensure!(ended(&waiting, docker.restart("c0", None, 1)), "restart");
    ensure!(ended(&waiting, docker.restart("c0", Some("INT"), 1)), "restart by a signal");
    ensure!(ended(&waiting, docker.stop("c0", 1)), "stop");
    ensure!(ended(&waiting, docker.signal("c0", "HUP")), "signal");
    ensure!(ended(&waiting, docker.pause("c0")), "pause");
    let (limits, network) = (
        MemoryLimits::default(),
        NetworkAttachment { network: "lan".to_owned(), aliases: vec![], ip: None, fixed_ip: None },
    );
    ensure!(ended(&waiting, docker.set_memory_limits("c0", limits)), "memory");
    ensure!(ended(&waiting, docker.set_cpu_limit("c0", Some(1_000_000_000))), "processors");
    ensure!(ended(&waiting, docker.connect_network("c0", &network)), "joining a network");
    ensure!(ended(&waiting, docker.disconnect_network("c0", "bridge")), "leaving a network");
    let came = engine.asked();
    ensure!(came.keys().all(|kind| kind.ends_with("/json") || kind == "version"), "{came:?}");

    let server = TcpListener::bind(("127.0.0.1", 0))?;
    server.set_nonblocking(true)?;
    let at = DatabaseEndpoint {
        host: "127.0.0.1".to_owned(),
        port: server.local_addr()?.port(),
        user: None,
        password: None,
        database: None,
        tls: false,
    };
    let probes = Probes::new();
    for at in [Endpoint::Postgres(at.clone()), Endpoint::Mysql(at.clone()), Endpoint::Redis(at)] {
        let setting = ServerSetting::RedisMaxmemory;
        ensure!(ended(&waiting, probes.terminate_backends(&at, &[])), "ending sessions: {at:?}");
        ensure!(ended(&waiting, probes.set_setting(&at, setting, Some("1"))), "setting: {at:?}");
        ensure!(ended(&waiting, probes.load_config(&at)), "loading: {at:?}");
        ensure!(ended(&waiting, probes.kill_clients(&at, &[])), "ending clients: {at:?}");
    }
    let came = server.accept();
    ensure!(came.as_ref().is_err_and(|why| why.kind() == ErrorKind::WouldBlock), "{came:?}");

    let left = folder.path().join("it-ran");
    let argv = ["/usr/bin/touch".to_owned(), left.display().to_string()];
    let command = Command {
        name: "touch".to_owned(),
        target: TargetId::host(),
        argv: argv.to_vec(),
        undo: Some(argv.to_vec()),
        check: None,
        limit: Duration::from_secs(1),
        environment: vec![],
    };
    let commands = LocalCommands::new(vec![command.clone()], folder.path().to_owned());
    for part in [CommandPart::Run, CommandPart::Undo] {
        ensure!(ended(&waiting, commands.run(&command, part)), "{part:?}");
    }
    ensure!(!left.exists(), "it ran");
    Ok(())
}
