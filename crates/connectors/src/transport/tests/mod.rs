//! The seam over real sockets on loopback, against servers that misbehave on purpose.

mod base_url;
mod exchange;
mod pool;
mod servers;
mod tls;

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use windlass_sim::{Answer, DynSimulator, Reset};

use super::{Transport, TransportError};

const SECRET: &str = "sk_secret_7";

/// A deletion with a key, as a connector would send it.
fn deletion(url: &str) -> Request<Bytes> {
    Request::builder()
        .method(Method::DELETE)
        .uri(url)
        .header("authorization", format!("Bearer {SECRET}"))
        .body(Bytes::new())
        .unwrap()
}

/// Everything a user or a log could see of an error.
fn whole_text(error: &TransportError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n{error}\n{error:?}"));
        cause = error.source();
    }
    text
}

/// Answers with the path it was asked for, and cuts the connection on `/cut`.
struct Echo;

impl DynSimulator for Echo {
    fn call_boxed(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            match request.uri().path() {
                "/cut" => Err(Reset),
                path => Ok(Response::new(Bytes::copy_from_slice(path.as_bytes()))),
            }
        })
    }
}

#[tokio::test]
async fn a_simulator_in_process_answers_in_place_of_the_network() {
    let transport = Transport::in_process(Arc::new(Echo));
    let answer = transport.send(deletion("https://api.example.com/a")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(&answer.body()[..], b"/a");
}

#[tokio::test]
async fn a_connection_cut_by_a_simulator_may_have_taken_effect() {
    let transport = Transport::in_process(Arc::new(Echo));
    let error = transport.send(deletion("https://api.example.com/cut")).await.unwrap_err();
    assert!(matches!(error, TransportError::Reset { .. }), "{error:?}");
    assert!(error.may_have_arrived());
}
