//! How a replayed channel is run.

use std::str::FromStr;

use serde::{Serialize, Serializer};
use tidegate::WaitStrategy;
use tidegate::control::ForecastModel;

/// The ring that a controller begins with, bytes: the default of a channel.
const RING_BYTES: u64 = 1 << 16;
/// Smallest and largest ring of a controlled channel, bytes: the defaults of a channel.
pub(super) const BOUNDS: (u64, u64) = (1 << 12, 1 << 24);
const RING_BYTES_CEILING: u64 = 1 << 30;
const WAITS: [WaitStrategy; 4] =
    [WaitStrategy::Spin, WaitStrategy::SpinYield, WaitStrategy::DEFAULT, WaitStrategy::Park];
const BUDGET_US_MAX: u32 = 1_000_000;

/// `adaptive`, `heuristic`, or `static:CAP:WAIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The controller with the packaged model.
    Adaptive,
    /// The controller with its rule of thumb.
    Heuristic,
    /// One ring size, one way of waiting.
    Static { ring_bytes: u64, wait: WaitStrategy },
}

/// What a command was asked to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Every policy.
    All,
    /// That one.
    One(Policy),
}

impl Choice {
    /// The policies, where ways of waiting make a difference or, `simulated`, make none.
    pub(super) fn policies(self, simulated: bool) -> Vec<Policy> {
        let Self::One(policy) = self else {
            let waits: &[WaitStrategy] = if simulated { &[WaitStrategy::DEFAULT] } else { &WAITS };
            let of_ring =
                |shift: u32| waits.iter().map(move |&wait| Policy::Static { ring_bytes: 1u64 << shift, wait });
            let by_hand = [16, 18, 20, 22, 24].into_iter().flat_map(of_ring);
            return [Policy::Adaptive, Policy::Heuristic].into_iter().chain(by_hand).collect();
        };
        vec![policy]
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

impl Policy {
    /// Bytes of the ring at the beginning.
    pub(super) fn ring_bytes(self) -> u64 {
        if let Self::Static { ring_bytes, .. } = self { ring_bytes } else { RING_BYTES }
    }

    pub(super) fn wait(self) -> WaitStrategy {
        if let Self::Static { wait, .. } = self { wait } else { WaitStrategy::DEFAULT }
    }

    /// What forecasts, where a controller is in charge.
    pub(super) fn model(self) -> Option<ForecastModel> {
        match self {
            Self::Adaptive => Some(ForecastModel::Packaged),
            Self::Heuristic => Some(ForecastModel::RuleOfThumb),
            Self::Static { .. } => None,
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Adaptive => f.write_str("adaptive"),
            Self::Heuristic => f.write_str("heuristic"),
            Self::Static { ring_bytes, wait } => {
                let (number, unit) = match ring_bytes {
                    bytes if bytes.is_multiple_of(1 << 20) => (bytes >> 20, "M"),
                    bytes if bytes.is_multiple_of(1 << 10) => (bytes >> 10, "K"),
                    bytes => (*bytes, ""),
                };
                write!(f, "static:{number}{unit}:{}", wait.name())?;
                if let WaitStrategy::SpinPark { budget_ns } = wait {
                    write!(f, "={}", budget_ns / 1000)
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || format!("`{text}` is none of all, adaptive, heuristic and static:CAP:WAIT, as static:64K:spin_park");
        match text.split(':').collect::<Vec<_>>().as_slice() {
            ["adaptive"] => Ok(Self::Adaptive),
            ["heuristic"] => Ok(Self::Heuristic),
            ["static", cap, wait] => Ok(Self::Static { ring_bytes: bytes(cap)?, wait: strategy(wait)? }),
            _ => Err(form()),
        }
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 0), |digits| (digits, 20)),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    let within = bytes.filter(|bytes| (BOUNDS.0..=RING_BYTES_CEILING).contains(bytes) && bytes.is_power_of_two());
    within.ok_or_else(|| format!("a ring of `{text}` bytes: a power of two from 4K to 1024M is needed"))
}

fn strategy(text: &str) -> Result<WaitStrategy, String> {
    let (name, budget_us) = text.split_once('=').map_or((text, None), |(name, budget)| (name, Some(budget)));
    let budget_ns = match budget_us.map(str::parse::<u32>) {
        None => None,
        Some(Ok(us)) if us <= BUDGET_US_MAX => Some(us * 1000),
        Some(_) => return Err(format!("a budget of `{text}`: microseconds, at most {BUDGET_US_MAX}, are needed")),
    };
    match (name, budget_ns) {
        ("spin", None) => Ok(WaitStrategy::Spin),
        ("spin_yield", None) => Ok(WaitStrategy::SpinYield),
        ("park", None) => Ok(WaitStrategy::Park),
        ("spin_park", None) => Ok(WaitStrategy::DEFAULT),
        ("spin_park", Some(budget_ns)) => Ok(WaitStrategy::SpinPark { budget_ns }),
        _ => Err(format!("`{text}` is no way of waiting: spin, spin_yield, spin_park, spin_park=MICROSECONDS or park")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for text in ["adaptive", "heuristic", "static:64K:spin", "static:16M:spin_park=40", "static:4K:park"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        for text in ["", "static", "static:5K:spin", "static:64K:dance", "static:64K:park=3", "static:2K:spin", "fast"]
        {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
        let all: Choice = "all".parse().unwrap();
        assert_eq!((all.policies(false).len(), all.policies(true).len()), (22, 7));
        assert_eq!("heuristic".parse(), Ok(Choice::One(Policy::Heuristic)));
    }
}
