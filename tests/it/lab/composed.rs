//! Both files of `deploy/compose`, started as their first lines say, and what Selfheal does in them.
//!
//! Nothing can be pulled, so what the files name is made here: Selfheal's image by
//! `deploy/docker/import`, PostgreSQL's and Redis's out of the lab's, and in the place of the socket
//! proxy `tests/compose/socket-proxy`, which knows the same options. The files want the ports 8003 to
//! 8005 and the socket at its usual place; `scripts/compose` has an engine for that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::daemon::{SWIFT, UNDER_LOAD};
use super::engine::{self, docker};
use super::faults::CRASH;
use super::image::Image;
use super::stack::Stack;
use crate::support::until;

const LIMIT: Duration = Duration::from_mins(3);
const PASSWORD: &str = "s3cret";

/// What a compose file started; gone at the end.
struct Composed<'a> {
    stack: &'a Stack,
    file: PathBuf,
    /// What the test adds to the file.
    more: PathBuf,
}

impl<'a> Composed<'a> {
    /// Everything that the file says, under way.
    fn up(stack: &'a Stack, file: &str) -> Result<Self> {
        let folder = stack.folder("compose")?;
        let settings = folder.join("selfheal.toml");
        std::fs::write(&settings, format!("{SWIFT}{UNDER_LOAD}"))?;
        let more = folder.join("more.yaml");
        // As often as a test can bear.
        let text = format!(
            "services:\n  selfheal:\n    healthcheck: {{interval: 1s}}\n    \
             volumes: [\"{}:/etc/selfheal/selfheal.toml:ro\"]\n",
            settings.display()
        );
        std::fs::write(&more, text)?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose").join(file);
        let composed = Self { stack, file, more };
        composed.compose(&["up", "--detach"])?;
        Ok(composed)
    }

    /// Runs Docker Compose, the plugin or the program of old.
    fn compose(&self, words: &[&str]) -> Result<()> {
        let has_plugin = docker(&["compose", "version"]).is_ok();
        let mut command = Command::new(if has_plugin { "docker" } else { "docker-compose" });
        if has_plugin {
            command.arg("compose");
        }
        let group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(SOCKET)?);
        command.args(["--project-name", self.stack.network(), "--file"]).arg(&self.file);
        command.arg("--file").arg(&self.more).args(words);
        command.env("DOCKER_GID", group.to_string());
        command.env("DATABASE_PASSWORD", PASSWORD).env("STREAMS_PASSWORD", PASSWORD);
        let output = command.output().context("run Docker Compose")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{words:?}: {said}");
        Ok(())
    }

    /// The container of a service.
    fn container(&self, service: &str) -> Result<String> {
        let project = format!("label=com.docker.compose.project={}", self.stack.network());
        let service = format!("label=com.docker.compose.service={service}");
        let line = ["ps", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service];
        let id = docker(&line)?;
        ensure!(!id.is_empty(), "no container has {service}");
        Ok(id)
    }

    /// Both streams of a service's log.
    fn log(&self, service: &str) -> Result<String> {
        let output = Command::new("docker").args(["logs", &self.container(service)?]).output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn wait_until_healthy(&self, service: &str) -> Result<()> {
        let template = "{{.State.Health.Status}}";
        until(&format!("{service} is healthy"), LIMIT, || {
            let seen = docker(&["inspect", "--format", template, &self.container(service)?])?;
            ensure!(seen == "healthy", "its health check says {seen}");
            Ok(())
        })
        .with_context(|| self.log(service).unwrap_or_default())
    }

    /// Breaks the stack's container and waits until it works again.
    fn sees_it_healed(&self) -> Result<()> {
        let app = format!("container:{}", self.stack.name("app"));
        let selfheal = self.container("selfheal")?;
        until("it sees the application", LIMIT, || {
            let targets = docker(&["exec", &selfheal, "selfheal", "targets", "--json"])?;
            ensure!(targets.contains(&app), "it sees {targets}");
            Ok(())
        })?;
        self.stack.wait_until_settled()?;
        (CRASH.inject)(self.stack)?;
        until("the application works again", LIMIT, || CRASH.judge(self.stack))?;
        until("the incident is over", LIMIT, || {
            let incidents = docker(&["exec", &selfheal, "selfheal", "incidents", "--json"])?;
            ensure!(incidents.contains(&app), "{incidents}");
            ensure!(incidents.contains("\"resolved\""), "{incidents}");
            Ok(())
        })
    }
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        drop(self.compose(&["down", "--volumes", "--timeout", "5"]));
    }
}

/// Where both files look for it.
const SOCKET: &str = "/var/run/docker.sock";

/// Makes an image by this name out of the lab's, with this file in it.
fn made(stack: &Stack, name: &str, of: &str, file: &Path, lines: &str) -> Result<()> {
    let folder = stack.folder("made")?;
    std::fs::copy(file, folder.join("file")).with_context(|| file.display().to_string())?;
    let text = format!("FROM fault-lab/{of}:{}\nCOPY file /file\n{lines}", engine::tag()?);
    std::fs::write(folder.join("Dockerfile"), text)?;
    let (folder, label) = (folder.display().to_string(), stack.label());
    docker(&["build", "--quiet", "--label", &label, "--tag", name, &folder]).map(drop)
}

#[test]
#[ignore = "wants ports and a socket of its own: scripts/compose"]
fn the_smallest_compose_file_heals() -> Result<()> {
    let stack = CRASH.staged()?;
    let _image = Image::made(&stack, "selfheal")?;
    let composed = Composed::up(&stack, "minimal.yaml")?;
    composed.wait_until_healthy("selfheal")?;
    composed.sees_it_healed().with_context(|| composed.log("selfheal").unwrap_or_default())
}

#[tokio::test]
#[ignore = "wants ports and a socket of its own: scripts/compose"]
async fn behind_the_proxy_with_its_history_in_postgres_and_its_word_in_redis_it_heals() -> Result<()>
{
    let stack = CRASH.staged()?;
    let _image = Image::made(&stack, "selfheal")?;
    let proxy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/socket-proxy");
    let name = "wollomatic/socket-proxy:1.12.2";
    made(&stack, name, "base", &proxy, "ENTRYPOINT [\"/file\"]\n")?;
    let ready = Path::new("/usr/lib/postgresql/15/bin/pg_isready");
    let lines = "RUN ln -s /file /usr/bin/pg_isready\nENV POSTGRES_DB=selfheal\n";
    made(&stack, "postgres:17-alpine", "postgres", ready, lines)?;
    let lines = "RUN mkdir /data && chown redis:redis /data\nVOLUME /data\nWORKDIR /data\n";
    made(&stack, "redis:7-alpine", "base", &proxy, lines)?;

    let composed = Composed::up(&stack, "compose.yaml")?;
    for service in ["postgres", "redis", "selfheal"] {
        composed.wait_until_healthy(service)?;
    }
    composed.sees_it_healed().with_context(|| composed.log("selfheal").unwrap_or_default())?;
    let status =
        docker(&["exec", &composed.container("selfheal")?, "selfheal", "status", "--json"])?;
    ensure!(!status.contains("refuses Selfheal's login"), "it cannot watch its own: {status}");
    let refused = composed.log("socket-proxy")?;
    ensure!(!refused.contains("blocked request"), "it asks for what it is not let: {refused}");

    let url = format!("postgres://selfheal:{PASSWORD}@127.0.0.1:8005/selfheal");
    let mut database = PgConnection::connect(&url).await?;
    let count = "SELECT count(*) FROM repair_history";
    let sent = async {
        loop {
            let (rows,): (i64,) = sqlx::query_as(count).fetch_one(&mut database).await?;
            if rows > 0 {
                return Ok::<_, sqlx::Error>(rows);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    // What the page shows is sent there a moment later.
    let rows = tokio::time::timeout(LIMIT, sent).await.context("no repair is in the history")??;
    ensure!(rows == 1, "{rows} repairs are in the history");
    let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:8004"))?;
    let stream = "maestro:streams:automation:results";
    let mut connection = client.get_connection()?;
    until("it is told by Redis", LIMIT, || {
        let told: i64 = redis::cmd("XLEN").arg(stream).query(&mut connection)?;
        ensure!(told > 0, "nothing is in {stream}");
        Ok(())
    })
}
