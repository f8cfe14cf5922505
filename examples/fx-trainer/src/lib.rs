//! A traced FX trainer: it learns from minute bars what a currency pair does next, and sends a
//! trace of the training while it happens. Two programs use it: `run_training` learns one task,
//! `run_training_multitask` ten or eleven at once.
//!
//! It is an example of tracing with the `lumitrace` crate, and real training with candle; it is no
//! trading system. The same example in Python with PyTorch lies in `examples/fx-trainer-python`.
//!
//! The modules in the order of the data's way:
//! - [`program`]: what a program does; [`cli`]: flags become settings; [`tracing`]: where spans go
//! - [`run`]: the stages of one pair's training, in one trace
//! - [`market`] (bars where there are none), [`bars`], [`data`]: minute bars from files
//! - [`features`], [`tasks`], [`labels`], [`windows`]: what is seen and what is to be predicted
//! - [`model`], [`losses`], [`metrics`]: the network and how it is judged
//! - [`train`], [`checkpoint`], [`evaluation`], [`risk`]: learning, keeping, measuring
//! - [`spans`], [`progress`]: fallible work in spans, and what is printed

pub mod bars;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod evaluation;
pub mod features;
pub mod labels;
pub mod losses;
pub mod market;
pub mod metrics;
pub mod model;
pub mod program;
pub mod progress;
pub mod risk;
pub mod run;
pub mod spans;
pub mod tasks;
pub mod tracing;
pub mod train;
pub mod windows;
