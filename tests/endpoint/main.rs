//! The endpoint: what it tells, and what strangers can do to it, which is nothing.
#![cfg(feature = "inspect")]

mod client;
mod hostile;
mod telling;
