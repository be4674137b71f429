//! Finds the patterns of log lines that nobody wrote a rule for.
//!
//! A [`Miner`] reads lines one by one: it cuts the logger's header off, takes the level from
//! it, masks what looks like a value, and groups what is left. The only thing it knows of
//! programs is how people write moments, levels, names and numbers. Its memory is bounded
//! whatever it reads, and the same lines in the same order give the same patterns with the
//! same ids: an id is a hash of its template's text.
//!
//! It does not judge: whether a pattern is trouble is the error detector's to say.

mod bytes;
mod cluster;
mod fields;
mod header;
mod level;
mod records;
mod scan;
mod words;

use serde::Serialize;

use cluster::Clusters;
use scan::Scanner;

pub use level::Level;
pub use records::Records;
pub use words::tells_of_failure;

/// Clusters kept unless said otherwise.
pub const DEFAULT_LIMIT: usize = 16_384;
/// Bytes of an example that are kept.
const EXAMPLE_BYTES: usize = 400;

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Lines are messages without a header.
    pub message_only: bool,
    /// Clusters kept at most, give or take an eighth.
    pub limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { message_only: false, limit: DEFAULT_LIMIT }
    }
}

/// The cluster of a line, to be asked for later: it may yet be merged into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u32);

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its cluster.
    pub handle: Handle,
    /// The level it carries.
    pub level: Option<Level>,
}

/// The id of a pattern: 16 hexadecimal digits, a hash of the template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternId(u64);

impl PatternId {
    /// The id of a template. FNV-1a, 64 bits.
    pub fn of(template: &str) -> Self {
        let hash = template.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash)
    }
}

impl std::fmt::Display for PatternId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for PatternId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Lines that say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pattern {
    /// Its id.
    pub id: PatternId,
    /// What stays; `<*>` stands for what varies.
    pub template: String,
    /// How many lines.
    pub count: u64,
    /// How many of them by level, the least grave first; lines without a level are left out.
    pub levels: Vec<(Level, u64)>,
    /// Whether most of them are errors by their level; by their words if they have none.
    pub failure: bool,
    /// The first such line, cut.
    pub example: String,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    count: u64,
    levels: [u64; Level::ALL.len()],
    example: Box<[u8]>,
}

impl Tally {
    fn failure(&self, template: &str) -> bool {
        let levelled: u64 = self.levels.iter().sum();
        let errors: u64 = self.levels[Level::Error as usize..].iter().sum();
        if levelled > 0 { errors * 2 > levelled } else { tells_of_failure(template) }
    }
}

/// Reads lines and keeps their patterns.
#[derive(Debug)]
pub struct Miner {
    options: Options,
    scanner: Scanner,
    clusters: Clusters,
    /// The message of a line that is made of fields.
    message: Vec<u8>,
    tallies: Vec<Tally>,
}

impl Default for Miner {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Miner {
    /// A miner that has read nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            scanner: Scanner::default(),
            clusters: Clusters::new(options.limit),
            message: vec![],
            tallies: vec![],
        }
    }

    /// Reads one line without its line feed, or a record of several lines.
    pub fn read(&mut self, line: &[u8]) -> Seen {
        let (node, level) = self.node(line);
        self.tally(node, level, line);
        Seen { handle: Handle(node), level }
    }

    fn node(&mut self, line: &[u8]) -> (u32, Option<Level>) {
        if self.options.message_only {
            self.scanner.scan(line, 0);
            return (self.clusters.of(line, &self.scanner.tokens), None);
        }
        if let Some(fields) = fields::read(line, &mut self.message) {
            // A logger within a logger: the message may have a header of its own.
            let header = header::read(&self.message);
            self.scanner.scan(&self.message, header.end);
            let node = self.clusters.of(&self.message, &self.scanner.tokens);
            return (node, fields.level.or(header.level));
        }
        let header = header::read(line);
        self.scanner.scan(line, header.end);
        (self.clusters.of(line, &self.scanner.tokens), header.level)
    }

    fn tally(&mut self, node: u32, level: Option<Level>, line: &[u8]) {
        if self.tallies.len() < self.clusters.len() {
            self.tallies.resize(self.clusters.len(), Tally::default());
        }
        let tally = &mut self.tallies[node as usize];
        if tally.count == 0 {
            tally.example = line[..line.len().min(EXAMPLE_BYTES)].into();
        }
        tally.count += 1;
        if let Some(level) = level {
            tally.levels[level as usize] += 1;
        }
    }

    /// Takes a template that was found earlier as one of its own, so that lines go on where an
    /// earlier miner stopped. It counts as no line.
    pub fn take_up(&mut self, template: &str) {
        self.scanner.scan(template.as_bytes(), 0);
        self.clusters.of(template.as_bytes(), &self.scanner.tokens);
    }

    /// The level a line carries, without grouping it.
    pub fn level_of(&mut self, line: &[u8]) -> Option<Level> {
        match fields::read(line, &mut self.message) {
            Some(fields) => fields.level.or_else(|| header::read(&self.message).level),
            None => header::read(line).level,
        }
    }

    /// The template of a line's cluster, as things stand.
    pub fn template_of(&self, line: Handle) -> String {
        self.template(self.clusters.root(line.0))
    }

    /// The cluster that a line's cluster was merged into, as things stand.
    pub fn root_of(&self, line: Handle) -> Handle {
        Handle(self.clusters.root(line.0))
    }

    /// Whether there was no more room: some lines were grouped by their first words only.
    pub fn is_full(&self) -> bool {
        self.clusters.len() >= self.options.limit
    }

    /// The pattern of every handle given out so far, by [`Handle::index`], as things stand.
    pub fn ids(&self) -> Vec<PatternId> {
        let mut of_root = vec![None; self.clusters.len()];
        let nodes = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
        (0..nodes)
            .map(|node| {
                let root = self.clusters.root(node);
                *of_root[root as usize].get_or_insert_with(|| PatternId::of(&self.template(root)))
            })
            .collect()
    }

    fn template(&self, root: u32) -> String {
        cluster::template(self.clusters.pieces(root))
    }

    /// All patterns, the most frequent first.
    pub fn patterns(&self) -> Vec<Pattern> {
        let ids = self.ids();
        let mut by_id = std::collections::BTreeMap::<PatternId, (u32, Tally)>::new();
        for (node, tally) in self.tallies.iter().enumerate().filter(|(_, tally)| tally.count > 0) {
            let root = self.clusters.root(u32::try_from(node).unwrap_or(u32::MAX));
            let (_, sum) = by_id.entry(ids[node]).or_insert_with(|| (root, Tally::default()));
            if sum.count == 0 {
                sum.example.clone_from(&tally.example);
            }
            sum.count += tally.count;
            for (all, some) in sum.levels.iter_mut().zip(tally.levels) {
                *all += some;
            }
        }
        let mut patterns: Vec<Pattern> = by_id
            .into_iter()
            .map(|(id, (root, tally))| (id, self.template(root), tally))
            .map(|(id, template, tally)| Pattern {
                id,
                failure: tally.failure(&template),
                template,
                count: tally.count,
                levels: Level::ALL.into_iter().zip(tally.levels).filter(|(_, n)| *n > 0).collect(),
                example: String::from_utf8_lossy(&tally.example).into_owned(),
            })
            .collect();
        patterns.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.template.cmp(&b.template)));
        patterns
    }
}

impl Handle {
    /// Its number, from 0; as many are given out as the miner keeps clusters.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests;
