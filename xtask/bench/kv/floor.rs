//! The floor of the benchmark on Workers KV: list, export or delete all keys on hyper and one
//! thread, with nothing around it. No retry, no journal, no plan, no progress; it trusts the exact
//! form of the simulator's answers.
//!
//! Usage: `kv_floor list|export|delete NAMESPACE PREFIXES > LINES` with `CLOUDFLARE_API_BASE_URL`,
//! `CLOUDFLARE_ACCOUNT_ID` and `CLOUDFLARE_API_TOKEN`. PREFIXES is 1 for one chain of cursors, or
//! 16 for one for each digit that names begin with, all at once.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::env;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Sender = SendRequest<Full<Bytes>>;

/// Bulk reads at once.
const READS: usize = 10;
/// Keys in a bulk read.
const READ_KEYS: usize = 100;
/// Keys in a bulk deletion.
const DELETE_KEYS: usize = 10_000;

struct Remote {
    authority: String,
    /// The path of the namespace.
    base: String,
    bearer: String,
    /// Standard output without its buffer of lines.
    out: File,
}

/// A chain of pages over its own connection.
struct Chain {
    remote: Rc<Remote>,
    sender: Sender,
    prefix: String,
    cursor: String,
    is_over: bool,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [task, namespace, prefixes] = arguments.as_slice() else {
        return Err("kv_floor list|export|delete NAMESPACE PREFIXES".into());
    };
    let url = env::var("CLOUDFLARE_API_BASE_URL")?;
    let rest = url.strip_prefix("http://").ok_or("only http:// is spoken")?;
    let (authority, path) = rest.split_once('/').ok_or("the base URL has no path")?;
    let account = env::var("CLOUDFLARE_ACCOUNT_ID")?;
    let remote = Rc::new(Remote {
        authority: authority.to_owned(),
        base: format!("/{path}/accounts/{account}/storage/kv/namespaces/{namespace}"),
        bearer: format!("Bearer {}", env::var("CLOUDFLARE_API_TOKEN")?),
        out: File::from(std::io::stdout().as_fd().try_clone_to_owned()?),
    });
    let prefixes: Vec<String> = match prefixes.as_str() {
        "1" => vec![String::new()],
        _ => (0..16).map(|digit| format!("{digit:x}")).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match task.as_str() {
            "list" => list(&remote, prefixes).await,
            "export" => export(&remote).await,
            _ => delete(&remote).await,
        }
    })
}

async fn list(remote: &Rc<Remote>, prefixes: Vec<String>) -> Outcome<()> {
    let chains: Vec<JoinHandle<Result<(), String>>> = prefixes
        .into_iter()
        .map(|prefix| {
            let remote = remote.clone();
            spawn_local(async move {
                let words = |error: Box<dyn Error>| error.to_string();
                let mut chain = Chain::start(&remote, prefix).await.map_err(words)?;
                while let Some(page) = chain.next().await.map_err(words)? {
                    let lines =
                        lines(inside(&page, "[", "],\"success\"").map_err(words)?, ["}", "{"]);
                    (&remote.out).write_all(&lines).map_err(|error| error.to_string())?;
                }
                Ok(())
            })
        })
        .collect();
    for chain in chains {
        chain.await??;
    }
    Ok(())
}

/// The bulk reads of a page go out at once, each over its own connection.
async fn export(remote: &Rc<Remote>) -> Outcome<()> {
    let mut chain = Chain::start(remote, String::new()).await?;
    let mut idle = Vec::with_capacity(READS);
    while let Some(page) = chain.next().await? {
        let names: Vec<&str> = names(&page).collect();
        let mut reads = Vec::with_capacity(READS);
        for some in names.chunks(READ_KEYS) {
            let body = format!("{{\"keys\":[\"{}\"],\"withMetadata\":true}}", some.join("\",\""));
            let mut sender = match idle.pop() {
                Some(sender) => sender,
                None => connect(remote).await?,
            };
            let remote = remote.clone();
            reads.push(spawn_local(async move {
                let path = format!("{}/bulk/get", remote.base);
                let answer = exchange(&remote, &mut sender, "POST", &path, body).await;
                answer.map(|answer| (answer, sender)).map_err(|error| error.to_string())
            }));
        }
        for read in reads {
            let (answer, sender) = read.await??;
            idle.push(sender);
            let lines = lines(inside(&answer, "\"values\":{", "}},\"success\"")?, ["}}", "\""]);
            (&remote.out).write_all(&lines)?;
        }
    }
    Ok(())
}

async fn delete(remote: &Rc<Remote>) -> Outcome<()> {
    let mut chain = Chain::start(remote, String::new()).await?;
    let mut sender = connect(remote).await?;
    let (mut count, mut body) = (0, String::new());
    loop {
        let page = chain.next().await?;
        for name in page.iter().flat_map(|page| names(page)) {
            body.push_str(if count == 0 { "[\"" } else { "\",\"" });
            body.push_str(name);
            count += 1;
        }
        if count >= DELETE_KEYS || (page.is_none() && count > 0) {
            body.push_str("\"]");
            let path = format!("{}/bulk/delete", remote.base);
            exchange(remote, &mut sender, "POST", &path, std::mem::take(&mut body)).await?;
            count = 0;
        }
        if page.is_none() {
            return Ok(());
        }
    }
}

impl Chain {
    async fn start(remote: &Rc<Remote>, prefix: String) -> Outcome<Self> {
        let sender = connect(remote).await?;
        let remote = remote.clone();
        Ok(Self { remote, sender, prefix, cursor: String::new(), is_over: false })
    }

    async fn next(&mut self) -> Outcome<Option<String>> {
        if self.is_over {
            return Ok(None);
        }
        let Remote { base, .. } = &*self.remote;
        let path = format!("{base}/keys?limit=1000&prefix={}&cursor={}", self.prefix, self.cursor);
        let page = exchange(&self.remote, &mut self.sender, "GET", &path, String::new()).await?;
        let (_, cursor) = page.rsplit_once("\"cursor\":\"").ok_or("a page without a cursor")?;
        let cursor = cursor.split('"').next().unwrap_or_default();
        self.cursor = cursor.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        self.is_over = self.cursor.is_empty();
        Ok(Some(page))
    }
}

/// The names of a page.
fn names(page: &str) -> impl Iterator<Item = &str> {
    page.split("{\"name\":\"").skip(1).filter_map(|rest| rest.split('"').next())
}

/// What stands between the first of one text and the last of the other.
fn inside<'a>(text: &'a str, before: &str, behind: &str) -> Outcome<&'a str> {
    let (_, rest) = text.split_once(before).ok_or("an answer of another form")?;
    let (inside, _) = rest.rsplit_once(behind).ok_or("an answer of another form")?;
    Ok(inside)
}

/// The same with an end of line in place of the comma wherever one object ends and the next begins;
/// the border is that comma with what stands around it.
fn lines(objects: &str, border: [&str; 2]) -> Vec<u8> {
    let [end, begin] = border;
    let mut lines = Vec::with_capacity(objects.len() + 1);
    for (at, object) in objects.split(&format!("{end},{begin}")).enumerate() {
        if at > 0 {
            lines.extend_from_slice(end.as_bytes());
            lines.push(b'\n');
            lines.extend_from_slice(begin.as_bytes());
        }
        lines.extend_from_slice(object.as_bytes());
    }
    if !lines.is_empty() {
        lines.push(b'\n');
    }
    lines
}

async fn connect(remote: &Remote) -> Outcome<Sender> {
    let stream = TcpStream::connect(&remote.authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}

async fn exchange(
    remote: &Remote,
    sender: &mut Sender,
    method: &'static str,
    path: &str,
    body: String,
) -> Outcome<String> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", &remote.authority)
        .header("authorization", &remote.bearer)
        .body(Full::new(Bytes::from(body)))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
    if !status.is_success() {
        return Err(format!("{method} {path} was answered {status}: {answer}").into());
    }
    Ok(answer)
}
