//! The faults: how a healthy stack is laid out, how it breaks, and what alone mends it.
//!
//! A fault is injected the way it happens in life: a process killed by the kernel, a file edited, a
//! provider that lowers its limit. The judge is one address asked from outside; it
//! knows nothing of containers.

mod data_services;
mod deployed;
mod greedy;
mod whole_shop;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::engine::docker;
use super::stack::{Service, Stack};

pub(crate) use data_services::{
    CACHE_FROZEN, CACHE_FULL, CACHE_STOPPED, CONNECTIONS_LEAKED, DATABASE_FROZEN, DATABASE_STOPPED,
    DEPENDENT_GAVE_UP, LOCK_HELD, MYSQL_CONNECTIONS_LEAKED, NETWORK_LOST, START_ORDER,
};
pub(crate) use deployed::{BAD_IMAGE_UPDATE, LOST_VARIABLE, NO_WAY_BACK};
pub(crate) use greedy::{MEMORY_LEAK, SPINNING};
pub(crate) use whole_shop::{SHOP_APPLICATION_CRASHED, SHOP_DATABASE_STOPPED, SHOP_RATE_LIMIT};

const GOOD_SITE: &str = "server { listen 80; location / { proxy_pass http://app:8080; } }\n";
const BROKEN_SITE: &str = "server { listen 80; location / { proxy_pass http://app:8080 } }\n";
const GOOD_POOL: &str = "{\n  \"greeting\": \"hello\",\n  \"pool_size\": 4\n}\n";
pub(crate) const WORKER: &str = r#"{
  "upstream": {
    "url": "http://provider:8080/quote",
    "delay_s": 0.2
  }
}
"#;

const HASTY_WORKER: &str = r#"{
  "upstream": {
    "url": "http://provider:8080/quote",
    "delay_s": 0.2,
    "timeout_s": 1.0
  }
}
"#;

/// One way to break a stack.
pub(crate) struct Fault {
    /// Starts a healthy stack.
    pub(crate) stage: fn(&mut Stack) -> Result<()>,
    /// What the judge asks: a role and a path that answers 200 while all is well.
    pub(crate) judge: (&'static str, &'static str),
    /// Breaks it.
    pub(crate) inject: fn(&Stack) -> Result<()>,
    /// What looks like a cure and is none: to restart what shows the symptom.
    pub(crate) futile: Option<fn(&Stack) -> Result<()>>,
    /// The right cure, as a person would do it.
    pub(crate) cure: fn(&Stack) -> Result<()>,
}

impl Fault {
    /// Starts the stack and waits until the judge is content.
    pub(crate) fn staged(&self) -> Result<Stack> {
        let mut stack = Stack::new()?;
        (self.stage)(&mut stack)?;
        stack.wait_for(self.judge.0, self.judge.1)?;
        stack.wait_until_healthy(self.judge.0)?;
        Ok(stack)
    }

    /// Asks the service from outside.
    pub(crate) fn judge(&self, stack: &Stack) -> Result<()> {
        stack.get(self.judge.0, self.judge.1).map(|_| ())
    }
}

/// The application, reachable from outside, with no health check.
pub(crate) fn app() -> Service {
    Service::new("app", "app").publish(8080)
}

/// The first process dies at once, and no policy brings it back.
pub(crate) const CRASH: Fault = Fault {
    stage: |stack| stack.start(app()),
    judge: ("app", "/"),
    inject: |stack| stack.signal_from_host("app", "KILL"),
    futile: None,
    cure: |stack| docker(&["start", &stack.name("app")]).map(drop),
};

/// The process lives and answers nothing.
pub(crate) const HANG: Fault = Fault {
    stage: |stack| stack.start(app().asks_itself()),
    judge: ("app", "/"),
    inject: |stack| stack.post("app", "/fault/hang"),
    futile: None,
    cure: |stack| docker(&["restart", &stack.name("app")]).map(drop),
};

/// The process answers that it is broken.
pub(crate) const UNHEALTHY: Fault = Fault {
    stage: |stack| stack.start(app().asks_itself()),
    judge: ("app", "/"),
    inject: |stack| stack.post("app", "/fault/unhealthy"),
    futile: None,
    cure: |stack| docker(&["restart", &stack.name("app")]).map(drop),
};

/// An older copy of the service was started again, does nothing, and has the port.
pub(crate) const PORT_TAKEN: Fault = Fault {
    stage: |stack| {
        let before = Service::new("before", "app").publish(8080);
        let idle = ["--entrypoint=/usr/bin/tini", "--label=com.docker.compose.service=app"];
        stack.start(before.with(&idle).with_command(&["--", "sleep", "86400"]))?;
        docker(&["stop", &stack.name("before")])?;
        let publish = format!("--publish=127.0.0.1:{}:8080", stack.port("before")?);
        stack.start(Service::new("app", "app").with(&[&publish]))
    },
    judge: ("before", "/"),
    inject: |stack| {
        docker(&["stop", &stack.name("app")])?;
        docker(&["start", &stack.name("before")])?;
        anyhow::ensure!(docker(&["start", &stack.name("app")]).is_err(), "the port is free");
        Ok(())
    },
    futile: Some(|stack| {
        let refused = docker(&["restart", &stack.name("app")]);
        anyhow::ensure!(refused.is_err(), "the port is free");
        Ok(())
    }),
    cure: |stack| {
        docker(&["stop", &stack.name("before")])?;
        docker(&["start", &stack.name("app")]).map(drop)
    },
};

/// A service that writes a line of log for every answer, and cannot answer when it cannot write.
const LOGGER: &str = r#"
import http.server, sys

class Logger(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = 200
        try:
            with open("/var/log/app/app.log", "ab") as log:
                log.write(b"answered a request\n")
        except OSError as error:
            code = 503
            print("ERROR logger: OSError:", error, file=sys.stderr, flush=True)
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("", 8080), Logger).serve_forever()
"#;

/// The volume that a service writes its log to is full of it.
pub(crate) const LOGS_FULL: Fault = Fault {
    stage: |stack| {
        let volume = stack.small_volume("logs", "8m")?;
        let mount = format!("{volume}:/var/log/app");
        let service = Service::new("app", "app").publish(8080).asks_itself();
        let service = service.with(&["--volume", &mount, "--entrypoint=/usr/bin/python3"]);
        stack.start(service.with_command(&["-c", LOGGER]))
    },
    judge: ("app", "/"),
    inject: |stack| {
        // `cat` ends with the first write that fails; other endless writers go on.
        let fill = "cat /dev/zero >> /var/log/app/app.log";
        let full = docker(&["exec", &stack.name("app"), "/bin/sh", "-c", fill]);
        anyhow::ensure!(full.is_err(), "the volume has no end");
        Ok(())
    },
    // A restart unmounts the volume, and what lies in memory is gone with that.
    futile: None,
    cure: |stack| {
        let empty = "truncate -s 0 /var/log/app/app.log";
        docker(&["exec", &stack.name("app"), "/bin/sh", "-c", empty]).map(drop)
    },
};

/// The service is started again with a memory limit that its start does not fit into.
pub(crate) const MEMORY_TOO_LOW: Fault = Fault {
    stage: |stack| {
        let service = app().env("WARMUP_MB", "40");
        stack.start(service.with(&["--memory=256m", "--memory-swap=256m", "--restart=always"]))
    },
    judge: ("app", "/"),
    inject: |stack| {
        let name = stack.name("app");
        docker(&["stop", &name])?;
        docker(&["update", "--memory=40m", "--memory-swap=40m", &name])?;
        docker(&["start", &name]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        let name = stack.name("app");
        // While it dies and starts, Docker may update one that is gone by then; and the back-off
        // between restarts would hide the cure for up to a minute.
        docker(&["stop", &name])?;
        docker(&["update", "--memory=128m", "--memory-swap=128m", &name])?;
        docker(&["start", &name]).map(drop)
    },
};

/// A file as old as the container could be newer than what the container has read.
fn write_an_hour_ago(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)?;
    let an_hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    Ok(std::fs::File::options().append(true).open(file)?.set_modified(an_hour_ago)?)
}

/// A file edited wrongly, noticed only at the next start.
pub(crate) const BROKEN_CONFIGURATION: Fault = Fault {
    stage: |stack| {
        stack.start(app())?;
        stack.wait_for("app", "/")?;
        let folder = stack.folder("site")?;
        write_an_hour_ago(&folder.join("default.conf"), GOOD_SITE)?;
        let web = Service::new("web", "nginx").publish(80).needs(&["app"]);
        stack.start(web.mount(&folder, "/etc/nginx/conf.d").with(&["--restart=always"]))
    },
    judge: ("web", "/"),
    inject: |stack| {
        std::fs::write(stack.folder("site")?.join("default.conf"), BROKEN_SITE)?;
        docker(&["restart", &stack.name("web")]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("web")]).map(drop)),
    cure: |stack| {
        std::fs::write(stack.folder("site")?.join("default.conf"), GOOD_SITE)?;
        docker(&["restart", &stack.name("web")]).map(drop)
    },
};

/// A value that the service takes at its start and cannot work with.
pub(crate) const BAD_VALUE: Fault = Fault {
    stage: |stack| {
        let folder = stack.folder("settings")?;
        write_an_hour_ago(&folder.join("config.json"), GOOD_POOL)?;
        let app = app().mount(&folder, "/config").env("CONFIG", "/config/config.json");
        stack.start(app.asks_itself())
    },
    judge: ("app", "/"),
    inject: |stack| {
        let file = stack.folder("settings")?.join("config.json");
        std::fs::write(file, GOOD_POOL.replace('4', "0"))?;
        docker(&["restart", &stack.name("app")]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        std::fs::write(stack.folder("settings")?.join("config.json"), GOOD_POOL)?;
        docker(&["restart", &stack.name("app")]).map(drop)
    },
};

/// A worker with this configuration, and somebody else's service that it asks.
fn start_worker(stack: &mut Stack, config: &str) -> Result<()> {
    let provider = Service::new("provider", "app").publish(8080);
    let external = &["--entrypoint=/usr/bin/lab-provider", "--label=selfheal.external=true"];
    stack.start(provider.with(external))?;
    std::fs::write(stack.folder("worker")?.join("config.json"), config)?;
    let folder = stack.folder("worker")?;
    let worker = Service::new("worker", "app").publish(8080).needs(&["provider"]);
    let worker = worker.mount(&folder, "/config").env("CONFIG", "/config/config.json");
    stack.start(worker.with(&["--entrypoint=/usr/bin/lab-worker"]))
}

/// A provider takes a little longer than it is waited for; only waiting for longer helps.
pub(crate) const TIMEOUT_TOO_LOW: Fault = Fault {
    stage: |stack| start_worker(stack, HASTY_WORKER),
    judge: ("worker", "/status"),
    inject: |stack| stack.post("provider", "/latency?s=1.2"),
    futile: Some(|stack| docker(&["restart", &stack.name("worker")]).map(drop)),
    cure: |stack| {
        let file = stack.folder("worker")?.join("config.json");
        std::fs::write(file, HASTY_WORKER.replace("1.0", "1.5"))?;
        docker(&["restart", &stack.name("worker")]).map(drop)
    },
};

/// A provider lowers its limit; only calling it less often helps.
pub(crate) const RATE_LIMIT: Fault = Fault {
    stage: |stack| start_worker(stack, WORKER),
    judge: ("worker", "/status"),
    inject: |stack| stack.post("provider", "/limit?rate=4"),
    futile: Some(|stack| docker(&["restart", &stack.name("worker")]).map(drop)),
    cure: |stack| {
        let file = stack.folder("worker")?.join("config.json");
        std::fs::write(file, WORKER.replace("0.2", "0.3"))?;
        docker(&["restart", &stack.name("worker")]).map(drop)
    },
};
