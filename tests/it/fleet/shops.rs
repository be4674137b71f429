//! What all nodes reach: servers that are well as long as a file is there, and the command that makes
//! it. It writes down who was at work from when to when.

use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::scale::engine::Engine;

pub(super) const SHOPS: usize = 6;
/// The last one is mended only with a person's word.
pub(super) const ASKED: usize = SHOPS - 1;
/// The socket of the engine that every node has for its own.
pub(super) const ENGINE: &str = "engine.sock";

/// The targets: each well as long as a file is there.
pub(super) struct Shops {
    pub(super) folder: tempfile::TempDir,
    pub(super) port: u16,
    /// The engine that every node has for its own.
    pub(super) engine: Engine,
}

impl Shops {
    pub(super) fn open() -> Result<Self> {
        Self::open_at("127.0.0.1")
    }

    /// At this address of this machine. Not where two were at work at once when this story was told
    /// before, in the same run: it is told again for what waits too long beside others, not for that.
    pub(super) fn open_at(address: &str) -> Result<Self> {
        if let Some(before) = mark().and_then(|mark| std::fs::read_to_string(mark).ok()) {
            bail!("two were at work at once when this was told before: {before}");
        }
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let listener = TcpListener::bind((address, 0))?;
        let engine = Engine::of(&folder.path().join(ENGINE), 1);
        let shops = Self { port: listener.local_addr()?.port(), folder, engine };
        let program = shops.path("free");
        let script = "#!/bin/sh\ncd \"$1\" && echo \"begin $2 $(date +%s%N)\" >> effects-$3 && \
                      sleep 1 && touch well-$3 && echo \"end $2 $(date +%s%N)\" >> effects-$3\n";
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        for shop in 0..SHOPS {
            std::fs::write(shops.path(&format!("well-{shop}")), "")?;
        }
        let root = shops.folder.path().to_owned();
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                let root = root.clone();
                std::thread::spawn(move || drop(serve(&mut peer, &root)));
            }
        });
        Ok(shops)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn shatter(&self, shop: usize) -> Result<()> {
        Ok(std::fs::remove_file(self.path(&format!("well-{shop}")))?)
    }

    /// Somebody began to mend it.
    pub(super) fn is_being_mended(&self, shop: usize) -> Result<()> {
        ensure!(!self.effects(shop).is_empty(), "nobody is at work at shop {shop}");
        Ok(())
    }

    /// How many of all of them were mended.
    pub(super) fn mended(&self) -> usize {
        (0..SHOPS).map(|shop| self.effects(shop).len()).sum()
    }

    pub(super) fn is_well(&self, shop: usize) -> Result<()> {
        ensure!(self.path(&format!("well-{shop}")).exists(), "shop {shop} is not well");
        Ok(())
    }

    /// Who was at work there, from when to when; `None` is not over yet.
    pub(super) fn effects(&self, shop: usize) -> Vec<(String, u128, Option<u128>)> {
        let text = std::fs::read_to_string(self.path(&format!("effects-{shop}")));
        let mut effects: Vec<(String, u128, Option<u128>)> = vec![];
        for line in text.unwrap_or_default().lines() {
            let mut words = line.split(' ');
            let (Some(word), Some(node), Some(at)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let at = at.parse().unwrap_or_default();
            if word == "begin" {
                effects.push((node.to_owned(), at, None));
            } else if let Some(begun) =
                effects.iter_mut().rev().find(|(who, _, end)| who == node && end.is_none())
            {
                begun.2 = Some(at);
            }
        }
        effects
    }

    /// Nobody began where another had not ended.
    pub(super) fn had_one_at_a_time(&self) -> Result<()> {
        for shop in 0..SHOPS {
            let effects = self.effects(shop);
            let alone = effects.windows(2).all(|two| two[0].2.is_some_and(|end| end <= two[1].1));
            ensure!(alone, "shop {shop}: {effects:?}");
        }
        Ok(())
    }
}

/// A story may fail before it asks.
impl Drop for Shops {
    fn drop(&mut self) {
        if let (Err(violation), Some(mark)) = (self.had_one_at_a_time(), mark()) {
            drop(std::fs::write(mark, violation.to_string()));
        }
    }
}

/// Where the next try of this story, if there is one in this run, finds what the first has seen.
fn mark() -> Option<PathBuf> {
    let run = std::env::var("NEXTEST_RUN_ID").ok()?;
    let story = std::thread::current().name()?.replace("::", ".");
    Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("two-at-once-{run}-{story}")))
}

fn serve(peer: &mut std::net::TcpStream, root: &Path) -> Result<()> {
    let mut head = [0; 2048];
    let read = peer.read(&mut head)?;
    let text = String::from_utf8_lossy(&head[..read]).into_owned();
    let shop = text.split(['/', ' ']).nth(2).context("no path")?.to_owned();
    let is_well = root.join(format!("well-{shop}")).exists();
    let status = if is_well { "200 OK".to_owned() } else { format!("51{shop} Stuck") };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Ok(peer.write_all(answer.as_bytes())?)
}
