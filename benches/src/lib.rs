//! What the benchmarks of Tidegate and of its peers share: the load, the rounds, the report.
//!
//! Both ends run on cores of their own. All cases of a run take turns, one after the other, round by round, so that a
//! drift of the machine meets each of them; what is compared is the ratio within a round. No figure is a bar: a
//! benchmark prints, and judges nothing.

pub mod channel;
pub mod child;
pub mod cores;
pub mod cpu;
pub mod fan;
pub mod floor;
pub mod load;
pub mod locks;
pub mod machine;
pub mod options;
pub mod pairs;
pub mod picture;
pub mod processes;
pub mod report;
pub mod resizing;
pub mod rounds;
