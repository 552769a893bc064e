//! What is sent, what an answer means, and that no secret shows. The remote is a function here,
//! so that it can answer as no good remote would.

use super::*;
use crate::http_api::Reply;
use http::StatusCode;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use windlass_engine::clock::Clock;
use windlass_engine::job::Context;
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::remote::{ConcurrencySpec, OperationSpec, Remote, Spec};
use windlass_engine::runner::stop::Stop;
use windlass_sim::{Reset, Simulator};

pub const TOKEN: &str = "v1.0-0123456789abcdef";

/// A remote that answers by a function, and keeps what it was asked.
pub struct Scripted<F> {
    answer: F,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl<F> Scripted<F> {
    /// Method, path and query of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let line = |request: &Request<Bytes>| {
            format!("{} {}", request.method(), request.uri().path_and_query().unwrap())
        };
        asked.iter().map(line).collect()
    }

    fn last(&self) -> Request<Bytes> {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

impl<F> Simulator for Scripted<F>
where
    F: Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
{
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        // A round trip of 50 ms, so that time passes.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = (self.answer)(&request);
        self.asked.lock().unwrap().push(request);
        Ok(answer)
    }

    fn control(&self, _request: &Request<Bytes>) -> Response<Bytes> {
        Response::default()
    }
}

/// An API of account `acc` in front of a function.
pub fn scripted<F>(answer: F) -> (Arc<Scripted<F>>, Arc<Api>)
where
    F: Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
{
    let remote = Arc::new(Scripted { answer, asked: Mutex::default() });
    let api = api_to(Transport::in_process(Arc::clone(&remote) as Arc<_>), 0);
    (remote, Arc::new(api))
}

/// An API of account `acc` behind this transport.
pub fn api_to(transport: Transport, reserve: u32) -> Api {
    api_at("https://api.cloudflare.com/client/v4", transport, reserve)
}

/// The same at this base URL.
pub fn api_at(base_url: &str, transport: Transport, reserve: u32) -> Api {
    let auth = Auth::Token(Secret::new(TOKEN));
    let base_url = base_url.parse().unwrap();
    Api::new(transport, base_url, Some("acc".to_owned()), &auth, reserve).unwrap()
}

/// A remote with three operations, no windows and no patience, and a run to call it in.
pub fn patientless() -> (Arc<Remote>, Context) {
    let clock = Clock::start();
    let spec = Spec {
        name: "cloudflare",
        windows: Vec::new(),
        operations: ["one", "two", "three"].map(|name| OperationSpec::new(name, &[])).to_vec(),
        concurrency: ConcurrencySpec::Fixed(50),
        rate: None,
        smooth: false,
        timeout: Duration::from_secs(30),
        retries: 0,
        backoff: Backoff::default(),
        deadline: Duration::from_secs(60),
        seed: 1,
    };
    // Nobody listens: signals are dropped.
    let (signals, _) = mpsc::channel(1);
    (Arc::new(Remote::new(clock, spec)), Context { clock, stop: Stop::default(), signals })
}

pub fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

pub fn success(result: &str) -> Response<Bytes> {
    let body = format!(r#"{{"result":{result},"success":true,"errors":[],"messages":[]}}"#);
    respond(200, &[("cf-ray", "ray-1")], body)
}

/// Calls once through a remote.
async fn once<T, A, F>(attempt: A) -> Result<Reply<T>, Failure>
where
    A: FnMut(Attempt) -> F,
    F: Future<Output = Result<Reply<T>, Failure>>,
{
    let (remote, context) = patientless();
    remote.call(&context, 0, false, attempt).await.map(|answer| answer.value)
}

fn refusal_of(response: Response<Bytes>, items: u32, needs: Permission) -> Failure {
    let call = Call::new(Method::POST, "/".to_owned(), needs).items(items);
    scripted(|_| success("null")).1.refused(response, &call)
}

fn refused(status: u16, code: u32, items: u32) -> Failure {
    let body = format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"No"}}]}}"#);
    refusal_of(respond(status, &[], body), items, Permission::KvWrite)
}

#[test]
fn a_status_comes_first_and_the_code_second() {
    for (status, code, items, kind) in [
        (301, 0, 1, Kind::Malformed),
        (400, 10_001, 1, Kind::Rejected),
        (400, 10_000, 1, Kind::Denied),
        (400, 10_014, 1, Kind::Conflict),
        (401, 0, 1, Kind::Denied),
        (403, 10_000, 1, Kind::Denied),
        (403, 9_106, 1, Kind::Denied),
        (403, 9_109, 1, Kind::Denied),
        (403, 1, 1, Kind::Forbidden),
        (404, 10_009, 1, Kind::Absent),
        (404, 10_013, 1, Kind::Rejected),
        (404, 7_003, 1, Kind::Rejected),
        (408, 0, 1, Kind::Unavailable),
        (413, 0, 1, Kind::TooLarge),
        (413, 0, 100, Kind::TooLarge),
        (414, 0, 1, Kind::Rejected),
        (429, 971, 1, Kind::Throttled),
        (429, 10_000, 1, Kind::Throttled),
        (500, 10_009, 1, Kind::Unavailable),
        (503, 0, 100, Kind::Unavailable),
        (524, 0, 1, Kind::Unavailable),
        (524, 0, 2, Kind::TooLarge),
        (200, 10_000, 1, Kind::Denied),
        (200, 10_001, 1, Kind::Rejected),
    ] {
        let failure = refused(status, code, items);
        assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{status} {code} {items}");
        let in_doubt = kind == Kind::Unavailable || status == 524;
        assert_eq!(failure.may_have_happened, in_doubt, "{status} {items}");
    }
}

#[test]
fn a_refusal_is_told_in_the_words_of_cloudflare() {
    let told = |status, body: &str| {
        let response = respond(status, &[("cf-ray", "8f-FRA")], body.to_owned());
        refusal_of(response, 1, Permission::KvRead).to_string()
    };
    for (body, words) in [
        (
            r#"{"errors":[{"code":10099,"message":"odd"}]}"#,
            "odd (status 400, 10099) [request 8f-FRA]",
        ),
        (
            r#"{"errors":[{"code":1,"message":"a","error_chain":[{"code":2,"message":"b"}]},
                {"code":3,"message":"c"}],"messages":["x"],"result":null}"#,
            "a: b; c (3) (status 400, 1) [request 8f-FRA]",
        ),
        (r#"{"errors":["text"]}"#, "text (status 400) [request 8f-FRA]"),
        ("<html>Bad</html>", "Bad Request (status 400) [request 8f-FRA]"),
        ("plain", "plain (status 400) [request 8f-FRA]"),
        ("", "Bad Request (status 400) [request 8f-FRA]"),
    ] {
        assert_eq!(told(400, body), words);
    }
    assert_eq!(told(524, "<html>"), "no reason (status 524) [request 8f-FRA]");
}

#[test]
fn a_refusal_says_what_to_do() {
    let hint = |failure: Failure| failure.hint.unwrap_or_default();
    assert_eq!(
        hint(refused(403, 10_000, 1)),
        "check CLOUDFLARE_API_TOKEN: this needs the permission \"Workers KV Storage Write\""
    );
    assert!(hint(refused(404, 10_013, 1)).starts_with("`windlass kv namespaces`"));
    assert!(hint(refused(404, 7_003, 1)).contains("CLOUDFLARE_ACCOUNT_ID"));
    assert_eq!(hint(refused(400, 10_001, 1)), "");
    let page = respond(403, &[("cf-mitigated", "challenge")], "<html>");
    let page = refusal_of(page, 1, Permission::KvRead);
    assert_eq!(page.kind, Kind::Forbidden);
    assert!(page.message.contains("firewall") && hint(page).contains("firewall"));
    let lost = refusal_of(respond(404, &[], "nothing here"), 1, Permission::KvRead);
    assert!(hint(lost).contains("base URL"));
}

#[test]
fn too_many_items_of_a_purge_are_told_from_a_bad_one() {
    let purge = |words: &str, items| {
        let body = format!(r#"{{"success":false,"errors":[{{"code":1,"message":"{words}"}}]}}"#);
        refusal_of(respond(400, &[], body), items, Permission::CachePurge).kind
    };
    for words in ["Too many files", "You may purge at most 30 items", "exceeds the maximum"] {
        assert_eq!(purge(words, 100), Kind::TooLarge, "{words}");
        assert_eq!(purge(words, 1), Kind::Rejected, "a single one is bad in itself");
    }
    assert_eq!(purge("Invalid URL", 30), Kind::Rejected);
    assert_eq!(purge("Invalid URL", 31), Kind::TooLarge, "whatever the words, fewer may do");
}

#[test]
fn a_wait_is_taken_from_the_headers() {
    let failure = refusal_of(respond(429, &[("retry-after", "300")], ""), 1, Permission::KvRead);
    assert_eq!(failure.wait, Some(Duration::from_secs(300)));
}

#[test]
fn no_secret_shows_in_a_refusal() {
    let body = format!(r#"{{"errors":[{{"code":"{TOKEN}","message":"bad {TOKEN}"}}]}}"#);
    let response = respond(400, &[("cf-ray", TOKEN)], body);
    let failure = refusal_of(response, 1, Permission::KvRead);
    assert_eq!(failure.to_string(), "bad (the key) (status 400, (the key))");
    let (_, api) = scripted(|_| success("null"));
    let odd = api.malformed(&success("1"), &format!("invalid type: string \"{TOKEN}\""));
    assert_eq!(odd.message, "the answer is not understood: invalid type: string \"(the key)\"");
    assert!(!format!("{api:?}").contains(TOKEN));
}

#[tokio::test(start_paused = true)]
async fn both_kinds_of_credentials_are_sent() {
    let (sim, api) = scripted(|_| success(r#"{"id":"t","name":"a.b","status":"active"}"#));
    let zone = once(|attempt| api.zone("t", attempt)).await.unwrap().value;
    let status = Some("active".into());
    assert_eq!(zone, Zone { id: "t".into(), name: "a.b".into(), status });
    let request = sim.last();
    assert_eq!(request.headers()["authorization"], format!("Bearer {TOKEN}").as_str());
    assert_eq!(request.uri().to_string(), "https://api.cloudflare.com/client/v4/zones/t");

    let key = Auth::Key { email: "a@b.c".into(), key: Secret::new("0123456789") };
    let transport = Transport::in_process(Arc::clone(&sim) as Arc<_>);
    let base_url = "http://localhost:1/api".parse().unwrap();
    let by_key = Api::new(transport.clone(), base_url, None, &key, 0).unwrap();
    once(|attempt| by_key.zone("t", attempt)).await.unwrap();
    let request = sim.last();
    assert_eq!(request.headers()["x-auth-email"], "a@b.c");
    assert_eq!(request.headers()["x-auth-key"], "0123456789");
    assert!(!request.headers().contains_key("authorization"));

    let failure = once(|attempt| by_key.namespaces(1, attempt)).await.unwrap_err();
    assert_eq!(failure.message, "no account is named");
    let base_url = "http://localhost:1".parse().unwrap();
    let odd = Auth::Token(Secret::new("a\nb"));
    let error = Api::new(transport, base_url, None, &odd, 0).unwrap_err();
    assert!(error.hint.unwrap().contains("CLOUDFLARE_API_TOKEN"));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_one_segment_of_the_path() {
    let (sim, api) = scripted(|_| success("null"));
    once(|attempt| api.metadata("ns", "a/b c:%é", attempt)).await.unwrap();
    let path = "/client/v4/accounts/acc/storage/kv/namespaces/ns/metadata/a%2Fb%20c%3A%25%C3%A9";
    assert_eq!(sim.asked(), [format!("GET {path}")]);
    for odd in ["", ".", ".."] {
        let failure = once(|attempt| api.metadata("ns", odd, attempt)).await.unwrap_err();
        assert_eq!(
            (failure.kind, &*failure.message),
            (Kind::Rejected, &*format!("`{odd}` can't be a key"))
        );
        once(|attempt| api.delete_namespace(odd, attempt)).await.unwrap_err();
    }
    assert_eq!(sim.asked().len(), 1, "nothing of the kind was sent");
}

#[tokio::test(start_paused = true)]
async fn a_value_is_read_as_it_is() {
    let (sim, api) = scripted(|_| {
        let body = Bytes::from_static(b"\xff\x00{\"success\":false}");
        respond(200, &[("expiration", "1800000000"), ("cf-ray", "r")], body)
    });
    let reply = once(|attempt| api.get_value("ns", "k", attempt)).await.unwrap();
    assert_eq!(reply.value.bytes.as_ref(), b"\xff\x00{\"success\":false}");
    assert_eq!(reply.value.expiration, Some(1_800_000_000));
    assert_eq!(reply.request_id.as_deref(), Some("r"));
    assert!(sim.asked()[0].ends_with("/values/k"));
    let (_, api) = scripted(|_| respond(200, &[], TOKEN));
    let reply = once(|attempt| api.get_value("ns", "k", attempt)).await.unwrap();
    assert_eq!(reply.value.bytes, TOKEN, "data are never changed");
    assert_eq!(reply.value.expiration, None);
}

#[tokio::test(start_paused = true)]
async fn metadata_go_in_a_part_of_their_own() {
    let (sim, api) = scripted(|_| success("{}"));
    let plain = Put::new(Bytes::from_static(b"\xff\r\n"), None, Expiry::In(60));
    once(|attempt| api.put_value("ns", "k", &plain, attempt)).await.unwrap();
    let request = sim.last();
    assert_eq!(request.headers()["content-type"], "application/octet-stream");
    assert_eq!(request.body().as_ref(), b"\xff\r\n");
    assert_eq!(request.uri().query(), Some("expiration_ttl=60"));

    let metadata = RawValue::from_string(r#"{"a":"é"}"#.into()).unwrap();
    let value = Bytes::from_static(b"--windlass0000000000000000--");
    let parts = Put::new(value, Some(&metadata), Expiry::At(1_800_000_000));
    once(|attempt| api.put_value("ns", "k", &parts, attempt)).await.unwrap();
    let request = sim.last();
    assert_eq!(request.uri().query(), Some("expiration=1800000000"));
    let boundary = "windlass0000000000000001";
    let kind = format!("multipart/form-data; boundary={boundary}");
    assert_eq!(request.headers()["content-type"], kind.as_str());
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"value\"; filename=\"value\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n--windlass0000000000000000--\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n\
         {{\"a\":\"é\"}}\r\n--{boundary}--\r\n"
    );
    assert_eq!(std::str::from_utf8(request.body()).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_read_has_values_metadata_and_gaps() {
    let (sim, api) = scripted(|_| {
        success(
            r#"{"values":{"a":{"value":"1","metadata":{"z":1.0,"a":2},"expiration":7},"b":null,
                "c":{"value":"\ufffd","metadata":null},"d":"alone"}}"#,
        )
    });
    let keys = ["a", "b", "c", "d", "e"];
    let found = once(|attempt| api.bulk_get("ns", &keys, attempt)).await.unwrap().value;
    assert_eq!(
        sim.last().body().as_ref(),
        br#"{"keys":["a","b","c","d","e"],"withMetadata":true}"#
    );
    let a = found["a"].as_ref().unwrap();
    assert_eq!((&*a.value, a.expiration), ("1", Some(7)));
    assert_eq!(a.metadata.as_ref().unwrap().get(), r#"{"z":1.0,"a":2}"#, "as it is written");
    assert!(found["b"].is_none() && !found.contains_key("e"));
    let c = found["c"].as_ref().unwrap();
    assert!(c.may_be_binary() && c.metadata.is_none());
    assert_eq!(found["d"].as_ref().unwrap().value, "alone");
}

#[tokio::test(start_paused = true)]
async fn a_bulk_call_tells_what_was_left_undone() {
    let answers = Mutex::new(VecDeque::from([
        success(r#"{"successful_key_count":2,"unsuccessful_keys":["c"]}"#),
        success("null"),
        success(r#""""#),
        success(r#"{"unsuccessful_keys":null}"#),
        respond(
            400,
            &[],
            r#"{"success":false,"errors":[{"code":1,"message":"x"}],
                "result":{"successful_key_count":1,"unsuccessful_keys":["a","b"]}}"#,
        ),
    ]));
    let (sim, api) = scripted(move |_| answers.lock().unwrap().pop_front().unwrap());
    let body = Bytes::from_static(br#"["a","b","c"]"#);
    let mut told = Vec::new();
    for _ in 0..5 {
        let delete = |attempt| api.bulk_delete("ns", body.clone(), 3, attempt);
        let reply = once(delete).await.unwrap().value;
        assert!(reply.accounts_for(3));
        told.push((reply.successful, reply.unsuccessful.join(",")));
    }
    let expected = [(Some(2), "c"), (None, ""), (None, ""), (None, ""), (Some(1), "a,b")];
    assert_eq!(told, expected.map(|(count, names)| (count, names.to_owned())));
    assert!(sim.asked()[0].starts_with("POST ") && sim.asked()[0].ends_with("/ns/bulk/delete"));
    assert_eq!(sim.last().headers()["content-type"], "application/json");
}

#[test]
fn an_account_of_a_batch_must_add_up() {
    let reply = |successful, names: &[&str]| BulkReply {
        successful,
        unsuccessful: names.iter().map(|&name| name.to_owned()).collect(),
    };
    assert!(reply(Some(3), &[]).accounts_for(3) && reply(None, &[]).accounts_for(3));
    assert!(!reply(Some(2), &[]).accounts_for(3));
    assert!(!reply(Some(3), &["a"]).accounts_for(3));
    assert!(!reply(None, &["a"]).accounts_for(3), "who knows of the others");
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_a_failure() {
    let (_, api) = scripted(|_| respond(524, &[], "<html>"));
    let put = |attempt| api.bulk_put("ns", Bytes::from_static(b"[]"), 2, attempt);
    let failure = once(put).await.unwrap_err();
    assert_eq!((failure.kind, failure.may_have_happened), (Kind::TooLarge, true));
    let (_, api) = scripted(|_| respond(200, &[], r#"{"success":false,"errors":[]}"#));
    let put = |attempt| api.bulk_put("ns", Bytes::from_static(b"[]"), 2, attempt);
    assert_eq!(once(put).await.unwrap_err().kind, Kind::Rejected);
    let (_, api) = scripted(|_| respond(200, &[], "<html>"));
    let put = |attempt| api.bulk_put("ns", Bytes::from_static(b"[]"), 2, attempt);
    assert_eq!(once(put).await.unwrap_err().kind, Kind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn the_account_has_namespaces_and_zones() {
    let (sim, api) = scripted(|request| match request.uri().path() {
        "/client/v4/zones" => respond(
            StatusCode::OK.as_u16(),
            &[],
            r#"{"success":true,"messages":["x",{"code":1,"message":"y"}],"errors":[],
                "result":[{"id":"z1","name":"a.example","status":"active","new":1}],
                "result_info":{"page":1,"total_count":70}}"#,
        ),
        _ => success(r#"[{"id":"n1","title":"One","supports_url_encoding":true}]"#),
    });
    let listed = once(|attempt| api.namespaces(2, attempt)).await.unwrap().value;
    assert_eq!((listed.items[0].title.as_str(), listed.total), ("One", None));
    let wanted = ZoneQuery { name: Some("a&b"), account: Some("acc"), page: 1 };
    let zones = once(|attempt| api.zones(&wanted, attempt)).await.unwrap().value;
    assert_eq!((zones.items[0].name.as_str(), zones.total), ("a.example", Some(70)));
    assert_eq!(
        sim.asked(),
        [
            "GET /client/v4/accounts/acc/storage/kv/namespaces?per_page=1000&page=2&order=title\
             &direction=asc",
            "GET /client/v4/zones?per_page=50&page=1&name=a%26b&account.id=acc",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_purge_goes_to_its_zone_and_environment() {
    let (sim, api) = scripted(|_| success(r#"{"id":"z"}"#));
    let body = || Bytes::from_static(br#"{"tags":["a"]}"#);
    once(|attempt| api.purge("z", None, Action::Purge, body(), 1, attempt)).await.unwrap();
    let environment = Some("e1");
    once(|attempt| api.purge("z", environment, Action::Invalidate, body(), 1, attempt))
        .await
        .unwrap();
    assert_eq!(
        sim.asked(),
        [
            "POST /client/v4/zones/z/purge_cache",
            "POST /client/v4/zones/z/environments/e1/invalidate_cache"
        ]
    );
    assert_eq!(sim.last().body(), &body());
}

#[tokio::test(start_paused = true)]
async fn a_reserve_of_the_quota_is_kept_for_others() {
    let left = AtomicU32::new(62);
    let answer = move |_: &Request<Bytes>| {
        let left = left.fetch_sub(1, Ordering::Relaxed) - 1;
        let told = format!("\"burst\";r=90;t=1, \"default\";r={left};t=250");
        respond(200, &[("ratelimit", &*told)], success("null").into_body())
    };
    let remote = Scripted { answer, asked: Mutex::default() };
    let remote = Arc::new(remote);
    let api = api_to(Transport::in_process(Arc::clone(&remote) as Arc<_>), 60);
    let (gate, context) = patientless();
    for _ in 0..3 {
        gate.call(&context, 0, false, |attempt| api.metadata("ns", "k", attempt)).await.unwrap();
    }
    // Two of the 62 are ours: the third request waits until the quota is fresh.
    assert_eq!(remote.asked().len(), 3);
    let waited = context.clock.now().saturating_since(windlass_engine::Moment::ZERO).as_secs();
    assert!((249..=251).contains(&waited), "{waited}");
}
