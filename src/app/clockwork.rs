//! Fires the schedule's slots, and spreads them over hosts.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{App, parts};
use crate::config::Settings;
use crate::coordinator::schedule::CronSchedule;
use crate::coordinator::triggers::schedule;
use crate::coordinator::{Scope, Trigger};

/// What this Selfheal has for itself, for the jitter of its schedule.
fn seed_here(data_dir: &Path) -> String {
    let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let host_name = sysinfo::System::host_name().unwrap_or_default();
    seed(&machine_id, &host_name, data_dir)
}

/// All of it together: most data folders have the same name, machines that were copied the same
/// id, and containers often none.
fn seed(machine_id: &str, host_name: &str, data_dir: &Path) -> String {
    format!("{} {} {}", machine_id.trim(), host_name.trim(), data_dir.display())
}

fn next(schedule: &CronSchedule) -> Option<selfheal_agents::model::Timestamp> {
    schedule.next_slot(chrono::Utc::now()).map(|slot| slot.starts)
}

impl App {
    /// Fires the schedule's slots.
    pub(super) fn start_schedule(&self) -> anyhow::Result<()> {
        let own = seed_here(&self.settings.borrow().data_dir);
        let of = move |settings: &Settings| {
            CronSchedule::new(&settings.schedule, &own).map(Arc::new).map_err(anyhow::Error::msg)
        };
        let (schedules, seen) = watch::channel(of(&self.settings.borrow())?);
        self.coordinator.set_next_check(next(&seen.borrow()));
        self.keep_firing(seen);
        let (settings, cancel, of) = (self.settings.clone(), self.cancel.clone(), Arc::new(of));
        self.coordinator.upkeep().keep(parts::CALENDAR, move || {
            let (mut settings, cancel) = (settings.clone(), cancel.clone());
            let (schedules, of) = (schedules.clone(), Arc::clone(&of));
            async move {
                while cancel
                    .run_until_cancelled(settings.changed())
                    .await
                    .is_some_and(|c| c.is_ok())
                {
                    if let Ok(schedule) = of(&settings.borrow_and_update()) {
                        schedules.send_replace(schedule);
                    }
                }
            }
        });
        Ok(())
    }

    /// The last slot stands in the store: one that is begun anew doubles none.
    fn keep_firing(&self, schedules: watch::Receiver<Arc<CronSchedule>>) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (coordinator, fire, cancel) =
            (self.coordinator.clone(), self.fire(), self.cancel.clone());
        self.coordinator.upkeep().keep(parts::SCHEDULE, move || {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            let (coordinator, fire) = (coordinator.clone(), Arc::clone(&fire));
            let (seen, cancel, pulse) =
                (schedules.clone(), cancel.clone(), coordinator.schedule_pulse());
            async move {
                let now = seen.clone();
                let fired = move |_| {
                    fire(Scope::All, Trigger::Schedule);
                    coordinator.set_next_check(next(&now.borrow()));
                };
                if let Err(error) = schedule::run(seen, store, clock, fired, pulse, cancel).await {
                    tracing::error!(%error, "the schedule does not run; events and probes still do");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn hosts_with_the_same_data_folder_do_not_start_together() {
        let schedule = crate::config::Schedule {
            cron: "0 * * * *".to_owned(),
            jitter: Duration::from_mins(30),
            ..crate::config::Schedule::default()
        };
        let folder = Path::new("/var/lib/selfheal");
        let starts: BTreeSet<_> = [("a1\n", "nas"), ("b2\n", "nas"), ("", "one"), ("", "two")]
            .into_iter()
            .map(|(id, name)| {
                let seed = seed(id, name, folder);
                let schedule = CronSchedule::new(&schedule, &seed).unwrap();
                schedule.next_slot(chrono::DateTime::UNIX_EPOCH).unwrap().starts
            })
            .collect();
        assert_eq!(starts.len(), 4);
    }
}
