//! What each byte is to the scanner.
//!
//! Bytes beyond ASCII count as letters, so a word of any language, and any invalid UTF-8, is
//! a word. Control characters count as white space, so nothing that steers a terminal gets
//! into a template.

/// What a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// White space and control characters.
    Space,
    /// Letters, `_`, and everything beyond ASCII.
    Letter,
    /// A decimal digit.
    Digit,
    /// Holds a name or a number together when it stands between two parts of it.
    Joint,
    /// Stands for itself.
    Mark,
}

const fn class_of(byte: u8) -> Class {
    match byte {
        0..=b' ' | 0x7f => Class::Space,
        b'0'..=b'9' => Class::Digit,
        b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => Class::Letter,
        b'.' | b'-' | b'/' | b'\\' | b'@' | b'$' | b'+' | b'%' | b'#' | b'~' | b':' | b'&' => {
            Class::Joint
        }
        _ => Class::Mark,
    }
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Space; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let class = class_of(byte as u8);
        table[byte] = class;
        byte += 1;
    }
    table
};

/// What this byte is.
#[inline]
pub(super) fn class(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// Whether the byte belongs to a word or a number.
#[inline]
pub(super) fn is_word(byte: u8) -> bool {
    matches!(class(byte), Class::Letter | Class::Digit)
}
