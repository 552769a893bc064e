//! A remote that is not there: the breaker leaves it alone, no step is worn out, and a run whose
//! remote stays away ends.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers well outside of its outage. Within it requests fail after 20 ms or hang.
#[derive(Clone)]
struct Broken {
    from: Instant,
    until: Instant,
    hangs: bool,
    asked_in_vain: Arc<AtomicU64>,
}

impl Broken {
    fn new(from: Duration, length: Duration, hangs: bool) -> Self {
        let from = Instant::now() + from;
        Self { from, until: from + length, hangs, asked_in_vain: Arc::default() }
    }

    async fn request(self) -> Result<(), Failure> {
        let now = Instant::now();
        if now < self.from || now >= self.until {
            sleep(ms(20)).await;
            return Ok(());
        }
        self.asked_in_vain.fetch_add(1, Ordering::Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        sleep(ms(20)).await;
        Err(unavailable())
    }

    fn asked_in_vain(&self) -> u64 {
        self.asked_in_vain.load(Ordering::Relaxed)
    }
}

fn call(rig: &Rig, server: &Broken) -> Calling<()> {
    let server = server.clone();
    rig.start(SEND, move |_| server.clone().request())
}

fn breaker_events(events: &[Event]) -> Vec<&'static str> {
    let word = |event: &Event| match event {
        Event::BreakerOpened { .. } => Some("opened"),
        Event::BreakerClosed => Some("closed"),
        _ => None,
    };
    events.iter().filter_map(word).collect()
}

/// Forty callers keep sending through an outage of five minutes, with the usual five retries.
#[tokio::test(start_paused = true)]
async fn an_outage_of_five_minutes_wears_no_call_out() {
    for hangs in [false, true] {
        let limits = Spec { concurrency: ConcurrencySpec::Fixed(40), ..spec(&["1000/1s"]) };
        let mut rig = Rig::new(limits);
        let server = Broken::new(secs(5), secs(300), hangs);
        let mut callers = JoinSet::new();
        for _ in 0..40 {
            let (remote, context) = (Arc::clone(&rig.remote), rig.context.clone());
            let server = server.clone();
            callers.spawn(async move {
                let mut most = 0;
                while Instant::now() < server.until + secs(60) {
                    let answer =
                        remote.call(&context, SEND, false, |_| server.clone().request()).await;
                    most = most.max(answer.unwrap().attempts);
                }
                most
            });
        }
        let most = callers.join_all().await.into_iter().max().unwrap();
        assert!((2..=6).contains(&most), "{most} attempts");
        assert_eq!(breaker_events(&rig.events()), ["opened", "closed"]);
        let asked = server.asked_in_vain();
        assert!((40..60).contains(&asked), "the remote was asked {asked} times in its outage");
        let over = server.until.elapsed();
        assert!(over < secs(62), "{over:?} after the outage");
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_probes_and_closes() {
    let mut rig = Rig::new(Spec { retries: 100, ..spec(&[]) });
    let server = Broken::new(Duration::ZERO, secs(20), false);
    let calls: Vec<_> = (0..12).map(|_| call(&rig, &server)).collect();
    sleep(ms(500)).await;
    assert_eq!(breaker_events(&rig.events()), ["opened"]);
    assert_eq!(server.asked_in_vain(), 12);
    // Open for 1, 2, 4, 8 seconds: one probe after each, and one call that waits for it.
    sleep(secs(18)).await;
    assert_eq!(rig.remote.meter().waiting, Some(crate::event::Waiting::Breaker));
    assert_eq!(server.asked_in_vain(), 12 + 4);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(breaker_events(&rig.events()), ["closed"]);
}

#[tokio::test(start_paused = true)]
async fn silence_past_the_deadline_is_away() {
    for hangs in [false, true] {
        let limits = Spec { retries: u32::MAX, deadline: secs(120), ..spec(&[]) };
        let rig = Rig::new(limits);
        let server = Broken::new(secs(10), secs(100_000), hangs);
        call(&rig, &server).await.unwrap().unwrap();
        sleep(secs(10)).await;
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for _ in 0..15 {
            let call = call(&rig, &server);
            calls.spawn(async move { call.await.unwrap() });
        }
        let failure = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!((failure.kind, failure.may_have_happened), (Kind::Away, hangs));
        assert!(failure.hint.is_some());
        assert_eq!(failure.kind.verdict().ends_run, crate::failure::EndsRun::Always);
        let first = began.elapsed();
        // A probe at most a minute after the deadline finds out, and its own time.
        assert!(first >= secs(120) && first <= secs(120 + 60 + 60), "{first:?}");
    }
}

/// Any good answer ends the silence, and so does a refusal: the remote is there.
#[tokio::test(start_paused = true)]
async fn an_answer_within_the_deadline_begins_a_new_one() {
    let limits = Spec { retries: 1000, deadline: secs(100), ..spec(&[]) };
    let rig = Rig::new(limits);
    for (number, answer) in
        [Ok(()), Err(Failure::new(Kind::Rejected, "no")), Ok(())].into_iter().enumerate()
    {
        let began = Instant::now();
        let last = answer.clone();
        let call = rig.start(SEND, move |_| {
            let last = last.clone();
            async move { if began.elapsed() < secs(80) { Err(unavailable()) } else { last } }
        });
        let result = call.await.unwrap().map(|answer| answer.value);
        let kind = |result: Result<(), Failure>| result.map_err(|failure| failure.kind);
        assert_eq!(kind(result), kind(answer), "round {number}");
    }
}

/// Nobody asked during a pause or an idle hour, so the remote was not silent then.
#[tokio::test(start_paused = true)]
async fn time_in_which_nobody_asked_is_no_silence() {
    let rig = Rig::new(Spec { retries: 3, deadline: secs(100), ..spec(&[]) });
    let fail = |failures: u32| {
        rig.start(SEND, move |attempt| async move {
            sleep(ms(20)).await;
            if attempt.number <= failures { Err(unavailable()) } else { Ok(()) }
        })
    };
    let paused = fail(2);
    sleep(ms(50)).await;
    rig.remote.gate().set_paused(true);
    sleep(secs(3600)).await;
    rig.remote.gate().set_paused(false);
    paused.await.unwrap().unwrap();

    let failure = fail(9).await.unwrap().unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    sleep(secs(3600)).await;
    fail(2).await.unwrap().unwrap();
}

/// One caller at a time: the moments between two calls do not hide an outage.
#[tokio::test(start_paused = true)]
async fn silence_adds_up_over_calls_that_follow_each_other() {
    let rig = Rig::new(Spec { retries: 0, deadline: secs(100), ..spec(&[]) });
    let began = Instant::now();
    loop {
        let call = rig.start(SEND, |_| async {
            sleep(secs(1)).await;
            Err::<(), _>(unavailable())
        });
        let failure = call.await.unwrap().unwrap_err();
        if failure.kind == Kind::Away {
            break;
        }
        assert!(began.elapsed() < secs(400), "it never ends");
    }
    assert!(began.elapsed() >= secs(100));
}
