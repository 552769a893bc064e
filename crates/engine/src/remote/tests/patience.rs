//! What a failed attempt costs: time for a 429, a retry for trouble, the step for a refusal.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Fails each of its first requests and notes when requests came.
#[derive(Clone, Default)]
struct Failing {
    left: Arc<Mutex<VecDeque<Failure>>>,
    starts: Arc<Mutex<Vec<Instant>>>,
}

impl Failing {
    fn with(failures: impl IntoIterator<Item = Failure>) -> Self {
        let left = Arc::new(Mutex::new(failures.into_iter().collect()));
        Self { left, starts: Arc::default() }
    }

    async fn request(self, latency: Duration) -> Result<(), Failure> {
        self.starts.lock().unwrap().push(Instant::now());
        let failure = self.left.lock().unwrap().pop_front();
        sleep(latency).await;
        failure.map_or(Ok(()), Err)
    }

    fn starts(&self) -> Vec<Instant> {
        self.starts.lock().unwrap().clone()
    }
}

fn call(rig: &Rig, operation: usize, server: &Failing) -> Calling<()> {
    let server = server.clone();
    rig.start(operation, move |_| server.clone().request(ms(20)))
}

/// Two kinds of requests with nothing in common: the 429 of one holds both.
#[tokio::test(start_paused = true)]
async fn a_429_pauses_every_operation_until_the_named_time() {
    for (wait, windows, least) in [
        (Some(secs(7)), ["100/10s", "100/1s"], secs(7)),
        (None, ["100/10s", "100/1s"], secs(10)),
        (None, ["unlimited", "100/1s"], secs(1)),
        (Some(Duration::ZERO), ["100/10s", "100/1s"], Duration::ZERO),
    ] {
        let mut apart = spec(&windows);
        apart.operations[SEND].windows = vec![0];
        apart.operations[INSERT].windows = vec![1];
        let mut rig = Rig::new(apart);
        let (refusing, other) = (Failing::with([throttled(wait)]), Failing::default());
        let first = call(&rig, SEND, &refusing);
        sleep(ms(30)).await;
        let answered = refusing.starts()[0] + ms(20);
        let calls: Vec<_> = (0..5)
            .flat_map(|_| [call(&rig, SEND, &refusing), call(&rig, INSERT, &other)])
            .chain([first])
            .collect();
        settle().await;
        if least > Duration::ZERO {
            assert_eq!(rig.remote.meter().waiting, Some(crate::event::Waiting::Throttled));
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let starts = [&refusing.starts()[1..], &other.starts()[..]].concat();
        assert_eq!(starts.len(), 11);
        for start in starts {
            let held = start.duration_since(answered);
            assert!(held >= least, "sent {held:?} after a 429 that asked for {wait:?}");
            assert!(held <= least + secs(1), "held for {held:?} although it asked for {wait:?}");
        }
        let events = rig.events();
        let named = wait.is_some();
        let told = |event: &Event| matches!(event, Event::Throttled { told, .. } if *told == named);
        assert!(events.len() == 1 && events.iter().all(told), "{events:?}");
    }
}

/// With no retries at all, and far more 429s than would open the breaker.
#[tokio::test(start_paused = true)]
async fn a_429_is_no_retry_and_fails_no_call() {
    let mut rig = Rig::new(Spec { retries: 0, ..spec(&["1000/1s"]) });
    let server = Failing::with((0..500).map(|_| throttled(Some(ms(100)))));
    for operation in [SEND, INSERT] {
        let calls: Vec<_> = (0..5).map(|_| call(&rig, operation, &server)).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
    assert_eq!(server.starts().len(), 510);
    let events = rig.events();
    assert_eq!(events.len(), 500);
    assert!(events.iter().all(|event| matches!(event, Event::Throttled { told: true, .. })));
}

/// The retries that a call has are for trouble, and 429s before and between leave them all.
#[tokio::test(start_paused = true)]
async fn a_429_takes_none_of_the_retries() {
    let patience = || (0..10).map(|_| throttled(Some(ms(10))));
    let rig = Rig::new(Spec { retries: 2, ..spec(&["1000/1s"]) });
    let trouble = patience().chain([unavailable()]).chain(patience()).chain([unavailable()]);
    let server = Failing::with(trouble.clone());
    let answer = call(&rig, SEND, &server).await.unwrap().unwrap();
    assert_eq!(answer.attempts, 23);
    let server = Failing::with(trouble.chain(patience()).chain([unavailable()]));
    let failure = call(&rig, SEND, &server).await.unwrap().unwrap_err();
    assert_eq!((failure.kind, server.starts().len()), (Kind::Unavailable, 33));
}

/// Hours of patience are no silence, however short the deadline.
#[tokio::test(start_paused = true)]
async fn waits_that_the_remote_asked_for_do_not_count_against_the_deadline() {
    let rig = Rig::new(Spec { deadline: secs(60), ..spec(&["1000/1s"]) });
    let server = Failing::with((0..300).map(|_| throttled(Some(secs(300)))));
    let began = Instant::now();
    let calls: Vec<_> = (0..3).map(|_| call(&rig, SEND, &server)).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(began.elapsed() >= secs(100 * 300));
}

/// After a 429 the window is used less than to the full, and grows back.
#[tokio::test(start_paused = true)]
async fn a_429_lowers_the_rate() {
    let rig = Rig::new(spec(&["100/1s"]));
    let factor = || rig.remote.meter().windows[0].factor;
    call(&rig, SEND, &Failing::with([throttled(Some(ms(10)))])).await.unwrap().unwrap();
    assert!((factor() - 0.8).abs() < 1e-9, "{}", factor());
    sleep(secs(10)).await;
    call(&rig, SEND, &Failing::default()).await.unwrap().unwrap();
    assert!((factor() - 1.0).abs() < 1e-9, "{}", factor());
}

#[tokio::test(start_paused = true)]
async fn used_up_retries_give_the_last_failure() {
    let mut rig = Rig::new(Spec { retries: 3, ..spec(&[]) });
    let numbered = |n: u16| Failure { status: Some(500 + n), ..unavailable() };
    let server = Failing::with((0..9).map(numbered));
    let failure = call(&rig, SEND, &server).await.unwrap().unwrap_err();
    assert_eq!((failure.kind, failure.status), (Kind::Unavailable, Some(503)));
    let starts = server.starts();
    assert_eq!(starts.len(), 4);
    let backoff = Backoff::default();
    for (number, pair) in (1..).zip(starts.windows(2)) {
        let waited = pair[1].duration_since(pair[0]) - ms(20);
        let longest = backoff.longest(number);
        assert!(waited >= longest / 2 && waited <= longest + ms(2), "{number}: {waited:?}");
    }
    let attempts: Vec<_> = rig
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Retrying { attempt, kind: Kind::Unavailable, .. } => attempt,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_names_a_time_with_its_503_is_obeyed() {
    let rig = Rig::new(spec(&[]));
    let server = Failing::with([Failure { wait: Some(secs(40)), ..unavailable() }]);
    call(&rig, SEND, &server).await.unwrap().unwrap();
    let starts = server.starts();
    assert!(starts[1].duration_since(starts[0]) >= secs(40));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_at_once() {
    use Kind::{Absent, Bug, Conflict, Denied, Forbidden, Rejected};
    for kind in [Rejected, Conflict, Absent, Forbidden, Denied, Bug] {
        let mut rig = Rig::new(spec(&[]));
        let server = Failing::with([Failure::new(kind, "no")]);
        let failure = call(&rig, SEND, &server).await.unwrap().unwrap_err();
        assert_eq!((failure.kind, server.starts().len()), (kind, 1));
        assert_eq!(rig.events(), []);
    }
}

/// Hangs at each of its first requests.
async fn hang_first(requests: &AtomicU32, hanging: u32) -> Result<u32, Failure> {
    let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
    if number <= hanging {
        std::future::pending::<()>().await;
    }
    Ok(number)
}

#[tokio::test(start_paused = true)]
async fn only_what_is_safe_to_repeat_is_sent_again_after_a_lost_answer() {
    let rig = Rig::new(spec(&[]));
    let requests = AtomicU32::new(0);
    let insert = |_| hang_first(&requests, 1);
    let began = Instant::now();
    let failure = rig.remote.call(&rig.context, INSERT, false, insert).await.unwrap_err();
    assert_eq!((failure.kind, failure.may_have_happened), (Kind::TimedOut, true));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    assert_eq!(began.elapsed(), secs(30));

    let lost = Failure { may_have_happened: true, ..unavailable() };
    let server = Failing::with([lost]);
    let failure = call(&rig, INSERT, &server).await.unwrap().unwrap_err();
    assert!(failure.may_have_happened && server.starts().len() == 1);
    let server = Failing::with([unavailable()]);
    call(&rig, INSERT, &server).await.unwrap().unwrap();
    assert_eq!(server.starts().len(), 2, "it was refused before it could happen");
    let answer = rig.start(SEND, {
        let requests = Arc::new(AtomicU32::new(0));
        move |_| {
            let requests = Arc::clone(&requests);
            async move { hang_first(&requests, 2).await }
        }
    });
    let answer = answer.await.unwrap().unwrap();
    assert_eq!((answer.value, answer.attempts), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn later_attempts_are_told_of_the_doubt_and_a_failure_keeps_it() {
    let rig = Rig::new(Spec { retries: 3, ..spec(&[]) });
    for already in [false, true] {
        let told = Mutex::new(Vec::new());
        let attempt = |attempt: Attempt| {
            told.lock().unwrap().push((attempt.number, attempt.in_doubt));
            let lost = attempt.number == 2;
            async move { Err::<(), _>(Failure { may_have_happened: lost, ..unavailable() }) }
        };
        let failure = rig.remote.call(&rig.context, SEND, already, attempt).await.unwrap_err();
        assert!(failure.may_have_happened, "the last attempt did not, but an earlier one may have");
        let expected = [(1, already), (2, already), (3, true), (4, true)];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}

/// A window that lets one request a minute through, and a timeout of five seconds.
#[tokio::test(start_paused = true)]
async fn a_long_wait_for_the_quota_is_no_timeout() {
    let mut rig = Rig::new(Spec { timeout: secs(5), ..spec(&["1/60s"]) });
    let server = Failing::default();
    let began = Instant::now();
    let calls: Vec<_> = (0..4).map(|_| call(&rig, SEND, &server)).collect();
    for call in calls {
        let answer = call.await.unwrap().unwrap();
        assert_eq!((answer.attempts, answer.latency), (1, ms(20)));
    }
    assert!(began.elapsed() >= secs(180));
    assert_eq!(rig.events(), []);
}
