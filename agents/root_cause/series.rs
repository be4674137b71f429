//! Blames one of many nodes for the trouble of one, from time series alone.
//!
//! Given who calls whom, the series of normal operation, those of a suspected period and the
//! node whose trouble was noticed, it answers with the likeliest culprits, best first, and
//! with nothing when nothing is wrong. Names play no part: a renamed graph gets the same
//! answer with the names exchanged.
//!
//! The thought: time and failures add up. A caller's extra seconds are its own and its
//! callees'; so the trouble is followed down the calls as total seconds (or failed requests)
//! an interval, as far as they go up and down with the target's, and stays where callees no
//! longer explain it. What is only odd, but not along with the target, or too small to
//! matter to it, is not blamed.
//!
//! It does not read files and does not know what a node is.

mod blame;
mod impact;
mod recording;
mod robust;
mod study;
mod trouble;

pub use recording::{CallGraph, Quantity, Recording};

use study::Study;
use trouble::Trouble;

/// What trouble was noticed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The node.
    pub target: String,
    /// In what respect.
    pub symptom: Symptom,
    /// By which statistic, such as `Average` or `p95`.
    pub statistic: String,
}

/// In what respect a node is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Symptom {
    /// It answers late.
    Latency,
    /// It answers with failures.
    Availability,
}

impl Symptom {
    /// The metric's name.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Availability => "availability",
        }
    }

    /// The cost of a request from a measured value: more is worse.
    fn cost(self, value: f64) -> f64 {
        match self {
            Self::Latency => value,
            Self::Availability => 1.0 - value / 100.0,
        }
    }

    /// The smallest spread believed of a target's costs around `middle`: below it is the
    /// measurement's own grain.
    fn grain(self, middle: f64) -> f64 {
        match self {
            Self::Latency => middle.abs() * 0.02,
            Self::Availability => 0.002,
        }
    }
}

/// A node that may have caused the trouble.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Culprit {
    /// The node.
    pub node: String,
    /// In what respect it is in trouble.
    pub metric: Symptom,
    /// Its share of the blame, 0 to 1; all shares together are at most 1.
    pub score: f64,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// The graph lacks the target.
    #[error("no node `{0}` in the graph")]
    UnknownTarget(String),
    /// Metrics lack what is asked for.
    #[error("the metrics of the {period} period have no {quantity} of `{node}`")]
    NoSuchSeries {
        /// The node.
        node: String,
        /// What of it.
        quantity: Quantity,
        /// `normal` or `suspected`.
        period: &'static str,
    },
}

/// The statistic that adds up to totals.
const AVERAGE: &str = "Average";

/// The likeliest culprits of the trouble asked for, best first; nothing when nothing is
/// wrong.
///
/// # Errors
///
/// The graph lacks the target, or one of the recordings lacks its series.
pub fn rank(
    graph: &CallGraph,
    normal: &Recording,
    suspect: &Recording,
    question: &Question,
) -> Result<Vec<Culprit>, Unanswerable> {
    if !graph.contains(&question.target) {
        return Err(Unanswerable::UnknownTarget(question.target.clone()));
    }
    let Some(trouble) = trouble_of_target(normal, suspect, question)? else { return Ok(vec![]) };
    let study = Study::new(graph, normal, suspect, question, &trouble);
    Ok(study.culprits(&trouble, question.symptom))
}

/// The trouble of the target by the statistic asked for, or by the average where that
/// shows it more clearly: percentiles of few requests jump about.
fn trouble_of_target(
    normal: &Recording,
    suspect: &Recording,
    question: &Question,
) -> Result<Option<Trouble>, Unanswerable> {
    let asked = trouble_by(normal, suspect, question, &question.statistic)?;
    let average = match question.statistic.as_str() {
        AVERAGE => None,
        _ => trouble_by(normal, suspect, question, AVERAGE).ok().flatten(),
    };
    Ok(match (asked, average) {
        (Some(asked), Some(average)) if asked.chance <= average.chance => Some(asked),
        (asked, average) => average.or(asked),
    })
}

fn trouble_by(
    normal: &Recording,
    suspect: &Recording,
    question: &Question,
    statistic: &str,
) -> Result<Option<Trouble>, Unanswerable> {
    let quantity = Quantity::new(question.symptom.metric(), statistic);
    let costs = |recording: &Recording, period| -> Result<Vec<f64>, Unanswerable> {
        recording
            .get(&question.target, &quantity)
            .map(|values| values.iter().map(|value| question.symptom.cost(*value)).collect())
            .ok_or_else(|| Unanswerable::NoSuchSeries {
                node: question.target.clone(),
                quantity: quantity.clone(),
                period,
            })
    };
    let (usual, seen) = (costs(normal, "normal")?, costs(suspect, "suspected")?);
    let grain = question.symptom.grain(robust::median(usual.iter().copied()));
    Ok(trouble::trouble(&usual, &seen, grain))
}

#[cfg(test)]
mod tests;
