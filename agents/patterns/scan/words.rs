//! Words that belong to a number or a date beside them.

/// What may follow an amount or a clock.
pub(super) fn is_unit(word: &[u8]) -> bool {
    matches!(
        word,
        b"B" | b"KB"
            | b"MB"
            | b"GB"
            | b"TB"
            | b"kB"
            | b"KiB"
            | b"MiB"
            | b"GiB"
            | b"K"
            | b"M"
            | b"G"
            | b"ns"
            | b"us"
            | b"ms"
            | b"sec"
            | b"secs"
            | b"msec"
            | b"usec"
            | b"min"
            | b"s"
            | b"m"
            | b"h"
            | b"AM"
            | b"PM"
            | b"UTC"
            | b"GMT"
            | b"CET"
            | b"CEST"
            | b"EST"
            | b"EDT"
            | b"CST"
            | b"CDT"
            | b"PST"
            | b"PDT"
            | b"MST"
            | b"MDT"
            | b"BST"
            | b"JST"
            | b"IST"
    )
}

/// `Jan` to `Dec`.
pub(in super::super) fn is_month(word: &[u8]) -> bool {
    matches!(
        word,
        b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
    )
}

/// `Mon` to `Sun`.
pub(in super::super) fn is_weekday(word: &[u8]) -> bool {
    matches!(word, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")
}

/// A month before a number, or a weekday before a month or a number.
pub(super) fn is_date_word(text: &[u8], start: usize, end: usize) -> bool {
    let word = &text[start..end];
    let mut next = end;
    while next < text.len() && matches!(text[next], b' ' | b',') {
        next += 1;
    }
    if next == end || next >= text.len() {
        return false;
    }
    let digit = text[next].is_ascii_digit();
    (digit && (is_month(word) || is_weekday(word)))
        || (is_weekday(word) && text.get(next..next + 3).is_some_and(is_month))
}
