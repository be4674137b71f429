//! The file of tokens: who may look or act, without the tokens themselves.
//!
//! It is written as a whole, under a lock, by the command line alone, and read by the daemon
//! whenever it is another than it was. One that cannot be read lets nobody in.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use selfheal_agents::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::secret::{self, Digest};
use crate::store::replace_as_owner;

const FILE: &str = "tokens.json";
/// What every token begins with, so that people and scanners for lost secrets know one.
const PREFIX: &str = "shl_";
/// Characters of a name at most.
const LONGEST_NAME: usize = 64;
/// Names under which Selfheal writes down what was done without a token.
const OWN_NAMES: [&str; 5] = ["api", "page", "cli", "selfheal", "nobody"];

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name, which stands beside every decision made with it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing; never without it.
    pub expires: Option<Timestamp>,
    sha256: Digest,
}

impl Token {
    /// Whether it is still worth something.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub(super) const fn digest(&self) -> Digest {
        self.sha256
    }
}

/// Why tokens are not read, made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be a token's name.
    #[error(
        "`{0}` cannot be a token's name: 1 to {LONGEST_NAME} of letters, digits and . _ - @, a \
         letter or digit first, and none of {own}", own = OWN_NAMES.join(", ")
    )]
    Name(String),
    /// The name is another's.
    #[error("there is a token `{0}` already; revoke it first, or take another name")]
    Taken(String),
    /// There is no such token.
    #[error("there is no token `{0}`")]
    Missing(String),
    /// It would never be worth anything.
    #[error("{} is over; a token expires in the future", .0.format("%Y-%m-%d %H:%M:%S UTC"))]
    Past(Timestamp),
    /// The file cannot be used.
    #[error("the tokens in {} cannot be {verb}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why not.
        why: String,
    },
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<Token>,
}

/// By what a file that was put in the place of another is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

impl From<&Metadata> for Stamp {
    fn from(of: &Metadata) -> Self {
        Self { inode: of.ino(), modified: (of.mtime(), of.mtime_nsec()), size_bytes: of.size() }
    }
}

/// The tokens of a data directory.
#[derive(Debug)]
pub struct TokenBook {
    dir: PathBuf,
    last: Mutex<Option<(Stamp, Arc<[Token]>)>>,
}

impl TokenBook {
    /// Those of this data directory; there may be none.
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.to_owned(), last: Mutex::default() }
    }

    /// All of them, also the expired ones, by name.
    pub fn tokens(&self) -> Result<Arc<[Token]>, TokenError> {
        let path = self.dir.join(FILE);
        let unreadable = |why: String| TokenError::File { path: path.clone(), verb: "read", why };
        // A look at the file's age and size takes a microsecond; it is read only when it changed.
        let stamp = match std::fs::metadata(&path) {
            Ok(there) => Stamp::from(&there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, tokens)) = last.as_ref()
            && *seen == stamp
        {
            return Ok(Arc::clone(tokens));
        }
        let bytes = std::fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let tokens: Arc<[Token]> = content.tokens.into();
        *last = Some((stamp, Arc::clone(&tokens)));
        Ok(tokens)
    }

    /// Whether a token was ever made here.
    pub fn exists(&self) -> bool {
        // Where even that cannot be seen, it is not there.
        self.dir.join(FILE).exists()
    }

    /// Whether at least one is worth something.
    pub fn has_live(&self, now: Timestamp) -> Result<bool, TokenError> {
        Ok(self.tokens()?.iter().any(|token| token.is_live(now)))
    }

    /// The token with this digest, if it is worth something.
    pub(super) fn live(&self, of: &Digest, now: Timestamp) -> Result<Option<Token>, TokenError> {
        let tokens = self.tokens()?;
        Ok(tokens.iter().find(|token| token.sha256.is(of) && token.is_live(now)).cloned())
    }

    /// Makes a token. The secret is told this once and kept nowhere.
    pub fn create(
        &self,
        name: &str,
        scope: Scope,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Token, SecretString), TokenError> {
        if !is_name(name) {
            return Err(TokenError::Name(name.to_owned()));
        }
        if let Some(past) = expires.filter(|expires| *expires <= now) {
            return Err(TokenError::Past(past));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(self.unwritten())?;
        let _lock = self.lock()?;
        let mut tokens = self.tokens()?.to_vec();
        if tokens.iter().any(|token| token.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        let secret = format!("{PREFIX}{}", secret::random().map_err(self.unwritten())?);
        let sha256 = Digest::of(&secret);
        let token = Token { name: name.to_owned(), scope, created: now, expires, sha256 };
        tokens.push(token.clone());
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(tokens)?;
        Ok((token, secret.into()))
    }

    /// Ends a token at once; also an expired one.
    pub fn revoke(&self, name: &str) -> Result<Token, TokenError> {
        if self.tokens()?.iter().all(|token| token.name != name) {
            return Err(TokenError::Missing(name.to_owned()));
        }
        let _lock = self.lock()?;
        let (gone, left): (Vec<Token>, Vec<Token>) =
            self.tokens()?.iter().cloned().partition(|token| token.name == name);
        let gone = gone.into_iter().next().ok_or_else(|| TokenError::Missing(name.to_owned()))?;
        self.write(left)?;
        Ok(gone)
    }

    /// Of two that write at once, the second begins with what the first wrote. The directory is
    /// locked and not a file in it: nothing is left behind, and whoever may read it can lock it.
    fn lock(&self) -> Result<File, TokenError> {
        let dir = File::open(&self.dir).map_err(self.unwritten())?;
        dir.lock().map_err(self.unwritten())?;
        Ok(dir)
    }

    fn write(&self, tokens: Vec<Token>) -> Result<(), TokenError> {
        let text = serde_json::to_string_pretty(&Content { tokens })
            .map_err(|error| self.unwritten()(error.into()))?;
        replace_as_owner(&self.dir.join(FILE), format!("{text}\n").as_bytes())
            .map_err(self.unwritten())
    }

    fn unwritten(&self) -> impl Fn(io::Error) -> TokenError {
        let path = self.dir.join(FILE);
        move |error| TokenError::File {
            path: path.clone(),
            verb: "written",
            why: error.to_string(),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
        && !OWN_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}
