//! Starts a real mail server and listens to what it tells.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use selfheal::config::{Email, Secret, SmtpTls};
use serde_json::Value;

/// A running mail server; ended when dropped.
pub(super) struct MailServer {
    process: Child,
    pub(super) port: u16,
    told: Arc<Mutex<Vec<Value>>>,
    /// Certificate and key.
    folder: tempfile::TempDir,
    tls: SmtpTls,
    login: bool,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl MailServer {
    /// A server that speaks TLS in this way and, with `login`, wants one.
    pub(super) fn start(tls: SmtpTls, login: bool) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate(folder.path());
        let mode = match tls {
            SmtpTls::Starttls => "starttls",
            SmtpTls::Tls => "tls",
            SmtpTls::None => "none",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/alerts/smtp_server.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(mode)
            .args([certificate, key])
            .arg(if login { "login" } else { "open" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().expect("it starts").unwrap().parse().unwrap();
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let into = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { process, port, told, folder, tls, login })
    }

    /// Settings that reach it.
    pub(super) fn settings(&self, to: &[&str]) -> Email {
        Email {
            host: Some("localhost".to_owned()),
            port: Some(self.port),
            tls: self.tls,
            ca_file: Some(self.folder.path().join("certificate.pem")),
            user: self.login.then(|| Secret::new("selfheal")),
            password: self.login.then(|| Secret::new("c4n4ry")),
            from: Some("Selfheal <selfheal@example.org>".to_owned()),
            to: to.iter().map(|name| format!("{name}@example.org")).collect(),
            ..Email::default()
        }
    }

    /// The letters that it took, each with those it was for.
    pub(super) fn letters(&self) -> Vec<Value> {
        self.told.lock().unwrap().iter().filter(|told| told.get("for").is_some()).cloned().collect()
    }

    /// How often a recipient of this name was tried.
    pub(super) fn tries(&self, name: &str) -> usize {
        let address = format!("{name}@example.org");
        self.told.lock().unwrap().iter().filter(|told| told["tried"] == address.as_str()).count()
    }

    /// How many letters this recipient has.
    pub(super) fn has(&self, name: &str) -> usize {
        let address = format!("{name}@example.org");
        self.letters().iter().filter(|letter| letter["for"][0] == address.as_str()).count()
    }
}

/// A certificate of its own making for `localhost`, and its key.
pub(crate) fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = wish.self_signed(&key).unwrap();
    let (one, other) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&one, certificate.pem()).unwrap();
    std::fs::write(&other, key.serialize_pem()).unwrap();
    (one, other)
}

/// A Python that has aiosmtpd; Debian's own, where the path leads to another.
fn python() -> Option<&'static str> {
    let has_it = |python: &&str| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has_it);
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "python3-aiosmtpd is missing; CI must test it");
        let _ = writeln!(std::io::stderr(), "SKIPPED: python3-aiosmtpd is not installed");
    }
    found
}
