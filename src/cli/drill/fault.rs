//! One fault of one container: how it is made, how it is known to be mended, and how the drill
//! takes it back by itself.
//!
//! Its invariant: everything that taking it back needs is known before anything is broken. Nothing
//! here touches a volume, and nothing is removed.

use std::time::Duration;

use selfheal_agents::fix_engineer::actions::{Act as _, NetworkConnect};
use selfheal_agents::model::{ContainerFacts, NetworkAttachment};
use selfheal_agents::ports::{ContainerRuntime, WorldResult};

use super::kinds::{Kind, network_of};
use super::stack::Member;
use crate::docker::Docker;
use crate::host::{HeldProcesses, HoldError};

/// How long Docker waits between the stop signal and the kill, where the container does not say.
const STOP_TIMEOUT_SECS: u32 = 10;
/// How often taking back is tried.
const TRIES: u32 = 5;
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// One fault, prepared.
#[derive(Debug)]
pub(super) struct Fault {
    what: What,
    before: ContainerFacts,
}

#[derive(Debug)]
enum What {
    Crash(HeldProcesses),
    Hang(HeldProcesses),
    Network(NetworkConnect),
    Stop,
}

/// The processes of a container, or why they cannot be signalled.
pub(super) fn processes(facts: &ContainerFacts) -> Result<HeldProcesses, String> {
    let held = match facts.pid {
        Some(main) => HeldProcesses::of_container(&facts.id, main),
        None => Err(HoldError::Elsewhere),
    };
    held.map_err(|error| match error {
        HoldError::Denied => format!("{error}: type sudo selfheal drill"),
        HoldError::Elsewhere => format!("{error}: drill where Docker runs"),
        HoldError::Kernel(_) => error.to_string(),
    })
}

impl Fault {
    /// Prepares a fault of a container as it is now.
    pub(super) fn prepare(kind: Kind, member: &Member) -> Result<Self, String> {
        let facts = &member.facts;
        let what = match kind {
            Kind::Crash => What::Crash(processes(facts)?),
            Kind::Hang => What::Hang(processes(facts)?),
            Kind::Network => {
                let network = network_of(member).ok_or("it is on no network of yours")?;
                let attachment = NetworkAttachment { ip: None, ..network.clone() };
                let container = facts.name.clone();
                What::Network(NetworkConnect { container, attachment, rejoins: false })
            }
            Kind::Stop => What::Stop,
        };
        Ok(Self { what, before: facts.clone() })
    }

    /// Breaks it. After an error it may be half broken.
    pub(super) async fn inject(&self, docker: &Docker) -> Result<(), String> {
        let name = &self.before.name;
        match &self.what {
            What::Crash(processes) => processes.kill_main().map_err(|error| error.to_string()),
            What::Hang(processes) => processes.stop().map_err(|error| error.to_string()),
            What::Network(back) => {
                let left = docker.disconnect_network(name, &back.attachment.network).await;
                left.map_err(|error| error.to_string())
            }
            What::Stop => {
                let seconds = self.before.stop_timeout_secs.unwrap_or(STOP_TIMEOUT_SECS);
                docker.stop(name, seconds).await.map_err(|error| error.to_string())
            }
        }
    }

    /// Whether the very thing that was broken is whole again.
    pub(super) fn is_mended(&self, now: &ContainerFacts) -> bool {
        let lives_anew = now.started_at != self.before.started_at || now.id != self.before.id;
        now.is_up()
            && match &self.what {
                What::Crash(_) | What::Stop => lives_anew,
                What::Hang(processes) => lives_anew || !processes.is_stopped(),
                What::Network(back) => back.is_attached(&now.networks),
            }
    }

    /// Takes back what is still broken; answers what that was. The error says what to type.
    pub(super) async fn put_back(&self, docker: &Docker) -> Result<Option<String>, String> {
        let mut tries = 1;
        loop {
            match self.try_put_back(docker).await {
                Ok(done) => return Ok(done),
                Err(error) if tries == TRIES => {
                    return Err(format!("not put back: {error}; type {}", self.by_hand()));
                }
                Err(_) => tries += 1,
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn try_put_back(&self, docker: &Docker) -> WorldResult<Option<String>> {
        let name = &self.before.name;
        let mut done = None;
        if let What::Hang(processes) = &self.what
            && processes.is_stopped()
            && processes.go_on().is_ok_and(|lives| lives)
        {
            done = Some("let its processes go on".to_owned());
        }
        let now = docker.container(name).await?;
        if let What::Network(back) = &self.what
            && !back.is_attached(&now.networks)
        {
            let attachment = &back.attachment;
            // Names and an address can only be given anew by leaving first.
            docker.disconnect_network(name, &attachment.network).await?;
            docker.connect_network(name, attachment).await?;
            done = Some(format!("connected it to {} again", attachment.network));
        }
        if !now.is_up() {
            docker.start(name).await?;
            done = Some("started it".to_owned());
        }
        Ok(done)
    }

    /// What a person would type.
    fn by_hand(&self) -> String {
        let name = &self.before.name;
        match &self.what {
            What::Network(back) => back.by_hand(),
            What::Hang(_) => format!("docker restart {name}"),
            What::Crash(_) | What::Stop => format!("docker start {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::tests::member;
    use super::*;

    fn at(address: Option<&str>) -> NetworkAttachment {
        NetworkAttachment {
            network: "back".to_owned(),
            aliases: vec!["db".to_owned()],
            ip: Some("10.9.0.7".to_owned()),
            fixed_ip: address.map(str::to_owned),
        }
    }

    fn on(network: NetworkAttachment) -> Member {
        let mut db = member("orders");
        db.facts.networks = vec![network];
        db
    }

    #[test]
    fn a_network_is_back_only_with_all_names_and_the_chosen_address() {
        let is_back = |before: NetworkAttachment, now: NetworkAttachment| {
            let fault = Fault::prepare(Kind::Network, &on(before)).unwrap();
            fault.is_mended(&on(now).facts)
        };
        let chosen = || at(Some("10.9.0.7"));
        assert!(is_back(chosen(), chosen()));
        assert!(!is_back(chosen(), at(None)), "by chance it has the same address");
        assert!(!is_back(chosen(), at(Some("10.9.0.8"))));
        assert!(!is_back(chosen(), NetworkAttachment { aliases: vec![], ..chosen() }));
        let moved = NetworkAttachment { ip: Some("10.9.0.8".to_owned()), ..at(None) };
        assert!(is_back(at(None), moved), "Docker gave it the address, and may give another");
    }

    #[test]
    fn what_to_type_gives_the_names_and_the_chosen_address_back() {
        let fault = Fault::prepare(Kind::Network, &on(at(Some("10.9.0.7")))).unwrap();
        let typed = fault.by_hand();
        assert!(typed.contains("--alias db ") && typed.contains("--ip 10.9.0.7 "), "{typed}");
        let fault = Fault::prepare(Kind::Network, &on(at(None))).unwrap();
        assert!(!fault.by_hand().contains("--ip"), "{}", fault.by_hand());
    }
}
