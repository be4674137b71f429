//! The log of a real daemon, as the programs that read it see it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::access::Site;
use crate::support::{free_port, until};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn with_the_format_json_every_line_is_an_object_with_its_fields() -> Result<()> {
    let closed = free_port()?;
    let site = Site::new(&format!(
        "listen = \"127.0.0.1:PORT\"\n[logs]\nformat = \"json\"\n[[target]]\nkind = \"tcp\"\n\
         name = \"till\"\nurl = \"tcp://127.0.0.1:{closed}\"\n\
         [thresholds]\npressure_cpu_percent = 100\npressure_load_per_core = 1000\n"
    ))?;
    let daemon = site.run()?;
    until("the till is told of", LIMIT, || {
        ensure!(site.log_text()?.contains("tcp:till"));
        Ok(())
    })?;
    drop(daemon);
    let text = site.log_text()?;
    let mut told_of_the_till = false;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        ensure!(line["fields"]["message"].is_string(), "{line}");
        told_of_the_till |= line["fields"]["target.id"] == "tcp:till";
    }
    ensure!(told_of_the_till, "no line has the till as a field:\n{text}");
    Ok(())
}
