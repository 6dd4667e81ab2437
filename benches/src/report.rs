//! What a benchmark prints.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::cores::Cores;
use crate::machine::Machine;
use crate::rounds::{Quantity, Row, RowKey};

/// A benchmark's outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The benchmark's name.
    pub benchmark: &'static str,
    /// Where it ran, and what.
    #[serde(flatten)]
    pub machine: Machine,
    /// Cores of the two ends.
    pub cores: Cores,
    /// Times that each case was measured.
    pub rounds: u32,
    /// What ratios are to.
    pub ratios_to: &'static str,
    /// One a quantity of a case.
    pub rows: Vec<ReportRow>,
}

/// The figures of one quantity of one case.
#[derive(Debug, Serialize)]
pub struct ReportRow {
    /// The figures.
    #[serde(flatten)]
    pub row: Row,
    /// What they come to, nanoseconds, unless the quantity is no time.
    pub ns: Summary,
    /// Messages a second at the median, for a quantity that is a time a message.
    pub messages_per_s: Option<f64>,
    /// CPU seconds that a million messages take at the median, for a quantity that is CPU time a message.
    pub cpu_s_per_million_messages: Option<f64>,
    /// Ratios to the reference's figure of the same round; below 1 is faster than it.
    pub ratio: Option<Summary>,
}

/// Median and spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Summary of `figures`; `None` if there are none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl ReportRow {
    fn new(row: &Row, reference: Option<&Row>) -> Option<Self> {
        let ns = Summary::of(&row.rounds_ns)?;
        let ratio_to = |reference: &Row| {
            let pairs = row.rounds_ns.iter().zip(&reference.rounds_ns);
            Summary::of(&pairs.map(|(ns, reference_ns)| ns / reference_ns).collect::<Vec<_>>())
        };
        // A slowdown is a ratio already.
        let ratio = if row.key.quantity == Quantity::Slowdown { Some(ns) } else { reference.and_then(ratio_to) };
        let messages_per_s = (row.key.quantity == Quantity::Message).then(|| 1e9 / ns.median);
        let is_cpu = matches!(row.key.quantity, Quantity::Cpu | Quantity::CpuRoundTrip);
        // A million nanoseconds are a thousandth of a second.
        let cpu_s_per_million_messages = is_cpu.then(|| ns.median / 1e3);
        Some(Self { row: row.clone(), ns, messages_per_s, cpu_s_per_million_messages, ratio })
    }

    /// What it is of.
    pub fn label(&self) -> String {
        let [system, setting, what, ..] = self.cells();
        format!("{system}, {setting}, {what}")
    }

    fn cells(&self) -> [String; 9] {
        let RowKey { system, setting, quantity } = &self.row.key;
        let is_time = *quantity != Quantity::Slowdown;
        let ns = |text: fn(&Summary) -> String| if is_time { text(&self.ns) } else { String::new() };
        let ratio = |text: fn(&Summary) -> String| self.ratio.as_ref().map_or_else(String::new, text);
        [
            (*system).into(),
            setting.clone(),
            match quantity {
                Quantity::Message => "message",
                Quantity::RoundTripP50 => "round trip p50",
                Quantity::RoundTripP99 => "round trip p99",
                Quantity::SendP999 => "send p99.9",
                Quantity::Cpu => "CPU a message",
                Quantity::CpuRoundTrip => "CPU a message there or back",
                Quantity::Slowdown => "slowdown",
                Quantity::Messages => "messages",
            }
            .into(),
            self.messages_per_s.map_or_else(String::new, |rate| digits(rate / 1e6)),
            self.cpu_s_per_million_messages.map_or_else(String::new, digits),
            ns(|ns| digits(ns.median)),
            ns(|ns| format!("{}..{}", digits(ns.min), digits(ns.max))),
            ratio(|ratio| digits(ratio.median)),
            ratio(|ratio| format!("{}..{}", digits(ratio.min), digits(ratio.max))),
        ]
    }
}

impl Report {
    /// Sums up `rows`; `reference` names the row that another's ratios are to.
    pub fn new(
        (benchmark, ratios_to): (&'static str, &'static str),
        (machine, cores): (Machine, Cores),
        rounds: u32,
        rows: &[Row],
        reference: impl Fn(&RowKey) -> RowKey,
    ) -> Self {
        let rows = rows.iter().filter_map(|row| {
            let wanted = reference(&row.key);
            ReportRow::new(row, rows.iter().find(|other| other.key == wanted))
        });
        Self { benchmark, machine, cores, rounds, ratios_to, rows: rows.collect() }
    }

    /// Prints the report, as a table or as JSON.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            println!("{}\n{}", self.heading(), self.table());
        }
        Ok(())
    }

    fn heading(&self) -> String {
        let Machine { cpu_model, cpus, kernel, commit } = &self.machine;
        let Cores { near, far } = self.cores;
        format!(
            "{}: {cpu_model}, {cpus} CPUs (pinned to {near} and {far}), Linux {kernel}, commit {commit}, {} rounds\n\
             median and min..max of the rounds; ratios to {} in the same round, below 1 is faster",
            self.benchmark, self.rounds, self.ratios_to
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["system", "case", "what", "M/s", "CPU s/M", "ns", "ns spread", "ratio", "ratio spread"]);
        table.add_rows(self.rows.iter().map(ReportRow::cells));
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// Three significant digits, of what is not below a thousandth, and every digit before the point.
fn digits(value: f64) -> String {
    let decimals = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        v if v >= 0.01 => 4,
        _ => 5,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &'static str, rounds_ns: &[f64]) -> Row {
        let key = RowKey { system, setting: "8 B".into(), quantity: Quantity::Message };
        Row { key, rounds_ns: rounds_ns.to_vec() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let report = ReportRow::new(&row("slow", &[20.0, 400.0, 60.0]), Some(&row("fast", &[10.0, 200.0, 30.0])));
        let ratio = report.unwrap().ratio.unwrap();
        assert_eq!(ratio, Summary { median: 2.0, min: 2.0, max: 2.0 });
    }

    #[test]
    fn a_row_without_a_reference_has_no_ratio() {
        let report = ReportRow::new(&row("alone", &[20.0, 40.0]), None).unwrap();
        assert_eq!((report.ns.median, report.ratio), (30.0, None));
    }

    #[test]
    fn a_slowdown_is_its_own_ratio() {
        let mut slowdown = row("sampled", &[1.01, 1.03, 1.02]);
        slowdown.key.quantity = Quantity::Slowdown;
        let report = ReportRow::new(&slowdown, Some(&slowdown)).unwrap();
        assert_eq!(report.ratio, Some(Summary { median: 1.02, min: 1.01, max: 1.03 }));
    }

    #[test]
    fn rates_are_of_the_median() {
        let report = ReportRow::new(&row("alone", &[10.0, 500.0, 8.0]), None).unwrap();
        assert_eq!(report.messages_per_s, Some(1e8));
    }

    #[test]
    fn cpu_time_is_told_for_a_million_messages() {
        let mut cpu = row("alone", &[2000.0]);
        cpu.key.quantity = Quantity::Cpu;
        let report = ReportRow::new(&cpu, None).unwrap();
        assert_eq!((report.cpu_s_per_million_messages, report.messages_per_s), (Some(2.0), None));
    }
}
