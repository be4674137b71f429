//! What a container of this node needs of another node of the fleet.
//!
//! Nobody declares it: a place that a container's environment names, and that nothing here answers
//! to, is asked for among the places of all nodes (`Sought`). What is found there (`Neighbour`) is
//! watched and healed by its own node; here it only explains why something fails.

use std::fmt;
use std::time::Duration;

use super::{TargetId, Timestamp};

/// A host, by a name in lower case or an address, and a TCP port of it: `nas.lan:5432`, `[fd00::7]:80`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The port of that host.
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        Self { host: host.to_lowercase(), port }
    }

    /// The host, without the brackets of an address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What the other nodes are asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sought {
    /// Whatever is reached there.
    At(HostPort),
    /// What is called so, with its node behind an `@`: `container:db@nas`.
    Called(TargetId),
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => place.fmt(f),
            Self::Called(target) => target.fmt(f),
        }
    }
}

/// How another node sees what it offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourState {
    /// It works.
    Works,
    /// It fails, as its own node judges.
    Fails,
    /// It works again, for so long.
    WorksAgain(Duration),
}

/// A target of another node that something here needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// By this it was found.
    pub sought: Sought,
    /// Its name, with that of its node behind an `@`.
    pub target: TargetId,
    /// The node.
    pub node: String,
    /// Where it can be tried from here; nowhere if only the container knows what the name leads to.
    pub tried_at: Vec<HostPort>,
    /// What of this node it waits for itself, as its own node says.
    pub blames: Option<TargetId>,
    /// How it does, as its node sees it.
    pub state: NeighbourState,
    /// The same in a sentence, where it is not well.
    pub detail: String,
    /// Why that may not be so any more.
    pub silence: Option<Silence>,
}

/// Why nothing new is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It has said nothing for so long that it may be gone.
    Node(Duration),
    /// What nodes say is not heard here.
    Here,
}

/// What is known to be wrong with a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeighbourTrouble {
    /// Its node knows and looks after it.
    LookedAfter {
        /// That node.
        node: String,
        /// What is wrong, in a sentence.
        why: String,
    },
    /// Nothing answers there, and no node sees why: a person has to look.
    Unreached {
        /// What is wrong, in a sentence.
        why: String,
    },
}

/// How a neighbour does, as this node sees it with all that it was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NeighbourSeen {
    /// What is wrong.
    pub trouble: Option<NeighbourTrouble>,
    /// Since when it works again: complaints from before are over.
    pub works_since: Option<Timestamp>,
}

impl Neighbour {
    /// What works again for less than this may still be what others suffer from: they need some time
    /// to notice.
    pub const SETTLES: Duration = Duration::from_mins(1);

    /// What its node says is wrong with it, while that node is there.
    pub fn told(&self) -> Option<NeighbourTrouble> {
        if self.silence.is_some() {
            return None;
        }
        let why = match self.state {
            NeighbourState::Fails => self.detail.clone(),
            NeighbourState::WorksAgain(since) if since < Self::SETTLES => {
                format!("it works again since {} s", since.as_secs())
            }
            NeighbourState::Works | NeighbourState::WorksAgain(_) => return None,
        };
        Some(NeighbourTrouble::LookedAfter { node: self.node.clone(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_however_its_host_is_written() {
        for (host, written) in [("NAS.lan.", "nas.lan:80"), ("[fd00::7]", "[fd00::7]:80")] {
            assert_eq!(HostPort::new(host, 80).to_string(), written);
        }
        assert_eq!(HostPort::new("fd00::7", 80), HostPort::new("[FD00::7]", 80));
    }

    #[test]
    fn a_target_bears_the_name_of_its_node_elsewhere() {
        let web = TargetId::container("web").at_node("nas");
        assert_eq!(web.to_string(), "container:web@nas");
        assert_eq!(TargetId::host().at_node("nas").to_string(), "container:host@nas");
    }

    #[test]
    fn the_word_of_a_node_counts_while_it_speaks_and_what_works_again_has_a_while() {
        let of = |state, silence| Neighbour {
            sought: Sought::At(HostPort::new("nas.lan", 5432)),
            target: TargetId::container("db").at_node("nas"),
            node: "nas".to_owned(),
            tried_at: vec![],
            blames: None,
            state,
            detail: "it ended".to_owned(),
            silence,
        };
        let since = Duration::from_secs;
        let is_trouble = |state| of(state, None).told().is_some();
        assert!(is_trouble(NeighbourState::Fails) && !is_trouble(NeighbourState::Works));
        assert!(is_trouble(NeighbourState::WorksAgain(since(5))));
        assert!(!is_trouble(NeighbourState::WorksAgain(Neighbour::SETTLES)));
        for silence in [Silence::Node(since(40)), Silence::Here] {
            assert_eq!(of(NeighbourState::Fails, Some(silence)).told(), None);
        }
    }
}
