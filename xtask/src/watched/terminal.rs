//! `tidegate top` in a real terminal.

use std::error::Error;
use std::fs;
use std::process::Command;

use crate::watched::{Demo, Outcome, command, has, root, run, until};

/// The screen that the documentation shows.
const SCREEN: &str = "docs/top.txt";

pub(crate) fn has_terminal() -> bool {
    has("tmux", "-V")
}

/// A tmux server of its own, which ends with this.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket]).args(arguments);
        tmux
    }

    fn screen(&self) -> Result<String, Box<dyn Error>> {
        let captured = self.command(&["capture-pane", "-p", "-t", "top"]).output()?;
        Ok(String::from_utf8(captured.stdout)?)
    }

    fn is_running(&self) -> bool {
        self.command(&["has-session", "-t", "top"]).output().is_ok_and(|found| found.status.success())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ended_already = self.command(&["kill-server"]).output();
    }
}

/// Runs it beside a demo and looks at its screen; with `update` the documentation shows that from now on.
pub(crate) fn check(update: bool) -> Outcome {
    // A picture wants traffic; a check wants time.
    let demo = Demo::start(if update { 30 } else { 600 }, &[])?;
    demo.wait_for_traffic()?;
    let tmux = Tmux { socket: format!("tidegate-{}", std::process::id()) };
    let top = format!("{} top", command()?.display());
    run(&mut tmux.command(&["-f", "/dev/null", "new-session", "-d", "-s", "top", "-x", "120", "-y", "20", &top]))?;
    let name = format!("demo-{}-adaptive", demo.pid());
    let shows_traffic = |screen: &str| {
        let line = screen.lines().find(|line| line.contains(&name));
        // Name, state, endpoints, messages a second.
        let rate = line.and_then(|line| line.split_whitespace().nth(3));
        screen.starts_with("tidegate top") && rate.is_some_and(|rate| rate.parse().is_ok_and(|rate: f64| rate > 0.0))
    };
    let mut screen = String::new();
    until("the demo's channel on the screen", || {
        screen = tmux.screen()?;
        Ok(shows_traffic(&screen))
    })?;
    if update {
        // Long enough for a course to be seen.
        std::thread::sleep(std::time::Duration::from_secs(12));
        screen = tmux.screen()?;
        fs::create_dir_all(root().join("docs"))?;
        fs::write(root().join(SCREEN), screen.trim_end().to_owned() + "\n")?;
    }
    println!("{}", screen.trim_end());
    run(&mut tmux.command(&["send-keys", "-t", "top", "q"]))?;
    until("the end", || Ok(!tmux.is_running()))
}
