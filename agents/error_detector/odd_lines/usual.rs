//! How many lines of one kind are usual, by hour of the day, and whether more came.
//!
//! The comparison is that of a Poisson count with its expectation: by Chernoff's bound,
//! `P(X >= k) <= exp(-(k ln(k/m) - k + m))` for an expectation `m`. Real logs come in bursts,
//! so the exponent is divided by how much more the counts varied so far than Poisson's would
//! (the quasi-likelihood of McCullagh and Nelder, Generalized Linear Models, 1989, chapter 9),
//! and more than ever before at that time of day must have come.

use serde::{Deserialize, Serialize};

/// Hours that must have been seen before anything is unusual: a day with its night.
const LEAST_HOURS: u32 = 24;
/// Days that an hour of the day must have been seen before it stands for itself.
const OWN_DAYS: u8 = 7;
/// Days after which an hour says better than the whole day what comes in bursts: until then a
/// nightly job looks like one, and what was taken for a burst takes days to be forgotten.
const BURST_DAYS: u8 = 3;
/// Days that a mean remembers, roughly.
const MEMORY_DAYS: u8 = 14;
/// Share of the newest hour in what is known of the bursts.
const NEWEST: f32 = 0.1;
/// Fewer lines in ten minutes are never too many.
const LEAST_LINES: u32 = 10;
/// So many times the usual are too many.
const FACTOR: f64 = 3.0;
/// Of one comparison; some 700,000 are made a day with 50 containers of 48 patterns.
const SURPRISE_NATS: f64 = 20.0;
/// Comparisons are made over ten minutes.
const PARTS_OF_AN_HOUR: f64 = 6.0;

/// One hour of the day.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Hour {
    /// Lines an hour.
    mean: f32,
    /// Days on which it was seen, up to [`MEMORY_DAYS`].
    days: u8,
    /// The most lines within ten minutes.
    peak: u16,
}

/// What is usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub(super) struct Usual {
    hours: [Hour; 24],
    /// The variance of the hourly counts as a multiple of a Poisson count's.
    bursts: f32,
}

impl Default for Usual {
    fn default() -> Self {
        Self { hours: [Hour::default(); 24], bursts: 1.0 }
    }
}

/// What is to be expected of one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    /// Lines an hour.
    pub(super) hourly: f64,
    /// The most within ten minutes so far.
    pub(super) peak: u32,
}

impl Usual {
    /// Takes in an hour: `lines` in all, at most `peak` of them within ten minutes.
    pub(super) fn fold(&mut self, hour: usize, lines: f64, peak: u32) {
        let own = self.hours[hour % 24];
        let expected = self.expected(hour).map(|expected| {
            if own.days >= BURST_DAYS { f64::from(own.mean) } else { expected.hourly }
        });
        if let Some(mean) = expected {
            let mean = mean.max(0.5);
            #[expect(clippy::cast_possible_truncation, reason = "a ratio needs no precision")]
            let ratio = ((lines - mean).powi(2) / mean).min(1e6) as f32;
            self.bursts += NEWEST * (ratio - self.bursts);
        }
        let of = &mut self.hours[hour % 24];
        of.days = (of.days + 1).min(MEMORY_DAYS);
        #[expect(clippy::cast_possible_truncation, reason = "a mean needs no precision")]
        let lines = lines as f32;
        of.mean += (lines - of.mean) / f32::from(of.days);
        let peak = u16::try_from(peak).unwrap_or(u16::MAX);
        // An old peak is forgotten slowly.
        of.peak = peak.max(of.peak - of.peak.div_ceil(8).min(of.peak - of.peak.min(peak)));
    }

    /// What is usual at this hour: of the hour itself and its neighbours the most, once it is
    /// known well enough; else of the whole day. `None` until a day was seen.
    pub(super) fn expected(&self, hour: usize) -> Option<Expected> {
        let seen: u32 = self.hours.iter().map(|hour| u32::from(hour.days)).sum();
        if seen < LEAST_HOURS {
            return None;
        }
        let near = [hour + 23, hour, hour + 1].map(|hour| self.hours[hour % 24]);
        let peak = |hours: &[Hour]| hours.iter().map(|hour| u32::from(hour.peak)).max();
        let (hourly, peak) = if near.iter().all(|hour| hour.days >= OWN_DAYS) {
            (near.iter().map(|hour| hour.mean).fold(0.0, f32::max), peak(&near))
        } else {
            let lines: f32 = self.hours.iter().map(|hour| hour.mean * f32::from(hour.days)).sum();
            (lines / seen as f32, peak(&self.hours))
        };
        Some(Expected { hourly: f64::from(hourly), peak: peak.unwrap_or(0) })
    }

    /// The lines an hour that are usual, if `count` in the last ten minutes are far too many.
    /// `traffic` says how many times busier than usual the container is.
    pub(super) fn exceeded(&self, hour: usize, count: u32, traffic: f64) -> Option<f64> {
        let expected = self.expected(hour)?;
        // A rate that was never seen is not zero: half a line in all that was watched.
        let mean = (expected.hourly * traffic.max(1.0)).max(0.02) / PARTS_OF_AN_HOUR;
        let count_ = f64::from(count);
        let beyond = count >= LEAST_LINES
            && count_ >= FACTOR * mean
            && f64::from(count) > 1.5 * f64::from(expected.peak)
            && surprise(count_, mean) / f64::from(self.bursts.max(1.0)) >= SURPRISE_NATS;
        beyond.then_some(expected.hourly)
    }

    /// How many times busier than usual `count` lines in ten minutes are; 1 while unknown.
    pub(super) fn busier(&self, hour: usize, count: u32) -> f64 {
        let usual = self.expected(hour).map_or(0.0, |expected| expected.hourly / PARTS_OF_AN_HOUR);
        if usual < 1.0 { 1.0 } else { (f64::from(count) / usual).max(1.0) }
    }
}

/// How unlikely so many are, in nats.
fn surprise(count: f64, mean: f64) -> f64 {
    if count <= mean { 0.0 } else { count * (count / mean).ln() - count + mean }
}

/// As it is stored: only the hours that were seen, as hour, mean, days, peak.
#[derive(Serialize, Deserialize)]
struct Written {
    hours: Vec<(u8, f32, u8, u16)>,
    bursts: f32,
}

impl From<Usual> for Written {
    fn from(usual: Usual) -> Self {
        let seen = (0_u8..).zip(usual.hours).filter(|(_, hour)| hour.days > 0);
        let short = |number: f32| (number * 1000.0).round() / 1000.0;
        Self {
            hours: seen.map(|(at, h)| (at, short(h.mean), h.days, h.peak)).collect(),
            bursts: short(usual.bursts),
        }
    }
}

impl From<Written> for Usual {
    fn from(written: Written) -> Self {
        let mut usual = Self::default();
        for (at, mean, days, peak) in written.hours {
            if let Some(hour) = usual.hours.get_mut(usize::from(at))
                && mean.is_finite()
            {
                *hour = Hour { mean: mean.max(0.0), days: days.min(MEMORY_DAYS), peak };
            }
        }
        if written.bursts.is_finite() {
            usual.bursts = written.bursts.max(0.0);
        }
        usual
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `days` days with so many lines in each hour.
    fn after(days: usize, lines: impl Fn(usize) -> f64) -> Usual {
        let mut usual = Usual::default();
        for hour in 0..days * 24 {
            let lines = lines(hour % 24);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            usual.fold(hour % 24, lines, (lines / 3.0) as u32);
        }
        usual
    }

    #[test]
    fn nothing_is_unusual_before_a_day_was_seen() {
        let mut usual = Usual::default();
        (0..23).for_each(|hour| usual.fold(hour, 1.0, 1));
        assert_eq!(usual.exceeded(5, 10_000, 1.0), None);
        usual.fold(23, 1.0, 1);
        assert!(usual.exceeded(5, 10_000, 1.0).is_some());
    }

    #[test]
    fn far_more_than_usual_is_found_and_a_few_more_are_not() {
        let usual = after(3, |_| 12.0);
        for (count, found) in [(0, false), (4, false), (9, false), (12, false), (40, true)] {
            assert_eq!(usual.exceeded(3, count, 1.0).is_some(), found, "{count}");
        }
        assert_eq!(usual.exceeded(3, 40, 20.0), None, "everything is busier");
    }

    #[test]
    fn after_a_week_every_hour_of_the_day_is_its_own() {
        let nightly = |hour: usize| if hour == 3 { 600.0 } else { 6.0 };
        let days = after(3, nightly);
        assert_eq!(days.exceeded(14, 200, 1.0), None, "the night had as many");
        let week = after(8, nightly);
        assert!(week.exceeded(14, 200, 1.0).is_some(), "but never the afternoon");
        assert_eq!(week.exceeded(3, 200, 1.0), None, "and the night has them every day");
        assert_eq!(week.exceeded(4, 200, 1.0), None, "a late job is no alarm");
    }

    #[test]
    fn what_comes_in_bursts_is_believed_less_readily() {
        let steady = after(4, |_| 30.0);
        let mut bursts = Usual::default();
        (0..96)
            .for_each(|hour| bursts.fold(hour % 24, if hour % 6 == 0 { 180.0 } else { 0.0 }, 20));
        assert!(steady.exceeded(1, 60, 1.0).is_some());
        assert_eq!(bursts.exceeded(1, 60, 1.0), None);
    }

    #[test]
    fn what_became_usual_is_expected_and_an_old_peak_fades() {
        let mut usual = after(7, |_| 6.0);
        usual.fold(5, 6.0, 4_000);
        assert_eq!(usual.expected(5).map(|e| e.peak), Some(4_000));
        (0..80).for_each(|_| usual.fold(5, 60.0, 20));
        let expected = usual.expected(5).unwrap();
        assert!((expected.hourly - 60.0).abs() < 1.0 && expected.peak == 20, "{expected:?}");
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_known(
            hours in proptest::collection::vec((0_usize..24, 0_u32..5_000, 0_u32..2_000), 0..200),
        ) {
            let mut usual = Usual::default();
            for (hour, lines, peak) in hours {
                usual.fold(hour, f64::from(lines), peak);
            }
            let text = serde_json::to_string(&usual).unwrap();
            let read: Usual = serde_json::from_str(&text).unwrap();
            prop_assert!(text.len() < 800, "{}", text.len());
            for hour in 0..24 {
                let (one, other) = (usual.expected(hour), read.expected(hour));
                prop_assert_eq!(one.map(|e| e.peak), other.map(|e| e.peak));
                let near = |e: Option<Expected>| e.map_or(0.0, |e| e.hourly);
                prop_assert!((near(one) - near(other)).abs() < 0.01);
            }
        }

        #[test]
        fn more_lines_are_never_less_unusual(count in 0_u32..5_000, hour in 0_usize..24) {
            let usual = after(8, |_| 9.0);
            let found = usual.exceeded(hour, count, 1.0).is_some();
            prop_assert!(!found || usual.exceeded(hour, count + 1, 1.0).is_some());
        }
    }
}
