//! What a channel does, tick by tick: sampled from its positions and counters, and recorded as traces.
//!
//! Nothing here touches the data path: endpoints write the positions anyway, and the counters on slow paths only.

mod machine;
mod recorder;
mod sample;
mod trace;

pub use recorder::{RecordError, Recorded, record};
pub use sample::{Sample, Sampler, WaitTimes};
pub use trace::{TraceError, TraceHeader, TraceReader, TraceWriter};
