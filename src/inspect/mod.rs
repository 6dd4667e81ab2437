//! An HTTP endpoint for people and scrapers, and a page on which every decision can be inspected.
//!
//! | path | answers |
//! |---|---|
//! | `/` | the page |
//! | `/metrics` | every channel in Prometheus' text format |
//! | `/channels` | every channel: who is at it, what it holds, how it waits |
//! | `/history` | the course of one: `?channel=`, `&seconds=` back, in `&points=` |
//! | `/decisions` | the journals, newest first: `?channel=`, `?action=`, `?reason=`, `?since_ms=`, `?until_ms=`, `?limit=`, and `?before=` with the `next` of the answer before |
//! | `/explain` | one decision in words: `?channel=`, `&id=` |
//! | `/models` | which forecast is in charge of each channel and why, and how its forecasts did |
//! | `/events` | what changes, as server-sent events; the course of `?channel=` among it |
//! | `/healthz` | `ok` |
//!
//! All but `/`, `/metrics` and `/healthz` are JSON objects, of `version` 1.
//!
//! ```
//! use tidegate::Channel;
//! use tidegate::control::{Controller, ControllerOptions};
//! use tidegate::inspect::{Endpoint, Registry};
//!
//! let channel = Channel::options().create_anonymous()?;
//! let controller = Controller::start(&channel, "orders", ControllerOptions::default());
//! let registry = Registry::default();
//! registry.add(&channel, controller.state());
//! let endpoint = Endpoint::serve(&"127.0.0.1:0".parse()?, registry)?;
//! println!("{}", endpoint.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It reads and never changes anything: numbers come out of shared memory, whatever the processes do that made the channels. It
//! listens on addresses of this machine alone, and answers GET requests whose `Host` is this machine's own name for itself, so that
//! a web page elsewhere cannot read it through a user's browser.

mod channels;
mod clock;
mod decisions;
mod endpoint;
mod events;
mod exposition;
mod page;
mod registry;
mod routes;

pub use channels::{BudgetUse, ChannelRow, Channels, EndpointRow, WaitRow};
pub use endpoint::{Address, Endpoint};
pub use registry::{Presence, Registry};
