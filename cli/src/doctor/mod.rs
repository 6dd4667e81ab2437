//! `tidegate doctor`: what this machine allows, what follows for channels, and what mends it.

mod checks;
mod limits;

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;

/// `tidegate doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Prints JSON instead of lines
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// All is well.
    Pass,
    /// Channels work, and are slower or fewer than they could be.
    Warn,
    /// Channels do not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What follows from it.
    effect: String,
    /// A command that mends it, if there is one.
    mend: Option<String>,
}

impl Finding {
    fn pass(check: &'static str, found: impl Into<String>, effect: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Pass, found: found.into(), effect: effect.into(), mend: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, effect: impl Into<String>, mend: &str) -> Self {
        let mend = Some(mend.to_owned()).filter(|mend| !mend.is_empty());
        Self { check, verdict: Verdict::Warn, found: found.into(), effect: effect.into(), mend }
    }

    fn fail(check: &'static str, found: impl Into<String>, effect: impl Into<String>, mend: &str) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, found, effect, mend) }
    }
}

pub(crate) fn run(command: &Doctor) -> Result<(), Failure> {
    let findings = checks::all();
    if command.json {
        println!("{}", serde_json::json!({ "version": 1, "findings": findings }));
    } else {
        for Finding { check, verdict, found, effect, mend } in &findings {
            let verdict = match verdict {
                Verdict::Pass => "pass",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            println!("{verdict}  {check}: {found}: {effect}");
            if let Some(mend) = mend {
                println!("      {mend}");
            }
        }
    }
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    if failed > 0 {
        return Err(Failure::Environment(format!("{failed} of {} checks failed", findings.len())));
    }
    Ok(())
}
