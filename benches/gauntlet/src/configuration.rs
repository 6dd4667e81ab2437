//! What a workload is run with: every static configuration, and what tunes itself.

use serde::{Serialize, Serializer};
use tidegate::WaitStrategy;
use tidegate::channel::ChannelOptions;
use tidegate::control::{ControllerOptions, ForecastModel};

const RING_BYTES: [(&str, u64); 5] =
    [("64KiB", 1 << 16), ("256KiB", 1 << 18), ("1MiB", 1 << 20), ("4MiB", 1 << 22), ("16MiB", 1 << 24)];
const WAITS: [WaitStrategy; 4] =
    [WaitStrategy::Spin, WaitStrategy::SpinYield, WaitStrategy::DEFAULT, WaitStrategy::Park];

/// How a channel is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configuration {
    /// By hand, and left so.
    Static { ring: &'static str, ring_bytes: u64, wait: WaitStrategy },
    /// As the library does, with the controller that forecasts by the rule of thumb.
    Heuristic,
    /// As the library does, with nothing set.
    Adaptive,
}

impl Configuration {
    /// All of them, those that tune themselves first.
    pub(crate) fn all() -> Vec<Self> {
        let of_wait = |wait| RING_BYTES.map(|(ring, ring_bytes)| Self::Static { ring, ring_bytes, wait });
        [Self::Adaptive, Self::Heuristic].into_iter().chain(WAITS.into_iter().flat_map(of_wait)).collect()
    }

    pub(crate) fn is_static(self) -> bool {
        matches!(self, Self::Static { .. })
    }

    /// The same options, with what is set by hand.
    pub(crate) fn set(self, options: ChannelOptions) -> ChannelOptions {
        match self {
            Self::Static { ring_bytes, .. } => options.ring_bytes(ring_bytes),
            Self::Heuristic | Self::Adaptive => options,
        }
    }

    pub(crate) fn wait(self) -> Option<WaitStrategy> {
        match self {
            Self::Static { wait, .. } => Some(wait),
            Self::Heuristic | Self::Adaptive => None,
        }
    }

    /// Of the controller, where there is one.
    pub(crate) fn controller(self) -> Option<ControllerOptions> {
        let model = match self {
            Self::Static { .. } => return None,
            Self::Heuristic => ForecastModel::RuleOfThumb,
            Self::Adaptive => ForecastModel::Packaged,
        };
        Some(ControllerOptions { model, ..ControllerOptions::default() })
    }
}

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Static { ring, wait, .. } => write!(f, "{ring}/{}", wait.name()),
            Self::Heuristic => f.write_str("heuristic"),
            Self::Adaptive => f.write_str("adaptive"),
        }
    }
}

impl Serialize for Configuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
