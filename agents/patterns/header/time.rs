//! Moments as programs write them, in all the usual forms.
//!
//! Only the form is read, not the value: where a moment ends is all that is needed.

use super::super::scan::{is_month, is_weekday as is_day};

/// Where a moment that begins at `at` ends: date and clock, a date with its year, a clock
/// with seconds, or seconds since 1970.
pub(super) fn moment(text: &[u8], at: usize) -> Option<usize> {
    let first = *text.get(at)?;
    if first.is_ascii_digit() {
        return epoch(text, at).or_else(|| dated(text, at)).or_else(|| {
            let end = clock(text, at, b":")?;
            Some(tail(text, end))
        });
    }
    if !first.is_ascii_uppercase() {
        return None;
    }
    let start = if is_weekday(text, at) {
        let comma = usize::from(text.get(at + 3) == Some(&b','));
        spaces(text, at + 3 + comma)?
    } else {
        at
    };
    dated(text, start)
}

fn dated(text: &[u8], at: usize) -> Option<usize> {
    let date = date(text, at)?;
    let after = *text.get(date.end).unwrap_or(&b'\n');
    let clock_at = match after {
        b' ' if text.get(date.end + 1) == Some(&b' ') => date.end + 2,
        b' ' | b'T' | b't' | b'_' | b'-' | b':' => date.end + 1,
        _ => return date.whole.then_some(date.end),
    };
    let compact = date.compact && digits(text, clock_at) == 6;
    let end = if compact && !continues(text, clock_at + 6) {
        Some(clock_at + 6)
    } else {
        clock(text, clock_at, if after == b' ' { b":" } else { b":." })
    };
    match end {
        Some(end) => Some(tail(text, end)),
        None => (date.whole && after == b' ').then_some(date.end),
    }
}

struct Date {
    end: usize,
    /// It stands for itself without a clock.
    whole: bool,
    /// Digits alone.
    compact: bool,
}

fn date(text: &[u8], at: usize) -> Option<Date> {
    if let Some(end) = month(text, at) {
        // `Dec  4`, `Dec 4 2005`
        let day = spaces(text, end)?;
        let count = digits(text, day);
        if !(1..=2).contains(&count) {
            return None;
        }
        let end = year_after(text, day + count).unwrap_or(day + count);
        return Some(Date { end, whole: false, compact: false });
    }
    let count = digits(text, at);
    let sign = *text.get(at + count).unwrap_or(&b'\n');
    match (count, sign) {
        (4, b'-' | b'/' | b'.') => {
            let end = part(text, at + 5, 2)?;
            (text.get(end) == Some(&sign)).then_some(())?;
            Some(Date { end: part(text, end + 1, 2)?, whole: true, compact: false })
        }
        (1..=2, b'-' | b'/' | b'.') => {
            if let Some(end) = month(text, at + count + 1) {
                // `04/Dec/2005`, `04-Dec-2005`
                (text.get(end) == Some(&sign)).then_some(())?;
                return Some(Date { end: part(text, end + 1, 4)?, whole: true, compact: false });
            }
            let end = part(text, at + count + 1, 2)?;
            if text.get(end) == Some(&sign)
                && let Some(end) = part(text, end + 1, 4)
            {
                return Some(Date { end, whole: false, compact: false });
            }
            Some(Date { end, whole: false, compact: false })
        }
        (1..=2, b' ') => {
            // `4 Dec 2005`
            let end = month(text, at + count + 1)?;
            let end = year_after(text, end).unwrap_or(end);
            Some(Date { end, whole: false, compact: false })
        }
        (6 | 8, _) => Some(Date { end: at + count, whole: false, compact: true }),
        _ => None,
    }
}

/// `16:56:55`, with a fraction if there is one; `signs` are those that may stand between.
fn clock(text: &[u8], at: usize, signs: &[u8]) -> Option<usize> {
    let hours = part(text, at, 2)?;
    let sign = *text.get(hours).filter(|byte| signs.contains(byte))?;
    let minutes = part(text, hours + 1, 2)?;
    (text.get(minutes) == Some(&sign)).then_some(())?;
    let mut end = part(text, minutes + 1, 2)?;
    if matches!(text.get(end), Some(b'.' | b',' | b':')) {
        let fraction = digits(text, end + 1);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    (!continues(text, end) || matches!(text[end], b'Z')).then_some(end)
}

/// The zone, the half of the day or the year that may follow a clock.
fn tail(text: &[u8], mut end: usize) -> usize {
    if text.get(end) == Some(&b'Z') && !continues(text, end + 1) {
        return end + 1;
    }
    if let Some(zone) = offset(text, end) {
        return zone;
    }
    if let Some(year) = year_after(text, end) {
        end = year;
    }
    if text.get(end) == Some(&b' ') {
        if let Some(zone) = offset(text, end + 1) {
            return zone;
        }
        let letters = text[end + 1..].iter().take(5).take_while(|b| b.is_ascii_uppercase()).count();
        let word = &text[end + 1..end + 1 + letters];
        let zone = matches!(word, b"UTC" | b"GMT" | b"AM" | b"PM" | b"Z")
            || (matches!(letters, 3..=4)
                && matches!(word.last(), Some(b'T'))
                && matches!(word[letters - 2], b'S' | b'D' | b'E'));
        if zone && !continues(text, end + 1 + letters) {
            return year_after(text, end + 1 + letters).unwrap_or(end + 1 + letters);
        }
    }
    end
}

/// `+0000`, `-07:00`.
fn offset(text: &[u8], at: usize) -> Option<usize> {
    matches!(text.get(at)?, b'+' | b'-').then_some(())?;
    let end = match digits(text, at + 1) {
        4 => at + 5,
        2 if text.get(at + 3) == Some(&b':') && digits(text, at + 4) == 2 => at + 6,
        2 => at + 3,
        _ => return None,
    };
    (!continues(text, end)).then_some(end)
}

/// Seconds or smaller parts since 1970, from 2001 to 2033.
fn epoch(text: &[u8], at: usize) -> Option<usize> {
    let count = digits(text, at);
    if !matches!(count, 10 | 13 | 16 | 19) || text[at] != b'1' {
        return None;
    }
    let mut end = at + count;
    if count == 10 && text.get(end) == Some(&b'.') {
        end += 1 + digits(text, end + 1);
    }
    (!continues(text, end)).then_some(end)
}

fn year_after(text: &[u8], at: usize) -> Option<usize> {
    let year = text.get(at + 1..at + 5)?;
    let century = year.starts_with(b"20") || year.starts_with(b"19");
    (text[at] == b' ' && century && digits(text, at + 1) == 4).then_some(at + 5)
}

fn month(text: &[u8], at: usize) -> Option<usize> {
    let word = text.get(at..at + 3)?;
    is_month(word).then_some(at + 3)
}

fn is_weekday(text: &[u8], at: usize) -> bool {
    text.get(at..at + 3).is_some_and(is_day) && matches!(text.get(at + 3), Some(b' ' | b','))
}

/// One to `most` digits and no more; a part of four has exactly four.
fn part(text: &[u8], at: usize, most: usize) -> Option<usize> {
    let count = digits(text, at);
    let fits = if most == 4 { count == 4 || count == 2 } else { (1..=most).contains(&count) };
    fits.then_some(at + count)
}

fn digits(text: &[u8], at: usize) -> usize {
    text.get(at..).unwrap_or_default().iter().take(20).take_while(|b| b.is_ascii_digit()).count()
}

/// After one or two spaces.
fn spaces(text: &[u8], at: usize) -> Option<usize> {
    (text.get(at) == Some(&b' ')).then_some(())?;
    Some(if text.get(at + 1) == Some(&b' ') { at + 2 } else { at + 1 })
}

fn continues(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
