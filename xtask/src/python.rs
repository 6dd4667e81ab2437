//! The Python package: built as a user would install it, and tested.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::watched::{Outcome, has, root, run};

pub(crate) fn can_build() -> bool {
    has("python3", "--version") && has_recent_python()
}

/// The package needs 3.11, and a virtual environment of its own.
fn has_recent_python() -> bool {
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    Command::new("python3").args(["-c", check]).status().is_ok_and(|status| status.success())
}

/// Installs the package into a fresh environment and runs its tests, its types and its demo.
pub(crate) fn check() -> Outcome {
    let environment = target().join("python-environment");
    let python = environment.join("bin/python");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = |arguments: &[&str]| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(arguments);
        // What cargo makes of it stays for the next time.
        pip.env("CARGO_TARGET_DIR", target().join("python")).current_dir(root());
        run(&mut pip)
    };
    pip(&["./python[test]"])?;
    let folder = root().join("python");
    let run_python = |arguments: &[&str]| run(Command::new(&python).args(arguments).current_dir(&folder));
    run_python(&["-m", "pytest", "--quiet", "tests"])?;
    run_python(&["-m", "mypy", "--strict", "lib/tidegate", "examples"])?;
    run_python(&["-m", "pyright", "--pythonpath", &python.to_string_lossy(), "lib/tidegate", "examples"])?;
    run_python(&["-m", "tidegate.demo", "--quick", "--rounds", "1"])
}

fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    std::path::absolute(&named).unwrap_or_else(|_| Path::new(&named).to_owned())
}
