//! A store in memory, under the same contract as the real one.
//!
//! It survives nothing, but it can be told to refuse writes, as a full disk does, or reads, or to
//! die at a write as whoever wrote would.

mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::fix_engineer::config_file::sha256;
use crate::model::{
    Backup, BackupId, Captured, Change, FixId, Incident, IncidentId, JournalEntry, JournalRecord,
    LogCursor, Message, Observation, Outcome, RuntimeEvent, TargetId, Timestamp,
};
use crate::ports::{
    Alert, Backups, CHANGES_KEPT, Delivery, IncidentQuery, Incidents, Journal, Memory,
    OBSERVATIONS_KEPT, Occasion, Outbox, Outcomes, Store, StoreError, StoreResult,
};

/// Everything that is kept, until it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    refusing: Option<String>,
    mute: Option<StoreError>,
    /// Why no alert is taken.
    alerts_refused: Option<String>,
    /// Why no backup can be read.
    backups_mute: Option<String>,
    /// What a snapshot of it finds damaged, ...
    spoilt: Option<String>,
    /// ... and how often one found that.
    snapshots_refused: u32,
    made_room: bool,
    interruption: Option<(usize, Interruption)>,
    /// At which write, counted from now on, whoever writes dies.
    death: Option<(usize, Interruption)>,
    /// Whether whoever wrote is dead.
    dead: bool,
    incidents: BTreeMap<IncidentId, Incident>,
    journal: Vec<JournalRecord>,
    outcomes: Vec<Outcome>,
    outcomes_recorded: u64,
    writes: u64,
    backups: Vec<Backup>,
    events: Vec<RuntimeEvent>,
    changes: Vec<Change>,
    cursors: BTreeMap<String, LogCursor>,
    observations: BTreeMap<(TargetId, Timestamp, String), Observation>,
    values: BTreeMap<String, Value>,
    outbox: Vec<Queued>,
    messages: messages::Kept,
}

struct Queued {
    delivery: Delivery,
    waiting: bool,
}

/// Where a write is interrupted, as a crash would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The record is not there.
    BeforeWrite,
    /// The record is there, but whoever wrote it never learns that.
    AfterWrite,
}

impl MemoryStore {
    /// Interrupts the journal append number `nth`, counted from 0 from now on.
    pub fn interrupt(&self, nth: usize, at: Interruption) {
        self.kept().interruption = Some((nth, at));
    }

    /// Whether the interruption that was asked for has come.
    pub fn was_interrupted(&self) -> bool {
        self.kept().interruption.is_none()
    }

    /// Whoever uses it dies at the write number `nth` of any kind, counted from 0 from now on:
    /// nothing more is written or read until [`Self::revive`].
    pub fn die(&self, nth: usize, at: Interruption) {
        self.kept().death = Some((nth, at));
    }

    /// Whether whoever used it died.
    pub fn is_dead(&self) -> bool {
        self.kept().dead
    }

    /// Somebody uses it again, as after the next start.
    pub fn revive(&self) {
        let mut kept = self.kept();
        (kept.dead, kept.death) = (false, None);
    }

    /// From now on every write fails for this reason; `None` ends that.
    pub fn refuse_writes(&self, why: Option<&str>) {
        self.kept().refusing = why.map(str::to_owned);
    }

    /// From now on every read fails for this reason; `None` ends that.
    pub fn refuse_reads(&self, why: Option<&str>) {
        self.kept().mute = why.map(|why| StoreError::Unavailable(why.to_owned()));
    }

    /// From now on no alert is taken, for this reason; `None` ends that.
    pub fn refuse_alerts(&self, why: Option<&str>) {
        self.kept().alerts_refused = why.map(str::to_owned);
    }

    /// From now on no backup can be read, for this reason; `None` ends that.
    pub fn refuse_backups(&self, why: Option<&str>) {
        self.kept().backups_mute = why.map(str::to_owned);
    }

    /// From now on a snapshot finds this damaged; `None` ends that.
    pub fn refuse_snapshots(&self, why: Option<&str>) {
        self.kept().spoilt = why.map(str::to_owned);
    }

    /// How often a snapshot found something damaged.
    pub fn snapshots_refused(&self) -> u32 {
        self.kept().snapshots_refused
    }

    /// From now on what is read cannot be made sense of; `None` ends that.
    pub fn damage(&self, why: Option<&str>) {
        self.kept().mute = why.map(|why| StoreError::Corrupt(why.to_owned()));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the room kept back for a full disk was given up.
    pub fn made_room(&self) -> bool {
        self.kept().made_room
    }

    fn read(&self) -> StoreResult<MutexGuard<'_, Kept>> {
        let kept = self.kept();
        match &kept.mute {
            _ if kept.dead => Err(interrupted()),
            Some(error) => Err(error.clone()),
            None => Ok(kept),
        }
    }

    fn write(&self) -> StoreResult<MutexGuard<'_, Kept>> {
        let mut kept = self.kept();
        if let Some(why) = &kept.refusing {
            return Err(StoreError::Unavailable(why.clone()));
        }
        if kept.dead || kept.dies_now() == Some(Interruption::BeforeWrite) {
            return Err(interrupted());
        }
        // Whoever reads waits until the write that begins here has ended.
        kept.writes += 1;
        Ok(kept)
    }
}

fn interrupted() -> StoreError {
    StoreError::Unavailable("interrupted".to_owned())
}

impl Kept {
    /// Whether whoever makes the write that is going on dies at it.
    fn dies_now(&mut self) -> Option<Interruption> {
        let (left, at) = self.death?;
        self.death = left.checked_sub(1).map(|left| (left, at));
        self.dead = self.death.is_none();
        self.dead.then_some(at)
    }

    /// Whether the append that is going on is the one to be interrupted.
    fn interrupted(&mut self) -> Option<Interruption> {
        match self.interruption.take() {
            Some((0, at)) => Some(at),
            Some((left, at)) => {
                self.interruption = Some((left - 1, at));
                None
            }
            None => None,
        }
    }

    fn unfinished(&self) -> Vec<FixId> {
        let mut last: Vec<(FixId, bool)> = vec![];
        for record in &self.journal {
            let is_final = record.entry.is_final();
            match last.iter_mut().find(|(fix, _)| *fix == record.fix) {
                Some(known) => known.1 = is_final,
                None => last.push((record.fix, is_final)),
            }
        }
        last.into_iter().filter(|(_, is_final)| !is_final).map(|(fix, _)| fix).collect()
    }

    fn rows(&self) -> usize {
        self.incidents.len()
            + self.journal.len()
            + self.observations.len()
            + self.events.len()
            + self.changes.len()
            + self.backups.len()
            + self.outbox.len()
            + self.messages.rows()
    }

    fn forget(&mut self, now: Timestamp, keep: Duration) {
        let before = now - keep;
        let unfinished: BTreeSet<FixId> = self.unfinished().into_iter().collect();
        let is_open = |incident: &Incident| !incident.state().is_closed();
        let begun = self.journal.iter().filter(|record| unfinished.contains(&record.fix));
        let needed: BTreeSet<IncidentId> = begun.map(|record| record.incident).collect();
        self.incidents.retain(|id, incident| {
            is_open(incident)
                || needed.contains(id)
                || incident.closed_at.unwrap_or(incident.updated_at) >= before
        });
        let incidents = &self.incidents;
        self.journal.retain(|record| {
            record.at >= before
                || incidents.contains_key(&record.incident)
                || unfinished.contains(&record.fix)
        });
        self.messages.forget(before);
        let observed = now - keep.min(OBSERVATIONS_KEPT);
        self.observations.retain(|(_, at, _), _| *at >= observed);
        self.events.retain(|event| event.at >= before);
        self.changes.retain(|change| change.at >= before);
        self.backups.retain(|backup| {
            backup.at >= before
                || incidents.get(&backup.incident).is_some_and(is_open)
                || unfinished.contains(&backup.fix)
        });
        self.outbox.retain(|queued| {
            let alert = &queued.delivery.alert;
            queued.waiting
                || alert.at >= before
                || alert.incident.is_some_and(|id| incidents.contains_key(&id))
        });
    }
}

#[async_trait]
impl Incidents for MemoryStore {
    async fn save_incident_and_tell(
        &self,
        incident: &Incident,
        messages: &[Message],
    ) -> StoreResult<()> {
        let mut kept = self.write()?;
        kept.incidents.insert(incident.id, incident.clone());
        kept.messages.queue(messages, incident.updated_at);
        Ok(())
    }

    async fn incident(&self, id: IncidentId) -> StoreResult<Option<Incident>> {
        Ok(self.read()?.incidents.get(&id).cloned())
    }

    async fn incidents(&self, query: &IncidentQuery) -> StoreResult<Vec<Incident>> {
        let wanted = |incident: &Incident| {
            (query.states.is_empty() || query.states.contains(&incident.state()))
                && query.target.as_ref().is_none_or(|target| incident.targets().contains(target))
                && query.since.is_none_or(|since| incident.opened_at >= since)
                && query.before.is_none_or(|before| incident.id < before)
        };
        let limit = if query.limit == 0 { 100 } else { query.limit };
        Ok(self
            .read()?
            .incidents
            .values()
            .rev()
            .filter(|i| wanted(i))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn open_incidents(&self) -> StoreResult<Vec<Incident>> {
        let kept = self.read()?;
        Ok(kept.incidents.values().filter(|i| !i.state().is_closed()).cloned().collect())
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn append(
        &self,
        at: Timestamp,
        incident: IncidentId,
        fix: FixId,
        entry: &JournalEntry,
    ) -> StoreResult<JournalRecord> {
        let mut kept = self.write()?;
        let sequence = kept.journal.last().map_or(1, |record| record.sequence + 1);
        let record = JournalRecord { sequence, at, fix, incident, entry: entry.clone() };
        let interruption = kept.interrupted();
        if interruption != Some(Interruption::BeforeWrite) {
            kept.journal.push(record.clone());
        }
        if interruption.is_some() || kept.dead { Err(interrupted()) } else { Ok(record) }
    }

    async fn journal(&self, fix: FixId) -> StoreResult<Vec<JournalRecord>> {
        Ok(self.read()?.journal.iter().filter(|record| record.fix == fix).cloned().collect())
    }

    async fn unfinished_fixes(&self) -> StoreResult<Vec<FixId>> {
        Ok(self.read()?.unfinished())
    }

    async fn make_room(&self) {
        self.kept().made_room = true;
    }
}

#[async_trait]
impl Outcomes for MemoryStore {
    async fn record_outcome(&self, outcome: &Outcome) -> StoreResult<()> {
        let mut kept = self.write()?;
        kept.outcomes.retain(|known| known.fix != outcome.fix);
        kept.outcomes.push(outcome.clone());
        kept.outcomes.sort_by_key(|known| known.timestamp);
        kept.outcomes_recorded += 1;
        Ok(())
    }

    fn outcomes_recorded(&self) -> u64 {
        self.kept().outcomes_recorded
    }

    async fn outcomes(&self, since: Option<Timestamp>) -> StoreResult<Vec<Outcome>> {
        let wanted = |outcome: &&Outcome| since.is_none_or(|since| outcome.timestamp >= since);
        Ok(self.read()?.outcomes.iter().filter(wanted).cloned().collect())
    }
}

/// As a list shows it: the files without their content.
fn listed(backup: &Backup) -> Backup {
    let mut backup = backup.clone();
    for captured in &mut backup.captured {
        if let Captured::File(file) = captured {
            file.bytes.clear();
        }
    }
    backup
}

#[async_trait]
impl Backups for MemoryStore {
    async fn save_backup(&self, backup: &Backup) -> StoreResult<BackupId> {
        let mut kept = self.write()?;
        for captured in &backup.captured {
            if let Captured::File(file) = captured
                && sha256(&file.bytes) != file.sha256
            {
                return Err(StoreError::Corrupt(format!("the content of {}", file.path)));
            }
        }
        let others = (2..).filter_map(|serial: u32| {
            format!("backup_{}_{serial}", backup.id.stamp()).parse::<BackupId>().ok()
        });
        let id = std::iter::once(backup.id.clone())
            .chain(others)
            .find(|id| kept.backups.iter().all(|known| known.id != *id))
            .ok_or_else(|| StoreError::Conflict(format!("no id is left for {}", backup.id)))?;
        kept.backups.push(Backup { id: id.clone(), ..backup.clone() });
        Ok(id)
    }

    async fn backup(&self, id: &BackupId) -> StoreResult<Option<Backup>> {
        let kept = self.read()?;
        if let Some(why) = &kept.backups_mute {
            return Err(StoreError::Unavailable(why.clone()));
        }
        Ok(kept.backups.iter().find(|backup| backup.id == *id).cloned())
    }

    async fn backups(&self, limit: usize) -> StoreResult<Vec<Backup>> {
        let mut backups: Vec<Backup> = self.read()?.backups.iter().map(listed).collect();
        // Stable: of one second, the later saved comes later, so the reverse is newest first.
        backups.sort_by(|a, b| a.id.stamp().cmp(b.id.stamp()));
        backups.reverse();
        backups.truncate(limit);
        Ok(backups)
    }

    async fn update_backup(&self, backup: &Backup) -> StoreResult<()> {
        let mut kept = self.write()?;
        let Some(known) = kept.backups.iter_mut().find(|known| known.id == backup.id) else {
            return Err(StoreError::Conflict(format!("there is no {}", backup.id)));
        };
        known.left_behind.clone_from(&backup.left_behind);
        known.rolled_back_at = backup.rolled_back_at;
        Ok(())
    }
}

#[async_trait]
impl Memory for MemoryStore {
    async fn record_events(&self, events: &[RuntimeEvent]) -> StoreResult<()> {
        let mut kept = self.write()?;
        for event in events {
            let same = |known: &RuntimeEvent| {
                known.at == event.at && known.target == event.target && known.kind == event.kind
            };
            if !kept.events.iter().any(same) {
                kept.events.push(event.clone());
            }
        }
        kept.events.sort_by_key(|event| event.at);
        Ok(())
    }

    async fn events(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<RuntimeEvent>> {
        let wanted = |event: &&RuntimeEvent| {
            event.at >= since && target.is_none_or(|target| event.target == *target)
        };
        Ok(self.read()?.events.iter().filter(wanted).cloned().collect())
    }

    async fn log_cursors(
        &self,
        container_ids: &[String],
    ) -> StoreResult<BTreeMap<String, LogCursor>> {
        let kept = self.read()?;
        let known =
            container_ids.iter().filter_map(|id| Some((id.clone(), *kept.cursors.get(id)?)));
        Ok(known.collect())
    }

    async fn set_log_cursors(&self, cursors: &BTreeMap<String, LogCursor>) -> StoreResult<()> {
        self.write()?.cursors.extend(cursors.iter().map(|(id, cursor)| (id.clone(), *cursor)));
        Ok(())
    }

    async fn record_observations(&self, observations: &[Observation]) -> StoreResult<()> {
        let mut kept = self.write()?;
        for seen in observations {
            let key = (seen.target.clone(), seen.at, seen.check.clone());
            kept.observations.insert(key, seen.clone());
        }
        Ok(())
    }

    async fn observations(
        &self,
        target: &TargetId,
        since: Timestamp,
    ) -> StoreResult<Vec<Observation>> {
        let kept = self.read()?;
        let wanted = |seen: &&Observation| seen.target == *target && seen.at >= since;
        Ok(kept.observations.values().filter(wanted).cloned().collect())
    }

    async fn record_changes(&self, changes: &[Change]) -> StoreResult<()> {
        let mut kept = self.write()?;
        for change in changes {
            let same = |known: &Change| {
                (known.at, &known.target, known.kind, &known.what)
                    == (change.at, &change.target, change.kind, &change.what)
            };
            if !kept.changes.iter().any(same) {
                kept.changes.push(change.clone());
            }
        }
        kept.changes.sort_by_key(|change| change.at);
        let mut of_target: BTreeMap<TargetId, usize> = BTreeMap::new();
        let mut newest = std::mem::take(&mut kept.changes);
        newest.reverse();
        newest.retain(|change| {
            let count = of_target.entry(change.target.clone()).or_default();
            *count += 1;
            *count <= CHANGES_KEPT
        });
        newest.reverse();
        kept.changes = newest;
        Ok(())
    }

    async fn changes(
        &self,
        target: Option<&TargetId>,
        since: Timestamp,
    ) -> StoreResult<Vec<Change>> {
        let wanted = |change: &&Change| {
            change.at >= since && target.is_none_or(|target| change.target == *target)
        };
        Ok(self.read()?.changes.iter().filter(wanted).cloned().collect())
    }

    async fn value(&self, name: &str) -> StoreResult<Option<Value>> {
        Ok(self.read()?.values.get(name).cloned())
    }

    async fn set_value(&self, name: &str, value: Option<&Value>) -> StoreResult<()> {
        let mut kept = self.write()?;
        match value {
            Some(value) => kept.values.insert(name.to_owned(), value.clone()),
            None => kept.values.remove(name),
        };
        Ok(())
    }

    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, Value)>> {
        let kept = self.read()?;
        let wanted = kept.values.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(wanted.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn enqueue(&self, alert: &Alert, channels: &[String]) -> StoreResult<()> {
        let mut kept = self.write()?;
        if let Some(why) = &kept.alerts_refused {
            return Err(StoreError::Unavailable(why.clone()));
        }
        for channel in channels {
            let queued = |known: &Queued| {
                known.delivery.alert.key == alert.key && known.delivery.channel == *channel
            };
            if kept.outbox.iter().any(queued) {
                continue;
            }
            let id = kept.outbox.last().map_or(1, |known| known.delivery.id + 1);
            let delivery = Delivery {
                id,
                channel: channel.clone(),
                alert: alert.clone(),
                attempts: 0,
                retry_at: None,
            };
            kept.outbox.push(Queued { delivery, waiting: true });
        }
        Ok(())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> StoreResult<Vec<Delivery>> {
        let mut before: BTreeSet<(IncidentId, String)> = BTreeSet::new();
        let mut due = vec![];
        for queued in self.read()?.outbox.iter().filter(|queued| queued.waiting) {
            let delivery = &queued.delivery;
            let is_first = delivery
                .alert
                .incident
                .is_none_or(|incident| before.insert((incident, delivery.channel.clone())));
            if is_first && delivery.retry_at.is_none_or(|at| at <= now) {
                due.push(delivery.clone());
            }
        }
        due.truncate(limit);
        Ok(due)
    }

    async fn waiting_for(&self, channel: &str, limit: usize) -> StoreResult<Vec<Delivery>> {
        let kept = self.read()?;
        let waiting = kept.outbox.iter().filter(|queued| queued.waiting);
        let deliveries = waiting.map(|queued| &queued.delivery);
        Ok(deliveries.filter(|of| of.channel == channel).take(limit).cloned().collect())
    }

    async fn all_delivered(&self, ids: &[i64], _at: Timestamp) -> StoreResult<()> {
        let mut kept = self.write()?;
        let of = |queued: &&mut Queued| ids.contains(&queued.delivery.id);
        kept.outbox.iter_mut().filter(of).for_each(|queued| queued.waiting = false);
        Ok(())
    }

    async fn delivered(&self, id: i64, at: Timestamp) -> StoreResult<()> {
        self.all_delivered(&[id], at).await
    }

    async fn failed(&self, id: i64, _error: &str, retry_at: Option<Timestamp>) -> StoreResult<()> {
        let mut kept = self.write()?;
        for queued in kept.outbox.iter_mut().filter(|q| q.delivery.id == id && q.waiting) {
            queued.delivery.attempts += 1;
            queued.delivery.retry_at = retry_at;
            queued.waiting = retry_at.is_some();
        }
        Ok(())
    }

    async fn waiting(&self) -> StoreResult<u64> {
        let kept = self.read()?;
        Ok(kept.outbox.iter().filter(|queued| queued.waiting).map(|_| 1).sum())
    }

    async fn refused(&self) -> StoreResult<u64> {
        let kept = self.read()?;
        let refused = |queued: &&Queued| queued.waiting && queued.delivery.attempts > 0;
        Ok(kept.outbox.iter().filter(refused).map(|_| 1).sum())
    }

    async fn told(&self, incident: IncidentId) -> StoreResult<Vec<String>> {
        let kept = self.read()?;
        let deliveries = kept.outbox.iter().map(|queued| &queued.delivery);
        let of = deliveries.filter(|delivery| delivery.alert.incident == Some(incident));
        let channels: BTreeSet<String> = of.map(|delivery| delivery.channel.clone()).collect();
        Ok(channels.into_iter().collect())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn writes(&self) -> u64 {
        self.kept().writes
    }

    async fn check_writable(&self) -> StoreResult<()> {
        self.write().map(drop)
    }

    async fn take_snapshot(&self, _: Occasion) -> StoreResult<bool> {
        let mut kept = self.kept();
        let Some(why) = kept.spoilt.clone() else { return Ok(false) };
        kept.snapshots_refused += 1;
        Err(StoreError::Corrupt(why))
    }

    async fn prune(&self, now: Timestamp, keep: Duration) -> StoreResult<u64> {
        let mut kept = self.write()?;
        let rows = kept.rows();
        kept.forget(now, keep);
        Ok((rows - kept.rows()) as u64)
    }
}
