//! Which streams there are by the settings.

use anyhow::Context;

use crate::config::Settings;
use crate::streams::Setup;

/// The streams of these settings; `None` where they are off.
pub fn of(settings: &Settings) -> anyhow::Result<Option<Setup>> {
    let streams = &settings.streams;
    if !streams.are_on() {
        return Ok(None);
    }
    let address =
        streams.address().map_err(anyhow::Error::msg).context("the setting streams.url")?;
    // Two nodes on hosts of one name are still two.
    let node = [&streams.node, &settings.fleet.node].into_iter().find(|name| !name.is_empty());
    let host = || sysinfo::System::host_name().unwrap_or_else(|_| "selfheal".to_owned());
    let node = node.cloned().unwrap_or_else(host);
    let (prefix, max_length) = (streams.prefix.clone(), streams.max_length);
    Ok(Some(Setup { address, prefix, node, max_length }))
}
