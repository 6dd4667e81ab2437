//! Who decides: the controller's own policy, one plan for ever, or a user's.

use crate::control::decide::decide;
use crate::control::plan::Plan;
use crate::control::reasons::{Action, Reason};
use crate::control::situation::{Situation, Verdict};

/// Decides what is to be done in a situation. The controller samples, forecasts, applies and keeps the journal around it.
///
/// ```
/// use std::sync::Arc;
/// use tidegate::control::{ControllerOptions, Policy, Situation, Verdict, decide};
///
/// /// As the controller's own, but never gives room back.
/// #[derive(Debug)]
/// struct Generous;
///
/// impl Policy for Generous {
///     fn decide(&self, situation: &Situation) -> Verdict {
///         decide(&Situation { ticks_of_slack: 0, ..*situation })
///     }
/// }
///
/// let options = ControllerOptions { policy: Arc::new(Generous), ..ControllerOptions::default() };
/// ```
pub trait Policy: std::fmt::Debug + Send + Sync {
    /// One decision. It is called at each look, from the thread that all controllers of the process share: it must not wait, and
    /// not start or drop a controller.
    fn decide(&self, situation: &Situation) -> Verdict;
}

/// The plan that is predicted to cost least, behind guard rails: [`decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cheapest;

impl Policy for Cheapest {
    fn decide(&self, situation: &Situation) -> Verdict {
        decide(situation)
    }
}

/// One plan, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(pub Plan);

impl Policy for Fixed {
    fn decide(&self, situation: &Situation) -> Verdict {
        let Plan { ring_bytes, wait } = situation.plan;
        // As it will be, rounded.
        let wanted = Plan { ring_bytes: self.0.ring_bytes.next_power_of_two(), ..self.0 };
        let (action, plan) = if ring_bytes < wanted.ring_bytes {
            (Action::Grow, Plan { wait, ..wanted })
        } else if ring_bytes > wanted.ring_bytes {
            (Action::Shrink, Plan { wait, ..wanted })
        } else if wait != wanted.wait {
            (Action::SwitchWait, wanted)
        } else {
            (Action::Hold, wanted)
        };
        let reason = if action == Action::Hold { Reason::PlanFits } else { Reason::Fixed };
        Verdict { action, reason, plan, blocker: None, candidates: Vec::new() }
    }
}
