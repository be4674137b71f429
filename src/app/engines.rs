//! The container runtime of a node that looks after more than one host's engine.

use std::sync::Arc;

use anyhow::anyhow;
use selfheal_agents::ports::ContainerRuntime;

use crate::config::Engine;
use crate::docker::Engines;

/// The own engine alone, or with the others that the settings name.
pub(super) fn beside(
    own: Arc<dyn ContainerRuntime>,
    others: &[Engine],
) -> anyhow::Result<Arc<dyn ContainerRuntime>> {
    if others.is_empty() {
        return Ok(own);
    }
    let docker = |engine: &Engine| {
        let docker = engine.docker();
        let of = &engine.name;
        Ok((of.clone(), docker.map_err(|why| anyhow!("the setting docker.engine `{of}`: {why}"))?))
    };
    let others: anyhow::Result<Vec<_>> = others.iter().map(docker).collect();
    Ok(Arc::new(Engines::new(own, others?)))
}
