//! How sure: a percentage that cannot leave its range, and the ledger it is the sum of.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Percent, 0 to 100. Divided by 100 under `/api/automation` and in streams.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Confidence(u8);

/// A number outside 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a confidence is 0 to 100, not {0}")]
pub struct OutOfRange(u8);

impl Confidence {
    /// Nothing is known.
    pub const ZERO: Self = Self(0);

    /// A constant; anything above 100 does not compile where it is a constant.
    pub const fn literal(percent: u8) -> Self {
        assert!(percent <= 100, "a confidence is 0 to 100");
        Self(percent)
    }

    /// The nearest value inside the range.
    pub fn clamped(points: i64) -> Self {
        Self(u8::try_from(points.clamp(0, 100)).expect("clamped to 0..=100"))
    }

    /// Percent.
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// The scale of `/api/automation` and of the streams: 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<u8> for Confidence {
    type Error = OutOfRange;
    fn try_from(value: u8) -> Result<Self, OutOfRange> {
        if value > 100 { Err(OutOfRange(value)) } else { Ok(Self(value)) }
    }
}

impl From<Confidence> for u8 {
    fn from(value: Confidence) -> Self {
        value.0
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEntry {
    /// Percentage points; below zero speaks against.
    pub points: i32,
    /// What was seen, in words.
    pub what: String,
    /// Where it comes from: `base`, `evidence`, `change`, `fix`, `history`.
    pub source: LedgerSource,
}

/// Where a ledger line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerSource {
    /// The runbook's base.
    Base,
    /// A piece of evidence with the runbook's weight.
    Evidence,
    /// What speaks for it by time alone: what changed shortly before, who turned bad first.
    Change,
    /// How well this fix suits this diagnosis.
    Fix,
    /// What became of earlier fixes.
    History,
}

/// The visible sum that a confidence is: nothing moves it but a line in here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// In the order in which they were found.
    pub entries: Vec<LedgerEntry>,
}

impl Ledger {
    /// A ledger with its base.
    pub fn with_base(points: u8, what: impl Into<String>) -> Self {
        let mut ledger = Self::default();
        ledger.add(i32::from(points), what, LedgerSource::Base);
        ledger
    }

    /// Adds a line.
    pub fn add(&mut self, points: i32, what: impl Into<String>, source: LedgerSource) {
        self.entries.push(LedgerEntry { points, what: what.into(), source });
    }

    /// The sum without the lines of one source, brought into range.
    pub fn total_without(&self, source: LedgerSource) -> Confidence {
        let others = self.entries.iter().filter(|entry| entry.source != source);
        Confidence::clamped(others.map(|entry| i64::from(entry.points)).sum())
    }

    /// The sum, brought into range.
    pub fn total(&self) -> Confidence {
        Confidence::clamped(self.entries.iter().map(|e| i64::from(e.points)).sum())
    }
}
