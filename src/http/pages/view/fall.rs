//! How a confidence comes about, entry by entry: each is drawn from where the one before it ended.

use selfheal_agents::model::Ledger;

/// One entry of a ledger.
pub(super) struct Entry {
    pub(super) points: String,
    pub(super) what: String,
    pub(super) tone: &'static str,
    /// The sum up to here.
    pub(super) sum: i64,
    /// Where its bar begins, and how long it is, in percent of the drawing.
    pub(super) x: i64,
    pub(super) width: i64,
}

/// The entries with their bars; what leaves the scale is cut off there, as the confidence is.
pub(super) fn entries(ledger: &Ledger) -> Vec<Entry> {
    let mut sum = 0_i64;
    let drawn = |sum: i64| sum.clamp(0, 100);
    ledger
        .entries
        .iter()
        .map(|entry| {
            let before = drawn(sum);
            sum += i64::from(entry.points);
            let (x, end) = (before.min(drawn(sum)), before.max(drawn(sum)));
            Entry {
                points: format!("{:+}", entry.points),
                what: entry.what.clone(),
                tone: if entry.points < 0 { "against" } else { "for" },
                sum,
                x,
                width: (end - x).max(1),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::LedgerSource;

    use super::*;

    #[test]
    fn each_bar_begins_where_the_one_before_it_ended_and_none_leaves_the_scale() {
        let mut ledger = Ledger::with_base(80, "");
        ledger.add(30, "", LedgerSource::Evidence);
        ledger.add(-25, "", LedgerSource::History);
        let drawn: Vec<_> = entries(&ledger).iter().map(|e| (e.x, e.width, e.sum)).collect();
        assert_eq!(drawn, [(0, 80, 80), (80, 20, 110), (85, 15, 85)]);
    }
}
