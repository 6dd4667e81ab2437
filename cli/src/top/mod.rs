//! `tidegate top`: every channel of the host directory, live in the terminal.

mod screen;
mod state;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tidegate::inspect::Registry;

use crate::failure::Failure;
use crate::follow::Follower;
use crate::settings::{Flags, LookingFlags, watcher};
use crate::watch::{LOOK_EVERY, Watch};
use state::{Key, Top};

/// Between two pictures.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// `tidegate top`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Keys: q, Esc or Ctrl-C ends; up and down, or k and j, choose a channel; s sorts by name, rate or backlog"
)]
pub(crate) struct Command {
    #[command(flatten)]
    flags: LookingFlags,
    /// File that a controller writes (`tidegate control --journal`): its decisions are shown as they are made
    #[arg(long = "journal", value_name = "FILE")]
    journals: Vec<PathBuf>,
    /// Print what is there now as JSON, as `/channels` of `tidegate serve` does, and end
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Whether it goes on until it is ended.
    pub(crate) fn is_live(&self) -> bool {
        !self.json
    }
}

pub(crate) fn run(command: &Command, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    let options = watcher(&Flags::from(command.flags.clone()).settings()?)?;
    let registry = Registry::default();
    let mut watch = Watch::new(options, registry.clone())?;
    watch.look(&mut |_| {});
    if command.json {
        let channels = serde_json::to_string(&registry.channels());
        println!("{}", channels.map_err(|error| Failure::Environment(error.to_string()))?);
        return Ok(());
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::Usage("top draws on a terminal: --json prints what is there".into()));
    }
    let followers: Vec<Follower> = command.journals.iter().map(|path| Follower::new(path)).collect();
    let top = Top::new(watch.host().path(), std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let mut terminal = ratatui::try_init().map_err(|error| failed(&error))?;
    let ended = live(&mut terminal, top, (&mut watch, &registry, followers), interrupted);
    ratatui::restore();
    ended
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::Environment(format!("cannot draw on the terminal: {error}"))
}

fn live(
    terminal: &mut ratatui::DefaultTerminal,
    mut top: Top,
    (watch, registry, mut followers): (&mut Watch, &Registry, Vec<Follower>),
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let (mut looked, mut drawn) = (Instant::now(), None::<Instant>);
    while !interrupted.load(Ordering::Relaxed) {
        if looked.elapsed() >= LOOK_EVERY {
            watch.look(&mut |_| {});
            for follower in &mut followers {
                follower.look(|decision| top.decided(decision))?;
            }
            looked = Instant::now();
        }
        if drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY) {
            top.take(registry.channels());
            drawn = Some(Instant::now());
        }
        terminal.draw(|frame| screen::draw(frame, &top)).map_err(|error| failed(&error))?;
        if event::poll(LOOK_EVERY.min(DRAW_EVERY)).map_err(|error| failed(&error))? {
            match event::read().map_err(|error| failed(&error))? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        _ if is_interrupt => return Ok(()),
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                        KeyCode::Down | KeyCode::Char('j') => top.press(Key::Down),
                        KeyCode::Up | KeyCode::Char('k') => top.press(Key::Up),
                        KeyCode::Char('s') => top.press(Key::Sort),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}
