//! The rules of the finite state machine (RFC 4271 §8) as pure functions and small values: which message is due in which
//! state, which of two colliding connections stays, when timers fire. [`crate::session`] puts them together.

pub mod collision;
pub mod messages;
pub mod timers;

#[cfg(test)]
mod tests;
