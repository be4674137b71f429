//! Every page as a browser shows it: without a complaint, for everybody, on every screen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use selfheal_agents::fakes::{healthy, labels};
use selfheal_agents::model::Mode;
use serde_json::Value;

use super::driver::{Browser, DESKTOP, PHONE, Screen, is_there};
use super::stage::{Past, Stage, rules};
use crate::support::until;

/// The pictures that the README shows.
const DOCUMENTED: [&str; 6] = [
    "overview-desktop.webp",
    "overview-phone.webp",
    "incident-desktop.webp",
    "approvals-desktop.webp",
    "target-desktop.webp",
    "learning-desktop.webp",
];

/// Where pictures of the pages go, and where what looks for barriers lies.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

/// A shop after a day, with one incident that waits and some that were healed.
fn stage() -> Result<Stage> {
    Stage::new(rules(Mode::Auto), false, Past::Day)
}

/// Every page there is, with the name of its picture.
fn pages(stage: &Stage) -> Result<Vec<(&'static str, String)>> {
    let mut pages: Vec<(&str, String)> = [
        ("overview", "/"),
        ("incidents", "/incidents"),
        ("approvals", "/approvals"),
        ("targets", "/targets"),
        ("target", "/targets/container%3Aweb"),
        ("host", "/targets/host"),
        ("fleet", "/fleet"),
        ("backups", "/backups"),
        ("knowledge", "/knowledge?q=redis"),
        ("runbook", "/knowledge/redis-memory-full"),
        ("learning", "/learning"),
        ("pipeline", "/pipeline"),
        ("settings", "/settings"),
        ("login", "/login"),
        ("not-found", "/targets/container%3Anobody"),
    ]
    .map(|(name, path)| (name, path.to_owned()))
    .into();
    let list = stage.get("/api/incidents")?;
    let incidents = list["incidents"].as_array().context("a list")?;
    for (name, state) in [("incident-held", "held"), ("incident", "resolved")] {
        let its = incidents.iter().find(|incident| incident["state"] == state);
        let id =
            its.and_then(|its| its["id"].as_str()).with_context(|| format!("{state}: {list}"))?;
        pages.push((name, format!("/incidents/{id}")));
    }
    let list = stage.get("/api/monitoring/backups")?;
    let id = list["data"]["backups"][0]["backup_id"].as_str().context("a backup")?;
    pages.push(("backup", format!("/backups/{id}")));
    Ok(pages)
}

/// Whether there is something to draw on the page of this name.
fn has_charts(name: &str) -> bool {
    ["target", "host", "learning", "incident"].contains(&name)
}

/// What shuts somebody out of the page that is shown, if that can be told here.
fn barriers(browser: &Browser, axe: &str) -> Result<Vec<String>> {
    browser.run(axe)?;
    let found = browser.run_to_the_end("axe.run()")?;
    let violations = found["violations"].as_array().with_context(|| found.to_string())?;
    let told = |v: &Value| {
        let nodes = v["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let places: Vec<String> = nodes
            .iter()
            .take(3)
            .map(|n| format!("{} {}", n["html"], n["any"][0]["message"]))
            .collect();
        format!("{}: {} at {}", v["id"], v["help"], places.join("; "))
    };
    Ok(violations.iter().map(told).collect())
}

/// Whether the browser drew every chart of the page that is shown, and how many there are.
fn charts(browser: &Browser) -> Result<u64> {
    let told = browser.run(
        "const plots = [...document.querySelectorAll('.plot')];
         const isDrawn = plot => {
           const it = plot.querySelector('canvas');
           return it && it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(Boolean);
         };
         return plots.every(isDrawn) && !document.querySelector('.plot svg') ? plots.length : -1",
    )?;
    told.as_u64().with_context(|| format!("a chart is not drawn: {told}"))
}

/// The text of axe-core, where it was fetched.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn axe() -> Option<String> {
    let found = std::fs::read_dir(target().join("axe")).ok()?.find_map(Result::ok);
    let text = found.and_then(|file| std::fs::read_to_string(file.path()).ok());
    if text.is_none() {
        eprintln!("SKIPPED: whom the pages shut out: scripts/axe fetches what looks for it");
    }
    text
}

#[test]
fn every_page_is_shown_without_a_complaint_and_shuts_nobody_out() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser, axe) = (stage()?, Browser::open()?, axe());
    let mut wrong = vec![];
    for (name, path) in pages(&stage)? {
        browser.go(&stage.url(&path))?;
        for (screen, scheme) in
            [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "dark"), (PHONE, "light")]
        {
            browser.look_on(screen)?;
            browser.wants(scheme)?;
            take_picture(&browser, screen, scheme, name)?;
            let found = match &axe {
                Some(axe) => barriers(&browser, axe)?,
                None => vec![],
            };
            let what = format!("{name}, {}, {scheme}", screen.name);
            wrong.extend(found.into_iter().map(|found| format!("{what}: {found}")));
            let wide = browser.run("return document.documentElement.scrollWidth - innerWidth")?;
            if wide.as_i64() > Some(0) {
                wrong.push(format!("{what}: {wide} pixels wider than the screen"));
            }
        }
        let (charts, wanted) = (charts(&browser).with_context(|| name)?, has_charts(name));
        if (charts > 0) != wanted {
            wrong.push(format!("{name}: {charts} charts, though it has some: {wanted}"));
        }
        // The page that is not there is answered by 404, which the browser notes.
        let complaints = browser.complaints()?;
        wrong.extend(complaints.into_iter().filter(|_| name != "not-found"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Texts that a page without escapes would run: each of these in each of those places.
fn hostile() -> Vec<String> {
    let runs = ["alert(1)", "window.broken=1", "fetch('//evil.example')", "eval('1')", "top.x=1"];
    let around = [
        "<script>{}</script>",
        "\"><img src=x onerror={}>",
        "' autofocus onfocus={} x='",
        "</textarea><svg onload={}>",
        "</title><body onload={}>",
        "<iframe srcdoc='<script>{}</script>'>",
        "<a href=\"javascript:{}\">x</a>",
        "<style>@import 'data:,{}'</style>",
        "<base href=//evil.example/{}>",
        "<meta http-equiv=refresh content='0;url=javascript:{}'>",
        "{{ {} }}",
        "--><script>{}</script><!--",
        "]]><script>{}</script>",
        "\u{202e}<script>{}</script>",
        "\u{0}<script>{}</script>",
        "&lt;script&gt;{}&lt;/script&gt;",
        "<math><mtext><img src onerror={}>",
        "<details open ontoggle={}>",
        "<form action=javascript:{}><button>x",
        "%3Cscript%3E{}%3C/script%3E",
        "<b hx-on:load='{}' hx-get=/ hx-trigger=load hx-vals='js:{}'>x</b>",
        "<hx-partial hx-target=body><img src onerror={}></hx-partial>",
    ];
    let padded = ["", " ", "ERROR ", "\u{1b}[31m", "x=\"1\" "];
    let mut all = vec![];
    for text in around {
        for run in runs {
            all.extend(padded.iter().map(|pad| format!("{pad}{}", text.replace("{}", run))));
        }
    }
    all
}

#[test]
fn over_five_hundred_hostile_texts_run_on_no_page() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let texts = hostile();
    ensure!(texts.len() == 550, "{}", texts.len());
    let stage = stage()?;
    let browser = Browser::open()?;
    for (at, some) in texts.chunks(25).enumerate() {
        let mut facts = healthy(&format!("guest-{at}"));
        facts.image = some[0].clone();
        facts.start_error = some.concat();
        facts.labels = labels(&[("selfheal.depends-on", some[1].as_str()), ("note", &some[2])]);
        stage.world.add(facts);
        for text in some {
            stage.world.log(&format!("guest-{at}"), &format!("FATAL {text}"));
        }
        stage.world.crash(&format!("guest-{at}"), 1);
    }
    stage.look()?;
    let list = stage.get("/api/incidents?limit=40")?;
    let incidents = list["incidents"].as_array().context("a list")?;
    let its = incidents.iter().filter_map(|incident| incident["id"].as_str());
    let mut paths: Vec<String> = its.map(|id| format!("/incidents/{id}")).collect();
    paths.extend((0..22).map(|at| format!("/targets/container%3Aguest-{at}")));
    paths.extend(pages(&stage)?.into_iter().map(|(_, path)| path));
    paths.extend(texts.iter().step_by(50).map(|text| {
        let sought: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        format!("/knowledge?q={sought}")
    }));
    for path in paths {
        browser.go(&stage.url(&path))?;
        let broken = browser.run("return window.broken === 1 || window.x === 1")?;
        ensure!(broken == false, "{path}: something ran");
        let complaints = browser.complaints()?;
        let of_ours = complaints.iter().filter(|line| !line.contains("404")).collect::<Vec<_>>();
        ensure!(of_ours.is_empty(), "{path}: {of_ours:?}");
    }
    browser.go(&stage.url("/knowledge"))?;
    let pasted = serde_json::to_string(&texts[..190].join("\n"))?;
    browser.run(&format!("document.getElementById('lines').value = {pasted}"))?;
    browser.press("What does it mean?")?;
    browser.sees("What these lines mean")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
fn the_reference_of_the_api_works_under_the_policy_of_the_pages() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = (stage()?, Browser::open()?);
    browser.look_on(DESKTOP)?;
    browser.go(&stage.url("/docs/"))?;
    browser.sees("/api/monitoring/status")?;
    browser.press("Authorize")?;
    browser.sees("Available authorizations")?;
    browser.press("Close")?;
    browser.click("//span[@data-path='/api/monitoring/status']/ancestor::button")?;
    browser.sees("Try it out")?;
    browser.press("Try it out")?;
    browser.press("Execute")?;
    browser.sees("autonomous_mode")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
fn without_script_every_page_reads_and_its_forms_submit() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = (stage()?, Browser::open()?);
    browser.lets_scripts_run(false)?;
    for (name, path) in pages(&stage)? {
        browser.go(&stage.url(&path))?;
        let shown = browser.run(
            "const isSeen = e => e.checkVisibility() && e.getBoundingClientRect().height > 20;
             return !!document.querySelector('#main h1')?.innerText && !document.querySelector('canvas')
               && [...document.querySelectorAll('.plot')].every(p => isSeen(p.querySelector('svg')))
               && document.querySelectorAll('.plot').length",
        )?;
        ensure!(shown.as_u64().map(|drawn| drawn > 0) == Some(has_charts(name)), "{name}: {shown}");
    }
    browser.go(&stage.url("/"))?;
    browser.press("Freeze for 30 minutes")?;
    until("the freeze is in force", Duration::from_secs(10), || {
        let status = stage.get("/api/monitoring/status")?;
        ensure!(status["data"]["autonomous_mode"] == "frozen", "{status}");
        Ok(())
    })
}

#[test]
fn keys_alone_lead_to_every_link_and_the_focus_is_seen() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let (stage, browser) = (stage()?, Browser::open()?);
    browser.look_on(DESKTOP)?;
    browser.go(&stage.url("/"))?;
    let all = browser.run(
        "return [...document.querySelectorAll('a, button, input, summary')].filter(e => e.offsetParent).length",
    )?;
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..all.as_u64().context("a number")? + 2 {
        browser.key("Tab", 9)?;
        let place = browser.run(
            "const e = document.activeElement; const all = [...document.querySelectorAll('*')];
             const seen = getComputedStyle(e).outlineStyle !== 'none' || e.tagName === 'BODY';
             return [all.indexOf(e), seen, e.outerHTML.slice(0, 80)]",
        )?;
        ensure!(place[1] == true, "the focus is not seen on {}", place[2]);
        reached.insert(place[0].to_string());
    }
    ensure!(reached.len() as u64 >= all.as_u64().unwrap_or(0), "{} of {all}", reached.len());
    Ok(())
}

/// Takes one into `target/screenshots`, where `UPDATE_DOCS` asks for that; those of the README go to
/// where it has them as well.
fn take_picture(browser: &Browser, screen: Screen, scheme: &str, name: &str) -> Result<()> {
    if std::env::var_os("UPDATE_DOCS").is_none() {
        return Ok(());
    }
    let folder = target().join("screenshots");
    std::fs::create_dir_all(&folder)?;
    if scheme == "dark" {
        let dark = folder.join(format!("{name}-{}-dark.webp", screen.name));
        return std::fs::write(dark, browser.picture(screen, 2200)?).map_err(Into::into);
    }
    let (file, picture) = (format!("{name}-{}.webp", screen.name), browser.picture(screen, 2200)?);
    std::fs::write(folder.join(&file), &picture)?;
    if DOCUMENTED.contains(&file.as_str()) {
        ensure!(picture.len() < 120_000, "{file} has {} bytes", picture.len());
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
        std::fs::create_dir_all(&docs)?;
        std::fs::write(docs.join(file), picture)?;
    }
    Ok(())
}
