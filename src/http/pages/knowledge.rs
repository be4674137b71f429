//! The pages of runbooks: search, one of them, and what pasted log lines mean.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::clean;
use serde::Deserialize;

use super::view::{ExplainedPage, KnowledgePage, RunbookPage};
use super::{Page, Search, html};
use crate::http::extract::{Fields, Named, Params};
use crate::http::problem::Problem;
use crate::http::state::Api;
use crate::knowledge::explain::{MAX_LINE, of_line};
use crate::knowledge::search::{nearest, search};

/// Pasted lines that are read at most.
const LINES: usize = 200;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/knowledge", get(list))
        .route("/knowledge/explain", post(explain))
        .route("/knowledge/{id}", get(one))
}

async fn list(State(api): State<Api>, params: Result<Params<Search>, Problem>) -> Page {
    let Params(params) = params?;
    let sought = params.sought();
    let words: Vec<String> = sought.split_whitespace().map(str::to_owned).collect();
    let catalogue = api.coordinator.catalogue();
    let found = if words.is_empty() { vec![] } else { search(&catalogue, &words) };
    Ok(html(&KnowledgePage::new(&catalogue, &sought, &found)))
}

async fn one(State(api): State<Api>, id: Result<Named<String>, Problem>) -> Page {
    let Named(id) = id?;
    let catalogue = api.coordinator.catalogue();
    let Some(runbook) = catalogue.get(&id) else {
        let like = nearest(&catalogue, &id).map(|like| format!("; did you mean `{like}`?"));
        let what = format!("there is no runbook `{}`{}", clean(&id, 80), like.unwrap_or_default());
        return Err(Problem::not_found(what).into());
    };
    let outcomes = api.store().outcomes(None).await?;
    let of_it: Vec<_> = outcomes.into_iter().filter(|o| o.issue_type == runbook.id).collect();
    Ok(html(&RunbookPage::new(runbook, &Statistics::of(&of_it))))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExplainFields {
    lines: String,
}

async fn explain(State(api): State<Api>, fields: Result<Fields<ExplainFields>, Problem>) -> Page {
    let Fields(ExplainFields { lines }) = fields?;
    let catalogue = api.coordinator.catalogue();
    // Long lines against many signatures take their time, and others want to be answered.
    let explaining = tokio::task::spawn_blocking(move || {
        let given: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
        let read = given.iter().take(LINES).zip(1..);
        let explained = read.map(|(line, number)| of_line(&catalogue, number, cut(line))).collect();
        (explained, given.len().saturating_sub(LINES))
    });
    let (explained, left_out): (Vec<_>, usize) =
        explaining.await.map_err(|error| Problem::internal(&error))?;
    Ok(html(&ExplainedPage::new(explained, left_out)))
}

/// As much of a line as is read of any.
fn cut(line: &str) -> &str {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_two_letters() {
        assert_eq!(cut("short"), "short");
        let long = format!("{}é", "x".repeat(MAX_LINE - 1));
        assert_eq!(cut(&long).len(), MAX_LINE - 1);
    }
}
