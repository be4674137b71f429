//! `rca`: who among many nodes caused the trouble of one, from recorded series.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use selfheal_agents::root_cause::series::{Culprit, Question, Symptom, rank};

use super::output::{Exit, Failure, Outcome, Output, Style};
use super::table::{cell, table};
use crate::recordings::{read_graph, read_metrics};

/// What is asked.
#[derive(Debug, Clone, Args)]
pub struct Rca {
    /// Who calls whom: a matrix, a row calls the columns where it has a 1
    #[arg(long, value_name = "FILE")]
    pub graph: PathBuf,
    /// Metrics of normal operation
    #[arg(long, value_name = "FILE")]
    pub normal: PathBuf,
    /// Metrics of the time when something was wrong
    #[arg(long, value_name = "FILE")]
    pub metrics: PathBuf,
    /// The node whose trouble was noticed
    #[arg(long, value_name = "NODE")]
    pub target: String,
    /// What was noticed
    #[arg(long, value_enum, default_value_t = Noticed::Latency)]
    pub metric: Noticed,
    /// By which statistic, as the files call it
    #[arg(long, value_name = "NAME", default_value = "Average")]
    pub statistic: String,
}

/// What trouble was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Noticed {
    /// It answers late
    Latency,
    /// It answers with failures
    Availability,
}

/// Nothing wrong is an answer, too: an empty list.
pub(super) fn run(asked: &Rca, out: Output) -> Outcome {
    let unreadable = |error| Failure::new(Exit::Usage, error);
    let graph = read_graph(&asked.graph).map_err(unreadable)?;
    let normal = read_metrics(&asked.normal).map_err(unreadable)?;
    let suspect = read_metrics(&asked.metrics).map_err(unreadable)?;
    let question = Question {
        target: asked.target.clone(),
        symptom: match asked.metric {
            Noticed::Latency => Symptom::Latency,
            Noticed::Availability => Symptom::Availability,
        },
        statistic: asked.statistic.clone(),
    };
    let culprits = rank(&graph, &normal, &suspect, &question)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    out.show(&culprits, |culprits, style| text(culprits, &question, style))?;
    Ok(Exit::Done)
}

fn text(culprits: &[Culprit], question: &Question, style: &Style) -> String {
    if culprits.is_empty() {
        let Question { target, symptom, .. } = question;
        return format!("nothing is wrong with the {} of {target}", symptom.metric());
    }
    let rows: Vec<_> = culprits
        .iter()
        .map(|c| vec![cell(&c.node), cell(c.metric.metric()), cell(format!("{:.2}", c.score))])
        .collect();
    table(style, &["node", "metric", "score"], &rows)
}
