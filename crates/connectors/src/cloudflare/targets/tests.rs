//! Items as people write them, files of them, and the zones they are in.

use super::*;

fn read(kind: TargetKind, text: &str) -> Result<String, String> {
    kind.read(text).map(|target| target.json).map_err(|error| error.message)
}

fn why(kind: TargetKind, text: &str) -> String {
    read(kind, text).unwrap_err().rsplit_once(": ").unwrap().1.to_owned()
}

#[test]
fn d11_prefixes_are_sent_without_their_scheme() {
    let prefix = |text: &str| read(TargetKind::Prefixes, text);
    for text in ["https://Example.com/Images/", "HTTP://example.com/Images/", "example.com/Images/"]
    {
        assert_eq!(prefix(text).unwrap(), "\"example.com/Images/\"");
    }
    assert_eq!(prefix("example.com").unwrap(), "\"example.com\"");
    let deepest = format!("a.b{}", "/x".repeat(31));
    assert_eq!(prefix(&deepest).unwrap(), format!("\"{deepest}\""));
    let why = |text: &str| why(TargetKind::Prefixes, text);
    assert_eq!(why(&format!("{deepest}/")), "it has 32 slashes, over 31");
    assert_eq!(why("https://a.b/x?y=1"), "a prefix has no query");
    assert_eq!(why("a.b/x#y"), "a prefix has no fragment");
    assert_eq!(why("ftp://a.b/x"), "its scheme is neither https nor http");
    assert_eq!(why("/images"), "that is not a host name");
}

#[test]
fn files_are_whole_urls_with_headers_or_without() {
    let file = |text: &str| read(TargetKind::Files, text);
    let url = "https://example.com/a%20b.png?x=1";
    assert_eq!(file(url).unwrap(), format!("\"{url}\""));
    let with = r#"{"url":"https://example.com/a","headers":{"CF-IPCountry":"DE"}}"#;
    let target = TargetKind::Files.read(with).unwrap();
    assert_eq!((&*target.json, &*target.name), (with, with));
    assert_eq!(target.host.as_deref(), Some("example.com"));
    let bare = TargetKind::Files.read(r#"{"url":"http://A.example:8080/x"}"#).unwrap();
    assert_eq!(
        (&*bare.json, bare.host.as_deref()),
        ("\"http://A.example:8080/x\"", Some("a.example"))
    );
    assert_eq!(why(TargetKind::Files, "example.com/a"), "it has no scheme");
    assert_eq!(why(TargetKind::Files, "https://a.b/a b"), "it has spaces; encode them as %20");
    let odd = r#"{"url":"https://a.b/","headers":{"Cookie":"x"}}"#;
    assert!(file(odd).unwrap_err().contains("the header Cookie picks no variant"));
    assert!(file(r#"{"uri":"https://a.b/"}"#).unwrap_err().contains("unknown field `uri`"));
}

#[test]
fn tags_and_hosts_have_their_rules() {
    let tags = ["Image", "image", "b"].map(|text| TargetKind::Tags.read(text).unwrap());
    let tags = unique(tags.to_vec());
    let json = tags.iter().map(|tag| &*tag.json);
    assert_eq!(body(TargetKind::Tags, json), r#"{"tags":["Image","b"]}"#);
    assert_eq!(why(TargetKind::Tags, "a b"), "a tag has no spaces");
    assert_eq!(read(TargetKind::Hosts, " WWW.Example.com. ").unwrap(), "\"www.example.com\"");
    assert_eq!(why(TargetKind::Hosts, "https://a.b"), "a host has no scheme");
    for odd in ["a.b/c", "a..b", "", "a b", "a:1"] {
        assert_eq!(why(TargetKind::Hosts, odd), "that is not a host name", "{odd}");
    }
    assert!(read(TargetKind::Hosts, "bücher.example").unwrap_err().contains("xn--"));
}

#[test]
fn files_of_items_have_three_forms() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str, field: Option<&str>| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let items = read_items(TargetKind::Tags, &path, field);
        let names = |items: Vec<Target>| items.into_iter().map(|item| item.name);
        items.map(|items| names(items).collect::<Vec<_>>().join(" ")).map_err(|e| e.message)
    };
    assert_eq!(read("a.txt", "\u{feff}a\r\n# no\n\n b \n", None).unwrap(), "a b");
    assert_eq!(read("a.csv", "a,1\n\"b\",2\n,3\n", None).unwrap(), "a b");
    assert_eq!(read("a.csv", "n,Tag\n1,a\n2,b\n", None).unwrap(), "a b");
    assert_eq!(read("a.csv", "n,cache\n1,\"a\"\"x\"\n", Some("cache")).unwrap(), "a\"x");
    assert_eq!(read("a.json", r#"["a",{"tag":"b"}]"#, None).unwrap(), "a b");
    assert_eq!(read("a.json", r#"[{"t":"a","tag":"x"}]"#, Some("t")).unwrap(), "a");
    let error = |name: &str, text: &str, field: Option<&str>| {
        let error = read(name, text, field).unwrap_err();
        error.rsplit_once("a.").unwrap().1.to_owned()
    };
    assert_eq!(error("a.csv", "a\n", Some("t")), "csv: its first line names no column `t`");
    assert_eq!(error("a.json", "[7]", None), "json: item 1 is neither a string nor has the field");
    assert!(error("a.json", "{}", None).starts_with("json: it is not a JSON array"));
    assert_eq!(
        error("a.txt", "a\nb c\n", None),
        "txt (2): `b c` can't be purged as one of tags: a tag has no spaces"
    );
    assert!(read("a.csv", "\"a\n", None).unwrap_err().contains("not closed"));
    assert!(read_items(TargetKind::Tags, Path::new("/nowhere"), None).is_err());
    let path = folder.path().join("b.json");
    let with = r#"{"url":"https://a.b/","headers":{"Origin":"https://c.d"}}"#;
    std::fs::write(&path, format!("[{with},{{\"url\":\"https://a.b/x\"}}]")).unwrap();
    let files = read_items(TargetKind::Files, &path, None).unwrap();
    assert_eq!(files.iter().map(|file| &*file.name).collect::<Vec<_>>().len(), 2);
    assert_eq!((&*files[1].name, files[0].host.as_deref()), ("https://a.b/x", Some("a.b")));
}

#[test]
fn a_host_is_in_the_zone_with_the_longest_name() {
    let zone = |name: &str| Zone { id: format!("id-{name}"), name: name.into(), status: None };
    let zones = ["example.com", "shop.example.com", "ample.com"].map(zone);
    let of = |host: &str| zone_of(host, &zones).map(|zone| &*zone.name);
    assert_eq!(of("example.com"), Some("example.com"));
    assert_eq!(of("a.b.example.com"), Some("example.com"));
    assert_eq!(of("www.shop.example.com"), Some("shop.example.com"));
    assert_eq!(of("sample.com"), None, "only behind a dot");
    assert_eq!(of("com"), None);
    let found = assign(["A.Example.com", "shop.example.com"], &zones).unwrap();
    let ids: Vec<&str> = found.iter().map(|zone| &*zone.id).collect();
    assert_eq!(ids, ["id-example.com", "id-shop.example.com"]);
    let error = assign(["b.x", "example.com", "a.x", "b.x"], &zones).unwrap_err();
    assert_eq!(error.message, "no zone of these credentials has a.x, b.x");
}

#[test]
fn plans_allow_what_cloudflare_documents() {
    let limits = Plan::ALL.map(|plan| {
        let limits = plan.limits();
        let a_minute = (limits.refill_per_second * 60.0).round() as u32;
        (limits.bucket, a_minute, limits.urls_per_second, limits.urls_per_call)
    });
    let expected =
        [(25, 5, 800, 100), (25, 300, 1_500, 100), (50, 600, 1_500, 100), (500, 3_000, 3_000, 500)];
    assert_eq!(limits, expected);
    assert_eq!(TargetKind::Files.items_per_call(Plan::Enterprise), 500);
    assert_eq!(TargetKind::Tags.items_per_call(Plan::Enterprise), 100);
    assert_eq!("PRO".parse(), Ok(Plan::Pro));
    assert!("gold".parse::<Plan>().unwrap_err().contains("free, pro, business, enterprise"));
}
