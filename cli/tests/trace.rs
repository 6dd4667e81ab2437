//! Traces as a user handles them: `tidegate trace`.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

fn tidegate(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).current_dir(directory).env("TIDEGATE_DIR", directory.join("channels")).output().unwrap()
}

/// What a command that must succeed prints.
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = tidegate(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A trace of three arrivals in the first and the third of its ticks of a millisecond.
fn import(directory: &Path) {
    std::fs::write(directory.join("orders.csv"), "t_ns,bytes\n5000,100\n6000,50\n2005000,7\n").unwrap();
    printed(directory, &["trace", "import", "orders.csv", "-o", "orders.tgtrace"]);
}

#[test]
fn arrivals_recorded_elsewhere_become_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    import(directory.path());
    let info = printed(directory.path(), &["trace", "info", "orders.tgtrace", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["channel"], &info["samples"]), (&"orders".into(), &3.into()));
    assert_eq!((&info["arrived_messages"], &info["arrived_bytes"]), (&3.into(), &157.into()));
    assert_eq!(info["is_cut_short"], false);
    let text = printed(directory.path(), &["trace", "info", "orders.tgtrace"]);
    assert!(text.contains("samples     3 of 1000 us") && text.contains("3 messages, 157 bytes:"), "{text}");
}

#[test]
fn a_trace_is_exported_whole() {
    let directory = tempfile::tempdir().unwrap();
    import(directory.path());
    let csv = printed(directory.path(), &["trace", "export", "orders.tgtrace", "--csv", "-"]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|found| *found == name).unwrap();
    let arrived: Vec<_> = rows[1..].iter().map(|row| row[column("arrived_bytes")]).collect();
    assert_eq!(arrived, ["150", "0", "7"]);

    printed(directory.path(), &["trace", "export", "orders.tgtrace", "--parquet", "orders.parquet"]);
    let file = File::open(directory.path().join("orders.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let names: Vec<_> =
        reader.metadata().file_metadata().schema_descr().columns().iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(names, rows[0]);
    let exported: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(exported.len(), 3);
    assert_eq!(exported[2].get_ulong(column("arrived_bytes")).unwrap(), 7);
    assert_eq!(exported[2].get_string(column("strategy")).unwrap(), rows[3][column("strategy")]);
    assert!(!directory.path().join("orders.partial").exists());
}

#[test]
fn a_damaged_trace_is_refused_and_one_cut_short_is_read_as_far_as_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    import(directory.path());
    let path = directory.path().join("orders.tgtrace");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let info = printed(directory.path(), &["trace", "info", "orders.tgtrace"]);
    assert!(info.contains("samples     2 of") && info.contains("ends inside a frame"), "{info}");
    let mut damaged = whole.clone();
    let last = damaged.len() - 3;
    damaged[last] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let exports = ["--csv", "--parquet"].map(|format| ["trace", "export", "orders.tgtrace", format, "out"]);
    for arguments in exports {
        let refused = tidegate(directory.path(), &arguments);
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(4), "{stderr}");
        assert!(stderr.contains("orders.tgtrace: the trace is damaged at byte"), "{stderr}");
        assert!(!directory.path().join("out").exists() && !directory.path().join("out.partial").exists());
    }
    std::fs::write(directory.path().join("bad.csv"), "t_ns,bytes\n5,1\n4,1\n").unwrap();
    let refused = tidegate(directory.path(), &["trace", "import", "bad.csv", "-o", "bad.tgtrace"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 3"));
    assert!(!directory.path().join("bad.tgtrace").exists());
}

/// Bursts of 40 messages every 5 ms for a second.
fn bursts(directory: &Path) {
    use std::fmt::Write;
    let mut text = String::from("t_ns,bytes\n");
    for i in 0..8_000u64 {
        writeln!(text, "{},{}", i / 40 * 5_000_000 + i % 40 * 1000, 100 + i % 7 * 50).unwrap();
    }
    std::fs::write(directory.join("bursts.csv"), text).unwrap();
    let mut packed = flate2::write::GzEncoder::new(
        File::create(directory.join("bursts.csv.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    std::io::copy(&mut File::open(directory.join("bursts.csv")).unwrap(), &mut packed).unwrap();
    packed.finish().unwrap();
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_replay_delivers_every_message_under_every_policy() {
    let directory = tempfile::tempdir().unwrap();
    bursts(directory.path());
    let policies = ["--policy", "adaptive", "--policy", "heuristic", "--policy", "static:8K:park"];
    let arguments =
        [&["replay", "bursts.csv.gz", "--seconds", "0.5", "--load", "0.7", "--json"], &policies[..]].concat();
    let report = json(&printed(directory.path(), &arguments));
    assert!((report["load"].as_f64().unwrap() - 0.7).abs() < 1e-9 && report["messages"] == 8_000, "{report}");
    for run in report["runs"].as_array().unwrap() {
        assert_eq!((&run["messages"], &run["sent"]), (&8_000.into(), &8_000.into()));
        for none in ["lost", "duplicated", "corrupt"] {
            assert_eq!(run[none], 0, "{run}");
        }
        assert!(run["peak_backlog_bytes"].as_u64().unwrap() >= 120 && run["simulated"] == false);
    }
    assert_eq!(report["runs"][2]["policy"], "static:8K:park");
    assert!(report["runs"][2]["peak_backlog_bytes"].as_u64().unwrap() <= 8192);
}

#[test]
fn a_simulation_needs_no_channel_and_a_validation_says_how_far_it_is_off() {
    let directory = tempfile::tempdir().unwrap();
    bursts(directory.path());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let command = command.args(arguments).current_dir(directory.path());
        let output = command
            .env("TIDEGATE_DIR", directory.path().join("channels"))
            .env("TIDEGATE_PROFILE", directory.path().join("profile/host.json"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let simulate = ["replay", "bursts.csv.gz", "--simulate", "--seconds", "0.5", "--policy", "static:4M:park"];
    assert!(run(&simulate).contains("is not known"));
    let validate = json(&run(&["replay", "bursts.csv.gz", "--validate", "--seconds", "0.2", "--json"]));
    assert_eq!(validate["pairs"].as_array().unwrap().len(), 4);
    let number = |pair: &serde_json::Value, side: &str| pair[side]["peak_backlog_bytes"].as_f64().unwrap();
    for pair in validate["pairs"].as_array().unwrap() {
        let error = number(pair, "simulated") / number(pair, "real") - 1.0;
        assert!((pair["peak_error"].as_f64().unwrap() - error).abs() < 1e-9, "{pair}");
    }
    let simulated: Vec<f64> =
        validate["pairs"].as_array().unwrap().iter().map(|pair| number(pair, "simulated")).collect();
    assert!(simulated.is_sorted() && simulated[0] < simulated[3], "more load, more backlog: {simulated:?}");
    let simulated = json(&run(&[&simulate[..], &["--json"]].concat()));
    let run = &simulated["runs"][0];
    assert_eq!((&run["messages"], &run["simulated"]), (&8_000.into(), &true.into()));
    assert_eq!(run["simulator"]["load"], 0.85);
}

#[test]
fn a_replay_that_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    bursts(directory.path());
    std::fs::write(directory.path().join("service.ms"), "5\n3\n").unwrap();
    for (arguments, code, hint) in [
        (vec!["--policy", "static:5K:park"], 2, "power of two"),
        (vec!["--policy", "static:64K:dance"], 2, "no way of waiting"),
        (vec!["--load", "0"], 2, "the load is 0"),
        (vec!["--load", "0.5", "--speed", "2", "--service", "100"], 2, "follows from the other two"),
        (vec!["--simulate", "--service", "1e12"], 2, "a controller would decide for 8000000 s"),
        (vec!["--service", "1e30"], 2, "the service time"),
        (vec!["--service", "nowhere"], 4, "nowhere"),
        (vec!["--service", "service.ms"], 4, "line 2: the time descends"),
    ] {
        let refused = tidegate(directory.path(), &[&["replay", "bursts.csv.gz"], &arguments[..]].concat());
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(hint), "{arguments:?}: {stderr}");
    }
}

#[test]
fn calibration_fits_what_it_measured_and_the_same_again_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let quick = ["calibrate", "-o", "host.json", "--trace", "locks.csv", "--rounds", "2", "--window-ms", "1", "--json"];
    let profile = printed(directory.path(), &quick);
    let model = tidegate::model::ContentionModel::from_json(profile.as_bytes()).unwrap();
    assert_eq!(std::fs::read_to_string(directory.path().join("host.json")).unwrap(), profile);
    let again = ["calibrate", "-o", "again.json", "--from", "locks.csv", "--json"];
    assert_eq!(printed(directory.path(), &again), profile);
    let contention = tidegate::model::Contention { contenders: 2, cpus: 2, hold_ns: 100, think_ns: 100 };
    assert!(model.choose(&contention).costs_ns.iter().all(|cost| *cost > 0.0));
    std::fs::write(directory.path().join("cut.csv"), "round,contenders\n1,2\n").unwrap();
    let refused = tidegate(directory.path(), &["calibrate", "-o", "cut.json", "--from", "cut.csv"]);
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!directory.path().join("cut.json").exists());
}
