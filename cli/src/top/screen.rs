//! The picture.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line as Text;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};

use crate::top::state::{Line, Order, Top};
use crate::units::{bytes, count};

/// A column: its head, its width, whether it holds numbers, and what is in it.
struct Column {
    head: &'static str,
    width: u16,
    is_number: bool,
    text: fn(&Line) -> String,
}

const fn column(head: &'static str, width: u16, is_number: bool, text: fn(&Line) -> String) -> Column {
    Column { head, width, is_number, text }
}

/// Beside the channel's name. Where there is not room for all, the last in [`LEAST_WANTED_LAST`] are left out.
static COLUMNS: [Column; 9] = [
    column("STATE", 7, false, |line| line.state().to_owned()),
    column("S/R", 5, false, |line| format!("{}/{}", line.row.senders.len(), line.row.receivers.len())),
    column("MSG/S", 8, true, |line| count(line.messages_s)),
    column("BYTES/S", 9, true, |line| bytes(line.bytes_s)),
    column("BACKLOG", 9, true, |line| bytes(line.row.backlog_bytes as f64)),
    column("CAPACITY", 9, true, |line| bytes(line.row.capacity_bytes as f64)),
    column("FORECAST", 9, true, |line| match line.row.forecast_bytes {
        0 => "-".into(),
        most => bytes(most as f64),
    }),
    column("STALL/S", 7, true, |line| count(line.waits_s)),
    column("WAITS BY", 17, false, |line| line.row.strategy.clone()),
];
const LEAST_WANTED_LAST: [usize; 9] = [2, 4, 5, 0, 6, 1, 7, 3, 8];
/// Width of a name, unless it needs less.
const NAME_MAX: u16 = 48;
const NAME_MIN: u16 = 12;
/// Lines below which there is no chart, and no list of decisions.
const LINES_FOR_COURSE: u16 = 14;
const LINES_FOR_DECISIONS: u16 = 20;
pub(crate) fn draw(frame: &mut Frame<'_>, top: &Top) {
    let lines = frame.area().height;
    let course = if lines < LINES_FOR_COURSE { 0 } else { 5 };
    let decisions = if top.decisions.is_empty() || lines < LINES_FOR_DECISIONS { 0 } else { 6 };
    let parts = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(course), Constraint::Length(decisions)];
    let [head, table, course, log] = Layout::vertical(parts).areas(frame.area());
    draw_head(frame, head, top);
    if top.lines.is_empty() {
        let text = format!("No channel in {}. Start one, `tidegate demo` say.", top.directory.display());
        frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), table);
        return;
    }
    draw_table(frame, table, top);
    draw_course(frame, course, top);
    draw_decisions(frame, log, top);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let messages_s = top.lines.iter().fold(0.0, |sum, line| sum + line.messages_s);
    let order = match top.order {
        Order::Name => "name",
        Order::Rate => "rate",
        Order::Backlog => "backlog",
    };
    let channels = if top.lines.len() == 1 { "channel" } else { "channels" };
    let text = format!(
        "tidegate top   {} {channels}   {} msg/s   by {order}   q ends, s sorts, up and down choose",
        top.lines.len(),
        count(messages_s)
    );
    frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD)), area);
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let longest = top.lines.iter().map(|line| line.row.name.chars().count()).max().unwrap_or(0);
    let name_width = u16::try_from(longest).unwrap_or(u16::MAX).clamp(NAME_MIN, NAME_MAX).min(area.width);
    let columns = fitting(area.width - name_width);
    let widths =
        std::iter::once(Constraint::Min(name_width)).chain(columns.iter().map(|c| Constraint::Length(c.width)));
    let heads = columns.iter().map(|column| cell(column.head.to_owned(), column.is_number));
    let head = Row::new(std::iter::once(cell("CHANNEL".to_owned(), false)).chain(heads));
    let rows = top.lines.iter().map(|line| {
        let texts = columns.iter().map(|column| cell((column.text)(line), column.is_number));
        let row = Row::new(std::iter::once(cell(line.row.name.clone(), false)).chain(texts));
        if top.is_coloured && line.is_held_up() { row.style(Style::new().fg(Color::Yellow)) } else { row }
    });
    let table = Table::new(rows, widths)
        .header(head.style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(top.selected());
    frame.render_stateful_widget(table, area, &mut state);
}

/// Columns that fit, a space between each two.
fn fitting(width: u16) -> Vec<&'static Column> {
    let mut left = width;
    let mut chosen: Vec<usize> = Vec::new();
    for at in LEAST_WANTED_LAST {
        let Some(rest) = left.checked_sub(COLUMNS[at].width + 1) else { break };
        left = rest;
        chosen.push(at);
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|at| &COLUMNS[at]).collect()
}

fn cell(text: String, is_number: bool) -> Cell<'static> {
    let alignment = if is_number { Alignment::Right } else { Alignment::Left };
    Cell::from(Text::from(text).alignment(alignment))
}

fn draw_course(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let Some(line) = top.lines.get(top.selected()) else { return };
    let course = top.course(&line.row.name);
    let most = course.iter().max().copied().unwrap_or(0);
    let title = format!(" {}: messages a second, at most {} in this minute ", line.row.name, count(most as f64));
    let style = if top.is_coloured { Style::new().fg(Color::Cyan) } else { Style::new() };
    let width = usize::from(area.width.saturating_sub(2));
    let recent = &course[course.len().saturating_sub(width)..];
    frame.render_widget(Sparkline::default().data(recent).style(style).block(Block::bordered().title(title)), area);
}

fn draw_decisions(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let rows = usize::from(area.height.saturating_sub(1));
    let lines: Vec<Text<'_>> = top
        .decisions
        .iter()
        .take(rows)
        .map(|decision| Text::from(format!("{} {}: {}", decision.channel, decision.id, decision.sentence)))
        .collect();
    let block = Block::new().title(Text::from("Decisions").style(Style::new().add_modifier(Modifier::UNDERLINED)));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use tidegate::Channel;
    use tidegate::control::{ControlAgent, ControllerOptions};
    use tidegate::inspect::Registry;

    use super::*;
    use crate::top::state::Key;

    /// What is drawn of two channels, one of them full, and whether anything is coloured.
    fn drawn(is_coloured: bool, width: u16) -> (String, bool) {
        let registry = Registry::default();
        let channels = ["empty", "full"].map(|name| {
            let channel = Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap();
            let agent = ControlAgent::new(&channel, name, ControllerOptions::default());
            registry.add(&channel, agent.state());
            (channel, agent)
        });
        let mut sender = channels[1].0.sender().unwrap();
        while sender.try_send(&[0; 100]).is_ok() {}
        let mut top = Top::new(std::path::Path::new("/nowhere"), is_coloured);
        top.take(registry.channels());
        top.press(Key::Down);
        top.decided(serde_json::from_str(include_str!("../../tests/decision.jsonl")).unwrap());
        let mut terminal = Terminal::new(TestBackend::new(width, 20)).unwrap();
        terminal.draw(|frame| draw(frame, &top)).unwrap();
        let buffer = terminal.backend().buffer();
        let colours = buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        (terminal.backend().to_string(), colours)
    }

    #[test]
    fn channels_and_decisions_are_on_the_screen() {
        let (screen, is_coloured) = drawn(true, 120);
        assert!(screen.contains("tidegate top   2 channels"));
        assert!(screen.lines().any(|line| line.contains("full") && line.contains("4.0 KiB")), "{screen}");
        assert!(screen.contains("full: messages a second"), "the chosen one's course: {screen}");
        assert!(screen.contains("orders 1: "), "{screen}");
        assert!(is_coloured);
    }

    #[test]
    fn nothing_is_coloured_where_that_is_not_wanted() {
        assert!(!drawn(false, 120).1);
    }

    #[test]
    fn a_small_terminal_shows_whole_columns_and_the_names_first() {
        let (screen, _) = drawn(true, 40);
        assert!(screen.contains("CHANNEL") && screen.contains("MSG/S") && screen.contains("BACKLOG"), "{screen}");
        assert!(!screen.contains("WAITS") && screen.contains("full"), "{screen}");
        assert!(drawn(true, 120).0.contains("WAITS BY"));
        assert!(!drawn(true, 4).0.is_empty());
    }
}
