//! Sends batches over all connections, each again until it is accepted, refused or given up.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::bail;
use parking_lot::Mutex;

use super::rate::Rate;
use super::sink::{Answer, Request, Sink};
use super::tally::Tally;
use crate::record_file::Batch;
use crate::stop::Stop;

/// First pause after a receiver was busy without saying for how long; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where batches come from.
pub(crate) trait Batches: Send {
    /// The next one; `None` after the last.
    fn next_batch(&mut self) -> Option<Batch>;
}

/// What all connections share.
pub(crate) struct Delivery<'a, B> {
    pub(crate) batches: Mutex<B>,
    pub(crate) rate: Mutex<Rate>,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) stop: &'a Stop,
    pub(crate) started: Instant,
    /// How long one request is tried.
    pub(crate) patience: Duration,
}

impl<B: Batches> Delivery<'_, B> {
    /// Sends everything over these connections, and calls `show` every `tick` meanwhile.
    ///
    /// # Errors
    /// A connection cannot be used at all; the others have ended then, too.
    pub(crate) fn run(
        &self,
        sinks: Vec<Box<dyn Sink + '_>>,
        tick: Duration,
        mut show: impl FnMut(),
    ) -> anyhow::Result<()> {
        // Nobody holds the only sender once all connections have ended.
        let (alive, all_ended) = sync_channel::<()>(0);
        std::thread::scope(|scope| {
            let senders: Vec<_> = sinks
                .into_iter()
                .map(|mut sink| {
                    let alive = alive.clone();
                    scope.spawn(move || {
                        let result = self.feed(sink.as_mut()).and_then(|()| sink.finish());
                        if result.is_err() {
                            self.stop.request();
                        }
                        drop(alive);
                        result
                    })
                })
                .collect();
            drop(alive);
            while let Err(RecvTimeoutError::Timeout) = all_ended.recv_timeout(tick) {
                show();
            }
            let results = senders.into_iter().map(|sender| match sender.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            // All are joined before the first error is told.
            let results: Vec<_> = results.collect();
            results.into_iter().collect()
        })
    }

    /// Sends batches over one connection until there are no more.
    fn feed(&self, sink: &mut dyn Sink) -> anyhow::Result<()> {
        while !self.stop.is_requested() {
            let Some(batch) = self.batches.lock().next_batch() else {
                break;
            };
            let spans = batch.record_count();
            let wait = self.rate.lock().wait(self.started.elapsed(), spans);
            if self.stop.wait(wait) {
                break;
            }
            let request = Request {
                signal: batch.signal(),
                bytes: sink.encode(&batch)?,
            };
            drop(batch);
            self.deliver(sink, &request, spans as u64)?;
        }
        Ok(())
    }

    fn deliver(&self, sink: &mut dyn Sink, request: &Request, spans: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = Instant::now();
            let answer = sink.send(request)?;
            let mut tally = self.tally.lock();
            let is_busy = matches!(answer, Answer::Busy { .. });
            let (after, reason) = match answer {
                Answer::Accepted { rejected, message } => {
                    let rejected = rejected.min(spans);
                    tally.latencies.record(sent.elapsed());
                    tally.requests += 1;
                    tally.bytes += request.bytes.len() as u64;
                    tally.accepted_spans += spans - rejected;
                    tally.rejected_spans += rejected;
                    if rejected > 0 {
                        tally.reason = Some(message);
                    }
                    return Ok(());
                }
                Answer::Refused { reason } => {
                    tally.rejected_spans += spans;
                    tally.reason = Some(reason);
                    return Ok(());
                }
                Answer::Unreachable { reason } if tally.requests == 0 => {
                    bail!("{reason}; is the receiver running, and is the address right?");
                }
                Answer::Unreachable { reason } => (None, reason),
                Answer::Busy { after, reason } => (after, reason),
            };
            tally.reason = Some(reason);
            let wait = after.unwrap_or(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if begun.elapsed() + wait > self.patience {
                tally.lost_spans += spans;
                return Ok(());
            }
            drop(tally);
            if self.stop.wait(wait) {
                let mut tally = self.tally.lock();
                // Who was sent away with these spans has not lost them; a broken connection may have.
                if is_busy {
                    tally.unsent_spans += spans;
                } else {
                    tally.lost_spans += spans;
                }
                return Ok(());
            }
            self.tally.lock().retries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::shape::{Content, Shape};
    use crate::generate::traffic::{Times, Total, Traffic};

    /// Gives these answers in turn, then accepts.
    struct Scripted {
        answers: Vec<Answer>,
    }

    impl Sink for Scripted {
        fn encode(&self, _: &Batch) -> anyhow::Result<Vec<u8>> {
            Ok(vec![0])
        }

        fn send(&mut self, _: &Request) -> anyhow::Result<Answer> {
            Ok(self.answers.pop().unwrap_or_else(accepted))
        }
    }

    fn accepted() -> Answer {
        Answer::Accepted {
            rejected: 0,
            message: String::new(),
        }
    }

    fn busy(after: Duration) -> Answer {
        Answer::Busy {
            after: Some(after),
            reason: "busy".to_owned(),
        }
    }

    /// Three requests of ten spans.
    fn delivery(stop: &Stop, patience: Duration) -> Delivery<'_, Traffic> {
        let content = Content {
            shape: Shape::Benchmark,
            seed: 1,
            payload_bytes: 0,
        };
        Delivery {
            batches: Mutex::new(Traffic::new(content, Total::Traces(3), Times::Live, 10)),
            rate: Mutex::new(Rate::new(0.0)),
            tally: Mutex::default(),
            stop,
            started: Instant::now(),
            patience,
        }
    }

    fn run(mut answers: Vec<Answer>, patience: Duration) -> anyhow::Result<Tally> {
        answers.reverse();
        let stop = Stop::default();
        let delivery = delivery(&stop, patience);
        let sink = Box::new(Scripted { answers });
        delivery.run(vec![sink], Duration::from_secs(1), || {})?;
        Ok(delivery.tally.into_inner())
    }

    /// Keeps what it is sent.
    struct Keeping<'a> {
        requests: &'a Mutex<Vec<Vec<u8>>>,
    }

    impl Sink for Keeping<'_> {
        fn encode(&self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
            Ok(batch.encode_protobuf())
        }

        fn send(&mut self, request: &Request) -> anyhow::Result<Answer> {
            self.requests.lock().push(request.bytes.clone());
            Ok(accepted())
        }
    }

    #[test]
    fn the_same_requests_are_sent_whatever_the_number_of_connections() {
        let send = |connections: usize| {
            let requests = Mutex::default();
            let content = Content {
                shape: Shape::Mixed,
                seed: 9,
                payload_bytes: 100,
            };
            let times = Times::Spread {
                start_unix_nano: 1,
                length: PATIENT,
            };
            let stop = Stop::default();
            let delivery = Delivery {
                batches: Mutex::new(Traffic::new(content, Total::Traces(60), times, 40)),
                rate: Mutex::new(Rate::new(0.0)),
                tally: Mutex::default(),
                stop: &stop,
                started: Instant::now(),
                patience: PATIENT,
            };
            let sinks = (0..connections).map(|_| {
                Box::new(Keeping {
                    requests: &requests,
                }) as Box<dyn Sink + '_>
            });
            let tick = Duration::from_secs(1);
            delivery.run(sinks.collect(), tick, || {}).unwrap();
            let mut requests = requests.into_inner();
            requests.sort();
            requests
        };
        let alone = send(1);
        assert!(alone.len() > 10);
        assert_eq!(alone, send(7));
    }

    const PATIENT: Duration = Duration::from_secs(60);

    #[test]
    fn a_busy_receiver_gets_every_span_in_the_end() {
        let answers = vec![busy(Duration::ZERO), busy(Duration::ZERO)];
        let tally = run(answers, PATIENT).unwrap();
        assert_eq!((tally.accepted_spans, tally.retries), (30, 2));
        assert_eq!(tally.settled_spans(), 30);
    }

    #[test]
    fn what_is_refused_given_up_or_rejected_is_counted() {
        let rejected = Answer::Accepted {
            rejected: 4,
            message: "bad".to_owned(),
        };
        let refused = Answer::Refused {
            reason: "no".to_owned(),
        };
        let long = busy(Duration::from_secs(3_600));
        let tally = run(vec![rejected, refused, long], PATIENT).unwrap();
        assert_eq!(tally.accepted_spans, 6);
        assert_eq!(tally.rejected_spans, 14);
        assert_eq!(tally.lost_spans, 10);
        assert!(!tally.report(3, PATIENT).is_complete());
    }

    /// Is busy, and asks to end meanwhile, as Ctrl-C does.
    struct Interrupting<'a> {
        stop: &'a Stop,
    }

    impl Sink for Interrupting<'_> {
        fn encode(&self, _: &Batch) -> anyhow::Result<Vec<u8>> {
            Ok(vec![0])
        }

        fn send(&mut self, _: &Request) -> anyhow::Result<Answer> {
            self.stop.request();
            Ok(busy(Duration::from_secs(30)))
        }
    }

    #[test]
    fn an_end_while_the_receiver_is_busy_loses_nothing() {
        let stop = Stop::default();
        let delivery = delivery(&stop, PATIENT);
        let sink = Box::new(Interrupting { stop: &stop });
        let tick = Duration::from_secs(1);
        delivery.run(vec![sink], tick, || {}).unwrap();
        let tally = delivery.tally.into_inner();
        assert_eq!((tally.unsent_spans, tally.lost_spans), (10, 0));
        assert!(tally.report(1, PATIENT).is_complete());
    }

    #[test]
    fn nobody_at_the_address_is_an_error_at_once() {
        let reason = "connection refused".to_owned();
        let error = run(vec![Answer::Unreachable { reason }], PATIENT).unwrap_err();
        assert!(error.to_string().contains("connection refused"));
    }
}
