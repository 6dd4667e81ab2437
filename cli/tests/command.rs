//! The command as a user meets it: what it prints, and how it fails.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tidegate::Channel;

fn tidegate(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).current_dir(directory).env("TIDEGATE_DIR", directory.join("channels"));
    command
}

fn start_quietly(directory: &Path, arguments: &[&str]) -> Child {
    command(directory, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Interrupts a command, which must say so by its exit code.
fn interrupt(command: &mut Child) {
    let pid = rustix::process::Pid::from_child(command);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(130));
}

/// Runs a command that must fail with `code` and one line that holds `hint`, and leave nothing behind.
fn refused(directory: &Path, arguments: &[&str], code: i32, hint: &str) {
    let before = files(directory);
    let output = tidegate(directory, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let complaint: Vec<&str> = stderr.lines().filter(|line| line.starts_with("tidegate: ")).collect();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(complaint.len() == 1 && complaint[0].contains(hint), "{arguments:?}: {stderr}");
    assert_eq!(files(directory), before, "{arguments:?} left something behind");
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "channels")
        .collect();
    names.sort();
    if let Ok(channels) = std::fs::read_dir(directory.join("channels")) {
        names.extend(channels.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names
}

fn gzip(path: &Path, text: &str) {
    use flate2::{Compression, write::GzEncoder};
    let mut out = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
    out.finish().unwrap();
}

#[test]
fn bad_input_gets_one_clear_line_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    gzip(&at.join("sound.csv.gz"), "t_ns,bytes\n0,100\n1000,200\n");
    gzip(&at.join("descending.csv.gz"), "t_ns,bytes\n5,100\n4,200\n");
    gzip(&at.join("foreign.csv.gz"), "when,what\n1,2\n3,4\n");
    std::fs::write(at.join("loose.csv.gz"), "t_ns,bytes\n0,1\n").unwrap();
    std::fs::write(
        at.join("model.json"),
        include_str!("../../models/overflow.json").replacen("\"backlog\"", "\"other\"", 1),
    )
    .unwrap();
    let demo = |trace| ["demo", "--port", "0", "--trace", trace, "sound.csv.gz"];
    refused(at, &demo("missing.csv.gz"), 3, "missing.csv.gz");
    refused(at, &demo("descending.csv.gz"), 4, "line 3: the time descends from 5 to 4");
    refused(at, &demo("foreign.csv.gz"), 4, "t_ns,bytes");
    refused(at, &demo("loose.csv.gz"), 4, "gzip");
    refused(at, &["demo", "--port", "0", "--model", "model.json"], 4, "tidegate train");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    refused(at, &["demo", "--port", &port], 3, "--port");
    refused(at, &["record", "nobody", "-o", "trace"], 3, "nothing is called `nobody`");
    refused(at, &["record", "../etc", "-o", "trace"], 2, "cannot be a name");
    refused(at, &["train", "nowhere"], 3, "nowhere");
    refused(at, &["evaluate", "nowhere", "."], 3, "nowhere/overflow.json");
    refused(at, &["evaluate", ".", "--tau", "2"], 2, "tau is 2");
    assert_eq!(tidegate(at, &["demo", "--seconds", "0"]).status.code(), Some(2));
}

#[test]
fn a_short_demo_delivers_every_message_under_every_policy() {
    let directory = tempfile::tempdir().unwrap();
    let output = tidegate(directory.path(), &["demo", "--json", "--port", "0", "--seconds", "2"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| run["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["adaptive", "small_static", "large_static", "large_spinning"]);
    for run in runs {
        assert!(run["sent"].as_u64().unwrap() > 10_000, "{run}");
        assert_eq!(run["sent"], run["received"]);
        for zero in ["lost", "duplicated", "corrupt"] {
            assert_eq!(run[zero], 0, "{run}");
        }
    }
    let picture = std::fs::read_to_string(directory.path().join("tidegate-demo.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("capacity"));
    assert_eq!(files(directory.path()), ["tidegate-demo.svg"], "segments and names are gone");
}

#[test]
fn an_interrupt_ends_the_children_and_removes_the_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = start_quietly(directory.path(), &["demo", "--port", "0", "--seconds", "60"]);
    let channels = directory.path().join("channels");
    // The channel has a name from its creation on; children may have started or not.
    while std::fs::read_dir(&channels).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(&mut demo);
    assert_eq!(files(directory.path()), Vec::<String>::new());
    let id = demo.id().to_string();
    let orphans = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok()?;
        line.contains(&format!("demo-{id}-")).then_some(line)
    });
    assert_eq!(orphans.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_model_is_written_where_it_can_be_judged_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::create_dir(at.join("traces")).unwrap();
    for (name, seed) in [("alpha_1", 1u64), ("beta_1", 2)] {
        let mut text = String::from("t_ns,bytes\n");
        let mut t_ns = 0;
        for i in 0..30_000u64 {
            t_ns += if (i / (100 * seed)).is_multiple_of(3) { i * 7919 % 900 } else { i * 7919 % 19_000 };
            text += &format!("{t_ns},{}\n", 100 + i * 31 % 400);
        }
        gzip(&at.join(format!("traces/{name}.csv.gz")), &text);
    }
    let train = tidegate(at, &["train", "traces", "-o", "m", "--method", "ridge", "--horizon", "24", "--report", "r"]);
    assert!(train.status.success(), "{}", String::from_utf8_lossy(&train.stderr));
    assert_eq!(files(&at.join("m")), ["overflow.json"]);
    let report = std::fs::read_to_string(at.join("r/report.html")).unwrap();
    let parts = ["alpha_1", "Learning curve", "Calibration", "Drops against memory", "surge_8_peak_512", "Worst cases"];
    assert!(parts.iter().all(|part| report.contains(part)) && report.matches("<svg").count() == 3, "{report}");
    assert!(
        !report.contains("http-equiv") && !report.contains("src=") && report.ends_with("</html>"),
        "self-contained"
    );
    let judged = tidegate(at, &["evaluate", "m", "traces", "--json"]);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let judged: serde_json::Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!((&judged["method"], &judged["horizon_ticks"]), (&"ridge".into(), &24.into()));
    let scored: tidegate::model::ModelFile =
        serde_json::from_slice(&std::fs::read(at.join("m/overflow.json")).unwrap()).unwrap();
    for score in scored.held_out.iter().filter(|score| score.predictor == "model") {
        assert_eq!(judged["families"][&score.family]["model"]["pinball"], score.pinball, "judged again, the same");
    }
    for verdict in [&judged["overall"], &judged["in_situ"]] {
        assert!(verdict["model"]["pinball"].is_f64() && verdict["best_baseline"]["pinball"].is_f64(), "{verdict}");
    }
    refused(at, &["train", "traces", "-o", "/proc/none"], 3, "/proc/none");
}

#[test]
fn a_recording_ends_when_its_endpoints_were_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = start_quietly(directory.path(), &["demo", "--port", "0", "--seconds", "60"]);
    let name = format!("demo-{}-adaptive", demo.id());
    let children = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            (line.contains("demo-child") && line.contains(&name)).then_some(pid)
        });
        processes.collect::<Vec<_>>()
    };
    while children().len() < 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let record = ["record", &name, "-o", "trace.tg"];
    let recorder = command(directory.path(), &record).stdout(Stdio::piped()).spawn().unwrap();
    let trace = directory.path().join("trace.tg");
    // The children attach before the traffic begins, and by then it has gone on for long.
    while std::fs::metadata(&trace).map_or(0, |file| file.len()) < 1 << 14 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // The parent first, which would else end in good order.
    for pid in std::iter::once(demo.id() as i32).chain(children()) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _it_may_have_gone_with_its_parent = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    demo.wait().unwrap();
    assert!(recorder.wait_with_output().unwrap().status.success());
    refused(directory.path(), &["record", &name, "-o", "trace.tg"], 3, "nothing is called");
}

#[test]
fn an_interrupt_ends_what_only_computes_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut calibrate = start_quietly(directory.path(), &["calibrate", "-o", "made/host.json", "--window-ms", "10000"]);
    while files(directory.path()).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(&mut calibrate);
    assert_eq!(files(directory.path()), Vec::<String>::new());
}

#[test]
fn a_live_channel_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let channels = directory.path().join("channels");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&channels).unwrap();
    // SAFETY: no other test of this process reads or writes this variable; children get their own.
    unsafe { std::env::set_var("TIDEGATE_DIR", &channels) };
    let channel = Channel::options().create("recorded").unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let recorder =
        command(directory.path(), &["record", "recorded", "-o", "trace.tg"]).stdout(Stdio::piped()).spawn().unwrap();
    let trace = directory.path().join("trace.tg");
    // Samples reach the file in blocks, so the first of them were taken once it has more than the header.
    let header = tidegate::telemetry::TraceHeader { channel: "recorded".into(), tick_ns: 0, began_unix_ns: 0 };
    let mut head = Vec::new();
    tidegate::telemetry::TraceWriter::new(&mut head, &header).unwrap().flush().unwrap();
    while std::fs::metadata(&trace).map_or(0, |file| file.len()) <= head.len() as u64 + 64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for i in 0..500u64 {
        sender.send(&i.to_le_bytes()).unwrap();
        drop(receiver.recv().unwrap());
        std::thread::sleep(Duration::from_micros(100));
    }
    drop((sender, receiver));
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success());
    let reader = tidegate::telemetry::TraceReader::new(std::fs::File::open(trace).unwrap()).unwrap();
    assert_eq!(reader.header().channel, "recorded");
    let samples: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    let messages: u64 = samples.iter().map(|sample| sample.arrived_messages).sum();
    assert_eq!(messages, 500);
    assert_eq!(samples.iter().map(|sample| sample.departed_messages).sum::<u64>(), messages);
}
