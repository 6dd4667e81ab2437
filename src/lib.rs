#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub(crate) mod prim;
#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod shm;
#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod sync;
