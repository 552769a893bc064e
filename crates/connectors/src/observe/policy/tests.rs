//! Policies from their text to what they decide.

mod properties;

use super::*;
use crate::observe::event::{Facts, Kind, Usage};

/// A Friday, at 10:00:00 UTC.
const NOW: u64 = 1_795_168_800_000;
const DOLLAR: u64 = 1_000_000_000_000;

fn policies(text: &str) -> Policies {
    Policies::parse(text, &CounterStore::default()).unwrap()
}

fn refused(text: &str) -> (String, String) {
    let error = Policies::parse(text, &CounterStore::default()).unwrap_err();
    (error.to_string(), error.hint().to_owned())
}

fn facts() -> Facts {
    Facts {
        name: "answer".into(),
        class: "generation".into(),
        user: Some("ann".into()),
        session: Some("s-1".into()),
        environment: Some("production".into()),
        model: Some("gpt-4o-2024-08-06".into()),
        requested_model: Some("gpt-4o".into()),
        provider: Some("openai".into()),
        usage: Usage { input: 100, output: 50, ..Usage::default() },
        prompt: Some("greeting:3".into()),
        metadata: [("team".to_owned(), "x".to_owned())].into(),
        start_ns: NOW * 1_000_000,
        end_ns: (NOW + 1_500) * 1_000_000,
        ..Facts::default()
    }
}

fn subject(facts: &Facts) -> Subject<'_> {
    let (project, key_name) = ("prod", "key-1");
    Subject { project, key_name, kind: Kind::Span, facts, cost_pico: Some(DOLLAR) }
}

fn by(user: &str) -> Facts {
    Facts { user: Some(user.into()), ..facts() }
}

/// Decides, and settles as if the event were stored.
fn pass(policies: &Policies, facts: &Facts, now_ms: u64) -> (Decision, Vec<Alert>) {
    let decision = policies.decide(&subject(facts), now_ms);
    let alerts = policies.settle(&decision.due, now_ms);
    (decision, alerts)
}

fn is_over(policies: &Policies, facts: &Facts, now_ms: u64) -> bool {
    !pass(policies, facts, now_ms).0.flags.is_empty()
}

#[test]
fn every_key_can_be_asked_about() {
    for (condition, holds) in [
        ("key = 'workspace', value = 'prod'", true),
        ("key = 'project', value = 'pro'", false),
        ("key = 'workspace_id', value = 'p*'", true),
        ("key = 'api_key', value = ['key-2', 'key-1']", true),
        ("key = 'user', value = 'ann'", true),
        ("key = 'user', value = 'Ann'", false),
        ("key = 'user', value = 'ann', excludes = true", false),
        ("key = 'user', value = 'bob', excludes = true", true),
        ("key = 'session', value = '*'", true),
        ("key = 'environment', value = ['staging', 'dev*']", false),
        ("key = 'provider', value = 'OpenAI'", true),
        ("key = 'model', value = ['GPT-4*', 'o3']", true),
        ("key = 'model', value = 'gpt-4o-2024*'", false),
        ("key = 'name', value = 'ans*er'", true),
        ("key = 'type', value = 'generation'", true),
        ("key = 'kind', value = 'message'", false),
        ("key = 'kind', value = 'span'", true),
        ("key = 'prompt', value = 'greeting:*'", true),
        ("key = 'config', value = '*:3'", true),
        ("key = 'metadata.team', value = 'x'", true),
        ("key = 'metadata.other', value = '*'", false),
        ("key = 'metadata.other', value = '*', excludes = true", true),
    ] {
        let text = format!("[[policies]]\nname = 'p'\nconditions = [{{ {condition} }}]");
        let decision = policies(&text).decide(&subject(&facts()), NOW);
        assert_eq!(decision.flags, ["p"][..usize::from(holds)], "{condition}");
        assert_eq!((decision.action, decision.due), (Action::Pass, Vec::new()));
    }
}

#[test]
fn all_conditions_must_hold() {
    let both = policies(
        "[[policies]]\nname = 'p'\nconditions = [\
         { key = 'user', value = 'ann' }, { key = 'model', value = 'gpt*' }]",
    );
    assert_eq!(both.decide(&subject(&facts()), NOW).flags, ["p"]);
    assert!(both.decide(&subject(&by("bob")), NOW).flags.is_empty());
    let other = Facts { requested_model: None, model: Some("o3".into()), ..facts() };
    assert!(both.decide(&subject(&other), NOW).flags.is_empty());
}

#[test]
fn cel_asks_about_everything_that_is_known() {
    for (clause, holds, errors) in [
        ("cost_usd > 0.5 && metadata.team == 'x'", true, 0),
        ("cost_usd > 1.5", false, 0),
        ("tokens == 150 && input_tokens == 100 && output_tokens == 50", true, 0),
        ("workspace == 'prod' && project == 'prod' && api_key == 'key-1'", true, 0),
        ("user == 'ann' && session == 's-1' && environment == 'production'", true, 0),
        ("provider == 'openai' && model == 'gpt-4o' && response_model.startsWith('gpt')", true, 0),
        ("name == 'answer' && type == 'generation' && kind == 'span'", true, 0),
        ("prompt.endsWith(':3') && service_tier == null", true, 0),
        ("duration_ms == 1500 && !is_error && !is_debug && !is_root", true, 0),
        ("at_ms == 1795168800000", true, 0),
        ("metadata.exists(key, key == 'team')", true, 0),
        ("has(metadata.team) && !has(metadata.other)", true, 0),
        ("metadata.other == 'x'", false, 1),
        ("cost_usd", false, 1),
        ("service_tier > 5", false, 1),
    ] {
        let text = format!("[[policies]]\nname = 'p'\nwhere = \"{clause}\"");
        let policies = policies(&text);
        let decision = policies.decide(&subject(&facts()), NOW);
        assert_eq!(decision.flags, ["p"][..usize::from(holds)], "{clause}");
        assert_eq!(policies.counts()[0].errors, errors, "{clause}");
        assert_eq!(policies.counts()[0].matched, u64::from(holds), "{clause}");
    }
    let facts = facts();
    let unknown = Subject { cost_pico: None, ..subject(&facts) };
    let policies = policies("[[policies]]\nname = 'p'\nwhere = 'cost_usd > 0.1'");
    assert!(policies.decide(&unknown, NOW).flags.is_empty());
    assert_eq!(policies.counts()[0].errors, 1);
}

const ACTIONS: &str = "
    [[policies]]
    name = 'f'
    [[policies]]
    name = 'a'
    action = 'alert'
    [[policies]]
    name = 'm'
    action = 'mask'
    mask = ['email', 'own']
    [[policies]]
    name = 'm2'
    action = 'mask'
    mask = ['email', 'ip']
    [[policies]]
    name = 'd'
    action = 'drop'
    conditions = [{ key = 'user', value = 'bob' }]
    [[policies]]
    name = 'r'
    action = 'refuse'
    message = 'not you'
    retry-after = '5m'
    conditions = [{ key = 'user', value = ['bob', 'eve'] }]
    [[policies]]
    name = 'budget'
    type = 'requests'
    limit = 5
";

#[test]
fn every_action_says_what_to_do() {
    let policies = policies(ACTIONS);
    let decision = policies.decide(&subject(&facts()), NOW);
    let alert =
        Alert { policy: "a".into(), group: String::new(), reason: Reason::Matched, at_ms: NOW };
    assert_eq!(decision.alerts, [alert]);
    assert_eq!(decision.flags, ["f"]);
    assert_eq!(decision.masks, ["email", "own", "ip"].map(Arc::from));
    assert_eq!((decision.action, decision.due.len()), (Action::Pass, 1));
    let bob = policies.decide(&subject(&by("bob")), NOW);
    assert_eq!(bob, Decision { action: Action::Drop("d".into()), ..Decision::default() });
    let eve = policies.decide(&subject(&by("eve")), NOW);
    let (message, retry_after) = ("not you".to_owned(), Duration::from_secs(300));
    assert_eq!(eve.action, Action::Refuse { policy: "r".into(), message, retry_after });
    assert!(eve.due.is_empty() && eve.flags.is_empty());
    let masks: Vec<_> = policies.masks().collect();
    assert_eq!(masks, [("m", "email"), ("m", "own"), ("m2", "email"), ("m2", "ip")]);
}

#[test]
fn what_policies_did_is_counted() {
    let policies = policies(ACTIONS);
    for user in ["ann", "bob", "eve"] {
        let (decision, _) = pass(&policies, &by(user), NOW);
        assert_eq!(decision.alerts.len(), usize::from(user == "ann"), "once a minute");
    }
    let again = policies.decide(&subject(&facts()), NOW + 60_000);
    assert_eq!(again.alerts.len(), 1);
    let counts = policies.counts();
    let count = |place: usize| counts[place].clone();
    let of = |name: &str| PolicyCounts { name: name.into(), ..PolicyCounts::default() };
    assert_eq!(count(0), PolicyCounts { matched: 4, flagged: 4, ..of("f") });
    assert_eq!(count(1), PolicyCounts { matched: 4, alerted: 2, ..of("a") });
    assert_eq!(count(2), PolicyCounts { matched: 4, masked: 4, ..of("m") });
    assert_eq!(count(4), PolicyCounts { matched: 1, dropped: 1, ..of("d") });
    assert_eq!(count(5), PolicyCounts { matched: 1, refused: 1, ..of("r") });
    assert_eq!(count(6), PolicyCounts { matched: 2, groups: 1, ..of("budget") });
}

#[test]
fn a_limit_that_is_just_reached_is_kept_and_the_next_is_over() {
    for (kind, limit, passes) in [("requests", "3", 3), ("tokens", "450", 3), ("cost", "2.5", 3)] {
        let text =
            format!("[[policies]]\nname = 'p'\ntype = '{kind}'\nlimit = '{limit}'\nperiod = '1h'");
        let policies = policies(&text);
        let over: Vec<bool> = (0..5).map(|_| is_over(&policies, &facts(), NOW)).collect();
        let expected: Vec<bool> = (0..5).map(|place| place >= passes).collect();
        assert_eq!(over, expected, "{kind}");
        assert!(!is_over(&policies, &facts(), NOW + 3_600_000), "{kind}");
    }
    let none = policies("[[policies]]\nname = 'p'\ntype = 'cost'\nlimit = 0");
    assert!(is_over(&none, &facts(), NOW));
}

#[test]
fn what_is_not_stored_is_not_counted() {
    let policies = policies("[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 1");
    for _ in 0..10 {
        assert!(policies.decide(&subject(&facts()), NOW).flags.is_empty());
    }
    let decision = policies.decide(&subject(&facts()), NOW);
    policies.settle(&decision.due, NOW);
    assert_eq!(policies.decide(&subject(&facts()), NOW).flags, ["p"]);
}

#[test]
fn groups_have_limits_of_their_own() {
    let policies = policies(
        "[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 1\ngroup-by = ['user', 'session']",
    );
    let of = |user: Option<&str>, session: Option<&str>| Facts {
        user: user.map(str::to_owned),
        session: session.map(str::to_owned),
        ..facts()
    };
    let long = "x".repeat(1_000);
    let groups = [
        of(Some("a"), Some("b")),
        of(Some("a"), None),
        of(None, Some("a")),
        of(None, None),
        of(Some("-"), None),
        of(Some("1:a"), Some("b")),
        of(Some("a1:b"), None),
        of(Some(&long), None),
        of(Some(&format!("{long}y")), None),
        of(Some(""), Some("")),
    ];
    for facts in &groups {
        assert!(!is_over(&policies, facts, NOW), "{:?} {:?}", facts.user, facts.session);
    }
    for facts in &groups {
        assert!(is_over(&policies, facts, NOW), "{:?} {:?}", facts.user, facts.session);
    }
    assert_eq!(policies.counts()[0].groups, 10);
}

#[test]
fn the_number_of_groups_is_bounded_and_what_goes_is_counted() {
    let text = "[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 1\ngroup-by = ['user']";
    let policies = Policies::parse(text, &CounterStore::with_groups_max(2)).unwrap();
    for user in ["ann", "bob", "eve"] {
        assert!(!is_over(&policies, &by(user), NOW));
    }
    assert!(is_over(&policies, &by("eve"), NOW));
    assert!(is_over(&policies, &by("bob"), NOW));
    assert!(!is_over(&policies, &by("ann"), NOW), "the oldest had to go");
    let counts = &policies.counts()[0];
    assert_eq!((counts.groups, counts.evicted), (2, 2));
}

#[test]
fn alerts_come_once_when_an_amount_comes_to_its_threshold() {
    let policies = policies(
        "[[policies]]\nname = 'p'\ntype = 'cost'\nlimit = '3.00'\nalert-threshold = '1.50'\n\
         action = 'alert'\ngroup-by = ['user', 'metadata.none']\nperiod = 'monthly'",
    );
    let words = |now| -> Vec<String> {
        let (decision, alerts) = pass(&policies, &facts(), now);
        assert!(decision.alerts.is_empty() && decision.flags.is_empty());
        alerts.iter().map(ToString::to_string).collect()
    };
    let said: Vec<Vec<String>> = (0..5).map(|_| words(NOW)).collect();
    let at = |used: &str| {
        vec![format!("policy `p` for user=ann, metadata.none=-: {used} USD of 3 USD used")]
    };
    assert_eq!(said, [vec![], at("2"), at("3"), vec![], vec![]]);
    assert_eq!(words(NOW + 31 * 86_400_000), Vec::<String>::new());
    assert_eq!(words(NOW + 31 * 86_400_000), at("2"));
    assert_eq!(policies.counts()[0].alerted, 3);
}

#[test]
fn a_client_is_sent_away_for_the_rest_of_the_period() {
    let policies = |more: &str| {
        policies(&format!(
            "[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 0\naction = 'refuse'\n{more}"
        ))
    };
    for (more, now, seconds) in [
        ("period = '30s'", NOW + 12_001, 18),
        ("period = '30s'", NOW + 29_999, 1),
        ("period = '1h'", NOW, 60),
        ("period = '1h'", NOW + 3_590_000, 10),
        ("period = 'daily'\nretry-after = '1d'", NOW, 86_400),
        ("", NOW, 60),
    ] {
        let Action::Refuse { retry_after, .. } =
            policies(more).decide(&subject(&facts()), now).action
        else {
            panic!("it is over");
        };
        assert_eq!(retry_after, Duration::from_secs(seconds), "{more}");
    }
    let decision = policies("group-by = ['user']").decide(&subject(&facts()), NOW);
    let Action::Refuse { message, .. } = decision.action else { panic!("it is over") };
    assert_eq!(message, "the policy `p` allows 0 requests for user=ann, and they are used up");
}

#[test]
fn counters_outlive_new_policies_and_a_new_program() {
    let text = |limit: u32, period: &str, user: &str| {
        format!(
            "[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = {limit}\nperiod = '{period}'\n\
             group-by = ['{user}']"
        )
    };
    let store = CounterStore::default();
    let first = Policies::parse(&text(2, "1d", "user"), &store).unwrap();
    assert_eq!([(); 3].map(|()| is_over(&first, &facts(), NOW)), [false, false, true]);
    let raised = Policies::parse(&text(4, "1d", "user"), &first.counters()).unwrap();
    assert_eq!([(); 2].map(|()| is_over(&raised, &facts(), NOW)), [false, true]);
    assert_eq!(raised.counts()[0].matched, 5);
    for changed in [text(1, "1h", "user"), text(1, "1d", "session")] {
        let changed = Policies::parse(&changed, &store).unwrap();
        assert!(!is_over(&changed, &facts(), NOW));
    }
    let next = CounterStore::default();
    next.restore(&store.snapshot()).unwrap();
    let next = Policies::parse(&text(4, "1d", "user"), &next).unwrap();
    assert!(is_over(&next, &facts(), NOW));
    assert!(!is_over(&next, &by("bob"), NOW));
}

#[test]
fn what_was_decided_under_other_policies_is_settled_there() {
    let old = policies("[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 1");
    let decision = old.decide(&subject(&facts()), NOW);
    let new = Policies::parse("[[policies]]\nname = 'q'", &old.counters()).unwrap();
    new.settle(&decision.due, NOW);
    assert!(is_over(&old, &facts(), NOW));
}

#[test]
fn budgets_of_portkey_are_taken_as_they_are() {
    let policies = policies(
        r#"[{"name": "usage", "type": "cost", "credit_limit": 2, "alert_threshold": 1.5,
             "conditions": [{"key": "workspace", "value": "prod"},
                            {"key": "model", "value": ["gpt-4*"], "excludes": false}],
             "group_by": [{"key": "api_key"}, {"key": "metadata.team"}],
             "periodic_reset": "weekly"},
            {"name": "rate", "type": "requests", "unit": "rpm", "value": 3,
             "conditions": [{"key": "provider", "value": "*"}], "group_by": [{"key": "user"}]},
            {"name": "days", "type": "tokens", "credit_limit": 200, "periodic_reset_days": 30}]"#,
    );
    assert_eq!(policies.len(), 3);
    let flags = |now| pass(&policies, &facts(), now).0.flags;
    let said: Vec<Vec<String>> = (0..4).map(|_| flags(NOW)).collect();
    let expected: [&[&str]; 4] = [&[], &[], &["usage", "days"], &["usage", "rate", "days"]];
    assert_eq!(said, expected);
    assert_eq!(flags(NOW + 60_000), ["usage", "days"]);
    assert_eq!(flags(NOW + 7 * 86_400_000), ["days"]);
    let one = r#"{"name": "one"}"#;
    let list = r#"{"policies": [{"name": "one"}, {"name": "two", "enabled": false}]}"#;
    for text in [one, list] {
        assert_eq!(Policies::parse(text, &CounterStore::default()).unwrap().len(), 1);
    }
    for text in ["", "[]", "{\"policies\": []}", "# nothing\n"] {
        assert!(Policies::parse(text, &CounterStore::default()).unwrap().is_empty(), "{text}");
    }
}

/// What is written, what is said of it, and what to do.
const MISTAKES: [(&str, &str, &str); 20] = [
    ("limt = 5", "has an unknown key `limt`", "did you mean `limit`?"),
    ("type = 'csot'\nlimit = 1", "has an unknown type `csot`", "did you mean `cost`?"),
    ("type = 'cost'", "has a `type` but no `limit`", "write limit = \"25.00\""),
    ("type = 'cost'\nlimit = '-1'", "has a bad `limit` \"-1\"", "write US dollars as \"25.00\""),
    ("type = 'tokens'\nlimit = 1.5", "has a bad `limit` 1.5", "write a whole number"),
    (
        "limit = 5",
        "has `limit` but no `type` that it counts",
        "write type = \"cost\", \"tokens\" or \"requests\"",
    ),
    (
        "type = 'cost'\nlimit = 5\nperiod = 'yearly'",
        "has a bad period `yearly`",
        "write 30s, 1m, 1h, 7d, daily, weekly or monthly",
    ),
    (
        "type = 'cost'\nlimit = 5\nalert-threshold = 5",
        "has an `alert-threshold` that is not between 0 and its limit",
        "set it below the limit",
    ),
    ("type = 'cost'\nlimit = 5\nvalue = 6", "has both `limit` and `value`", "keep one of them"),
    (
        "type = 'cost'\nlimit = 5\nunit = 'rpm'\nperiod = '1h'",
        "has more than one period",
        "keep one of them",
    ),
    (
        "action = 'block'",
        "has an unknown action `block`",
        "known are flag, mask, drop, refuse, alert",
    ),
    ("action = 'refsue'", "has an unknown action `refsue`", "did you mean `refuse`?"),
    (
        "action = 'mask'",
        "needs both `action = \"mask\"` and `mask`, or neither",
        "write mask = [\"email\"]",
    ),
    (
        "message = 'x'",
        "has a `message` or `retry-after` but refuses nothing",
        "write action = \"refuse\"",
    ),
    (
        "type = 'cost'\nlimit = 0\naction = 'alert'",
        "alerts at a limit of 0, which nothing reaches",
        "raise the limit",
    ),
    (
        "conditions = [{ key = 'usr', value = 'x' }]",
        "names an unknown key `usr`",
        "did you mean `user`?",
    ),
    (
        "conditions = [{ key = 'user', values = 'x' }]",
        "has a condition with an unknown key `values`",
        "did you mean `value`?",
    ),
    (
        "conditions = [{ key = 'user', value = [] }]",
        "has a condition on `user` without a proper `value`",
        "write value = \"x\", a list of texts, or \"*\" for any",
    ),
    (
        "type = 'cost'\nlimit = 1\ngroup-by = ['metadata.']",
        "names an unknown key `metadata.`",
        "did you mean `metadata.NAME`?",
    ),
    (
        "where = 'cost > 1'",
        "has a `where` that names the unknown `cost`",
        "did you mean `cost_usd`?",
    ),
];

#[test]
fn mistakes_are_told_with_the_policy_and_what_to_do() {
    for (text, what, hint) in MISTAKES {
        let (said, hinted) = refused(&format!("[[policies]]\nname = 'p'\n{text}"));
        assert_eq!((said, hinted.as_str()), (format!("the policy `p` {what}"), hint), "{text}");
    }
    let (said, _) = refused("[[policies]]\nname = 'p'\nwhere = 'cost_usd >'");
    assert!(said.starts_with("the policy `p` has a `where` that is no CEL: "), "{said}");
    for (text, what) in [
        ("[[policies]]\nlimit = 1", "the policies have no proper `name` at place 1"),
        ("[[policy]]\nname = 'p'", "the policies have an unknown key `policy` beside them"),
        ("policies = 5", "the policies are no list of tables"),
        (
            "[[policies]]\nname = 'p'\n[[policies]]\nname = 'p'",
            "the policy `p` has the name of another one",
        ),
    ] {
        assert_eq!(refused(text).0, what);
    }
    assert!(refused("[[policies]").0.starts_with("the policies are no TOML: "));
    assert!(refused("{\"a\"").0.starts_with("the policies are no JSON: "));
    let many: String = (0..257).map(|place| format!("[[policies]]\nname = 'p{place}'\n")).collect();
    assert_eq!(refused(&many).0, "the policies are 257, and 256 is the most");
}

#[test]
fn all_256_policies_are_asked() {
    let many: String = (0..256).map(|place| format!("[[policies]]\nname = 'p{place}'\n")).collect();
    let expected: Vec<String> = (0..256).map(|place| format!("p{place}")).collect();
    assert_eq!(policies(&many).decide(&subject(&facts()), NOW).flags, expected);
}

#[test]
fn what_attributes_decide_is_kept_for_a_minute() {
    let policies =
        policies("[[policies]]\nname = 'p'\nconditions = [{ key = 'user', value = 'a*' }]");
    let key = policies.key(&subject(&facts()));
    let (one, other) = (facts(), Facts { name: "else".into(), session: None, ..facts() });
    assert_eq!(key, policies.key(&subject(&other)), "nothing is read but the user");
    assert_ne!(key, policies.key(&subject(&by("bob"))));
    let kept = |at_ms| policies.kept.insert(key, Kept { met: Met::default(), at_ms });
    kept(NOW);
    let flags = |now| policies.decide(&subject(&one), now).flags.len();
    assert_eq!([flags(NOW), flags(NOW + 59_999)], [0, 0], "it is what was kept");
    assert_eq!([flags(NOW + 60_000), flags(NOW + 60_001)], [1, 1], "it was found anew");
    kept(NOW);
    assert_eq!(flags(NOW - 1), 1, "the clock went back");
}

#[test]
fn doors_at_work_at_once_run_past_a_limit_by_what_is_in_flight() {
    let policies =
        policies("[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 100\naction = 'drop'");
    let stored = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let decision = policies.decide(&subject(&facts()), NOW);
                    if decision.action == Action::Pass {
                        stored.fetch_add(1, Ordering::Relaxed);
                        policies.settle(&decision.due, NOW);
                    }
                }
            });
        }
    });
    let stored = stored.into_inner();
    assert!((100..=103).contains(&stored), "{stored}");
}
