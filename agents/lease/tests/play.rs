//! One schedule: nodes, a referee and what lies between them, in true milliseconds.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use crate::lease::{Ask, Mark, Reading, Row, Tenure};

const NODES: usize = 3;
const END: u64 = 90_000;
const USUAL: Duration = Duration::from_secs(4);
const EVERY: u64 = 1000;
/// An answer is waited for so long.
const PATIENCE: u64 = 2500;

/// What is taken out, to see that the schedules would show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    MarksAreNotCompared,
    TimeLeftIsNotAsked,
    NobodyWaits,
    ForgettingIsNotNoticed,
}

/// Work at the target.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    holder: String,
    fence: i64,
    from: u64,
    to: u64,
}

#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) effects: Vec<Effect>,
    pub(super) passed: usize,
    /// When the referee was put back to an older state.
    pub(super) put_back: Option<u64>,
    /// Whether that was felt: what it said last was not what it says from then on.
    pub(super) has_forgotten: bool,
}

impl Played {
    /// Two that were at work at once.
    pub(super) fn overlap(&self) -> Option<(Effect, Effect)> {
        let pairs = self.effects.iter().enumerate().flat_map(|(nth, one)| {
            self.effects[nth + 1..].iter().map(move |other| (one.clone(), other.clone()))
        });
        pairs.into_iter().find(|(one, other)| {
            one.holder != other.holder && one.from < other.to && other.from < one.to
        })
    }

    /// Of a referee that forgets nothing.
    pub(super) fn fences_only_grow(&self) -> bool {
        let mut sorted = self.effects.clone();
        sorted.sort_by_key(|effect| effect.from);
        sorted.windows(2).all(|two| {
            two[0].fence < two[1].fence
                || (two[0].fence == two[1].fence && two[0].holder == two[1].holder)
        })
    }

    pub(super) fn holders(&self) -> usize {
        self.effects.iter().map(|effect| &effect.holder).collect::<BTreeSet<_>>().len()
    }
}

impl PartialEq for Effect {
    fn eq(&self, other: &Self) -> bool {
        (self.from, self.to, &self.holder) == (other.from, other.to, &other.holder)
    }
}

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }
    fn one_in(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }
}

/// What happens at a node or on the way to it.
#[derive(Debug, Clone)]
enum Event {
    /// It looks, if nothing is under way.
    Turn,
    /// It wants to do something.
    Act,
    /// The referee is reached: it is read ...
    Read(u64),
    /// ... or is asked of the era that is known; the numbers are the round they belong to.
    Ask(Ask, String, u64),
    /// The row arrives, with its era.
    Row(String, Option<Row>, u64),
    /// The answer to what was asked at that time of the node's.
    Answer(Option<Mark>, u64),
    /// The call at the target is over.
    Done(u64),
    /// It ends, and begins anew after so long.
    Crash(u64),
    Begin,
    /// The referee is put back to what it was at that time.
    PutBack(u64),
}

impl Event {
    /// Whether it happens at the referee, whatever becomes of the node.
    fn is_at_referee(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Ask(..) | Self::PutBack(_))
    }
}

struct Node {
    tenure: Tenure,
    life: u64,
    /// Its clock is this much ahead, and runs so many thousandths fast.
    ahead: u64,
    fast: u64,
    stopped_until: u64,
    is_gone: bool,
    /// The round under way, and until when its answer is waited for.
    round: u64,
    waits_until: Option<u64>,
    asked: Option<(Ask, Duration)>,
    /// The call that is asked for: its number and limit.
    call: Option<(u64, u64)>,
}

impl Node {
    fn begin(name: usize, life: u64, dice: &mut Dice) -> Self {
        let mut tenure = Tenure::new(format!("n{name}/{life}"), USUAL);
        tenure.set_wanted(dice.one_in(3));
        Self {
            tenure,
            life,
            ahead: dice.between(0, 10_000_000),
            fast: dice.between(990, 1010),
            stopped_until: 0,
            is_gone: false,
            round: 0,
            waits_until: None,
            asked: None,
            call: None,
        }
    }

    fn clock(&self, now: u64) -> Duration {
        Duration::from_millis(self.ahead + now * self.fast / 1000)
    }
}

struct Stage {
    dice: Dice,
    fault: Fault,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: Vec<Option<(usize, u64, Event)>>,
    nodes: Vec<Node>,
    row: Option<Row>,
    /// What the row was from when on.
    history: Vec<(u64, Option<Row>)>,
    era: u64,
    away: (u64, u64),
    played: Played,
}

/// Plays the schedule of a seed.
pub(super) fn play(seed: u64, fault: Fault) -> Played {
    let mut dice = Dice(seed);
    let nodes: Vec<Node> = (0..NODES).map(|n| Node::begin(n, 0, &mut dice)).collect();
    let away = dice.between(5000, END);
    let away = (away, away + dice.between(100, 12_000));
    let mut stage = Stage {
        dice,
        fault,
        queue: BinaryHeap::new(),
        events: vec![],
        nodes,
        row: None,
        history: vec![],
        era: 0,
        away,
        played: Played::default(),
    };
    for node in 0..NODES {
        let begins = stage.dice.between(0, 3000);
        stage.add(begins, node, Event::Turn);
        stage.add(begins + EVERY, node, Event::Act);
        if stage.dice.one_in(2) {
            let (at, gone) = (stage.dice.between(2000, END), stage.dice.between(10, 20_000));
            stage.add(at, node, Event::Crash(gone));
        }
    }
    if stage.dice.one_in(2) {
        let at = stage.dice.between(10_000, END);
        let to = stage.dice.between(0, at);
        stage.add(at, 0, Event::PutBack(to));
    }
    stage.run();
    stage.played
}

impl Stage {
    fn add(&mut self, at: u64, node: usize, event: Event) {
        let life = self.nodes[node].life;
        self.queue.push(Reverse((at, self.events.len() as u64)));
        self.events.push(Some((node, life, event)));
    }

    fn run(&mut self) {
        while let Some(Reverse((now, nth))) = self.queue.pop() {
            if now > END {
                break;
            }
            let nth = usize::try_from(nth).expect("few events");
            let Some((node, life, event)) = self.events[nth].take() else { continue };
            let at_referee = event.is_at_referee();
            if !at_referee && life != self.nodes[node].life {
                continue;
            }
            if !at_referee && self.nodes[node].stopped_until > now {
                let later = self.nodes[node].stopped_until;
                self.add(later, node, event);
                continue;
            }
            self.happen(now, node, life, event);
            if !at_referee && self.dice.one_in(60) {
                self.nodes[node].stopped_until = now + self.dice.between(100, 15_000);
            }
        }
    }

    /// On its way; `None` where it is lost.
    fn way(&mut self, now: u64) -> Option<u64> {
        if self.dice.one_in(15) {
            return None;
        }
        // Mostly quick, at times later than anybody waits.
        let most = if self.dice.one_in(12) { 9000 } else { 60 };
        Some(now + self.dice.between(1, most))
    }

    fn happen(&mut self, now: u64, node: usize, life: u64, event: Event) {
        match event {
            Event::Turn => self.turn(now, node),
            Event::Act => self.want_to_act(now, node),
            Event::Read(round) => {
                let back = self.reached(now).filter(|_| life == self.nodes[node].life);
                if let Some(back) = back {
                    let (era, row) = (self.era.to_string(), self.row.clone());
                    self.add(back, node, Event::Row(era, row, round));
                }
            }
            Event::Ask(ask, era, round) => {
                let back = self.reached(now);
                if self.is_away(now) {
                    return;
                }
                let is_known = era == self.era.to_string();
                let mark =
                    is_known.then(|| self.referee(now, format!("n{node}/{life}"), &ask)).flatten();
                if let Some(back) = back
                    && life == self.nodes[node].life
                {
                    self.add(back, node, Event::Answer(mark, round));
                }
            }
            Event::Row(era, row, round) => self.row_arrives(now, node, &era, row.as_ref(), round),
            Event::PutBack(to) => self.put_back(now, to),
            Event::Answer(mark, round) => self.answer_arrives(now, node, mark, round),
            Event::Done(call) => self.nodes[node].tenure.ended(call),
            Event::Crash(gone) => {
                self.nodes[node].is_gone = true;
                self.add(now + gone, node, Event::Begin);
            }
            Event::Begin => {
                let life = self.nodes[node].life + 1;
                self.nodes[node] = Node::begin(node, life, &mut self.dice);
                self.add(now, node, Event::Turn);
                self.add(now + EVERY, node, Event::Act);
            }
        }
    }

    fn is_away(&self, now: u64) -> bool {
        (self.away.0..self.away.1).contains(&now)
    }

    fn reached(&mut self, now: u64) -> Option<u64> {
        if self.is_away(now) { None } else { self.way(now) }
    }

    fn is_free(&mut self, now: u64, node: usize) -> bool {
        let node = &mut self.nodes[node];
        if node.waits_until.is_some_and(|until| until <= now) {
            // Given up; it may arrive all the same.
            node.waits_until = None;
            node.asked = None;
            if let Some((call, _)) = node.call.take() {
                node.tenure.ended(call);
            }
        }
        !node.is_gone && node.waits_until.is_none()
    }

    fn turn(&mut self, now: u64, node: usize) {
        let next = now + EVERY;
        self.add(next, node, Event::Turn);
        if !self.is_free(now, node) {
            return;
        }
        self.nodes[node].round += 1;
        self.nodes[node].waits_until = Some(now + PATIENCE);
        if let Some(there) = self.way(now) {
            let round = self.nodes[node].round;
            self.add(there, node, Event::Read(round));
        }
    }

    fn put_back(&mut self, now: u64, to: u64) {
        let then = self.history.iter().rev().find(|(at, _)| *at <= to);
        let then = then.and_then(|(_, row)| row.clone());
        self.played.put_back = Some(now);
        self.played.has_forgotten = then != self.row;
        self.row = then;
        self.era += 1;
    }

    fn row_arrives(&mut self, now: u64, node: usize, era: &str, row: Option<&Row>, round: u64) {
        if self.nodes[node].is_gone || self.nodes[node].round != round {
            return;
        }
        if self.nodes[node].waits_until.is_none_or(|until| until <= now) {
            return;
        }
        let clock = self.nodes[node].clock(now);
        if self.fault == Fault::ForgettingIsNotNoticed {
            let tenure = &mut self.nodes[node].tenure;
            (tenure.era, tenure.newest, tenure.in_doubt_since) = (Some(era.to_owned()), None, None);
        }
        let mut ask = self.nodes[node].tenure.after_reading(Reading { era, row }, clock);
        if let (Fault::NobodyWaits, Ask::Nothing, Some(row)) = (self.fault, &ask, row) {
            ask = Ask::Take { from: Some(row.mark), above: 0, length: USUAL };
        }
        self.send(now, node, ask);
    }

    fn send(&mut self, now: u64, node: usize, ask: Ask) {
        if ask == Ask::Nothing {
            self.nodes[node].waits_until = None;
            return;
        }
        let clock = self.nodes[node].clock(now);
        self.nodes[node].asked = Some((ask.clone(), clock));
        self.nodes[node].waits_until = Some(now + PATIENCE);
        let round = self.nodes[node].round;
        if let Some(there) = self.way(now) {
            let era = self.nodes[node].tenure.era().unwrap_or_default().to_owned();
            self.add(there, node, Event::Ask(ask, era, round));
        }
    }

    fn want_to_act(&mut self, now: u64, node: usize) {
        let next = now + self.dice.between(200, 4000);
        self.add(next, node, Event::Act);
        if !self.is_free(now, node) {
            return;
        }
        let limit = if self.dice.one_in(6) { 9000 } else { self.dice.between(100, 3000) };
        let clock = self.nodes[node].clock(now);
        let asked = self.nodes[node].tenure.before_call(Duration::from_millis(limit), clock);
        let Some((call, ask)) = asked else { return };
        self.nodes[node].round += 1;
        self.nodes[node].call = Some((call, limit));
        self.send(now, node, ask);
    }

    fn answer_arrives(&mut self, now: u64, node: usize, mark: Option<Mark>, round: u64) {
        let (fault, one) = (self.fault, &mut self.nodes[node]);
        if one.is_gone || one.round != round {
            return;
        }
        let Some((ask, sent)) = one.asked.take() else { return };
        one.waits_until = None;
        one.tenure.answered(&ask, sent, mark);
        let Some((call, limit)) = one.call.take() else { return };
        let may = one.tenure.may_act(Duration::from_millis(limit), one.clock(now));
        if may || (fault == Fault::TimeLeftIsNotAsked && mark.is_some()) {
            let fence = one.tenure.fence().unwrap_or_default();
            let holder = format!("n{node}/{}", one.life);
            // By true time: whoever keeps the limit may have a slow clock.
            let to = now + self.dice.between(1, limit * 99 / 100);
            self.played.effects.push(Effect { holder, fence, from: now, to });
            self.add(to, node, Event::Done(call));
        } else {
            one.tenure.ended(call);
        }
    }

    /// What PostgreSQL does in one statement.
    fn referee(&mut self, time: u64, me: String, ask: &Ask) -> Option<Mark> {
        let now = self.row.as_ref().map(|row| row.mark);
        let fits = |from: Mark| self.fault == Fault::MarksAreNotCompared || now == Some(from);
        let (holder, mark, length) = match ask {
            Ask::Want { from } => {
                if fits(*from) {
                    self.row.as_mut()?.wanted_by = Some(me);
                }
                return None;
            }
            Ask::Take { from: None, above, length } if now.is_none() => {
                (me, Mark { fence: above + 1, beat: 0 }, *length)
            }
            Ask::Take { from: Some(from), above, length } if fits(*from) => {
                (me, Mark { fence: now?.fence.max(*above) + 1, beat: 0 }, *length)
            }
            Ask::Renew { from, length } if fits(*from) => {
                (me, Mark { fence: now?.fence, beat: now?.beat + 1 }, *length)
            }
            Ask::Pass { from, to } if fits(*from) => {
                self.played.passed += 1;
                (to.clone(), Mark { fence: now?.fence + 1, beat: 0 }, USUAL)
            }
            _ => return None,
        };
        let wanted_by = match ask {
            Ask::Renew { .. } => self.row.as_ref().and_then(|row| row.wanted_by.clone()),
            _ => None,
        };
        self.row = Some(Row { holder, mark, length, wanted_by });
        self.history.push((time, self.row.clone()));
        Some(mark)
    }
}
