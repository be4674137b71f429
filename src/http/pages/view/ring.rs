//! A target between those that need it and those that it needs, as a drawing.
//!
//! One box a row, so that it is read on a telephone as well; an arrow leads from who needs to what
//! is needed.

use selfheal_agents::model::{Need, TargetId};

use super::tone;
use crate::coordinator::TargetSummary;

/// Boxes drawn on each side at most.
const MOST: usize = 12;
/// From one row to the next, in the drawing's units.
const ROW: usize = 56;
/// A box's height.
const BOX: usize = 44;
/// Where the boxes of the others begin.
const INDENT: usize = 36;
/// Where the arrows go along.
const SPINE: usize = 16;
/// The left edge of the target's own box: its border needs room, too.
const EDGE: usize = 1;
/// The right edge of all boxes.
const RIGHT: usize = 356;
/// What fits into a box, in letters of usual width.
const LETTERS: usize = 36;

/// A target in the drawing.
pub(super) struct Node {
    /// The target, as it is named in a link.
    pub(super) id: String,
    /// As much of the name as fits.
    pub(super) name: String,
    /// How this is known, or what it is.
    pub(super) note: String,
    pub(super) tone: &'static str,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) text_x: usize,
    pub(super) name_y: usize,
    pub(super) note_y: usize,
}

/// The drawing.
pub(super) struct Ring {
    pub(super) height: usize,
    pub(super) said: String,
    pub(super) nodes: Vec<Node>,
    /// Lines, each as the data of a path.
    pub(super) edges: Vec<String>,
    /// Tips of arrows, each as the corners of a triangle.
    pub(super) tips: Vec<String>,
    /// Who is not drawn, for want of room.
    pub(super) more: Vec<String>,
}

impl Ring {
    /// What stands around a target; `None` if nothing does.
    pub(super) fn of(target: &TargetSummary, all: &[TargetSummary]) -> Option<Self> {
        let needed_by: Vec<&Need> =
            all.iter().flat_map(|t| &t.needs).filter(|need| need.to == target.id).collect();
        if needed_by.is_empty() && target.needs.is_empty() {
            return None;
        }
        let above = needed_by.len().min(MOST);
        let below = target.needs.len().min(MOST);
        let tone_of =
            |id: &TargetId| all.iter().find(|t| t.id == *id).map_or("calm", |t| tone(t.verdict));
        let upper = needed_by.iter().take(MOST).enumerate().map(|(row, need)| {
            node(&need.from, &known(need, "needs it"), tone_of(&need.from), (INDENT, row))
        });
        let itself = node(&target.id, "this one", tone(target.verdict), (EDGE, above));
        let lower = target.needs.iter().take(MOST).enumerate().map(|(row, need)| {
            let row = above + 1 + row;
            node(&need.to, &known(need, "is needed"), tone_of(&need.to), (INDENT, row))
        });
        let (edges, tips) = arrows(above, below);
        Some(Self {
            height: (above + 1 + below) * ROW,
            said: format!(
                "{} is needed by {} and needs {}",
                target.id,
                needed_by.len(),
                target.needs.len()
            ),
            nodes: upper.chain([itself]).chain(lower).collect(),
            edges,
            tips,
            more: needed_by
                .iter()
                .map(|need| format!("{} needs it", need.from))
                .skip(MOST)
                .chain(target.needs.iter().map(|n| format!("{} is needed", n.to)).skip(MOST))
                .collect(),
        })
    }
}

fn known(need: &Need, what: &str) -> String {
    let sources: Vec<&str> = need.sources.iter().map(|source| source.as_str()).collect();
    format!("{what}: {}, {} % sure", sources.join(", "), need.weight)
}

fn node(id: &TargetId, note: &str, tone: &'static str, (x, row): (usize, usize)) -> Node {
    let y = row * ROW + (ROW - BOX) / 2;
    Node {
        id: id.to_string(),
        name: fitting(&id.to_string()),
        note: fitting(note),
        tone,
        x,
        y,
        width: RIGHT - x,
        text_x: x + 12,
        name_y: y + 19,
        note_y: y + 36,
    }
}

/// As much of a text as fits into a box; letters beyond ASCII may be twice as wide.
fn fitting(text: &str) -> String {
    let mut room = LETTERS * 2;
    let mut shown = String::new();
    for letter in text.chars() {
        let width = if letter.is_ascii() { 2 } else { 4 };
        if room < width {
            shown.push('…');
            break;
        }
        room -= width;
        shown.push(letter);
    }
    shown
}

/// The lines of all arrows, and their tips.
fn arrows(above: usize, below: usize) -> (Vec<String>, Vec<String>) {
    let middle = |row: usize| row * ROW + ROW / 2;
    let top = above * ROW + (ROW - BOX) / 2;
    let (mut edges, mut tips) = (vec![], vec![]);
    for row in 0..above {
        edges.push(format!("M{INDENT},{}H{SPINE}V{top}", middle(row)));
    }
    if above > 0 {
        tips.push(format!("{},{} {},{} {SPINE},{top}", SPINE - 5, top - 8, SPINE + 5, top - 8));
    }
    for row in above + 1..=above + below {
        let y = middle(row);
        edges.push(format!("M{SPINE},{}V{y}H{INDENT}", top + BOX));
        tips.push(format!("{},{} {},{} {INDENT},{y}", INDENT - 8, y - 5, INDENT - 8, y + 5));
    }
    (edges, tips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_wider_than_its_box() {
        assert_eq!(fitting("container:web"), "container:web");
        assert_eq!(fitting(&"x".repeat(200)).chars().count(), LETTERS + 1);
        assert_eq!(fitting(&"漢".repeat(200)).chars().count(), LETTERS / 2 + 1);
    }

    #[test]
    fn every_arrow_ends_at_what_is_needed() {
        let (edges, tips) = arrows(2, 1);
        let top = 2 * ROW + (ROW - BOX) / 2;
        assert!(edges[..2].iter().all(|edge| edge.ends_with(&format!("V{top}"))), "{edges:?}");
        assert!(edges[2].ends_with(&format!("H{INDENT}")), "{edges:?}");
        assert_eq!(tips.len(), 2);
        assert_eq!(arrows(0, 0), (vec![], vec![]));
    }
}
