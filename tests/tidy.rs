//! The rules of the house that a test can hold.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up. A file may use its own layer and those before it.
const LAYERS: [&str; 8] = ["shm", "sync", "ring", "channel", "telemetry", "model", "control", "inspect"];
/// Directories in which unsafe code may stand.
const UNSAFE_ALLOWED: [&str; 6] =
    ["src/shm/", "src/sync/", "src/ring/", "src/channel/slab.rs", "benches/src/locks/pthread.rs", "python/src/"];
const LINES_MAX: usize = 450;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the project with one of these endings, as paths from the root.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["src", "training", "cli", "xtask", "benches", "tests", "python", "examples"]
        .iter()
        .map(|d| root().join(d))
        .collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Layers that `text` imports, with the line.
fn imports(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            found.extend(LAYERS.iter().find(|layer| **layer == name).map(|layer| (*layer, line)));
        }
    }
    found
}

#[test]
fn the_readme_shows_the_screen_that_was_taken() {
    let [readme, screen] = ["README.md", "docs/top.txt"].map(|file| fs::read_to_string(root().join(file)).unwrap());
    assert!(readme.contains(screen.trim_end()), "cargo xtask test-top --update took another: copy it");
}

fn upward_imports(layer: &str, text: &str) -> Vec<String> {
    let height = |name: &str| LAYERS.iter().position(|l| *l == name);
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    imports(code)
        .into_iter()
        .filter(|(used, _)| {
            let model_beside_its_types = layer == "model" && *used == "channel";
            height(used) > height(layer) || model_beside_its_types
        })
        .map(|(_, line)| line.to_owned())
        .collect()
}

#[test]
fn no_layer_imports_one_above_it() {
    for (name, text) in files(&[".rs"]) {
        let Some(layer) = name.strip_prefix("src/").and_then(|rest| rest.split_once('/')).map(|(layer, _)| layer)
        else {
            continue;
        };
        assert_eq!(upward_imports(layer, &text), Vec::<String>::new(), "{name}");
    }
    assert_eq!(upward_imports("ring", "use crate::channel::Channel;"), ["use crate::channel::Channel;"]);
    assert!(upward_imports("control", "use crate::model::Demand;").is_empty());
}

fn impure(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let banned = ["std::time", "Instant", "Atomic", "std::io", "std::fs", "now_ns"];
    code.lines().filter(|line| !line.trim().starts_with("//") && banned.iter().any(|b| line.contains(b))).collect()
}

#[test]
fn the_decision_is_pure() {
    let text = fs::read_to_string(root().join("src/control/decide.rs")).unwrap();
    assert_eq!(impure(&text), Vec::<&str>::new());
    assert_eq!(impure("use std::time::Instant;").len(), 1);
}

fn uses_unsafe(text: &str) -> bool {
    let words = ["unsafe {", "unsafe impl", "unsafe fn", "unsafe trait", "allow(unsafe_code)"];
    text.lines().any(|line| !line.trim().starts_with("//") && words.iter().any(|word| line.contains(word)))
}

#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    for (name, text) in files(&[".rs"]) {
        let test = name.contains("tests/");
        if !test && !UNSAFE_ALLOWED.iter().any(|allowed| name.starts_with(allowed)) {
            assert!(!uses_unsafe(&text), "{name}");
        }
    }
    assert!(uses_unsafe("    unsafe { read() }") && !uses_unsafe("// unsafe { }"));
}

#[test]
fn files_are_short() {
    for (name, text) in files(&[".rs"]) {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines");
    }
}

/// Names of tests that a protocol's section on models promises.
fn promised_models(text: &str) -> Vec<&str> {
    let section = text.split("Models").nth(1).unwrap_or("");
    section.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains('/')).collect()
}

#[test]
fn every_model_that_a_protocol_names_exists() {
    let models: String =
        files(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with("tests/loom/")).map(|(_, text)| text).collect();
    let mut promised = 0;
    for (name, text) in files(&["PROTOCOL.md"]) {
        for model in promised_models(&text) {
            promised += 1;
            assert!(models.contains(&format!("fn {model}(")), "{name} names {model}");
        }
    }
    assert!(promised >= 8, "only {promised} models are named");
    assert_eq!(promised_models("x\n## Models\n`tests/loom`: `a_b`, `c_d`."), ["a_b", "c_d"]);
}

#[test]
fn every_edge_has_two_ends() {
    let sources: Vec<(String, String)> =
        files(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with("src/")).collect();
    let edges: Vec<String> = sources
        .iter()
        .flat_map(|(_, text)| text.split("dge `").skip(1).filter_map(|rest| rest.split('`').next()))
        .map(str::to_owned)
        .collect();
    assert!(edges.len() >= 10);
    for edge in &edges {
        let named: usize = sources.iter().map(|(_, text)| text.matches(&format!("`{edge}`")).count()).sum();
        assert!(named >= 2, "edge {edge} has one end");
    }
}

/// What stands in quotes behind each `before`.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.strip_prefix('"')?.split('"').next()).collect()
}

#[test]
fn every_failpoint_is_listed_and_every_one_listed_stands_somewhere() {
    let sources = files(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with("src/"));
    let (lists, sources): (Vec<_>, Vec<_>) = sources.partition(|(name, _)| name == "src/prim/failpoint.rs");
    let list = lists[0].1.split("STEPS: &[&str] = &[").nth(1).unwrap().split("];").next().unwrap();
    let mut listed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let mut standing: Vec<&str> = sources.iter().flat_map(|(_, text)| quoted(text, "step(")).collect();
    listed.sort_unstable();
    standing.sort_unstable();
    standing.dedup();
    assert!(listed.len() > 50);
    assert_eq!(listed, standing);
    assert_eq!(quoted(r#"step("a.b"); step(name);"#, "step("), ["a.b"]);
}

#[test]
fn nothing_names_a_place_outside_the_project() {
    let outside = [concat!("..", "/shared"), concat!("/wo", "rk/")];
    for (name, text) in files(&[".rs", ".md", ".toml"]) {
        for place in outside {
            assert!(!text.contains(place), "{name} names {place}");
        }
    }
}

#[test]
fn the_library_does_not_depend_on_its_trainer() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let forbidden = |text: &str| text.lines().any(|l| l.starts_with("linfa") || l.starts_with("ndarray"));
    assert!(!forbidden(&manifest));
    assert!(forbidden("linfa = \"0.8\""));
    assert!(Path::new(&root()).join("training/Cargo.toml").exists());
}
