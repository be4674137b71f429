//! What became of all fixes, in numbers: success by type and calibration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wilson_lower_bound;
use crate::model::{Outcome, Timestamp};

/// Success of one fix type.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TypeStatistics {
    /// How often it was applied.
    pub total: usize,
    /// How often it was proven to help.
    pub successes: usize,
    /// `successes / total`, 0 to 1.
    pub success_rate: f64,
    /// Lower end of the Wilson interval, 95 %.
    pub lower_bound: f64,
    /// Median time to repair of the successes, in seconds.
    pub median_repair_secs: Option<f64>,
}

/// Predicted against achieved, for fixes whose confidence fell into one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationBin {
    /// Lowest confidence of the bin, percent.
    pub from: u8,
    /// Highest, percent.
    pub to: u8,
    /// How many fixes.
    pub total: usize,
    /// Mean confidence, 0 to 1.
    pub predicted: f64,
    /// Share of successes, 0 to 1.
    pub achieved: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// How many fixes.
    pub total_fixes: usize,
    /// Share of successes, 0 to 1; 0 without any fix.
    pub success_rate: f64,
    /// By fix type.
    pub by_type: BTreeMap<String, TypeStatistics>,
    /// In bins of ten points; empty bins are left out.
    pub calibration: Vec<CalibrationBin>,
    /// Time of the newest outcome.
    pub last_updated: Option<Timestamp>,
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Statistics {
    /// Counts outcomes.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let successes = outcomes.iter().filter(|o| o.success).count();
        let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in outcomes {
            groups.entry(outcome.fix_type.clone()).or_default().push(outcome);
        }
        Self {
            total_fixes: outcomes.len(),
            success_rate: share(successes, outcomes.len()),
            by_type: groups.into_iter().map(|(name, group)| (name, of_type(&group))).collect(),
            calibration: calibration(outcomes),
            last_updated: outcomes.iter().map(|o| o.timestamp).max(),
        }
    }
}

fn of_type(group: &[&Outcome]) -> TypeStatistics {
    let successes = group.iter().filter(|o| o.success).count();
    let mut times: Vec<f64> = group.iter().filter_map(|o| o.time_to_repair_secs).collect();
    times.sort_by(f64::total_cmp);
    TypeStatistics {
        total: group.len(),
        successes,
        success_rate: share(successes, group.len()),
        lower_bound: wilson_lower_bound(successes, group.len()),
        median_repair_secs: times.get(times.len() / 2).copied(),
    }
}

fn calibration(outcomes: &[Outcome]) -> Vec<CalibrationBin> {
    (0..10u8)
        .filter_map(|bin| {
            let from = bin * 10;
            // The last bin takes 100 as well.
            let to = if bin == 9 { 100 } else { from + 9 };
            let inside: Vec<&Outcome> =
                outcomes.iter().filter(|o| (from..=to).contains(&o.confidence.percent())).collect();
            if inside.is_empty() {
                return None;
            }
            let predicted: f64 = inside.iter().map(|o| o.confidence.fraction()).sum();
            Some(CalibrationBin {
                from,
                to,
                total: inside.len(),
                predicted: predicted / inside.len() as f64,
                achieved: share(inside.iter().filter(|o| o.success).count(), inside.len()),
            })
        })
        .collect()
}
