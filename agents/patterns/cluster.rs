//! Groups messages by what stays in them.
//!
//! Messages with the same tokens are one cluster at once. For every place of a new cluster
//! it is noted what stood there while everything else was the same; when that is too much to
//! be different messages, the place is a value and the clusters become one. What stands
//! there has weight: names and numbers vary more readily than plain words, and the first
//! word of a message hardly ever.
//!
//! The number of clusters is bounded: beyond it, messages are grouped by their first words.

mod piece;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::scan::{Kind, Token, VALUE};
use piece::{kept, mixed, sum, widened};

pub(super) use piece::{Piece, template};

/// Weight at which what stood in one place is one value.
const ENOUGH: u32 = 10;
/// Combinations of names, everything else being the same, that are one message.
const COMBINATIONS: u32 = 4;
/// Places of a message at which words are compared.
const MAX_PLACES: usize = 64;
/// Words that are kept of a message for which there is no room.
const COARSE_WORDS: usize = 2;
/// Sums kept for each cluster, on average.
const SUMS_PER_CLUSTER: usize = 8;

/// For keys that are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type BySum<V> = HashMap<u64, V, BuildHasherDefault<Passed>>;

#[derive(Debug, Clone)]
struct Node {
    /// The cluster into which this one was merged; itself if it was not.
    parent: u32,
    pieces: Box<[Piece]>,
}

/// What stood in one place while everything else was the same.
#[derive(Debug, Clone)]
enum Place {
    Open {
        members: Vec<u32>,
        weight: u32,
    },
    /// It varies; such messages are this cluster's.
    Varies(u32),
}

impl Default for Place {
    fn default() -> Self {
        Self::Open { members: vec![], weight: 0 }
    }
}

/// The clusters.
#[derive(Debug)]
pub(super) struct Clusters {
    known: BySum<u32>,
    places: BySum<Place>,
    nodes: Vec<Node>,
    limit: usize,
}

impl Clusters {
    /// None yet, and never many more than `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { known: BySum::default(), places: BySum::default(), nodes: vec![], limit }
    }

    /// The cluster of a message; it may be merged into another one later.
    #[inline]
    pub(super) fn of(&mut self, text: &[u8], tokens: &[Token]) -> u32 {
        let sum = sum(tokens.iter().map(|token| token.hash));
        match self.known.get(&sum) {
            Some(node) => *node,
            None => self.insert(&kept(text, tokens)),
        }
    }

    /// The cluster into which a cluster was merged, at last.
    pub(super) fn root(&self, mut node: u32) -> u32 {
        while self.nodes[node as usize].parent != node {
            node = self.nodes[node as usize].parent;
        }
        node
    }

    /// How many clusters there ever were; they are numbered from 0.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What stays in the messages of a cluster.
    pub(super) fn pieces(&self, node: u32) -> &[Piece] {
        &self.nodes[node as usize].pieces
    }

    fn insert(&mut self, pieces: &[Piece]) -> u32 {
        let total = sum(pieces.iter().map(|piece| piece.hash));
        if let Some(node) = self.known.get(&total) {
            return *node;
        }
        if let Some(wider) = self.wider(total, pieces) {
            let node = self.insert(&wider);
            self.know(total, node);
            return node;
        }
        if self.nodes.len() >= self.limit {
            return self.coarse(pieces);
        }
        let node = self.push(pieces.into());
        self.know(total, node);
        for place in 0..pieces.len().min(MAX_PLACES) {
            let weight = weight(pieces, place);
            let varies = pieces[place].kind == Kind::Value;
            if weight > 0 && !(varies && self.varies(place_key(total, pieces, place))) {
                let key = place_key(total, pieces, place);
                self.note(key, node, weight, ENOUGH, || widened(pieces, |at, _| at == place));
            }
        }
        if let Some(key) = combination_key(pieces) {
            self.note(key, node, 1, COMBINATIONS, || widened(pieces, |_, piece| piece.is_label()));
        }
        node
    }

    /// Whether a place is known to vary.
    fn varies(&self, key: u64) -> bool {
        matches!(self.places.get(&key), Some(Place::Varies(_)))
    }

    /// The message with a value where something is known to vary.
    fn wider(&self, total: u64, pieces: &[Piece]) -> Option<Vec<Piece>> {
        let open = (0..pieces.len().min(MAX_PLACES)).filter(|place| pieces[*place].is_open());
        for place in open {
            if self.varies(place_key(total, pieces, place)) {
                return Some(widened(pieces, |at, _| at == place));
            }
        }
        let combines = combination_key(pieces).is_some_and(|key| self.varies(key));
        combines.then(|| widened(pieces, |_, piece| piece.is_label()))
    }

    /// Notes what stands in a place, and merges what stood there if it is enough.
    fn note(
        &mut self,
        key: u64,
        node: u32,
        weight: u32,
        enough: u32,
        wider: impl Fn() -> Vec<Piece>,
    ) {
        let members = match self.places.entry(key).or_default() {
            Place::Varies(target) => {
                let target = *target;
                self.merge(node, target);
                return;
            }
            Place::Open { members, weight: seen } => {
                members.push(node);
                *seen += weight;
                if *seen < enough || members.len() < 2 {
                    return;
                }
                std::mem::take(members)
            }
        };
        self.places.insert(key, Place::Varies(node));
        let target = self.insert(&wider());
        self.places.insert(key, Place::Varies(target));
        for member in members {
            self.merge(member, target);
        }
    }

    fn push(&mut self, pieces: Box<[Piece]>) -> u32 {
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node { parent: node, pieces });
        node
    }

    fn know(&mut self, sum: u64, node: u32) {
        if self.known.len() < self.limit.saturating_mul(SUMS_PER_CLUSTER) {
            self.known.insert(sum, node);
        }
    }

    fn merge(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        self.nodes[one as usize].parent = other;
    }

    /// The cluster of a message when there is no room for one of its own.
    fn coarse(&mut self, pieces: &[Piece]) -> u32 {
        let words = pieces.iter().filter(|piece| piece.is_word()).take(COARSE_WORDS);
        let mut few: Vec<Piece> = words.cloned().collect();
        if self.nodes.len() >= self.limit.saturating_add(self.limit / 8) {
            few.clear();
        }
        few.push(Piece::value(true));
        let total = sum(few.iter().map(|piece| piece.hash));
        if let Some(node) = self.known.get(&total) {
            return *node;
        }
        let node = self.push(few.into());
        self.known.insert(total, node);
        node
    }
}

/// How much a token says that its place varies.
fn weight(pieces: &[Piece], place: usize) -> u32 {
    let piece = &pieces[place];
    if !context(pieces, place) {
        return 0;
    }
    if piece.is_open() && is_first(pieces, place) {
        return 1;
    }
    match piece.kind {
        Kind::Mark => 0,
        Kind::Value => 7,
        Kind::Numbered => 5,
        Kind::Name => 3,
        Kind::Word if place > 0 && introduces(&pieces[place - 1].text) => 4,
        Kind::Word => 2,
    }
}

fn is_first(pieces: &[Piece], place: usize) -> bool {
    pieces[..place].iter().all(|piece| piece.kind == Kind::Mark)
}

/// Whether enough stays around a place to say that the rest is the same message.
fn context(pieces: &[Piece], place: usize) -> bool {
    let words = pieces.iter().filter(|piece| piece.is_word()).count();
    let others = words - usize::from(pieces[place].is_word());
    others >= if is_first(pieces, place) { 2 } else { 1 }
}

/// Words after which a name follows.
fn introduces(word: &[u8]) -> bool {
    matches!(
        word,
        b"user"
            | b"User"
            | b"USER"
            | b"host"
            | b"for"
            | b"from"
            | b"to"
            | b"by"
            | b"class"
            | b"file"
            | b"named"
            | b"name"
    )
}

fn place_key(total: u64, pieces: &[Piece], place: usize) -> u64 {
    let others = total.wrapping_sub(mixed(pieces[place].hash, place));
    mixed(others, place + MAX_PLACES)
}

/// The key of all messages that differ in names alone.
fn combination_key(pieces: &[Piece]) -> Option<u64> {
    let labels = pieces.iter().filter(|piece| piece.is_label()).count();
    let words = pieces.iter().filter(|piece| piece.kind == Kind::Word).count();
    if labels < 2 || words < 2 {
        return None;
    }
    let hash = |piece: &Piece| if piece.is_label() { VALUE } else { piece.hash };
    Some(mixed(sum(pieces.iter().map(hash)), usize::MAX))
}
