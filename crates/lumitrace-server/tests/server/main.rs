//! The server as its users meet it: the real binary, on free ports, over real connections.

mod bad_input;
mod configuration;
mod faults;
mod harness;
mod jaeger;
mod kill;
mod lifecycle;
mod live;
mod ops;
mod round_trip;
mod spans;
