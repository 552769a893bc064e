//! Ten million keys: at once, in order, and fast.

use std::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn ten_million_keys_start_at_once_and_come_in_order() {
    let start = Instant::now();
    let (sim, ns) = with_namespace(with_keys(10_000_000));
    assert_eq!(sim.len(&ns), 10_000_000);
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    // The first hundred pages, and those of a prefix in the middle.
    let mut cursor = String::new();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..100 {
        let (_, page) = get(&sim, &kv(&ns, &format!("/keys?cursor={}", encoded(&cursor)))).await;
        cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        seen.extend(names(&page));
    }
    assert_eq!(seen.len(), 100_000);
    assert!(seen.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
    assert!(seen[0].starts_with("0000000000000000-00000000000-"));
    assert_eq!(&seen[99_999][17..28], "00000099999");
    let middle = walk_names(&sim, &ns, "prefix=8000").await;
    assert!((150..155).contains(&middle.len()), "{}", middle.len());
    // Sixteen digits share them evenly.
    for digit in 0..16 {
        let prefix = format!("{digit:x}");
        let (_, page) = get(&sim, &kv(&ns, &format!("/keys?limit=10&prefix={prefix}"))).await;
        let number: u64 = names(&page)[0][17..28].parse().unwrap();
        assert!(number.abs_diff(digit * 625_000) <= 1, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_and_writing_over_generated_keys_leaves_the_rest() {
    let (sim, ns) = with_namespace(with_keys(1_000_000));
    let mut expected: Vec<String> = Vec::new();
    let page = get(&sim, &kv(&ns, "/keys?prefix=8000")).await.1;
    let keys = names(&page);
    for (at, key) in keys.iter().enumerate() {
        match at % 3 {
            0 => assert!(sim.delete_by_someone_else(&ns, key)),
            1 => {
                assert!(sim.put(&ns, key, b"new", None, None));
                expected.push(key.clone());
            }
            _ => expected.push(key.clone()),
        }
    }
    assert_eq!(walk_names(&sim, &ns, "prefix=8000").await, expected);
    assert_eq!(sim.len(&ns), 1_000_000 - keys.len().div_ceil(3) as u64);
    let (_, page) = get(&sim, &kv(&ns, "/keys?prefix=8000")).await;
    assert!(page["result"][0].get("metadata").is_none(), "written over without metadata");
    assert!(page["result"][1].get("metadata").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_are_listed_and_deleted_in_1100_requests() {
    let (sim, ns) = with_namespace(with_keys(1_000_000));
    let mut cursor = String::new();
    let mut batch: Vec<String> = Vec::new();
    loop {
        let path = kv(&ns, &format!("/keys?limit=1000&cursor={}", encoded(&cursor)));
        let (_, page) = get(&sim, &path).await;
        batch.extend(names(&page));
        cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        if batch.len() == 10_000 {
            let reply = call(&sim, Method::POST, &kv(&ns, "/bulk/delete"), &json!(batch)).await;
            assert_eq!(reply.1["result"]["successful_key_count"], 10_000);
            batch.clear();
        }
        if cursor.is_empty() {
            break;
        }
    }
    let counts = sim.counts();
    assert_eq!((counts.list, counts.bulk_delete, sim.len(&ns)), (1_000, 100, 0));
    let full = sim.ledger().count(|entry| entry.method == "POST" && entry.items == 10_000);
    assert_eq!(full, 100);
    let (_, page) = get(&sim, &kv(&ns, "/keys")).await;
    assert_eq!(page["result_info"], json!({"count": 0, "cursor": ""}));
}
