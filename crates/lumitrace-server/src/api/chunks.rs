//! Long answers in chunks, as they are written: the text of a trace of a million spans takes a hundred
//! megabytes, of which only a few are in memory at a time so.

use super::error::ApiError;
use super::{Api, ask};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use lumitrace_store::QueryBudget;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// An answer that is shorter is sent whole, and others in chunks of about this size.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for the client.
const WAITING_CHUNKS: usize = 2;
/// A client that takes nothing for so long gets nothing more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Computes an answer and writes it as JSON, which is sent while it is written if it is long. What the
/// budget holds is given back when the last chunk is on its way.
pub(super) async fn answer_in_chunks<T, F>(api: Arc<Api>, question: F) -> Result<Response, ApiError>
where
    T: Serialize,
    F: FnOnce(&Api, &QueryBudget) -> Result<T, ApiError> + Send + 'static,
{
    let budget = api.engine.budget();
    let _cancel = budget.cancel_on_drop();
    let (begin, begun) = oneshot::channel();
    tokio::task::spawn_blocking(move || match ask(&api, &budget, question) {
        Ok(answer) => write(&answer, begin),
        // Nobody waits any more if it cannot be said.
        Err(error) => drop(begin.send(Err(error))),
    });
    let body = begun.await.map_err(|error| ApiError::internal(&error))??;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], body).into_response())
}

fn write(answer: &impl Serialize, begin: Begin) {
    let mut chunks = Chunks::new(begin);
    let written = serde_json::to_writer(&mut chunks, answer).map_err(io::Error::from);
    if let Err(error) = written.and_then(|()| chunks.finish()) {
        tracing::debug!(%error, "an answer was not sent to its end");
    }
}

/// Takes the body of the answer as soon as there is one.
type Begin = oneshot::Sender<Result<Body, ApiError>>;

/// What is written, on its way to the client.
struct Chunks {
    buffer: Vec<u8>,
    /// Until the body is begun.
    begin: Option<Begin>,
    /// From then on.
    rest: Option<mpsc::Sender<Part>>,
}

/// A part of a body. One that ends without saying so has broken off.
enum Part {
    Chunk(Bytes),
    End,
}

impl Chunks {
    fn new(begin: Begin) -> Self {
        Self {
            buffer: Vec::new(),
            begin: Some(begin),
            rest: None,
        }
    }

    /// Sends what is left; without this the answer has broken off.
    fn finish(mut self) -> io::Result<()> {
        let last = std::mem::take(&mut self.buffer);
        if let Some(begin) = self.begin.take() {
            return begin.send(Ok(Body::from(last))).map_err(|_| gone());
        }
        self.send(Part::Chunk(last.into()))?;
        self.send(Part::End)
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        let next = Vec::with_capacity(self.buffer.capacity());
        let chunk = std::mem::replace(&mut self.buffer, next);
        if let Some(begin) = self.begin.take() {
            let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
            let body = Body::from_stream(parts(receiver));
            begin.send(Ok(body)).map_err(|_| gone())?;
            self.rest = Some(sender);
        }
        self.send(Part::Chunk(chunk.into()))
    }

    fn send(&self, part: Part) -> io::Result<()> {
        let Some(rest) = &self.rest else {
            return Err(gone());
        };
        let sent = Handle::current().block_on(tokio::time::timeout(PATIENCE, rest.send(part)));
        sent?.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone")
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.send_buffer()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts as a body, which ends in an error if they break off: the connection is then closed, and the
/// client does not take what it has for the whole.
fn parts(receiver: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Chunk(chunk)) => Some((Ok(chunk), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the answer has broken off")), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::task::spawn_blocking;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_of_any_length_arrives_as_it_was_written() {
        for count in [0, 1_000, 200_000] {
            let numbers: Vec<u64> = (0..count).collect();
            let expected = serde_json::to_vec(&numbers).unwrap();
            let (begin, begun) = oneshot::channel();
            let writing = spawn_blocking(move || write(&numbers, begin));
            let body = begun.await.unwrap().unwrap();
            let is_whole = http_body::Body::size_hint(&body).exact().is_some();
            assert_eq!(is_whole, expected.len() < CHUNK_BYTES);
            let received = body.collect().await.unwrap().to_bytes();
            assert_eq!(received, expected);
            writing.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
        let (begin, begun) = oneshot::channel();
        let writing = spawn_blocking(move || {
            Chunks::new(begin)
                .write_all(&vec![b' '; CHUNK_BYTES])
                .unwrap();
        });
        let body = begun.await.unwrap().unwrap();
        let received = body.collect().await;
        assert!(received.unwrap_err().to_string().contains("broken off"));
        writing.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_more_is_written_for_a_client_that_has_gone() {
        let (begin, begun) = oneshot::channel();
        let writing = spawn_blocking(move || {
            let mut chunks = Chunks::new(begin);
            loop {
                if let Err(error) = chunks.write_all(&vec![b' '; CHUNK_BYTES]) {
                    return error.kind();
                }
            }
        });
        drop(begun.await.unwrap().unwrap());
        assert_eq!(writing.await.unwrap(), io::ErrorKind::BrokenPipe);
    }
}
