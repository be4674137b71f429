//! What comes after one step of a declared setting: the next one where it helped in part, and the
//! way back to the smallest change that does.
//!
//! Pure. It plans and does not decide: whether a step helped, and whether the next may run, others
//! say. Only settings in files are turned again: of a limit on memory or processor time a window of
//! minutes does not tell whether less of it would do.

use super::actions::{Act, Action, ConfigSet, ContainerSignal};
use super::turning::{between, turned};
use crate::model::{ApplyMethod, Course, Fix, Step, StepRole, Timestamp, Tunable};

/// Smaller changes that are tried at most.
const TRIES_BACK: usize = 2;

/// The setting that a fix turns; `None` where it does something else.
pub fn turns(fix: &Fix) -> Option<&ConfigSet> {
    let mut repairs = fix.steps.iter().filter(|step| step.role == StepRole::Repair);
    match (repairs.next().map(|step| &step.action), repairs.next()) {
        (Some(Action::ConfigSet(set)), None) => Some(set),
        _ => None,
    }
}

/// How many steps in one direction the newest of `fixes`, which are oldest first, ends.
pub fn steps_in_a_row(fixes: &[Fix]) -> usize {
    let further = fixes.iter().rev().take_while(|fix| fix.course == Course::Further).count();
    further + 1
}

/// The step after `fix` of the same setting, as large and in the same direction.
pub fn further(fix: &Fix, tunables: &[Tunable], now: Timestamp) -> Result<Fix, String> {
    let (set, tunable) = declared(fix, tunables).ok_or("its setting is not declared any more")?;
    let to = turned(tunable, set.to, set.to / set.from)?;
    next(fix, tunable, to, Course::Further, now)
        .ok_or_else(|| "nothing lets it take effect".to_owned())
}

/// The try of a smaller change than that of the newest of `fixes`, which is proven; they are oldest
/// first. `None` where none is worth it, or it would interrupt what nobody said may be interrupted.
pub fn back(fixes: &[Fix], tunables: &[Tunable], now: Timestamp) -> Option<Fix> {
    let newest = fixes.last()?;
    let (set, tunable) = declared(newest, tunables)?;
    let tries = fixes.iter().rev().take_while(|fix| fix.course == Course::Back).count();
    // The fault was there while the last step towards its cure had not been made.
    let too_little = turns(fixes.iter().rev().nth(tries)?)?.from;
    if !tunable.walk_back || tries >= TRIES_BACK {
        return None;
    }
    next(newest, tunable, between(tunable, too_little, set.to)?, Course::Back, now)
}

fn declared<'a>(fix: &'a Fix, tunables: &'a [Tunable]) -> Option<(&'a ConfigSet, &'a Tunable)> {
    let set = turns(fix)?;
    let its = |tunable: &&Tunable| tunable.file == set.file && tunable.key == set.key;
    Some((set, tunables.iter().find(its)?))
}

/// `fix` again with another value, put into effect as the setting asks for now.
fn next(fix: &Fix, tunable: &Tunable, to: f64, course: Course, now: Timestamp) -> Option<Fix> {
    let set = turns(fix)?;
    let set = ConfigSet { from: set.to, to, ..set.clone() };
    let activate = match &tunable.apply {
        ApplyMethod::None => None,
        ApplyMethod::Signal(signal) => {
            let (container, signal) = (set.target.container_name()?.to_owned(), signal.clone());
            let action = Action::ContainerSignal(ContainerSignal { container, signal });
            Some(Step { action, role: StepRole::Activate })
        }
        ApplyMethod::Restart => {
            let is_restart = |step: &&Step| matches!(step.action, Action::ContainerRestart(_));
            Some(fix.steps.iter().find(is_restart)?.clone())
        }
    };
    let repair = super::plan::repair(Action::ConfigSet(set));
    let steps: Vec<Step> = [repair].into_iter().chain(activate).collect();
    Some(Fix {
        id: super::new_fix_id(now),
        summary: super::summary(&steps),
        interruption_secs: steps.iter().map(|step| step.action.interruption_secs()).sum(),
        steps,
        course,
        proposed_at: now,
        ..fix.clone()
    })
}
