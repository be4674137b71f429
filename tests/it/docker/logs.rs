//! Logs: nothing twice, nothing missed, nothing harmful.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use futures_util::StreamExt as _;
use selfheal_agents::model::{LogCursor, LogLine, LogStream};
use selfheal_agents::ports::ContainerRuntime as _;

use super::bench::{Bench, eventually, on_a_bench};

const LONGEST: usize = 8 * 1024;

/// Reads from the cursor on until a line is `last`, and moves the cursor.
async fn read_until(
    bench: &Bench,
    name: &str,
    cursor: &mut Option<LogCursor>,
    last: &str,
) -> Vec<LogLine> {
    let lines = std::cell::RefCell::new(vec![]);
    let position = std::cell::Cell::new(*cursor);
    eventually(last, || async {
        let batch = bench.docker.logs(name, position.get(), 10_000).await.unwrap();
        assert_eq!(batch.dropped, 0);
        position.set(batch.cursor);
        lines.borrow_mut().extend(batch.lines);
        lines.borrow().iter().any(|line| line.text == last).then_some(())
    })
    .await;
    *cursor = position.get();
    lines.into_inner()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn a_cursor_goes_on_exactly_where_it_stopped() {
    on_a_bench(|bench| async {
        let name = bench.run("talker", bench.script("echo first; sleep 1000")).await;
        let mut cursor = None;
        assert_eq!(texts(&read_until(bench, &name, &mut cursor, "first").await), ["first"]);
        // Many lines share a time stamp or nearly so.
        let script = "seq 1 500 > /proc/1/fd/1; echo bad > /proc/1/fd/2; echo end > /proc/1/fd/1";
        bench.exec(&name, script).await;
        let mut more = read_until(bench, &name, &mut cursor, "end").await;
        if !texts(&more).contains(&"bad") {
            // The other stream may be written later.
            more.extend(read_until(bench, &name, &mut cursor, "bad").await);
        }
        assert_eq!(more.iter().filter(|line| line.text == "end").count(), 1);
        more.retain(|line| line.text != "end");
        let bad = more.iter().position(|line| line.text == "bad").unwrap();
        assert_eq!(more.remove(bad).stream, LogStream::Stderr);
        let expected: Vec<String> = (1..=500).map(|n| n.to_string()).collect();
        assert_eq!(texts(&more), expected);
        let nothing = bench.docker.logs(&name, cursor, 100).await.unwrap();
        assert_eq!((nothing.lines, nothing.cursor), (vec![], cursor));
    })
    .await;
}

#[tokio::test]
async fn reading_while_it_is_written_gives_every_line_once() {
    on_a_bench(|bench| async {
        let script = "for i in $(seq 1 60); do seq ${i}00 ${i}99; done; echo end; sleep 1000";
        let name = bench.run("writer", bench.script(script)).await;
        let mut cursor = None;
        let lines = read_until(bench, &name, &mut cursor, "end").await;
        let expected: Vec<String> =
            (100..=6099).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
        assert_eq!(texts(&lines), expected);
    })
    .await;
}

#[tokio::test]
async fn the_newest_lines_win_and_the_others_are_counted() {
    on_a_bench(|bench| async {
        let name = bench.run("chatty", bench.script("echo first; sleep 1000")).await;
        let mut cursor = None;
        read_until(bench, &name, &mut cursor, "first").await;
        bench.exec(&name, "seq 1 5000 > /proc/1/fd/1").await;
        let mut probe = cursor;
        read_until(bench, &name, &mut probe, "5000").await;
        let batch = bench.docker.logs(&name, cursor, 10).await.unwrap();
        assert_eq!(batch.lines.last().unwrap().text, "5000");
        assert_eq!((batch.lines.len(), batch.dropped, batch.cursor), (10, 4990, probe));
        let recent = bench.docker.logs(&name, None, 10).await.unwrap();
        assert_eq!(recent.lines, batch.lines, "without a cursor the newest are read");
    })
    .await;
}

#[tokio::test]
async fn hostile_output_becomes_harmless_lines() {
    on_a_bench(|bench| async {
        let script = r"printf 'bad \377 byte\n'; printf '\033[31mred\033[0m \033]0;title\007end\n';
            printf '10%%\r50%%\r100%%\n'; yes 12345 | head -n 5000 | tr '\n' '\r'; printf 'done\n'; echo last";
        let name = bench.run("hostile", bench.script(script)).await;
        let lines = read_until(bench, &name, &mut None, "last").await;
        // The fourth is 30 KB of progress: Docker splits it and it is one line again.
        assert_eq!(texts(&lines), ["bad \u{fffd} byte", "red end", "100%", "done", "last"]);
    })
    .await;
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_one_short_line() {
    on_a_bench(|bench| async {
        let script = "echo before; head -c 10485760 /dev/zero | tr '\\0' x; echo; echo after";
        for tty in [false, true] {
            let body = ContainerCreateBody { tty: Some(tty), ..bench.script(script) };
            let name = bench.run(if tty { "terminal" } else { "plain" }, body).await;
            let lines = read_until(bench, &name, &mut None, "after").await;
            let lengths: Vec<usize> = lines.iter().map(|line| line.text.len()).collect();
            assert_eq!(lengths, ["before".len(), LONGEST, "after".len()], "terminal: {tty}");
            assert!(lines[1].text.starts_with("xxx") && lines[1].text.ends_with('…'));
        }
    })
    .await;
}

#[tokio::test]
async fn a_terminal_log_is_read_without_frames_and_line_ends() {
    on_a_bench(|bench| async {
        let script = "echo one; echo two >&2; sleep 1000";
        let body = ContainerCreateBody { tty: Some(true), ..bench.script(script) };
        let name = bench.run("terminal", body).await;
        let mut cursor = None;
        let lines = read_until(bench, &name, &mut cursor, "two").await;
        assert_eq!(texts(&lines), ["one", "two"]);
        bench.exec(&name, "echo three > /proc/1/fd/1").await;
        assert_eq!(texts(&read_until(bench, &name, &mut cursor, "three").await), ["three"]);
    })
    .await;
}

#[tokio::test]
async fn followed_lines_come_as_they_are_written_until_the_end() {
    on_a_bench(|bench| async {
        let name = bench.run("talker", bench.script("echo old; sleep 1000")).await;
        let lines = read_until(bench, &name, &mut None, "old").await;
        let after = lines[0].at + Duration::from_nanos(1);
        let mut followed = bench.docker.follow_logs(&name, after);
        let next = tokio::spawn(async move {
            let first = followed.next().await;
            (first, followed.collect::<Vec<_>>().await)
        });
        bench.exec(&name, "echo new > /proc/1/fd/1").await;
        read_until(bench, &name, &mut None, "new").await;
        bench.stop(&name, 0).await;
        let (first, rest) =
            tokio::time::timeout(Duration::from_mins(1), next).await.unwrap().unwrap();
        assert_eq!((first.unwrap().text.as_str(), rest), ("new", vec![]));
    })
    .await;
}
