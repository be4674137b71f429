//! What OpenSSH's client says, in its order.
//!
//! The invariant: what was said before a try is never taken for what was said of it. Old words are
//! forgotten: a host may say as much as it likes.

/// What is remembered, in bytes.
const LONGEST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Said {
    last: Vec<u8>,
    /// All that was ever said, in bytes.
    length: usize,
}

impl Said {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
        self.length += bytes.len();
        let old = self.last.len().saturating_sub(LONGEST);
        self.last.drain(..old);
    }

    /// How far it is, for [`Said::since`].
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// What was said after it was `then` long.
    pub(super) fn since(&self, then: usize) -> String {
        let new = self.length - then;
        let old = self.last.len().saturating_sub(new);
        String::from_utf8_lossy(&self.last[old..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_is_not_said_since_and_the_oldest_is_forgotten() {
        let mut said = Said::default();
        said.add(b"channel 2: open failed\n");
        let then = said.length();
        assert_eq!(said.since(then), "");
        said.add(b"Timeout\n");
        assert_eq!(said.since(then), "Timeout\n");
        said.add(&[b'x'; 2 * LONGEST]);
        assert_eq!(said.since(0).len(), LONGEST);
        assert_eq!(said.since(said.length() - 3), "xxx");
    }
}
