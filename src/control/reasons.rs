//! What is done, why, and why not, by names that the journal, the metrics and the endpoint share.

use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Nothing.
    Hold,
    /// Larger rings.
    Grow,
    /// Smaller rings.
    Shrink,
    /// Another wait strategy.
    SwitchWait,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The plan in force is the cheapest, or as good as.
    PlanFits,
    /// A sender waits for room now.
    OverflowNow,
    /// The forecast does not fit into the ring.
    OverflowForecast,
    /// The forecast has fitted into a smaller ring for long.
    SlackProven,
    /// Larger rings were as full as the smaller ones.
    GrowthFutile,
    /// The policy knows one plan.
    Fixed,
    /// The receiver's waits are short: spinning is cheaper than being woken.
    ShortGaps,
    /// The receiver's waits are long: sleeping is cheaper than spinning.
    LongGaps,
}

/// What keeps a cheaper plan from being put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Blocker {
    /// It is cheaper by less than the dead band.
    DeadBand,
    /// The last change is too recent.
    Dwell,
    /// Larger rings were as full as the smaller ones not long ago.
    Futile,
    /// The budget has no more memory, or others need it more.
    Budget,
    /// The memory would cost more than stalls have cost so far.
    Rent,
    /// The ring it needs still holds messages, or a sender is moving.
    Busy,
    /// The channel was not created for it, or this handle may only receive.
    NotAllowed,
    /// The memory could not be had.
    NoMemory,
    /// Another controller has the channel.
    Steered,
    /// The controller only watches.
    Shadow,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hold, Self::Grow, Self::Shrink, Self::SwitchWait];

    /// Its name in the journal and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::SwitchWait => "switch_wait",
        }
    }
}

impl Reason {
    /// Its name in the journal and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlanFits => "plan_fits",
            Self::OverflowNow => "overflow_now",
            Self::OverflowForecast => "overflow_forecast",
            Self::SlackProven => "slack_proven",
            Self::GrowthFutile => "growth_futile",
            Self::Fixed => "fixed",
            Self::ShortGaps => "short_gaps",
            Self::LongGaps => "long_gaps",
        }
    }
}

impl Blocker {
    /// Why not, in words.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::DeadBand => "that would save too little",
            Self::Dwell => "the last change was too recent",
            Self::Futile => "larger rings have been as full not long ago",
            Self::Rent => "the memory would cost more than stalls have cost so far",
            Self::Budget => "the budget has not that much left, or others need it more",
            Self::Busy => "the rings that it needs still hold messages",
            Self::NotAllowed => "the channel was not created for it, or this process may only receive",
            Self::NoMemory => "there is no memory for it",
            Self::Steered => "another controller has the channel",
            Self::Shadow => "the controller only watches",
        }
    }

    /// Its name in the journal and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadBand => "dead_band",
            Self::Dwell => "dwell",
            Self::Futile => "futile",
            Self::Rent => "rent",
            Self::Budget => "budget",
            Self::Busy => "busy",
            Self::NotAllowed => "not_allowed",
            Self::NoMemory => "no_memory",
            Self::Steered => "steered",
            Self::Shadow => "shadow",
        }
    }
}
