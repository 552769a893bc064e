//! What holds for all policies, whatever comes.

use super::*;
use proptest::prelude::*;

const SOME: &str = "
    [[policies]]
    name = 'a'
    conditions = [{ key = 'user', value = ['a*', 'b'] }, { key = 'model', value = 'm*' }]
    [[policies]]
    name = 'b'
    conditions = [{ key = 'session', value = '*', excludes = true }]
    action = 'mask'
    mask = ['email']
    [[policies]]
    name = 'c'
    where = \"user == 'a' && tokens > 3\"
    conditions = [{ key = 'metadata.k', value = '1' }]
    action = 'drop'
    [[policies]]
    name = 'd'
    type = 'tokens'
    limit = 50
    period = '1m'
    group-by = ['user']
    conditions = [{ key = 'model', value = 'm1' }]
    action = 'refuse'
";

fn some_facts() -> impl Strategy<Value = Facts> {
    let word = |words: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(words).prop_map(str::to_owned))
    };
    (
        word(&["a", "b", "ab", "c"]),
        word(&["s"]),
        word(&["m1", "m2", "x"]),
        word(&["1", "2"]),
        0_u64..10,
    )
        .prop_map(|(user, session, requested_model, metadata, input)| Facts {
            user,
            session,
            requested_model,
            metadata: metadata.map(|value| ("k".to_owned(), value)).into_iter().collect(),
            usage: Usage { input, ..Usage::default() },
            ..Facts::default()
        })
}

proptest! {
    #[test]
    fn a_decision_is_the_same_whether_it_was_kept_or_not(
        events in proptest::collection::vec((some_facts(), 0_u64..20_000), 1..80),
    ) {
        let (keeps, forgets) = (policies(SOME), policies(SOME));
        let mut now = NOW;
        for (facts, later) in &events {
            now += later;
            let subject = subject(facts);
            let kept = keeps.decide(&subject, now);
            let fresh = forgets.judge(&subject, forgets.met_now(&subject), now);
            prop_assert_eq!(&kept, &fresh);
            prop_assert_eq!(keeps.settle(&kept.due, now), forgets.settle(&fresh.due, now));
        }
        prop_assert_eq!(keeps.counts(), forgets.counts());
    }

    #[test]
    fn what_passes_in_a_window_is_over_its_limit_by_less_than_one_event(
        events in proptest::collection::vec((0_u64..400, 0_u64..30_000, 0_u8..3), 1..200),
        limit in 1_u64..1_000,
    ) {
        let policies = policies(&format!(
            "[[policies]]\nname = 'p'\ntype = 'cost'\nlimit = '0.{limit:012}'\nperiod = '1m'\n\
             group-by = ['user']\naction = 'drop'"
        ));
        let mut now = NOW;
        let mut passed = std::collections::HashMap::<(u8, u64), u64>::new();
        for (cost, later, user) in events {
            now += later;
            let facts = by(&user.to_string());
            let subject = Subject { cost_pico: Some(cost), ..subject(&facts) };
            let decision = policies.decide(&subject, now);
            policies.settle(&decision.due, now);
            let sum = passed.entry((user, now / 60_000)).or_default();
            prop_assert_eq!(decision.action == Action::Pass, *sum < limit);
            if decision.action == Action::Pass {
                *sum += cost;
            }
            prop_assert!(*sum < limit + 400);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}", value in "\\PC{0,12}") {
        let store = CounterStore::default();
        let _ = Policies::parse(&text, &store);
        let value = toml::Value::from(value);
        for key in ["name", "limit", "type", "period", "where", "unit", "mask", "group-by"] {
            let rest = "name = 'p'\ntype = 'cost'\nlimit = 1";
            let text = format!("[[policies]]\n{key} = {value}\n{rest}");
            let _ = Policies::parse(&text, &store);
        }
    }
}
