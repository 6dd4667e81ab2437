//! The host profile: what locks cost on one machine, as `tidegate calibrate` measured it. Untrusted JSON in, a checked
//! model out.

use serde::{Deserialize, Serialize};

use crate::LockStrategy;
use crate::model::artifact::{ModelError, Standing};
use crate::model::contention::{ArmCosts, ArmWeights, CONTENTION_TERMS, Contention, LOCK_ARMS, cheaper_by};
use crate::model::sealed::{checksum_of, read, same, text_of};

/// Version of the file format that this build reads and writes.
pub const PROFILE_VERSION: u32 = 2;
const WEIGHT_MAX: f64 = 1e6;
const MARGIN_MAX: f64 = 10.0;

/// Linear models of what a lock costs, an arm each, as they stand in their file. [`HostProfile::check`] makes them usable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostProfile {
    /// [`PROFILE_VERSION`].
    pub format_version: u32,
    /// The machine.
    pub machine: ProfiledMachine,
    /// What a nanosecond of the 99th percentile of the waits counts, in nanoseconds of the mean.
    pub tail_weight: f64,
    /// What a nanosecond of CPU time counts, in nanoseconds of waiting.
    pub cpu_weight: f64,
    /// Largest situation that was measured; larger ones count as this.
    pub measured_max: Contention,
    /// One model for each of [`LOCK_ARMS`], in order.
    pub arms: Vec<ArmModel>,
    /// The way of waiting that costs least on average.
    pub default_strategy: LockStrategy,
    /// What another way is to be predicted to save before it is chosen: logarithm of the ratio of the costs, 0 to 10.
    pub margin: f64,
    /// Whether the models' choices did better than every one way of waiting, and every rule, where they were not fitted: else
    /// the one above is chosen.
    pub standing: Standing,
    /// What the choice cost over the best arm, in regions that were held out: the model's, and that of each rule.
    pub held_out: Vec<ChoiceScore>,
    /// CRC-32 of the file with this field 0.
    pub checksum: u32,
}

/// A machine that was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfiledMachine {
    /// As the CPU calls itself.
    pub cpu_model: String,
    /// CPUs that it may use.
    pub cpus: u32,
    /// The kernel's release.
    pub kernel: String,
}

/// The logarithm of an arm's cost, nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmModel {
    /// The way of waiting.
    pub strategy: LockStrategy,
    /// Weight of each of [`Contention::terms`].
    pub weights: Vec<f64>,
}

/// What a rule's choices cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceScore {
    /// `model`, or a rule.
    pub chooser: String,
    /// Cost of its choices over that of the best arm, mean over held-out cells; 1 is perfect.
    pub over_best: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
}

/// A checked host profile: predicts what each way of waiting for a lock costs, and picks the cheapest.
#[derive(Debug, Clone)]
pub struct ContentionModel {
    profile: HostProfile,
    weights: [ArmWeights; LOCK_ARMS.len()],
    default_arm: usize,
}

/// What a way of waiting is predicted to cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LockChoice {
    /// The cheapest, if it saves the profile's margin; else, and of a model that is not proven, the one that costs least on average.
    pub strategy: LockStrategy,
    /// Predicted cost of each of [`LOCK_ARMS`], nanoseconds a critical section. What costs far more or less than the default is
    /// predicted within a factor of about 1.6 of that: enough to leave it alone, or to choose it.
    pub costs_ns: ArmCosts,
}

impl HostProfile {
    /// Sets the checksum of what the other fields hold.
    pub fn sealed(mut self) -> Self {
        self.checksum = self.content_checksum();
        self
    }

    fn content_checksum(&self) -> u32 {
        checksum_of(&Self { checksum: 0, ..self.clone() })
    }

    /// The file's text.
    ///
    /// # Errors
    /// A number is not finite, which JSON cannot hold.
    pub fn to_json(&self) -> Result<String, ModelError> {
        text_of(self)
    }

    /// Makes a model of it, if everything in it is sound.
    ///
    /// # Errors
    /// Another format or checksum, other arms, or a number out of its range.
    pub fn check(self) -> Result<ContentionModel, ModelError> {
        same("format version", &self.format_version, &PROFILE_VERSION)?;
        if self.checksum != self.content_checksum() {
            return Err(ModelError::Rewritten);
        }
        same("number of arms", &self.arms.len(), &LOCK_ARMS.len())?;
        let mut weights = [[0.0; CONTENTION_TERMS]; LOCK_ARMS.len()];
        for ((arm, strategy), of_arm) in self.arms.iter().zip(LOCK_ARMS).zip(&mut weights) {
            same("arm", &arm.strategy, &strategy)?;
            same("number of weights", &arm.weights.len(), &CONTENTION_TERMS)?;
            if let Some(&value) = arm.weights.iter().find(|weight| weight.abs() > WEIGHT_MAX || weight.is_nan()) {
                return Err(ModelError::Absurd { field: format!("weight of {strategy}"), value });
            }
            of_arm.copy_from_slice(&arm.weights);
        }
        if !(0.0..=MARGIN_MAX).contains(&self.margin) {
            return Err(ModelError::Absurd { field: "margin".into(), value: self.margin });
        }
        let Some(default_arm) = LOCK_ARMS.iter().position(|arm| *arm == self.default_strategy) else {
            let (found, expected) = (self.default_strategy.to_string(), "one of the arms".into());
            return Err(ModelError::Mismatch { field: "default strategy", found, expected });
        };
        Ok(ContentionModel { profile: self, weights, default_arm })
    }
}

impl ContentionModel {
    /// Reads a profile's file.
    ///
    /// # Errors
    /// It is not one, or not one that this build can use.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        read(bytes, HostProfile::check)
    }

    /// The profile that comes with the library, `models/host.json`: of another machine than this, as a rule.
    ///
    /// # Errors
    /// It was made for another build.
    pub fn packaged() -> Result<Self, ModelError> {
        Self::from_json(include_bytes!("../../models/host.json"))
    }

    /// Predicts the cost of every way of waiting, and picks one. Allocates nothing.
    pub fn choose(&self, contention: &Contention) -> LockChoice {
        let most = &self.profile.measured_max;
        let logs = Contention {
            contenders: contention.contenders.min(most.contenders),
            cpus: contention.cpus,
            hold_ns: contention.hold_ns.min(most.hold_ns),
            think_ns: contention.think_ns.min(most.think_ns),
        }
        .log_costs(&self.weights);
        let HostProfile { standing, margin, .. } = self.profile;
        let is_proven = standing == Standing::Proven;
        let chosen = if is_proven { cheaper_by(margin, &logs, self.default_arm) } else { self.default_arm };
        LockChoice { strategy: LOCK_ARMS[chosen], costs_ns: logs.map(f64::exp) }
    }

    /// The file it was made of.
    pub fn profile(&self) -> &HostProfile {
        &self.profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parking costs e^7 ns, everything else as much as there are contenders, squared.
    fn profile() -> HostProfile {
        let arm = |strategy| {
            let mut weights = vec![0.0; CONTENTION_TERMS];
            if strategy == LockStrategy::Park {
                weights[0] = 7.0
            } else {
                weights[1] = 2.0
            }
            ArmModel { strategy, weights }
        };
        HostProfile {
            format_version: PROFILE_VERSION,
            machine: ProfiledMachine::default(),
            tail_weight: 0.01,
            cpu_weight: 1.0,
            measured_max: Contention { contenders: 64, cpus: 4, hold_ns: 1000, think_ns: 1000 },
            arms: LOCK_ARMS.map(arm).to_vec(),
            default_strategy: LOCK_ARMS[0],
            margin: 0.0,
            standing: Standing::Proven,
            held_out: Vec::new(),
            checksum: 0,
        }
        .sealed()
    }

    #[test]
    fn the_cheapest_is_chosen_by_hand_arithmetic() {
        let model = ContentionModel::from_json(profile().to_json().unwrap().as_bytes()).unwrap();
        let of = |contenders| model.choose(&Contention { contenders, cpus: 4, hold_ns: 0, think_ns: 0 });
        assert_eq!(of(2).strategy, LOCK_ARMS[0]);
        assert!((of(2).costs_ns[0] - 4.0).abs() < 1e-9 && (of(2).costs_ns[4] - 7f64.exp()).abs() < 1e-6);
        assert_eq!(of(64).strategy, LockStrategy::Park);
        assert_eq!(of(10_000).costs_ns, of(64).costs_ns, "no further than was measured");
        let candidate = HostProfile { standing: Standing::Candidate, ..profile() }.sealed().check().unwrap();
        let choice = candidate.choose(&Contention { contenders: 64, cpus: 4, hold_ns: 0, think_ns: 0 });
        assert_eq!((choice.strategy, choice.costs_ns), (LOCK_ARMS[0], of(64).costs_ns), "the default of a candidate");
    }

    #[test]
    fn what_saves_less_than_the_margin_is_not_chosen() {
        // Of 64 contenders spinning costs 2 ln 64 = 8.3, parking 7.
        let of = |margin| {
            let model = HostProfile { margin, ..profile() }.sealed().check().unwrap();
            model.choose(&Contention { contenders: 64, cpus: 4, hold_ns: 0, think_ns: 0 }).strategy
        };
        assert_eq!((of(1.3), of(1.4)), (LockStrategy::Park, LOCK_ARMS[0]));
    }

    #[test]
    fn every_flip_of_a_bit_is_found() {
        let json = profile().to_json().unwrap().into_bytes();
        for bit in 0..json.len() * 8 {
            let mut flipped = json.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(ContentionModel::from_json(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_unsound_is_refused_by_name() {
        let change = |change: &dyn Fn(&mut HostProfile)| {
            let mut profile = profile();
            change(&mut profile);
            profile.sealed().check().unwrap_err().to_string()
        };
        assert!(change(&|p| p.format_version = 9).contains("format version is 9"));
        assert!(change(&|p| p.arms[1].strategy = LockStrategy::Park).contains("arm is park"));
        assert!(change(&|p| p.arms[1].weights.truncate(3)).contains("number of weights is 3"));
        assert!(change(&|p| p.arms[0].weights[2] = f64::NAN).contains("weight of spin"));
        assert!(change(&|p| p.default_strategy = LockStrategy::DEFAULT).contains("default strategy"));
        for margin in [-0.1, 10.1, f64::NAN] {
            assert!(change(&|p| p.margin = margin).contains("margin"));
        }
        assert!(change(&|p| p.arms.truncate(2)).contains("number of arms is 2"));
    }

    #[test]
    fn the_packaged_profile_fits_this_build_and_allocates_nothing_to_choose() {
        let model = ContentionModel::packaged().unwrap();
        assert!(!model.profile().held_out.is_empty());
        let contention = Contention { contenders: 4, cpus: 2, hold_ns: 1000, think_ns: 0 };
        let counted = allocation_counter::measure(|| {
            std::hint::black_box(model.choose(&contention));
        });
        assert_eq!(counted.count_total, 0);
    }
}
