//! A forked child has an exporter of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::io::{PipeWriter, Read, Write};
use std::time::Duration;

use lumitrace::TracerProvider;
use lumitrace_opentelemetry::SdkExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes the names of spans, and how often it has slept on its runtime.
#[derive(Debug)]
struct Writing(PipeWriter);

impl SpanExporter for Writing {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        tokio::time::sleep(Duration::from_millis(1)).await;
        for span in batch {
            writeln!(&self.0, "{}", span.name).unwrap();
        }
        Ok(())
    }
}

/// The only test of its program: a fork copies whatever other tests are doing.
#[test]
fn a_forked_child_sends_its_spans_with_an_exporter_and_a_runtime_of_its_own() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let exporter = SdkExporter::new("pipe", move || Writing(writer.try_clone().unwrap()));
    let provider = TracerProvider::builder().exporter(exporter).build();
    let send = |name: &'static str| {
        provider.tracer("test").in_span(name, |_| ());
        provider.force_flush(PATIENCE).is_ok()
    };
    assert!(send("before"));
    // SAFETY: the child calls nothing but the SDK under test and `_exit`; that it may do so although other
    // threads were running is what this test is about.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_sent = send("in the child") && provider.shutdown().is_ok();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(if is_sent { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `child` is a child of this process, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child could not send");
    assert!(send("after"));
    provider.shutdown().unwrap();

    let mut seen = vec![0; "before\nin the child\nafter\n".len()];
    reader.read_exact(&mut seen).unwrap();
    assert_eq!(
        String::from_utf8(seen).unwrap(),
        "before\nin the child\nafter\n"
    );
}
