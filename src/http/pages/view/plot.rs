//! What the browser draws a chart of: the values as JSON, in an attribute of the drawing that the
//! server made for whoever has no script.
//!
//! It only carries values; how they look is decided by `assets/selfheal.js` and the style.

use selfheal_agents::model::Timestamp;
use serde::Serialize;

/// A chart.
#[derive(Serialize)]
pub(super) struct Plot {
    /// From when to when.
    pub(super) span: (f64, f64),
    pub(super) shaded: Vec<Shade>,
    pub(super) series: Vec<Series>,
}

/// A stretch of time that is set off.
#[derive(Serialize)]
pub(super) struct Shade {
    /// A colour of the style.
    pub(super) tone: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// One line, or one row of marks.
#[derive(Serialize)]
pub(super) struct Series {
    pub(super) name: String,
    /// Lines of one unit share an axis; with marks it only names theirs.
    pub(super) unit: String,
    /// What the lower and the upper edge stand for.
    pub(super) range: (f64, f64),
    /// A colour of the style.
    pub(super) tone: &'static str,
    pub(super) look: Look,
    pub(super) at: Vec<f64>,
    /// Nothing where nothing is known: the line has a gap there.
    pub(super) values: Vec<Option<f64>>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Look {
    Line,
    Dashed,
    /// Single marks at the lower edge, of which only that they are there counts.
    Marks,
}

impl Plot {
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are plain JSON")
    }
}

/// A moment as the browser's charts have it: seconds since 1970.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}
