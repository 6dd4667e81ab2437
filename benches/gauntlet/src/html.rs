//! A page with a heat map of the regrets. It needs nothing else.

use maud::{DOCTYPE, PreEscaped, html};

use crate::report::{GauntletReport, REGRET_BAR, figure};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:90em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .6em;border:1px solid #fff;text-align:right}\
th{font-weight:600}td:first-child,th:first-child{text-align:left;white-space:nowrap}\
th.slanted{writing-mode:vertical-rl;text-align:left}div{overflow-x:auto}";

/// From which regret on a cell is as dark as can be.
const DARKEST: f64 = 2.0;

/// The page.
pub(crate) fn page(report: &GauntletReport) -> String {
    let machine = &report.machine;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Gauntlet" } style { (PreEscaped(STYLE)) } }
            body {
                h1 { "Gauntlet" }
                p {
                    (machine.cpu_model) ", " (machine.cpus) " CPUs, Linux " (machine.kernel) ", commit " (machine.commit) "; "
                    (report.rounds) " rounds, medians. A microsecond of CPU counts as " (report.weights.cpu_us)
                    ", a mebibyte for a second as " (report.weights.mebibyte_s) " microseconds."
                }
                p { "The regret of a configuration: by how much more it costs than the best static one, in per cent." }
                div { table {
                    tr {
                        th { "configuration" } th { "mean" } th { "max" }
                        @for workload in &report.workloads { th.slanted { (workload.name) } }
                    }
                    @for (name, regret) in report.regret.ranked() {
                        tr {
                            th { (name) }
                            td { (percent(regret.mean)) } td { (percent(regret.max)) }
                            @for workload in &report.workloads {
                                @match regret.by_workload.get(&workload.name) {
                                    Some(regret) => td style=(colour(*regret)) { (percent(*regret)) },
                                    None => td {},
                                }
                            }
                        }
                    }
                } }
                h2 { "Costs" }
                @for workload in &report.workloads {
                    h3 { (workload.name) }
                    p { "Microseconds a " (workload.per) "; the best static configuration is " (workload.best_static) "." }
                    div { table {
                        tr { @for name in ["", "cost", "time", "late", "blocked", "CPU", "memory", "p50", "p99", "p99.9", "MiB"] {
                            th { (name) }
                        } }
                        @for row in &workload.rows {
                            tr {
                                th { (row.configuration) }
                                td { (figure(row.cost_us)) }
                                @for part in [
                                    row.parts.time_us, row.parts.late_us, row.parts.blocked_us, row.parts.cpu_us,
                                    row.parts.memory_us, row.measured.p50_us, row.measured.p99_us, row.measured.p999_us,
                                    row.measured.mebibytes,
                                ] { td { (figure(part)) } }
                            }
                        }
                    } }
                }
            }
        }
    };
    page.into_string()
}

fn percent(regret: f64) -> String {
    format!("{:+.0}", regret * 100.0)
}

/// Green within the bar; then the darker the more.
fn colour(regret: f64) -> String {
    if regret <= REGRET_BAR {
        return "background:#b8e0b8".into();
    }
    let share = ((1.0 + regret).ln() / (1.0 + DARKEST).ln()).min(1.0);
    format!("background:hsl(12 75% {:.0}%)", 95.0 - 45.0 * share)
}
