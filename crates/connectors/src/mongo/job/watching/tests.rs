use super::rules::{Hours, Throttle};
use super::{BASELINE, Pings};
use std::time::Duration;
use windlass_engine::remote::Hold;

fn hours(text: &str) -> Hours {
    Throttle::of(&format!("[throttle]\nhours = \"{text}\"")).unwrap().unwrap().hours.unwrap()
}

fn at(hour: i8, minute: i8) -> jiff::civil::Time {
    jiff::civil::time(hour, minute, 0, 0)
}

#[test]
fn hours_may_go_over_midnight() {
    let night = hours("22:00-06:00");
    assert_eq!(night.hold(at(23, 0)), None);
    assert_eq!(night.hold(at(5, 59)), None);
    let reason = "it is 06:00; work is from 22:00 to 06:00".to_owned();
    assert_eq!(night.hold(at(6, 0)), Some(Hold { reason, stops: true }));
    let day = hours("08:00-17:30");
    assert!(day.hold(at(7, 59)).is_some() && day.hold(at(17, 30)).is_some());
    assert_eq!(day.hold(at(12, 0)), None);
}

#[test]
fn a_table_is_read_and_what_is_not_known_is_refused() {
    let text = r#"
        name = "x"
        [throttle]
        lag = "10s"
        queue = 50
        latency = 4.0
        query = { collection = "jobs", filter = '{"state": "running"}', above = 3 }
    "#;
    let throttle = Throttle::of(text).unwrap().unwrap();
    assert_eq!(throttle.lag.unwrap().0, Duration::from_secs(10));
    assert_eq!((throttle.queue, throttle.latency), (Some(50), Some(4.0)));
    let query = throttle.query.unwrap();
    assert_eq!((query.above, query.filter), (3, bson::doc! { "state": "running" }));
    assert!(Throttle::of("[throttle]\nlagg = \"1s\"").unwrap_err().contains("lagg"));
    assert!(Throttle::of("[throttle]\nhours = \"all day\"").is_err());
    assert_eq!(Throttle::of("name = \"x\"").unwrap(), None);
}

#[test]
fn a_slow_server_is_measured_against_its_own_beginning() {
    let mut pings = Pings::default();
    for _ in 0..BASELINE {
        assert_eq!(pings.take(Duration::from_millis(10)), None);
    }
    assert_eq!(pings.take(Duration::from_millis(12)), None, "20 ms is never slow");
    let mut times = None;
    for _ in 0..20 {
        times = pings.take(Duration::from_millis(100));
    }
    assert!(times.unwrap() > 9.0, "{times:?}");
}
