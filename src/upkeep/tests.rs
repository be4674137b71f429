use std::sync::atomic::AtomicU32;

use super::*;

const EVENTS: Part = Part { name: "the events", turns_within: Some(Duration::from_mins(1)) };

/// Counts its beginnings, and what becomes of it is said by how often it was begun before.
fn counted<F: Future<Output = ()> + Send + 'static>(
    does: impl Fn(u32) -> F + Send + 'static,
) -> (Arc<AtomicU32>, impl FnMut() -> F + Send + 'static) {
    let times = Arc::new(AtomicU32::default());
    let count = Arc::clone(&times);
    (times, move || does(count.fetch_add(1, Ordering::SeqCst)))
}

fn restarts(upkeep: &Upkeep) -> Vec<u64> {
    upkeep.records().iter().map(|record| record.restarts).collect()
}

#[tokio::test(start_paused = true)]
async fn what_panics_or_ends_unasked_is_begun_anew_and_goes_on() {
    let upkeep = Upkeep::new(CancellationToken::new());
    let (count, begin) = counted(|before| async move {
        match before {
            0 => panic!("a fault of ours"),
            1 => {}
            _ => std::future::pending().await,
        }
    });
    upkeep.keep(Part { turns_within: None, ..EVENTS }, begin);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(restarts(&upkeep), [2]);
    assert_eq!(upkeep.untold(), [], "it goes well again");
}

#[tokio::test(start_paused = true)]
async fn what_ends_again_and_again_is_begun_ever_more_rarely_and_told_once() {
    let upkeep = Upkeep::new(CancellationToken::new());
    let (count, begin) = counted(|_| async { panic!("a fault of ours") });
    upkeep.keep(EVENTS, begin);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let untold = upkeep.untold();
    assert_eq!(untold.len(), 1);
    assert!(untold[0].what.contains("a fault of ours"), "{untold:?}");
    upkeep.told(&untold[0]);
    tokio::time::sleep(Duration::from_mins(59)).await;
    assert_eq!(upkeep.untold(), []);
    let times = count.load(Ordering::SeqCst);
    assert!((10..=25).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_what_never_comes_is_begun_anew_and_what_turns_is_left_alone() {
    let upkeep = Upkeep::new(CancellationToken::new());
    let (count, begin) = counted(|before| async move {
        if before > 0 {
            loop {
                tokio::time::sleep(Duration::from_secs(50)).await;
            }
        }
        std::future::pending::<()>().await;
    });
    upkeep.keep(EVENTS, begin);
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!((count.load(Ordering::SeqCst), restarts(&upkeep)), (2, vec![1]));
    assert_eq!(upkeep.blocked(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_blocks_its_thread_is_told_until_it_goes_on() {
    let brief = Duration::from_millis(20);
    let limits = Limits { look_every: brief, blocks_after: brief };
    let upkeep = Upkeep::with(CancellationToken::new(), limits);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Mutex::new(Some(blocked));
    upkeep.keep(EVENTS, move || {
        let blocked = lock(&blocked).take();
        async move {
            if let Some(blocked) = blocked {
                let _ = blocked.recv();
            }
            std::future::pending::<()>().await;
        }
    });
    let until = async |wanted: fn(&Upkeep) -> bool| {
        let long = Duration::from_mins(1);
        let seen = async {
            while !wanted(&upkeep) {
                tokio::time::sleep(brief).await;
            }
        };
        tokio::time::timeout(long, seen).await.expect("it is seen");
    };
    until(|upkeep| upkeep.blocked().is_some()).await;
    assert_eq!(upkeep.untold().len(), 1);
    assert_eq!(restarts(&upkeep), [0], "a second one beside it would do everything twice");
    release.send(()).unwrap();
    until(|upkeep| upkeep.blocked().is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_nothing_is_begun_anew_and_what_ends_in_its_own_time_is_waited_for() {
    let cancel = CancellationToken::new();
    let upkeep = Upkeep::new(cancel.clone());
    let ended = Arc::new(AtomicU32::default());
    let (asked, count) = (cancel.clone(), Arc::clone(&ended));
    upkeep.keep(EVENTS, move || {
        let (asked, count) = (asked.clone(), Arc::clone(&count));
        async move {
            asked.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    cancel.cancel();
    upkeep.tracker().close();
    upkeep.tracker().wait().await;
    assert_eq!((ended.load(Ordering::SeqCst), restarts(&upkeep)), (1, vec![0]));
}
