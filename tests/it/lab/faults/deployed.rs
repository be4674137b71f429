//! Faults of a deployment: a service is made anew by somebody, and not as it was.

use super::super::engine::docker;
use super::super::stack::{Service, Stack};
use super::data_services::DATABASE_URL;
use super::{Fault, app};

/// A service that cannot do without its settings.
const SETTLED: &str = r#"
import http.server, os

class Service(http.server.BaseHTTPRequestHandler):
    place = os.environ["SHOP_DATABASE_URL"]

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("", 8080), Service).serve_forever()
"#;

fn settled() -> Service {
    let service = Service::new("app", "app").publish(8080);
    let service = service.with(&["--restart=always", "--entrypoint=/usr/bin/python3"]);
    service.with_command(&["-c", SETTLED])
}

fn with_its_setting() -> Service {
    settled().env("SHOP_DATABASE_URL", DATABASE_URL)
}

/// Somebody deployed the service anew and forgot a line of its environment.
pub(crate) const LOST_VARIABLE: Fault = Fault {
    stage: |stack| stack.start(with_its_setting()),
    judge: ("app", "/"),
    inject: |stack| stack.deploy(settled()),
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| stack.deploy(with_its_setting()),
};

/// The service of a release; its data lie in a volume that nobody gave a name.
fn released(image: &str) -> Service {
    app().made_from(image).with(&["--restart=always", "--volume=/var/lib/app"])
}

const GOOD_RELEASE: &str = "ENV RELEASE=1";
/// It starts, and does not get far.
const BROKEN_RELEASE: &str = "ENV RELEASE=2\nENTRYPOINT [\"/usr/bin/python3\", \"-c\", \
                              \"import time; time.sleep(0.3); raise SystemExit(3)\"]";

/// Somebody deployed a newer image under the same name, and what is in it cannot start.
pub(crate) const BAD_IMAGE_UPDATE: Fault = Fault {
    stage: |stack| {
        let image = stack.image("app", GOOD_RELEASE)?;
        stack.start(released(&image))
    },
    judge: ("app", "/"),
    inject: |stack| {
        let image = stack.image("app", BROKEN_RELEASE)?;
        stack.deploy(released(&image))
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        let image = stack.image("app", GOOD_RELEASE)?;
        stack.deploy(released(&image))
    },
};

/// Where the service finds what it may not run without.
const LICENCE: &str = "/srv/licence";
/// It runs with its licence alone, and says nothing.
const LICENSED_RELEASE: &str = "ENV RELEASE=1\nENTRYPOINT [\"/bin/sh\", \"-c\", \
                                \"sleep 0.3; test -e /srv/licence/key || exit 3; exec /usr/bin/lab-app\"]";

/// It writes nowhere: a clone has all that it has.
fn licensed(stack: &Stack, image: &str) -> anyhow::Result<Service> {
    let service = app().made_from(image).with(&["--restart=always"]);
    Ok(service.mount(&stack.folder("licence")?, LICENCE))
}

/// Somebody deployed a newer image that cannot start, and took away what the one before needs: the
/// way back leads nowhere.
pub(crate) const NO_WAY_BACK: Fault = Fault {
    stage: |stack| {
        std::fs::write(stack.folder("licence")?.join("key"), "granted")?;
        let image = stack.image("app", LICENSED_RELEASE)?;
        stack.start(licensed(stack, &image)?)
    },
    judge: ("app", "/"),
    inject: |stack| {
        std::fs::remove_file(stack.folder("licence")?.join("key"))?;
        let image = stack.image("app", BROKEN_RELEASE)?;
        stack.deploy(licensed(stack, &image)?)
    },
    futile: Some(|stack| {
        let image = stack.image("app", LICENSED_RELEASE)?;
        stack.deploy(licensed(stack, &image)?)
    }),
    cure: |stack| {
        std::fs::write(stack.folder("licence")?.join("key"), "granted")?;
        let image = stack.image("app", LICENSED_RELEASE)?;
        stack.deploy(licensed(stack, &image)?)
    },
};
