//! Whether the target is in trouble at all, and when.
//!
//! A period is compared with normal operation in two ways: by level (how many intervals are
//! worse than what was normal) and by contrast (how far the worst intervals stand out from
//! the best ones of the same period, against what is usual in as many intervals). The level
//! may have drifted since the normal time was recorded; the contrast forgives that.

use super::robust::{mean, median, quantile, sorted, spread};

/// What the target went through.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// How much of the trouble each interval had, 0 to 1; `NaN` where nothing is known.
    pub profile: Vec<f64>,
    /// The chance that a normal period looks as bad, as far as it can be told.
    pub chance: f64,
    /// The noise of [`Trouble::profile`], one standard deviation.
    pub blur: f64,
}

/// Up to this much of the trouble an interval is quiet.
pub(super) const QUIET: f64 = 0.25;
/// The share of intervals, at least two, that have to be bad: one bad interval is a blip.
const BAD_SHARE: f64 = 0.2;
/// So many periods has normal operation to hold for contrasts to be compared.
const LEAST_PERIODS: usize = 20;
/// Below so many intervals nothing is called normal.
const LEAST_NORMAL: usize = 12;

/// Measures the trouble in `suspect`; higher values are worse. `None` where there is too
/// little to compare or nothing stands out.
pub(super) fn trouble(normal: &[f64], suspect: &[f64], least_spread: f64) -> Option<Trouble> {
    let usual = sorted(normal.iter().copied());
    let seen = sorted(suspect.iter().copied());
    if usual.len() < LEAST_NORMAL || seen.is_empty() {
        return None;
    }
    let noise = spread(usual.iter().copied()).max(least_spread);
    let middle = quantile(&usual, 0.5);
    let bad = bad_count(seen.len());
    let base = baseline(&seen, middle, noise);
    let height = (mean(seen.iter().rev().take(bad).copied()) - base) / noise;
    let chance =
        by_level(&usual, &seen, bad, noise).min(by_contrast(normal, seen.len(), noise, height));
    let top = mean(seen.iter().rev().take(bad.div_ceil(2)).copied());
    let floor = base + 0.5 * noise;
    if top <= floor {
        return None;
    }
    let profile = suspect.iter().map(|v| ((v - floor) / (top - floor)).clamp(0.0, 1.0)).collect();
    let blur = noise / (top - floor);
    Some(Trouble { profile, chance, blur })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn bad_count(rows: usize) -> usize {
    ((rows as f64 * BAD_SHARE).ceil() as usize).max(2).min(rows)
}

/// The level without trouble: that of the best quarter of the period, for it is nearest in
/// time; that of normal operation where even the best intervals are further above it than
/// the worst are above them, so that the trouble lasts through the whole period.
fn baseline(seen: &[f64], middle: f64, noise: f64) -> f64 {
    let best = mean(seen.iter().take(seen.len().div_ceil(4)).copied());
    let worst = mean(seen.iter().rev().take(bad_count(seen.len())).copied());
    let raised = best - middle;
    if raised > 2.0 * noise && raised > worst - best { middle } else { best }
}

/// The chance that so many intervals are so bad, from the share of normal intervals that
/// are (a binomial tail). The longer a period, the more its level may have drifted by
/// itself, so the further the bad intervals have to be out.
fn by_level(usual: &[f64], seen: &[f64], bad: usize, noise: f64) -> f64 {
    let drift = noise * seen.len() as f64 / (seen.len() as f64 + 20.0);
    let value = seen[seen.len() - bad] - 2.0 * drift;
    let beyond = usual.len() - usual.partition_point(|usual| *usual < value);
    let share = (beyond as f64 + 1.0) / (usual.len() as f64 + 1.0);
    binomial_tail(seen.len(), bad, share.min(1.0))
}

/// The chance of at least `least` successes among `tries` of probability `p`.
fn binomial_tail(tries: usize, least: usize, p: f64) -> f64 {
    let mut term = (1.0 - p).powf(tries as f64);
    let mut below = 0.0;
    for k in 0..least {
        below += term;
        term *= (tries - k) as f64 / (k as f64 + 1.0) * p / (1.0 - p).max(f64::MIN_POSITIVE);
    }
    (1.0 - below).clamp(0.0, 1.0)
}

/// The share of equally long normal periods whose worst intervals stand out as far; certain
/// where normal operation is too short to hold many such periods.
///
/// Periods overlap, so they are not independent: no chance below that of one in twice the
/// number of disjoint ones is believed.
fn by_contrast(normal: &[f64], rows: usize, noise: f64, height: f64) -> f64 {
    if normal.len() < rows * LEAST_PERIODS {
        return 1.0;
    }
    let middle = median(normal.iter().copied());
    let bad = bad_count(rows);
    let heights: Vec<f64> = normal
        .windows(rows)
        .map(|window| sorted(window.iter().copied()))
        .filter(|window| window.len() * 2 > rows)
        .map(|window| {
            let top = mean(window.iter().rev().take(bad).copied());
            (top - baseline(&window, middle, noise)) / noise
        })
        .collect();
    let beyond = heights.iter().filter(|usual| **usual >= height).count();
    let least = 1.0 / (2.0 * normal.len() as f64 / rows as f64 + 1.0);
    ((beyond as f64 + 1.0) / (heights.len() as f64 + 1.0)).max(least)
}
