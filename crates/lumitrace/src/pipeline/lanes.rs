//! The lanes of a pipeline, and which of them is the calling thread's.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use super::Pipeline;
use crate::lane::Lane;
use crate::lock::Mutex;

/// Whether the lane is the calling thread's own, and the one that it used last.
#[inline]
pub(crate) fn is_own(lane: &Lane) -> bool {
    std::ptr::eq(LATEST.get(), lane)
}

/// The lanes of one pipeline: as many as threads have recorded at the same time.
#[derive(Default)]
pub(crate) struct Lanes {
    lists: Mutex<Lists>,
    /// Of threads in their last moments, which cannot have one of their own any more.
    shared: OnceLock<&'static Lane>,
}

#[derive(Default)]
struct Lists {
    all: Vec<&'static Lane>,
    /// Those whose thread has ended.
    free: Vec<&'static Lane>,
}

thread_local! {
    /// The one of them that was used last; null where there is none, and once the thread ends. Beside
    /// the list, because reading it takes one instruction.
    static LATEST: Cell<*const Lane> = const { Cell::new(std::ptr::null()) };
    static OWN: RefCell<OwnLanes> = const { RefCell::new(OwnLanes(Vec::new())) };
}

/// A thread's lanes: one for each pipeline that it records for, of which there are hardly ever two.
struct OwnLanes(Vec<&'static Lane>);

impl OwnLanes {
    fn get(&mut self, pipeline: &'static Pipeline) -> &'static Lane {
        let is_it = |lane: &&&'static Lane| std::ptr::eq(lane.pipeline(), pipeline);
        if let Some(lane) = self.0.iter().find(is_it) {
            return lane;
        }
        // A forked child has its parent's, whose locks it must not touch.
        self.0.retain(|lane| lane.pipeline().is_of_this_process());
        let lane = pipeline.lanes().take(pipeline);
        self.0.push(lane);
        lane
    }
}

impl Drop for OwnLanes {
    fn drop(&mut self) {
        // Before anybody else gets them.
        LATEST.set(std::ptr::null());
        for lane in self.0.drain(..) {
            if lane.pipeline().is_of_this_process() {
                lane.pipeline().lanes().lists.lock().free.push(lane);
            }
        }
    }
}

impl Lanes {
    /// The lane of the calling thread.
    pub(crate) fn own(pipeline: &'static Pipeline) -> &'static Lane {
        // SAFETY: lanes are never freed.
        let latest = unsafe { LATEST.get().as_ref() };
        if let Some(lane) = latest.filter(|lane| std::ptr::eq(lane.pipeline(), pipeline)) {
            return lane;
        }
        match OWN.try_with(|own| own.borrow_mut().get(pipeline)) {
            Ok(lane) => {
                LATEST.set(lane);
                lane
            }
            Err(_) => pipeline.lanes().shared(pipeline),
        }
    }

    /// A lane that no thread has.
    fn take(&self, pipeline: &'static Pipeline) -> &'static Lane {
        let mut lists = self.lists.lock();
        if let Some(lane) = lists.free.pop() {
            return lane;
        }
        let lane: &'static Lane = Box::leak(Box::new(Lane::new(pipeline)));
        lists.all.push(lane);
        lane
    }

    fn shared(&self, pipeline: &'static Pipeline) -> &'static Lane {
        self.shared.get_or_init(|| self.take(pipeline))
    }

    /// All of them, also those whose thread has ended.
    pub(crate) fn all(&self) -> Vec<&'static Lane> {
        self.lists.lock().all.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::TracerProvider;
    use crate::exporter::InMemoryExporter;

    #[test]
    fn a_thread_takes_over_the_lane_of_one_that_has_ended() {
        let exporter = InMemoryExporter::default();
        let provider = TracerProvider::builder().exporter(exporter.clone()).build();
        let tracer = provider.tracer("threads");
        // It outlives the thread that starts it, and is ended by another one.
        let record = move || tracer.span("work").start();
        let mut spans = Vec::new();
        for _ in 0..20 {
            spans.push(std::thread::spawn(record).join().unwrap());
        }
        let recorder = provider.recorder().unwrap();
        assert_eq!(recorder.pipeline().lanes().all().len(), 1);
        drop(spans);
        provider.force_flush(Duration::from_secs(10)).unwrap();
        assert_eq!(exporter.finished_spans().len(), 20);
    }
}
