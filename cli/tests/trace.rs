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
