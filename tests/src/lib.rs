//! The simulator and the lab: what the suites in `tests/` stand on.

pub mod fib;
pub mod lab;
pub mod sim;
