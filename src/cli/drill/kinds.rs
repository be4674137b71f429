//! The drills there are: what each breaks, what must happen, and where it can be done. Pure.

use clap::ValueEnum;
use selfheal_agents::model::{NetworkAttachment, RestartPolicy};
use serde::{Deserialize, Serialize};

use super::stack::Member;

/// Networks that Docker itself makes; on them nobody has a name.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// One way to break a container safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its main process is killed
    Crash,
    /// Its processes are stopped and answer nothing
    Hang,
    /// It is taken off its network
    Network,
    /// It is stopped as a person would
    Stop,
}

impl Kind {
    /// All of them, in the order in which they are done.
    pub(super) const ALL: [Self; 4] = [Self::Crash, Self::Hang, Self::Network, Self::Stop];

    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Network => "network",
            Self::Stop => "stop",
        }
    }

    /// What is done to the container.
    pub(super) const fn breaks(self) -> &'static str {
        match self {
            Self::Crash => "its main process is killed behind Docker's back",
            Self::Hang => "its processes are stopped behind Docker's back and answer nothing",
            Self::Network => "it is taken off its network",
            Self::Stop => "it is stopped as a person stops it (docker stop)",
        }
    }

    /// What must happen.
    pub(super) const fn must(self) -> &'static str {
        match self {
            Self::Crash => "it is started again, by Docker where it has a restart policy",
            Self::Hang => "it is restarted",
            Self::Network => "it is connected again by its old names; told, if nobody misses it",
            Self::Stop => "it is left alone, unless another container fails without it",
        }
    }

    /// What would be wrong.
    pub(super) const fn wrong(self) -> &'static str {
        match self {
            Self::Crash => "it stays down, or another container is touched",
            Self::Hang => "it goes on hanging, or another container is restarted instead",
            Self::Network => "it stays off, or it is restarted, which does not help",
            Self::Stop => "it is started against the person's will",
        }
    }

    /// What must happen to this container.
    pub(super) fn expected(self, member: &Member) -> &'static str {
        match self {
            Self::Crash if member.facts.restart_policy == RestartPolicy::No => "started again",
            Self::Crash => "restarted by Docker",
            Self::Hang => "restarted",
            Self::Network => "connected again",
            Self::Stop if !member.needed_by.is_empty() => "left alone, or started for who needs it",
            Self::Stop => "left alone",
        }
    }

    /// Why it cannot be done to this container, if so.
    pub(super) fn obstacle(self, member: &Member) -> Option<String> {
        if !member.facts.is_up() {
            return Some("it does not run".to_owned());
        }
        if member.removes_itself {
            return Some("it was made with `--rm`: Docker would remove it".to_owned());
        }
        if let Some(stranger) = member.needed_by_unmarked.first() {
            return Some(format!("{stranger} needs it and is not marked"));
        }
        match self {
            Self::Hang if !member.is_watched() => Some(
                "nobody would notice: it has no health check, and no target asks it".to_owned(),
            ),
            Self::Crash | Self::Hang => member.out_of_reach.clone(),
            Self::Network if network_of(member).is_none() => {
                Some("it is on no network of yours".to_owned())
            }
            Self::Network if !member.is_missed() => {
                Some("nobody would miss it: nothing needs it, and no target asks it".to_owned())
            }
            Self::Network | Self::Stop => None,
        }
    }
}

/// The network that it is taken off: the one it was made for, else the first with names.
pub(super) fn network_of(member: &Member) -> Option<&NetworkAttachment> {
    let named = |n: &&NetworkAttachment| !BUILT_IN.contains(&n.network.as_str());
    let networks = &member.facts.networks;
    let made_for = networks.iter().find(|n| n.network == member.facts.network_mode);
    made_for.filter(named).or_else(|| networks.iter().find(named))
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::TargetId;

    use super::super::stack::tests::member;
    use super::*;

    fn possible(member: &Member) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| kind.obstacle(member).is_none()).collect()
    }

    fn on(network: &str) -> NetworkAttachment {
        NetworkAttachment { network: network.to_owned(), aliases: vec![], ip: None, fixed_ip: None }
    }

    #[test]
    fn what_nobody_watches_or_misses_is_only_crashed_and_stopped() {
        let mut plain = member("web");
        plain.facts.health_check = None;
        plain.facts.networks = vec![on("shop")];
        assert_eq!(possible(&plain), [Kind::Crash, Kind::Stop]);
        plain.asked_by = vec!["http:shop".parse().unwrap()];
        assert_eq!(possible(&plain), Kind::ALL);
    }

    #[test]
    fn a_container_is_taken_off_the_network_it_was_made_for_and_never_off_docker_s_own() {
        let mut web = member("web");
        web.needed_by = vec![TargetId::container("app")];
        web.facts.networks = vec![on("bridge")];
        web.facts.network_mode = "bridge".to_owned();
        assert!(Kind::Network.obstacle(&web).is_some());
        web.facts.networks = vec![on("bridge"), on("back"), on("front")];
        assert_eq!(network_of(&web).unwrap().network, "back");
        web.facts.network_mode = "front".to_owned();
        assert_eq!(network_of(&web).unwrap().network, "front");
        assert_eq!(Kind::Network.obstacle(&web), None);
    }

    #[test]
    fn nothing_is_done_where_docker_would_remove_it_or_a_stranger_would_suffer() {
        let mut web = member("web");
        web.removes_itself = true;
        assert!(possible(&web).is_empty());
        let mut web = member("web");
        web.needed_by_unmarked = vec![TargetId::container("shop")];
        assert!(possible(&web).is_empty());
        assert!(Kind::Stop.obstacle(&web).unwrap().contains("container:shop"));
    }

    #[test]
    fn who_may_not_signal_processes_can_still_stop_containers() {
        let mut web = member("web");
        web.out_of_reach = Some("only root may".to_owned());
        assert_eq!(possible(&web), [Kind::Stop]);
    }

    #[test]
    fn docker_is_expected_to_restart_what_has_a_policy() {
        let mut web = member("web");
        assert_eq!(Kind::Crash.expected(&web), "started again");
        web.facts.restart_policy = RestartPolicy::OnFailure;
        assert_eq!(Kind::Crash.expected(&web), "restarted by Docker");
    }
}
