//! A real Chromium without a screen, steered through chromedriver as a person would steer it.
//!
//! It knows no page of ours. What the browser complains of (a script that fails, a file that is
//! missing, a breach of the page's policy) is kept by it and asked for by [`Browser::complaints`].

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::until;

/// A page that was not shown after this long is not coming.
const LIMIT: Duration = Duration::from_mins(1);
/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How wide and high the page is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) name: &'static str,
    width: u32,
    height: u32,
}

pub(super) const DESKTOP: Screen = Screen { name: "desktop", width: 1280, height: 800 };
pub(super) const PHONE: Screen = Screen { name: "phone", width: 375, height: 740 };

/// A browser with one page; it ends with it.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    runtime: Runtime,
    /// Where its profile lies.
    profile: tempfile::TempDir,
}

/// Whether there is a browser to test with; says so where there is none.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
pub(super) fn is_there() -> bool {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let is_there = there("chromedriver") && there("chromium");
    if !is_there {
        eprintln!("SKIPPED: no chromium and chromedriver here; install them to test the pages");
    }
    is_there
}

impl Browser {
    pub(super) fn open() -> Result<Self> {
        // The client wants one even where nothing is encrypted; another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start chromedriver")?;
        let output = driver.stdout.take().context("its output")?;
        let profile = tempfile::tempdir()?;
        let mut browser = Self {
            driver,
            port: 0,
            session: String::new(),
            client: Client::builder().timeout(LIMIT).no_proxy().build()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            profile,
        };
        let mut lines = BufReader::new(output).lines();
        browser.port = lines
            .by_ref()
            .filter_map(Result::ok)
            .find_map(|line| {
                line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
            })
            .context("chromedriver does not say its port")?;
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let begun = browser.ask(Method::POST, "/session", &browser.wishes())?;
        let id = begun["sessionId"].as_str().context("a session without an id")?;
        id.clone_into(&mut browser.session);
        Ok(browser)
    }

    fn wishes(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--hide-scrollbars", "--lang=en-GB", profile,
            ] },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } })
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let (status, mut said) = self.runtime.block_on(async {
            let answer = self.client.request(method, url).json(body).send().await?;
            anyhow::Ok((answer.status(), answer.json::<Value>().await?))
        })?;
        ensure!(status.is_success(), "{path}: {}", said["value"]["message"]);
        Ok(said["value"].take())
    }

    fn tell(&self, what: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, &format!("/session/{}/{what}", self.session), body)
    }

    /// A command of the browser's own protocol.
    pub(super) fn command(&self, name: &str, params: &Value) -> Result<Value> {
        self.tell("goog/cdp/execute", &json!({ "cmd": name, "params": params }))
    }

    /// Opens a page and waits until it is there.
    pub(super) fn go(&self, url: &str) -> Result<()> {
        self.tell("url", &json!({ "url": url })).map(drop).with_context(|| format!("open {url}"))
    }

    /// What a script in the page returns.
    pub(super) fn run(&self, script: &str) -> Result<Value> {
        self.tell("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What the promise that a script in the page makes becomes.
    pub(super) fn run_to_the_end(&self, script: &str) -> Result<Value> {
        let script = format!("const done = arguments[0]; ({script}).then(done, e => done('' + e))");
        self.tell("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// All the text that a person sees.
    pub(super) fn text(&self) -> Result<String> {
        let text = self.run("return document.body.innerText")?;
        text.as_str().map(str::to_owned).context("a page without text")
    }

    /// Waits until the page shows this text.
    pub(super) fn sees(&self, wanted: &str) -> Result<()> {
        until(wanted, Duration::from_secs(40), || {
            let text = self.text()?;
            ensure!(text.contains(wanted), "the page shows:\n{text}");
            Ok(())
        })
    }

    /// The element that an XPath leads to.
    fn find(&self, path: &str) -> Result<String> {
        let found = self.tell("element", &json!({ "using": "xpath", "value": path }))?;
        found[ELEMENT].as_str().map(str::to_owned).with_context(|| format!("no element {path}"))
    }

    /// Clicks what an XPath leads to.
    pub(super) fn click(&self, path: &str) -> Result<()> {
        let element = self.find(path)?;
        self.tell(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    /// Clicks the button with this text.
    pub(super) fn press(&self, button: &str) -> Result<()> {
        self.click(&format!("//button[contains(., '{button}')]"))
    }

    /// Types into what an XPath leads to.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let element = self.find(path)?;
        self.tell(&format!("element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Presses a key that is no letter, by its name in the page's events.
    pub(super) fn key(&self, key: &str, code: u32) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key,
                "windowsVirtualKeyCode": code });
            if key == "Enter" && kind == "keyDown" {
                event["text"] = "\r".into();
            }
            self.command("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Shows pages as on this screen.
    pub(super) fn look_on(&self, screen: Screen) -> Result<()> {
        let metrics = json!({ "width": screen.width, "height": screen.height,
            "deviceScaleFactor": 1, "mobile": screen.width < 500 });
        self.command("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Shows pages as to who wants them `light` or `dark`.
    pub(super) fn wants(&self, scheme: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// Whether pages may run scripts from now on.
    pub(super) fn lets_scripts_run(&self, allowed: bool) -> Result<()> {
        let value = json!({ "value": !allowed });
        self.command("Emulation.setScriptExecutionDisabled", &value).map(drop)
    }

    /// What the browser complained of since it was asked last.
    pub(super) fn complaints(&self) -> Result<Vec<String>> {
        let log = self.tell("se/log", &json!({ "type": "browser" }))?;
        let lines = log.as_array().context("a log that is no list")?.iter();
        let said = lines.map(|line| line["message"].to_string());
        // What the browser says of pages of its own, such as that there is no network, is not ours.
        Ok(said.filter(|text| !text.trim_start_matches('"').starts_with("chrome://")).collect())
    }

    /// A picture of the page down to so many pixels, as WebP.
    pub(super) fn picture(&self, screen: Screen, most_height: u32) -> Result<Vec<u8>> {
        let full = self.run("return document.documentElement.scrollHeight")?;
        let height = full.as_u64().unwrap_or(0).min(u64::from(most_height));
        let clip = json!({ "x": 0, "y": 0, "width": screen.width, "height": height, "scale": 1 });
        let wish = json!({ "format": "webp", "quality": 60, "clip": clip,
            "captureBeyondViewport": true });
        let taken = self.command("Page.captureScreenshot", &wish)?;
        let text = taken["data"].as_str().context("a picture without data")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; killing the driver alone would leave it running.
        if !self.session.is_empty() {
            drop(self.ask(Method::DELETE, &format!("/session/{}", self.session), &json!({})));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
