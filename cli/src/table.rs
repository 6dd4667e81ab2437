//! Tables of figures.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{CellAlignment, Table};

/// A table whose columns but the first are numbers.
pub(crate) fn aligned(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(heads);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A table without lines; without heads, too, if there are none.
pub(crate) fn plain(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if !heads.is_empty() {
        table.set_header(heads);
    }
    table
}
