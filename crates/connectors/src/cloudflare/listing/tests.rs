//! Whole walks, in virtual time, against a list that is a function: every key once and in order,
//! whatever the pages look like, and never a list that looks whole and is not.

use super::page::Order;
use super::*;
use crate::cloudflare::api::tests::{
    Scripted, TOKEN, api_at, api_to, patientless, respond, scripted,
};
use crate::cloudflare::sim::{CloudflareSim, LastCursor, Options};
use crate::transport::Transport;
use bytes::Bytes;
use http::{Request, Response};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use windlass_engine::Moment;

fn parameters(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.replace("%3A", ":"))).collect()
}

fn page(names: &[String], cursor: &str) -> Response<Bytes> {
    let items: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    let items = items.join(",");
    let body = format!(
        r#"{{"result":[{items}],"success":true,"errors":[],"messages":[],
            "result_info":{{"count":{},"cursor":"{cursor}"}}}}"#,
        names.len()
    );
    respond(200, &[("cf-ray", "ray")], body)
}

/// A list of these names, some a page, whose cursors say how many were passed.
fn list_of(names: Vec<String>, a_page: usize) -> impl Fn(&Request<Bytes>) -> Response<Bytes> {
    move |request| {
        let asked = parameters(request);
        assert_eq!(asked["limit"], "1000");
        let prefix = asked.get("prefix").map_or("", String::as_str);
        let passed = asked.get("cursor").map_or(0, |cursor| cursor[1..].parse().unwrap());
        let mine: Vec<&String> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        let rest = &mine[passed..];
        let taken: Vec<String> = rest.iter().take(a_page).map(|&name| name.clone()).collect();
        let end = passed + taken.len();
        page(&taken, &if end < mine.len() { format!("c{end}") } else { String::new() })
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number:05}")).collect()
}

fn whole(prefix: &str) -> Chain {
    Chain { prefix: prefix.to_owned(), ..Chain::default() }
}

fn start<F>(answer: F, chains: Vec<Chain>) -> (Arc<Scripted<F>>, Listing, Context)
where
    F: Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
{
    let (remote, api) = scripted(answer);
    let (gate, context) = patientless();
    let listing = Listing::start(api, gate, context.clone(), 0, "ns".to_owned(), chains);
    (remote, listing, context)
}

async fn read(listing: &mut Listing) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    while let Some(page) = listing.next().await {
        let page = page?;
        all.extend(page.keys()?.into_iter().map(|key| key.name.into_owned()));
    }
    Ok(all)
}

async fn read_sorted(mut sorted: Sorted) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    while let Some(page) = sorted.next().await {
        let page = page?;
        all.extend(page.keys()?.into_iter().map(|key| key.name.into_owned()));
    }
    Ok(all)
}

#[tokio::test(start_paused = true)]
async fn every_page_is_one_request_and_the_next_one_is_under_way_meanwhile() {
    let (remote, mut listing, context) = start(list_of(names(1_000), 100), vec![whole("")]);
    let mut numbers = Vec::new();
    while let Some(page) = listing.next().await {
        let page = page.unwrap();
        assert_eq!(page.keys().unwrap().len(), 100);
        assert_eq!(page.request_id.as_deref(), Some("ray"));
        assert_eq!(page.latency, Duration::from_millis(50));
        numbers.push(page.number);
        // As long as a round trip takes: done in turns, all would take twice as long.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(numbers, (1..=10).collect::<Vec<u64>>());
    assert_eq!(remote.asked().len(), 10);
    let took = context.clock.now().saturating_since(Moment::ZERO);
    assert_eq!(took, Duration::from_millis(11 * 50), "ten pages, and the work on the last one");
}

#[tokio::test(start_paused = true)]
async fn a_slow_taker_bounds_what_is_asked_for() {
    let (remote, mut listing, _) = start(list_of(names(1_000), 10), vec![whole("")]);
    listing.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(remote.asked().len(), 5, "one taken, two wait, one is to be put, one is there");
    drop(listing);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(remote.asked().len(), 5, "dropping it ends the walk");
}

#[tokio::test(start_paused = true)]
async fn short_and_empty_pages_are_no_end() {
    let pages = ["a|c1", "|c2", "|c3", "b,c|c4", "|"];
    let answer = move |request: &Request<Bytes>| {
        let asked = parameters(request);
        let number = asked.get("cursor").map_or(0, |cursor| cursor[1..].parse().unwrap());
        let (names, cursor): (&str, &str) = pages[number].split_once('|').unwrap();
        let names = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
        page(&names.collect::<Vec<_>>(), cursor)
    };
    let (remote, mut listing, _) = start(answer, vec![whole("")]);
    assert_eq!(read(&mut listing).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(remote.asked().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn chains_go_side_by_side_and_end_when_all_have_ended() {
    let all: Vec<String> =
        (0..1_600).map(|number| format!("{:x}:{number:05}", number % 16)).collect();
    let mut sorted = all.clone();
    sorted.sort();
    let chains: Vec<Chain> = shards("hex", "").unwrap().iter().map(|s| whole(s)).collect();
    let (remote, mut listing, context) = start(list_of(sorted.clone(), 10), chains);
    let mut found = read(&mut listing).await.unwrap();
    found.sort();
    assert_eq!(found, sorted);
    assert_eq!(remote.asked().len(), 160);
    let took = context.clock.now().saturating_since(Moment::ZERO);
    assert_eq!(took, Duration::from_millis(10 * 50), "as long as one of them");
}

#[tokio::test(start_paused = true)]
async fn more_chains_than_go_at_once_are_all_walked() {
    let all: Vec<String> = (0..300).map(|number| format!("{number:03}x")).collect();
    let chains: Vec<Chain> = (0..300).map(|number| whole(&format!("{number:03}"))).collect();
    let (remote, mut listing, _) = start(list_of(all.clone(), 10), chains);
    let mut found = read(&mut listing).await.unwrap();
    found.sort();
    assert_eq!(found, all);
    assert_eq!(remote.asked().len(), 300);
}

fn sorted_of<F>(answer: F, spec: &str, folder: &std::path::Path) -> Sorted
where
    F: Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
{
    let (_, api) = scripted(answer);
    let (gate, context) = patientless();
    let chains = shards(spec, "").unwrap().iter().map(|shard| whole(shard)).collect();
    Sorted::start(api, gate, context, 0, "ns".to_owned(), chains, folder).unwrap()
}

fn files_in(folder: &std::path::Path) -> usize {
    let inner = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_dir(entry.unwrap().path()).unwrap().count()
    };
    std::fs::read_dir(folder).unwrap().map(inner).sum()
}

#[tokio::test(start_paused = true)]
async fn sorted_chains_come_in_the_order_of_all_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut all: Vec<String> =
        (0..1_600).map(|number| format!("{:x}{number:05}", number % 16)).collect();
    all.sort();
    let mut sorted = sorted_of(list_of(all.clone(), 7), "hex", folder.path());
    // What waits for the first chain's slow taker goes to files.
    let first = sorted.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(files_in(folder.path()), 15);
    let mut found: Vec<String> =
        first.keys().unwrap().into_iter().map(|key| key.name.into_owned()).collect();
    let mut shards = vec![first.shard];
    let mut pages = 1;
    while let Some(page) = sorted.next().await {
        let page = page.unwrap();
        pages += 1;
        shards.push(page.shard);
        assert_eq!((page.request_id.as_deref(), page.latency.as_millis()), (Some("ray"), 50));
        assert_eq!(page.cursor.is_none(), page.number == 15, "100 names are 15 pages");
        found.extend(page.keys().unwrap().into_iter().map(|key| key.name.into_owned()));
    }
    assert_eq!(found, all);
    assert_eq!(pages, 16 * 15);
    shards.dedup();
    assert_eq!(shards, (0..16).collect::<Vec<usize>>());
    assert_eq!(files_in(folder.path()), 0, "each file goes when it was read");
    drop(sorted);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_sorted_chain_needs_no_folder() {
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let all = names(20);
    let sorted = sorted_of(list_of(all.clone(), 6), "k", nowhere);
    assert_eq!(read_sorted(sorted).await.unwrap(), all);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_sorted_chain_comes_in_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let list = list_of(vec!["a1".to_owned(), "b1".to_owned(), "c1".to_owned()], 10);
    let answer = move |request: &Request<Bytes>| match &*parameters(request)["prefix"] {
        "b" => respond(403, &[], ""),
        _ => list(request),
    };
    let mut sorted = sorted_of(answer, "a,b,c", folder.path());
    assert_eq!(sorted.next().await.unwrap().unwrap().keys().unwrap()[0].name, "a1");
    assert_eq!(sorted.next().await.unwrap().unwrap_err().kind, Kind::Forbidden);
    assert!(sorted.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_walk_and_is_told_once() {
    let list = list_of(names(100), 10);
    let asked = AtomicU32::new(0);
    let answer = move |request: &Request<Bytes>| match asked.fetch_add(1, Ordering::Relaxed) {
        3 => respond(403, &[], ""),
        _ => list(request),
    };
    let (remote, mut listing, _) = start(answer, vec![whole("")]);
    let mut pages = 0;
    let failure = loop {
        match listing.next().await.unwrap() {
            Ok(_) => pages += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((pages, failure.kind), (3, Kind::Forbidden));
    assert!(listing.next().await.is_none());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(remote.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_a_failure_and_no_end() {
    let (_, mut listing, context) = start(list_of(names(1_000), 10), vec![whole("")]);
    listing.next().await.unwrap().unwrap();
    context.stop.drain();
    let failure = read(&mut listing).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Cancelled);
}

/// A list that refuses this cursor once it has been asked so many times.
fn forgetful(
    list: impl Fn(&Request<Bytes>) -> Response<Bytes>,
    forgotten: &'static str,
) -> impl Fn(&Request<Bytes>) -> Response<Bytes> {
    let known = Mutex::new(true);
    move |request| {
        let asked = parameters(request);
        if asked.get("cursor").is_some_and(|cursor| cursor == forgotten)
            && std::mem::take(&mut *known.lock().unwrap())
        {
            let body = r#"{"success":false,"errors":[{"code":10001,"message":"bad cursor"}]}"#;
            return respond(400, &[], body);
        }
        list(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_walk_goes_on_where_an_earlier_one_ended() {
    let chain = |cursor: &str, after: &str| {
        vec![Chain {
            prefix: String::new(),
            cursor: Some(cursor.to_owned()),
            after: Some(after.to_owned()),
        }]
    };
    let (remote, mut listing, _) = start(list_of(names(100), 10), chain("c50", "k00052"));
    assert_eq!(read(&mut listing).await.unwrap(), names(100)[53..]);
    assert_eq!(remote.asked().len(), 5);

    let list = forgetful(list_of(names(100), 10), "c50");
    let (remote, mut listing, _) = start(list, chain("c50", "k00052"));
    assert_eq!(read(&mut listing).await.unwrap(), names(100)[53..], "the cursor was forgotten");
    assert_eq!(remote.asked().len(), 1 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_lost_on_the_way_costs_requests_and_no_keys() {
    let list = forgetful(list_of(names(100), 10), "c70");
    let (remote, mut listing, _) = start(list, vec![whole("")]);
    assert_eq!(read(&mut listing).await.unwrap(), names(100));
    assert_eq!(remote.asked().len(), 7 + 1 + 10);

    let always = |request: &Request<Bytes>| match parameters(request).contains_key("cursor") {
        true => respond(400, &[], r#"{"success":false,"errors":[{"message":"bad cursor"}]}"#),
        false => page(&names(2), "c2"),
    };
    let (remote, mut listing, _) = start(always, vec![whole("")]);
    assert_eq!(read(&mut listing).await.unwrap_err().message, "bad cursor");
    assert_eq!(remote.asked().len(), 6, "three walks of two requests");
}

#[tokio::test(start_paused = true)]
async fn a_list_in_circles_is_an_error() {
    let circle = |request: &Request<Bytes>| {
        let next = match parameters(request).get("cursor").map(String::as_str) {
            None => "c1",
            Some("c1") => "c2",
            Some("c2") => "c3",
            _ => "c1",
        };
        page(&[], next)
    };
    let (remote, mut listing, _) = start(circle, vec![whole("")]);
    let failure = read(&mut listing).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Malformed);
    assert!(failure.message.contains("round in circles: a cursor came twice"), "{failure}");
    assert!(remote.asked().len() < 20);

    let again = |request: &Request<Bytes>| {
        let number =
            parameters(request).get("cursor").map_or(0, |c| c[1..].parse::<u32>().unwrap());
        page(&names(2), &format!("c{}", number + 1))
    };
    let (_, mut listing, _) = start(again, vec![whole("")]);
    let failure = read(&mut listing).await.unwrap_err();
    assert_eq!(
        failure.message,
        "the list goes round in circles: `k00001` is followed by `k00000` (page 2)"
    );
}

/// Answers on a real port with this many pages of one key each, on one connection, and counts the
/// requests that it has read.
fn counting_server(pages: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        for number in 0..pages {
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            counted.fetch_add(1, Ordering::SeqCst);
            let next = if number + 1 < pages { format!("c{number}") } else { String::new() };
            let body = page(&[format!("k{number:04}")], &next).into_body();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            (&stream).write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    (address, count)
}

/// On one thread, whoever works on a page keeps everything else from going on: the next request
/// must be on the wire by then, or listing and work take turns.
#[tokio::test]
async fn the_next_request_is_on_the_wire_before_a_page_is_worked_on() {
    const PAGES: usize = 1_000;
    let (address, count) = counting_server(PAGES);
    let transport = Transport::network(crate::transport::NetworkOptions::direct());
    let api = Arc::new(api_at(&format!("http://{address}"), transport, 0));
    let (gate, context) = patientless();
    // Something else always wants to go on, as in a program with more to do.
    let busy = tokio::spawn(std::future::poll_fn(|task| {
        task.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    }));
    let mut listing = Listing::start(api, gate, context, 0, "ns".to_owned(), vec![whole("")]);
    for number in 1..=PAGES {
        listing.next().await.unwrap().unwrap();
        let begun = std::time::Instant::now();
        // The server has a thread of its own; this one does not go on meanwhile.
        while count.load(Ordering::SeqCst) < (number + 1).min(PAGES) {
            assert!(begun.elapsed() < Duration::from_secs(10), "page {number}: nothing was sent");
            std::hint::spin_loop();
        }
    }
    assert!(listing.next().await.is_none());
    busy.abort();
}

/// A simulated Cloudflare whose lists are as unwieldy as they may be.
fn unwieldy() -> (Arc<Api>, String, Vec<String>) {
    let options = Options {
        keys: 12_345,
        odd_keys: true,
        odd_envelopes: true,
        empty_pages: 0.2,
        short_pages: 0.3,
        metadata: true,
        last_cursor: LastCursor::Null,
        tokens: vec![TOKEN.to_owned()],
        accounts: vec!["acc".to_owned()],
        no_limits: true,
        ..Options::default()
    };
    let sim = Arc::new(CloudflareSim::new(options).unwrap());
    let namespace = sim.namespace_ids()[0].clone();
    let names = sim.keys(&namespace);
    assert_eq!(names.len(), 12_345);
    (Arc::new(api_to(Transport::in_process(sim), 0)), namespace, names)
}

#[tokio::test(start_paused = true)]
async fn a_simulated_namespace_is_listed_whole_in_one_chain() {
    let (api, namespace, names) = unwieldy();
    let (gate, context) = patientless();
    let mut listing = Listing::start(api, gate, context, 0, namespace, vec![whole("")]);
    assert_eq!(read(&mut listing).await.unwrap(), names);
}

#[tokio::test(start_paused = true)]
async fn a_simulated_namespace_is_listed_whole_by_its_first_characters() {
    let (api, namespace, names) = unwieldy();
    let firsts: BTreeSet<char> = names.iter().filter_map(|name| name.chars().next()).collect();
    let chains: Vec<Chain> = firsts.iter().map(|first| whole(&first.to_string())).collect();
    assert!(chains.len() > 1);
    let folder = tempfile::tempdir().unwrap();
    let (gate, context) = patientless();
    let folder = folder.path();
    let sorted = Sorted::start(api, gate, context, 0, namespace, chains, folder).unwrap();
    assert_eq!(read_sorted(sorted).await.unwrap(), names);
}

fn raw(body: &str, order: &Arc<Order>, number: u64) -> RawPage {
    RawPage {
        shard: 0,
        number,
        body: Bytes::copy_from_slice(body.as_bytes()),
        cursor: None,
        latency: Duration::ZERO,
        request_id: None,
        walk: 1,
        order: Arc::clone(order),
        beyond: OnceLock::new(),
    }
}

fn order(prefix: &str) -> Arc<Order> {
    Arc::new(Order::new(prefix.to_owned(), None))
}

#[test]
fn keys_are_read_with_metadata_and_expiration() {
    let body = r#"{"success":true,"result":[
        {"name":"a\u002fb","expiration":1800000000,"metadata":{"x":[1,"]"]},"new":{}},
        {"name":"é","metadata":null},{"metadata":0,"name":"日本"}]}"#;
    let page = raw(body, &order(""), 1);
    let keys = page.keys().unwrap();
    let read = |key: &Key<'_>| {
        let metadata = key.metadata.map(|raw| raw.get().to_owned());
        (key.name.clone().into_owned(), key.expiration, metadata)
    };
    let expected = [
        ("a/b".to_owned(), Some(1_800_000_000), Some(r#"{"x":[1,"]"]}"#.to_owned())),
        ("é".to_owned(), None, None),
        ("日本".to_owned(), None, Some("0".to_owned())),
    ];
    assert_eq!(keys.iter().map(read).collect::<Vec<_>>(), expected);
    assert_eq!(page.keys().unwrap().len(), 3, "and read again with the same keys");
}

#[test]
fn what_is_no_page_of_keys_is_an_error() {
    let message = |body: &str, prefix: &str| {
        let failure = raw(body, &order(prefix), 1).keys().unwrap_err();
        assert_eq!(failure.kind, Kind::Malformed);
        failure.message
    };
    let of = |names: &str| format!(r#"{{"success":true,"result":[{names}]}}"#);
    assert!(message("<html>", "").starts_with("a page of keys is not understood"));
    assert!(message(&of(r#"{"nam":"a"}"#), "").contains("missing field `name`"));
    assert!(message(r#"{"result":[]}"#, "").contains("missing field `success`"));
    assert!(message(r#"{"success":false}"#, "").ends_with("says of itself that it failed"));
    assert!(message(&of(r#"{"name":"b"},{"name":"a"}"#), "").contains("`b` is followed by `a`"));
    assert!(message(&of(r#"{"name":"a"},{"name":"a"}"#), "").contains("`a` is followed by `a`"));
    assert_eq!(
        message(&of(r#"{"name":"a"},{"name":"b"}"#), "b"),
        "the list of what begins with `b` holds `a`"
    );
    assert!(raw(r#"{"success":true,"result":null}"#, &order(""), 1).keys().unwrap().is_empty());
}

#[test]
fn the_end_of_a_page_tells_its_cursor() {
    let at = |body: &str| cursor_of(body.as_bytes()).map_err(|_| "no JSON");
    let some = |cursor: &str| Ok(Some(cursor.to_owned()));
    assert_eq!(
        at(r#"{"result":[],"success":true,"result_info":{"count":0,"cursor":"x"}}"#),
        some("x")
    );
    assert_eq!(at("{\"result_info\":\n {\"cursor\":\"x\"} \n}\n"), some("x"));
    for end in [r#""""#, "null"] {
        assert_eq!(at(&format!(r#"{{"result":[],"result_info":{{"cursor":{end}}}}}"#)), Ok(None));
    }
    assert_eq!(at(r#"{"result":[],"result_info":{"count":0}}"#), Ok(None));
    assert_eq!(at(r#"{"result":[],"result_info":null}"#), Ok(None));
    assert_eq!(at(r#"{"result":[],"success":true}"#), Ok(None));
    assert_eq!(at(r#"{"result_info":{"cursor":"x"},"result":[]}"#), some("x"), "not at the end");
    assert_eq!(at(r#"{"result_info" : {"cursor":"x"}}"#), some("x"), "with a space");
    assert_eq!(at(r#"{"result":[],"result_info":{"cursor":"a\"}}b"}}"#), some("a\"}}b"));
    for cut in [r#"{"result":[],"result_info":{"cursor":"x"}"#, r#"{"result_info":{"cur"#, ""] {
        assert_eq!(at(cut), Err("no JSON"), "{cut}");
    }
}

#[test]
fn metadata_cannot_pass_for_the_end_of_a_page() {
    let at = |body: &str| cursor_of(body.as_bytes()).unwrap();
    let real = || Some("real".to_owned());
    for metadata in [
        r#"{"result_info":{"cursor":"fake"}}"#,
        r#""\"result_info\":{\"cursor\":\"fake\"}}""#,
        r#"{"x\"result_info":{"cursor":"fake"}}"#,
        r#"{"x\\":1,"result_info":{"cursor":"fake"}}"#,
        r#"[[{"result_info":{"cursor":"fake"}}]]"#,
    ] {
        let key = format!(r#"[{{"name":"a","metadata":{metadata}}}]"#);
        let info = r#"{"count":1,"cursor":"real"}"#;
        assert_eq!(at(&format!(r#"{{"result":{key},"result_info":{info}}}"#)), real());
        assert_eq!(at(&format!(r#"{{"result_info":{info},"result":{key}}}"#)), real());
        assert_eq!(at(&format!(r#"{{"result":{key}}}"#)), None);
    }
    let nested = r#"{"result_info":{"cursor":"real","result_info":{"cursor":"fake"}}}"#;
    assert_eq!(at(nested), real());
    let escaped = r#"{"x\"result_info":{"cursor":"fake"}}"#;
    assert_eq!(at(escaped), None, "a member of another name");
}

/// Any JSON, with what could pass for the end of a page in any place of it.
fn json() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "a",
        "\\\"",
        "\\\\",
        "result_info",
        "\"result_info\":",
        "}}",
        "{",
        "\u{e9}",
        ":",
    ]);
    let text = prop::collection::vec(text, 0..5).prop_map(|parts| {
        let plain: String = parts.concat();
        serde_json::to_string(&plain).unwrap()
    });
    let name = prop_oneof![Just("\"result_info\"".to_owned()), text.clone()];
    let info = Just(r#"{"cursor":"fake"}"#.to_owned());
    let leaf = prop_oneof![text, Just("1".to_owned()), Just("null".to_owned()), info];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = (name.clone(), inner.clone()).prop_map(|(name, value)| name + ":" + &value);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4)
                .prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    })
}

proptest! {
    /// The short way to the cursor finds what parsing all of it finds.
    #[test]
    fn the_cursor_is_that_of_the_envelope(
        metadata in prop::collection::vec(json(), 0..4),
        cursor in "[a-zA-Z0-9+/=\"\\\\{}]{0,12}",
        last in any::<bool>(),
        without in any::<bool>(),
    ) {
        let items: Vec<String> = metadata.iter().enumerate()
            .map(|(number, json)| format!(r#"{{"name":"k{number}","metadata":{json}}}"#))
            .collect();
        let cursor_json = serde_json::to_string(&cursor).unwrap();
        let info = format!(r#""result_info":{{"count":{},"cursor":{cursor_json}}}"#, items.len());
        let result = format!(r#""success":true,"result":[{}]"#, items.join(","));
        let body = match (without, last) {
            (true, _) => format!("{{{result}}}"),
            (false, true) => format!("{{{result},{info}}}"),
            (false, false) => format!("{{{info},{result}}}"),
        };
        let expected = Some(cursor).filter(|cursor| !cursor.is_empty() && !without);
        prop_assert_eq!(cursor_of(body.as_bytes()).unwrap(), expected);
    }
}
