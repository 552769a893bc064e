use crate::observe::otlp::answer::{
    Code, Encoding, partial_success, read_partial_success, status, success,
};
use crate::observe::otlp::request::Refused;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

fn refused() -> Refused {
    Refused { count: 3, reason: "bad ids".into() }
}

#[test]
fn success_leaves_the_partial_success_unset() {
    assert_eq!(success(Encoding::Protobuf), b"");
    assert_eq!(success(Encoding::Json), b"{}");
    assert_eq!(partial_success(Encoding::Json, &Refused::default()), b"{}");
}

#[test]
fn a_partial_success_is_that_of_the_specification() {
    let bytes = partial_success(Encoding::Protobuf, &refused());
    let partial = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap();
    let partial = partial.partial_success.unwrap();
    assert_eq!((partial.rejected_spans, &*partial.error_message), (3, "bad ids"));
    assert_eq!(
        partial_success(Encoding::Json, &refused()),
        br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"bad ids"}}"#
    );
}

#[test]
fn partial_successes_are_read() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let body = partial_success(encoding, &refused());
        assert_eq!(read_partial_success(encoding, &body), Some(refused()));
        assert_eq!(read_partial_success(encoding, &success(encoding)), None);
    }
    let read = |body: &str| read_partial_success(Encoding::Json, body.as_bytes());
    assert_eq!(read(r#"{"partialSuccess":{}}"#), None);
    assert_eq!(
        read(r#"{"partialSuccess":{"rejectedSpans":2}}"#),
        Some(Refused { count: 2, reason: String::new() })
    );
    assert_eq!(
        read(r#"{"partialSuccess":{"errorMessage":"slow down"}}"#),
        Some(Refused { count: 0, reason: "slow down".into() })
    );
    assert_eq!(read(r#"{"job":{"id":"7"}}"#), None);
    assert_eq!(read("OK"), None);
    assert_eq!(read_partial_success(Encoding::Protobuf, b"{}"), None);
}

#[test]
fn a_status_has_its_code_and_message() {
    assert_eq!(status(Encoding::Protobuf, Code::InvalidArgument, "no"), [8, 3, 18, 2, b'n', b'o']);
    assert_eq!(
        status(Encoding::Json, Code::Unavailable, "say \"later\""),
        br#"{"code":14,"message":"say \"later\""}"#
    );
}
