//! When a level that rises slowly will reach its limit, and how sure that is.
//!
//! Pure arithmetic over one series. A rise counts only when it goes through the whole time
//! since the last fall, has not slowed down, and is beyond everything that was seen before
//! that fall: a level that came down by itself once (a sawtooth, the busy hours of a day)
//! will do so again, and is no news. Nothing is forecast further ahead than twice the time
//! the rise has been watched.
//!
//! The slope is the median of all slopes between two points and its band is from Kendall's
//! variance (P. K. Sen, Estimates of the Regression Coefficient Based on Kendall's Tau,
//! Journal of the American Statistical Association 63, 1968). Exponential smoothing by a library
//! was measured beside it and passed over: it told no leak that began after a flat hour, took
//! every morning's rise for one, and cost a thousand times as much (tests/bench/README.md).

/// A value at a time in seconds.
pub(super) type Point = (f64, f64);

/// When a limit will be reached, in seconds from the last point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    /// Most likely.
    pub likely: f64,
    /// Not before this, nine times out of ten.
    pub earliest: f64,
    /// Not after this, nine times out of ten.
    pub latest: f64,
    /// The rise an hour, in the unit of the values.
    pub an_hour: f64,
}

/// Blocks that the rise is cut into; each counts by its median, so that spikes do not.
const BLOCKS: usize = 12;
/// Points that a rise needs at least.
const LEAST_POINTS: usize = 12;
/// A rise is watched for so long before anything is forecast, in seconds.
const LEAST_SPAN: f64 = 25.0 * 60.0;
/// Nothing is forecast further ahead than this many times the watched rise.
const FARTHEST: f64 = 2.0;
/// A fall by this part of all that was seen ends a rise.
const FALL: f64 = 0.25;
/// The rise has to be so many times the scatter around it.
const ABOVE_SCATTER: f64 = 4.0;
/// The later half has to rise at least so fast, in parts of the earlier.
const UNSLOWED: f64 = 0.5;
/// Two-sided 80 %: the band leaves one chance in ten on each side.
const BAND: f64 = 1.2816;

/// When `points` (oldest first) will reach `limit`; `None` when nothing says they will.
pub(super) fn forecast(points: &[Point], limit: f64) -> Option<Forecast> {
    let smooth = smooth(points);
    let start = last_fall(&smooth);
    let rise = &points[start..];
    let (first, last) = (rise.first()?, rise.last()?);
    let span = last.0 - first.0;
    if rise.len() < LEAST_POINTS || span < LEAST_SPAN || last.1 >= limit {
        return None;
    }
    let blocks = blocks(rise, span);
    let now = blocks.last()?.1;
    // It was as high before and came down.
    if smooth[..start].iter().any(|before| *before >= now) {
        return None;
    }
    let slopes = slopes(&blocks);
    let slope = middle(&slopes)?;
    let scatter = scatter(rise, slope);
    if slope <= 0.0 || slope * span < ABOVE_SCATTER * scatter || slows_down(&blocks) {
        return None;
    }
    let (slowest, fastest) = band(&slopes, blocks.len());
    if slowest <= 0.0 {
        return None;
    }
    // From the level of the whole rise: the last value alone is off by as much as they scatter.
    let after = |slope: f64| (limit - level_at(last.0, &blocks, slope)) / slope;
    (after(slowest) <= FARTHEST * span).then(|| Forecast {
        likely: after(slope),
        earliest: after(fastest),
        latest: after(slowest),
        an_hour: slope * 3600.0,
    })
}

/// The values without single spikes: each the middle one of itself and its neighbours.
fn smooth(points: &[Point]) -> Vec<f64> {
    let value = |at: usize| points[at.min(points.len() - 1)].1;
    (0..points.len())
        .map(|at| {
            let (a, b, c) = (value(at.saturating_sub(1)), value(at), value(at + 1));
            a.max(b).min(a.min(b).max(c))
        })
        .collect()
}

/// Where the last fall ended.
fn last_fall(values: &[f64]) -> usize {
    let (highest, lowest) =
        values.iter().fold((f64::MIN, f64::MAX), |(high, low), v| (high.max(*v), low.min(*v)));
    let (mut peak, mut start) = (f64::MIN, 0);
    for (at, value) in values.iter().enumerate() {
        if peak - value >= FALL * (highest - lowest) && highest > lowest {
            (peak, start) = (*value, at);
        }
        peak = peak.max(*value);
    }
    start
}

/// The middle time and value of equal stretches of time; empty ones are left out.
fn blocks(rise: &[Point], span: f64) -> Vec<Point> {
    let start = rise[0].0;
    (0..BLOCKS)
        .filter_map(|block| {
            let from = start + span * block as f64 / BLOCKS as f64;
            let to = start + span * (block as f64 + 1.0) / BLOCKS as f64;
            let last = block + 1 == BLOCKS;
            let inside: Vec<&Point> =
                rise.iter().filter(|p| p.0 >= from && (p.0 < to || last)).collect();
            let times: Vec<f64> = inside.iter().map(|point| point.0).collect();
            let values: Vec<f64> = inside.iter().map(|point| point.1).collect();
            Some((middle(&times)?, middle(&values)?))
        })
        .collect()
}

/// All slopes between two blocks, in order.
fn slopes(blocks: &[Point]) -> Vec<f64> {
    let mut slopes: Vec<f64> = blocks
        .iter()
        .enumerate()
        .flat_map(|(at, a)| blocks[at + 1..].iter().map(move |b| (b.1 - a.1) / (b.0 - a.0)))
        .collect();
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// The slopes between which the true one lies, by Kendall's variance.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks of slopes")]
fn band(slopes: &[f64], blocks: usize) -> (f64, f64) {
    let n = blocks as f64;
    let width = BAND * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    // Sen counts the slopes from one.
    let low = ((slopes.len() as f64 - width) / 2.0 - 1.0).floor().max(0.0) as usize;
    (slopes[low], slopes[slopes.len() - 1 - low])
}

/// Where a straight rise of this slope through the blocks is at a time.
fn level_at(time: f64, blocks: &[Point], slope: f64) -> f64 {
    let levels: Vec<f64> = blocks.iter().map(|(at, value)| value + slope * (time - at)).collect();
    middle(&levels).unwrap_or(0.0)
}

/// The typical distance of a point from the straight rise.
fn scatter(rise: &[Point], slope: f64) -> f64 {
    let level: Vec<f64> = rise.iter().map(|(at, value)| value - slope * at).collect();
    let center = middle(&level).unwrap_or(0.0);
    let away: Vec<f64> = level.iter().map(|value| (value - center).abs()).collect();
    middle(&away).unwrap_or(0.0)
}

fn slows_down(blocks: &[Point]) -> bool {
    let (early, late) = blocks.split_at(blocks.len() / 2);
    match (middle(&slopes(early)), middle(&slopes(late))) {
        (Some(early), Some(late)) => late < UNSLOWED * early,
        _ => true,
    }
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut ordered = values.to_vec();
    ordered.sort_by(f64::total_cmp);
    let half = ordered.len() / 2;
    match ordered.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(ordered[half - 1], ordered[half])),
        _ => Some(ordered[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_MINUTES: f64 = 300.0;

    /// A value every five minutes with up to `noise` up or down.
    fn series(count: usize, noise: f64, value: impl Fn(f64) -> f64) -> Vec<Point> {
        seeded(42, count, noise, value)
    }

    fn seeded(mut seed: u64, count: usize, noise: f64, value: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..count)
            .map(|at| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let dice = (seed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0;
                let time = at as f64 * FIVE_MINUTES;
                (time, value(time / 3600.0) + dice * noise)
            })
            .collect()
    }

    #[test]
    fn a_disk_that_fills_steadily_is_full_when_it_will_be() {
        // From 40 % by 4 % an hour, watched for six hours: full in nine.
        let points = series(73, 0.3, |hour| 40.0 + 4.0 * hour);
        let found = forecast(&points, 100.0).unwrap();
        assert!((found.likely / 3600.0 - 9.0).abs() < 0.5, "{found:?}");
        assert!(found.earliest <= found.likely && found.likely <= found.latest);
        assert!(found.earliest / 3600.0 > 7.5 && found.latest / 3600.0 < 10.5, "{found:?}");
        assert!((found.an_hour - 4.0).abs() < 0.2);
    }

    #[test]
    fn the_band_holds_what_comes_as_often_as_it_says() {
        for (count, noise, an_hour) in [(25, 0.5, 12.0), (73, 1.0, 4.0), (145, 2.0, 2.5)] {
            let (mut told, mut held) = (0, 0);
            for seed in 1..=200_u64 {
                let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let points = seeded(seed, count, noise, |hour| 40.0 + an_hour * hour);
                let Some(found) = forecast(&points, 100.0) else { continue };
                let end = 60.0 / an_hour * 3600.0 - points[count - 1].0;
                told += 1;
                held += u32::from((found.earliest..=found.latest).contains(&end));
            }
            assert!(told >= 150, "{told} of 200 rises of {an_hour} an hour were told");
            assert!(held * 10 >= told * 8, "the band held {held} of {told} ends");
        }
    }

    #[test]
    fn a_leak_with_spikes_is_still_seen() {
        let mut points = series(13, 0.2, |hour| 50.0 + 30.0 * hour);
        points[4].1 += 15.0;
        let found = forecast(&points, 100.0).unwrap();
        assert!((found.likely / 60.0 - 40.0).abs() < 8.0, "{found:?}");
    }

    #[test]
    fn what_does_not_rise_is_not_forecast() {
        assert_eq!(forecast(&series(288, 2.0, |_| 70.0), 100.0), None);
        assert_eq!(forecast(&series(288, 1.0, |hour| 90.0 - hour), 100.0), None);
        assert_eq!(forecast(&[], 100.0), None);
        assert_eq!(forecast(&series(11, 0.0, |hour| 40.0 + 40.0 * hour), 100.0), None);
    }

    #[test]
    fn a_sawtooth_is_never_forecast_once_it_came_down_by_itself() {
        // Rises from 30 to 80 % in five hours, then falls back, over and over.
        let points = series(576, 0.5, |hour| 30.0 + 10.0 * (hour % 5.0));
        for seen in 70..576 {
            assert_eq!(forecast(&points[..seen], 100.0), None, "after {seen} values");
        }
    }

    #[test]
    fn the_busy_hours_of_every_day_are_not_forecast_after_the_first_day() {
        let day = |hour: f64| 50.0 - 30.0 * (hour / 24.0 * std::f64::consts::TAU).cos();
        let points = series(576, 0.5, day);
        for seen in 288..576 {
            assert_eq!(forecast(&points[..seen], 100.0), None, "after {seen} values");
        }
    }

    #[test]
    fn a_rise_that_levels_off_is_not_forecast() {
        let points = series(60, 0.2, |hour| 90.0 - 50.0 * (-hour).exp());
        assert_eq!(forecast(&points, 100.0), None);
    }

    #[test]
    fn noise_alone_raises_no_alarm() {
        // A walk that forgets: each value is mostly the one before.
        let mut alarms = 0;
        for seed in 1..=40_u64 {
            let (mut seed, mut level) = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0.0);
            let mut points = vec![];
            for at in 0..400 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                level = 0.9 * level + (seed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0;
                points.push((f64::from(at) * FIVE_MINUTES, 60.0 + level));
                alarms += u32::from(forecast(&points, 100.0).is_some());
            }
        }
        assert!(alarms <= 16, "{alarms} of 16000 looks");
    }
}
