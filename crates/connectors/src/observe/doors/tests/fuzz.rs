use super::*;
use proptest::prelude::*;

const PATHS: [&str; 9] = [
    "/v1/traces",
    "/api/public/otel/v1/traces",
    "/api/public/ingestion",
    "/api/public/scores",
    "/v1/batch",
    "/v1/track",
    "/beacon/v1/batch?writeKey=wk",
    "/health",
    "/nothing",
];

/// What looks like a request.
const REQUEST: &str = "(POST|GET|OPTIONS|X) /[a-z/0-9?=%]{0,30} HTTP/1.[01]\r\n\
    ([a-z-]{1,12}: [ -~]{0,20}\r\n){0,4}\r\n[ -~]{0,60}";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn any_body_at_any_door_is_answered(
        path in proptest::sample::select(PATHS.as_slice()),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            "[\\[{\":,}\\] a-e0-9.\\\\u]{0,200}".prop_map(String::into_bytes),
        ],
        kind in proptest::sample::select(vec![PROTOBUF, "application/json"]),
        encoding in proptest::sample::select(vec!["identity", "gzip", "deflate", "zstd", "br"]),
    ) {
        run(async {
            let house = House::new();
            let sent = Sent::post(path, body)
                .header("content-type", kind)
                .header("content-encoding", encoding);
            let got = house.send(sent).await;
            prop_assert!([200, 202, 207, 400, 401, 405, 415].contains(&got.status), "{got:?}");
            prop_assert_eq!(house.doors.free_memory(), 256 << 20);
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_on_a_connection_end_it(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            REQUEST.prop_map(String::into_bytes),
        ],
    ) {
        run(async {
            let house = House::new();
            house.exchange(&bytes).await;
            while house.doors.counters().connections() > 0 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!(house.doors.free_memory(), 256 << 20);
            Ok(())
        })?;
    }
}
