//! How much of a node's trouble goes up and down with the target's, in units that add up:
//! seconds spent, or requests failed, in an interval.
//!
//! A callee's extra seconds are its caller's extra seconds; milliseconds a request are not,
//! for one request may make many calls. So everything is compared as totals.

use super::robust::{mean, median, quantile, sorted, spread};
use super::trouble::{QUIET, Trouble};

/// Requests of a node, and what each cost in one respect: seconds, or the share that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    /// The cost of a request; `NaN` where unknown.
    pub cost: Vec<f64>,
    /// The number of requests; `NaN` where unknown.
    pub requests: Vec<f64>,
}

/// What a node adds to the trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Impact {
    /// Extra cost of all requests of an interval at the height of the trouble.
    pub extra: f64,
    /// [`Impact::extra`] in multiples of its own uncertainty.
    pub sureness: f64,
    /// How well it goes along with the target's trouble, -1 to 1; 1 where the trouble
    /// lasts through the whole period, so that nothing can be told.
    pub agreement: f64,
    /// Whether it was called only since the trouble began.
    pub new: bool,
}

impl Impact {
    /// Nothing to blame.
    pub(super) const NONE: Self = Self { extra: 0.0, sureness: 0.0, agreement: 0.0, new: false };

    /// The extra cost, weighed by what speaks for it, however little.
    pub(super) fn lead(&self) -> f64 {
        self.extra.max(0.0) * trust(self.sureness.max(0.0)) * self.agreement.max(0.0).powi(2)
    }

    /// The extra cost, less the more it may be chance.
    pub(super) fn credible(&self) -> f64 {
        let sure = ((self.sureness - 1.0) / 2.0).clamp(0.0, 1.0);
        let credibility = sure * self.agreement.max(0.0).powi(2);
        self.extra.max(0.0) * ((credibility - 0.2) / 0.4).clamp(0.0, 1.0)
    }
}

/// What something counts for among others, by how sure it is: a half at three times its
/// uncertainty.
pub(super) fn trust(sureness: f64) -> f64 {
    let square = sureness * sureness;
    square / (square + 9.0)
}

/// How much the profile has to vary within the period so that its quiet part can serve as
/// the baseline: the sum of squared deviations that one quiet interval among some bad ones
/// has.
const LEAST_VARIATION: f64 = 0.4;
/// A node called less than this part as often in quiet intervals was not called there.
const NEWLY: f64 = 0.2;

impl Load {
    /// Total extra cost in each interval, above `base` a request.
    pub(super) fn extra(&self, base: f64) -> Vec<f64> {
        let typical = median(self.requests.iter().copied().filter(|r| *r > 0.0));
        self.cost
            .iter()
            .zip(&self.requests)
            .map(|(cost, requests)| match (cost.is_nan(), requests.is_nan()) {
                // Nobody asked, so nobody waited.
                (true, _) if *requests <= 0.0 => 0.0,
                (true, _) => f64::NAN,
                (false, true) => (cost - base) * if typical.is_nan() { 1.0 } else { typical },
                (false, false) => (cost - base) * requests,
            })
            .collect()
    }
}

/// What `suspect` adds to the trouble, against normal operation.
pub(super) fn impact(normal: &Load, suspect: &Load, trouble: &Trouble) -> Impact {
    let profile = &trouble.profile;
    let new = is_new(normal, suspect, profile);
    let typical = median(normal.cost.iter().copied());
    let quiet = suspect.cost.iter().zip(profile).filter(|(_, profile)| **profile <= QUIET);
    let quiet = mean(quiet.map(|(cost, _)| *cost));
    // What was never asked before is extra as a whole.
    let known = [quiet, typical].into_iter().find(|base| base.is_finite() && !new);
    let base = known.unwrap_or(0.0);
    let noise = spread(normal.extra(if typical.is_nan() { base } else { typical }));
    let noise = if noise.is_nan() { 0.0 } else { noise };
    let points: Vec<(f64, f64)> = profile
        .iter()
        .copied()
        .zip(suspect.extra(base))
        .filter(|(profile, total)| profile.is_finite() && total.is_finite())
        .collect();
    let impact = along(&points, noise, trouble.blur)
        .unwrap_or_else(|| throughout(suspect, if new { 0.0 } else { typical }, noise));
    Impact { new, ..impact }
}

/// Whether a node is called in the bad intervals and was called neither in normal operation
/// nor, to speak of, in the quiet ones.
fn is_new(normal: &Load, suspect: &Load, profile: &[f64]) -> bool {
    let calls = |bad: bool| {
        let rows = suspect.requests.iter().zip(profile);
        mean(rows.filter(|(_, profile)| (**profile > QUIET) == bad).map(|(calls, _)| *calls))
    };
    let (quiet, bad) = (calls(false), calls(true));
    let before = normal.requests.iter().any(|calls| *calls > 0.0);
    bad > 0.0 && !before && quiet < NEWLY * bad
}

/// The regression of totals on the profile; `None` where the profile hardly varies.
fn along(points: &[(f64, f64)], noise: f64, blur: f64) -> Option<Impact> {
    if points.len() < 3 {
        return None;
    }
    let (mid_x, mid_y) = (mean(points.iter().map(|p| p.0)), mean(points.iter().map(|p| p.1)));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|(x, y)| f(x - mid_x, y - mid_y)).sum()
    };
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    if xx < LEAST_VARIATION {
        return None;
    }
    let extra = xy / xx;
    let left = (yy - xy * extra).max(0.0) / (points.len() as f64 - 2.0).max(1.0);
    let left = (left - (extra * blur).powi(2)).max(0.0);
    let error = ((noise * noise + left) / xx).sqrt();
    let sharp = (1.0 - blur * blur * (points.len() as f64 - 1.0) / xx).max(0.25);
    let agreement = if yy > 0.0 { xy / (xx * yy * sharp).sqrt() } else { 0.0 };
    let agreement = agreement.clamp(-1.0, 1.0);
    Some(Impact { extra, sureness: ratio(extra, error), agreement, new: false })
}

/// The level of the whole period against `base`.
fn throughout(suspect: &Load, base: f64, noise: f64) -> Impact {
    let totals = sorted(suspect.extra(base));
    if totals.is_empty() || base.is_nan() {
        return Impact::NONE;
    }
    let extra = quantile(&totals, 0.5);
    let error = noise.hypot(spread(totals.iter().copied())) / (totals.len() as f64).sqrt();
    Impact { extra, sureness: ratio(extra, error), agreement: 1.0, new: false }
}

fn ratio(extra: f64, error: f64) -> f64 {
    if error > 0.0 {
        extra / error
    } else if extra > 0.0 {
        1e6
    } else {
        0.0
    }
}
