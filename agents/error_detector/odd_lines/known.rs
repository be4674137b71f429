//! What is known of one container's error lines; this is what is stored.
//!
//! Bounded whatever is written: at most 48 patterns, each with a template of at most 200 bytes
//! and what is usual by hour of the day. Where more kinds come than fit, what was seen once goes
//! first, and for a day nothing counts as new, since nobody can tell any more.

use chrono::{TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Grade, Kind};
use super::phases::{Phase, Phases};
use super::recent::Recent;
use super::template::{covers, joined};
use super::usual::Usual;
use crate::model::{ContainerFacts, LogLine, Timestamp, clean};
use crate::patterns::PatternId;

/// Patterns remembered of one container.
pub(super) const MOST_PATTERNS: usize = 48;
/// Well for so long, and what is new is noted.
const LEARNING: TimeDelta = TimeDelta::hours(1);
/// What has gone on for so long without harm is no news; well for so long, and what is new may
/// be worth more than a note.
pub(super) const DAY: TimeDelta = TimeDelta::days(1);
/// What was not written for so long is over.
pub(super) const LINGERS: TimeDelta = TimeDelta::minutes(30);
/// A pattern that had to make room was still in use if it was seen so lately.
const IN_USE: TimeDelta = TimeDelta::days(7);
/// The longest time between two looks in which nothing was missed: logs are read back so far.
const READ_BACK: TimeDelta = TimeDelta::minutes(10);
/// An hour counts when so much of it was watched.
const LEAST_OF_AN_HOUR: TimeDelta = TimeDelta::minutes(45);
/// Characters of an example.
const EXAMPLE_CHARS: usize = 300;

/// How a pattern came to be worth more than a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Raised {
    /// It was not.
    #[default]
    No,
    /// It is now, since then.
    Since(Timestamp),
    /// It was, and calmed down; it is not raised again within a day.
    Calmed(Timestamp),
}

/// One pattern.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Of the template it had first; it stays when the template widens.
    pub(super) id: String,
    pub(super) template: String,
    pub(super) grade: Grade,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    /// Lines in all.
    pub(super) lines: u64,
    /// Whether the container wrote it while it was well: it is no news then.
    pub(super) accepted: bool,
    #[serde(default)]
    pub(super) raised: Raised,
    /// Since when there are too many.
    #[serde(default)]
    pub(super) rising: Option<Timestamp>,
    pub(super) usual: Usual,
    /// Lines of the present hour, and the most of ten minutes in it.
    #[serde(skip)]
    hour: (u32, u32),
    /// All lines of late but those of a stop, and those of steady work.
    #[serde(skip)]
    pub(super) recent: Recent,
    #[serde(skip)]
    pub(super) steady: Recent,
    #[serde(skip)]
    pub(super) last_steady: Option<Timestamp>,
    /// When the present spell of such lines began.
    #[serde(skip)]
    pub(super) since: Option<Timestamp>,
    #[serde(skip)]
    pub(super) example: String,
}

impl Remembered {
    fn new(template: String, grade: Grade, at: Timestamp) -> Self {
        Self {
            id: PatternId::of(&template).to_string(),
            template,
            grade,
            first_seen: at,
            last_seen: at,
            lines: 0,
            accepted: false,
            raised: Raised::No,
            rising: None,
            usual: Usual::default(),
            hour: (0, 0),
            recent: Recent::default(),
            steady: Recent::default(),
            last_steady: None,
            since: None,
            example: String::new(),
        }
    }

    fn count(&mut self, at: Timestamp, phase: Phase) {
        if self.since.is_none() || at - self.last_seen > LINGERS {
            self.since = Some(at);
        }
        self.last_seen = self.last_seen.max(at);
        self.lines += 1;
        self.recent.add(at);
        self.hour.0 = self.hour.0.saturating_add(1);
        if phase == Phase::Steady {
            self.last_steady = self.last_steady.max(Some(at));
            self.steady.add(at);
            self.hour.1 = self.hour.1.max(self.steady.count());
        }
    }

    /// Takes over what another one was, when both are one pattern.
    fn take_over(&mut self, other: Self) {
        self.grade = self.grade.max(other.grade);
        if other.first_seen < self.first_seen {
            self.first_seen = other.first_seen;
            self.id = other.id;
        }
        self.last_seen = self.last_seen.max(other.last_seen);
        self.lines += other.lines;
        self.accepted |= other.accepted;
        self.hour.0 = self.hour.0.saturating_add(other.hour.0);
    }
}

/// What is known of the error lines of one container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KnownLines {
    patterns: Vec<Remembered>,
    /// Lines that are no failures.
    harmless: Usual,
    /// The image it was listened to with, and since when.
    image: String,
    image_since: Option<Timestamp>,
    /// How long it was seen well, in seconds.
    well_secs: i64,
    /// When a pattern still in use had to make room.
    crowded_at: Option<Timestamp>,
    #[serde(skip)]
    watch: Watch,
}

/// What was watched of the present hour.
#[derive(Debug, Clone, Default)]
struct Watch {
    looked_at: Option<Timestamp>,
    hour: Option<i64>,
    watched: TimeDelta,
    ill: bool,
    harmless: (u32, u32),
    recent: Recent,
    news: bool,
}

impl KnownLines {
    /// Lets time pass up to `now`.
    pub(super) fn pass(&mut self, now: Timestamp, well: bool, facts: &ContainerFacts) {
        let passed = self.watch.looked_at.map_or(TimeDelta::zero(), |at| now - at);
        let passed = passed.clamp(TimeDelta::zero(), READ_BACK);
        self.watch.looked_at = Some(now);
        self.watch.watched += passed;
        if well {
            self.well_secs = self.well_secs.saturating_add(passed.num_seconds());
        } else {
            self.watch.ill = true;
        }
        if self.image != facts.image_id {
            let is_first = self.image.is_empty();
            self.image.clone_from(&facts.image_id);
            self.image_since = (!is_first).then_some(facts.started_at.unwrap_or(now).min(now));
        }
        let hour = now.timestamp().div_euclid(3_600);
        if let Some(last) = self.watch.hour.replace(hour).filter(|last| *last != hour) {
            self.fold(last, now);
        }
        self.watch.recent.fade(now);
        for pattern in &mut self.patterns {
            pattern.recent.fade(now);
            pattern.steady.fade(now);
            if now - pattern.last_seen > LINGERS {
                pattern.since = None;
                pattern.example = String::new();
            }
        }
    }

    /// An hour is over: what it held becomes part of what is usual, unless it was a bad one.
    fn fold(&mut self, hour: i64, now: Timestamp) {
        let watched = std::mem::take(&mut self.watch.watched);
        let ill = std::mem::take(&mut self.watch.ill);
        let harmless = std::mem::take(&mut self.watch.harmless);
        let counts = !ill && watched >= LEAST_OF_AN_HOUR;
        let whole = 3_600.0 / watched.as_seconds_f64().max(1.0);
        let of_day = usize::try_from(hour.rem_euclid(24)).unwrap_or(0);
        if counts {
            self.harmless.fold(of_day, f64::from(harmless.0) * whole, harmless.1);
        }
        for pattern in &mut self.patterns {
            let (lines, peak) = std::mem::take(&mut pattern.hour);
            // A new level that lasts is usual in the end.
            let odd = pattern.rising.is_some_and(|since| now - since < DAY);
            if counts && pattern.accepted && !odd {
                pattern.usual.fold(of_day, f64::from(lines) * whole, peak);
            }
        }
    }

    /// Reads new lines.
    pub(super) fn read(
        &mut self,
        lines: &[(&LogLine, bool)],
        phases: &Phases,
        ill: bool,
        now: Timestamp,
    ) {
        if lines.is_empty() {
            return;
        }
        let known: Vec<(&str, Grade)> =
            self.patterns.iter().map(|known| (known.template.as_str(), known.grade)).collect();
        let batch = Batch::read(lines, phases, &known);
        for at in batch.harmless {
            self.watch.recent.add(at.min(now));
            self.watch.harmless.0 = self.watch.harmless.0.saturating_add(1);
        }
        self.watch.harmless.1 = self.watch.harmless.1.max(self.watch.recent.count());
        for kind in batch.kinds {
            self.take(&kind, ill, now);
        }
    }

    fn take(&mut self, kind: &Kind, ill: bool, now: Timestamp) {
        let written = kind.lines.iter().filter(|(_, phase)| *phase != Phase::Stopping);
        let Some((first, _)) = written.clone().next() else {
            return;
        };
        let learning = !self.has_learnt();
        let Some(place) = self.place_of(kind, (*first).min(now), now) else {
            return;
        };
        let pattern = &mut self.patterns[place];
        pattern.grade = pattern.grade.max(kind.grade);
        if pattern.example.is_empty() || pattern.since.is_none() {
            pattern.example = clean(&kind.example, EXAMPLE_CHARS);
        }
        for (at, phase) in written {
            // Logs are read after the report began.
            pattern.count((*at).min(now), *phase);
        }
        let old = pattern.last_seen - pattern.first_seen >= DAY;
        if !ill && (learning || old || pattern.grade == Grade::Warning) {
            pattern.accepted = true;
        }
    }

    /// Where the pattern of these lines is kept; it is made if there is none. `None` for lines
    /// of which no more than the first words are known.
    fn place_of(&mut self, kind: &Kind, first: Timestamp, now: Timestamp) -> Option<usize> {
        let template = &kind.template;
        let known = |pattern: &Remembered| covers(&pattern.template, template);
        if let Some(place) = self.patterns.iter().position(known) {
            return Some(place);
        }
        if !kind.whole {
            return None;
        }
        let narrower = |pattern: &Remembered| covers(template, &pattern.template);
        if let Some(place) = self.patterns.iter().position(narrower) {
            self.widen(place, template.clone());
            return Some(place);
        }
        let near = self.patterns.iter().enumerate().find_map(|(place, pattern)| {
            let alike = pattern.grade == kind.grade;
            alike.then(|| joined(&pattern.template, template)).flatten().map(|wide| (place, wide))
        });
        if let Some((place, wide)) = near {
            self.widen(place, wide);
            return Some(place);
        }
        self.make_room(now);
        self.watch.news = true;
        self.patterns.push(Remembered::new(template.clone(), kind.grade, first));
        Some(self.patterns.len() - 1)
    }

    /// Gives a pattern a wider template; all that it covers now are one. Its place stays.
    fn widen(&mut self, place: usize, wide: String) {
        let mut others = vec![];
        for at in ((place + 1)..self.patterns.len()).rev() {
            if covers(&wide, &self.patterns[at].template) {
                others.push(self.patterns.swap_remove(at));
            }
        }
        let pattern = &mut self.patterns[place];
        pattern.template = wide;
        for other in others {
            pattern.take_over(other);
        }
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.patterns.len() < MOST_PATTERNS {
            return;
        }
        let least =
            |pattern: &Remembered| (pattern.accepted && pattern.lines > 2, pattern.last_seen);
        let place = (0..self.patterns.len()).min_by_key(|place| least(&self.patterns[*place]));
        if let Some(gone) = place.map(|place| self.patterns.swap_remove(place))
            && now - gone.last_seen < IN_USE
        {
            self.crowded_at = Some(now);
        }
    }

    /// Whether it was seen well for long enough that something can be new.
    pub(super) fn has_learnt(&self) -> bool {
        self.well_secs >= LEARNING.num_seconds()
    }

    /// Whether it was seen well for a day.
    pub(super) fn is_well_known(&self) -> bool {
        self.well_secs >= DAY.num_seconds()
    }

    /// Whether it writes too many kinds of lines to tell which are new.
    pub(super) fn is_crowded(&self, now: Timestamp) -> bool {
        self.crowded_at.is_some_and(|at| now - at < DAY)
    }

    /// When its image last changed while it was listened to.
    pub(super) const fn image_since(&self) -> Option<Timestamp> {
        self.image_since
    }

    pub(super) fn patterns(&self) -> &[Remembered] {
        &self.patterns
    }

    pub(super) fn patterns_mut(&mut self) -> &mut [Remembered] {
        &mut self.patterns
    }

    /// How many times busier than usual it is, by its harmless lines.
    pub(super) fn traffic(&self, now: Timestamp) -> f64 {
        self.harmless.busier(hour_of_day(now), self.watch.recent.count())
    }

    /// Whether a kind of line came since it was last written down.
    pub(super) const fn has_news(&self) -> bool {
        self.watch.news
    }

    /// A copy to be stored; there is no news after that.
    pub(super) fn written_down(&mut self) -> Self {
        self.watch.news = false;
        let patterns = self.patterns.iter().map(|pattern| Remembered {
            recent: Recent::default(),
            steady: Recent::default(),
            example: String::new(),
            ..pattern.clone()
        });
        Self { patterns: patterns.collect(), watch: Watch::default(), ..self.clone() }
    }
}

/// The hour of the day, in UTC.
pub(super) fn hour_of_day(at: Timestamp) -> usize {
    at.hour() as usize
}
