//! What a model learns of the channel at hand while it runs: a moving offset, a correction of the residuals, and the
//! alarm that it no longer fits.

use std::collections::VecDeque;

use crate::model::{Forecast, OverflowModel};

/// Step of the offset for one miss, log1p scale. One hit takes back (1 - tau) / tau of it.
const OFFSET_STEP: f64 = 0.01;
/// Largest correction of the offset either way, log1p scale: e^2, a factor of seven.
const OFFSET_MAX: f64 = 2.0;
/// Forgetting a tick of the recursive least squares: a memory of about 4,000 ticks.
const FORGETTING: f64 = 1.0 - 1.0 / 4096.0;
/// Uncertainty of the correction's weights at the start: they are near zero until proven otherwise.
const UNCERTAINTY: f64 = 0.01;
/// Largest correction of the residual, log1p scale.
const CORRECTION_MAX: f64 = 1.0;
/// Miss rate above the promised one that the alarm tolerates.
const DRIFT_SLACK: f64 = 0.02;
/// Excess of misses, summed, at which the alarm goes off: three bursts in a row that were missed for a whole horizon of
/// 32 ticks each.
const DRIFT_LIMIT: f64 = 96.0;

/// Follows the forecasts of one channel and corrects them by what came. All of it is bounded: memory by the horizon, each
/// correction by a constant.
#[derive(Debug, Clone)]
pub struct Online {
    miss_rate: f64,
    horizon_ticks: usize,
    pending: VecDeque<Option<Pending>>,
    backlogs: PeakWindow,
    offset: f64,
    residuals: Rls,
    drift: PageHinkley,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    forecast: Forecast,
    promised: f64,
}

impl Online {
    /// Nothing learned yet about forecasts of `model`, of which one is made every `stride` ticks.
    pub fn new(model: &OverflowModel, stride: usize) -> Self {
        let horizon_ticks = (model.horizon_ticks() as usize).div_ceil(stride.max(1));
        Self {
            miss_rate: 1.0 - model.file().tau,
            horizon_ticks,
            pending: VecDeque::with_capacity(horizon_ticks + 1),
            backlogs: PeakWindow::new(horizon_ticks),
            offset: 0.0,
            residuals: Rls::default(),
            drift: PageHinkley::default(),
        }
    }

    /// Takes in the forecast made at the end of a tick, with the backlog of that tick in it, and returns it corrected;
    /// learns from the forecast that the tick completes, if it is the horizon's end of one.
    pub fn correct(&mut self, forecast: Forecast) -> Forecast {
        self.advance(forecast.backlog);
        let log_rise = (forecast.log_rise + self.offset).max(0.0);
        let corrected = Forecast {
            log_rise,
            log_centre: forecast.log_centre + self.residuals.predict(&regressors(&forecast)),
            peak_backlog: forecast.backlog + log_rise.exp_m1(),
            ..forecast
        };
        self.pending.push_back(Some(Pending { forecast, promised: log_rise }));
        corrected
    }

    /// Takes a tick in for which nothing is forecast; `backlog` is that at its end.
    pub fn pass(&mut self, backlog: f64) {
        self.advance(backlog);
        self.pending.push_back(None);
    }

    fn advance(&mut self, backlog: f64) {
        self.backlogs.push(backlog);
        if self.pending.len() == self.horizon_ticks
            && let Some(Some(past)) = self.pending.pop_front()
        {
            self.learn(&past, self.backlogs.peak());
        }
    }

    fn learn(&mut self, past: &Pending, peak: f64) {
        let rise = (peak - past.forecast.backlog).max(0.0).ln_1p();
        let missed = rise > past.promised + 1e-12;
        // Gibbs and Candes, "Adaptive conformal inference under distribution shift", 2021, on the scale of the offset
        // itself (Angelopoulos, Candes and Tibshirani, "Conformal PID control for time series prediction", 2023).
        let error = f64::from(u8::from(missed)) - self.miss_rate;
        self.offset = (self.offset + OFFSET_STEP * error).clamp(-OFFSET_MAX, OFFSET_MAX);
        self.residuals.learn(&regressors(&past.forecast), rise - past.forecast.log_centre);
        self.drift.learn(error);
    }

    /// Whether misses have come so much more often than promised, for so long, that the model should not be in charge.
    pub fn has_drifted(&self) -> bool {
        self.drift.is_over()
    }

    /// What is added to every forecast at present, log1p scale.
    pub fn offset(&self) -> f64 {
        self.offset
    }
}

fn regressors(forecast: &Forecast) -> [f64; 2] {
    [1.0, forecast.log_centre]
}

/// Recursive least squares with forgetting (Haykin, "Adaptive Filter Theory", chapter 9), of two weights.
#[derive(Debug, Clone)]
struct Rls {
    weights: [f64; 2],
    covariance: [[f64; 2]; 2],
}

impl Default for Rls {
    fn default() -> Self {
        Self { weights: [0.0; 2], covariance: [[UNCERTAINTY, 0.0], [0.0, UNCERTAINTY]] }
    }
}

impl Rls {
    fn predict(&self, x: &[f64; 2]) -> f64 {
        (self.weights[0] * x[0] + self.weights[1] * x[1]).clamp(-CORRECTION_MAX, CORRECTION_MAX)
    }

    fn learn(&mut self, x: &[f64; 2], residual: f64) {
        let p = &self.covariance;
        let px = [p[0][0] * x[0] + p[0][1] * x[1], p[1][0] * x[0] + p[1][1] * x[1]];
        let gain_over = FORGETTING + x[0] * px[0] + x[1] * px[1];
        let gain = [px[0] / gain_over, px[1] / gain_over];
        let error = residual - (self.weights[0] * x[0] + self.weights[1] * x[1]);
        let mut next = Self { weights: self.weights, covariance: [[0.0; 2]; 2] };
        for i in 0..2 {
            next.weights[i] += gain[i] * error;
            for j in 0..2 {
                // Kept below the start: without new directions to learn from, forgetting alone would let it grow.
                next.covariance[i][j] = ((p[i][j] - gain[i] * px[j]) / FORGETTING).clamp(-UNCERTAINTY, UNCERTAINTY);
            }
        }
        if next.weights.iter().all(|w| w.is_finite()) {
            *self = next;
        }
    }
}

/// The test of Page and Hinkley for a rise of a mean ("Continuous inspection schemes", 1954).
#[derive(Debug, Clone, Default)]
struct PageHinkley {
    sum: f64,
}

impl PageHinkley {
    fn learn(&mut self, error: f64) {
        self.sum = (self.sum + error - DRIFT_SLACK).clamp(0.0, 2.0 * DRIFT_LIMIT);
    }

    fn is_over(&self) -> bool {
        self.sum > DRIFT_LIMIT
    }
}

/// The largest of the last values; amortised constant time a value (monotone deque).
#[derive(Debug, Clone)]
struct PeakWindow {
    width: u64,
    pushed: u64,
    candidates: VecDeque<(u64, f64)>,
}

impl PeakWindow {
    fn new(width: usize) -> Self {
        Self { width: width as u64, pushed: 0, candidates: VecDeque::with_capacity(width + 1) }
    }

    fn push(&mut self, value: f64) {
        while self.candidates.back().is_some_and(|(_, other)| *other <= value) {
            self.candidates.pop_back();
        }
        self.candidates.push_back((self.pushed, value));
        self.pushed += 1;
        while self.candidates.front().is_some_and(|(at, _)| at + self.width < self.pushed) {
            self.candidates.pop_front();
        }
    }

    fn peak(&self) -> f64 {
        self.candidates.front().map_or(0.0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelFile, ModelPart, PartScale};

    fn model() -> OverflowModel {
        let part = || ModelPart::new(PartScale::Log);
        let file =
            ModelFile { horizon_ticks: 8, tau: 0.9, parts: vec![part()], centre: part(), ..ModelFile::default() };
        file.sealed().check().unwrap()
    }

    fn forecast(backlog: f64, log_rise: f64) -> Forecast {
        let peak_backlog = backlog + log_rise.exp_m1();
        Forecast { peak_backlog, backlog, log_rise, log_centre: log_rise / 2.0, clipped: 0 }
    }

    /// Backlogs that jump by 1 to `size` every 8 ticks, forecast to rise by 2; the share missed after the first half.
    fn miss_share(online: &mut Online, ticks: usize, size: u64) -> f64 {
        let (mut state, mut promised, mut missed, mut judged) = (7u64, VecDeque::new(), 0, 0);
        let mut backlogs = PeakWindow::new(8);
        for tick in 0..ticks {
            state = state * 48_271 % 2_147_483_647;
            let backlog = if tick % 8 == 7 { 1.0 + (state % size) as f64 } else { 0.0 };
            backlogs.push(backlog);
            if promised.len() == 8
                && let Some(peak) = promised.pop_front()
                && tick > ticks / 2
            {
                missed += usize::from(backlogs.peak() > peak);
                judged += 1;
            }
            promised.push_back(online.correct(forecast(backlog, 2f64.ln_1p())).peak_backlog);
        }
        missed as f64 / judged as f64
    }

    #[test]
    fn coverage_comes_back_after_the_stream_has_changed() {
        let mut online = Online::new(&model(), 1);
        let before = miss_share(&mut online, 20_000, 2);
        assert!(before <= 0.11, "{before}");
        let offset = online.offset();
        let after = miss_share(&mut online, 20_000, 10);
        assert!(online.offset() > offset && (after - 0.1).abs() < 0.06, "{after}");
    }

    #[test]
    fn the_alarm_goes_off_when_no_offset_suffices_and_stays_off_while_promises_are_kept() {
        let mut kept = Online::new(&model(), 1);
        miss_share(&mut kept, 20_000, 2);
        assert!(!kept.has_drifted());
        let mut broken = Online::new(&model(), 1);
        miss_share(&mut broken, 4_000, 1_000_000);
        assert!(broken.has_drifted());
    }

    #[test]
    fn the_squares_find_a_bias_of_the_residuals() {
        let mut squares = Rls::default();
        (0..20_000).for_each(|i| squares.learn(&[1.0, f64::from(i % 5)], 0.3 + 0.1 * f64::from(i % 5)));
        assert!((squares.predict(&[1.0, 2.0]) - 0.5).abs() < 0.05, "{squares:?}");
    }

    #[test]
    fn the_peak_of_a_window_leaves_with_it() {
        let mut window = PeakWindow::new(3);
        let peaks = [5.0, 1.0, 2.0, 0.0, 0.0].map(|value| {
            window.push(value);
            window.peak()
        });
        assert_eq!(peaks, [5.0, 5.0, 5.0, 2.0, 2.0]);
    }
}
