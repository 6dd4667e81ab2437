//! How forecasts compare with what then came, in windows that do not overlap.

use crate::control::forecaster::{ForecastSource, Prediction};
use crate::model::TICK_NS;

/// Bins of what came as a part of what was forecast: tenths, and one for more than was forecast.
pub const REALISED_BINS: usize = 11;

/// A window is judged if the look that ends it comes no later than this part of the horizon.
const LATE_PART: u64 = 4;

/// What a forecast may be off by its computation.
const ROUNDING_BYTES: f64 = 1.0;

/// How one channel's forecasts did. While nothing comes, nothing is judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    /// Windows of one horizon that were judged.
    pub judged: u64,
    /// Those in which the backlog stayed within the forecast.
    pub within: u64,
    /// Windows by the part of the forecast that the backlog came to: entry `b` counts those of at most `(b + 1)` tenths, the last
    /// those in which it was exceeded.
    pub realised: [u64; REALISED_BINS],
    /// The quantile that is forecast.
    pub tau: f64,
    /// Forecasts by where they came from, in the order of [`ForecastSource::ALL`].
    pub forecasts: [u64; ForecastSource::ALL.len()],
    open: Option<Window>,
}

/// A forecast whose horizon has not passed.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    until_ns: u64,
    late_ns_max: u64,
    forecast_bytes: f64,
    peak_bytes: u64,
    has_traffic: bool,
}

impl Calibration {
    /// Nothing judged yet of forecasts of the quantile `tau`.
    pub(crate) fn new(tau: f64) -> Self {
        Self { tau, ..Self::default() }
    }

    /// Takes a look in: what came in it, and what is forecast at its end for the next `horizon_ticks`.
    pub(crate) fn observe(
        &mut self,
        at_ns: u64,
        (peak_bytes, arrived_bytes): (u64, u64),
        forecast: Option<(Prediction, u32)>,
    ) {
        if let Some((prediction, _)) = forecast {
            self.forecasts[prediction.source as usize] += 1;
        }
        if let Some(window) = &mut self.open {
            window.peak_bytes = window.peak_bytes.max(peak_bytes);
            window.has_traffic |= arrived_bytes > 0;
            if at_ns < window.until_ns {
                return;
            }
        }
        // After a long pause it is not known when the backlog rose.
        let is_timely = |window: &Window| at_ns - window.until_ns <= window.late_ns_max;
        if let Some(window) = self.open.take().filter(|window| window.has_traffic && is_timely(window)) {
            self.judge(&window);
        }
        self.open = forecast.map(|(prediction, horizon_ticks)| Window {
            until_ns: at_ns + u64::from(horizon_ticks) * TICK_NS,
            late_ns_max: u64::from(horizon_ticks) * TICK_NS / LATE_PART,
            forecast_bytes: prediction.peak_backlog_bytes,
            peak_bytes: 0,
            has_traffic: false,
        });
    }

    fn judge(&mut self, window: &Window) {
        // Forecasts are computed in ticks of service: what they say in bytes is rounded.
        let is_within = window.peak_bytes as f64 <= window.forecast_bytes.ceil() + ROUNDING_BYTES;
        let tenths = (window.peak_bytes as f64 / window.forecast_bytes * 10.0).ceil() as usize;
        let bin = if is_within { tenths.clamp(1, REALISED_BINS - 1) - 1 } else { REALISED_BINS - 1 };
        self.judged += 1;
        self.within += u64::from(is_within);
        self.realised[bin] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_judged_once_by_its_peak() {
        let mut calibration = Calibration::default();
        let tick = |n: u64| n * TICK_NS;
        let of = |peak_backlog_bytes| {
            let source = ForecastSource::Drifted;
            Some((Prediction { peak_backlog_bytes, source, clipped: 0, service_bytes: 1.0 }, 4))
        };
        calibration.observe(tick(1), (0, 10), of(100.0));
        calibration.observe(tick(3), (25, 10), of(7.0));
        assert_eq!(calibration.judged, 0, "its horizon has not passed");
        calibration.observe(tick(5), (10, 10), of(100.0));
        assert_eq!((calibration.judged, calibration.within, calibration.realised[2]), (1, 1, 1));
        calibration.observe(tick(9), (102, 10), of(0.0));
        assert_eq!((calibration.judged, calibration.within, calibration.realised[10]), (2, 1, 1));
        calibration.observe(tick(13), (0, 10), of(5.0));
        assert_eq!((calibration.within, calibration.realised[0]), (2, 1), "nothing of nothing is within");
        calibration.observe(tick(17), (0, 0), None);
        assert_eq!(calibration.judged, 3, "without traffic nothing is judged");
        assert_eq!(calibration.forecasts, [0, 0, 0, 5]);
    }
}
