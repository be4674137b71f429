//! The kinds of value a setting can have beyond TOML's own: durations, sizes, secrets, ...
//!
//! Each is written as text and has one `format` name, under which the schema lists it and
//! the reader checks it; so the schema and the program cannot disagree.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use selfheal_agents::model::{SecretText, redact};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Defines a stand-in for the schema: a text with a `format` and a description.
macro_rules! text_schema {
    ($name:ident, $format:literal, $description:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "x-expects": $description })
            }
        }
    };
}

/// Stands for a `Duration` in the schema.
#[derive(Debug)]
pub(super) struct DurationText;
text_schema!(DurationText, "duration-text", "a duration with its unit, such as \"90s\" or \"2m\"");

/// Stands for a cron expression in the schema.
#[derive(Debug)]
pub(super) struct CronText;
text_schema!(CronText, "cron", "a cron expression of five or six fields, such as \"*/5 * * * *\"");

/// Stands for a time zone in the schema.
#[derive(Debug)]
pub(super) struct TimeZoneText;
text_schema!(
    TimeZoneText,
    "time-zone",
    "a time zone of the IANA database, such as \"Europe/Berlin\""
);

/// Stands for a target's name in the schema.
#[derive(Debug)]
pub(super) struct TargetText;
text_schema!(TargetText, "target", "`host` or KIND:NAME, such as \"container:web\"");

/// Stands for `restart`, `signal:NAME` or `none` in the schema.
#[derive(Debug)]
pub(super) struct ApplyText;
text_schema!(
    ApplyText,
    "apply",
    "\"restart\", \"signal:NAME\" such as \"signal:HUP\", or \"none\""
);

/// Durations as `humantime` text.
pub(super) mod duration {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer};

    /// Writes `2m`.
    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    /// Reads `2m`.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads a duration with its unit.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| match text.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 => {
            format!("`{text}` has no unit; write `{text}s` for seconds or `{text}m` for minutes")
        }
        _ => format!(
            "`{text}` is not a duration; write a number with a unit, such as `90s`, `2m`, `1h 30m`"
        ),
    })
}

const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// Reads a size with its unit, in bytes: `512MiB`, `2GB`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || {
        format!("`{text}` is not a size; write a number with a unit, such as `512MiB` or `2GiB`")
    };
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?.trim(), *factor)))
        .ok_or_else(refuse)?;
    let whole: u64 = number.parse().map_err(|_| refuse())?;
    whole.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(refuse)
}

fn shown_size(bytes: u64) -> String {
    UNITS[..4].iter().rev().find(|(_, factor)| bytes.is_multiple_of(*factor)).map_or_else(
        || format!("{bytes}B"),
        |(unit, factor)| {
            let unit = unit.to_ascii_uppercase().replace('I', "i");
            format!("{}{unit}", bytes / factor)
        },
    )
}

/// A share of the host's memory, or a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryCap {
    /// Percent of the host's memory, 1 to 100.
    Percent(u8),
    /// In bytes.
    Bytes(u64),
}

text_schema!(
    MemoryCap,
    "memory-cap",
    "a share of the host's memory such as \"50%\", or a size such as \"2GiB\""
);

impl MemoryCap {
    /// The cap in bytes on a host with so much memory.
    pub fn bytes_of(self, host_total_bytes: u64) -> u64 {
        match self {
            Self::Percent(percent) => host_total_bytes / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl std::str::FromStr for MemoryCap {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            return parse_size(text).map(Self::Bytes);
        };
        match percent.trim().parse::<u8>() {
            Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
            _ => Err(format!("`{text}` is not a share; write `1%` to `100%`")),
        }
    }
}

impl fmt::Display for MemoryCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => f.write_str(&shown_size(*bytes)),
        }
    }
}

impl Serialize for MemoryCap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemoryCap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A secret in the settings; shown and written as `***`.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

text_schema!(
    Secret,
    "secret",
    "a secret text; better kept in a file of its own, named by the `_file` setting"
);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret itself; only for handing it to the server it belongs to.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// In the model's own wrapping.
    pub fn to_model(&self) -> SecretText {
        SecretText::new(self.expose())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// An address, possibly with a password in it, which is neither shown nor written.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

text_schema!(
    Address,
    "address",
    "an address with its scheme, such as \"http://127.0.0.1:8080/health\""
);

impl Address {
    /// Wraps an address.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole address, password and all.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_units() {
        let message = parse_duration("30").unwrap_err();
        assert!(message.contains("`30s`"), "{message}");
        assert!(parse_size("512").is_err());
        assert!("0%".parse::<MemoryCap>().is_err());
        assert!("101%".parse::<MemoryCap>().is_err());
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(parse_size("512MiB"), Ok(512 * 1024 * 1024));
        assert_eq!(parse_size("2 GB"), Ok(2_000_000_000));
        assert!(parse_size("99999999999TiB").is_err(), "an overflow is no size");
    }

    #[test]
    fn secrets_are_neither_debugged_nor_written() {
        let secret = Secret::new("c4n4ry");
        let address = Address::new("redis://app:c4n4ry@cache:6379");
        let shown = format!("{secret:?} {address:?} {address}");
        let written = serde_json::to_string(&(secret, address)).unwrap();
        assert!(!shown.contains("c4n4ry"), "{shown}");
        assert!(!written.contains("c4n4ry"), "{written}");
    }

    proptest! {
        #[test]
        fn every_cap_is_read_back_as_it_is_written(bytes in 1u64..u64::MAX / 2, percent in 1u8..=100) {
            for cap in [MemoryCap::Bytes(bytes), MemoryCap::Percent(percent)] {
                prop_assert_eq!(cap.to_string().parse(), Ok(cap));
            }
        }
    }
}
