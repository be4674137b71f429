# shellcheck shell=bash
# Programs of a few lines, compiled by the rustc at hand.
install gcc || return
cd "$work" || return
cat >main.rs <<'RS'
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn deeper(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { deeper(n + 1) + std::hint::black_box(1) }
}

struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) { panic!("second"); }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fault = std::env::args().nth(1).unwrap();
    let three: usize = std::hint::black_box(3);
    match fault.as_str() {
        "err" => { std::fs::read("absent.toml").unwrap(); }
        "none" => { std::hint::black_box(None::<u8>).unwrap(); }
        "expect" => { std::fs::read("absent.toml").expect("settings"); }
        "index" => { let _ = vec![1, 2][three]; }
        "key" => { let map: HashMap<&str, u8> = HashMap::new(); let _ = map["absent"]; }
        "overflow" => { let _ = std::hint::black_box(2usize) - three; }
        "divide" => { let _ = 1 / (three - 3); }
        "borrow" => { let cell = RefCell::new(1); let _one = cell.borrow_mut(); let _two = cell.borrow_mut(); }
        "poison" => {
            let lock = Arc::new(Mutex::new(1));
            let other = lock.clone();
            let _ = std::thread::spawn(move || { let _held = other.lock().unwrap(); panic!("worker") }).join();
            let _held = lock.lock().unwrap();
        }
        "stack" => println!("{}", deeper(1)),
        "twice" => { let _bomb = Bomb; panic!("first"); }
        "bytes" => { let _ = &"é"[..std::hint::black_box(1)]; }
        "pipe" => for _ in 0..100_000 { println!("a line that nobody reads") },
        "main" => { std::fs::read("absent.toml")?; }
        "port" => { std::net::TcpListener::bind("203.0.113.1:80")?; }
        "parse" => { "x".parse::<u16>()?; }
        other => panic!("{other}"),
    }
    Ok(())
}
RS
rustc -C debug-assertions=on -o app main.rs 2>/dev/null || return
for fault in err none expect; do provoke rust-unwrap ./app $fault; done
for fault in index key overflow divide bytes; do provoke rust-value-out-of-range ./app $fault; done
for fault in borrow; do provoke rust-borrowed-twice ./app $fault; done
provoke rust-lock-poisoned ./app poison
provoke rust-stack-overflow ./app stack
provoke rust-panic-while-panicking ./app twice
for fault in main port parse; do provoke rust-main-failed ./app $fault; done
closed_pipe() { ./app pipe | true; }
provoke rust-output-closed closed_pipe
provoke rust-panic ./app 'a message of its own'
