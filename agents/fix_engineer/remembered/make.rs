//! How a container was made that worked for long, and what is different now.
//!
//! What an image brings along by itself is left out of the comparison where both images are
//! known: a new version of a program has another version number in its environment, and nobody
//! changed that. Values of variables are kept to be given back; only their names are ever told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerFacts, Difference, ImageFacts, ImageName, MemoryLimits, MountFacts, SecretText,
    Timestamp, on_disk,
};

/// Variables remembered of one container.
const MOST_VARIABLES: usize = 256;
/// Bytes remembered of all of them.
const MOST_BYTES: usize = 64 * 1024;

/// How a container was made that was well for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodMake {
    /// The runtime's id of the container.
    pub container_id: String,
    /// What it was made from.
    pub image: ImageName,
    /// Its environment.
    #[serde(with = "on_disk::texts")]
    pub environment: BTreeMap<String, SecretText>,
    #[serde(with = "on_disk::text")]
    command: SecretText,
    mounts: BTreeSet<String>,
    networks: BTreeSet<String>,
    limits: MemoryLimits,
    /// When it was first seen to have been well for long.
    pub proven_at: Timestamp,
}

/// The images of both containers, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Images<'a> {
    /// Of the one that worked.
    pub good: Option<&'a ImageFacts>,
    /// Of the one that is there.
    pub now: Option<&'a ImageFacts>,
}

impl GoodMake {
    /// How a container is made that is well; `None` if that is more than is remembered.
    pub fn of(facts: &ContainerFacts, now: Timestamp) -> Option<Self> {
        let bytes = |(name, value): (&String, &SecretText)| name.len() + value.expose().len();
        let environment = &facts.environment;
        let bytes: usize = environment.iter().map(bytes).sum();
        if environment.len() > MOST_VARIABLES || bytes > MOST_BYTES {
            return None;
        }
        Some(Self {
            container_id: facts.id.clone(),
            image: ImageName { id: facts.image_id.clone(), name: facts.image.clone() },
            environment: environment.clone(),
            command: facts.command.clone(),
            mounts: mounts(facts),
            networks: networks(facts),
            limits: facts.limits,
            proven_at: now,
        })
    }

    /// The names of variables that a person gave then and that are gone now.
    pub fn lost_variables(&self, facts: &ContainerFacts, images: Images<'_>) -> Vec<String> {
        let given = given(&self.environment, images.good.filter(|_| images.now.is_some()));
        let lost = |name: &&&String| !facts.environment.contains_key(name.as_str());
        given.keys().filter(lost).copied().cloned().collect()
    }

    /// In what the container is not as it was.
    pub fn differences(&self, facts: &ContainerFacts, images: Images<'_>) -> BTreeSet<Difference> {
        let (good, now) = match (images.good, images.now) {
            (Some(good), Some(now)) => (Some(good), Some(now)),
            _ => (None, None),
        };
        let (before, after) = (given(&self.environment, good), given(&facts.environment, now));
        let lost = self.lost_variables(facts, images);
        let otherwise = after.iter().any(|(name, value)| before.get(name) != Some(value))
            || before.keys().any(|name| !after.contains_key(name) && !lost.contains(name));
        let command = |command: &SecretText, image: Option<&ImageFacts>| {
            Some(command.clone()).filter(|command| image.is_none_or(|i| i.command != *command))
        };
        let found = [
            (Difference::Image, self.image.id != facts.image_id),
            (Difference::VariableLost, !lost.is_empty()),
            (Difference::Environment, otherwise),
            (Difference::Command, command(&self.command, good) != command(&facts.command, now)),
            (Difference::Mounts, self.mounts != mounts(facts)),
            (Difference::Networks, self.networks != networks(facts)),
            (Difference::Limits, self.limits != facts.limits),
        ];
        found.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }
}

/// What was given beside what the image has.
fn given<'a>(
    environment: &'a BTreeMap<String, SecretText>,
    image: Option<&ImageFacts>,
) -> BTreeMap<&'a String, &'a SecretText> {
    let by_image = |(name, value): &(&String, &SecretText)| {
        image.is_some_and(|image| image.environment.get(*name) == Some(*value))
    };
    environment.iter().filter(|variable| !by_image(variable)).collect()
}

fn mounts(facts: &ContainerFacts) -> BTreeSet<String> {
    let words = |mount: &MountFacts| {
        let source = if mount.is_nameless() { "a volume" } else { &mount.source };
        format!("{source} on {} writable: {}", mount.destination, mount.writable)
    };
    facts.mounts.iter().map(words).collect()
}

fn networks(facts: &ContainerFacts) -> BTreeSet<String> {
    facts.networks.iter().map(|network| network.network.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, environment, start_time};

    fn image(id: &str, variables: &[(&str, &str)], command: &str) -> ImageFacts {
        let command = SecretText::new(command);
        ImageFacts { id: id.to_owned(), environment: environment(variables), command }
    }

    fn web(variables: &[(&str, &str)]) -> ContainerFacts {
        let environment = environment(variables);
        ContainerFacts { environment, command: SecretText::new("serve"), ..container("web") }
    }

    fn differences(before: &ContainerFacts, after: &ContainerFacts) -> Vec<Difference> {
        let make = GoodMake::of(before, start_time()).unwrap();
        Vec::from_iter(make.differences(after, Images::default()))
    }

    #[test]
    fn each_thing_that_is_not_as_it_was_is_named() {
        let before = web(&[("URL", "a"), ("MODE", "x")]);
        assert_eq!(differences(&before, &before), []);
        let lost = web(&[("MODE", "x")]);
        assert_eq!(differences(&before, &lost), [Difference::VariableLost]);
        let turned = web(&[("URL", "b"), ("MODE", "x")]);
        assert_eq!(differences(&before, &turned), [Difference::Environment]);
        let both = web(&[("MODE", "x"), ("NEW", "1")]);
        let expected = [Difference::VariableLost, Difference::Environment];
        assert_eq!(differences(&before, &both), expected);
        let mut other = before.clone();
        other.image_id = "sha256:other".to_owned();
        other.limits.memory_bytes = Some(1);
        other.networks.clear();
        other.command = SecretText::new("sleep");
        let expected =
            [Difference::Image, Difference::Command, Difference::Networks, Difference::Limits];
        assert_eq!(differences(&before, &other), expected);
    }

    #[test]
    fn what_an_image_brings_along_is_no_change_of_anybody() {
        let before = ContainerFacts {
            command: SecretText::new("serve v1"),
            ..web(&[("VERSION", "1"), ("ONLY_OLD", "1"), ("URL", "a")])
        };
        let after = ContainerFacts {
            image_id: "sha256:new".to_owned(),
            command: SecretText::new("serve v2"),
            ..web(&[("VERSION", "2"), ("URL", "a")])
        };
        let old = image("sha256:web", &[("VERSION", "1"), ("ONLY_OLD", "1")], "serve v1");
        let new = image("sha256:new", &[("VERSION", "2")], "serve v2");
        let images = Images { good: Some(&old), now: Some(&new) };
        let make = GoodMake::of(&before, start_time()).unwrap();
        assert_eq!(Vec::from_iter(make.differences(&after, images)), [Difference::Image]);
        assert_eq!(make.lost_variables(&after, images), Vec::<String>::new());
        // Of one image alone nothing is known for certain.
        let half = Images { now: None, ..images };
        assert!(make.differences(&after, half).len() > 1);
    }

    #[test]
    fn a_volume_without_a_name_is_the_same_wherever_it_lies() {
        let with = |source: &str| {
            let mount = MountFacts {
                bind: false,
                source: source.to_owned(),
                destination: "/data".to_owned(),
                writable: true,
            };
            ContainerFacts { mounts: vec![mount], ..web(&[]) }
        };
        let nameless = |digit: &str| with(&format!("/volumes/{}/_data", digit.repeat(64)));
        assert_eq!(differences(&nameless("a"), &nameless("b")), []);
        let (one, other) = (with("/volumes/a/_data"), with("/volumes/b/_data"));
        assert_eq!(differences(&one, &other), [Difference::Mounts]);
    }

    #[test]
    fn values_are_written_down_and_shown_to_nobody() {
        let make = GoodMake::of(&web(&[("TOKEN", "hunter2")]), start_time()).unwrap();
        assert!(!format!("{make:?}").contains("hunter2"), "{make:?}");
        let written = serde_json::to_value(&make).unwrap();
        assert_eq!(serde_json::from_value::<GoodMake>(written).unwrap(), make);
        let long = "x".repeat(MOST_BYTES);
        assert_eq!(GoodMake::of(&web(&[("LONG", &long)]), start_time()), None);
    }
}
