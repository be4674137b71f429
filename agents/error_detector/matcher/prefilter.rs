//! Finds which of many pieces of text stand in a buffer of lines, whatever their case.
//!
//! Four bytes at every second place are looked up in a bitmap that stays in the fastest
//! cache; a piece of five bytes or more covers such a place at either alignment, and gives
//! its rarest four bytes for each. Only where the bitmap says yes, the piece itself is
//! compared. Case is dropped by setting one bit, which lets a few signs pass for others;
//! the comparison sees to that.
//!
//! Rejected: Aho-Corasick over all pieces, which reads one byte a step (a third of the
//! speed), and a shift-or filter of the shortest piece's length, which hundreds of pieces fill up.

use crate::error_detector::literals::{self, MIN_LITERAL};

/// Bits of the hash of four bytes: the bitmap has 2^17 bits, 16 KiB.
const HASH_BITS: u32 = 17;
/// An odd number without pattern; spreads four bytes over the upper bits.
const SPREAD: u32 = 0x9E37_79B1;
/// The bit that tells capital letters from small ones, four times.
const SMALL: u32 = 0x2020_2020;

/// Pieces of text and whom each calls.
#[derive(Debug, Default)]
pub(super) struct Prefilter {
    /// Whether four bytes with this hash belong to a piece.
    bitmap: Vec<u64>,
    /// How many bits are set before each word of `bitmap`.
    ranks: Vec<u32>,
    /// Where the grams of each set bit begin in `grams`; one more than there are bits.
    starts: Vec<u32>,
    grams: Vec<Gram>,
    pieces: Vec<Piece>,
}

/// Four bytes of a piece.
#[derive(Debug, Clone, Copy)]
struct Gram {
    folded: u32,
    piece: u32,
    /// Bytes from the beginning of the piece; -1 for the byte before and the first three.
    offset: i32,
}

/// A piece of text in lower case.
#[derive(Debug)]
struct Piece {
    text: Box<[u8]>,
    callers: Vec<usize>,
}

impl Prefilter {
    /// Prepares (piece, caller) pairs; each piece has at least [`MIN_LITERAL`] bytes and no
    /// capital letter.
    pub(super) fn new(mut wanted: Vec<(Vec<u8>, usize)>) -> Self {
        wanted.sort_unstable();
        wanted.dedup();
        let mut pieces: Vec<Piece> = Vec::new();
        for (text, caller) in wanted {
            match pieces.last_mut().filter(|last| *last.text == *text) {
                Some(same) => same.callers.push(caller),
                None => pieces.push(Piece { text: text.into(), callers: vec![caller] }),
            }
        }
        let mut grams: Vec<Gram> = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let piece_index = u32::try_from(index).expect("a catalogue has fewer pieces");
            grams.extend(grams_of(&piece.text, piece_index));
        }
        Self { pieces, ..Self::index(grams) }
    }

    fn index(mut grams: Vec<Gram>) -> Self {
        grams.sort_unstable_by_key(|gram| (hash(gram.folded), gram.folded));
        let words = if grams.is_empty() { 0 } else { 1 << (HASH_BITS - 6) };
        let mut bitmap = vec![0_u64; words];
        let mut starts = Vec::new();
        let mut before = None;
        for (position, gram) in grams.iter().enumerate() {
            let hash = hash(gram.folded);
            if before != Some(hash) {
                starts.push(u32::try_from(position).expect("a catalogue has fewer pieces"));
                bitmap[hash >> 6] |= 1 << (hash & 63);
                before = Some(hash);
            }
        }
        starts.push(u32::try_from(grams.len()).expect("a catalogue has fewer pieces"));
        let ranks = bitmap.iter().scan(0, |set, word| {
            let before = *set;
            *set += word.count_ones();
            Some(before)
        });
        Self { ranks: ranks.collect(), bitmap, starts, grams, pieces: vec![] }
    }

    /// Hands over (line, caller) for every piece that stands within a line; the same pair may
    /// come again, and lines come in their order. A line ends where `ends` says, the last one
    /// with `text`.
    pub(super) fn search(&self, text: &[u8], ends: &[usize], mut found: impl FnMut(usize, usize)) {
        if self.bitmap.is_empty() {
            return;
        }
        let mut line = 0;
        let mut probe = |at: usize, folded: u32| {
            let hash = hash(folded);
            let word = self.bitmap[hash >> 6];
            if word & (1 << (hash & 63)) != 0 {
                self.compare(text, ends, at, folded, &mut line, &mut found);
            }
        };
        let mut at = 0;
        while let Some(eight) = text.get(at..at + 8) {
            let eight = u64::from_le_bytes(eight.try_into().expect("eight bytes were taken"));
            // Three overlapping grams of one load; the fourth begins within the next.
            let folded = eight | (u64::from(SMALL) << 32 | u64::from(SMALL));
            probe(at, low(folded));
            probe(at + 2, low(folded >> 16));
            probe(at + 4, low(folded >> 32));
            at += 6;
        }
        while let Some(four) = text.get(at..at + 4) {
            let four = u32::from_le_bytes(four.try_into().expect("four bytes were taken"));
            probe(at, four | SMALL);
            at += 2;
        }
    }

    /// Compares the pieces that have these four bytes at `at` with what stands there.
    #[cold]
    fn compare(
        &self,
        text: &[u8],
        ends: &[usize],
        at: usize,
        folded: u32,
        line: &mut usize,
        found: &mut impl FnMut(usize, usize),
    ) {
        for gram in self.grams_with(hash(folded)).iter().filter(|gram| gram.folded == folded) {
            let piece = &self.pieces[gram.piece as usize];
            let Some(start) = at.checked_add_signed(-(gram.offset as isize)) else {
                continue;
            };
            let end = start + piece.text.len();
            let stands = text.get(start..end).is_some_and(|t| t.eq_ignore_ascii_case(&piece.text));
            if !stands {
                continue;
            }
            // Of a piece within one line all bytes lie in it, so lines only go forward.
            while ends[*line] <= at.max(start) {
                *line += 1;
            }
            let line_start = line.checked_sub(1).map_or(0, |before| ends[before]);
            if start >= line_start && end <= ends[*line] {
                piece.callers.iter().for_each(|caller| found(*line, *caller));
            }
        }
    }

    fn grams_with(&self, hash: usize) -> &[Gram] {
        let below = self.bitmap[hash >> 6] & ((1 << (hash & 63)) - 1);
        let bucket = (self.ranks[hash >> 6] + below.count_ones()) as usize;
        &self.grams[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }
}

/// The grams by which a piece is found at even and at odd places.
fn grams_of(text: &[u8], piece: u32) -> Vec<Gram> {
    let gram = |offset: usize| Gram {
        folded: fold(&text[offset..offset + MIN_LITERAL]),
        piece,
        offset: i32::try_from(offset).expect("a piece is short"),
    };
    let last = text.len() - MIN_LITERAL;
    let rarest = |first: usize| {
        (first..=last)
            .step_by(2)
            .min_by_key(|offset| literals::gram_commonness(&text[*offset..*offset + MIN_LITERAL]))
    };
    let even = rarest(0).map(gram);
    if let Some(odd) = rarest(1) {
        return even.into_iter().chain([gram(odd)]).collect();
    }
    // A piece of four bytes has no second gram; whatever stands before it completes one.
    let before = (0..=u8::MAX).filter(|byte| byte | 0x20 == *byte).map(|byte| Gram {
        folded: fold(&[byte, text[0], text[1], text[2]]),
        piece,
        offset: -1,
    });
    even.into_iter().chain(before).collect()
}

fn fold(four: &[u8]) -> u32 {
    four.iter().rev().fold(0, |folded, byte| folded << 8 | u32::from(*byte)) | SMALL
}

fn hash(folded: u32) -> usize {
    (folded.wrapping_mul(SPREAD) >> (32 - HASH_BITS)) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(eight: u64) -> u32 {
    eight as u32
}
