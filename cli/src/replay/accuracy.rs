//! How far simulations were from real replays on this machine: kept beside the host profile, told with each simulation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidegate::control::host_profile_path;

use crate::failure::Failure;
use crate::whole_file::WholeFile;

/// Loads that far apart are about alike.
const LOADS_ALIKE: f64 = 0.2;
/// An error of the peak that passes.
pub(super) const NEAR: f64 = 0.1;

/// Errors of simulated peak backlogs, measured by `tidegate replay --validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accuracy {
    /// At each load: the mean of the absolute errors, and the share of replays that were within 10 %.
    pub(super) loads: Vec<AtLoad>,
}

/// Errors at one load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLoad {
    pub(super) load: f64,
    /// Replays that were compared.
    pub(super) replays: usize,
    pub(super) mean_absolute_error: f64,
    pub(super) share_near: f64,
}

fn path() -> Option<PathBuf> {
    Some(host_profile_path()?.with_file_name("simulator.json"))
}

impl Accuracy {
    /// Of errors by load.
    pub(super) fn of(errors: &[(f64, f64)]) -> Self {
        let mut loads: Vec<f64> = errors.iter().map(|(load, _)| *load).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        let at = |load: f64| {
            let here: Vec<f64> = errors.iter().filter(|(at, _)| *at == load).map(|(_, error)| error.abs()).collect();
            let share =
                |passes: &dyn Fn(&f64) -> bool| here.iter().filter(|e| passes(e)).count() as f64 / here.len() as f64;
            let mean_absolute_error = here.iter().sum::<f64>() / here.len() as f64;
            AtLoad { load, replays: here.len(), mean_absolute_error, share_near: share(&|error| *error <= NEAR) }
        };
        Self { loads: loads.into_iter().map(at).collect() }
    }

    /// Keeps it for simulations to come. Where there is no directory of configuration, nothing is kept.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let Some(path) = path() else { return Ok(()) };
        let text = serde_json::to_string_pretty(self).map_err(|e| Failure::Environment(e.to_string()))?;
        WholeFile::begin(&path)?.fill(&(text + "\n"))
    }

    /// What was kept on this machine; `None` if nothing sound was.
    pub(super) fn kept() -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path()?).ok()?).ok()
    }

    /// The errors at the measured load next to `load`, if there is one about like it.
    pub(super) fn near(&self, load: f64) -> Option<AtLoad> {
        let off = |at: &AtLoad| (at.load - load).abs();
        self.loads.iter().copied().filter(|at| off(at) <= LOADS_ALIKE).min_by(|a, b| off(a).total_cmp(&off(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_load() {
        let accuracy = Accuracy::of(&[(0.3, -0.5), (0.85, 0.01), (0.3, 0.1), (0.85, -0.03)]);
        let light = accuracy.near(0.2).unwrap();
        assert_eq!((light.load, light.replays, light.mean_absolute_error, light.share_near), (0.3, 2, 0.3, 0.5));
        assert_eq!(accuracy.near(4.0), None);
        assert_eq!(accuracy.near(0.9).unwrap().share_near, 1.0);
    }
}
