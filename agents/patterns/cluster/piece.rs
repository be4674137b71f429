//! What a cluster keeps of its messages, and the sums by which clusters are found.

use super::super::scan::{Kind, Token, VALUE};

/// A token that is kept.
#[derive(Debug, Clone)]
pub(in super::super) struct Piece {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    pub(super) gap: bool,
    pub(super) separates: bool,
    pub(super) text: Box<[u8]>,
}

impl Piece {
    /// What varies.
    pub(super) fn value(gap: bool) -> Self {
        Self { hash: VALUE, kind: Kind::Value, gap, separates: false, text: [].into() }
    }

    /// Whether it says something.
    pub(super) fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Name)
    }

    /// Whether other words may stand in its place.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.kind, Kind::Mark | Kind::Value)
    }

    /// Whether it names a thing rather than saying something about it.
    pub(super) fn is_label(&self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Numbered)
    }
}

/// The tokens of a message, kept.
pub(super) fn kept(text: &[u8], tokens: &[Token]) -> Vec<Piece> {
    let piece = |token: &Token| Piece {
        hash: token.hash,
        kind: token.kind,
        gap: token.gap,
        separates: token.separates,
        text: text[token.start as usize..token.end as usize].into(),
    };
    tokens.iter().map(piece).collect()
}

/// The same with a value wherever `varies` says so; values side by side become one.
pub(super) fn widened(pieces: &[Piece], varies: impl Fn(usize, &Piece) -> bool) -> Vec<Piece> {
    let mut wider = Vec::with_capacity(pieces.len());
    for (place, piece) in pieces.iter().enumerate() {
        if piece.kind != Kind::Value && !varies(place, piece) {
            wider.push(piece.clone());
        } else if !joined(&mut wider) {
            wider.push(Piece::value(piece.gap));
        }
    }
    wider
}

/// Whether the last piece, but for separators, is a value; the separators are dropped then.
fn joined(pieces: &mut Vec<Piece>) -> bool {
    let separators = pieces.iter().rev().take(2).take_while(|piece| piece.separates).count();
    let last = pieces.len() - separators;
    let found = last > 0 && pieces[last - 1].kind == Kind::Value;
    if found {
        pieces.truncate(last);
    }
    found
}

/// The part of a sum that one token in one place makes up.
#[inline]
pub(super) fn mixed(hash: u64, place: usize) -> u64 {
    let placed = hash ^ (place as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = placed.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 29)
}

/// The sum of a message: the same for the same tokens in the same places.
#[inline]
pub(super) fn sum(hashes: impl ExactSizeIterator<Item = u64>) -> u64 {
    let length = hashes.len() as u64;
    hashes.enumerate().fold(length, |sum, (place, hash)| sum.wrapping_add(mixed(hash, place)))
}

/// The text of a template; `<*>` stands for what varies.
pub(in super::super) fn template(pieces: &[Piece]) -> String {
    let mut text = vec![];
    for (place, piece) in pieces.iter().enumerate() {
        if piece.gap && place > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(&piece.text);
        if matches!(piece.kind, Kind::Value | Kind::Numbered) {
            text.extend_from_slice(b"<*>");
        }
        // The number was an index: `worker[7]`.
        match piece.text.last() {
            Some(b'[') if piece.kind == Kind::Numbered => text.push(b']'),
            Some(b'(') if piece.kind == Kind::Numbered => text.push(b')'),
            Some(b'<') if piece.kind == Kind::Numbered => text.push(b'>'),
            _ => {}
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
