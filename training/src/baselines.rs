//! What a model must beat: rules of thumb, each with its factor fitted on the training part.

use crate::series::{Glance, Series};

/// A rule of thumb that predicts the peak backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The same for ever.
    Static,
    /// A multiple of the largest backlog of the last 64 ticks, and a constant.
    LastPeak,
    /// A multiple of backlog and mean arrivals (exponentially weighted), and a constant.
    Ewma,
}

/// A baseline with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    baseline: Baseline,
    factor: f64,
    floor: f64,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Static, Self::LastPeak, Self::Ewma];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::LastPeak => "last_peak",
            Self::Ewma => "ewma",
        }
    }

    fn signal(self, glance: &Glance) -> f64 {
        match self {
            Self::Static => 0.0,
            Self::LastPeak => glance.last_peak,
            Self::Ewma => glance.level,
        }
    }

    /// The factor and the constant with the least pinball loss at `tau` on `series`. For each factor of a grid the best
    /// constant is the tau-quantile of what the factor leaves.
    pub fn fit(self, series: &[&Series], tau: f64) -> Fitted {
        let rows: Vec<(f64, f64)> = series
            .iter()
            .flat_map(|s| s.glances.iter().zip(&s.peaks))
            .map(|(glance, &peak)| (self.signal(glance), peak))
            .collect();
        let factors: &[f64] = if self == Self::Static { &[0.0] } else { &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0] };
        let fitted = |&factor: &f64| {
            let mut left: Vec<f64> = rows.iter().map(|(signal, peak)| peak - factor * signal).collect();
            left.sort_by(f64::total_cmp);
            let floor = left.get((left.len() as f64 * tau) as usize).copied().unwrap_or(0.0);
            Fitted { baseline: self, factor, floor }
        };
        let loss = |f: &Fitted| -> f64 {
            rows.iter().map(|(signal, peak)| pinball(*peak, (f.factor * signal + f.floor).max(0.0), tau)).sum()
        };
        factors.iter().map(fitted).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(Fitted {
            baseline: self,
            factor: 0.0,
            floor: 0.0,
        })
    }
}

impl Fitted {
    /// Predicted peak backlog, ticks of service.
    pub fn predict(&self, glance: &Glance) -> f64 {
        (self.factor * self.baseline.signal(glance) + self.floor).max(0.0)
    }
}

/// Pinball loss of predicting `predicted` for the `tau`-quantile (Koenker and Bassett, 1978).
pub fn pinball(actual: f64, predicted: f64, tau: f64) -> f64 {
    let off = actual - predicted;
    if off >= 0.0 { tau * off } else { (tau - 1.0) * off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinball_loss_weighs_too_little_by_tau_and_too_much_by_the_rest() {
        assert!((pinball(10.0, 8.0, 0.99) - 1.98).abs() < 1e-12);
        assert!((pinball(8.0, 10.0, 0.99) - 0.02).abs() < 1e-12);
    }

    #[test]
    fn the_best_static_is_the_quantile() {
        let glance = Glance { last_peak: 0.0, level: 0.0 };
        let series = Series {
            trace: String::new(),
            family: String::new(),
            load: 1.0,
            rows: Vec::new(),
            labels: Vec::new(),
            peaks: (0..100).map(f64::from).collect(),
            glances: vec![glance; 100],
            stride: 1,
        };
        let fitted = Baseline::Static.fit(&[&series], 0.9);
        assert!((fitted.predict(&glance) - 90.0).abs() < 1e-9);
    }
}
