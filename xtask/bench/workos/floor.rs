//! The floor of the benchmark: list everything, then delete it over a number of connections, on
//! hyper and one thread, with nothing around it. No retry, no journal, no plan, no progress.
//!
//! Usage: `floor URL KEY organizations|users CONNECTIONS [LIMIT MILLISECONDS]`. With a limit, each
//! request takes a permit that is given back so long after its answer.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Sender = SendRequest<Empty<Bytes>>;

/// So many requests in any so long a time.
#[derive(Clone)]
struct Window {
    permits: Arc<Semaphore>,
    length: Duration,
}

struct Remote {
    authority: String,
    bearer: String,
    list: &'static str,
    window: Option<Window>,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, kind, connections, limit @ ..] = arguments.as_slice() else {
        return Err("floor URL KEY organizations|users CONNECTIONS [LIMIT MILLISECONDS]".into());
    };
    let window = match limit {
        [limit, milliseconds] => Some(Window {
            permits: Arc::new(Semaphore::new(limit.parse()?)),
            length: Duration::from_millis(milliseconds.parse()?),
        }),
        _ => None,
    };
    let remote = Rc::new(Remote {
        authority: url.strip_prefix("http://").ok_or("only http:// is spoken")?.to_owned(),
        bearer: format!("Bearer {key}"),
        list: if kind == "users" { "/user_management/users" } else { "/organizations" },
        window,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(remote, connections.parse()?))
}

async fn run(remote: Rc<Remote>, connections: usize) -> Outcome<()> {
    let mut first = connect(&remote).await?;
    let ids = list(&remote, &mut first).await?;
    let connections = connections.min(ids.len());
    let ids = Rc::new(RefCell::new(ids.into_iter()));
    let mut workers = JoinSet::new();
    let mut first = Some(first);
    for _ in 0..connections {
        let (remote, ids, sender) = (remote.clone(), ids.clone(), first.take());
        workers.spawn_local(async move {
            let sender = match sender {
                Some(sender) => sender,
                None => connect(&remote).await.map_err(|error| error.to_string())?,
            };
            work(&remote, &ids, sender).await.map_err(|error| error.to_string())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

async fn connect(remote: &Remote) -> Outcome<Sender> {
    let stream = TcpStream::connect(&remote.authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// The ids of everything, page after page.
async fn list(remote: &Remote, sender: &mut Sender) -> Outcome<Vec<String>> {
    let prefix = if remote.list == "/organizations" { "org_" } else { "user_" };
    let start = format!("\"id\":\"{prefix}0");
    let mut ids = Vec::new();
    let mut path = format!("{}?limit=100", remote.list);
    loop {
        let (status, body) = exchange(remote, sender, "GET", &path).await?;
        if status != StatusCode::OK {
            return Err(format!("a page was answered {status}").into());
        }
        let text = std::str::from_utf8(&body)?;
        let found = text.match_indices(&start);
        ids.extend(found.filter_map(|(at, _)| Some(text.get(at + 6..)?.split('"').next()?.into())));
        let Some((_, after)) = text.rsplit_once("\"after\":\"") else { return Ok(ids) };
        let after = after.split('"').next().unwrap_or_default();
        path = format!("{}?limit=100&after={after}", remote.list);
    }
}

async fn work(
    remote: &Remote,
    ids: &RefCell<impl Iterator<Item = String>>,
    mut sender: Sender,
) -> Outcome<()> {
    loop {
        let next = ids.borrow_mut().next();
        let Some(id) = next else { return Ok(()) };
        let permit = match &remote.window {
            Some(window) => Some(window.permits.clone().acquire_owned().await?),
            None => None,
        };
        let path = format!("{}/{id}", remote.list);
        let (status, _) = exchange(remote, &mut sender, "DELETE", &path).await?;
        if let (Some(permit), Some(window)) = (permit, &remote.window) {
            let length = window.length;
            tokio::task::spawn_local(async move {
                tokio::time::sleep(length).await;
                drop(permit);
            });
        }
        if !status.is_success() {
            return Err(format!("a deletion was answered {status}").into());
        }
    }
}

async fn exchange(
    remote: &Remote,
    sender: &mut Sender,
    method: &'static str,
    path: &str,
) -> Outcome<(StatusCode, Bytes)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", &remote.authority)
        .header("authorization", &remote.bearer)
        .body(Empty::new())?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
