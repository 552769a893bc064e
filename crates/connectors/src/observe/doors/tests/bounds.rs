use super::*;

/// Reads what comes until the connection ends, with the clock of the test.
async fn rest(mut stream: DuplexStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_refused() {
    let house = House::new();
    let mut stream = house.connect();
    let start = tokio::time::Instant::now();
    let head = format!("{}content-length: 1000\r\n\r\nx", Sent::rudder("").head());
    stream.write_all(head.as_bytes()).await.unwrap();
    let got = Got::parse(&rest(stream).await);
    assert_eq!(got.brief(), (408, TEXT, "failed to read body from request\n"));
    // The grace of 5 s, and what one byte earns at 1,024 a second.
    assert_eq!(start.elapsed().as_millis(), 5_001);
    assert_eq!(house.doors.free_memory(), 256 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_refused_and_a_slow_one_is_not() {
    let house = House::new();
    let trickle = async |piece: usize| {
        let mut stream = house.connect();
        let body = format!(r#"{{"batch":[{{"userId":"u","x":"{}"}}]}}"#, "x".repeat(40_000));
        let head = format!(
            "{}connection: close\r\ncontent-length: {}\r\n\r\n",
            Sent::rudder("").head(),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for piece in body.as_bytes().chunks(piece) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stream.write_all(piece).await.is_err() {
                break;
            }
        }
        Got::parse(&rest(stream).await).status
    };
    assert_eq!(trickle(500).await, 408);
    assert_eq!(trickle(2_000).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_must_come_within_its_limit_at_any_rate() {
    let mut limits = limits();
    limits.rudder.time = Duration::from_secs(10);
    let house = House::with(limits, keys(), false);
    let mut stream = house.connect();
    let start = tokio::time::Instant::now();
    let head = format!("{}content-length: 90000\r\n\r\n", Sent::rudder("").head());
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..12 {
        if stream.write_all(&[b' '; 5_000]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(Got::parse(&rest(stream).await).status, 408);
    assert!(start.elapsed() <= Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection() {
    let house = House::new();
    let mut stream = house.connect();
    let start = tokio::time::Instant::now();
    stream.write_all(b"POST /v1/batch HTTP/1.1\r\nhost:").await.unwrap();
    let got = rest(stream).await;
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 408"), "{got}");
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(house.doors.counters().connections(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::new();
    let sent = Sent::rudder(TRACK).header("x-padding", &"x".repeat(70_000));
    let got = house.exchange(&sent.bytes()).await;
    assert!(got.starts_with("HTTP/1.1 431"), "{got}");
}

#[tokio::test]
async fn bodies_together_are_bounded() {
    let mut limits = limits();
    limits.memory = 64 << 10;
    let house = House::with(limits, keys(), false);
    let large = format!(r#"{{"batch":[{{"userId":"u","x":"{}"}}]}}"#, "x".repeat(70_000));
    let got = house.send(Sent::rudder(&large)).await;
    assert_eq!(got.brief(), (503, TEXT, "service unavailable\n"));
    let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait));
    // Unpacked bytes count too.
    let packed = Sent::rudder(gzip(large.as_bytes())).header("content-encoding", "gzip");
    assert_eq!(house.send(packed).await.status, 503);
    assert_eq!(house.send(Sent::rudder(TRACK)).await.status, 200);
    assert_eq!(house.doors.free_memory(), 64 << 10);
}

#[tokio::test]
async fn memory_is_held_until_the_events_are_taken() {
    let house = House::new();
    house.keeper.gate.forget_permits(1_000_000);
    let mut stream = house.connect();
    stream.write_all(&Sent::rudder(TRACK).bytes()).await.unwrap();
    while house.doors.free_memory() == 256 << 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.doors.free_memory(), (256 << 20) - 1_024);
    house.keeper.gate.add_permits(1);
    rest(stream).await;
    assert_eq!(house.doors.free_memory(), 256 << 20);
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_read_and_refused() {
    let house = House::new();
    let got = house.send(Sent::rudder("x".repeat(150_000))).await;
    assert_eq!(got.status, 413);
    // One that is chunked is found out on the way.
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, "x".repeat(60_000));
    let bytes = format!(
        "{}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n",
        Sent::rudder("").head()
    );
    assert_eq!(Got::parse(&house.exchange(bytes.as_bytes()).await).status, 413);
}

#[tokio::test]
async fn large_bodies_are_read_beside_the_other_tasks() {
    let mut limits = limits();
    limits.otlp.packed = 1 << 20;
    limits.otlp.unpacked = 1 << 20;
    let house = House::with(limits, keys(), false);
    let ids: Vec<u8> = (1..=250).cycle().take(10_000).collect();
    let body = otlp(&ids);
    assert!(body.len() > 300_000);
    let got = house.send(Sent::post("/v1/traces", body).header("content-type", PROTOBUF)).await;
    assert_eq!(got.brief(), (200, PROTOBUF, ""));
    assert_eq!(house.brought()[0].arrival.drafts.len(), 10_000);
}

#[tokio::test]
async fn too_many_spans_are_refused() {
    let mut limits = limits();
    limits.spans = 2;
    let house = House::with(limits, keys(), false);
    let got = house
        .send(Sent::post("/v1/traces", otlp(&[1, 2, 3])).header("content-type", PROTOBUF))
        .await;
    assert_eq!(got.status, 400);
    assert!(got.body.ends_with("the request has more than 2 spans; send it in parts"));
}
