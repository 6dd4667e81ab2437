//! `tidegate train --report`: how a model was made and how it did, as one page that needs nothing else.

mod charts;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tidegate::model::{FeatureBounds, ModelFile, Standing};
use tidegate_training::evaluate::LearningPoint;
use tidegate_training::series::dispersion;
use tidegate_training::{ArrivalTrace, Evaluation};

use crate::failure::Failure;
use charts::{Axes, Line, lines};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}pre{overflow-x:auto}svg{max-width:100%;height:auto}";

/// What a report is about.
pub(crate) struct Subject<'a> {
    pub(crate) file: &'a ModelFile,
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) traces: &'a [ArrivalTrace],
    pub(crate) learning: &'a [LearningPoint],
}

/// The page.
pub(crate) fn page(subject: &Subject<'_>) -> Result<String, Failure> {
    let Subject { file, evaluation, .. } = subject;
    let standing = match file.standing {
        Standing::Proven => "proven: it did better than every rule of thumb, with the whole interval of the difference",
        Standing::Candidate => {
            "a candidate: it did not do better than every rule of thumb beyond chance, so that a rule of \
                                thumb stays in charge"
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Overflow model" } style { (PreEscaped(STYLE)) } }
            body {
                h1 { "Overflow model" }
                p {
                    "Predicts the " (file.tau) " quantile of the peak backlog in the next " (file.horizon_ticks)
                    " ticks of 1 ms, fitted by " (file.method) ". It is " (standing) "."
                }
                pre { (evaluation.summary()) }
                h2 { "Data" } (data(subject.traces))
                h2 { "Held-out families" }
                p { "Pinball loss, ticks of service; each family was scored by predictors fitted to the others." }
                pre { (evaluation.table()) }
                h2 { "Learning curve" }
                p { "Losses of models fitted to the beginning of each recording." }
                (learning(subject.learning)?)
                h2 { "Calibration" }
                p { "Share of ticks after which the ring overflowed, by the probability that was given." }
                (calibration(evaluation)?)
                h2 { "Drops against memory" }
                p { "A ring of a multiple of each prediction, on held-out families." }
                (pareto(evaluation)?)
                h2 { "Coefficients" }
                p { "Weight of each feature, of which one standard deviation is the unit." }
                (coefficients(file))
                h2 { "Worst cases" } (worst(evaluation))
            }
        }
    };
    Ok(page.into_string())
}

fn chart(axes: Axes, of: &[Line]) -> Result<Markup, Failure> {
    let svg = lines(axes, of).map_err(|error| Failure::Environment(format!("cannot draw a chart: {error}")))?;
    Ok(html! { figure { (PreEscaped(svg)) } })
}

fn data(traces: &[ArrivalTrace]) -> Markup {
    html! {
        table {
            tr { th { "trace" } th { "family" } th { "messages" } th { "seconds" } th { "dispersion" } th { "SHA-256" } }
            @for trace in traces {
                @let span_ns = trace.events.last().map_or(0, |last| last.0 - trace.events[0].0);
                tr {
                    td { (trace.name) } td { (trace.family) } td { (trace.events.len()) }
                    td { (format!("{:.1}", span_ns as f64 / 1e9)) } td { (format!("{:.1}", dispersion(trace))) }
                    td { code { (trace.sha256.get(..12).unwrap_or_default()) } }
                }
            }
        }
    }
}

fn learning(curve: &[LearningPoint]) -> Result<Markup, Failure> {
    let line = |name: &str, of: fn(&LearningPoint) -> f64| Line {
        name: name.into(),
        points: curve.iter().map(|point| (point.rows, of(point))).collect(),
    };
    let axes = Axes { x: "rows fitted to", y: "pinball loss", are_logs: false };
    chart(axes, &[line("training", |point| point.training), line("held out", |point| point.held_out)])
}

fn calibration(evaluation: &Evaluation) -> Result<Markup, Failure> {
    let bins = evaluation.overflow_probability.bins.iter().filter(|(_, _, rows)| *rows > 0);
    let found = Line { name: "model".into(), points: bins.map(|&(given, came, _)| (given, came)).collect() };
    let honest = Line { name: "honest".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
    chart(Axes { x: "probability given", y: "share that overflowed", are_logs: false }, &[found, honest])
}

fn pareto(evaluation: &Evaluation) -> Result<Markup, Failure> {
    let of = |predictor: &'static str| {
        let points = evaluation.pareto.iter().filter(|point| point.predictor == predictor);
        Line {
            name: predictor.into(),
            points: points.map(|point| (point.mean_capacity, point.dropped_share)).collect(),
        }
    };
    let of: Vec<Line> = Evaluation::predictors().map(of).collect();
    chart(Axes { x: "mean ring, ticks of service", y: "share of bytes dropped", are_logs: true }, &of)
}

fn coefficients(file: &ModelFile) -> Markup {
    let heads = file.parts.iter().map(|part| format!("{:?}", part.scale).to_lowercase());
    let weights = |i: usize| {
        let of = move |features: &[FeatureBounds]| features.get(i).map_or(0.0, |feature| feature.weight);
        file.parts.iter().map(move |part| of(&part.features))
    };
    let names = file.centre.features.iter().map(|feature| feature.name.as_str());
    html! {
        table {
            tr { th { "feature" } @for head in heads { th { (head) } } }
            @for (i, name) in names.enumerate() {
                tr { td { (name) } @for weight in weights(i) { td { (format!("{weight:+.4}")) } } }
            }
        }
    }
}

fn worst(evaluation: &Evaluation) -> Markup {
    let number = |value: f64| format!("{value:.2}");
    html! {
        table {
            tr { th { "trace" } th { "load" } th { "tick" } th { "backlog" } th { "predicted" } th { "came" } th { "loss" } }
            @for case in &evaluation.worst {
                tr {
                    td { (case.trace) } td { (case.load) } td { (case.tick) } td { (number(case.backlog)) }
                    td { (number(case.predicted)) } td { (number(case.peak)) } td { (number(case.pinball)) }
                }
            }
        }
    }
}
