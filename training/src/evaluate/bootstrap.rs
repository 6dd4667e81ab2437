//! Percentile bootstrap (Efron, "Bootstrap methods: another look at the jackknife", 1979).

/// Resamples drawn.
const RESAMPLES: usize = 1000;

/// 95 % interval of `figure` over resamples, with replacement, of `units` things; `figure` gets the picked indices. The
/// same units give the same interval. Of a single unit, that figure twice.
pub(crate) fn interval(units: usize, figure: impl Fn(&[usize]) -> f64) -> [f64; 2] {
    if units == 0 {
        return [f64::NAN; 2];
    }
    let mut random = SplitMix(units as u64);
    let mut figures: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let picked: Vec<usize> = (0..units).map(|_| random.below(units)).collect();
            figure(&picked)
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    [figures[RESAMPLES / 40], figures[RESAMPLES - 1 - RESAMPLES / 40]]
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_about_four_standard_errors_wide() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let mean = |picked: &[usize]| picked.iter().map(|&i| values[i]).sum::<f64>() / picked.len() as f64;
        let [low, high] = interval(values.len(), mean);
        // Deviation 2.872, of the mean of 100: 0.287.
        assert!((high - low - 4.0 * 0.287).abs() < 0.25 && low < 4.5 && high > 4.5, "{low} {high}");
        assert_eq!(interval(values.len(), mean), [low, high]);
    }

    #[test]
    fn one_unit_has_no_spread() {
        assert_eq!(interval(1, |picked| picked.len() as f64), [1.0, 1.0]);
    }
}
