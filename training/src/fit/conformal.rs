//! The split-conformal quantile.

/// The smallest residual that at least a share `tau` of n + 1 exchangeable ones stays below (Lei et al.,
/// "Distribution-free predictive inference for regression", 2018, section 2). Reorders `residuals`; 0 of none.
pub fn conformal_quantile(residuals: &mut [f64], tau: f64) -> f64 {
    let rank = ((residuals.len() + 1) as f64 * tau).ceil() as usize;
    let Some(last) = residuals.len().checked_sub(1) else { return 0.0 };
    *residuals.select_nth_unstable_by(rank.saturating_sub(1).min(last), f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformal_quantile_is_the_rank_of_the_literature() {
        let mut residuals: Vec<f64> = (1..=99).rev().map(f64::from).collect();
        assert_eq!(conformal_quantile(&mut residuals, 0.9), 90.0);
        assert_eq!(conformal_quantile(&mut residuals, 0.995), 99.0);
        assert_eq!(conformal_quantile(&mut [], 0.9), 0.0);
    }
}
