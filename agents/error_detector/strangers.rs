//! Hides what strangers write into log lines: paths, queries, names, referrers, browsers.
//!
//! Whoever can ask a service something chooses words of its access log. Were those words read
//! like the program's own, a single request could page a person or speak for a diagnosis. So
//! the fields of the usual access logs (common and combined, JSON, HAProxy's, those of web
//! frameworks), the request that an error line names, and the names that somebody tried to log
//! in with are hidden before a signature is believed. Method, protocol, status and numbers
//! stay. It keeps the length of a line, and it judges no line: what no known layout tells from
//! the program's own words stays as it is.

use std::borrow::Cow;

/// What a hidden letter becomes.
const HIDDEN: u8 = b'x';
/// How a request line begins.
const METHODS: [&[u8]; 10] = [
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"PATCH",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PROPFIND",
];
/// Fields of JSON and `key=value` lines that strangers fill; in any case, `-` and `.` as `_`.
const FIELDS: [&[u8]; 38] = [
    b"agent",
    b"args",
    b"body",
    b"cookie",
    b"cookies",
    b"downstream_host",
    b"form",
    b"header",
    b"headers",
    b"http_cookie",
    b"http_host",
    b"http_path",
    b"http_referer",
    b"http_referrer",
    b"http_url",
    b"http_user_agent",
    b"http_x_forwarded_for",
    b"params",
    b"query",
    b"query_string",
    b"referer",
    b"referrer",
    b"remote_user",
    b"request",
    b"request_line",
    b"request_path",
    b"request_referer",
    b"request_uri",
    b"request_url",
    b"request_user_agent",
    b"requesthost",
    b"requestpath",
    b"requestline",
    b"uri",
    b"url",
    b"user_agent",
    b"useragent",
    b"x_forwarded_for",
];
/// The same, only in a line that has a field such as `method`: elsewhere they are the program's own.
const FIELDS_OF_REQUESTS: [&[u8]; 7] =
    [b"host", b"path", b"route", b"user", b"username", b"clientusername", b"user_id"];
/// What stands before a name that somebody tried to log in with.
const NAMES: [&[u8]; 5] = [b"user \"", b"role \"", b"database \"", b"user '", b"user=<"];

/// The line with what strangers wrote in it hidden.
pub fn shown(line: &[u8]) -> Cow<'_, [u8]> {
    let mut hider = Hider { line, text: None };
    if line.first() == Some(&b'{') {
        hider.json();
    } else {
        if !hider.common() {
            hider.request();
        }
        hider.pairs();
    }
    hider.bare_requests();
    hider.names();
    hider.text.map_or(Cow::Borrowed(line), Cow::Owned)
}

struct Hider<'a> {
    line: &'a [u8],
    /// The line with something hidden, once there is something.
    text: Option<Vec<u8>>,
}

impl Hider<'_> {
    /// Hides letters and digits between two places. What is left says nothing, and patterns
    /// that ask for a quoted name or a path still find one.
    fn hide(&mut self, from: usize, to: usize) {
        for byte in self.between(from, to) {
            match byte {
                b'0'..=b'9' => *byte = b'0',
                letter if letter.is_ascii_alphabetic() || !letter.is_ascii() => *letter = HIDDEN,
                _ => {}
            }
        }
    }

    /// Hides letters alone.
    fn hide_words(&mut self, from: usize, to: usize) {
        let letters = |byte: &&mut u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
        self.between(from, to).iter_mut().filter(letters).for_each(|byte| *byte = HIDDEN);
    }

    fn between(&mut self, from: usize, to: usize) -> &mut [u8] {
        let text = self.text.get_or_insert_with(|| self.line.to_vec());
        let to = to.min(text.len());
        text.get_mut(from..to).unwrap_or_default()
    }

    /// The common and the combined log format of Apache httpd, as many programs write it:
    /// `HOST IDENT USER [TIME] "REQUEST" STATUS SIZE "REFERRER" "BROWSER"`. Everything is
    /// hidden but method, protocol and numbers: not all who write it escape quotes.
    fn common(&mut self) -> bool {
        let Some(quote) = first_quote(self.line) else {
            return false;
        };
        let Some(time) = quote.checked_sub(TIME.len() + 1) else {
            return false;
        };
        if self.line[quote - 1] != b' ' || !is_time(&self.line[time..quote - 1]) {
            return false;
        }
        self.hide(0, time);
        let end = closing(self.line, quote);
        self.hide_target(quote + 1, end);
        self.hide_words(end, self.line.len());
        self.quoted_after(end + 1);
        true
    }

    /// A quoted request line in a line of another layout: what is quoted after it (host,
    /// referrer, browser), paths that are quoted before it, and HAProxy's captured headers.
    fn request(&mut self) {
        let mut at = 0;
        let mut paths = Vec::new();
        while let Some(quote) = first_quote(&self.line[at..]).map(|found| at + found) {
            let end = closing(self.line, quote);
            let content = &self.line[quote + 1..end];
            if method(content).is_some() {
                for (from, to) in paths {
                    self.hide(from, to);
                }
                self.captured_headers(quote);
                self.hide_target(quote + 1, end);
                return self.quoted_after(end + 1);
            }
            if content.first() == Some(&b'/') {
                paths.push((quote + 1, end));
            }
            at = end + 1;
            if at > self.line.len() {
                return;
            }
        }
    }

    fn quoted_after(&mut self, mut at: usize) {
        while let Some(quote) = self.line.get(at..).and_then(first_quote).map(|found| at + found) {
            let end = closing(self.line, quote);
            self.hide(quote + 1, end);
            at = end + 1;
        }
    }

    /// `{HEADER|HEADER} {HEADER} ` before the quote of HAProxy's request.
    fn captured_headers(&mut self, quote: usize) {
        let before = &self.line[..quote];
        // HAProxy itself writes no braces.
        if before.ends_with(b"} ")
            && let Some(open) = find(before, b" {")
        {
            self.hide(open, quote);
        }
    }

    /// What stands between a request's method and its protocol.
    fn hide_target(&mut self, from: usize, to: usize) {
        let content = &self.line[from..to];
        let start = from + method(content).map_or(0, |length| length + 1);
        let end = find_back(content, b" HTTP/").map_or(to, |at| from + at);
        let end = if to - end <= b" HTTP/1.1".len() { end } else { to };
        self.hide(start, end);
    }

    /// Requests without quotes (`GET /path 200 3 ms`, `Started GET "/path" for`), and what
    /// Apache httpd says after `referer:`.
    fn bare_requests(&mut self) {
        let mut at = 0;
        while let Some(word) = self.line[at..].iter().position(u8::is_ascii_uppercase) {
            let start = at + word;
            let free = start == 0 || !self.line[start - 1].is_ascii_alphanumeric();
            let length = method(&self.line[start..]).filter(|_| free);
            let Some(length) = length else {
                let run = self.line[start..].iter().take_while(|b| b.is_ascii_uppercase()).count();
                at = start + run;
                continue;
            };
            let rest = &self.line[start + length..];
            let gap = rest.iter().take_while(|b| matches!(b, b' ' | b'"' | b'\\' | b'\'')).count();
            let target = &rest[gap..];
            let is_target = target.starts_with(b"/") || target.starts_with(b"http");
            let until = target.iter().position(|b| matches!(b, b' ' | b'"' | b'\\' | b'\''));
            let end = start + length + gap + until.unwrap_or(target.len());
            if is_target {
                self.hide(start + length + gap, end);
            }
            at = end.max(start + length);
        }
        if let Some(found) = find(self.line, b", referer: ") {
            self.hide(found + b", referer: ".len(), self.line.len());
        }
    }

    /// Names that somebody tried to log in with.
    fn names(&mut self) {
        for before in NAMES {
            let Some(start) = find(self.line, before).map(|at| at + before.len()) else {
                continue;
            };
            let close = if before.ends_with(b"<") { b'>' } else { before[before.len() - 1] };
            let rest = &self.line[start..];
            let mut quotes = rest.iter().enumerate().filter(|(_, byte)| **byte == close);
            // PostgreSQL writes the name as it came, with quotes in it, and quotes little else.
            let to_last = close == b'"' && find(rest, b", client: ").is_none();
            let end = if to_last { quotes.next_back() } else { quotes.next() };
            self.hide(start, end.map_or(self.line.len(), |(end, _)| start + end));
        }
        if find(self.line, b"sshd").is_none() {
            return;
        }
        for before in [&b"nvalid user "[..], b"password for ", b"publickey for ", b"user="] {
            let Some(start) = find(self.line, before).map(|at| at + before.len()) else {
                continue;
            };
            let rest = &self.line[start..];
            let end = find_back(rest, b" from ").or_else(|| find_back(rest, b" port "));
            self.hide(start, end.map_or(self.line.len(), |end| start + end));
        }
    }

    /// `key=value` and `key="two words"`.
    fn pairs(&mut self) {
        let of_request = find(self.line, b"ethod=").is_some();
        let mut at = 0;
        while let Some(equals) = self.line.get(at..).and_then(|rest| find(rest, b"=")) {
            let equals = at + equals;
            let before = &self.line[at..equals];
            let word = before.iter().rposition(|b| matches!(b, b' ' | b',')).map_or(0, |at| at + 1);
            let key = &before[word..];
            let start = equals + 1;
            let quoted = self.line.get(start) == Some(&b'"');
            let end = if quoted {
                closing(self.line, start)
            } else {
                let length = self.line[start..].iter().position(|byte| *byte == b' ');
                length.map_or(self.line.len(), |length| start + length)
            };
            if is_strangers(key, of_request) {
                self.hide(start + usize::from(quoted), end);
                at = end;
            } else {
                at = start;
            }
        }
    }

    /// The strings of an object's fields that strangers fill, at any depth.
    fn json(&mut self) {
        let of_request = find(self.line, b"ethod\":").is_some();
        let mut at = 1;
        while let Some(quote) = self.line.get(at..).and_then(first_quote).map(|found| at + found) {
            let end = closing(self.line, quote);
            let key = &self.line[quote + 1..end];
            let colon = blank(self.line, end + 1);
            at = end + 1;
            if self.line.get(colon) != Some(&b':') || !is_strangers(key, of_request) {
                continue;
            }
            let start = blank(self.line, colon + 1);
            at = self.hide_value(start);
        }
    }

    /// Hides a string, or all strings in an object or a list; returns where it ends.
    fn hide_value(&mut self, start: usize) -> usize {
        let mut at = start;
        let mut depth = 0_usize;
        while let Some(byte) = self.line.get(at) {
            match byte {
                b'"' => {
                    let end = closing(self.line, at);
                    // The names of headers are strangers' words as well.
                    self.hide_target(at + 1, end);
                    at = end;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ if depth == 0 => return at,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return at;
            }
        }
        at
    }
}

/// The time of an access log, with `d` for a digit and `a` for a letter.
const TIME: &[u8; 28] = b"[dd/aaa/dddd:dd:dd:dd +dddd]";

fn is_time(text: &[u8]) -> bool {
    text.len() == TIME.len()
        && TIME.iter().zip(text).all(|(shape, byte)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            b'+' => matches!(byte, b'+' | b'-'),
            exact => byte == exact,
        })
}

/// The length of the method that a request begins with.
fn method(text: &[u8]) -> Option<usize> {
    let known = METHODS.iter().find(|method| text.starts_with(method))?;
    (text.get(known.len()) == Some(&b' ')).then_some(known.len())
}

fn is_strangers(key: &[u8], of_request: bool) -> bool {
    let same = |name: &&[u8]| {
        name.len() == key.len()
            && name.iter().zip(key).all(|(a, b)| match b {
                b'-' | b'.' => *a == b'_',
                other => *a == other.to_ascii_lowercase(),
            })
    };
    FIELDS.iter().any(same) || (of_request && FIELDS_OF_REQUESTS.iter().any(same))
}

/// The first quote that is not escaped.
fn first_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the string ends that begins with the quote at `quote`; the line's end if it is cut.
fn closing(line: &[u8], quote: usize) -> usize {
    line.get(quote + 1..).and_then(first_quote).map_or(line.len(), |end| quote + 1 + end)
}

fn blank(line: &[u8], at: usize) -> usize {
    at + line.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_whitespace()).count()
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn find_back(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).rposition(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(line: &str) -> String {
        String::from_utf8_lossy(&shown(line.as_bytes())).into_owned()
    }

    #[test]
    fn what_a_stranger_chose_is_hidden_and_the_programs_words_stay() {
        for (line, hidden) in [
            (
                r#"10.0.0.9 - ann [21/Nov/2026:04:31:02 +0000] "GET /No space HTTP/1.1" 503 3 "-" "boom""#,
                r#"00.0.0.0 - xxx [21/Nov/2026:04:31:02 +0000] "GET /xx xxxxx HTTP/1.1" 503 3 "-" "xxxx""#,
            ),
            (
                r#"10.0.0.9 - - [21/Nov/2026:04:31:02 +0000] "boom \" a" 400 3 "-" "b" boom"#,
                r#"00.0.0.0 - - [21/Nov/2026:04:31:02 +0000] "xxxx \" x" 400 3 "-" "x" xxxx"#,
            ),
            (
                r#"[error] 7#7: *1 open() "/srv/boom" failed (2: No such file), client: 1.1.1.1, request: "GET /boom HTTP/1.1", host: "boom""#,
                r#"[error] 7#7: *1 open() "/xxx/xxxx" failed (2: No such file), client: 1.1.1.1, request: "GET /xxxx HTTP/1.1", host: "xxxx""#,
            ),
            (
                r#"web app/<NOSRV> 0/-1/-1/-1/0 503 2 - - SC-- 0/0 {boom|a} {} "GET /boom HTTP/1.1""#,
                r#"web app/<NOSRV> 0/-1/-1/-1/0 503 2 - - SC-- 0/0 {xxxx|x} {} "GET /xxxx HTTP/1.1""#,
            ),
            (
                r#"{"level":"error","request":{"method":"GET","uri":"/boom","headers":{"A":["boom"]}},"msg":"EOF"}"#,
                r#"{"level":"error","request":{"xxxxxx":"xxx","xxx":"/xxxx","xxxxxxx":{"x":["xxxx"]}},"msg":"EOF"}"#,
            ),
            (
                r#"{"method":"GET","path":"/boom","User-Agent":"a \"boom\"","status":200}"#,
                r#"{"method":"GET","path":"/xxxx","User-Agent":"x \"xxxx\"","status":200}"#,
            ),
            (
                r#"{"level":"panic","path":"/etcd/db","error":"boom"}"#,
                r#"{"level":"panic","path":"/etcd/db","error":"boom"}"#,
            ),
            (
                r#"level=info method=GET path=/boom user_agent="boom a" msg="boom""#,
                r#"level=info method=GET path=/xxxx user_agent="xxxx x" msg="boom""#,
            ),
            ("GET /boom?a=boom 200 3 ms boom", "GET /xxxx?x=xxxx 200 3 ms boom"),
            (r#"Started GET "/boom" for 1.1.1.1"#, r#"Started GET "/xxxx" for 1.1.1.1"#),
            (
                "sshd[8]: Invalid user boom from x from 1.1.1.1 port 4711",
                "sshd[8]: Invalid user xxxx xxxx x from 1.1.1.1 port 4711",
            ),
            (
                r#"FATAL:  role "a" boom" does not exist"#,
                r#"FATAL:  role "x" xxxx" does not exist"#,
            ),
            ("plain boom \"boom\" [x] {y}", "plain boom \"boom\" [x] {y}"),
            ("", ""),
        ] {
            assert_eq!(seen(line), hidden, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_breaks_it_and_every_line_keeps_its_length(
            line in r#"(\[21/Nov/2026:04:31:02 \+0000\] |GET |/a|"|\\| HTTP/1\.1|[{]|[}]|:|request|uri|=|user | from |sshd|x|, referer: ){0,24}"#
        ) {
            proptest::prop_assert_eq!(shown(line.as_bytes()).len(), line.len());
        }
    }
}
