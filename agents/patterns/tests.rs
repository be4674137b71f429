use super::*;

/// The templates of some lines, the most frequent first.
fn templates(message_only: bool, lines: &[String]) -> Vec<(u64, String)> {
    let mut miner = Miner::new(Options { message_only, ..Options::default() });
    for line in lines {
        miner.read(line.as_bytes());
    }
    miner.patterns().into_iter().map(|pattern| (pattern.count, pattern.template)).collect()
}

fn one(message: &str) -> String {
    let found = templates(true, &[message.to_owned()]);
    assert_eq!(found.len(), 1, "{message}");
    found.into_iter().next().unwrap().1
}

#[test]
fn what_looks_like_a_value_is_one_at_once() {
    for (message, template) in [
        ("took 12 ms, then 3.5 MB left", "took <*>, then <*> left"),
        ("GET https://shop.example/a?b=c done", "GET <*> done"),
        ("cannot open /var/lib/shop/db.sqlite: denied", "cannot open <*>: denied"),
        ("peer 10.0.0.7:5432 gone", "peer <*> gone"),
        ("peer fe80::1:2 gone", "peer <*> gone"),
        ("order 5af3e2b1-77aa-4c1d-9b0e-0123456789ab paid", "order <*> paid"),
        ("mail to ann@example.org bounced", "mail to <*> bounced"),
        ("sizes 1 2 3, 4; done", "sizes <*>; done"),
        ("job_17 and job_-4 start", "job_<*> and job_<*> start"),
        ("sent 2048 bytes (2 KB) in all", "sent <*> bytes in all"),
        ("left at Fri Nov 21 04:05:06 2026 again", "left at <*> again"),
        ("lasted <1 sec", "lasted <*>"),
        ("worker[7] left", "worker[<*>] left"),
        (
            "\"GET /cart/17?x=1 HTTP/1.1\" 200 3 \"-\" \"curl/8.5.0 (X)\"",
            "\"GET <*> HTTP/<*>\" <*>",
        ),
        ("key=\"two words\" other=x", "key=<*> other=x"),
    ] {
        assert_eq!(one(message), template);
    }
}

#[test]
fn what_tells_one_message_from_another_stays() {
    for message in [
        "cache is on",
        "cache is off",
        "ready=true, waiting=false",
        "Input/output error",
        "stopping... done",
        "app.start() called",
    ] {
        assert_eq!(one(message), message);
    }
}

#[test]
fn a_place_where_many_words_stood_varies_and_the_first_lines_belong_to_it_too() {
    let names = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus"];
    let lines: Vec<String> = names.iter().map(|name| format!("user {name} logged in")).collect();
    assert_eq!(templates(true, &lines), [(7, "user <*> logged in".to_owned())]);
    let two: Vec<String> = names[..2].iter().map(|name| format!("user {name} logged in")).collect();
    assert_eq!(templates(true, &two).len(), 2, "two words may be two messages");
}

#[test]
fn the_first_word_names_the_message_and_does_not_vary() {
    let names = ["start", "stop", "reload", "flush", "rotate", "scan", "sync"];
    let lines: Vec<String> = names.iter().map(|name| format!("{name} finished")).collect();
    assert_eq!(templates(true, &lines).len(), 7);
}

#[test]
fn the_same_message_under_any_header_is_one_pattern() {
    let lines: Vec<String> = [
        "2026-11-21 04:29:08,334 INFO [main] org.shop.Cart: ",
        "2026-11-21T04:29:08.334Z  INFO shop::cart: ",
        "2026/11/21 04:29:08 [info] ",
        "[2026-11-21T04:29:08Z INFO shop] ",
        "Nov 21 04:29:08 web01 shop[771]: ",
        "11-21 04:29:08.334   771   802 I Cart: ",
        "I1121 04:29:08.334123     771 cart.go:71] ",
        "[Sat Nov 21 04:29:08 2026] [notice] ",
        "20261121-04:29:08:334|Cart|771|",
        "261121 042908 771 INFO shop.Cart: ",
        "1795235348 2026.11.21 R01-M0 2026-11-21-04.29.08.334123 R01-M0 SHOP CART INFO ",
        "2026-11-21 04:29:08.334 UTC [771] LOG:  ",
        "2026-11-21 04:29:08,334 - INFO  [pool[id=1]/0:0:0:0:Cart@71] - ",
        "shop.log 2026-11-21 04:29:08.334 771 INFO shop.cart.api [req-1b-2c 77 - -] ",
        "2026-11-21 04:29:08, Info                  SHOP   ",
        "2026-11-21 04:29:08,334 - shop - INFO - ",
        "<14>Nov 21 04:29:08 web01 shop: ",
        "INFO:shop:",
        "I, [2026-11-21T04:29:08.334567 #771]  INFO -- : ",
        "2026-11-21 04:29:08.334  INFO 1 --- [           main] o.shop.Cart          : ",
        "Nov 21 04:29:08 web-1 Shop Till Helper[771]: ",
        "771 node-2 unix.shop state.change 1795235348 ",
        "[11.21 04:29:08] shop.exe - ",
    ]
    .iter()
    .map(|header| format!("{header}payment 17 was accepted by the bank"))
    .collect();
    for line in &lines {
        let found = templates(false, std::slice::from_ref(line));
        assert_eq!(found[0].1, "payment <*> was accepted by the bank", "{line}");
    }
}

#[test]
fn the_level_is_found_in_every_header() {
    for (line, level) in [
        ("2026-11-21 04:29:08,334 ERROR [main] org.shop.Cart: boom", Some(Level::Error)),
        ("11-21 04:29:08.334   771   802 E Cart: boom", Some(Level::Error)),
        ("[Sat Nov 21 04:29:08 2026] [error] boom", Some(Level::Error)),
        ("W1121 04:29:08.334123     771 cart.go:71] boom", Some(Level::Warning)),
        ("1795235348 2026.11.21 R01-M0 SHOP CART FATAL boom", Some(Level::Fatal)),
        ("2026-11-21 04:29:08.334 UTC [771] FATAL:  boom", Some(Level::Fatal)),
        ("2026-11-21T04:29:08.334Z 0 [Warning] [MY-1] [Server] boom", Some(Level::Warning)),
        ("2026-11-21 04:29:08, Error                 SHOP   boom", Some(Level::Error)),
        ("<11>Nov 21 04:29:08 web01 shop: boom", Some(Level::Error)),
        ("ERROR:shop:boom", Some(Level::Error)),
        ("Nov 21 04:29:08 web01 shop[771]: no error here", None),
        ("the error was mine", None),
    ] {
        assert_eq!(Miner::default().read(line.as_bytes()).level, level, "{line}");
    }
}

#[test]
fn the_same_lines_give_the_same_ids_and_the_id_is_of_the_final_template() {
    let lines: Vec<String> = (0..40_u8)
        .map(|n| format!("user {} logged in", char::from(b'a' + n % 20).to_string().repeat(3)))
        .collect();
    let ids = || {
        let mut miner = Miner::default();
        let seen: Vec<_> = lines.iter().map(|line| miner.read(line.as_bytes()).handle).collect();
        let ids = miner.ids();
        (seen.iter().map(|handle| ids[handle.index()]).collect::<Vec<_>>(), miner.patterns())
    };
    let (first, patterns) = ids();
    assert_eq!(first, ids().0);
    assert!(first.iter().all(|id| *id == patterns[0].id));
}

#[test]
fn endless_new_lines_take_no_endless_memory() {
    let limit = 256;
    let mut miner = Miner::new(Options { limit, ..Options::default() });
    for n in 0..20_000_u32 {
        let word = |salt: u32| -> String {
            let mut x = n.wrapping_mul(2_654_435_761) ^ salt;
            let letter = |_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'g' + u8::try_from(x >> 28).unwrap_or(0))
            };
            (0..8).map(letter).collect()
        };
        let line = format!("{} {} {} {}", word(1), word(2), word(3), word(4));
        miner.read(line.as_bytes());
    }
    assert!(miner.ids().len() <= limit + limit / 4, "{}", miner.ids().len());
    let lines: u64 = miner.patterns().iter().map(|pattern| pattern.count).sum();
    assert_eq!(lines, 20_000, "every line is counted somewhere");
}

#[test]
fn hostile_lines_are_read_like_any_other() {
    let mut miner = Miner::default();
    let long = "x".repeat(10_000_000);
    for line in [
        long.as_bytes(),
        b"",
        b"\xff\xfe\x00\x01 \xc3\x28",
        b"\x1b[31mred\x1b[0m \x07",
        b"[[[[[[[[((((((((<<<<<<<<",
        b"2026-13-99 99:99:99 ",
        b"= = = =",
    ] {
        miner.read(line);
    }
    let patterns = miner.patterns();
    let lines: u64 = patterns.iter().map(|pattern| pattern.count).sum();
    assert_eq!(lines, 7);
    for pattern in patterns {
        assert!(pattern.template.len() <= 3 * scan::MAX_BYTES, "{}", pattern.template.len());
        assert!(!pattern.template.contains('\u{1b}'), "{:?}", pattern.template);
    }
}

proptest::proptest! {
    #[test]
    fn no_line_breaks_the_miner(lines in proptest::collection::vec(
        proptest::collection::vec(proptest::num::u8::ANY, 0..120), 0..40
    )) {
        let mut miner = Miner::default();
        for line in &lines {
            miner.read(line);
        }
        let counted: u64 = miner.patterns().iter().map(|pattern| pattern.count).sum();
        proptest::prop_assert_eq!(counted, lines.len() as u64);
    }

    #[test]
    fn no_text_made_of_header_parts_breaks_the_miner(
        line in r"([\[<(]?(2026-11-21|Nov 21|04:05:06|17957|INFO|E|a\.b|x:|\||-| |\]|\)|>|/|=|#|\.){1,3} ?){0,20}"
    ) {
        let mut miner = Miner::default();
        miner.read(line.as_bytes());
        proptest::prop_assert_eq!(miner.patterns().len(), 1);
    }
}
