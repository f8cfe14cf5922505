//! Where what belongs to `opentelemetry_sdk` runs: on the worker thread of the provider, with a small async
//! runtime beside it, as exporters over the network expect one around them.

use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use lumitrace::exporter::{ExportError, ExportReceipt, begin_exporting_thread};
use lumitrace::model::Resource;
use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use tokio::runtime::{Builder, Runtime};

use crate::span_data;

/// How long there is at the end to send what is held back.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// An exporter or processor that is made when it is first needed. A clone has yet to be made.
pub(crate) struct Lazy<T> {
    pub(crate) name: String,
    make: Arc<dyn Fn() -> T + Send + Sync>,
    running: Option<Running<T>>,
}

struct Running<T> {
    made: T,
    runtime: Runtime,
}

impl<T> Lazy<T> {
    pub(crate) fn new(name: String, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            name,
            make: Arc::new(make),
            running: None,
        }
    }

    /// Lets it `work`, and makes it before if need be.
    pub(crate) fn work(
        &mut self,
        resource: &Resource,
        set_resource: impl FnOnce(&mut T, &opentelemetry_sdk::Resource),
        work: impl FnOnce(&T) -> OTelSdkResult,
    ) -> Result<ExportReceipt, ExportError> {
        let running = match &mut self.running {
            Some(running) => running,
            none => {
                let mut running = Running::start(&*self.make)?;
                set_resource(&mut running.made, &span_data::resource(resource));
                none.insert(running)
            }
        };
        running.within(work).map_err(refused)?;
        Ok(ExportReceipt::default())
    }

    /// Ends it, if it was ever made.
    pub(crate) fn stop(&mut self, stop: impl FnOnce(&T) -> OTelSdkResult) {
        if let Some(running) = self.running.take() {
            // It is the last call: there is nobody left to be told.
            let _stopped = running.within(stop);
            let Running { made, runtime } = running;
            {
                let _entered = runtime.enter();
                drop(made);
            }
            runtime.shutdown_background();
        }
    }
}

impl<T> Clone for Lazy<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            make: Arc::clone(&self.make),
            running: None,
        }
    }
}

impl<T> Running<T> {
    fn start(make: &dyn Fn() -> T) -> Result<Self, ExportError> {
        // A thread of its own drives timers and sockets, also between two exports.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lumitrace-sdk")
            .on_thread_start(begin_exporting_thread)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| ExportError::Refused {
            reason: format!("cannot start the runtime of an exporter: {error}"),
        })?;
        let made = {
            let _entered = runtime.enter();
            make()
        };
        Ok(Self { made, runtime })
    }

    /// What it does is not traced: it would be exported in turn.
    fn within(&self, work: impl FnOnce(&T) -> OTelSdkResult) -> OTelSdkResult {
        let _entered = self.runtime.enter();
        let _untraced = Context::enter_telemetry_suppressed_scope();
        work(&self.made)
    }
}

/// Waits for `future` on this thread, which is none of the runtime's: exporters that block, such as those
/// over `reqwest::blocking`, may do so.
pub(crate) fn wait(
    future: impl Future<Output = OTelSdkResult>,
    timeout: Duration,
) -> OTelSdkResult {
    let ended = block_on(async { tokio::time::timeout(timeout, future).await });
    ended.unwrap_or(Err(OTelSdkError::Timeout(timeout)))
}

/// Exporters try again by themselves; what they give up is dropped (specification, "Trace SDK", Export).
fn refused(error: OTelSdkError) -> ExportError {
    ExportError::Refused {
        reason: error.to_string(),
    }
}
