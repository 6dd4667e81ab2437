#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub(crate) mod prim;
/// The points at which a build with `--cfg failpoints` can be made to die.
#[cfg(failpoints)]
#[doc(hidden)]
pub use prim::failpoint::STEPS;

#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod ring;
#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod shm;
#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod sync;

#[cfg(not(loom))]
pub mod channel;

#[cfg(not(loom))]
pub mod control;
#[cfg(all(feature = "inspect", not(loom)))]
pub mod inspect;
#[cfg(not(loom))]
pub mod model;
#[cfg(not(loom))]
pub mod telemetry;

#[cfg(not(loom))]
pub use channel::{
    AsyncReceiver, AsyncSender, Channel, ChannelOptions, Claim, Guard, Order, Receiver, Receivers, Resize, Sender,
    WhenFull,
};
#[cfg(not(loom))]
pub use shm::ShmError;
#[cfg(not(loom))]
pub use shm::inventory::{Entry, EntryState, Host};
#[cfg(not(loom))]
pub use sync::lock::error::{LockError, OwnerDied, TryLockError};
#[cfg(not(loom))]
pub use sync::lock::guarded::LockWaits;
#[cfg(not(loom))]
pub use sync::lock::strategy::LockStrategy;
#[cfg(not(loom))]
pub use sync::mutex::{MutexGuard, ShmMutex};
#[cfg(not(loom))]
pub use sync::rwlock::{RwLockReadGuard, RwLockWriteGuard, ShmRwLock};
#[cfg(not(loom))]
pub use sync::semaphore::{AcquireError, Permit, ShmSemaphore, TryAcquireError};
#[cfg(not(loom))]
pub use sync::signal::{
    condition::{ShmCondition, Waiter},
    flag::ShmFlag,
    tokens::{GiveError, ShmTokens, TakeError},
};
#[cfg(not(loom))]
pub use sync::support::Support;
#[cfg(not(loom))]
pub use sync::wait::{WaitStrategy, cpus};
