//! Verdicts on the load of this machine, and their hysteresis.

use proptest::prelude::*;

use crate::policy::pressure::{Limits, Load, Pressure, Reason, Verdict};

const SLOW_CPU: Verdict = Verdict::Slow { reason: Reason::Cpu };
const SLOW_MEMORY: Verdict = Verdict::Slow { reason: Reason::Memory };
const STOP_MEMORY: Verdict = Verdict::Stop { reason: Reason::Memory };
const STOP_BOTH: Verdict = Verdict::Stop { reason: Reason::Both };

fn verdicts<const N: usize>(loads: [(f32, f32); N]) -> [Verdict; N] {
    let mut pressure = Pressure::default();
    loads.map(|(cpu, memory)| pressure.observe(Load { cpu, memory }))
}

#[test]
fn worked_example() {
    assert_eq!(
        verdicts([(0.84, 0.1), (0.88, 0.1), (0.83, 0.1), (0.79, 0.1), (0.83, 0.1)]),
        [Verdict::Normal, SLOW_CPU, SLOW_CPU, Verdict::Normal, Verdict::Normal]
    );
    assert_eq!(
        verdicts([(0.1, 0.82), (0.9, 0.82), (0.1, 0.91), (0.1, 0.86), (0.1, 0.84), (0.1, 0.74)]),
        [SLOW_MEMORY, STOP_BOTH, STOP_MEMORY, STOP_MEMORY, SLOW_MEMORY, Verdict::Normal]
    );
}

#[test]
fn a_full_processor_alone_never_stops_work() {
    assert_eq!(verdicts([(1.0, 0.79), (9.0, 0.0)]), [SLOW_CPU, SLOW_CPU]);
}

#[test]
fn what_was_not_measured_changes_nothing() {
    assert_eq!(
        verdicts([(f32::NAN, f32::NAN), (0.9, 0.1), (f32::NAN, f32::NAN), (0.1, f32::NAN)]),
        [Verdict::Normal, SLOW_CPU, SLOW_CPU, Verdict::Normal]
    );
}

#[test]
fn a_memory_limit_near_the_top_can_still_stop() {
    let mut pressure = Pressure::new(Limits { memory: 0.95, ..Limits::default() });
    assert_eq!(pressure.observe(Load { cpu: 0.0, memory: 0.96 }), SLOW_MEMORY);
    assert_eq!(pressure.observe(Load { cpu: 0.0, memory: 0.985 }), STOP_MEMORY);
}

#[test]
fn reasons_read_as_sentences_and_travel_as_words() {
    assert_eq!(Reason::Memory.to_string(), "memory use is above its limit");
    let json = serde_json::to_string(&STOP_BOTH).unwrap();
    assert_eq!(json, r#"{"stop":{"reason":"both"}}"#);
}

proptest! {
    #[test]
    fn calm_is_normal_and_crowded_stops_whatever_came_before(
        limits: (f32, f32, f32), loads in prop::collection::vec((any::<f32>(), any::<f32>()), 0..30)
    ) {
        let (cpu, memory, resume_margin) = limits;
        let mut pressure = Pressure::new(Limits { cpu, memory, resume_margin });
        for (cpu, memory) in loads {
            pressure.observe(Load { cpu, memory });
        }
        prop_assert_eq!(pressure.observe(Load { cpu: 2.0, memory: 2.0 }), STOP_BOTH);
        prop_assert_eq!(pressure.observe(Load { cpu: -2.0, memory: 2.0 }), STOP_MEMORY);
        prop_assert_eq!(pressure.observe(Load { cpu: -2.0, memory: -2.0 }), Verdict::Normal);
    }

    #[test]
    fn a_load_within_the_margin_never_flaps(
        start in 0.0..1.0_f32, wobble in prop::collection::vec(0.801..0.849_f32, 2..40)
    ) {
        let mut pressure = Pressure::default();
        let first = pressure.observe(Load { cpu: start, memory: 0.0 });
        for cpu in wobble {
            prop_assert_eq!(pressure.observe(Load { cpu, memory: 0.0 }), first);
        }
    }
}
