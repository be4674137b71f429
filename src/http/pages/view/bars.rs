//! How a target did in the last day: a bar an hour, drawn by the server, and the same in words.
//!
//! A worse hour has a taller bar, so that nobody needs to tell colours apart.

use crate::coordinator::{HOURS_KEPT, Hour};

/// The drawing's own units for one hour.
const STEP: usize = 10;
const WIDTH: usize = 8;
const HEIGHT: usize = 16;
/// How they are counted, the worst first.
const WORDS: [(Hour, &str); 5] = [
    (Hour::Down, "down"),
    (Hour::Ailing, "ailing"),
    (Hour::Healed, "healed"),
    (Hour::Well, "well"),
    (Hour::Unseen, "not looked at"),
];

/// One hour.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) tone: &'static str,
    pub(super) said: String,
}

/// A day of one target.
pub(super) struct Bars {
    pub(super) hours: Vec<Bar>,
    pub(super) said: String,
    pub(super) width: usize,
}

impl Bars {
    /// Of the hours of a day, oldest first; nothing where nobody looked yet.
    pub(super) fn of(day: Option<&Vec<Hour>>) -> Option<Self> {
        let day = day.filter(|day| day.iter().any(|hour| *hour != Hour::Unseen))?;
        let bars = day.iter().enumerate().map(|(at, hour)| bar(at, *hour, day.len() - 1 - at));
        Some(Self { hours: bars.collect(), said: said(day), width: day.len() * STEP })
    }
}

fn bar(at: usize, hour: Hour, ago: usize) -> Bar {
    let (height, tone) = match hour {
        Hour::Unseen => (2, "calm"),
        Hour::Well => (6, "ok"),
        Hour::Healed => (11, "healed"),
        Hour::Ailing => (11, "warning"),
        Hour::Down => (HEIGHT, "critical"),
    };
    let when = if ago == 0 { "this hour".to_owned() } else { format!("{ago} h ago") };
    Bar {
        x: at * STEP,
        y: HEIGHT - height,
        width: WIDTH,
        height,
        tone,
        said: format!("{when}: {}", word(hour)),
    }
}

fn word(hour: Hour) -> &'static str {
    WORDS.iter().find(|(of, _)| *of == hour).map_or("", |(_, word)| word)
}

/// In words, as it is read aloud.
fn said(day: &[Hour]) -> String {
    let count = |wanted: Hour| day.iter().filter(|hour| **hour == wanted).count();
    let counted = WORDS.iter().map(|(hour, word)| (count(*hour), word)).filter(|(n, _)| *n > 0);
    let told: Vec<String> = counted.map(|(n, word)| format!("{word} in {n}")).collect();
    format!("Of the last {HOURS_KEPT} hours {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_in_words_with_the_worst_first() {
        let mut day = vec![Hour::Unseen; 20];
        day.extend([Hour::Well, Hour::Down, Hour::Healed, Hour::Well]);
        let bars = Bars::of(Some(&day)).unwrap();
        assert_eq!(
            bars.said,
            "Of the last 24 hours down in 1, healed in 1, well in 2, not looked at in 20"
        );
        assert_eq!(bars.hours[21].said, "2 h ago: down");
        assert_eq!(bars.hours[23].said, "this hour: well");
        assert!(bars.hours[21].height > bars.hours[23].height, "told without colour too");
        assert!(Bars::of(Some(&vec![Hour::Unseen; 24])).is_none() && Bars::of(None).is_none());
    }
}
