//! Training from files to a model that the library accepts.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tidegate_training::{Silent, TrainError, TrainParams, read_directory, train};

/// Bursts whose length and distance follow from `seed`.
fn write_trace(directory: &Path, name: &str, seed: u64) {
    let file = std::fs::File::create(directory.join(format!("{name}.csv.gz"))).unwrap();
    let mut out = GzEncoder::new(file, Compression::fast());
    writeln!(out, "t_ns,bytes").unwrap();
    let (mut t_ns, mut state) = (0u64, seed);
    for i in 0..40_000u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let burst = (i / (200 * seed)).is_multiple_of(3);
        t_ns += (state >> 40) % if burst { 1_000 } else { 20_000 };
        writeln!(out, "{t_ns},{}", 100 + (state >> 50) % 400).unwrap();
    }
    out.finish().unwrap();
}

#[test]
fn training_is_deterministic_and_its_model_loads() {
    let directory = tempfile::tempdir().unwrap();
    for (name, seed) in [("alpha_1", 1), ("beta_1", 2)] {
        write_trace(directory.path(), name, seed);
    }
    let params = TrainParams { rows_max: 1_600, ..TrainParams::default() }.check().unwrap();
    let traces = read_directory(directory.path()).unwrap();
    let (file, evaluation) = train(&traces, &params, &Silent).unwrap();
    let (again, _) = train(&traces, &params, &Silent).unwrap();
    assert_eq!(file.to_json().unwrap(), again.to_json().unwrap());
    assert_eq!(evaluation.families.keys().collect::<Vec<_>>(), ["alpha", "beta"]);
    assert!(evaluation.families.values().all(|family| family.comparison.baselines.len() == 7));
    assert_eq!(evaluation.candidates.len(), 4);
    let model = tidegate::model::OverflowModel::from_json(file.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(model.file().traces.len(), 2);
    assert!(!model.is_proven(), "two families prove nothing");
    // On what it was fitted to the quantile holds, within what dependence between rows allows.
    let series = tidegate_training::series::all(&traces, &params);
    let rows = || series.iter().flat_map(|s| s.rows.iter().zip(&s.peaks));
    let covered = rows().filter(|(row, peak)| **peak <= model.forecast(row).peak_backlog).count();
    let share = covered as f64 / rows().count() as f64;
    assert!((share - params.tau).abs() < 0.01, "{share}");
}

#[test]
fn one_family_alone_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    write_trace(directory.path(), "alpha_1", 1);
    let traces = read_directory(directory.path()).unwrap();
    let params = TrainParams::default().check().unwrap();
    assert!(matches!(train(&traces, &params, &Silent), Err(TrainError::TooLittle { found: 1, .. })));
}

#[test]
fn a_model_forecasts_the_same_to_the_bit_after_it_went_through_its_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, seed) in [("alpha_1", 3), ("beta_1", 4)] {
        write_trace(directory.path(), name, seed);
    }
    let params = TrainParams { rows_max: 1_000, ..TrainParams::default() }.check().unwrap();
    let traces = read_directory(directory.path()).unwrap();
    let series = tidegate_training::series::all(&traces, &params);
    let trained = tidegate_training::fit::fit(&series.iter().collect::<Vec<_>>(), params.method, &params).unwrap();
    let json = trained.file().to_json().unwrap();
    let live = tidegate::model::OverflowModel::from_json(json.as_bytes()).unwrap();
    for row in series.iter().flat_map(|s| s.rows.iter().step_by(50)) {
        assert_eq!(trained.forecast(row), live.forecast(row));
    }
}

#[test]
fn a_recording_that_was_cut_is_told_from_a_whole_one() {
    let channel = tidegate::Channel::options().create_anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let mut recording = Vec::new();
    let mut ticks = 0;
    tidegate::telemetry::record(&channel, "cut", std::time::Duration::from_micros(100), &mut recording, |_| {
        sender.send(&[0; 100]).unwrap();
        drop(receiver.recv().unwrap());
        ticks += 1;
        ticks < 50
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("channel.tgtrace");
    for (bytes, cut) in [(recording.len(), false), (recording.len() - 7, true)] {
        std::fs::write(&path, &recording[..bytes]).unwrap();
        assert_eq!(read_directory(directory.path()).unwrap()[0].is_cut_short, cut);
    }
}
