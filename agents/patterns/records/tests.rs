use super::*;

fn records(text: &str) -> Vec<(String, u32)> {
    let mut records = Records::default();
    let mut found = vec![];
    let mut done = |text: &[u8], lines| {
        found.push((String::from_utf8(text.to_vec()).unwrap(), lines));
    };
    for line in text.lines() {
        records.push(line.as_bytes(), &mut done);
    }
    records.finish(&mut done);
    found
}

/// Asserts that a trace between two ordinary lines is one record of all its lines.
fn is_one(trace: &str, kept: &str) {
    let found = records(&format!("2026-11-21 before\n{trace}\n2026-11-21 after"));
    let lines = u32::try_from(trace.lines().count()).unwrap();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(found[1], (kept.to_owned(), lines));
}

#[test]
fn a_python_trace_is_one_record_and_says_what_was_raised() {
    is_one(
        "Traceback (most recent call last):\n  File \"till.py\", line 7, in open\n    \
         raise KeyError\nKeyError: 'till'\n\nDuring handling of the above exception, another \
         exception occurred:\n\nTraceback (most recent call last):\n  File \"till.py\", line 9\n\
         ValueError: no till",
        "Traceback (most recent call last):\nKeyError: 'till'\nValueError: no till",
    );
}

#[test]
fn a_trace_belongs_to_the_line_that_a_logger_wrote_before_it() {
    is_one(
        "ERROR:shop:cannot open\nTraceback (most recent call last):\n  File \"till.py\", line 7\n\
         KeyError: 'till'",
        "ERROR:shop:cannot open\nKeyError: 'till'",
    );
}

#[test]
fn a_java_trace_is_one_record_with_its_causes() {
    is_one(
        "org.shop.TillException: no till\n\tat org.shop.Till.open(Till.java:7)\n\
         Caused by: java.io.IOException: gone\n\tat org.shop.Disk.read(Disk.java:9)\n\t... 12 more",
        "org.shop.TillException: no till\nCaused by: java.io.IOException: gone",
    );
}

#[test]
fn a_go_panic_is_one_record_with_its_goroutines() {
    is_one(
        "panic: runtime error: index out of range [7]\n\ngoroutine 1 [running]:\n\
         main.open(0x7)\n\t/app/till.go:7 +0x1d\nmain.main()\n\t/app/main.go:9 +0x2b\nexit status 2",
        "panic: runtime error: index out of range [7]",
    );
}

#[test]
fn go_frames_with_values_of_several_words_belong_to_their_panic() {
    is_one(
        "panic: runtime error: index out of range [7] with length 1\n\ngoroutine 1 [running]:\n\
         panic({0x473b00, 0xc0000a2000})\n\t/usr/lib/go/src/runtime/panic.go:987 +0x3ba\n\
         runtime.goPanicIndex(0x7, 0x1)\n\t/usr/lib/go/src/runtime/panic.go:113 +0x7f\n\
         main.(*till).open(0xc000012345, {0xc00001e0a0, 0x1, 0x1})\n\t/app/till.go:4\nmain.main()\n\
         \t/app/till.go:5 +0x66\n\ngoroutine 2 [force gc (idle)]:\n\
         runtime.gopark(0x0?, 0x0?, 0x0?)\n\t/usr/lib/go/src/runtime/proc.go:363 +0xd6\n\
         created by runtime.init.6\n\t/usr/lib/go/src/runtime/proc.go:290 +0x25\nexit status 2",
        "panic: runtime error: index out of range [7] with length 1",
    );
}

#[test]
fn a_rust_panic_of_a_numbered_thread_is_one_record() {
    is_one(
        "thread 'main' (4711) panicked at src/till.rs:7:5:\nno till\nnote: run with \
         `RUST_BACKTRACE=1` environment variable to display a backtrace",
        "thread 'main' (4711) panicked at src/till.rs:7:5:\nno till",
    );
}

#[test]
fn a_node_error_with_properties_and_version_is_one_record() {
    is_one(
        "/app/till.js:1\nopen()\n^\n\nError: no till\n    at open (/app/till.js:7:11)\n    \
         at node:internal/main:9:1 {\n  code: 'ENOENT',\n  [cause]: Error: gone\n      \
         at open (/app/till.js:1:79)\n}\n\nNode.js v20.20.2",
        "/app/till.js:1\nError: no till",
    );
    is_one(
        "Error: ENOENT: no such file or directory, open '/nope'\n    at async open \
         (node:internal/fs/promises:639:25) {\n  errno: -2,\n  code: 'ENOENT'\n}",
        "Error: ENOENT: no such file or directory, open '/nope'",
    );
}

#[test]
fn the_frames_of_rails_belong_to_their_error() {
    is_one(
        "[5f2] ActionView::Template::Error (undefined method `name' for nil):\n\
         [5f2] app/views/till.html.erb:2:in `render'\n[5f2] app/models/till.rb:7:in `open'\n[5f2] app/controllers/tills_controller.rb:12:in 'show'",
        "[5f2] ActionView::Template::Error (undefined method `name' for nil):",
    );
}

#[test]
fn an_exception_belongs_to_the_error_line_before_it() {
    let trace = "org.shop.TillException: no till\n\tat org.shop.Till.open(Till.java:7)";
    let log = "2026-11-21 10:00:00 ERROR 1 --- [main] o.s.boot.SpringApplication : run failed";
    let kept = format!("{log}\norg.shop.TillException: no till");
    is_one(&format!("{log}\n\n{trace}"), &kept);
    is_one(&format!("{log}\n{trace}"), &kept);
    // Two that no line announced are two.
    assert_eq!(records(&format!("{trace}\n{trace}")).len(), 2);
}

#[test]
fn a_node_trace_is_one_record() {
    is_one(
        "/app/till.js:7\n    throw new Error('no till')\n    ^\n\nError: no till\n    \
         at open (/app/till.js:7:11)\n    at node:internal/main:9:1",
        "/app/till.js:7\nError: no till",
    );
}

#[test]
fn ruby_and_dotnet_traces_are_one_record_each() {
    is_one(
        "till.rb:7:in `open': no till (RuntimeError)\n\tfrom till.rb:9:in `<main>'",
        "till.rb:7:in `open': no till (RuntimeError)",
    );
    is_one(
        "Unhandled exception. System.Exception: no till\n ---> System.IO.IOException: gone\n   \
         at Shop.Till.Open() in /app/Till.cs:line 7\n   --- End of inner exception stack trace ---\n   \
         at Shop.Main()",
        "Unhandled exception. System.Exception: no till",
    );
}

#[test]
fn a_rust_panic_is_one_record_and_says_why() {
    is_one(
        "thread 'main' panicked at src/till.rs:7:5:\nno till\nstack backtrace:\n   0: shop::open\n             \
         at ./src/till.rs:7:5\nnote: run with `RUST_BACKTRACE=1` environment variable",
        "thread 'main' panicked at src/till.rs:7:5:\nno till",
    );
}

#[test]
fn ordinary_lines_are_records_of_their_own() {
    let text = "one\ntwo\n\nthree: x\nCalled by: y\n...\n";
    assert_eq!(records(text).len(), 6);
    assert!(records("").is_empty());
}

#[test]
fn a_record_without_end_is_closed() {
    let text = format!("head\n{}", " deeper\n".repeat(10_000));
    let found = records(&text);
    assert!(found.iter().all(|(_, lines)| *lines <= MAX_LINES), "{}", found.len());
    assert_eq!(found.iter().map(|(_, lines)| *lines).sum::<u32>(), 10_001);
}
