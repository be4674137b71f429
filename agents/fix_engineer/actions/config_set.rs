//! `config.set`: turns one declared setting in a file, within its declared limits.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, ContainerSignal, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::fix_engineer::config_file;
use crate::model::{ApplyMethod, Captured, FileContent, Step, StepRole, TargetId, Tunable, TunableRole};
use crate::ports::{World, WorldError, WorldResult};

/// Sets a number in a configuration file, keeping comments and layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Whose behaviour it changes.
    pub target: TargetId,
    /// The file on the host.
    pub file: String,
    /// The key; dots separate levels.
    pub key: String,
    /// The value it must have now; another value means that somebody turned it meanwhile.
    pub from: f64,
    /// The value to set.
    pub to: f64,
}

#[async_trait]
impl Act for ConfigSet {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        format!("set `{}` in {} from {} to {}", self.key, self.file, self.from, self.to)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        format!("edit {}: set {} to {}", self.file, self.key, self.to)
    }

    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        Some(format!("edit {}: set {} back to {}", self.file, self.key, self.from))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        world.files.read(&self.file).await.map(Captured::File)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.files.read(&self.file).await?;
        Ok(self.value_in(&now)?.to_bits() == self.to.to_bits())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let now = world.files.read(&self.file).await?;
        let value = self.value_in(&now)?;
        if value.to_bits() != self.from.to_bits() {
            let what =
                format!("`{}` in {} (it is {value}, not {})", self.key, self.file, self.from);
            return Err(WorldError::Conflict { what });
        }
        let bytes = config_file::set_number(&self.file, &now.bytes, &self.key, self.to)
            .map_err(|error| self.refused(&error))?;
        let sha256 = config_file::sha256(&bytes);
        let changed = FileContent { bytes, sha256: sha256.clone(), ..now.clone() };
        world.files.replace(&changed, Some(&now.sha256)).await?;
        Ok(Some(sha256))
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        super::restore_file(world, before).await
    }
}

impl ConfigSet {
    fn value_in(&self, content: &FileContent) -> WorldResult<f64> {
        config_file::number(&self.file, &content.bytes, &self.key)
            .map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &config_file::EditError) -> WorldError {
        WorldError::Refused { what: format!("changing {}", self.file), why: error.to_string() }
    }
}

/// A step of one fix, when the runbook does not say.
const DEFAULT_FACTOR: f64 = 1.5;

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let role = request.template.parameters.role.ok_or("the runbook names no role")?;
    let facts = request.container()?;
    let container = TargetId::container(&facts.name);
    let tunable = request
        .workshop
        .evidence
        .targets
        .get(&container)
        .into_iter()
        .flat_map(|target| &target.tunables)
        .find(|tunable| tunable.role == role)
        .ok_or_else(|| format!("no tunable of role `{}` is declared for it", role.as_str()))?;
    let content = request
        .workshop
        .world
        .files
        .read(&tunable.file)
        .await
        .map_err(|error| error.to_string())?;
    let from = config_file::number(&tunable.file, &content.bytes, &tunable.key)
        .map_err(|error| format!("{}: {error}", tunable.file))?;
    let to = turned(tunable, from, request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR))?;
    let set = ConfigSet {
        target: container,
        file: tunable.file.clone(),
        key: tunable.key.clone(),
        from,
        to,
    };
    let mut steps = vec![repair(Action::ConfigSet(set))];
    match &tunable.apply {
        ApplyMethod::Signal(signal) if facts.is_up() => {
            let (container, signal) = (facts.name.clone(), signal.clone());
            let action = Action::ContainerSignal(ContainerSignal { container, signal });
            steps.push(Step { action, role: StepRole::Activate });
        }
        // A program that does not run reads its settings when it starts.
        ApplyMethod::Restart | ApplyMethod::Signal(_) => steps.push(request.activation()?),
        ApplyMethod::None => {}
    }
    Ok(steps)
}

/// `from` times `factor`, within the declared limits, to three significant digits.
///
/// Whole numbers stay whole where a fraction could be unreadable to the program: counts
/// always, others from 2 on if their limits are whole too. Rounding goes back towards `from`, so
/// that one step is never more than the factor.
fn turned(tunable: &Tunable, from: f64, factor: f64) -> Result<f64, String> {
    if !(tunable.min..=tunable.max).contains(&from) {
        // Bringing it within could be a leap of any size.
        return Err(format!(
            "`{}` is {from}, outside its declared {} to {}: a person has to say what is meant",
            tunable.key, tunable.min, tunable.max
        ));
    }
    let is_count = matches!(tunable.role, TunableRole::BatchSize | TunableRole::PoolSize);
    let limits_whole = tunable.min.fract() == 0.0 && tunable.max.fract() == 0.0;
    let stays_whole = from.fract() == 0.0 && (is_count || (limits_whole && from.abs() >= 2.0));
    let mut to = from * factor;
    if stays_whole {
        to = whole_back(to, factor > 1.0);
    } else if to != 0.0 {
        let scale = 10_f64.powf(2.0 - to.abs().log10().floor());
        to = whole_back(to * scale, factor > 1.0) / scale;
    }
    to = to.clamp(tunable.min, tunable.max);
    let moves = if factor > 1.0 { to > from } else { to < from };
    if moves {
        Ok(to)
    } else {
        Err(format!(
            "`{}` is {from} and may be {} to {}: it cannot be turned further",
            tunable.key, tunable.min, tunable.max
        ))
    }
}

/// The next whole number: below after a rise, above after a fall. Only what arithmetic keeps from
/// being whole goes either way.
fn whole_back(value: f64, rose: bool) -> f64 {
    let nearest = value.round();
    if (value - nearest).abs() <= nearest.abs() * 1e-12 {
        nearest
    } else if rose {
        value.floor()
    } else {
        value.ceil()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tunable(min: f64, max: f64) -> Tunable {
        Tunable {
            target: TargetId::container("worker"),
            file: "/srv/worker/config.json".to_owned(),
            key: "delay_s".to_owned(),
            role: TunableRole::Delay,
            min,
            max,
            apply: ApplyMethod::Restart,
        }
    }

    #[test]
    fn a_delay_rises_by_half_and_stops_at_its_limit() {
        assert_eq!(turned(&tunable(0.1, 10.0), 0.5, 1.5), Ok(0.75));
        assert_eq!(turned(&tunable(0.1, 0.6), 0.5, 1.5), Ok(0.6));
        assert!(turned(&tunable(0.1, 0.5), 0.5, 1.5).is_err());
    }

    #[test]
    fn what_is_rounded_is_rounded_towards_the_value_it_comes_from() {
        assert_eq!(turned(&tunable(0.1, 10.0), 1.01, 1.5), Ok(1.51), "not 1.52");
        assert_eq!(turned(&tunable(0.1, 10.0), 1.01, 0.67), Ok(0.677), "not 0.676");
        assert_eq!(turned(&tunable(0.1, 10.0), 0.7, 1.5), Ok(1.05));
        assert_eq!(turned(&tunable(1.0, 1000.0), 300.0, 0.67), Ok(201.0));
    }

    #[test]
    fn a_value_outside_its_limits_is_left_to_a_person() {
        assert!(turned(&tunable(1.0, 10.0), 0.1, 1.5).is_err());
        assert!(turned(&tunable(1.0, 10.0), 40.0, 0.67).is_err());
    }

    #[test]
    fn a_whole_number_stays_whole_and_moves() {
        assert_eq!(turned(&tunable(1.0, 100.0), 4.0, 0.67), Ok(3.0));
        assert_eq!(turned(&tunable(1.0, 100.0), 5.0, 1.5), Ok(7.0));
        assert!(turned(&tunable(1.0, 100.0), 1.0, 0.67).is_err(), "it is at its lowest");
    }

    #[test]
    fn zero_cannot_be_multiplied_and_is_left_to_a_person() {
        assert!(turned(&tunable(0.0, 10.0), 0.0, 1.5).is_err());
    }

    proptest! {
        #[test]
        fn a_turn_stays_within_the_limits_and_the_step(from in 0.001f64..1e6, up in any::<bool>()) {
            let limits = tunable(0.01, 1e5);
            let factor = if up { 1.5 } else { 0.67 };
            if let Ok(to) = turned(&limits, from, factor) {
                prop_assert!((limits.min..=limits.max).contains(&to));
                // The last bit is arithmetic's.
                let noise = from * 1e-12;
                let within_a_step = if up {
                    to > from && to <= from * factor + noise
                } else {
                    to < from && to >= from * factor - noise
                };
                prop_assert!(within_a_step, "{from} became {to}");
            }
        }

        #[test]
        fn a_step_of_a_short_number_is_not_cut_short_by_arithmetic(tenths in 1u32..6000) {
            let turned = turned(&tunable(0.01, 1e5), f64::from(tenths) / 10.0, 1.5).unwrap();
            // Half as much again, in hundredths, and three digits of it.
            let exact = 15 * tenths;
            let digit = 10_u32.pow(exact.ilog10().saturating_sub(2));
            let off = turned * 100.0 - f64::from(exact / digit * digit);
            prop_assert!(off.abs() < 1e-6, "{tenths} tenths became {turned}");
        }
    }
}
