//! How a container was made, so that it can be made again.
//!
//! The runtime's own words are kept whole and read by nobody else: whatever they hold is in the
//! container made from them as well. They hold every environment variable, so they go to the
//! disk that only Selfheal reads, and to no log, page or alert.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SecretText, on_disk};

/// How a container was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// The runtime's id of the container.
    pub id: String,
    /// The id of the image it was made from; empty where that was not written down.
    #[serde(default)]
    pub image_id: String,
    /// Whether it ran, or was about to be restarted.
    pub running: bool,
    /// The names of the networks it is to be on.
    pub networks: Vec<String>,
    /// The runtime's own words.
    #[serde(with = "on_disk::text")]
    pub document: SecretText,
}

/// An image on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// Its id, which no later image has.
    pub id: String,
    /// What it was called when the container was made, such as `shop:2`; another image may be
    /// called so by now.
    pub name: String,
}

/// What is to be different in a container made again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remake {
    /// Another image; what the old one brought along by itself is left to it.
    pub image: Option<ImageName>,
    /// Variables given in addition.
    #[serde(with = "on_disk::texts")]
    pub variables: BTreeMap<String, SecretText>,
    /// The mark by which what was made is recognised.
    pub mark: String,
}

/// The label that carries [`Remake::mark`].
pub const REMADE_LABEL: &str = "selfheal.recreate";
/// The label with the name of an image that is used by its id.
pub const IMAGE_LABEL: &str = "selfheal.image";

/// What an image gives every container made from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFacts {
    /// Its id.
    pub id: String,
    /// Environment variables.
    pub environment: BTreeMap<String, SecretText>,
    /// Entry point and arguments, a word a line.
    pub command: SecretText,
}

/// Between the name of a container and its mark, while it is kept for a rollback.
const SET_ASIDE: &str = ".selfheal-old-";

/// What a container is called while the one made in its place has not proved itself.
pub fn aside_name(container: &str, mark: &str) -> String {
    format!("{container}{SET_ASIDE}{mark}")
}

/// Whether a container of this name is kept for a rollback, and nothing else.
pub fn is_set_aside(container: &str) -> bool {
    container.rsplit_once(SET_ASIDE).is_some_and(|(_, mark)| {
        mark.len() == 12 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
