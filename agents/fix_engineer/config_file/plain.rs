//! Decimal numbers as configuration files spell them.
//!
//! Invariant: what [`write()`] writes, [`parse`] reads back to the bit. Numbers in other
//! bases, with a leading zero (octal in some formats) or without a value
//! (`nan`, `inf`) are not plain and never touched.

/// Reads `12`, `-0.5`, `.5`, `5.`, `1e-3`.
pub(super) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && is_digits(whole)
        && is_digits(fraction)
        && (whole.len() < 2 || !whole.starts_with('0'))
        && exponent.is_none_or(|exponent| {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !digits.is_empty() && is_digits(digits)
        });
    if !is_number {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// As [`parse`], also with single underscores between digits (`1_000`).
pub(super) fn parse_grouped(text: &str) -> Option<f64> {
    let is_grouped_well = text.split('_').all(|part| !part.is_empty())
        && text.match_indices('_').all(|(at, _)| {
            let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
            is_digit(text.as_bytes().get(at.wrapping_sub(1)))
                && is_digit(text.as_bytes().get(at + 1))
        });
    if is_grouped_well { parse(&text.replace('_', "")) } else { None }
}

/// The units of time and size that nginx ("Configuration file measurement units") and PostgreSQL
/// ("Parameter Names and Values") know; the number before one counts in it.
const UNITS: [&str; 17] =
    ["us", "ms", "s", "min", "m", "h", "d", "w", "M", "y", "k", "K", "kB", "MB", "GB", "TB", "g"];

/// The number of `65s` or `4MB`; a word without a unit as it is.
pub(super) fn without_unit(word: &str) -> &str {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if !number.is_empty() && UNITS.contains(&&word[number.len()..]) { number } else { word }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Writes a finite number in the manner of the old one: an integer stays an integer if
/// the new value allows, a decimal number keeps its point (the type depends on it in
/// TOML and Python).
pub(super) fn write(old: &str, to: f64) -> String {
    // The shortest digits that read back to the same value, never with an exponent.
    let mut written = to.to_string();
    if old.contains(['.', 'e', 'E']) && !written.contains('.') {
        written.push_str(".0");
    }
    written
}
