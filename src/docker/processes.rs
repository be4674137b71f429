//! What runs in a container.

use selfheal_agents::model::clean;
use selfheal_agents::ports::{WorldError, WorldResult};
use serde::Deserialize;

use super::{Docker, is_container_name};

/// The most processes that are read.
const MOST_PROCESSES: usize = 1000;
/// The longest command line kept, in characters; a program's name is in front.
const LONGEST_COMMAND: usize = 300;

/// `GET /containers/{id}/top`: the table that the host's `ps -ef` prints.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Top {
    titles: Vec<String>,
    processes: Vec<Vec<String>>,
}

impl Docker {
    /// The command lines. An error when it does not run, or the host has no `ps`.
    pub(super) async fn running_in(&self, name: &str) -> WorldResult<Vec<String>> {
        let what = format!("the processes of container `{}`", clean(name, 120));
        if !is_container_name(name) {
            return Err(WorldError::NotFound { what });
        }
        let path = format!("/containers/{name}/top");
        let asked = self.wire.get_json::<Top>(&path);
        Ok(commands(self.within(&what, self.limits.read, asked).await?))
    }
}

fn commands(top: Top) -> Vec<String> {
    // `CMD` of procps, `COMMAND` of others; the last column in all of them.
    let named = top.titles.iter().position(|title| title == "CMD" || title == "COMMAND");
    let rows = top.processes.into_iter().take(MOST_PROCESSES);
    rows.filter_map(|mut row| match named {
        Some(column) if column < row.len() => {
            Some(clean(&row.swap_remove(column), LONGEST_COMMAND))
        }
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_by_its_title_and_a_row_without_one_is_left_out() {
        let top: Top = serde_json::from_str(
            r#"{"Titles":["UID","PID","CMD"],"Processes":[["0","7","pg_dump -U shop"],["0"]]}"#,
        )
        .unwrap();
        assert_eq!(commands(top), ["pg_dump -U shop"]);
        assert!(commands(Top::default()).is_empty());
    }
}
