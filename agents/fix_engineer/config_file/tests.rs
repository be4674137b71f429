use super::*;
use proptest::prelude::*;

/// Path, content, and the keys with their numbers.
type File = (&'static str, &'static str, &'static [(&'static str, f64)]);

/// Each format with numbers, and everything around them that must stay.
const FILES: [File; 14] = [
    (
        "/srv/app/config.json",
        "{\r\n  \"upstream\": { \"delay_s\" : 0.5,\t\"urls\": [\"a:1\", \"b\"] },\r\n  \"list\": [1, {\"n\": -2e3}],\r\n  \"a.b\": 7\r\n}\r\n",
        &[("upstream.delay_s", 0.5), ("list.0", 1.0), ("list.1.n", -2000.0), ("a.b", 7.0)],
    ),
    (
        "settings.jsonc",
        "\u{feff}// delay: 3\n{ /* \"delay\": 4 */ \"delay\": 5, // five\n \"s\": \"\\\"delay\\\": 6\",\n}\n",
        &[("delay", 5.0)],
    ),
    (
        "app.toml",
        "# top\nworkers = 1_000 # many\n[pool.main]\nsize= 10\ninline = { timeout = 2.5, x = [1, 2] }\n[[server]]\nport = 80\n[[server]]\nport = 81\n",
        &[
            ("workers", 1000.0),
            ("pool.main.size", 10.0),
            ("pool.main.inline.timeout", 2.5),
            ("pool.main.inline.x.1", 2.0),
            ("server.1.port", 81.0),
        ],
    ),
    (
        "app.yml",
        "---\n# delay: 1\nupstream:\n  delay_s: 0.5  # seconds\n  text: |\n    delay_s: 9\n\n  names:\n  - web\n  - port: 80\n    \"weight\": 3\n  flow: { a: 1, 'b': [2, 3],\n    c: 4 }\nurl: http://x:80/a#b\ntop: 12\n",
        &[
            ("upstream.delay_s", 0.5),
            ("upstream.names.1.port", 80.0),
            ("upstream.names.1.weight", 3.0),
            ("upstream.flow.a", 1.0),
            ("upstream.flow.b.1", 3.0),
            ("upstream.flow.c", 4.0),
            ("top", 12.0),
        ],
    ),
    ("crlf.yaml", "a:\r\n  - 1\r\n  -\r\n    b: 2\r\n", &[("a.0", 1.0), ("a.1.b", 2.0)]),
    (
        "app.ini",
        "; delay = 1\ntop=3\n[worker]\ndelay = 0.5 ; seconds\nsize: \"20\"\n\n[worker.sub]\ndelay=7\n",
        &[("top", 3.0), ("worker.delay", 0.5), ("worker.size", 20.0), ("worker.sub.delay", 7.0)],
    ),
    (
        "postgresql.conf",
        "#max_connections = 5\nmax_connections = 100\t# (change requires restart)\nwork_mem 4\n",
        &[("max_connections", 100.0), ("work_mem", 4.0)],
    ),
    (
        "/srv/app/.env",
        "# DELAY=1\nexport DELAY=0.5 # seconds\nPOOL=\"10\"\nTEXT=\"first\nSIZE=1\n\"\nSIZE='2'\n",
        &[("DELAY", 0.5), ("POOL", 10.0), ("SIZE", 2.0)],
    ),
    ("prod.env", "A=1\r\nB = 2\r\n", &[("A", 1.0), ("B", 2.0)]),
    (
        "settings.py",
        "\"\"\"Settings.\nDELAY_S = 9\n\"\"\"\nimport asyncio\n\nDELAY_S = 0.5  # seconds\nSIZE: int = 1_000\nNAMES = [\n  'x=1',\nBATCH == 3,\n]\nBATCH = 7\n\nasync def run():\n    DELAY_S = 3\n    # asyncio.sleep(8)\n    await asyncio.sleep( 1.5 )\n    my_asyncio.sleep(2)\n    print('asyncio.sleep(9)')\n",
        &[("DELAY_S", 0.5), ("SIZE", 1000.0), ("BATCH", 7.0), ("asyncio.sleep", 1.5)],
    ),
    (
        "config.py",
        "LIMITS = {\n    'pool': {\"size\": 10, 'wait': 2.5},  # 'size': 3\n    \"retry\": [1, max(2, 3), (4, 5)],\n    'text': \"a: 1, 'b': 2}\",\n}\n",
        &[
            ("LIMITS.pool.size", 10.0),
            ("LIMITS.pool.wait", 2.5),
            ("LIMITS.retry.0", 1.0),
            ("LIMITS.retry.2.1", 5.0),
        ],
    ),
    (
        "nginx.conf",
        "worker_processes auto; # of all\nevents { worker_connections 512; }\nhttp {\n  log_format a '{ 9; }';\n  keepalive_timeout 65s;# seconds\n  server {\n    listen 80 default_server;\n    set $x ${y}z;\n    location / { proxy_read_timeout 30; client_max_body_size 8m; }\n  }\n}\n",
        &[
            ("events.worker_connections", 512.0),
            ("http.keepalive_timeout", 65.0),
            ("http.server.location.proxy_read_timeout", 30.0),
            ("http.server.location.client_max_body_size", 8.0),
        ],
    ),
    (
        "postgresql.auto.conf",
        "max_wal_size = '1GB'\nstatement_timeout = 30s # long\nname = 4x\n",
        &[("max_wal_size", 1.0), ("statement_timeout", 30.0)],
    ),
    ("empty_values.yaml", "a:\nb:\n  c:\n  d: 4\n", &[("b.d", 4.0)]),
];

#[test]
fn every_number_is_found_in_every_format() {
    for (path, text, keys) in FILES {
        for (key, value) in keys {
            assert_eq!(number(path, text.as_bytes(), key), Ok(*value), "{key} in {path}");
        }
    }
}

#[test]
fn an_integer_stays_one_where_it_can_and_a_decimal_keeps_its_point() {
    let set = |text: &str, to| {
        String::from_utf8(set_number("a.toml", text.as_bytes(), "k", to).unwrap()).unwrap()
    };
    assert_eq!(set("k = 2 # c", 3.0), "k = 3 # c");
    assert_eq!(set("k = 2 # c", 1.5), "k = 1.5 # c");
    assert_eq!(set("k = 2.50", 3.0), "k = 3.0");
    assert_eq!(set("k = 1e3", 0.1 + 0.2), "k = 0.30000000000000004");
    assert_eq!(set("k = 1_000", 2000.0), "k = 2000");
}

fn why(path: &str, text: &str, key: &str) -> String {
    number(path, text.as_bytes(), key).unwrap_err().to_string()
}

#[test]
fn a_key_that_is_not_one_number_is_refused_with_its_line() {
    for (path, text, key, words) in [
        ("a.json", "{\"a\": 1}", "b", "the key `b` is not there"),
        ("a.json", "{\"a\": 1}", "", "the key `` is empty"),
        ("a.json", "{\n\"a\": {\"b\": 1}}", "a", "a group of settings, not a number (line 2)"),
        ("a.json", "{\n\"a\": \"5\"}", "a", "is not a plain decimal number (line 2)"),
        ("a.json", "{\"a\": 1,\n\"a\": 2}", "a", "more than once (lines 1 and 2)"),
        ("a.json", "{\"a\": {\"b\": 1},\n\"a\": {}}", "a.b", "more than once (lines 1 and 2)"),
        ("a.json", "{\"a.b\": 1,\n\"a\": {\"b\": 1}}", "a.b", "more than once (lines 1 and 2)"),
        ("a.toml", "a = 1\n\"a.b\" = 2\n[c]\nx = 0x10\n", "c.x", "plain decimal number (line 4)"),
        ("a.toml", "\"a.b\" = 2\n[a]\nb = 1\n", "a.b", "more than once (lines 1 and 3)"),
        ("a.toml", "a = nan\n", "a", "is not a plain decimal number (line 1)"),
        ("a.conf", "a 1;\nb {\n a 4x;\n}\n", "b.a", "plain decimal number (line 3)"),
        ("a.conf", "s { a 1; }\ns { a 2; }\n", "s.a", "more than once (lines 1 and 2)"),
        ("a.conf", "s { a 1;\n", "s.a", "does not end (line 2)"),
        ("a.conf", "a 1;\n}\n", "a", "did not begin (line 2)"),
        ("a.conf", "a 1 2;\n", "a", "plain decimal number (line 1)"),
        ("a.conf", "a 'x;\n", "a", "a quotation mark is missing (line 1)"),
        ("a.yaml", "a: 1\nb: 2\na: 3\n", "a", "more than once (lines 1 and 3)"),
        ("a.yaml", "a: 1\n  more\n", "a", "is not a plain decimal number (line 1)"),
        ("a.yaml", "a: '5'\n", "a", "is not a plain decimal number (line 1)"),
        ("a.yaml", "a: 010\n", "a", "is not a plain decimal number (line 1)"),
        ("a.yaml", "a:\n", "a", "the key `a` is not there"),
        ("a.ini", "[s]\nk = 1\nk = 2\n", "s.k", "more than once (lines 2 and 3)"),
        ("a.conf", "maxmemory 100mb\n", "maxmemory", "not a plain decimal number (line 1)"),
        (".env", "A=1\nA=2\n", "A", "more than once (lines 1 and 2)"),
        ("a.py", "X = 1\nX += 1\n", "X", "more than once (lines 1 and 2)"),
        ("a.py", "X = {'a': 1,\n'a': 2}\n", "X.a", "more than once (lines 1 and 2)"),
        ("a.py", "X = {'a': 2 * 3}\n", "X.a", "is not a plain decimal number (line 1)"),
        ("a.py", "Y = {}\nX = {'a': 1, **Y}\n", "X.a", "a dictionary made of others (line 2)"),
        ("a.py", "X = {'a': 1} | Y\n", "X.a", "a value that is not only a literal (line 1)"),
        ("a.py", "X = 2 * 3\n", "X", "is not a plain decimal number (line 1)"),
        ("a.py", "t.sleep(1)\nt.sleep(2)\n", "t.sleep", "more than once (lines 1 and 2)"),
    ] {
        let shown = why(path, text, key);
        assert!(shown.contains(words), "{path} {text:?}: {shown}");
    }
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_line() {
    for (path, text, words) in [
        ("a.json", "{\n\"a\": 1\n\"b\": 2}", "a comma or a closing brace is missing (line 3)"),
        ("a.json", "{\"a\": 1} x", "something follows the end of the document (line 1)"),
        ("a.toml", "a = 1\nb = \n", "cannot be read as TOML: it is not valid (line 2)"),
        ("a.yaml", "b: &x 1\na: 1\n", "anchors, aliases and tags are not understood (line 1)"),
        ("a.yaml", "a: 1\n---\na: 2\n", "several documents or directives in one file (line 2)"),
        ("a.yaml", "a:\n\t- 1\n", "a tab stands in the indentation (line 2)"),
        ("a.yaml", "b:\n  <<: {x: 1}\na: 1", "merged maps are not understood (line 2)"),
        ("a.yaml", "a: 1\nplain\n", "a name with a colon is missing (line 2)"),
        ("a.ini", "a = 1\n[s\n", "a section's closing bracket is missing (line 2)"),
        (".env", "a=1\nb=\"x\n", "a quoted value does not end (line 2)"),
        ("a.py", "a = 1\nb = 'x\n", "a string does not end (line 2)"),
        ("a.exe", "a = 1", "the format of a.exe is not known"),
    ] {
        let shown = why(path, text, "a");
        assert!(shown.contains(words), "{path} {text:?}: {shown}");
    }
    let shown = number("a.ini", b"a = 1\nb = \xff\n", "a").unwrap_err().to_string();
    assert!(shown.contains("line 2 is not UTF-8 text"), "{shown}");
}

#[test]
fn no_file_is_set_to_what_it_cannot_hold() {
    assert!(set_number("a.json", b"{\"a\": 1}", "a", f64::NAN).is_err());
    // Beyond TOML's integers: written as an integer it would not be read again.
    assert!(set_number("a.toml", b"a = 1", "a", 1e300).is_err());
}

/// A file of the list above and one of its keys.
fn place() -> impl Strategy<Value = (&'static str, &'static str, &'static str, f64)> {
    let places: Vec<_> = FILES
        .iter()
        .flat_map(|(path, text, keys)| keys.iter().map(|(key, old)| (*path, *text, *key, *old)))
        .collect();
    prop::sample::select(places)
}

/// Values as fixes set them: whole ones and decimal ones, of all sizes.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![(-1_000_000_i32..1_000_000).prop_map(f64::from), -1e6..1e6_f64, (1e-9..1e-3_f64),]
}

proptest! {
    #[test]
    fn a_set_number_is_read_back_and_everything_else_stays((path, text, key, old) in place(), to in value()) {
        let changed = set_number(path, text.as_bytes(), key, to).unwrap();
        prop_assert_eq!(number(path, &changed, key).unwrap().to_bits(), to.to_bits());
        let same_start = text.bytes().zip(&changed).take_while(|(a, b)| a == *b).count();
        let same_end = text.bytes().rev().zip(changed.iter().rev()).take_while(|(a, b)| a == *b).count();
        let shorter = text.len().min(changed.len());
        let replaced = &text[same_start.min(shorter)..text.len().saturating_sub(same_end).max(same_start.min(shorter))];
        prop_assert!(replaced.chars().all(|c| "+-.eE_0123456789".contains(c)), "{:?}", replaced);
        let other_keys = FILES.iter().find(|file| file.0 == path).unwrap().2;
        for (other, value) in other_keys.iter().filter(|(other, _)| *other != key) {
            prop_assert_eq!(number(path, &changed, other), Ok(*value));
        }
        let back = set_number(path, &changed, key, old).unwrap();
        prop_assert_eq!(number(path, &back, key), Ok(old));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), key in "[a-c.0-2]{0,4}") {
        for (path, ..) in FILES {
            let _ = set_number(path, &bytes, &key, 1.5);
        }
    }

    #[test]
    fn arbitrary_text_of_the_formats_own_signs_never_panics(text in "[ab01.:,=\\-\\[\\]{}\"'#|<\\\\&\n\r\t ü]{0,60}", key in "[ab01.]{1,4}") {
        for (path, ..) in FILES {
            if let Ok(changed) = set_number(path, text.as_bytes(), &key, 1.5) {
                prop_assert_eq!(number(path, &changed, &key), Ok(1.5));
            }
        }
    }
}
