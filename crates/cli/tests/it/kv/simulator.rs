//! `windlass sim cloudflare` as a process, used with exactly the words that it prints.

use crate::support::{Home, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The answer's body to a plain request to a URL of this machine.
fn body_of(url: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn the_simulator_s_own_words_lead_to_it() {
    let home = Home::new();
    let running = home.windlass(&["sim", "cloudflare", "--port", "0", "--keys", "1500"]).spawn();
    running.wait_for("windlass kv --help");
    wait_until("its address", || running.out().ends_with("/client/v4\n"));
    let url = running.out().trim().to_owned();
    let err = running.err();
    let line = err.lines().find(|line| line.contains("windlass kv --help")).unwrap();
    let mut list = home.windlass(&["kv", "list", "--namespace", "namespace-1", "--all"]);
    let mut names = Vec::new();
    for (name, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
        names.push(name);
        list = list.env(name, value);
    }
    assert_eq!(names, ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_ACCOUNT_ID"]);
    assert_eq!(list.run().code(0).out.lines().count(), 1500);
    let summary: serde_json::Value = serde_json::from_str(&body_of(&url, "/_sim/summary")).unwrap();
    assert_eq!(
        (&summary["routes"]["list"], &summary["routes"]["bulk_get"]),
        (&2.into(), &0.into())
    );
    running.signal("INT");
    running.wait();
}
