//! A door in front of the local explorer, which knows no accounts and answers to its own name only:
//! it takes the account out of the path and puts that name into the Host header. Everything else,
//! the percent-encoded rest of the path above all, passes as it is.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Where the explorer's API is on its own server.
pub const API: &str = "/cdn-cgi/local/explorer/api";

/// An open door.
pub struct Door {
    /// The base URL for clients.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Door {
    /// Opens one for the server at this address.
    pub fn open(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, book) = (client.unwrap(), Arc::clone(&book));
                // A client may go away at any time, which is its own affair.
                std::thread::spawn(move || pass(client, server, &book));
            }
        });
        Self { url, asked }
    }

    /// How many requests had this method and a path, without its query, that ends like this; from
    /// now on they are forgotten.
    pub fn take(&self, method: &str, end: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.len();
        asked.retain(|line| {
            let (its_method, path) = line.split_once(' ').unwrap();
            its_method != method || !path.split('?').next().unwrap().ends_with(end)
        });
        before - asked.len()
    }
}

/// One request and its answer; then both connections are closed.
fn pass(mut client: TcpStream, server: SocketAddr, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut question = BufReader::new(client.try_clone().ok()?);
    let (first, headers) = head(&mut question)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let path = path.strip_prefix("/client/v4/accounts/")?;
    let (_, path) = path.split_once('/')?;
    asked.lock().unwrap().push(format!("{method} /{path}"));
    let mut to = TcpStream::connect(server).ok()?;
    write!(to, "{method} {API}/{path} HTTP/1.1\r\nhost: {server}\r\n").ok()?;
    let (others, length) = others(&headers, &["host", "connection"]);
    write!(to, "{others}connection: close\r\n\r\n").ok()?;
    copy(&mut question.take(length), &mut to).ok()?;
    let mut answer = BufReader::new(to);
    let (first, headers) = head(&mut answer)?;
    let (others, _) = self::others(&headers, &["connection"]);
    write!(client, "{first}\r\n{others}connection: close\r\n\r\n").ok()?;
    copy(&mut answer, &mut client).ok()?;
    Some(())
}

/// The first line of a message and its headers.
fn head(from: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut next = || {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = next()?;
    let mut headers = Vec::new();
    loop {
        let line = next()?;
        if line.is_empty() {
            return Some((first, headers));
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The headers but these, as lines, and the length of the body.
fn others(headers: &[(String, String)], without: &[&str]) -> (String, u64) {
    let kept = headers.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    let lines = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    (lines, length.map_or(0, |(_, length)| length.parse().unwrap()))
}
