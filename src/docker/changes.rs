//! What is changed in Docker: a container's life, its limits, its networks.
//!
//! Each change first looks the container up and then names it by its full id, so that it can
//! never hit another one (Docker takes the beginning of an id for a name) or one made anew
//! under the same name meanwhile. What is already as wanted is no error. Under load Docker
//! fails starts that succeed a moment later; those are repeated.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bollard::errors::Error;
use bollard::models::{
    ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, NetworkConnectRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use selfheal_agents::model::{MemoryLimits, NetworkAttachment};
use selfheal_agents::ports::{WorldError, WorldResult};
use tokio::time::Instant;

use super::Docker;
use super::facts::NO_LIMIT;
use super::inspect::Inspect;
use crate::leave;

/// Docker's usual time over which a quota of processor time counts, in microseconds.
const CPU_PERIOD_MICROS: i64 = 100_000;
/// Billionths of a core that are one microsecond of that time.
const NANOS_OF_QUOTA: i64 = 1_000_000_000 / CPU_PERIOD_MICROS;
/// How often an end is looked for while a stop is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(30);
/// First pause before a start is repeated; the next is twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often a start is repeated.
const RETRIES: usize = 2;

impl Docker {
    pub(super) async fn start_container(&self, name: &str) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        self.start_patiently(name, &before.id).await
    }

    pub(super) async fn restart_container(
        &self,
        name: &str,
        signal: Option<&str>,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        // One made with `--rm` is removed with its volumes as soon as it ends, unless Docker
        // itself restarts it.
        let Some(signal) = signal.filter(|_| !before.host_config.auto_remove) else {
            return self.restart_at_once(name, &before, stop_timeout_secs).await;
        };
        // Docker before API 1.42 cannot restart with a signal of one's own: done by hand,
        // the same on every version.
        if before.state.running {
            let patience = Duration::from_secs(u64::from(stop_timeout_secs));
            self.stop_by_signal(name, &before, signal, patience).await?;
        }
        self.start_patiently(name, &before.id).await
    }

    async fn restart_at_once(
        &self,
        name: &str,
        before: &Inspect,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        let what = format!("the restart of container `{name}`");
        let limit = self.limits.change + Duration::from_secs(u64::from(stop_timeout_secs));
        let seconds = i32::try_from(stop_timeout_secs).unwrap_or(i32::MAX);
        let options = RestartContainerOptionsBuilder::default().t(seconds).build();
        let restart = self.client.restart_container(&before.id, Some(options));
        let error = match self.changing(&what, limit, restart).await {
            Ok(()) => return Ok(()),
            Err(error) if !is_worth_repeating(&error) => return Err(error),
            Err(error) => error,
        };
        // It may have been stopped and not started: then a start is what is left to do.
        let now = self.inspect(name).await?;
        if now.state.running && now.state.started_at == before.state.started_at {
            return Err(error);
        }
        tracing::warn!(container.name = name, %error, "the restart failed half way; starting it");
        self.start_patiently(name, &before.id).await
    }

    async fn stop_by_signal(
        &self,
        name: &str,
        before: &Inspect,
        signal: &str,
        patience: Duration,
    ) -> WorldResult<()> {
        if before.state.paused {
            self.thaw(name, &before.id).await?;
        }
        for (signal, patience) in [(signal, patience), ("SIGKILL", KILL_TIME)] {
            if let Err(error) = self.kill(name, &before.id, signal, patience).await {
                // It may have ended before the signal came.
                if !self.has_ended(name, before).await? {
                    return Err(error);
                }
                return Ok(());
            }
            if self.ends_within(name, before, patience).await? {
                return Ok(());
            }
        }
        Err(WorldError::TimedOut {
            what: format!("the end of container `{name}`"),
            limit: KILL_TIME,
        })
    }

    async fn ends_within(
        &self,
        name: &str,
        before: &Inspect,
        limit: Duration,
    ) -> WorldResult<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if self.has_ended(name, before).await? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether the process of `before` is gone; its restart policy may have started another.
    async fn has_ended(&self, name: &str, before: &Inspect) -> WorldResult<bool> {
        let now = self.inspect(name).await?;
        Ok(!now.state.running || now.state.started_at != before.state.started_at)
    }

    async fn start_patiently(&self, name: &str, id: &str) -> WorldResult<()> {
        let what = format!("the start of container `{name}`");
        let start = || async {
            let start = self.client.start_container(id, None::<StartContainerOptions>);
            self.changing(&what, self.limits.change, start).await
        };
        let pauses =
            ExponentialBuilder::default().with_min_delay(RETRY_PAUSE).with_max_times(RETRIES);
        start
            .retry(pauses)
            .when(is_worth_repeating)
            .notify(|error, pause| {
                tracing::warn!(container.name = name, %error, ?pause, "a start failed; once more");
            })
            .await
    }

    pub(super) async fn send_signal(&self, name: &str, signal: &str) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        self.kill(name, &before.id, signal, Duration::ZERO).await
    }

    /// Sends a signal after which the container may take `ending` to end.
    async fn kill(&self, name: &str, id: &str, signal: &str, ending: Duration) -> WorldResult<()> {
        let what = format!("signal {signal} to container `{name}`");
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        leave::for_call(&what, self.limits.change + ending)?;
        self.within(&what, self.limits.change, self.client.kill_container(id, Some(options))).await
    }

    pub(super) async fn pause_container(&self, name: &str) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        if before.state.paused {
            return Ok(());
        }
        let what = format!("the freezing of container `{name}`");
        self.changing(&what, self.limits.change, self.client.pause_container(&before.id)).await
    }

    pub(super) async fn unpause_container(&self, name: &str) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        if before.state.paused { self.thaw(name, &before.id).await } else { Ok(()) }
    }

    async fn thaw(&self, name: &str, id: &str) -> WorldResult<()> {
        let what = format!("the thaw of container `{name}`");
        self.changing(&what, self.limits.change, self.client.unpause_container(id)).await
    }

    pub(super) async fn set_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()> {
        // Docker reads 0 as "as it is".
        let bytes = |limit: Option<u64>| {
            Some(limit.map_or(NO_LIMIT, |bytes| i64::try_from(bytes).unwrap_or(NO_LIMIT)))
        };
        let before = self.inspect(name).await?;
        // Both in one request: one at a time, memory would rise above the swap limit, or the
        // swap limit fall below memory, and either is refused.
        let body = ContainerUpdateBody {
            memory: bytes(limits.memory_bytes),
            memory_swap: bytes(limits.memory_swap_bytes),
            ..ContainerUpdateBody::default()
        };
        let what = format!("the memory limit of container `{name}`");
        let update = self.client.update_container(&before.id, body);
        self.changing(&what, self.limits.change, update).await
    }

    pub(super) async fn limit_cpu(&self, name: &str, nanos: Option<u64>) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        let what = format!("the processor limit of container `{name}`");
        let body = cpu_limit(&before, nanos)
            .map_err(|why| WorldError::Refused { what: what.clone(), why: why.to_owned() })?;
        let update = self.client.update_container(&before.id, body);
        self.changing(&what, self.limits.change, update).await
    }

    pub(super) async fn stop_container(&self, name: &str, timeout_secs: u32) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        let what = format!("the stop of container `{name}`");
        if before.host_config.auto_remove {
            let why = "it was made with `--rm`: Docker would remove it with its volumes".to_owned();
            return Err(WorldError::Refused { what, why });
        }
        let limit = self.limits.change + Duration::from_secs(u64::from(timeout_secs));
        let seconds = i32::try_from(timeout_secs).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        self.changing(&what, limit, self.client.stop_container(&before.id, Some(options))).await
    }

    /// Whether Docker removes the container as soon as it ends (`--rm`), with its nameless volumes.
    pub async fn removes_itself(&self, name: &str) -> WorldResult<bool> {
        Ok(self.inspect(name).await?.host_config.auto_remove)
    }

    pub(super) async fn join_network(
        &self,
        name: &str,
        attachment: &NetworkAttachment,
    ) -> WorldResult<()> {
        let network = &attachment.network;
        let before = self.inspect(name).await?;
        if is_on(&before, network) {
            return Ok(());
        }
        // Without a chosen address Docker gives out one that is free.
        let ipam_config = attachment.fixed_ip.clone().map(|ip| EndpointIpamConfig {
            ipv4_address: Some(ip),
            ..EndpointIpamConfig::default()
        });
        let aliases = Some(attachment.aliases.clone());
        let request = NetworkConnectRequest {
            container: before.id,
            endpoint_config: Some(EndpointSettings {
                aliases,
                ipam_config,
                ..EndpointSettings::default()
            }),
        };
        let what = format!("the connection of container `{name}` to network `{network}`");
        let path = segment(network);
        let joining = self.client.connect_network(&path, request);
        let joined = self.changing(&what, self.limits.change, joining).await;
        self.unless(joined, name, |now| is_on(now, network)).await
    }

    pub(super) async fn leave_network(&self, name: &str, network: &str) -> WorldResult<()> {
        let before = self.inspect(name).await?;
        if !is_on(&before, network) {
            return Ok(());
        }
        let request = NetworkDisconnectRequest { container: before.id, force: Some(false) };
        let what = format!("the disconnection of container `{name}` from network `{network}`");
        let path = segment(network);
        let leaving = self.client.disconnect_network(&path, request);
        let left = self.changing(&what, self.limits.change, leaving).await;
        self.unless(left, name, |now| !is_on(now, network)).await
    }

    /// A refusal is no failure when somebody else did the same in between.
    async fn unless(
        &self,
        done: WorldResult<()>,
        name: &str,
        as_wanted: impl Fn(&Inspect) -> bool,
    ) -> WorldResult<()> {
        match done {
            Err(WorldError::Refused { .. }) if as_wanted(&self.inspect(name).await?) => Ok(()),
            other => other,
        }
    }

    /// The same as [`Self::within`] for one that changes something: only with leave for all of it.
    pub(super) async fn changing<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> WorldResult<T> {
        leave::for_call(what, limit)?;
        self.within(what, limit, call).await
    }

    /// One call of bollard or of our own within a time limit.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> WorldResult<T> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.error(what, limit, &error)),
            Err(_) => Err(WorldError::TimedOut { what: what.to_owned(), limit }),
        }
    }
}

/// Docker keeps two ways to write the same limit and refuses one where the other is set. Only a
/// quota can be lifted again, so that is the way unless `--cpus` was used before.
fn cpu_limit(before: &Inspect, nanos: Option<u64>) -> Result<ContainerUpdateBody, &'static str> {
    let nanos = nanos.map(|nanos| i64::try_from(nanos).unwrap_or(i64::MAX));
    match nanos {
        Some(_) if before.host_config.nano_cpus > 0 => {
            Ok(ContainerUpdateBody { nano_cpus: nanos, ..ContainerUpdateBody::default() })
        }
        None if before.host_config.nano_cpus > 0 => {
            Err("Docker cannot lift a limit given by `--cpus`")
        }
        _ => Ok(ContainerUpdateBody {
            cpu_period: Some(CPU_PERIOD_MICROS),
            cpu_quota: Some(nanos.map_or(-1, |nanos| nanos / NANOS_OF_QUOTA)),
            ..ContainerUpdateBody::default()
        }),
    }
}

/// A refusal too: busy devices and networks pass. A repeated start does no harm.
const fn is_worth_repeating(error: &WorldError) -> bool {
    !matches!(error, WorldError::NotFound { .. } | WorldError::Denied { .. })
}

fn is_on(inspect: &Inspect, network: &str) -> bool {
    inspect.network_settings.networks.contains_key(network)
}

/// A text as one segment of a path, whatever it holds.
pub(super) fn segment(text: &str) -> String {
    let written = |byte: u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("front_1.lan"), "front_1.lan");
        assert_eq!(segment("a/../b c?x"), "a%2F..%2Fb%20c%3Fx");
    }
}
