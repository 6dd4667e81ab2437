//! A decision as a paragraph for people.

use std::fmt::Write;

use crate::control::forecaster::ForecastSource;
use crate::control::journal::{Decision, Outcome};
use crate::control::reasons::Action;

impl Decision {
    /// The decision in a paragraph: what was seen, what was predicted, what was weighed and done, and what then happened.
    pub fn explanation(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _infallible = self.explain(&mut text);
        text
    }

    fn explain(&self, to: &mut String) -> std::fmt::Result {
        let Self { situation, prediction, .. } = self;
        writeln!(to, "Decision {} of channel {}. {}", self.id, self.channel, self.sentence)?;
        write!(
            to,
            "Seen: rings of {} for each of {} senders, waiting by {}; a backlog of {} in the fullest ring{}",
            bytes(situation.plan.ring_bytes as f64),
            situation.senders,
            situation.plan.wait,
            bytes(situation.backlog_bytes),
            if situation.overflowing { ", and a sender without room" } else { "" },
        )?;
        writeln!(to, "; {:.0} waits a second of {:.1} us.", situation.gaps_s, situation.gap_us)?;
        let source = match prediction.source {
            ForecastSource::Model => "the model",
            ForecastSource::Heuristic => "the rule of thumb",
            ForecastSource::OutOfDistribution => "the rule of thumb, as the model was not trained on the like",
            ForecastSource::Drifted => "the rule of thumb, as the model was exceeded too often",
        };
        write!(to, "Predicted by {source}: at most {} in all rings", bytes(prediction.peak_backlog_bytes))?;
        let believed = bytes(situation.peak_backlog_bytes);
        writeln!(to, ", of which {believed} were believed for the fullest.")?;
        if !self.contributions.is_empty() {
            let moved = |c: &super::journal::Contribution| format!("{} ({:+.2})", c.feature, c.moved);
            let moved: Vec<String> = self.contributions.iter().map(moved).collect();
            writeln!(to, "What moved the forecast most: {}.", moved.join(", "))?;
        }
        if let [best, others @ ..] = self.candidates.as_slice() {
            let arm = |plan: super::Plan| format!("rings of {}, {}", bytes(plan.ring_bytes as f64), plan.wait);
            write!(to, "Weighed: {} at {:.0} us a second", arm(best.plan), best.cost_us_s)?;
            for candidate in others.iter().take(2) {
                write!(to, "; {} at {:.0}", arm(candidate.plan), candidate.cost_us_s)?;
            }
            writeln!(to, ".")?;
        }
        match (self.action, self.blocker) {
            (Action::Hold, Some(blocker)) => writeln!(to, "Nothing was done: {}.", blocker.sentence())?,
            (Action::Hold, None) => writeln!(to, "Nothing was to be done.")?,
            _ => writeln!(to, "Done in {:.1} us.", self.duration_ns as f64 / 1e3)?,
        }
        match &self.outcome {
            None => writeln!(to, "What came of it is not known yet."),
            Some(outcome) => self.explain_outcome(outcome, to),
        }
    }

    fn explain_outcome(&self, outcome: &Outcome, to: &mut String) -> std::fmt::Result {
        let off = outcome.forecast_error_bytes;
        write!(
            to,
            "In the {:.0} ms after it the backlog was seen at up to {}, {} {} than predicted, and senders had to wait {} times.",
            outcome.span_ns as f64 / 1e6,
            bytes(outcome.peak_backlog_bytes as f64),
            bytes(off.unsigned_abs() as f64),
            if off < 0 { "more" } else { "less" },
            outcome.stalls,
        )?;
        if matches!(self.action, Action::Grow | Action::Shrink) {
            let would = if outcome.would_have_overflowed { "would" } else { "would not" };
            write!(to, " The rings of before {would} have overflowed.")?;
        }
        writeln!(to)
    }
}

/// Bytes as people read them.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        b if b >= 1_048_576.0 => format!("{:.1} MiB", b / 1_048_576.0),
        b if b >= 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{b:.0} bytes"),
    }
}
