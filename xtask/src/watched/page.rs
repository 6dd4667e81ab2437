//! The page in a browser without a window.

use std::path::Path;
use std::process::Command;

use crate::watched::{Demo, Outcome, has, root, run};

/// Seconds of the run that is looked at: longer than looking takes.
const RUN_SECONDS: u32 = 240;

/// How long a decision is waited for.
const PATIENCE_S: &str = "60";

pub(crate) fn can_browse() -> bool {
    has("node", "--version") && has("npm", "--version") && has(&browser(), "--version")
}

fn browser() -> String {
    std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into())
}

/// Looks at the page of a demo as it runs; pictures go to `pictures`. A new decision has to show within `shown_within_s`.
pub(crate) fn check(pictures: &Path, shown_within_s: u32) -> Outcome {
    let folder = root().join("tests/page");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder))?;
    let demo = Demo::start(RUN_SECONDS, &[])?;
    demo.wait_for_traffic()?;
    let mut check = Command::new("node");
    check.arg("check.mjs").arg(demo.url()).arg(std::path::absolute(pictures)?);
    check.args([PATIENCE_S, &shown_within_s.to_string()]).current_dir(&folder);
    run(&mut check)?;
    println!("pictures in {}", pictures.display());
    Ok(())
}
