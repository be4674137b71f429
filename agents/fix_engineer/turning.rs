//! How far a declared setting is turned: one conservative step, or half of one back.
//!
//! Pure arithmetic. Its invariant: the result is within the declared limits, on the side it was asked
//! for, and written so that the program can read it.

use crate::model::{Tunable, TunableRole};

/// Values that differ by less than this share are not told apart.
const LEAST_DIFFERENCE: f64 = 0.1;

/// `from` times `factor`, within the declared limits, to three significant digits.
///
/// Whole numbers stay whole where a fraction could be unreadable to the program: counts
/// always, others from 2 on if their limits are whole too. Rounding goes back towards `from`, so
/// that one step is never more than the factor.
pub(super) fn turned(tunable: &Tunable, from: f64, factor: f64) -> Result<f64, String> {
    if !(tunable.min..=tunable.max).contains(&from) {
        // Bringing it within could be a leap of any size.
        return Err(format!(
            "`{}` is {from}, outside its declared {} to {}: a person has to say what is meant",
            tunable.key, tunable.min, tunable.max
        ));
    }
    let to = rounded(tunable, from, from * factor, from);
    let to = to.clamp(tunable.min, tunable.max);
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

/// The middle between a value that does not do and one that does, rounded towards the one that
/// does; `None` where they are too near to each other for a try.
pub(super) fn between(tunable: &Tunable, too_little: f64, does: f64) -> Option<f64> {
    if (does - too_little).abs() < LEAST_DIFFERENCE * does.abs() {
        return None;
    }
    let middle = rounded(tunable, does, f64::midpoint(too_little, does), does);
    let (low, high) = (too_little.min(does), too_little.max(does));
    (low < middle && middle < high).then_some(middle)
}

/// `to`, as short as a person would write it, rounded towards `towards`; `like` is a value that the
/// program reads.
fn rounded(tunable: &Tunable, like: f64, to: f64, towards: f64) -> f64 {
    let is_count = matches!(tunable.role, TunableRole::BatchSize | TunableRole::PoolSize);
    let limits_whole = tunable.min.fract() == 0.0 && tunable.max.fract() == 0.0;
    let stays_whole = like.fract() == 0.0 && (is_count || (limits_whole && like.abs() >= 2.0));
    if stays_whole {
        whole_towards(to, towards)
    } else if to == 0.0 {
        to
    } else {
        let scale = 10_f64.powf(2.0 - to.abs().log10().floor());
        whole_towards(to * scale, towards * scale) / scale
    }
}

/// The next whole number in the direction of `towards`. Only what arithmetic keeps from being whole
/// goes either way.
fn whole_towards(value: f64, towards: f64) -> f64 {
    let nearest = value.round();
    if (value - nearest).abs() <= nearest.abs() * 1e-12 {
        nearest
    } else if towards < value {
        value.floor()
    } else {
        value.ceil()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ApplyMethod, TargetId};

    fn tunable(min: f64, max: f64) -> Tunable {
        Tunable {
            target: TargetId::container("worker"),
            file: "/srv/worker/config.json".to_owned(),
            key: "delay_s".to_owned(),
            role: TunableRole::Delay,
            min,
            max,
            apply: ApplyMethod::Restart,
            walk_back: false,
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

    #[test]
    fn the_middle_is_rounded_towards_what_does_and_is_not_sought_between_neighbours() {
        let delay = tunable(0.1, 10.0);
        assert_eq!(between(&delay, 1.0, 1.5), Some(1.25));
        assert_eq!(between(&delay, 1.5, 2.25), Some(1.88), "1.875, up");
        assert_eq!(between(&delay, 2.25, 1.5), Some(1.87), "1.875, down");
        assert_eq!(between(&delay, 1.36, 1.5), None, "they differ by less than a tenth");
        let count = Tunable { role: TunableRole::BatchSize, ..tunable(1.0, 100.0) };
        assert_eq!(between(&count, 100.0, 67.0), Some(83.0));
        assert_eq!(between(&count, 7.0, 5.0), Some(6.0));
        assert_eq!(between(&count, 4.0, 3.0), None, "there is nothing between them");
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
