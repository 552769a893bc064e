use crate::observe::otlp::span::{BadSpan, SpanView};
use crate::observe::otlp::wire::*;
use proptest::prelude::*;

fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    Reader::new(bytes).collect()
}

#[test]
fn numbers_of_every_kind_are_read() {
    assert_eq!(all(&[0x08, 0x96, 0x01]).unwrap()[0].value, Value::Varint(150));
    let widest = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(all(&widest).unwrap()[0].value, Value::Varint(u64::MAX));
    assert_eq!(all(&[0x0d, 1, 0, 0, 0]).unwrap()[0].value, Value::Fixed32(1));
    assert_eq!(all(&[0x09, 2, 0, 0, 0, 0, 0, 0, 0]).unwrap()[0].value, Value::Fixed64(2));
    assert_eq!(all(&[0x12, 2, b'h', b'i']).unwrap()[0].value, Value::Bytes(b"hi"));
    assert_eq!(all(&[]).unwrap(), []);
}

#[test]
fn groups_are_skipped() {
    // Group 1 with a varint and an empty group 2 in it, then field 3.
    let bytes = [0x0b, 0x08, 0x05, 0x13, 0x14, 0x0c, 0x18, 0x07];
    let fields = all(&bytes).unwrap();
    assert_eq!(fields[0].value, Value::Group);
    assert_eq!(fields[0].raw, &bytes[..6]);
    assert_eq!(fields[1].value, Value::Varint(7));
    assert_eq!(all(&[0x0b, 0x14]), Err(Malformed::BadTag));
    assert_eq!(all(&[0x0b]), Err(Malformed::Short));
    assert_eq!(all(&[0x0b; 200]), Err(Malformed::TooDeep));
}

#[test]
fn what_cannot_be_is_an_error() {
    assert_eq!(all(&[0x80]), Err(Malformed::Short));
    assert_eq!(all(&[0x08, 0x80]), Err(Malformed::Short));
    assert_eq!(all(&[0x12, 3, b'h', b'i']), Err(Malformed::Short));
    let endless = [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(all(&endless), Err(Malformed::Short));
    assert_eq!(all(&[0x09, 1, 2, 3]), Err(Malformed::Short));
    assert_eq!(all(&[0x00]), Err(Malformed::BadTag));
    assert_eq!(all(&[0x0e]), Err(Malformed::BadTag));
    assert_eq!(all(&[0x0c]), Err(Malformed::BadTag));
    let mut wide = vec![0x08];
    wide.extend([0xff; 9]);
    wide.push(0x02);
    assert_eq!(all(&wide), Err(Malformed::LongVarint));
}

#[test]
fn a_span_of_a_log_record_is_refused() {
    // A LogRecord begins with a fixed64 time as its field 1, where a span has its trace id.
    let mut log = Vec::new();
    put_fixed64(&mut log, 1, 1_700_000_000);
    assert_eq!(SpanView::parse(&log).unwrap_err(), BadSpan::Malformed(Malformed::WrongType));
    assert_eq!(SpanView::parse(&[]).unwrap_err(), BadSpan::TraceId);
    let mut short = Vec::new();
    put_bytes(&mut short, 1, &[1; 16]);
    put_bytes(&mut short, 2, &[1; 7]);
    assert_eq!(SpanView::parse(&short).unwrap_err(), BadSpan::SpanId);
    put_bytes(&mut short, 2, &[1; 8]);
    put_bytes(&mut short, 4, &[1; 3]);
    assert_eq!(SpanView::parse(&short).unwrap_err(), BadSpan::ParentId);
    put_bytes(&mut short, 4, &[0; 8]);
    assert_eq!(SpanView::parse(&short).unwrap().parent_span_id, None);
    put_bytes(&mut short, 5, &[0xff]);
    assert_eq!(SpanView::parse(&short).unwrap_err(), BadSpan::Malformed(Malformed::NotText));
}

#[test]
fn known_fields_of_the_wrong_type_are_refused() {
    let mut span = Vec::new();
    put_bytes(&mut span, 1, &[1; 16]);
    put_bytes(&mut span, 2, &[1; 8]);
    // A count, flags, and the counts and flags of an event and a link.
    let mut flags = Vec::new();
    put_number(&mut flags, 6, 1);
    let mut count = Vec::new();
    put_fixed32(&mut count, 4, 1);
    for (number, content) in [(10, &[][..]), (16, &[]), (11, &count), (13, &flags)] {
        let mut wrong = span.clone();
        put_bytes(&mut wrong, number, content);
        assert_eq!(
            SpanView::parse(&wrong).unwrap_err(),
            BadSpan::Malformed(Malformed::WrongType),
            "{number}"
        );
    }
    assert!(SpanView::parse(&span).is_ok());
}

proptest! {
    #[test]
    fn lengths_are_those_of_the_bytes(number in any::<u64>(), field in 1u32..=536_870_911) {
        let mut out = Vec::new();
        put_varint(&mut out, number);
        prop_assert_eq!(out.len(), varint_len(number));
        let content = vec![7; (number % 300) as usize];
        let mut whole = Vec::new();
        put_bytes(&mut whole, field, &content);
        prop_assert_eq!(whole.len(), delimited_len(field, content.len()));
        let mut unknown_length = Vec::new();
        put_message::<()>(&mut unknown_length, field, |out| {
            out.extend_from_slice(&content);
            Ok(())
        }).unwrap();
        prop_assert_eq!(unknown_length, whole);
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut length = 0;
        for field in Reader::new(&bytes).map_while(Result::ok) {
            length += field.raw.len();
        }
        prop_assert!(length <= bytes.len());
        if let Ok(span) = SpanView::parse(&bytes) {
            prop_assert!(span.attributes().count() <= bytes.len());
        }
    }
}
