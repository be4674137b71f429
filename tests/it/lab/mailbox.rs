//! Receives alerts as a person's chat server would: a loopback web address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::Value;

/// The receiver; it ends with the process.
pub(crate) struct Mailbox {
    port: u16,
    alerts: Arc<Mutex<Vec<Value>>>,
}

impl Mailbox {
    /// Listens on a free loopback port.
    pub(crate) fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let alerts = Arc::new(Mutex::new(vec![]));
        let into = alerts.clone();
        std::thread::spawn(move || {
            for sender in listener.incoming().flatten() {
                if let Ok(alert) = receive(sender) {
                    into.lock().expect("no receiver panics").push(alert);
                }
            }
        });
        Ok(Self { port, alerts })
    }

    /// The address for the setting `alerts.webhook.url`.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/alerts", self.port)
    }

    /// What was received until now.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.alerts.lock().expect("no receiver panics").clone()
    }
}

fn receive(sender: TcpStream) -> Result<Value> {
    let mut lines = BufReader::new(sender);
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context("the length of an alert")?;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    lines.get_mut().write_all(answer.as_bytes())?;
    serde_json::from_slice(&body).context("an alert that is no JSON")
}
