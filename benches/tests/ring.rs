//! The benchmark `ring` runs to its end and reports every case.

use std::process::{Command, Stdio};

fn ring(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ring"));
    command.args(arguments).stderr(Stdio::inherit()).output().unwrap()
}

#[test]
fn a_short_run_reports_every_case_as_json() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("skipped: the two ends need a CPU each");
        return;
    }
    let output = ring(&["--quick", "--rounds", "2", "--json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    // The floor and two sizes: p50, p99 and CPU time each. Three sizes in three rings, one by one and in batches: time and
    // CPU time; twice where others may come. With resizes and without, with one and without: those and the sends' percentile.
    assert_eq!(rows.len(), 3 * 3 + 3 * 3 * 2 * 2 + 2 * 2 + 4 * 3);
    for row in rows {
        assert_eq!(row["rounds_ns"].as_array().unwrap().len(), 2, "{row}");
        assert!(row["ratio"]["median"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn a_wrong_argument_is_told() {
    assert_eq!(ring(&["--slow"]).status.code(), Some(2));
}
