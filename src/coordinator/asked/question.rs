//! One kind of question: at most one under way for each target, and its newest answer.
//!
//! It knows nothing of the world: what is asked, and how long an answer is true, comes in.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use selfheal_agents::model::TargetId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::super::state::lock;

/// How long a look waits after the newest answer it got.
const PATIENCE: Duration = Duration::from_millis(400);
/// No answer is kept longer.
const LONGEST_KEPT: Duration = Duration::from_secs(20);

/// Something the world answers.
pub(super) trait Answer: Clone + Send + Sync + 'static {
    /// Whether it is the answer of one that hangs.
    fn is_silence(&self) -> bool;
    /// How long it may stand in for the next answer.
    fn stands(&self) -> Duration;
}

/// How long a look waits: while answers keep coming, it may be the machine that is slow.
pub(super) struct Patience {
    newest: Mutex<Instant>,
}

impl Patience {
    pub(super) fn begin() -> Self {
        Self { newest: Mutex::new(Instant::now()) }
    }

    /// The answer, if it comes in time.
    async fn wait_for<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(answer);
        loop {
            let until = *lock(&self.newest) + PATIENCE;
            if let Ok(answer) = timeout_at(until, &mut answer).await {
                *lock(&self.newest) = Instant::now();
                return Some(answer);
            }
            let others_answered = *lock(&self.newest) + PATIENCE > until;
            if !others_answered {
                return None;
            }
        }
    }
}

/// An answer, and when it came.
type Heard<A> = (Instant, A);

struct Question<S, A> {
    subject: S,
    coming: watch::Receiver<Option<Heard<A>>>,
    /// What the question before this one brought.
    before: Option<Heard<A>>,
    /// Nobody waits for a question that is forgotten.
    _task: AbortOnDropHandle<()>,
}

impl<S, A: Clone> Question<S, A> {
    fn is_under_way(&self) -> bool {
        // One that broke off has no sender any more.
        self.coming.borrow().is_none() && self.coming.has_changed().is_ok()
    }

    fn answer(&self) -> Option<Heard<A>> {
        self.coming.borrow().clone()
    }
}

/// The questions of one kind, by target.
pub(super) struct Pending<S, A>(Mutex<BTreeMap<TargetId, Question<S, A>>>);

impl<S, A> Default for Pending<S, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: PartialEq, A: Answer> Pending<S, A> {
    /// Asks, or joins who asks the same already; `None` when it is not answered in time and
    /// nothing stands in for the answer.
    pub(super) async fn ask(
        &self,
        target: &TargetId,
        subject: S,
        patience: &Patience,
        question: impl Future<Output = A> + Send + 'static,
    ) -> Option<A> {
        let mut coming = self.begin(target, subject, question);
        let heard = patience.wait_for(coming.wait_for(Option::is_some)).await;
        let heard = heard.and_then(Result::ok).and_then(|heard| heard.clone());
        match heard {
            Some((_, answer)) => {
                if !answer.is_silence() {
                    // It is used; the next look asks anew.
                    lock(&self.0).remove(target);
                }
                Some(answer)
            }
            None => self.stand_in(target),
        }
    }

    /// Asks, or joins who asks the same already, and does not wait.
    pub(super) fn begin(
        &self,
        target: &TargetId,
        subject: S,
        question: impl Future<Output = A> + Send + 'static,
    ) -> watch::Receiver<Option<Heard<A>>> {
        let mut questions = lock(&self.0);
        let known = questions.get(target).filter(|known| known.subject == subject);
        if let Some(known) = known.filter(|known| known.is_under_way()) {
            return known.coming.clone();
        }
        let before = known.and_then(Question::answer);
        let (sender, coming) = watch::channel(None);
        let task = tokio::spawn(async move {
            let answer = question.await;
            // Kept for the next look if nobody waits now.
            sender.send_replace(Some((Instant::now(), answer)));
        });
        let task = AbortOnDropHandle::new(task);
        let asked = Question { subject, coming: coming.clone(), before, _task: task };
        questions.insert(target.clone(), asked);
        coming
    }

    fn stand_in(&self, target: &TargetId) -> Option<A> {
        let before = lock(&self.0).get(target)?.before.clone();
        before.filter(|(at, answer)| at.elapsed() <= answer.stands()).map(|(_, answer)| answer)
    }

    /// Waits until the target is not being asked.
    pub(super) async fn ended(&self, target: &TargetId) {
        let coming = lock(&self.0).get(target).map(|question| question.coming.clone());
        if let Some(mut coming) = coming {
            // One that broke off has ended, too.
            let _ = coming.wait_for(Option::is_some).await;
        }
    }

    /// Drops answers that are of no use any more.
    pub(super) fn forget_the_old(&self) {
        lock(&self.0).retain(|_, question| {
            let young = |(at, _): Heard<A>| at.elapsed() <= LONGEST_KEPT;
            question.is_under_way() || question.answer().is_some_and(young)
        });
    }

    /// Drops everything.
    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    impl Answer for Option<u8> {
        fn is_silence(&self) -> bool {
            self.is_none()
        }

        fn stands(&self) -> Duration {
            Duration::from_secs(if self.is_none() { 15 } else { 2 })
        }
    }

    async fn after(secs: u64, answer: Option<u8>) -> Option<u8> {
        sleep(Duration::from_secs(secs)).await;
        answer
    }

    fn web() -> TargetId {
        TargetId::container("web")
    }

    /// What a look of its own hears about `subject`, and how long it waits, in milliseconds.
    async fn look(
        pending: &Pending<u8, Option<u8>>,
        subject: u8,
        question: impl Future<Output = Option<u8>> + Send + 'static,
    ) -> (Option<Option<u8>>, u128) {
        let began = Instant::now();
        let heard = pending.ask(&web(), subject, &Patience::begin(), question).await;
        (heard, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_late_once_and_then_stands_in_for_itself() {
        let pending = Pending::default();
        assert_eq!(look(&pending, 1, after(6, None)).await, (None, 400));
        pending.ended(&web()).await;
        assert_eq!(look(&pending, 1, after(6, None)).await, (Some(None), 400));
        pending.ended(&web()).await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(look(&pending, 1, after(6, None)).await, (None, 400), "that is long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_counts_for_the_look_that_follows_it_and_not_for_later_ones() {
        let pending = Pending::default();
        assert_eq!(look(&pending, 1, after(3, Some(7))).await.0, None);
        pending.ended(&web()).await;
        assert_eq!(look(&pending, 1, after(3, Some(8))).await.0, Some(Some(7)));
        sleep(Duration::from_secs(9)).await;
        assert_eq!(look(&pending, 1, after(3, Some(9))).await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_under_way_is_joined_and_not_asked_twice() {
        let pending = Pending::default();
        assert_eq!(look(&pending, 1, after(1, Some(1))).await.0, None);
        sleep(Duration::from_millis(500)).await;
        assert_eq!(look(&pending, 1, after(0, Some(2))).await, (Some(Some(1)), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_of_something_else_or_before_a_change_says_nothing() {
        let pending = Pending::default();
        assert_eq!(look(&pending, 1, after(6, None)).await.0, None);
        assert_eq!(look(&pending, 2, after(6, None)).await.0, None, "another life");
        pending.ended(&web()).await;
        pending.forget();
        assert_eq!(look(&pending, 2, after(6, None)).await.0, None, "it was repaired");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_waits_while_answers_keep_coming() {
        let (pending, patience) = (Pending::default(), Patience::begin());
        let ask = |name: &str, millis: u64| {
            let question = async move {
                sleep(Duration::from_millis(millis)).await;
                Some(1)
            };
            let (pending, patience, id) = (&pending, &patience, TargetId::container(name));
            async move { pending.ask(&id, 0_u8, patience, question).await }
        };
        let heard = tokio::join!(
            ask("a", 300),
            ask("b", 600),
            ask("c", 900),
            ask("d", 1400),
            ask("e", 1800)
        );
        assert_eq!(heard, (Some(Some(1)), Some(Some(1)), Some(Some(1)), None, None));
    }
}
