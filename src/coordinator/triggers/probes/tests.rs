use std::sync::Mutex;

use async_trait::async_trait;
use selfheal_agents::model::{Session, TargetKind, TcpFacts};
use selfheal_agents::ports::WorldResult;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Step::{Changed, Confirm, Settled};
use super::*;
use crate::coordinator::triggers::fired::Fired;

/// Answers by port; remembers when it was asked. Port 1 hangs for ever.
#[derive(Default)]
struct Ports {
    down: Mutex<Vec<u16>>,
    asked: Mutex<Vec<(u16, Instant)>>,
}

#[async_trait]
impl Prober for Ports {
    async fn probe(&self, endpoint: &Endpoint, _limit: Duration) -> Facts {
        panic!("{endpoint:?} is asked more than whether it works")
    }

    async fn glance(&self, endpoint: &Endpoint, _limit: Duration) -> Facts {
        let Endpoint::Tcp { port, .. } = endpoint else { panic!("{endpoint:?}") };
        self.asked.lock().unwrap().push((*port, Instant::now()));
        if *port == 1 {
            std::future::pending::<()>().await;
        }
        let reachable = !self.down.lock().unwrap().contains(port);
        Facts::Tcp(TcpFacts { reachable, ..TcpFacts::default() })
    }

    async fn terminate_backends(&self, _: &Endpoint, _: &[Session]) -> WorldResult<u32> {
        Ok(0)
    }
}

fn target(port: u16) -> Target {
    let mut target = Target::bare(TargetId::lossy(TargetKind::Tcp, &format!("p{port}")));
    target.endpoint = Some(Endpoint::Tcp { host: "h".to_owned(), port });
    target
}

struct Probing {
    ports: Arc<Ports>,
    fired: Fired,
    doubted: Arc<Mutex<Vec<TargetId>>>,
    targets: watch::Sender<Arc<Vec<Target>>>,
    settings: watch::Sender<Arc<Settings>>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Probing {
    fn start(ports: &[u16]) -> Self {
        let prober = Arc::new(Ports::default());
        let wanted = ports.iter().map(|port| target(*port)).collect();
        let (targets, targets_now) = watch::channel(Arc::new(wanted));
        let (settings, settings_now) = watch::channel(Arc::new(Settings::default()));
        let (fired, cancel) = (Fired::default(), CancellationToken::new());
        let doubted = Arc::<Mutex<Vec<TargetId>>>::default();
        let doubts = Arc::clone(&doubted);
        let asking = Asking {
            prober: prober.clone(),
            fire: fired.fire(),
            doubt: Arc::new(move |id| doubts.lock().unwrap().push(id.clone())),
            upkeep: Upkeep::new(cancel.clone()),
        };
        let task = tokio::spawn(run(asking, targets_now, settings_now, cancel.clone()));
        Self { ports: prober, fired, doubted, targets, settings, cancel, task }
    }

    fn set_down(&self, ports: &[u16]) {
        *self.ports.down.lock().unwrap() = ports.to_vec();
    }

    fn asked(&self, port: u16) -> Vec<Instant> {
        let asked = self.ports.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| *asked == port).map(|(_, at)| *at).collect()
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

async fn pass(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

#[test]
fn one_failure_is_confirmed_and_the_change_is_told_once_each_way() {
    let mut streak = Streak::default();
    let answers = [true, false, true, false, false, false, true, false, true, true, true];
    let steps: Vec<Step> = answers.iter().map(|works| streak.take(*works, 2)).collect();
    assert_eq!(
        steps,
        [
            Settled, Confirm, Settled, Confirm, Changed, Settled, Confirm, Settled, Confirm,
            Changed, Settled
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_is_confirmed_quickly_and_calls_for_one_look() {
    let probing = Probing::start(&[80]);
    pass(6).await;
    probing.set_down(&[80]);
    let before = probing.asked(80).len();
    pass(30).await;
    let asked = probing.asked(80);
    assert_eq!(asked[before + 1] - asked[before], Duration::from_millis(500));
    assert_eq!(probing.fired.all(), [Scope::target(target(80).id)]);
    assert_eq!(*probing.doubted.lock().unwrap(), [target(80).id], "with its first failure");
    probing.set_down(&[]);
    pass(30).await;
    assert_eq!(probing.doubted.lock().unwrap().len(), 1, "an answer is no reason for doubt");
    assert_eq!(probing.fired.all().len(), 2, "and one when it works again");
    probing.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_delays_nobody_and_counts_as_failing() {
    let probing = Probing::start(&[1, 80]);
    pass(60).await;
    assert!(probing.asked(80).len() >= 11, "{:?}", probing.asked(80).len());
    assert_eq!(probing.fired.all(), [Scope::target(target(1).id)]);
    probing.end().await;
}

#[tokio::test(start_paused = true)]
async fn targets_that_go_are_asked_no_more_and_new_ones_are() {
    let probing = Probing::start(&[80]);
    pass(11).await;
    probing.targets.send_replace(Arc::new(vec![target(81)]));
    pass(1).await;
    let before = probing.asked(80).len();
    pass(60).await;
    assert_eq!(probing.asked(80).len(), before);
    assert!(probing.asked(81).len() >= 11);
    probing.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_targets_listed_again_keep_their_rhythm() {
    let probing = Probing::start(&[80]);
    for _ in 0..20 {
        pass(1).await;
        probing.targets.send_replace(Arc::new(vec![target(80)]));
    }
    assert!(probing.asked(80).len() <= 5, "{}", probing.asked(80).len());
    probing.end().await;
}

#[tokio::test(start_paused = true)]
async fn probes_can_be_switched_off_while_they_run() {
    let probing = Probing::start(&[80]);
    pass(6).await;
    let mut off = Settings::default();
    off.probes.enabled = false;
    probing.settings.send_replace(Arc::new(off));
    pass(1).await;
    let before = probing.asked(80).len();
    pass(60).await;
    assert_eq!(probing.asked(80).len(), before);
    probing.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_excluded_target_is_not_asked() {
    let probing = Probing::start(&[]);
    let mut excluded = target(80);
    excluded.policy.excluded = true;
    probing.targets.send_replace(Arc::new(vec![excluded]));
    pass(30).await;
    assert!(probing.asked(80).is_empty());
    probing.end().await;
}
