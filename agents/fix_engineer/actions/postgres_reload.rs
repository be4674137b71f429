//! `postgres.reload`: lets PostgreSQL load access rules that were written and not loaded.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal, wrong_capture};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, ConfigState, Endpoint, Facts, TargetId};
use crate::ports::{World, WorldResult};

/// Loads the configuration files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostgresReload {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
}

#[async_trait]
impl Act for PostgresReload {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        format!("let `{}` load its configuration files again", self.target)
    }

    fn reversal(&self) -> Reversal {
        // The files are as somebody wrote them: what was loaded before is nowhere any more.
        Reversal::PostCondition("the files were loaded since")
    }

    fn by_hand(&self) -> String {
        "psql -c 'SELECT pg_reload_conf()'".to_owned()
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let at = world.servers.config_loaded_at(&self.endpoint).await?;
        Ok(Captured::ConfigLoaded { at })
    }

    /// By the server's own clock on both sides, which need not be ours.
    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        let Captured::ConfigLoaded { at } = before else {
            return Err(wrong_capture("when its files were loaded"));
        };
        Ok(world.servers.config_loaded_at(&self.endpoint).await? > *at)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.servers.load_config(&self.endpoint).await.map(|()| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }

    fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        Some(&mut self.endpoint)
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Postgres(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its files".to_owned());
    };
    if facts.in_recovery {
        return Err("the server is in recovery".to_owned());
    }
    match facts.config {
        Some(ConfigState::RulesWaiting) => {}
        // Settings that nobody asked for here would come into force along with the rules.
        Some(ConfigState::SettingsWaiting) => {
            return Err("its settings were changed, too: whoever did should load them".to_owned());
        }
        Some(ConfigState::Faulty) => return Err("one of its files has an error".to_owned()),
        Some(ConfigState::Loaded) => return Err("it has loaded its files as they are".to_owned()),
        None => return Err("only a superuser can compare its files".to_owned()),
    }
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let reload = PostgresReload { target: target.id.clone(), endpoint };
    Ok(vec![repair(Action::PostgresReload(reload))])
}
