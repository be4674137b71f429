//! Middles and spreads that a few wild values cannot move.
//!
//! Missing values are `NaN` and are left out everywhere. Nothing here knows what the
//! numbers mean.

/// What makes a median absolute deviation comparable with a standard deviation: the
/// reciprocal of the third quartile of the standard normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// The values that are there, in order.
pub(super) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut present: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    present.sort_by(f64::total_cmp);
    present
}

/// The value below which the share `q` of ordered values lies, between neighbours by
/// proportion; `NaN` of none.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=last")]
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    let part = position - position.floor();
    sorted[below] + (sorted[above] - sorted[below]) * part
}

/// The middle; `NaN` of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The mean of the values that are there; `NaN` of none.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / f64::from(count) }
}

/// The spread around the middle, comparable with a standard deviation.
///
/// The larger of the scaled median absolute deviation and what the upper tail (the 97.5 %
/// point) says: values that are mostly the same (an availability of 100 %) have a median
/// deviation of nought, and are not without noise for it.
pub(super) fn spread(values: impl IntoIterator<Item = f64>) -> f64 {
    let ordered = sorted(values);
    let middle = quantile(&ordered, 0.5);
    let deviation = median(ordered.iter().map(|value| (value - middle).abs()));
    let tail = (quantile(&ordered, 0.975) - middle) / 1.96;
    (deviation * MAD_TO_SIGMA).max(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_value_moves_neither_middle_nor_spread() {
        let calm: Vec<f64> = (0..101).map(f64::from).collect();
        let mut wild = calm.clone();
        wild[100] = 1e9;
        assert!((median(calm.clone()) - median(wild.clone())).abs() < f64::EPSILON);
        assert!(spread(wild) < spread(calm) * 1.1);
    }

    #[test]
    fn missing_values_are_left_out_and_nothing_has_no_middle() {
        assert!((median([f64::NAN, 3.0, 1.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median([f64::NAN]).is_nan());
        assert!(mean([]).is_nan());
    }

    #[test]
    fn a_value_nearly_always_the_same_still_has_a_spread() {
        let mut errors = vec![0.0; 90];
        errors.extend([1.0; 10]);
        assert!(spread(errors) > 0.4);
    }
}
