//! What is frozen is kept in the store, so that it outlives the program and can be changed where
//! none runs.
//!
//! The safety stop is a freeze of everything that Selfheal itself begins, and so is that of a target on
//! which a fix is stuck. A person's freeze stands beside these and does not replace them: what ends by
//! itself must not end it too.

use selfheal_agents::model::{TargetId, Timestamp};
use selfheal_agents::ports::{Memory, StoreResult};

use super::Freeze;
use super::memories::{keep_in, recall_from};

/// Under which name the store keeps them.
const NAME: &str = "freezes";
/// Under which name it keeps when a person last ended the safety stop.
const LIFTED: &str = "safety_stop_lifted";

/// Those that were written down, also those that have ended since.
pub(super) async fn read(store: &(impl Memory + ?Sized)) -> StoreResult<Vec<Freeze>> {
    Ok(recall_from(store, NAME).await?.unwrap_or_default())
}

pub(super) async fn write(store: &(impl Memory + ?Sized), freezes: &[Freeze]) -> StoreResult<()> {
    keep_in(store, NAME, freezes).await
}

/// Adds a freeze to those in force; one of the same target is replaced. Answers all of them.
pub async fn add(
    store: &(impl Memory + ?Sized),
    freeze: Freeze,
    now: Timestamp,
) -> StoreResult<Vec<Freeze>> {
    let freezes = with(in_force(read(store).await?, now), freeze);
    write(store, &freezes).await?;
    Ok(freezes)
}

/// Ends the freeze of a target, or of everything. Answers whether there was one, and those left.
pub async fn remove(
    store: &(impl Memory + ?Sized),
    target: Option<&TargetId>,
    now: Timestamp,
) -> StoreResult<(bool, Vec<Freeze>)> {
    let before = in_force(read(store).await?, now);
    let after = end(store, &before, target, now).await?;
    Ok((after.len() < before.len(), after))
}

/// Ends those of a target, or of everything, and answers what is left. With the safety stop the
/// count of failures begins anew.
pub(super) async fn end(
    store: &(impl Memory + ?Sized),
    before: &[Freeze],
    target: Option<&TargetId>,
    now: Timestamp,
) -> StoreResult<Vec<Freeze>> {
    let is_ended = |freeze: &&Freeze| freeze.target.as_ref() == target;
    if before.iter().filter(is_ended).any(|freeze| freeze.safety_stop) {
        keep_in(store, LIFTED, &now).await?;
    }
    let after: Vec<Freeze> = before.iter().filter(|f| !is_ended(f)).cloned().collect();
    write(store, &after).await?;
    Ok(after)
}

/// When a person last ended the safety stop.
pub(super) async fn lifted_at(store: &(impl Memory + ?Sized)) -> StoreResult<Option<Timestamp>> {
    recall_from(store, LIFTED).await
}

pub(super) fn in_force(mut freezes: Vec<Freeze>, now: Timestamp) -> Vec<Freeze> {
    freezes.retain(|freeze| freeze.until.is_none_or(|until| until > now));
    freezes
}

pub(super) fn with(mut freezes: Vec<Freeze>, freeze: Freeze) -> Vec<Freeze> {
    let kind = |freeze: &Freeze| (freeze.target.clone(), freeze.safety_stop, freeze.stuck);
    freezes.retain(|known| kind(known) != kind(&freeze));
    freezes.push(freeze);
    freezes
}
