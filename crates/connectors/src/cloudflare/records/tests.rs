//! Records through every format and back, what is wrong with files, and exports that were cut off.

use super::read::{Keys, detect};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

fn record(key: &str, value: &[u8]) -> Record {
    Record { key: key.to_owned(), value: value.to_vec(), ..Record::default() }
}

fn metadata(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

fn line_of(record: &Record) -> String {
    let mut out = Vec::new();
    write_json_line(record, &mut out);
    String::from_utf8(out).unwrap()
}

/// What can be compared of a record.
type Parts = (String, Vec<u8>, Option<u64>, Option<u64>, Option<String>);

fn parts(record: &Record) -> Parts {
    let metadata = record.metadata.as_ref().map(|raw| raw.get().to_owned());
    let (key, value) = (record.key.clone(), record.value.clone());
    (key, value, record.expiration, record.expiration_ttl, metadata)
}

fn read_all(text: &[u8], format: Format) -> Vec<Result<At<Record>, String>> {
    let mut records = Records::new(text, format);
    let mut all = Vec::new();
    loop {
        match records.next() {
            Ok(Some(record)) => all.push(Ok(record)),
            Ok(None) => return all,
            Err(error) => all.push(Err(error.to_string())),
        }
    }
}

fn read_keys(text: &str, format: Format) -> Vec<Result<String, String>> {
    let mut keys = Keys::new(text.as_bytes(), format);
    let mut all = Vec::new();
    loop {
        match keys.next() {
            Ok(Some(key)) => all.push(Ok(key.item)),
            Ok(None) => return all,
            Err(error) => all.push(Err(error.to_string())),
        }
    }
}

fn good(all: Vec<Result<At<Record>, String>>) -> Vec<At<Record>> {
    all.into_iter().map(|record| record.unwrap()).collect()
}

#[test]
fn a_line_of_an_export_is_an_item_of_a_bulk_write() {
    let mut whole = record("a\"b", "é\n".as_bytes());
    assert_eq!(line_of(&whole), "{\"key\":\"a\\\"b\",\"value\":\"é\\n\"}\n");
    whole.value = b"\xff\x00".to_vec();
    whole.expiration = Some(1_800_000_000);
    whole.metadata = metadata("{\"x\":\n 1.0}");
    assert_eq!(
        line_of(&whole),
        "{\"key\":\"a\\\"b\",\"value\":\"/wA=\",\"base64\":true,\"expiration\":1800000000,\
         \"metadata\":{\"x\":  1.0}}\n"
    );
    let mut item = b"[".to_vec();
    assert_eq!(to_bulk_item(&record("k", b"v"), &mut item), 23);
    assert_eq!(item, b"[{\"key\":\"k\",\"value\":\"v\"}");
    assert!(line_of(&record("k", b"\x00")).contains("\"base64\":true"), "control characters");
    assert!(line_of(&record("k", b"")).contains("\"value\":\"\"}"));
}

#[test]
fn a_line_of_csv_is_quoted_where_it_must_be() {
    let mut out = Vec::new();
    write_csv_header(&mut out);
    let mut whole = record("a,b", b"say \"x\"\r\n");
    whole.metadata = metadata(r#"{"x":1}"#);
    write_csv(&whole, &mut out);
    whole = record("plain", b"\xff");
    whole.expiration = Some(7);
    write_csv(&whole, &mut out);
    let expected = "key,value,base64,expiration,metadata\n\
                    \"a,b\",\"say \"\"x\"\"\r\n\",,,\"{\"\"x\"\":1}\"\n\
                    plain,/w==,true,7,\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn every_format_is_read() {
    let lines = "\u{feff}{\"key\":\"a\",\"value\":\"1\",\"extra\":[]}\r\n\n \
                 {\"name\":\"b\",\"value\":\"aGk\",\"base64\":true,\"expiration_ttl\":60}";
    let array = "\u{feff} [ {\"key\":\"a\",\"value\":\"1\"} ,\n{\"key\":\"b\",\"value\":\"aGk=\",\
                 \"base64\":true,\"expiration_ttl\":60,\"metadata\":null}\n]\n";
    let csv =
        "value,key,base64,note,expiration_ttl,metadata\r\n1,a,,x,,\r\naGk=,b,true,,60,null\r\n";
    let expected = [
        ("a".to_owned(), b"1".to_vec(), None, None, None),
        ("b".to_owned(), b"hi".to_vec(), None, Some(60), None),
    ];
    for (text, format) in
        [(lines, Format::JsonLines), (array, Format::JsonArray), (csv, Format::Csv)]
    {
        let all = good(read_all(text.as_bytes(), format));
        let found: Vec<Parts> = all.iter().map(|at| parts(&at.item)).collect();
        assert_eq!(found, expected, "{format:?}");
        let keys: Result<Vec<_>, _> = read_keys(text, format).into_iter().collect();
        assert_eq!(keys.unwrap(), ["a", "b"], "{format:?}");
    }
    assert!(read_all(b"", Format::JsonLines).is_empty());
    assert!(read_all(b"", Format::Csv).is_empty());
    assert!(read_all(b" []", Format::JsonArray).is_empty());
}

#[test]
fn keys_are_lines_strings_or_objects() {
    let keys = |text: &str, format| read_keys(text, format);
    let ok = |names: &[&str]| names.iter().map(|&name| Ok(name.to_owned())).collect::<Vec<_>>();
    assert_eq!(keys("a b\r\n\n {x}\n\"q\"", Format::Names), ok(&["a b", " {x}", "\"q\""]));
    assert_eq!(
        keys(r#"["a",{"key":"b"},{"name":"c","metadata":{}}]"#, Format::JsonArray),
        ok(&["a", "b", "c"])
    );
    assert_eq!(keys("key\n\"x\ny\"\nz\n", Format::Csv), ok(&["x\ny", "z"]));
    assert_eq!(
        keys("[7,\"a\"]", Format::JsonArray),
        [
            Err("line 1: it is neither a string nor an object with a `key`".to_owned()),
            Ok("a".to_owned())
        ]
    );
}

#[test]
fn formats_are_told_apart() {
    let by = |name: &str, head: &str, want| detect(Some(Path::new(name)), head.as_bytes(), want);
    assert_eq!(by("x.csv", "[", Want::Records), Format::Csv);
    assert_eq!(by("x.NDJSON", "", Want::Records), Format::JsonLines);
    assert_eq!(by("x.json", "\u{feff}\n [", Want::Records), Format::JsonArray);
    assert_eq!(by("x.json", "{", Want::Keys), Format::JsonLines);
    assert_eq!(by("x.txt", "[", Want::Keys), Format::Names);
    assert_eq!(by("x.txt", "{", Want::Records), Format::JsonLines);
    let without = |head: &str, want| detect(None, head.as_bytes(), want);
    assert_eq!(without("key,value\n", Want::Records), Format::Csv);
    assert_eq!(without("key,value\n", Want::Keys), Format::Csv);
    assert_eq!(without("[\n", Want::Keys), Format::JsonArray);
    assert_eq!(without("{\"key\":\"a\"}\r\n{", Want::Keys), Format::JsonLines);
    assert_eq!(without("{curly}\n", Want::Keys), Format::Names);
    assert_eq!(without("", Want::Keys), Format::Names);
}

#[test]
fn what_is_wrong_with_a_record_is_told_with_its_line() {
    let lines = |text: &str| {
        let all = read_all(text.as_bytes(), Format::JsonLines);
        all.into_iter().map(|at| at.map(|at| at.item.key)).collect::<Vec<_>>()
    };
    let one = |text: &str| lines(text).remove(0).unwrap_err();
    assert_eq!(
        lines(
            "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":2}\n\
             {\"key\":\"c\",\"value\":\"3\"}"
        ),
        [
            Ok("a".to_owned()),
            Err("line 2: its `value` is a number, not a string".to_owned()),
            Ok("c".to_owned())
        ]
    );
    assert_eq!(one(r#"{"key":"a","value":{}}"#), "line 1: its `value` is an object, not a string");
    assert_eq!(one(r#"{"key":"a"}"#), "line 1: it has no `value`");
    assert_eq!(one(r#"{"value":"a"}"#), "line 1: it has no `key`");
    assert_eq!(one(r#"{"key":"","value":"a"}"#), "line 1: the key is empty");
    assert_eq!(one(r#"{"key":"..","value":"a"}"#), "line 1: `..` can't be a key");
    assert_eq!(one(r#"{"key":7,"value":"a"}"#), "line 1: its `key` is a number, not a string");
    assert_eq!(
        one(r#"{"key":"a","value":"b","expiration":"soon"}"#),
        "line 1: its `expiration` is not a whole number of seconds"
    );
    assert!(
        one(r#"{"key":"a","value":"?","base64":true}"#)
            .starts_with("line 1: its value is not base64")
    );
    assert_eq!(one("[1]"), "line 1: it is not a JSON object");
    assert!(one(r#"{"key":"a","value":"b","key":"c"}"#).contains("duplicate field `key`"));
    let long = "é".repeat(257);
    assert!(
        one(&format!(r#"{{"key":"{long}","value":"a"}}"#)).ends_with("has 514 bytes, over 512")
    );
    let wide = format!(r#"{{"key":"a","value":"b","metadata":"{}"}}"#, "x".repeat(1_023));
    assert_eq!(one(&wide), "line 1: the metadata of `a` have 1025 bytes, over 1,024");
    let airy = format!(r#"{{"key":"a","value":"b","metadata":[1,{}2]}}"#, " ".repeat(2_000));
    assert_eq!(lines(&airy), [Ok("a".to_owned())], "white space does not count");
    let big = record("a", &vec![b'x'; VALUE_BYTES_MAX + 1]);
    assert_eq!(big.check().unwrap_err(), "the value of `a` has 26214401 bytes, over 25 MiB");
    assert_eq!(record("a", &vec![b'x'; VALUE_BYTES_MAX]).check(), Ok(()));
}

#[test]
fn a_broken_array_ends_with_an_error_and_never_early() {
    let array = |text: &str| read_keys(text, Format::JsonArray);
    let last = |text: &str| array(text).pop().unwrap().unwrap_err();
    assert_eq!(last("[\"a\",\n\"b\""), "line 2: the array is cut off inside this item");
    assert_eq!(last("[\"a\"\n"), "line 1: the array is cut off inside this item");
    assert_eq!(last("[{\"key\":\"a\"},"), "line 1: the array is cut off: it has no end");
    assert_eq!(last("[\"a\",]"), "line 1: an item is missing in the array");
    assert_eq!(last("[,\"a\"]"), "line 1: an item is missing in the array");
    assert_eq!(last("[\"a\"] x"), "line 1: something stands behind the array");
    assert_eq!(last("{}"), "line 1: this is not a JSON array");
    assert_eq!(last(""), "line 1: there is no array");
    assert!(last("[\"a\" \"b\"]").starts_with("line 1: it is not understood"));
    assert_eq!(array("[\"a\",,\"b\"]").len(), 2, "and nothing is read behind the break");
}

#[test]
fn a_broken_csv_is_told() {
    let csv = |text: &str| {
        let all = read_all(text.as_bytes(), Format::Csv);
        all.into_iter().map(|at| at.map(|at| at.item.key)).collect::<Vec<_>>()
    };
    let first = |text: &str| csv(text).remove(0).unwrap_err();
    assert_eq!(
        first("a,b\n1,2\n"),
        "line 1: the first line must name the columns, with `key` and `value`"
    );
    assert_eq!(first("key,key,value\n"), "line 1: a column is named twice in the first line");
    assert_eq!(
        csv("key,value\n\"a\nb\",1\nc\nd,2"),
        [
            Ok("a\nb".to_owned()),
            Err("line 4: it has 1 columns, and the first line has 2".to_owned()),
            Ok("d".to_owned())
        ]
    );
    for odd in ["a\",\"1\nb,2\n", "\"a\"b,1\n", "a,{\"x\":1}\n"] {
        let text = format!("key,value\n{odd}");
        assert_eq!(first(&text), "line 2: a quote stands where none can be", "{odd}");
    }
    assert_eq!(first("key,value\na,\"1\nb"), "line 2: a quote is not closed", "it is cut off");
    assert!(first("key,value,metadata\na,1,{\n").contains("its metadata are no JSON"));
}

#[test]
fn a_lifetime_too_short_has_a_policy() {
    const NOW: u64 = 1_000_000;
    let settle = |expiration, ttl, expired| {
        let mut record = record("k", b"");
        (record.expiration, record.expiration_ttl) = (expiration, ttl);
        let lifetime = record.settle(NOW, expired);
        (lifetime, record.expiration, record.expiration_ttl)
    };
    for expired in [Expired::Skip, Expired::Clamp, Expired::DropTtl] {
        assert_eq!(settle(None, None, expired), (Lifetime::Kept, None, None));
        let just = Some(NOW + 60);
        assert_eq!(settle(just, None, expired), (Lifetime::Kept, just, None));
        assert_eq!(settle(Some(1), Some(60), expired), (Lifetime::Kept, Some(1), Some(60)));
    }
    for (expiration, ttl) in [(Some(NOW + 59), None), (Some(7), None), (None, Some(59))] {
        let short = (Lifetime::TooShort, expiration, ttl);
        assert_eq!(settle(expiration, ttl, Expired::Skip), short);
        assert_eq!(settle(expiration, ttl, Expired::Clamp), (Lifetime::Clamped, None, Some(60)));
        assert_eq!(settle(expiration, ttl, Expired::DropTtl), (Lifetime::Dropped, None, None));
    }
}

#[test]
fn a_file_is_read_as_a_whole_and_at_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export");
    let records = [record("a", b"1"), record("b\n,", b"\xff\n\""), record("c", "é\n".as_bytes())];
    let mut lines = Vec::new();
    let mut csv = Vec::new();
    write_csv_header(&mut csv);
    for record in &records {
        write_json_line(record, &mut lines);
        write_csv(record, &mut csv);
    }
    let array = String::from_utf8(lines.clone()).unwrap().trim().replace('\n', " ,\n");
    let array = format!("[{array}]").into_bytes();
    for (content, format) in
        [(lines, Format::JsonLines), (csv, Format::Csv), (array, Format::JsonArray)]
    {
        std::fs::write(&path, content).unwrap();
        let source = Source::open(&path, Want::Records).unwrap();
        let mut reader = source.records().unwrap();
        let mut places = Vec::new();
        while let Some(at) = reader.next().unwrap() {
            places.push((at.offset, at.length));
        }
        assert_eq!(places.len(), 3, "{format:?}");
        for (place, record) in places.iter().zip(&records).rev() {
            let read = source.read_at(place.0, place.1).unwrap();
            assert_eq!(parts(&read), parts(record), "{format:?}");
        }
        assert!(source.read_at(places[1].0 + 1, places[1].1).is_err());
        let mut keys = Source::open(&path, Want::Keys).unwrap().keys().unwrap();
        assert_eq!(keys.next().unwrap().unwrap().item, "a");
    }
    assert!(Source::open(&folder.path().join("none"), Want::Keys).is_err());
}

/// Text that is hard on every format.
fn text() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a", "\"", ",", "\n", "\r", "\r\n", "\\", "[", "]", "{", "}", "é", "日", "\0", " ",
        "\u{feff}", "\u{2028}", "true",
    ]);
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn any_record() -> impl Strategy<Value = Record> {
    let value =
        prop_oneof![text().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..40)];
    let json = prop::option::of(text().prop_map(|text| {
        let json = serde_json::json!({ "x": [text, 1.5, null] });
        RawValue::from_string(json.to_string()).unwrap()
    }));
    let key = text().prop_map(|text| format!("k{text}"));
    (key, value, prop::option::of(any::<u64>()), json).prop_map(
        |(key, value, expiration, metadata)| Record {
            key,
            value,
            expiration,
            expiration_ttl: None,
            metadata,
        },
    )
}

fn written(records: &[Record], format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Csv => {
            write_csv_header(&mut out);
            records.iter().for_each(|record| write_csv(record, &mut out));
        }
        Format::JsonArray => {
            for record in records {
                out.push(if out.is_empty() { b'[' } else { b',' });
                to_bulk_item(record, &mut out);
            }
            out.extend_from_slice(if records.is_empty() { b"[]" } else { b"]" });
        }
        _ => records.iter().for_each(|record| write_json_line(record, &mut out)),
    }
    out
}

proptest! {
    /// Whatever is written is read again: all of it, and each record at its place.
    #[test]
    fn records_survive_every_format(records in prop::collection::vec(any_record(), 0..6)) {
        for format in [Format::JsonLines, Format::Csv, Format::JsonArray] {
            let bytes = written(&records, format);
            let read = good(read_all(&bytes, format));
            let expected: Vec<Parts> = records.iter().map(parts).collect();
            let found: Vec<Parts> = read.iter().map(|at| parts(&at.item)).collect();
            prop_assert_eq!(found, expected, "{:?}", format);
        }
    }

    /// An export that is cut off anywhere goes on behind its last whole record.
    #[test]
    fn a_cut_export_is_known_by_its_whole_records(
        records in prop::collection::vec(any_record(), 1..5),
        cut in 0.0..=1.0_f64,
    ) {
        for format in [Format::JsonLines, Format::Csv] {
            let bytes = written(&records, format);
            let mut ends = Vec::new();
            for count in 1..=records.len() {
                ends.push(written(&records[..count], format).len() as u64);
            }
            let cut = (bytes.len() as f64 * cut) as usize;
            let found: Result<Vec<(String, u64)>, RecordError> =
                Positions::new(&bytes[..cut], format).collect();
            let expected: Vec<(String, u64)> = records
                .iter()
                .zip(ends)
                .filter(|(_, end)| *end <= cut as u64)
                .map(|(record, end)| (record.key.clone(), end))
                .collect();
            // A header that is cut off is no header.
            if format == Format::Csv && cut < CSV_HEADER.len() {
                prop_assert!(expected.is_empty());
            } else {
                prop_assert_eq!(found.unwrap(), expected, "{:?} cut at {}", format, cut);
            }
        }
    }

    /// Splitting is the same wherever the reader's buffer ends.
    #[test]
    fn buffers_do_not_matter(
        records in prop::collection::vec(any_record(), 1..4),
        capacity in 1_usize..9,
    ) {
        for format in [Format::JsonLines, Format::Csv, Format::JsonArray] {
            let bytes = written(&records, format);
            let mut small =
                Records::new(io::BufReader::with_capacity(capacity, &*bytes), format);
            let mut places = BTreeSet::new();
            while let Some(at) = small.next().unwrap() {
                places.insert((at.line, at.offset, at.length));
            }
            let whole = good(read_all(&bytes, format));
            let whole: BTreeSet<_> =
                whole.iter().map(|at| (at.line, at.offset, at.length)).collect();
            prop_assert_eq!(places, whole);
        }
    }
}
