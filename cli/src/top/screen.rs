//! The picture.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line as Text;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};

use crate::top::state::{Line, Order, Top};
use crate::units::{bytes, count};

const HEADS: [&str; 10] =
    ["CHANNEL", "STATE", "S/R", "MSG/S", "BYTES/S", "BACKLOG", "CAPACITY", "FORECAST", "STALL/S", "WAITS BY"];
const WIDTHS: [Constraint; 10] = [
    Constraint::Fill(1),
    Constraint::Length(5),
    Constraint::Length(5),
    Constraint::Length(8),
    Constraint::Length(10),
    Constraint::Length(10),
    Constraint::Length(10),
    Constraint::Length(10),
    Constraint::Length(7),
    Constraint::Length(18),
];
/// A ring that is filled further than this is shown as full.
const FULL_PART: f64 = 0.8;

pub(crate) fn draw(frame: &mut Frame<'_>, top: &Top) {
    let decisions = if top.decisions.is_empty() { 0 } else { 6 };
    let parts = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(5), Constraint::Length(decisions)];
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
    let messages_s: f64 = top.lines.iter().map(|line| line.messages_s).sum();
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
    let rows = top.lines.iter().map(|line| row(line, top.is_coloured));
    let head = Row::new(HEADS.iter().enumerate().map(|(at, head)| cell((*head).to_owned(), is_number(at))));
    let table = Table::new(rows, WIDTHS)
        .header(head.style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(top.selected());
    frame.render_stateful_widget(table, area, &mut state);
}

fn is_number(column: usize) -> bool {
    (3..9).contains(&column)
}

fn cell(text: String, is_number: bool) -> Cell<'static> {
    let alignment = if is_number { Alignment::Right } else { Alignment::Left };
    Cell::from(Text::from(text).alignment(alignment))
}

fn row(line: &Line, is_coloured: bool) -> Row<'static> {
    let row = &line.row;
    let texts = [
        row.name.clone(),
        row.state.name().to_owned(),
        format!("{}/{}", row.senders.len(), row.receivers.len()),
        count(line.messages_s),
        bytes(line.bytes_s),
        bytes(row.backlog_bytes as f64),
        bytes(row.capacity_bytes as f64),
        bytes(row.forecast_bytes as f64),
        count(line.waits_s),
        row.strategy.clone(),
    ];
    let is_full = row.backlog_bytes as f64 > row.capacity_bytes as f64 * FULL_PART && row.capacity_bytes > 0;
    let style = match is_full && is_coloured {
        true => Style::new().fg(Color::Yellow),
        false => Style::new(),
    };
    Row::new(texts.into_iter().enumerate().map(|(at, text)| cell(text, is_number(at)))).style(style)
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
    fn a_small_terminal_shows_what_fits() {
        assert!(drawn(true, 40).0.contains("full"));
        assert!(!drawn(true, 4).0.is_empty());
    }
}
