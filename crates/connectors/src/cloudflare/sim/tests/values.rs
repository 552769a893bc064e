//! Single values and their metadata.

use super::*;

async fn put(sim: &CloudflareSim, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
    let request = Request::builder().method(Method::PUT).uri(format!("{API}{path}"));
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    let request = request.header("content-type", kind).body(Bytes::copy_from_slice(body));
    answer(&sim.call(request.unwrap()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_value_is_bytes_and_a_write_replaces_everything() {
    let (sim, ns) = with_namespace(with_keys(0));
    let path = kv(&ns, "/values/a%2Fb%20c%3A%25%C3%BC");
    let bytes = [0, 255, b'"', b'\r', b'\n', 254];
    let late = START + 1_000;
    let form = form(&bytes, Some(r#"{ "b": "x y", "a": [1, 2] }"#));
    let (status, body) = put(&sim, &format!("{path}?expiration={late}"), FORM, &form).await;
    assert_eq!((status, &body["result"]), (200, &json!({})));
    let kept = sim.value(&ns, "a/b c:%ü").unwrap();
    assert_eq!(kept, (bytes.to_vec(), Some(r#"{"b":"x y","a":[1,2]}"#.to_owned()), Some(late)));
    let reply = send(&sim, Method::GET, &path, "").await;
    assert_eq!(&reply.body()[..], &bytes);
    assert_eq!(header(reply.headers(), "content-type"), "application/octet-stream");
    assert_eq!(header(reply.headers(), "expiration"), late.to_string());
    let metadata = get(&sim, &kv(&ns, "/metadata/a%2Fb%20c%3A%25%C3%BC")).await.1;
    assert_eq!(metadata["result"], json!({"b": "x y", "a": [1, 2]}));
    // A plain write keeps neither; metadata in the query is no part of the API.
    put(&sim, &format!("{path}?metadata=%7B%7D"), "text/plain", b"new").await;
    assert_eq!(sim.value(&ns, "a/b c:%ü"), Some((b"new".to_vec(), None, None)));
    let reply = send(&sim, Method::GET, &path, "").await;
    assert!(!reply.headers().contains_key("expiration"));
    assert_eq!(
        get(&sim, &kv(&ns, "/metadata/a%2Fb%20c%3A%25%C3%BC")).await.1["result"],
        json!(null)
    );
}

const FORM: &str = "multipart/form-data; boundary=\"edge\"";

fn form(value: &[u8], metadata: Option<&str>) -> Vec<u8> {
    let mut form = b"--edge\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\n".to_vec();
    form.extend_from_slice(value);
    if let Some(metadata) = metadata {
        let head = "\r\n--edge\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n";
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(metadata.as_bytes());
    }
    form.extend_from_slice(b"\r\n--edge--\r\n");
    form
}

#[tokio::test(start_paused = true)]
async fn absent_keys_are_not_found_but_deleted_all_the_same() {
    let (sim, ns) = with_namespace(with_keys(3));
    for path in ["/values/absent", "/metadata/absent"] {
        assert_eq!(refusal(&get(&sim, &kv(&ns, path)).await), (404, 10_009));
    }
    let first = sim.keys(&ns)[0].clone();
    for (key, left, effect) in [(first.as_str(), 2, true), (&first, 2, false), ("absent", 2, false)]
    {
        let reply = send(&sim, Method::DELETE, &kv(&ns, &format!("/values/{key}")), "").await;
        assert_eq!((answer(&reply).0, sim.len(&ns)), (200, left));
        let mut last = None;
        sim.ledger().each(|entry| last = Some(entry.effect));
        assert_eq!(last, Some(effect));
    }
    assert_eq!(
        send(&sim, Method::GET, &kv(&ns, &format!("/values/{first}")), "").await.status(),
        404
    );
    assert_eq!((sim.counts().delete, sim.counts().get, sim.counts().metadata), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn names_have_their_bounds() {
    let (sim, ns) = with_namespace(with_keys(0));
    let status = async |key: &str| {
        let path = kv(&ns, &format!("/values/{}", encoded(key)));
        send(&sim, Method::PUT, &path, "v").await.status().as_u16()
    };
    assert_eq!(status(&"k".repeat(512)).await, 200);
    assert_eq!(status(&"k".repeat(513)).await, 414);
    assert_eq!(status(&"ü".repeat(257)).await, 414, "bytes count, not letters");
    assert_eq!([status(".").await, status("..").await, status("").await], [400, 400, 400]);
    assert_eq!(status("...").await, 200);
    let path = kv(&ns, "/values/%FF");
    assert_eq!(refusal(&answer(&send(&sim, Method::PUT, &path, "v").await)), (400, 10_001));
    let unencoded = kv(&ns, "/values/a/b");
    assert_eq!(refusal(&answer(&send(&sim, Method::PUT, &unencoded, "v").await)), (404, 7_000));
}

#[tokio::test(start_paused = true)]
async fn a_life_is_a_minute_at_least_and_wins_over_an_instant() {
    let (sim, ns) = with_namespace(with_keys(0));
    let expiry = async |query: &str| {
        let path = kv(&ns, &format!("/values/k?{query}"));
        let reply = send(&sim, Method::PUT, &path, "v").await;
        if reply.status() == 200 {
            return Ok(sim.value(&ns, "k").unwrap().2);
        }
        Err(refusal(&answer(&reply)))
    };
    assert_eq!(expiry("expiration_ttl=60").await, Ok(Some(START + 60)));
    assert_eq!(expiry("expiration_ttl=59").await, Err((400, 10_001)));
    assert_eq!(expiry(&format!("expiration={}", START + 60)).await, Ok(Some(START + 60)));
    assert_eq!(expiry(&format!("expiration={}", START + 59)).await, Err((400, 10_001)));
    let both = format!("expiration={}&expiration_ttl=100", START + 900);
    assert_eq!(expiry(&both).await, Ok(Some(START + 100)));
    assert_eq!(expiry("expiration=soon").await, Err((400, 10_001)));
    assert_eq!(expiry("").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn values_and_metadata_have_their_sizes() {
    let (sim, ns) = with_namespace(with_keys(0));
    let path = kv(&ns, "/values/k");
    assert_eq!(send(&sim, Method::PUT, &path, vec![b'v'; 25 << 20]).await.status(), 200);
    let reply = answer(&send(&sim, Method::PUT, &path, vec![b'v'; (25 << 20) + 1]).await);
    assert_eq!(refusal(&reply), (413, 10_001));
    let metadata = |length: usize| format!("\"{}\"", "m".repeat(length - 2));
    assert_eq!(put(&sim, &path, FORM, &form(b"v", Some(&metadata(1_024)))).await.0, 200);
    let spaced = format!("  {}  ", metadata(1_024));
    assert_eq!(put(&sim, &path, FORM, &form(b"v", Some(&spaced))).await.0, 200);
    let long = put(&sim, &path, FORM, &form(b"v", Some(&metadata(1_025)))).await;
    assert_eq!(refusal(&long), (413, 10_001));
    let broken = put(&sim, &path, FORM, &form(b"v", Some("{\"a\":"))).await;
    assert_eq!(refusal(&broken), (400, 10_001));
    assert_eq!(refusal(&put(&sim, &path, FORM, b"--edge\r\nno end").await), (400, 10_001));
}

#[tokio::test(start_paused = true)]
async fn generated_values_are_text_or_bytes_of_the_wanted_length() {
    for value_bytes in [0, 3, 64, 5_000] {
        let (sim, ns) = with_namespace(Options { value_bytes, binary_every: 3, ..with_keys(9) });
        for (at, key) in sim.keys(&ns).iter().enumerate() {
            let reply = send(&sim, Method::GET, &kv(&ns, &format!("/values/{key}")), "").await;
            let value = reply.body();
            assert_eq!(value.len(), value_bytes);
            assert_eq!(sim.value(&ns, key).unwrap().0, &value[..]);
            let is_text = value_bytes == 0 || at % 3 != 0;
            assert_eq!(std::str::from_utf8(value).is_ok(), is_text, "{at}");
        }
    }
    let (sim, ns) = with_namespace(with_keys(2));
    let values: Vec<_> = sim.keys(&ns).iter().map(|key| sim.value(&ns, key).unwrap().0).collect();
    assert!(values[1].starts_with(b"value 1 ") && values[0] != values[1]);
}
