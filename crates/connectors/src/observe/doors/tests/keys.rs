use super::*;
use crate::observe::doors::Presented;
use http::HeaderMap;

#[tokio::test]
async fn requests_without_a_known_key_are_refused_in_every_dialect() {
    let house = House::new();
    let send = async |path: &'static str, pair: Option<&str>| {
        let mut sent = Sent::post(path, TRACK).without_headers();
        sent.headers.extend(pair.map(basic));
        house.send(sent.header("content-type", PROTOBUF)).await
    };
    let got = send("/v1/batch", None).await;
    assert_eq!(got.brief(), (401, TEXT, "failed to read writekey from header\n"));
    let got = send("/v1/batch", Some("other:")).await;
    assert_eq!(got.brief(), (401, TEXT, "invalid write key\n"));
    let got = send("/v1/batch", Some(":")).await;
    assert_eq!(got.brief(), (401, TEXT, "failed to read writekey from header\n"));
    let got = send("/beacon/v1/batch", None).await;
    assert_eq!(got.brief(), (401, TEXT, "failed to read writekey from query params\n"));
    let got = send("/api/public/ingestion", Some("pk:wrong")).await;
    assert_eq!(
        got.brief(),
        (
            401,
            JSON,
            concat!(
                r#"{"error":"UnauthorizedError","message":"Invalid credentials. "#,
                r#"Confirm that you've configured the correct host."}"#,
            )
        )
    );
    let got = send("/v1/traces", None).await;
    assert_eq!(got.brief(), (401, PROTOBUF, "\u{8}\u{10}\u{12}\u{17}No authorization header"));
    assert_eq!(house.brought().len(), 0);
}

#[tokio::test]
async fn every_kind_of_key_opens_every_door() {
    let house = House::new();
    let status = async |sent: Sent<'_>| house.send(sent).await.status;
    let bare = || Sent::rudder(TRACK).without_headers();
    assert_eq!(status(bare().header("authorization", "Bearer token")).await, 200);
    assert_eq!(status(bare().header("authorization", "bearer  token")).await, 200);
    assert_eq!(status(bare().header("x-api-key", "token")).await, 200);
    assert_eq!(status(bare().header("authorization", "Bearer wk")).await, 401);
    assert_eq!(status(bare().header("authorization", "Digest x")).await, 401);
    assert_eq!(status(Sent { headers: vec![basic("pk:sk")], ..bare() }).await, 200);
    assert_eq!(status(Sent { headers: vec![basic("wk:anything")], ..bare() }).await, 200);
    assert_eq!(status(Sent { headers: vec![basic("pk")], ..bare() }).await, 401);
    let mut beacon = bare();
    beacon.line = "/beacon/v1/batch?x=1&writeKey=%77k";
    assert_eq!(status(beacon.clone()).await, 200);
    beacon.line = "/beacon/v1/batch?api_key=wk";
    assert_eq!(status(beacon.clone()).await, 200);
    // Only a beacon may have its key in the address.
    beacon.line = "/v1/batch?writeKey=wk";
    assert_eq!(status(beacon).await, 401);
}

#[tokio::test]
async fn without_keys_only_this_machine_may_come_in() {
    let house = House::with(limits(), Keys::new([]).unwrap(), false);
    let send = async |from: &str, sent: Sent<'_>| {
        let stream = house.connect_from(from, false);
        Got::parse(&exchange(stream, &sent.bytes()).await).status
    };
    let sent = || Sent::rudder(TRACK).without_headers();
    assert_eq!(send("127.0.0.1:1", sent()).await, 200);
    assert_eq!(send("[::1]:1", sent()).await, 200);
    assert_eq!(send("[::ffff:127.0.0.1]:1", sent()).await, 200);
    assert_eq!(send("203.0.113.7:1", sent()).await, 401);
    let forwarded = sent().header("x-forwarded-for", "203.0.113.7");
    assert_eq!(send("127.0.0.1:1", forwarded).await, 401);
    assert_eq!(house.brought()[0].project, "default");
}

#[test]
fn keys_show_themselves_nowhere() {
    let key = Key::Pair { public: "pk-1".into(), secret: "sk-1".into() };
    assert_eq!(format!("{key:?} {:?}", keys()), "Pair 3 keys");
}

#[test]
fn headers_that_are_no_text_present_nothing() {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", http::HeaderValue::from_bytes(b"Basic \xff").unwrap());
    assert!(Presented::of_headers(&headers).is_none());
    headers.insert("authorization", http::HeaderValue::from_static("Basic !!"));
    assert!(Presented::of_headers(&headers).is_none());
    assert!(Presented::of_query("writeKey=&api_key").is_none());
}
