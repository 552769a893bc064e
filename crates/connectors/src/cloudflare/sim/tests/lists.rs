//! Pages of keys: their order, their ends, their cursors, and when changes are seen in them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_walk_is_complete_in_byte_order_and_takes_as_few_pages_as_there_can_be() {
    let (sim, ns) = with_namespace(Options { odd_keys: true, ..with_keys(3_000) });
    for key in ["", "0000", "zz/über", "日本", "~", "!"].iter().filter(|key| !key.is_empty()) {
        assert!(sim.put(&ns, key, b"v", None, None));
    }
    for (limit, pages) in [(1_000, 4), (10, 301), (999, 4)] {
        let walked = walk(&sim, &ns, &format!("limit={limit}")).await;
        assert_eq!(walked.len(), pages, "by {limit}");
        let names: Vec<String> = walked.iter().flat_map(names).collect();
        assert_eq!(names.len(), 3_005);
        assert!(names.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
        assert_eq!(names, sim.keys(&ns));
        assert_eq!((names[0].as_str(), names[3_004].as_str()), ("!", "日本"));
    }
    assert_eq!(sim.counts().list, 309);
}

#[tokio::test(start_paused = true)]
async fn the_default_page_is_the_longest_and_the_last_full_one_has_no_cursor() {
    let (sim, ns) = with_namespace(with_keys(2_000));
    let pages = walk(&sim, &ns, "").await;
    let counts: Vec<&Value> = pages.iter().map(|page| &page["result_info"]["count"]).collect();
    assert_eq!(counts, [1_000, 1_000]);
    let empty = sim.namespace_ids()[1].clone();
    let (status, page) = get(&sim, &kv(&empty, "/keys")).await;
    assert_eq!((status, &page["result"]), (200, &json!([])));
    assert_eq!(page["result_info"], json!({"count": 0, "cursor": ""}));
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_between_10_and_1000() {
    let (sim, ns) = with_namespace(with_keys(20));
    for (limit, expected) in [("10", 200), ("1000", 200), ("9", 400), ("1001", 400), ("-1", 400)] {
        let path = kv(&ns, &format!("/keys?limit={limit}"));
        let reply = get(&sim, &path).await;
        assert_eq!(reply.0, expected, "{limit}");
        if expected == 400 {
            assert_eq!(refusal(&reply), (400, 10_001));
        }
    }
    assert_eq!(refusal(&get(&sim, &kv(&ns, "/keys?limit=ten")).await), (400, 10_001));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_selects_by_bytes_and_an_exact_match_counts() {
    let (sim, ns) = with_namespace(with_keys(4_096));
    for key in ["a b/ü", "a b/ü/1", "a b/u", "a+b", "a"] {
        sim.put(&ns, key, b"v", None, None);
    }
    let prefixed = async |prefix: &str| {
        walk_names(&sim, &ns, &format!("limit=10&prefix={}", encoded(prefix))).await
    };
    assert_eq!(prefixed("a b/ü").await, ["a b/ü", "a b/ü/1"]);
    assert_eq!(prefixed("a+").await, ["a+b"]);
    assert_eq!(prefixed("zzz").await, [""; 0]);
    // In form encoding, a plus is a space.
    assert_eq!(walk_names(&sim, &ns, "prefix=a+b/u").await, ["a b/u"]);
    // The 16 first digits share the keys evenly, but for the letter `a` of the names above.
    for digit in "0123456789bcdef".chars() {
        let names = prefixed(&digit.to_string()).await;
        assert_eq!(names.len(), 256, "{digit}");
        assert!(names.iter().all(|name| name.starts_with(digit)));
    }
    assert_eq!(prefixed("a").await.len(), 261);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_is_bound_to_its_list_and_refused_when_it_was_tampered_with() {
    let (sim, ns) = with_namespace(with_keys(50));
    let other = sim.namespace_ids()[1].clone();
    let (_, page) = get(&sim, &kv(&ns, "/keys?limit=10&prefix=0")).await;
    assert_eq!(page["result"].as_array().unwrap().len(), 4, "the whole of prefix 0");
    let (_, page) = get(&sim, &kv(&ns, "/keys?limit=10")).await;
    let cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
    let next = async |ns: &str, cursor: &str, prefix: &str| {
        let query = format!("/keys?limit=10&prefix={prefix}&cursor={}", encoded(cursor));
        get(&sim, &kv(ns, &query)).await
    };
    let (status, second) = next(&ns, &cursor, "").await;
    assert_eq!((status, names(&second)), (200, sim.keys(&ns)[10..20].to_vec()));
    assert_eq!(refusal(&next(&ns, &cursor, "0").await), (400, 10_001), "another prefix");
    assert_eq!(refusal(&next(&other, &cursor, "").await), (400, 10_001), "another namespace");
    for at in 0..cursor.len() {
        let mut tampered = cursor.clone().into_bytes();
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        assert_eq!(refusal(&next(&ns, &tampered, "").await), (400, 10_001), "{tampered}");
    }
    assert_eq!(refusal(&next(&ns, "bogus", "").await), (400, 10_001));
    let name = &names(&page)[9];
    let plain = base64::encode(name.as_bytes());
    assert!(!cursor.contains(&plain[..8]), "the name shows in {cursor}");
    // The same cursor again is the same page: a retried request loses nothing.
    assert_eq!(names(&next(&ns, &cursor, "").await.1), names(&second));
}

#[tokio::test(start_paused = true)]
async fn pages_can_be_empty_or_short_and_still_carry_a_cursor() {
    let rough = Options { empty_pages: 0.5, short_pages: 0.5, ..with_keys(3_000) };
    let (sim, ns) = with_namespace(rough);
    let pages = walk(&sim, &ns, "limit=100").await;
    let counts: Vec<usize> = pages.iter().map(|page| names(page).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 3_000);
    let empty = counts.iter().filter(|count| **count == 0).count();
    let short = counts.iter().filter(|count| (1..100).contains(*count)).count();
    assert!(empty > 20 && short > 10, "{empty} empty, {short} short of {}", counts.len());
    let all: Vec<String> = pages.iter().flat_map(names).collect();
    assert_eq!(all, sim.keys(&ns));
    // Even if all are empty, one in four is not: the walk comes to an end.
    let (sim, ns) = with_namespace(Options { empty_pages: 1.0, ..with_keys(35) });
    let pages = walk(&sim, &ns, "limit=10").await;
    let counts: Vec<usize> = pages.iter().map(|page| names(page).len()).collect();
    assert_eq!(counts, [0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 5]);
}

#[tokio::test(start_paused = true)]
async fn the_last_page_says_so_in_each_of_its_forms() {
    for (last_cursor, expected) in [
        (LastCursor::Empty, json!({"count": 3, "cursor": ""})),
        (LastCursor::Null, json!({"count": 3, "cursor": null})),
        (LastCursor::Missing, json!({"count": 3})),
    ] {
        let (sim, ns) = with_namespace(Options { last_cursor, ..with_keys(3) });
        assert_eq!(get(&sim, &kv(&ns, "/keys")).await.1["result_info"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn generated_keys_carry_what_they_are_told_to() {
    let listed = async |options: Options| {
        let (sim, ns) = with_namespace(options);
        let (_, page) = get(&sim, &kv(&ns, "/keys")).await;
        page["result"].as_array().unwrap().clone()
    };
    let with = |keys: &[Value], field: &str| -> Vec<usize> {
        (0..keys.len()).filter(|at| keys[*at].get(field).is_some()).collect()
    };
    let plain = listed(with_keys(12)).await;
    assert_eq!(plain[3]["metadata"]["tag"], "t-3");
    assert_eq!(plain[3]["metadata"]["type"], "feed");
    assert_eq!(plain[3]["metadata"]["cache-tags"], json!(["c-3", "s-3"]));
    assert!(plain[3]["metadata"]["size"].is_u64());
    assert_eq!((with(&plain, "metadata").len(), with(&plain, "expiration").len()), (12, 0));
    assert!(plain.iter().all(|key| key["name"].as_str().unwrap().len() == 40));
    let bare = listed(Options { no_metadata: true, ..with_keys(12) }).await;
    assert_eq!(with(&bare, "metadata"), [0; 0]);
    let some = Options { metadata_every: 5, expiring_every: 4, ..with_keys(12) };
    let some = listed(some).await;
    assert_eq!(with(&some, "metadata"), [0, 5, 10]);
    assert_eq!(with(&some, "expiration"), [0, 4, 8]);
    assert_eq!(some[4]["expiration"], START + 3_600);
    let odd = listed(Options { odd_keys: true, ..with_keys(24) }).await;
    let odd: Vec<&str> = odd.iter().map(|key| &key["name"].as_str().unwrap()[16..]).collect();
    let expected = [
        (3, "/00000000003/images/a b.png"),
        (7, " 00000000007 100%25 %2F"),
        (11, "/00000000011/ü/日本語/🦀"),
        (15, ":00000000015\"quoted\" \\ 'single'"),
        (19, "%00000000019?q=1&r=a+b#end"),
        (23, ".00000000023/../..;=,~"),
    ];
    assert!(expected.iter().all(|(at, tail)| odd[*at] == *tail), "{odd:?}");
}

#[tokio::test(start_paused = true)]
async fn expired_keys_are_gone_by_the_simulators_clock() {
    let options = Options { expiring_every: 2, expires_in: Duration::from_secs(90), ..free() };
    let (sim, ns) = with_namespace(Options { keys: 10, ..options });
    sim.put(&ns, "soon", b"v", None, Some(START + 30));
    let seen = async || walk_names(&sim, &ns, "").await.len() as u64;
    assert_eq!((seen().await, sim.len(&ns)), (11, 11));
    pass(29).await;
    assert_eq!((seen().await, sim.len(&ns)), (11, 11));
    pass(1).await;
    assert_eq!((seen().await, sim.len(&ns)), (10, 10));
    assert!(sim.value(&ns, "soon").is_none());
    pass(60).await;
    assert_eq!((seen().await, sim.len(&ns)), (5, 5));
    assert_eq!(sim.keys(&ns).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn changes_are_seen_within_the_lag_and_in_their_order() {
    let lag = Duration::from_secs(60);
    let (sim, ns) = with_namespace(Options { lag, ..with_keys(1_000) });
    let keys = sim.keys(&ns);
    let doomed = json!(keys[..500]);
    assert_eq!(call(&sim, Method::POST, &kv(&ns, "/bulk/delete"), &doomed).await.0, 200);
    assert_eq!((sim.len(&ns), walk_names(&sim, &ns, "").await.len()), (500, 1_000));
    // Of one key, the last change is seen last, whatever the chance of each.
    for round in 0..20 {
        let value = kv(&ns, &format!("/values/round?n={round}"));
        send(&sim, Method::PUT, &value, round.to_string()).await;
    }
    pass(30).await;
    let half = walk_names(&sim, &ns, "").await.len();
    assert!((600..900).contains(&half), "{half} seen after half of the lag");
    let gone = kv(&ns, &format!("/values/{}", keys[0]));
    pass(31).await;
    assert_eq!(walk_names(&sim, &ns, "").await.len(), 501);
    assert_eq!(send(&sim, Method::GET, &gone, "").await.status(), 404);
    let last = send(&sim, Method::GET, &kv(&ns, "/values/round"), "").await;
    assert_eq!(&last.body()[..], b"19");
}

#[tokio::test(start_paused = true)]
async fn reads_lag_like_lists_unless_only_lists_do() {
    let lag = Duration::from_secs(60);
    for (only_lists_lag, expected) in [(false, 404), (true, 200)] {
        let (sim, ns) = with_namespace(Options { lag, only_lists_lag, ..with_keys(0) });
        let value = kv(&ns, "/values/new");
        send(&sim, Method::PUT, &value, "v").await;
        assert_eq!(send(&sim, Method::GET, &value, "").await.status(), expected);
        assert_eq!(walk_names(&sim, &ns, "").await, [""; 0]);
        pass(61).await;
        assert_eq!(send(&sim, Method::GET, &value, "").await.status(), 200);
        assert_eq!(walk_names(&sim, &ns, "").await, ["new"]);
        // What others do is seen at once.
        assert!(sim.delete_by_someone_else(&ns, "new"));
        assert_eq!(walk_names(&sim, &ns, "").await, [""; 0]);
    }
}
