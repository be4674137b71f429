use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::model::Severity;

/// Lines in which `EX` stands for what a stranger wrote, as each program escapes it.
const LAYOUTS: &[(Escape, &str)] = &[
    (
        Escape::Hex,
        r#"10.0.0.9 - - [21/Nov/2026:04:31:02 +0000] "GET /EX HTTP/1.1" 404 153 "-" "-""#,
    ),
    (Escape::Hex, r#"10.0.0.9 - EX [21/Nov/2026:04:31:02 +0000] "EX" 400 157 "EX" "EX" "EX""#),
    (
        Escape::Slash,
        r#"10.0.0.9 - - [21/Nov/2026:04:31:02 +0000] "GET /?q=EX HTTP/1.1" 200 3 "https://a.example/EX" "EX""#,
    ),
    (
        Escape::Slash,
        r#"shop.example:80 10.0.0.9 - EX [21/Nov/2026:04:31:02 +0000] "-" 408 3 "-" "Mozilla/5.0 EX""#,
    ),
    (Escape::None, r#"10.0.0.9 - - [21/Nov/2026:04:31:02 +0000] "EX" 400 -"#),
    (Escape::Hex, r#"web  | INFO:     10.0.0.9:4711 - "GET /EX HTTP/1.1" 404 Not Found"#),
    (
        Escape::Hex,
        r#"[2026-11-21T04:31:02.123Z] "GET /EX HTTP/1.1" 200 - 0 12 3 - "-" "EX" "EX" "shop.example""#,
    ),
    (
        Escape::Hex,
        r#"10.0.0.9:4711 [21/Nov/2026:04:31:02.663] web app/one 0/0/0/1/1 200 55 - - ---- 1/1/0/0/0 0/0 {EX|EX} {} "GET /EX HTTP/1.1""#,
    ),
    (
        Escape::Hex,
        r#"2026/11/21 04:31:02 [info] 7#7: *1 client closed connection, client: 10.0.0.9, server: shop.example, request: "GET /EX HTTP/1.1", host: "EX", referrer: "EX""#,
    ),
    (
        Escape::Json,
        r#"{"time":"2026-11-21T04:31:02+00:00","remote_addr":"10.0.0.9","remote_user":"EX","request":"GET /EX HTTP/1.1","status":404,"http_referer":"EX","http_user_agent":"EX"}"#,
    ),
    (
        Escape::Json,
        r#"{"level":"info","ts":1795249027.7,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.9","method":"GET","host":"EX","uri":"/EX","headers":{"User-Agent":["EX"],"EX":["EX"]}},"status":404}"#,
    ),
    (
        Escape::Json,
        r#"{"ClientUsername":"EX","RequestMethod":"GET","RequestHost":"EX","RequestPath":"/EX","request_User-Agent":"EX","OriginStatus":404,"level":"info","msg":""}"#,
    ),
    (
        Escape::Json,
        r#"level=info msg="request done" method=GET uri="/EX" user_agent="EX" status=404"#,
    ),
    (Escape::Plain, r"Nov 21 04:31:02 nas sshd[812]: Invalid user EX from 10.0.0.9 port 4711"),
    (
        Escape::Plain,
        r"Nov 21 04:31:02 nas sshd[812]: Failed password for invalid user EX from 10.0.0.9 port 4711 ssh2",
    ),
];

#[derive(Clone, Copy)]
enum Escape {
    /// As nginx writes it.
    Hex,
    /// As Apache httpd writes it.
    Slash,
    Json,
    /// Not at all, by a careless program.
    None,
    Plain,
}

impl Escape {
    fn of(self, text: &str) -> String {
        match self {
            Self::Hex => text.replace('\\', "\\x5C").replace('"', "\\x22"),
            Self::Slash | Self::Json => text.replace('\\', "\\\\").replace('"', "\\\""),
            Self::None | Self::Plain => text.to_owned(),
        }
    }
}

fn troubles<'a>(catalogue: &'a Catalogue, line: &str) -> Vec<&'a str> {
    let bad = catalogue.matches(line).filter(|found| found.runbook.severity > Severity::Info);
    bad.map(|found| found.runbook.id.as_str()).collect()
}

#[test]
fn nobody_can_write_trouble_into_a_log_by_asking_for_it() {
    let (catalogue, _) = super::load(None, super::Keep::Everything);
    let mut told = Vec::new();
    for (number, (escape, layout)) in LAYOUTS.iter().enumerate() {
        // What the line says by itself, whoever asks for what.
        let usual = troubles(&catalogue, &layout.replace("EX", "index"));
        for (turn, runbook) in catalogue.iter().enumerate() {
            for (nth, example) in runbook.examples.matching.iter().enumerate() {
                // All of them in all layouts take too long.
                if !(turn + nth + number).is_multiple_of(3) {
                    continue;
                }
                let line = layout.replace("EX", &escape.of(example));
                let found = troubles(&catalogue, &line);
                if found.iter().any(|id| !usual.contains(id)) {
                    told.push(format!("{found:?} by the example of {}: {line}", runbook.id));
                }
            }
        }
    }
    assert!(
        told.is_empty(),
        "{} lines, such as\n{}",
        told.len(),
        told[..told.len().min(40)].join("\n")
    );
}
