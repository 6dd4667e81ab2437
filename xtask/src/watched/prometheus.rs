//! The metrics as a real Prometheus sees them, and what `ops/` makes of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::watched::{Demo, Ended, Outcome, get, has, root, run, until};

/// How far the rate that Prometheus computes may be from what the channel counts.
const RATE_OFF_MAX: f64 = 0.05;
/// Time over which both are taken.
const SPAN: Duration = Duration::from_secs(12);
/// A scrape that a loaded machine missed spoils a comparison.
const TRIES: usize = 3;
/// Regular traffic, so that what comes between the last scrape and the look is little of it.
const TRACE: &str = "cli/traces/packets_modbus.csv.gz";

pub(crate) fn can_scrape() -> bool {
    has("prometheus", "--version") && has("promtool", "--version")
}

/// Checks the metrics, the rules and the dashboard against a demo, and scrapes that.
pub(crate) fn check() -> Outcome {
    let ops = root().join("ops");
    let promtool =
        |arguments: &[&str]| run(Command::new("promtool").args(arguments).current_dir(ops.join("prometheus")));
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["check", "rules", "alerts.yml"])?;
    promtool(&["test", "rules", "alerts_test.yml"])?;
    let demo = Demo::start(120, &["--trace", TRACE, TRACE])?;
    demo.wait_for_traffic()?;
    let exported = get(&demo.address, "/metrics")?;
    lint(&exported)?;
    check_names(&exported)?;
    check_rate(&demo)
}

fn lint(exported: &str) -> Outcome {
    let mut promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn()?;
    promtool.stdin.take().ok_or("no standard input")?.write_all(exported.as_bytes())?;
    let status = promtool.wait()?;
    if status.success() { Ok(()) } else { Err(format!("promtool check metrics: {status}").into()) }
}

/// Everything that `ops/` names is exported.
fn check_names(exported: &str) -> Outcome {
    // Those of a budget, which the demo has none of.
    let of_budget = ["tidegate_budget_bytes", "tidegate_budget_used_bytes"];
    let exported: BTreeSet<&str> = exported
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .chain(of_budget)
        .collect();
    for file in ["grafana/tidegate.json", "prometheus/alerts.yml"] {
        let text = fs::read_to_string(root().join("ops").join(file))?;
        if file.ends_with(".json") {
            let _whole: serde_json::Value = serde_json::from_str(&text)?;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named: BTreeSet<&str> = text.split(|c| !is_word(c)).filter(|word| word.starts_with("tidegate_")).collect();
        let unknown: Vec<&&str> = named.difference(&exported).collect();
        if named.is_empty() || !unknown.is_empty() {
            return Err(format!("{file} names {} metrics, of which not exported: {unknown:?}", named.len()).into());
        }
        println!("{file}: {} metrics, all of them exported", named.len());
    }
    Ok(())
}

/// Prometheus computes the rate that the channel counts.
fn check_rate(demo: &Demo) -> Outcome {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("prometheus.yml");
    let target = &demo.address;
    fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n  - job_name: tidegate\n    \
             static_configs:\n      - targets: ['{target}']\n"
        ),
    )?;
    // Free now; whoever takes it meanwhile makes Prometheus end, and this fail.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut prometheus = Command::new("prometheus");
    prometheus
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _prometheus = Ended(prometheus.spawn()?);
    let query = |query: &str, at_ms: f64| -> Result<Option<f64>, Box<dyn std::error::Error>> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(&address, &format!("/api/v1/query?query={escaped}&time={:.3}", at_ms / 1e3));
        // While it starts, it refuses.
        let Ok(answer) = answer else { return Ok(None) };
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()))
    };
    let sent = || -> Result<(f64, f64), Box<dyn std::error::Error>> {
        let channel = demo.channel()?;
        let number = |name: &str| channel[name].as_f64().ok_or_else(|| format!("no {name} in {channel}"));
        Ok((number("now_ms")?, number("sent_messages")?))
    };
    let metric = "tidegate_sent_messages_total{channel=\"adaptive\"}";
    until("a first scrape", || Ok(query(metric, sent()?.0)?.is_some()))?;
    for _ in 0..TRIES {
        let before = sent()?;
        std::thread::sleep(SPAN);
        let after = sent()?;
        let counted = (after.1 - before.1) / ((after.0 - before.0) / 1e3);
        let span_ms = (after.0 - before.0) as u64;
        let rate = query(&format!("rate({metric}[{span_ms}ms])"), after.0)?.ok_or("no rate")?;
        let off = (rate / counted - 1.0).abs();
        println!("rate by Prometheus {rate:.1} messages/s, counted {counted:.1}: off by {:.2} %", off * 100.0);
        if counted > 0.0 && off <= RATE_OFF_MAX {
            return Ok(());
        }
    }
    Err("they are too far apart".into())
}
