//! Headers that begin with a level, and how grave the priority of a syslog line is.

use super::super::level::Level;
use super::{Reader, time};

impl Reader<'_> {
    /// Headers that begin with a level and no separator after it; `Some` says whether to go on.
    pub(super) fn compact_start(&mut self, first: u8) -> Option<bool> {
        if !first.is_ascii_alphabetic() {
            return None;
        }
        self.klog(first).or_else(|| self.tagged(first)).or_else(|| self.colons())
    }

    /// `I0102 15:04:05.123456    1234 file.go:12] message`
    fn klog(&mut self, first: u8) -> Option<bool> {
        let level = Level::from_letter(first)?;
        let day = self.text.get(1..5)?;
        let dated = day.iter().all(u8::is_ascii_digit) && self.text.get(5) == Some(&b' ');
        dated.then_some(())?;
        let end = time::moment(self.text, 6)?;
        let place = self.text[end..].iter().position(|byte| *byte == b']')?;
        self.level = Some(level);
        self.sure(end + place);
        Some(false)
    }

    /// `E/Tag(12): message`
    fn tagged(&mut self, first: u8) -> Option<bool> {
        let level = Level::from_letter(first)?;
        (self.text.get(1) == Some(&b'/')).then_some(())?;
        let colon = self.text.iter().take(60).position(|byte| *byte == b':')?;
        self.level = Some(level);
        self.sure(colon + 1);
        Some(false)
    }

    /// `ERROR:name:message`
    fn colons(&mut self) -> Option<bool> {
        let mut parts = self.text.splitn(3, |byte| *byte == b':');
        let (word, name, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let level = Level::from_word(word)?;
        let fits = word.iter().all(u8::is_ascii_uppercase)
            && !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
        fits.then_some(())?;
        self.level = Some(level);
        self.sure(self.text.len() - rest.len());
        Some(false)
    }
}

/// RFC 5424: the severity is the priority modulo eight.
pub(super) fn syslog_level(priority: u16) -> Level {
    match priority % 8 {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}
