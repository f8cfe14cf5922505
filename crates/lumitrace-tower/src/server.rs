//! The layer for servers.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Poll, ready};

use http::{HeaderMap, Request, Response};
use http_body::Body;
use lumitrace::{Context, Span, SpanKind, Tracer, propagation};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::TracedBody;
use crate::semantics::{Side, record_status, server_request, span_name};

/// A layer that records for the global provider, also if that is set up later; see [`ServerLayer`].
pub fn server_layer() -> ServerLayer {
    ServerLayer::new(lumitrace::tracer("tower"))
}

/// Records a span for each request that a service answers; see the [crate](crate).
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let answer = service_fn(async |_: Request<String>| Ok::<_, String>(Response::new(String::new())));
/// let service = lumitrace_tower::server_layer().layer(answer);
/// let answered = service.oneshot(Request::new(String::new())).await?;
/// assert_eq!(answered.status(), 200);
/// # Ok::<(), String>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerLayer {
    tracer: Tracer,
}

impl ServerLayer {
    /// A layer that records with `tracer`.
    pub fn new(tracer: Tracer) -> Self {
        Self { tracer }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = TracedService<S>;

    fn layer(&self, service: S) -> TracedService<S> {
        TracedService {
            service,
            tracer: self.tracer,
        }
    }
}

/// A service whose requests are spans; made by [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct TracedService<S> {
    service: S,
    tracer: Tracer,
}

impl<S, B, R> Service<Request<B>> for TracedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    R: Body,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (span, context) = start(self.tracer, &request);
        let future = {
            let _guard = context.clone().attach();
            self.service.call(request)
        };
        ResponseFuture {
            future,
            open: Some((span, context)),
        }
    }
}

/// The span of a request, and the context that it is answered in.
fn start<B>(tracer: Tracer, request: &Request<B>) -> (Span, Context) {
    let _guard = caller(request.headers()).attach();
    let route = route(request);
    let span = tracer
        .span(span_name(request.method(), route))
        .kind(SpanKind::Server)
        .attributes(server_request(request, route))
        .start();
    let context = Context::of_span(&span);
    (span, context)
}

/// Who sent the request: somebody in another process, as the headers say, or else whoever called the service in
/// this one.
fn caller(headers: &HeaderMap) -> Context {
    let remote = propagation::extract(headers);
    match (remote.span_context(), remote.baggage().is_empty()) {
        (Some(_), _) => remote,
        (None, false) => Context::current().with_baggage(remote.baggage().clone()),
        (None, true) => Context::current(),
    }
}

#[cfg(feature = "axum")]
fn route<B>(request: &Request<B>) -> Option<&str> {
    let matched = request.extensions().get::<axum::extract::MatchedPath>();
    matched.map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route<B>(_: &Request<B>) -> Option<&str> {
    None
}

pin_project! {
    /// The answer to come of a [`TracedService`]. Its span is current while it is polled, and ends with the
    /// answer's body; or with this, if nobody waits for the answer any more.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        future: F,
        open: Option<(Span, Context)>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: Display,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = {
            let context = this.open.as_ref().map(|(_, context)| context.clone());
            let _guard = context.map(Context::attach);
            this.future.poll(task)
        };
        let answer = ready!(polled);
        // There is none when it is polled again after its end, which no future has to bear.
        let (span, context) = this
            .open
            .take()
            .unwrap_or_else(|| (Span::none(), Context::default()));
        Poll::Ready(match answer {
            Ok(response) => {
                record_status(&span, response.status(), Side::Server);
                Ok(response.map(|body| TracedBody::new(body, span, context)))
            }
            Err(error) => {
                span.record_error(&error);
                Err(error)
            }
        })
    }
}
