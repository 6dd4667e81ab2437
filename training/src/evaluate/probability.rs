//! Whether an overflow said to come with probability p comes in a share p of cases.

use serde::Serialize;

use super::judged::Judged;

/// Bins of the reliability table.
const BINS: usize = 10;

/// Calibration of the overflow probability on held-out rows.
#[derive(Debug, Clone, Serialize)]
pub struct Calibration {
    /// Rows.
    pub rows: usize,
    /// Share of them after which the capacity is exceeded within the horizon.
    pub base_rate: f64,
    /// Mean squared error of the probability (Brier, 1950).
    pub brier: f64,
    /// That of saying the base rate every time.
    pub brier_of_base_rate: f64,
    /// Mean distance of probability and share, over bins weighted by their rows.
    pub expected_calibration_error: f64,
    /// A bin each: mean probability, share of rows after which it came, rows.
    pub bins: Vec<(f64, f64, usize)>,
}

pub(super) fn calibration(judged: &[&Judged<'_>]) -> Calibration {
    let mut rows: Vec<(f64, bool)> = Vec::new();
    for one in judged {
        let asked = one.backlogs().zip(one.peaks()).zip(&one.overflow_probability);
        rows.extend(
            asked
                .filter(|((backlog, _), _)| *backlog <= one.capacity)
                .map(|((_, peak), probability)| (*probability, *peak > one.capacity)),
        );
    }
    of_rows(&rows)
}

pub(super) fn of_rows(rows: &[(f64, bool)]) -> Calibration {
    let count = rows.len().max(1) as f64;
    let came = |came: bool| f64::from(u8::from(came));
    let base_rate = rows.iter().map(|row| came(row.1)).sum::<f64>() / count;
    let mut bins = vec![(0.0, 0.0, 0usize); BINS];
    for &(probability, overflowed) in rows {
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + probability, bin.1 + came(overflowed), bin.2 + 1);
    }
    let mut error = 0.0;
    for bin in &mut bins {
        error += (bin.0 - bin.1).abs() / count;
        let rows = bin.2.max(1) as f64;
        *bin = (bin.0 / rows, bin.1 / rows, bin.2);
    }
    Calibration {
        rows: rows.len(),
        base_rate,
        brier: rows.iter().map(|row| (row.0 - came(row.1)).powi(2)).sum::<f64>() / count,
        brier_of_base_rate: base_rate * (1.0 - base_rate),
        expected_calibration_error: error,
        bins,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_probabilities_have_no_calibration_error_and_boastful_ones_have() {
        let honest: Vec<_> = (0..1000).map(|i| (0.25, i % 4 == 0)).collect();
        let measured = of_rows(&honest);
        assert!(measured.expected_calibration_error < 1e-9, "{measured:?}");
        assert!((measured.brier - measured.brier_of_base_rate).abs() < 1e-9);
        let boastful: Vec<_> = honest.iter().map(|row| (0.85, row.1)).collect();
        assert!((of_rows(&boastful).expected_calibration_error - 0.6).abs() < 1e-9);
    }
}
