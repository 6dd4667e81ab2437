//! What the model's choices cost in regions that it was not fitted to, beside the choices of rules.

use tidegate::model::{ArmCosts, ChoiceScore, Contention, LOCK_ARMS, cheapest};

use super::Measured;
use super::fit::{Cells, cells, cheapest_arm, fit, least, regions, split};
use crate::TrainError;
use crate::evaluate::{MODEL, bootstrap_interval};

/// Contenders up to which GLK uses its ticket lock.
const GLK_QUEUE_FROM: u32 = 3;

/// The chooser that tells what chance costs.
const REPEATED: &str = "repeated";

/// A way to choose an arm without a model.
type Rule = fn(&Contention, &Cells) -> usize;

/// The rules beside which the model is judged, and every fixed arm. What they are fitted to is what the model is.
const RULES: [(&str, Rule); 2] = [("glk", glk), ("best_in_training", |_, training| cheapest_arm(training))];

/// "GLK" (Antić, Chatzopoulos, Guerraoui and Trigonakis, "Locking made easy", Middleware 2016): a mutex where there are
/// more threads than CPUs, else a ticket lock while few queue, else a queue lock. The ticket lock is the spinning arm here.
fn glk(of: &Contention, _: &Cells) -> usize {
    match of {
        Contention { contenders, cpus, .. } if contenders > cpus => 4,
        Contention { contenders, .. } if *contenders <= GLK_QUEUE_FROM => 0,
        _ => 1,
    }
}

/// How every chooser does in the cells of all rounds: first the model, then the arms, then the rules. The last, `repeated`, is the arm that was best in
/// the even rounds, judged in the odd ones: what chance alone costs.
///
/// # Errors
/// A fit fails.
pub(super) fn judge(measured: &[Measured], cells_here: &Cells) -> Result<Vec<ChoiceScore>, TrainError> {
    // Every region's ratios, by chooser.
    let mut names: Vec<String> = vec![MODEL.into()];
    names.extend(LOCK_ARMS.iter().map(ToString::to_string));
    names.extend(RULES.iter().map(|(name, _)| (*name).to_owned()));
    let mut ratios: Vec<Vec<Vec<f64>>> = vec![Vec::new(); names.len()];
    for region in regions(cells_here) {
        let (held_out, rest) = split(cells_here, region);
        let chooser = fit(&rest)?;
        let rules = |of: &Contention| RULES.map(|(_, rule)| rule(of, &rest));
        ratios.iter_mut().for_each(|regions| regions.push(Vec::new()));
        for (of, costs) in &held_out {
            let chosen = std::iter::once(chooser.choose(of)).chain(0..LOCK_ARMS.len()).chain(rules(of));
            for (arm, regions) in chosen.zip(&mut ratios) {
                regions.last_mut().into_iter().for_each(|region| region.push(over_best(costs, arm)));
            }
        }
    }
    names.push(REPEATED.into());
    let (even, odd) = (cells(measured, |round| round.is_multiple_of(2)), cells(measured, |round| round % 2 == 1));
    ratios.push(even.iter().filter_map(|(of, costs)| Some(vec![over_best(odd.get(of)?, cheapest(costs))])).collect());
    Ok(names.into_iter().zip(ratios).filter_map(|(name, ratios)| score(name, &ratios)).collect())
}

/// Whether the model's choices cost less than those of every fixed arm and every rule, with the whole interval.
pub(super) fn is_proven(scores: &[ChoiceScore]) -> bool {
    let (model, others): (Vec<_>, Vec<_>) = scores.iter().partition(|score| score.chooser == MODEL);
    let rules = others.iter().filter(|score| score.chooser != REPEATED);
    let least = rules.map(|score| score.over_best).fold(f64::INFINITY, f64::min);
    model.iter().any(|score| score.interval[1] < least)
}

fn over_best(costs: &ArmCosts, arm: usize) -> f64 {
    (costs[arm] - least(costs)).exp()
}

/// The mean over cells; the interval resamples regions. `None` of no cell.
fn score(chooser: String, regions: &[Vec<f64>]) -> Option<ChoiceScore> {
    let mean = |picked: &mut dyn Iterator<Item = &Vec<f64>>| {
        let (sum, count) = picked.flatten().fold((0.0, 0.0), |(sum, count), ratio| (sum + ratio, count + 1.0));
        sum / count
    };
    let over_best = mean(&mut regions.iter());
    let interval = bootstrap_interval(regions.len(), |picked| mean(&mut picked.iter().map(|&i| &regions[i])));
    over_best.is_finite().then_some(ChoiceScore { chooser, over_best, interval })
}
