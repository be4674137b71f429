//! Finds which of many pieces of text stand in a buffer of lines, whatever their case.
//!
//! Eight and four bytes at every second place are looked up in small filters that stay in the
//! fastest cache; a piece of nine bytes or more covers eight such bytes at either alignment, a
//! shorter one four, and gives the rarest for each. Only where a filter says yes, the piece
//! itself is compared. Case is dropped by setting one bit, which lets a few signs pass for
//! others; the comparison sees to that.
//!
//! Rejected: Aho-Corasick over all pieces, which reads one byte a step (a third of the
//! speed), a shift-or filter of the shortest piece's length, which hundreds of pieces fill up,
//! and four bytes of every piece: of a tenth of all places some piece of thousands has the four.

use crate::error_detector::literals::{self, MIN_LITERAL};

/// Bytes of the grams of pieces that have one more; of shorter ones [`MIN_LITERAL`].
const WIDE: usize = 8;
/// Words of 64 bits in a filter: 32 KiB, and 8 KiB for the few grams that are short.
const WIDE_WORDS: usize = 4096;
const NARROW_WORDS: usize = 1024;
/// Grams are looked up in 2^12 lists.
const BUCKET_BITS: u32 = 12;
/// An odd number without pattern; spreads eight bytes over the upper bits, and the first four
/// over the lower half.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// The bit that tells capital letters from small ones, eight times.
const SMALL: u64 = 0x2020_2020_2020_2020;
/// The bytes of a gram of [`MIN_LITERAL`].
const NARROW_MASK: u64 = 0xFFFF_FFFF;
/// Places that are looked up before one asks whether any was known: a question for each would
/// take longer than the look.
const PLACES: usize = 4;
/// Bytes from the first of these places to the end of the last one's gram.
const SPAN: usize = 2 * (PLACES - 1) + WIDE;

/// Pieces of text and whom each calls.
#[derive(Debug)]
pub(super) struct Prefilter {
    wide: Grams<WIDE_WORDS>,
    narrow: Grams<NARROW_WORDS>,
    pieces: Vec<Piece>,
}

/// Grams of one length, and a filter in front of them.
#[derive(Debug)]
struct Grams<const WORDS: usize> {
    /// Whether there is a gram with this hash; the compiler knows the length and asks nothing.
    filter: Box<[u64; WORDS]>,
    /// Where the grams of each bucket begin in `sorted`; one more than there are buckets.
    starts: Vec<u32>,
    sorted: Vec<Gram>,
}

/// A few bytes of a piece.
#[derive(Debug, Clone, Copy)]
struct Gram {
    folded: u64,
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
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        for (index, piece) in pieces.iter().enumerate() {
            let index = u32::try_from(index).expect("a catalogue has fewer pieces");
            if piece.text.len() > WIDE {
                wide.extend((0..2).filter_map(|first| rarest(&piece.text, WIDE, first, index)));
            } else {
                narrow.extend(narrow_grams(&piece.text, index));
            }
        }
        let (wide, narrow) = (Grams::new(wide, wide_hash), Grams::new(narrow, narrow_hash));
        Self { wide, narrow, pieces }
    }

    /// Hands over (line, caller) for every piece that stands within a line; the same pair may
    /// come again, and lines come in their order. A line ends where `ends` says, the last one
    /// with `text`.
    pub(super) fn search(&self, text: &[u8], ends: &[usize], mut found: impl FnMut(usize, usize)) {
        if self.pieces.is_empty() {
            return;
        }
        let mut line = 0;
        let mut at = 0;
        let mut last;
        while at < text.len() {
            let rest = &text[at..];
            let span = if let Some(span) = rest.first_chunk() {
                span
            } else {
                // What is made up behind the end is found out by the comparison.
                last = [0; SPAN];
                last[..rest.len()].copy_from_slice(rest);
                &last
            };
            let mut known = self.known(span);
            while known != 0 {
                let place = known.trailing_zeros() as usize;
                known &= known - 1;
                let folded = folded_at(span, place);
                self.compare(text, ends, at + 2 * place, folded, &mut line, &mut found);
            }
            at += 2 * PLACES;
        }
    }

    /// The places of a span that the filters let pass, as bits.
    fn known(&self, span: &[u8; SPAN]) -> u32 {
        let mut known = 0;
        for place in 0..PLACES {
            let folded = folded_at(span, place);
            let (wide, narrow) = (wide_hash(folded), narrow_hash(folded));
            known |= (self.wide.bit(wide) | self.narrow.bit(narrow)) << place;
        }
        known
    }

    /// Compares the pieces that have the gram `folded` at `at` with what stands there.
    fn compare(
        &self,
        text: &[u8],
        ends: &[usize],
        at: usize,
        folded: u64,
        line: &mut usize,
        found: &mut impl FnMut(usize, usize),
    ) {
        let wide = self.wide.with(wide_hash(folded), folded);
        for gram in wide.chain(self.narrow.with(narrow_hash(folded), folded & NARROW_MASK)) {
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
}

impl<const WORDS: usize> Grams<WORDS> {
    /// How far a hash is shifted to become a place of the filter.
    const SHIFT: u32 = u32::BITS - 6 - WORDS.ilog2();

    fn new(mut sorted: Vec<Gram>, hash: fn(u64) -> u32) -> Self {
        sorted.sort_unstable_by_key(|gram| (bucket(hash(gram.folded)), gram.folded));
        let mut filter = Box::new([0; WORDS]);
        let mut starts = vec![0; (1 << BUCKET_BITS) + 1];
        for gram in &sorted {
            let hash = hash(gram.folded);
            let place = (hash >> Self::SHIFT) as usize;
            filter[place >> 6] |= 1 << (place & 63);
            starts[bucket(hash) + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        Self { filter, starts, sorted }
    }

    /// One for every gram there is, and for few others.
    #[inline]
    fn bit(&self, hash: u32) -> u32 {
        let place = (hash >> Self::SHIFT) as usize;
        u32::from(self.filter[place >> 6] >> (place & 63) & 1 != 0)
    }

    fn with(&self, hash: u32, folded: u64) -> impl Iterator<Item = &Gram> {
        let bucket = bucket(hash);
        let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        self.sorted[range].iter().filter(move |gram| gram.folded == folded)
    }
}

/// The rarest gram of so many bytes at every second place of a piece from `first` on.
fn rarest(text: &[u8], length: usize, first: usize, piece: u32) -> Option<Gram> {
    let places = (first..=text.len().checked_sub(length)?).step_by(2);
    let at = places.min_by_key(|at| literals::gram_commonness(&text[*at..*at + length]))?;
    let offset = i32::try_from(at).expect("a piece is short");
    Some(Gram { folded: fold(&text[at..at + length]), piece, offset })
}

/// The grams by which a short piece is found at even and at odd places.
fn narrow_grams(text: &[u8], piece: u32) -> Vec<Gram> {
    let even = rarest(text, MIN_LITERAL, 0, piece);
    if let Some(odd) = rarest(text, MIN_LITERAL, 1, piece) {
        return even.into_iter().chain([odd]).collect();
    }
    // A piece of four bytes has no second gram; whatever stands before it completes one.
    let before = (0..=u8::MAX).filter(|byte| byte | 0x20 == *byte).map(|byte| Gram {
        folded: fold(&[byte, text[0], text[1], text[2]]),
        piece,
        offset: -1,
    });
    even.into_iter().chain(before).collect()
}

/// Up to eight bytes as a number, the first one lowest, without case.
fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |folded, byte| folded << 8 | u64::from(byte | 0x20))
}

/// The eight bytes at one of the places of a span, likewise.
#[inline]
fn folded_at(span: &[u8; SPAN], place: usize) -> u64 {
    let eight = span[2 * place..].first_chunk().expect("the span ends with the last place's gram");
    u64::from_le_bytes(*eight) | SMALL
}

#[inline]
const fn wide_hash(folded: u64) -> u32 {
    (folded.wrapping_mul(SPREAD) >> 32) as u32
}

/// Of the first four bytes alone: the lower half of a product knows nothing of the upper ones.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
const fn narrow_hash(folded: u64) -> u32 {
    folded.wrapping_mul(SPREAD) as u32
}

const fn bucket(hash: u32) -> usize {
    (hash >> (u32::BITS - BUCKET_BITS)) as usize
}
