//! Forecasts of what will be full, by Selfheal's own method and by exponential smoothing.
//!
//! Every series is a level in percent, one value every five minutes, made from a seed. Both methods
//! get the same values, the same limit and the same farthest time, and both are held to the same
//! rule: an alarm is a level whose *latest* time at the limit, nine chances in ten, is near enough.
//! Exponential smoothing is `AutoETS` of the crate `augurs`, which chooses among the models without a season
//! by their information criterion. A second line takes its most likely course instead of the latest.

#[path = "../../../agents/health_monitor/forecast.rs"]
#[allow(dead_code, unused)]
mod forecast;

use std::time::Instant;

use augurs::ets::AutoETS;
use augurs::{Fit, Predict};
use forecast::forecast;

type Point = (f64, f64);
const EVERY: f64 = 300.0;
const LIMIT: f64 = 100.0;
/// Both look ahead at most twice the time that was watched, as Selfheal does.
const FARTHEST: usize = 2;
/// Two-sided: one chance in ten on each side.
const LEVEL: f64 = 0.8;
const SEEDS: u64 = 100;

/// When the limit will be reached, in seconds from the last value.
struct Told {
    earliest: f64,
    latest: f64,
}

/// Numbers between -1 and 1 that a seed decides.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    }
}

fn own(points: &[Point]) -> Option<Told> {
    let found = forecast(points, LIMIT)?;
    Some(Told { earliest: found.earliest, latest: found.latest })
}

/// The same question put to exponential smoothing; `likely` asks for its most likely course.
fn smoothing(points: &[Point], likely: bool) -> Option<Told> {
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let model = AutoETS::non_seasonal().fit(&values).ok()?;
    let ahead = model.predict(FARTHEST * points.len(), LEVEL).ok()?;
    let band = ahead.intervals?;
    let reaches = |course: &[f64]| {
        course.iter().position(|value| *value >= LIMIT).map(|at| (at + 1) as f64 * EVERY)
    };
    let latest = reaches(if likely { &ahead.point } else { &band.lower })?;
    Some(Told { earliest: reaches(&band.upper).unwrap_or(latest), latest })
}

type Method = (&'static str, fn(&[Point]) -> Option<Told>);
const METHODS: [Method; 3] = [
    ("Selfheal", own),
    ("AutoETS, latest", |points| smoothing(points, false)),
    ("AutoETS, likely", |points| smoothing(points, true)),
];

/// A level at an hour, with noise by the dice.
type Course = fn(f64, &mut Dice) -> f64;

fn series(seed: u64, count: usize, course: Course) -> Vec<Point> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|at| (at as f64 * EVERY, course(at as f64 * EVERY / 3600.0, &mut dice)))
        .collect()
}

fn spike(dice: &mut Dice) -> f64 {
    if dice.throw() > 0.9 { 15.0 } else { 0.0 }
}

/// What fills up, how many values are seen, and the hour in which it is full.
const FILLING: [(&str, usize, f64, Course); 4] = [
    ("a disk, 4 % an hour", 73, 15.0, |hour, dice| 40.0 + 4.0 * hour + dice.throw()),
    ("a leak, 12 % an hour", 25, 5.0, |hour, dice| 40.0 + 12.0 * hour + 0.5 * dice.throw()),
    ("a disk, with spikes", 73, 15.0, |hour, dice| 40.0 + 4.0 * hour + dice.throw() + spike(dice)),
    ("a leak after a flat hour", 61, 8.5, |hour, dice| {
        40.0 + 8.0 * (hour - 1.0).max(0.0) + dice.throw()
    }),
];

/// What never fills up; looked at after every sixth value from `from` on.
const WELL: [(&str, usize, usize, Course); 6] = [
    ("level with noise", 12, 288, |_, dice| 70.0 + 2.0 * dice.throw()),
    ("level with spikes", 12, 288, |_, dice| 70.0 + 2.0 * dice.throw() + spike(dice)),
    ("a sawtooth, after its first fall", 70, 576, |hour, dice| {
        30.0 + 10.0 * (hour % 5.0) + 0.5 * dice.throw()
    }),
    ("busy hours of a day, after the first", 288, 576, |hour, dice| {
        50.0 - 30.0 * (hour / 24.0 * std::f64::consts::TAU).cos() + 0.5 * dice.throw()
    }),
    ("a rise that levels off", 25, 144, |hour, dice| {
        90.0 - 50.0 * (-hour / 2.0).exp() + 0.2 * dice.throw()
    }),
    ("a level that was raised once", 25, 144, |hour, dice| {
        (if hour < 3.0 { 40.0 } else { 80.0 }) + dice.throw()
    }),
];

fn main() {
    println!(
        "{:40}{:>18}{:>18}{:>18}",
        "filling: told / true time in the band", METHODS[0].0, METHODS[1].0, METHODS[2].0
    );
    for (name, count, full, course) in FILLING {
        print!("{name:40}");
        for (_, method) in METHODS {
            let (mut told, mut held) = (0, 0);
            for seed in 1..=SEEDS {
                let points = series(seed, count, course);
                let Some(found) = method(&points) else { continue };
                let left = full * 3600.0 - points[count - 1].0;
                told += 1;
                held += u32::from((found.earliest..=found.latest).contains(&left));
            }
            print!("{:>18}", format!("{told} / {held} of {SEEDS}"));
        }
        println!();
    }
    println!("\nwell: looks that raise an alarm");
    for (name, from, to, course) in WELL {
        print!("{name:40}");
        for (_, method) in METHODS {
            let (mut looks, mut alarms) = (0, 0);
            for seed in 1..=SEEDS / 10 {
                let points = series(seed, to, course);
                for seen in (from..to).step_by(6) {
                    looks += 1;
                    alarms += u32::from(method(&points[..seen]).is_some());
                }
            }
            print!("{:>18}", format!("{alarms} of {looks}"));
        }
        println!();
    }
    let points = series(1, 288, WELL[0].3);
    for (name, method) in METHODS {
        let begun = Instant::now();
        (0..10).for_each(|_| drop(method(&points)));
        println!("{name}: {:.2} ms a look at a day", begun.elapsed().as_secs_f64() * 100.0);
    }
}
