//! The body of an answer, with which a server's span ends.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Poll, ready};

use http_body::{Body, Frame, SizeHint};
use lumitrace::{Context, Span};
use pin_project_lite::pin_project;

pin_project! {
    /// A body that is part of a span: current while the body is polled, ended with its last frame.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        body: B,
        open: Option<(Span, Context)>,
    }
}

impl<B: Body> TracedBody<B> {
    pub(crate) fn new(body: B, span: Span, context: Context) -> Self {
        // Nobody would poll it; so are the bodies of upgraded connections.
        let is_open = !body.is_end_stream();
        Self {
            body,
            open: is_open.then_some((span, context)),
        }
    }
}

/// The body of an answer that is not traced.
impl<B: Default> Default for TracedBody<B> {
    fn default() -> Self {
        Self {
            body: B::default(),
            open: None,
        }
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body,
    B::Error: Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = {
            let context = this.open.as_ref().map(|(_, context)| context.clone());
            let _guard = context.map(Context::attach);
            this.body.as_mut().poll_frame(task)
        };
        let frame = ready!(polled);
        if let (Some((span, _)), Some(Err(error))) = (&this.open, &frame) {
            span.record_error(error);
        }
        let is_last = !matches!(frame, Some(Ok(_))) || this.body.is_end_stream();
        if is_last {
            // Dropping the span ends it.
            *this.open = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
