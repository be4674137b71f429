//! How grave a line says it is.

use serde::Serialize;

/// The level a program gave a line, in the words of most loggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the program's authors, every step.
    Trace,
    /// For the program's authors.
    Debug,
    /// As it should be.
    Info,
    /// As it should be, and worth knowing.
    Notice,
    /// Something is odd.
    Warning,
    /// Something failed.
    Error,
    /// The program, or much of it, cannot go on.
    Fatal,
}

impl Level {
    /// Every level, from the least grave on.
    pub const ALL: [Self; 7] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Fatal,
    ];

    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Whether something failed.
    pub fn is_error(self) -> bool {
        self >= Self::Error
    }

    /// The level a word stands for, whatever its case.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        let mut lower = [0_u8; 13];
        let lower = lower.get_mut(..word.len()).filter(|text| text.len() >= 3)?;
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trace" | b"verbose" | b"finest" | b"finer" | b"vrb" => Self::Trace,
            b"debug" | b"dbug" | b"dbg" | b"debug1" | b"debug2" | b"debug3" | b"fine" => {
                Self::Debug
            }
            b"info" | b"information" | b"informational" | b"inf" | b"log" | b"config" => Self::Info,
            b"notice" | b"note" | b"statement" | b"hint" | b"detail" => Self::Notice,
            b"warn" | b"warning" | b"wrn" => Self::Warning,
            b"error" | b"err" | b"fail" | b"eror" => Self::Error,
            b"fatal" | b"critical" | b"crit" | b"crt" | b"ftl" | b"severe" | b"failure"
            | b"panic" | b"emerg" | b"emergency" | b"alert" => Self::Fatal,
            _ => return None,
        })
    }

    /// The level a single letter stands for: as Android, klog and others write it.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'V' | b'T' => Self::Trace,
            b'D' => Self::Debug,
            b'I' => Self::Info,
            b'N' => Self::Notice,
            b'W' => Self::Warning,
            b'E' => Self::Error,
            b'F' | b'C' => Self::Fatal,
            _ => return None,
        })
    }
}
