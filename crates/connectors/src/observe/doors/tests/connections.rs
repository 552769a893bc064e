use super::*;
use crate::observe::doors::serve::Stopped;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Reads one answer with a body of a known length.
async fn one_answer<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn keep_alive(sent: &Sent<'_>) -> Vec<u8> {
    let head = format!("{}content-length: {}\r\n\r\n", sent.head(), sent.body.len());
    [head.as_bytes(), &sent.body].concat()
}

#[tokio::test]
async fn two_requests_in_one_piece_are_both_answered() {
    let house = House::new();
    let mut other = Sent::rudder(TRACK);
    other.line = "/v1/nothing";
    let both = [keep_alive(&Sent::rudder(TRACK)), other.bytes()].concat();
    let got = house.exchange(&both).await;
    assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 2, "{got}");
    assert!(got.contains("\r\n\r\nokHTTP/1.1 200 OK"), "{got}");
    assert!(got.ends_with("page /v1/nothing"), "{got}");
}

#[tokio::test]
async fn a_connection_serves_many_requests_also_after_a_refusal() {
    let house = House::new();
    let mut stream = house.connect();
    for sent in [Sent::rudder(TRACK), Sent::rudder(TRACK).without_headers(), Sent::rudder(TRACK)] {
        stream.write_all(&keep_alive(&sent)).await.unwrap();
        let status = if sent.headers.is_empty() { "401" } else { "200" };
        let got = one_answer(&mut stream).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
    }
    assert_eq!(house.doors.counters().connections(), 1);
}

#[tokio::test]
async fn a_client_that_asks_whether_to_go_on_is_told() {
    let house = House::new();
    let mut stream = house.connect();
    let sent = Sent::rudder(TRACK).header("expect", "100-continue");
    let bytes = keep_alive(&sent);
    let (head, body) = bytes.split_at(bytes.len() - TRACK.len());
    stream.write_all(head).await.unwrap();
    assert_eq!(one_answer(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).await.unwrap();
    assert!(one_answer(&mut stream).await.ends_with("\r\n\r\nok"));
    // Without a key it is told so at once.
    let sent = Sent::rudder(TRACK).without_headers().header("expect", "100-continue");
    let mut stream = house.connect();
    let bytes = keep_alive(&sent);
    stream.write_all(&bytes[..bytes.len() - TRACK.len()]).await.unwrap();
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back() {
    let house = House::new();
    let stream = house.connect_from("203.0.113.7:1", true);
    let got = Got::parse(&exchange(stream, &keep_alive(&Sent::rudder(TRACK))).await);
    assert_eq!(got.brief(), (503, TEXT, "service unavailable\n"));
    assert!(["1", "2", "3"].contains(&got.header("retry-after").unwrap()));
    assert_eq!(house.brought().len(), 0);
}

/// Doors on a port of this machine, and what closes them.
async fn open(
    house: &House,
) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<Stopped>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (close, closed) = oneshot::channel::<()>();
    let serving = house.doors.clone().serve(listener, async {
        let _asked = closed.await;
    });
    (address, close, tokio::spawn(serving))
}

#[tokio::test]
async fn closing_finishes_what_is_under_way() {
    let house = House::new();
    house.keeper.gate.forget_permits(1_000_000);
    let (address, close, serving) = open(&house).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(&keep_alive(&Sent::rudder(TRACK))).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    while house.doors.counters().connections() < 2 || house.doors.free_memory() == 256 << 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    close.send(()).unwrap();
    // The idle connection ends at once, the busy one after its answer.
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(!serving.is_finished());
    house.keeper.gate.add_permits(1);
    assert!(one_answer(&mut busy).await.ends_with("\r\n\r\nok"));
    assert_eq!(serving.await.unwrap(), Stopped { finished: 2, cut: 0 });
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn closing_cuts_what_takes_too_long() {
    let mut limits = limits();
    limits.stop_time = Duration::from_millis(50);
    let house = House::with(limits, keys(), false);
    house.keeper.gate.forget_permits(1_000_000);
    let (address, close, serving) = open(&house).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(&keep_alive(&Sent::rudder(TRACK))).await.unwrap();
    while house.doors.free_memory() == 256 << 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    close.send(()).unwrap();
    assert_eq!(serving.await.unwrap(), Stopped { finished: 0, cut: 1 });
    assert_eq!(house.doors.counters().connections(), 0);
    assert_eq!(house.doors.free_memory(), 256 << 20);
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let mut limits = limits();
    limits.connections = 1;
    let house = House::with(limits, keys(), false);
    let (address, _close, _serving) = open(&house).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&keep_alive(&Sent::rudder(TRACK))).await.unwrap();
    assert!(one_answer(&mut first).await.ends_with("ok"));
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(&keep_alive(&Sent::rudder(TRACK))).await.unwrap();
    assert!(one_answer(&mut second).await.starts_with("HTTP/1.1 503"));
    assert_eq!(house.doors.counters().refused_connections(), 1);
}
