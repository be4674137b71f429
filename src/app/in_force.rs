//! Puts changed settings in force between two cycles.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::ports::World;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::App;
use super::background::host_memory;
use super::channels::Carried;
use super::own_container::own_container;
use super::{parts, rules};
use crate::audit::{Act, Audit};
use crate::config::{Changes, Settings};
use crate::coordinator::Rules;
use crate::fleet::Fleet;
use crate::host::LocalCommands;

/// Pause before Selfheal asks again which container it runs in.
const WHO_AM_I_AGAIN: Duration = Duration::from_secs(10);

/// What is in force of settings beside the rules: it outlives whoever puts them in force.
struct InForce {
    settings: Arc<Settings>,
    channels: Carried,
}

impl App {
    /// Reads a changed settings file and puts it in force between two cycles.
    pub(super) fn start_settings(&self, watched: Changes, channels: Carried) {
        let (sender, cancel) = (self.settings_sender.clone(), self.cancel.clone());
        let upkeep = self.coordinator.upkeep();
        upkeep.keep(parts::SETTINGS_FILE, move || {
            crate::config::watch(watched.clone(), sender.clone(), cancel.clone())
        });
        let before = Arc::clone(&self.settings.borrow());
        let in_force = Arc::new(Mutex::new(InForce { settings: before, channels }));
        let changing = Changing {
            rules: self.rules.clone(),
            world: self.world.clone(),
            cancel: self.cancel.clone(),
            commands: self.commands.clone(),
            fleet: self.fleet.clone(),
            streams: self.tie.is_some(),
            settings: self.settings.clone(),
            audit: Arc::clone(self.coordinator.audit()),
            in_force,
        };
        upkeep.keep(parts::SETTINGS, move || changing.clone().run());
    }
}

/// What it takes to put them in force.
#[derive(Clone)]
struct Changing {
    rules: watch::Sender<Arc<Rules>>,
    world: World,
    cancel: CancellationToken,
    commands: LocalCommands,
    fleet: Option<Fleet>,
    streams: bool,
    settings: watch::Receiver<Arc<Settings>>,
    audit: Arc<Audit>,
    in_force: Arc<Mutex<InForce>>,
}

impl Changing {
    async fn run(mut self) {
        let in_force = Arc::clone(&self.in_force);
        let mut in_force = in_force.lock().await;
        let inside = Path::new("/.dockerenv").exists();
        loop {
            // As long as Selfheal does not know itself, it might touch itself.
            let unknown = inside && self.rules.borrow().declared.own_container.is_none();
            tokio::select! {
                () = self.cancel.cancelled() => return,
                changed = self.settings.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(WHO_AM_I_AGAIN), if unknown => {}
            }
            let now = Arc::clone(&self.settings.borrow_and_update());
            let changed = in_force.settings.differences(&now);
            if !changed.is_empty() {
                let act = Act::of_selfheal(self.world.clock.now(), "settings_changed");
                self.audit.write(&[act.saying(changed.join("; "))]).await;
                in_force.settings = Arc::clone(&now);
            }
            let channels = in_force.channels.renew(&now);
            self.commands.declare(now.declared_commands());
            if let Some(fleet) = &self.fleet {
                fleet.declare(&now);
            }
            let (own, memory) = (own_container(&self.world).await, host_memory(&self.world).await);
            let rules = rules::of(&now, channels, own, memory, self.streams);
            self.rules.send_replace(Arc::new(rules));
        }
    }
}
