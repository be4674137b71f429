//! Who of several nodes may touch a target that all of them reach: one lease a target.
//!
//! The leases lie with a referee that changes a row only where it still is as whoever asks has seen
//! it, and that gives each new holder a higher number, the fence. No clock of the day is compared
//! with another, so none that jumps does harm: a holder counts the time it has left from before it
//! asked, and another takes the lease over only after it has seen the row unchanged for longer than
//! the lease is long, each by how long *it* waited. The one invariant: whoever [`Tenure::may_act`]
//! says yes to is alone until the call has ended, as long as no two clocks run apart by more than
//! [`SPARE`].
//!
//! A referee may forget: it is put back to an older state, or to none, while somebody goes on by what
//! it said before. So a row that is missing, older than one that was seen, or of a referee that has
//! begun anew (another [`Reading::era`] than before) says nothing of who is at work: whoever has the lease
//! by its own count writes it down again, and everybody else waits as long as the longest that was
//! ever seen. What is had for longer than that, by one that is stopped as well while the referee is
//! put back, is not known to a node that began since.
//!
//! It asks nobody itself and knows no database. Between its yes and the call nothing may lie that
//! takes time: what stops a process just there cannot be seen from within it.
//!
//! Rejected: the referee's own time in each row. It saves the waiting of one who has just come, and
//! a referee whose clock is set forward gives one target to two.

use std::time::Duration;

/// Whoever takes over waits this part of the lease's length longer, for clocks that run apart.
const SPARE: u32 = 10;
/// This part of the usual length is added to what a call needs, for the way to the referee.
const WAY: u32 = 4;

/// What the referee answers of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Since when the referee goes on without a break, in its own words. Nothing is compared but
    /// whether it is the same as before.
    pub era: &'a str,
    /// What stands there, if anything does.
    pub row: Option<&'a Row>,
}

/// What stands with the referee for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who has it.
    pub holder: String,
    /// Of when it is.
    pub mark: Mark,
    /// For how long it is had, from the moment at which the mark was written.
    pub length: Duration,
    /// Who waits for it, to end what it began here.
    pub wanted_by: Option<String>,
}

/// One state of a row; whoever changes the row changes it. The later is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Grows with each new holder.
    pub fence: i64,
    /// Grows each time the holder renews it.
    pub beat: i64,
}

/// What to ask the referee for. Each is done only where the row still bears this mark, in the same
/// era ([`Tenure::era`]), and the answer is the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: another has it.
    Nothing,
    /// Have it, for so long; without a mark where there is no row.
    Take {
        /// The row as it is.
        from: Option<Mark>,
        /// The new fence is higher than this.
        above: i64,
        /// For how long.
        length: Duration,
    },
    /// Go on having it, for so long from now.
    Renew {
        /// The row as it is.
        from: Mark,
        /// For how long.
        length: Duration,
    },
    /// Give it to who waits for it.
    Pass {
        /// The row as it is.
        from: Mark,
        /// Who waits.
        to: String,
    },
    /// Say that it is waited for; the mark stays.
    Want {
        /// The row as it is.
        from: Mark,
    },
}

/// A lease as its holder knows it.
#[derive(Debug, Clone, Copy)]
struct Held {
    mark: Mark,
    until: Duration,
}

/// A lease as another sees it.
#[derive(Debug, Clone)]
struct Seen {
    holder: String,
    mark: Mark,
    length: Duration,
    /// When it was first seen like this.
    since: Duration,
}

/// A call under way, by the number it was given.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u64,
    until: Duration,
}

/// What one node knows of the lease of one target. All times are how long it has run, by a clock
/// that only goes forward.
#[derive(Debug, Clone)]
pub struct Tenure {
    me: String,
    usual: Duration,
    held: Option<Held>,
    seen: Option<Seen>,
    era: Option<String>,
    /// The newest state of the row that was seen since the referee last forgot something.
    newest: Option<Mark>,
    /// The highest fence that was ever seen.
    highest: i64,
    /// The longest that anybody was seen to have it for.
    longest: Duration,
    /// Since when the row says nothing of who is at work.
    in_doubt_since: Option<Duration>,
    calls: Vec<Call>,
    next_call: u64,
    /// Whether something begun here is to be ended.
    is_wanted: bool,
    /// Whether a repair is at work, which is not to be given away from.
    is_busy: bool,
}

impl Tenure {
    /// Of a node that has just begun; `me` is nobody else's, not even its own from an earlier start.
    pub fn new(me: impl Into<String>, usual: Duration) -> Self {
        Self {
            me: me.into(),
            usual,
            held: None,
            seen: None,
            era: None,
            newest: None,
            highest: 0,
            longest: usual,
            in_doubt_since: None,
            calls: vec![],
            next_call: 0,
            is_wanted: false,
            is_busy: false,
        }
    }

    /// What to ask for, by what was read and arrived by `now`. It is asked at once.
    pub fn after_reading(&mut self, reading: Reading<'_>, now: Duration) -> Ask {
        self.doubt(reading, now);
        let row = reading.row;
        self.note(row.map(|row| row.mark), row.map_or(Duration::ZERO, |row| row.length));
        let is_sure = self.is_sure(now);
        match row {
            Some(row) if row.holder == self.me && (is_sure || self.is_held(now)) => {
                self.keep(row, now)
            }
            // By its own count it has what the referee forgot.
            _ if !is_sure && self.is_held(now) => self.taking(row, now),
            Some(row) => self.wait(row, is_sure, now),
            None => {
                self.held = None;
                if is_sure { self.taking(row, now) } else { Ask::Nothing }
            }
        }
    }

    /// Notes whether the referee may have forgotten something.
    fn doubt(&mut self, reading: Reading<'_>, now: Duration) {
        let is_another = self.era.as_deref() != Some(reading.era);
        if is_another || reading.row.map(|row| row.mark) < self.newest {
            // What was seen unchanged so far was another row.
            self.seen = None;
            self.newest = None;
            self.in_doubt_since = Some(now);
        }
        if is_another {
            self.era = Some(reading.era.to_owned());
        }
    }

    fn note(&mut self, mark: Option<Mark>, length: Duration) {
        self.newest = self.newest.max(mark);
        self.highest = self.highest.max(mark.map_or(0, |mark| mark.fence));
        self.longest = self.longest.max(length);
    }

    /// Whether nobody can be at work by what the referee said before it forgot.
    fn is_sure(&self, now: Duration) -> bool {
        let enough = self.longest + self.longest / SPARE;
        self.in_doubt_since.is_none_or(|since| now.saturating_sub(since) > enough)
    }

    fn keep(&mut self, row: &Row, now: Duration) -> Ask {
        self.seen = None;
        match &row.wanted_by {
            Some(other) if *other != self.me && !self.is_busy && self.calls.is_empty() => {
                self.held = None;
                Ask::Pass { from: row.mark, to: other.clone() }
            }
            _ => self.renewal(row.mark, now),
        }
    }

    fn wait(&mut self, row: &Row, is_sure: bool, now: Duration) -> Ask {
        self.held = None;
        let waited = self.waited(row, now);
        if is_sure && waited > row.length + row.length / SPARE {
            return self.taking(Some(row), now);
        }
        if self.is_wanted && row.holder != self.me && row.wanted_by.is_none() {
            return Ask::Want { from: row.mark };
        }
        Ask::Nothing
    }

    fn taking(&mut self, row: Option<&Row>, now: Duration) -> Ask {
        let (from, length) = (row.map(|row| row.mark), self.length(now));
        self.have_at_most(now + length);
        Ask::Take { from, above: self.highest, length }
    }

    /// For how long the row has been seen as it is.
    fn waited(&mut self, row: &Row, now: Duration) -> Duration {
        let same = self.seen.as_ref().filter(|seen| {
            seen.mark == row.mark && seen.holder == row.holder && seen.length == row.length
        });
        if let Some(seen) = same {
            return now.saturating_sub(seen.since);
        }
        let (holder, mark, length) = (row.holder.clone(), row.mark, row.length);
        self.seen = Some(Seen { holder, mark, length, since: now });
        Duration::ZERO
    }

    fn renewal(&mut self, from: Mark, now: Duration) -> Ask {
        let length = self.length(now);
        self.have_at_most(now + length);
        Ask::Renew { from, length }
    }

    /// From the moment at which it is asked others may go by the new length.
    fn have_at_most(&mut self, until: Duration) {
        if let Some(held) = &mut self.held {
            held.until = held.until.min(until);
        }
    }

    fn length(&self, now: Duration) -> Duration {
        let needed = self.calls.iter().map(|call| call.until).max();
        let needed = needed.map_or(Duration::ZERO, |until| until.saturating_sub(now));
        self.usual.max(needed + self.usual / WAY)
    }

    /// What to ask for before a call that ends within `limit`; answers also the number of the call,
    /// for [`Self::ended`]. Nothing where the lease is another's.
    pub fn before_call(&mut self, limit: Duration, now: Duration) -> Option<(u64, Ask)> {
        let mark = self.held.filter(|held| held.until > now)?.mark;
        let number = self.next_call;
        self.next_call += 1;
        // The way there is not part of the call.
        self.calls.push(Call { number, until: now + limit + self.usual / WAY });
        Some((number, self.renewal(mark, now)))
    }

    /// The call is over, however it ended.
    pub fn ended(&mut self, number: u64) {
        self.calls.retain(|call| call.number != number);
    }

    /// What became of an `ask` that was sent at `sent`: the row's new mark, or `None` where it was
    /// not as thought.
    pub fn answered(&mut self, ask: &Ask, sent: Duration, mark: Option<Mark>) {
        let (Ask::Take { length, .. } | Ask::Renew { length, .. }) = ask else { return };
        if let Some(mark) = mark {
            self.seen = None;
            self.in_doubt_since = None;
            self.note(Some(mark), *length);
            self.held = Some(Held { mark, until: sent + *length });
        }
    }

    /// The referee's era in which everything is asked for; `None` before it was read.
    pub fn era(&self) -> Option<&str> {
        self.era.as_deref()
    }

    /// Whether a call that ends within `limit` may begin this instant.
    pub fn may_act(&self, limit: Duration, now: Duration) -> bool {
        self.held.is_some_and(|held| held.until > now + limit)
    }

    /// Whether it is had now.
    pub fn is_held(&self, now: Duration) -> bool {
        self.may_act(Duration::ZERO, now)
    }

    /// The number under which it is had.
    pub fn fence(&self) -> Option<i64> {
        self.held.map(|held| held.mark.fence)
    }

    /// Who has it instead, as far as is known.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.holder.as_str())
    }

    /// Says whether something that was begun here waits for the lease.
    pub fn set_wanted(&mut self, is_wanted: bool) {
        self.is_wanted = is_wanted;
    }

    /// Says whether a repair is at work, so that it is not given away meanwhile.
    pub fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }
}

#[cfg(test)]
mod tests;
