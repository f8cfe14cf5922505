//! The trainer as a whole: that it learns, what it sends, and what it does without a receiver.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod learning;
mod programs;
mod settings;
mod trace;
mod tree;
