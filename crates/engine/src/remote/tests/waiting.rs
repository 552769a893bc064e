//! Whoever waits at the gate: for the quota, behind others, for a resume, until a stop.

use super::*;
use crate::event::Waiting;

/// Requests that take 20 ms and note their name and when they began.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<(u64, Instant)>>>);

impl Wire {
    fn call(&self, rig: &Rig, operation: usize, name: u64) -> Calling<u64> {
        let log = Arc::clone(&self.0);
        rig.start(operation, move |_| {
            log.lock().unwrap().push((name, Instant::now()));
            async move {
                sleep(ms(20)).await;
                Ok(name)
            }
        })
    }

    fn log(&self) -> Vec<(u64, Instant)> {
        self.0.lock().unwrap().clone()
    }
}

async fn all(calls: Vec<Calling<u64>>) {
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn first_come_is_first_served() {
    let rig = Rig::new(Spec { concurrency: ConcurrencySpec::Fixed(3), ..spec(&["2/100ms"]) });
    let wire = Wire::default();
    let mut calls = Vec::new();
    for name in 0..30 {
        calls.push(wire.call(&rig, SEND, name));
        sleep(ms(3)).await;
    }
    all(calls).await;
    let order: Vec<_> = wire.log().into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, (0..30).collect::<Vec<_>>());
}

/// The two kinds of requests compete for one window; neither may starve.
#[tokio::test(start_paused = true)]
async fn no_operation_starves_the_other() {
    let rig = Rig::new(spec(&["1/100ms"]));
    let wire = Wire::default();
    let calls = (0..40).map(|name| wire.call(&rig, (name % 2) as usize, name)).collect();
    all(calls).await;
    let early: Vec<_> = wire.log().into_iter().take(20).collect();
    let even = early.iter().filter(|(name, _)| name % 2 == 0).count();
    assert!((5..=15).contains(&even), "{even} of the first 20");
}

/// Every way of waiting, at the head of the queue and behind it, ends at once with a stop, and
/// what was taken is given back.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_wait_at_once() {
    type Prepare = fn(&Rig);
    let nothing: Prepare = |_| {};
    let paused: Prepare = |rig| rig.remote.gate().set_paused(true);
    let told: Prepare = |rig| rig.remote.gate().told(0, secs(1000));
    let cases: [(&[&str], Prepare, Waiting); 3] = [
        (&["1/1h"], nothing, Waiting::Quota("1/1h".into())),
        (&[], paused, Waiting::Paused),
        (&[], told, Waiting::Told),
    ];
    for (windows, prepare, waiting) in cases {
        let rig = Rig::new(spec(windows));
        let wire = Wire::default();
        wire.call(&rig, SEND, 0).await.unwrap().unwrap();
        prepare(&rig);
        let calls: Vec<_> = (1..6).map(|name| wire.call(&rig, SEND, name)).collect();
        sleep(secs(100)).await;
        assert_eq!(rig.remote.meter().waiting, Some(waiting.clone()));
        let stopped_at = Instant::now();
        rig.context.stop.drain();
        for call in calls {
            let failure = call.await.unwrap().unwrap_err();
            assert_eq!((failure.kind, failure.may_have_happened), (Kind::Cancelled, false));
        }
        assert_eq!((stopped_at.elapsed(), wire.log().len()), (Duration::ZERO, 1), "{waiting:?}");
        let meter = rig.remote.meter();
        assert_eq!(meter.in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_back_off_and_tells_what_is_in_doubt() {
    for lost in [false, true] {
        for failure in
            [throttled(Some(secs(500))), Failure { wait: Some(secs(500)), ..unavailable() }]
        {
            let rig = Rig::new(spec(&["10/1s"]));
            let failure = Failure { may_have_happened: lost, ..failure };
            let call = rig.start(SEND, move |_| {
                let failure = failure.clone();
                async move { Err::<(), _>(failure) }
            });
            sleep(secs(10)).await;
            assert!(!call.is_finished());
            let meter = rig.remote.meter();
            assert!(meter.in_flight == 0 && meter.windows[0].available >= 8, "{meter:?}");
            let stopped_at = Instant::now();
            rig.context.stop.drain();
            let failure = call.await.unwrap().unwrap_err();
            assert_eq!((failure.kind, failure.may_have_happened), (Kind::Cancelled, lost));
            assert_eq!(stopped_at.elapsed(), Duration::ZERO);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_on_the_wire_is_answered_although_a_stop_was_asked_for() {
    let rig = Rig::new(spec(&[]));
    let wire = Wire::default();
    let call = wire.call(&rig, SEND, 1);
    settle().await;
    rig.context.stop.drain();
    assert_eq!(call.await.unwrap().unwrap().value, 1);
    let late = wire.call(&rig, SEND, 2).await.unwrap().unwrap_err();
    assert_eq!((late.kind, wire.log().len()), (Kind::Cancelled, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everything_until_the_resume() {
    let rig = Rig::new(spec(&["100/1s"]));
    let wire = Wire::default();
    let running = wire.call(&rig, SEND, 0);
    settle().await;
    rig.remote.gate().set_paused(true);
    let calls: Vec<_> = (1..5).map(|name| wire.call(&rig, (name % 2) as usize, name)).collect();
    running.await.unwrap().unwrap();
    sleep(secs(3600)).await;
    let meter = rig.remote.meter();
    assert_eq!((wire.log().len(), meter.paused, meter.waiting), (1, true, Some(Waiting::Paused)));
    let resumed = Instant::now();
    rig.remote.gate().set_paused(false);
    all(calls).await;
    assert_eq!(resumed.elapsed(), ms(20));
    let meter = rig.remote.meter();
    assert_eq!((meter.paused, meter.waiting), (false, None));
}

fn most_in_any(span: Duration, log: &[(u64, Instant)]) -> usize {
    let within =
        |start: Instant| log.iter().filter(move |(_, at)| *at >= start && *at < start + span);
    log.iter().map(|(_, start)| within(*start).count()).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_a_ceiling_over_the_windows() {
    for (rate, span, most) in [(5.0, secs(1), 5), (2.5, ms(800), 2), (0.2, secs(5), 1)] {
        let rig = Rig::new(Spec { rate: Some(rate), ..spec(&["1000/1s"]) });
        let wire = Wire::default();
        all((0..25).map(|name| wire.call(&rig, (name % 2) as usize, name)).collect()).await;
        let log = wire.log();
        assert_eq!(most_in_any(span, &log), most, "{rate} a second");
        let took = log[24].1.duration_since(log[0].1).as_secs_f64();
        let expected = 25.0 / rate;
        assert!(took <= expected * 1.06 && took >= expected * 0.75, "{rate} a second: {took} s");
        assert_eq!(rig.remote.meter().rate, Some(rate));
    }
}

/// The rate is set while requests are on the wire whose permits belong to the ceiling before.
#[tokio::test(start_paused = true)]
async fn the_rate_may_change_while_requests_are_on_the_wire() {
    let rig = Rig::new(spec(&["1000/1s"]));
    let wire = Wire::default();
    let mut calls: Vec<_> = (0..10).map(|name| wire.call(&rig, SEND, name)).collect();
    for rate in [Some(100.0), Some(7.0), None, Some(3.0)] {
        sleep(ms(10)).await;
        rig.remote.gate().set_rate(rate);
        calls.extend((0..6).map(|name| wire.call(&rig, SEND, name)));
    }
    let set = Instant::now();
    all(calls).await;
    let log: Vec<_> = wire.log().into_iter().filter(|(_, at)| *at >= set).collect();
    assert_eq!((log.len(), most_in_any(secs(1), &log)), (6, 3));
    rig.remote.gate().set_rate(None);
    let began = Instant::now();
    all((0..50).map(|name| wire.call(&rig, SEND, name)).collect()).await;
    assert_eq!(began.elapsed(), ms(20));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_place_and_its_permit_back() {
    let concurrency = ConcurrencySpec::Fixed(1);
    let rig = Rig::new(Spec { concurrency, timeout: secs(1000), ..spec(&["1/10s"]) });
    let wire = Wire::default();
    let hanging = rig.start(SEND, |_| std::future::pending::<Result<(), Failure>>());
    settle().await;
    let waiting: Vec<_> = (1..4).map(|name| wire.call(&rig, SEND, name)).collect();
    sleep(secs(100)).await;
    let meter = rig.remote.meter();
    assert_eq!((meter.in_flight, meter.waiting), (1, Some(Waiting::Concurrency)));
    hanging.abort();
    waiting[0].abort();
    let dropped = Instant::now();
    for call in waiting.into_iter().skip(1) {
        call.await.unwrap().unwrap();
    }
    // The dropped request may have been counted by the remote at any time until now.
    let log = wire.log();
    assert_eq!((log[0].0, log[0].1.duration_since(dropped)), (2, secs(10)));
    assert_eq!((log[1].0, log[1].1.duration_since(dropped)), (3, ms(20_020)));
    assert_eq!(rig.remote.meter().in_flight, 0);
}

/// The remote's own word counts, even where no window of ours is full.
#[tokio::test(start_paused = true)]
async fn nothing_left_holds_requests_until_the_reset() {
    for left in 0..4u32 {
        let rig = Rig::new(spec(&["1000/1s"]));
        let answer = rig.start(SEND, move |attempt| async move {
            sleep(ms(20)).await;
            attempt.told(left, secs(30));
            Ok(())
        });
        answer.await.unwrap().unwrap();
        let told = Instant::now();
        let wire = Wire::default();
        all((0..10).map(|name| wire.call(&rig, (name % 2) as usize, name)).collect()).await;
        let log = wire.log();
        let early = log.iter().filter(|(_, at)| at.duration_since(told) < secs(30)).count();
        assert_eq!(early, left as usize);
        assert!(log[9].1.duration_since(told) < secs(31), "{:?}", log[9].1.duration_since(told));
    }
}

/// A watch that stops lets nothing but vital requests through; one that slows lets one through at a
/// time; both are told by their reasons.
#[tokio::test(start_paused = true)]
async fn what_is_watched_holds_new_work_up() {
    let mut slowed = spec(&[]);
    slowed.operations[INSERT].vital = true;
    let rig = Rig::new(slowed);
    let wire = Wire::default();
    let gate = rig.remote.gate();
    let hold = |stops| Some(Hold { reason: "lag is 12 s".into(), stops });
    assert!(gate.hold("lag", hold(true)) && !gate.hold("lag", hold(true)));
    let held = wire.call(&rig, SEND, 0);
    wire.call(&rig, INSERT, 1).await.unwrap().unwrap();
    assert_eq!(wire.log().len(), 1, "only what is vital began");
    assert_eq!(gate.meter().waiting, Some(Waiting::Held("lag is 12 s".into())));
    assert!(gate.hold("lag", hold(false)));
    held.await.unwrap().unwrap();
    let began = Instant::now();
    all((2..5).map(|name| wire.call(&rig, SEND, name)).collect()).await;
    assert_eq!(began.elapsed(), ms(60), "one at a time");
    assert!(gate.hold("lag", None) && !gate.hold("lag", None));
    let began = Instant::now();
    all((5..8).map(|name| wire.call(&rig, SEND, name)).collect()).await;
    assert_eq!(began.elapsed(), ms(20), "all at once");
}
