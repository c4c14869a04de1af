//! Tables on stdout: each column is as wide as its longest cell.

use super::output::{self, plain};
use console::measure_text_width;
use std::fmt::{Display, Formatter};

/// Between two columns.
const GAP: &str = "  ";
/// Stands for the middle of a name that was cut.
const ELLIPSIS: char = '…';
/// Columns of the terminal that a name keeps, however narrow the terminal is.
const SHORTEST: usize = 16;

/// How the cells of a column are set.
#[derive(Clone, Copy, PartialEq)]
pub enum Column {
    /// To the left. On a terminal too narrow for the table, an ellipsis takes the place of the middle of long cells.
    Name,
    /// To the left.
    Left,
    /// To the right.
    Right,
}

/// Rows of cells, of which some may be headings. Names in them may hold any character: what a terminal would obey is
/// escaped.
pub struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. Cells beyond the last of `columns` are set as in the last one.
    pub fn new(columns: &'static [Column]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row. It may have fewer cells than others; one without cells is an empty line.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|c| plain(c.as_ref().trim_end()));
        self.rows.push(cells.collect());
    }

    /// The rows as lines of at most `line` columns of the terminal, if cutting names makes this possible.
    fn text(&self, line: usize) -> String {
        let mut text = String::new();
        let widths = self.widths(line);
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.filter(|(_, (_, width))| **width > 0);
            let cells = cells.map(|(i, (cell, &width))| set(cell, width, self.column(i)));
            text += cells.collect::<Vec<_>>().join(GAP).trim_end();
            text.push('\n');
        }
        text
    }

    /// The width of each column. One of empty cells takes no place, and no gap before it.
    fn widths(&self, line: usize) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |i: usize| self.rows.iter().filter_map(move |row| row.get(i));
        let widest = |i| cells(i).map(|c| measure_text_width(c)).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        let gaps = GAP.len() * widths.iter().filter(|w| **w > 0).count().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(line);
        // Each step takes one from the widest column of names, so that several end alike.
        while over > 0 {
            let names = widths.iter_mut().enumerate();
            let names =
                names.filter(|(i, width)| self.column(*i) == Column::Name && **width > SHORTEST);
            let Some((_, width)) = names.max_by_key(|(_, width)| **width) else {
                break;
            };
            *width -= 1;
            over -= 1;
        }
        widths
    }

    fn column(&self, i: usize) -> Column {
        let column = self.columns.get(i).or(self.columns.last());
        column.copied().unwrap_or(Column::Left)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text(output::line_length()))
    }
}

/// A cell on `width` columns of the terminal.
fn set(cell: &str, width: usize, column: Column) -> String {
    let cell = match column {
        Column::Name => shortened(cell, width),
        Column::Left | Column::Right => cell.into(),
    };
    let space = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
    match column {
        Column::Name | Column::Left => cell + &space,
        Column::Right => space + &cell,
    }
}

/// `text`, with an ellipsis in place of its middle if it takes more than `width` columns of the terminal.
fn shortened(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.into();
    }
    let kept = width.saturating_sub(1);
    let first = fitting(text.chars(), kept.div_ceil(2));
    let last = fitting(text.chars().rev(), kept / 2);
    let last = last.into_iter().rev();
    // An accent whose letter was cut would stand on the ellipsis.
    let last = last.skip_while(|&c| columns_of(c) == 0);
    first.into_iter().chain([ELLIPSIS]).chain(last).collect()
}

/// The first of `chars`, as many as go on `width` columns of the terminal.
fn fitting(chars: impl Iterator<Item = char>, width: usize) -> Vec<char> {
    let within = |taken: &mut usize, c: char| {
        *taken += columns_of(c);
        (*taken <= width).then_some(c)
    };
    chars.scan(0, within).collect()
}

fn columns_of(c: char) -> usize {
    measure_text_width(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 characters, as of a deep network.
    const LONG: &str = "encoder.blocks.11.mixer.depthwise_convolution.branch_3.conv2";
    /// Nine characters on eleven columns: three take two, and the accent none.
    const WIDE: &str = "畳み込.cafe\u{301}";

    fn table() -> Table {
        let mut table = Table::new(&[Column::Name, Column::Right, Column::Left]);
        table.row(["layer", "channels", ""]);
        for (name, channels, note) in [("c12", "8", "a note"), (LONG, "2048", ""), (WIDE, "16", "")]
        {
            table.row([name, channels, note]);
        }
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        assert_eq!(LONG.chars().count(), 60);
        assert_eq!(measure_text_width(WIDE), 11);
        let text = table().text(1000);
        let [heading, short, long, wide] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        assert_eq!(heading, format!("layer{}  channels", " ".repeat(55)));
        assert_eq!(short, format!("c12{}         8  a note", " ".repeat(57)));
        assert_eq!(long, format!("{LONG}      2048"));
        assert_eq!(wide, format!("{WIDE}{}        16", " ".repeat(49)));
    }

    #[test]
    fn names_give_way_on_a_narrow_terminal_only() {
        // Names, two gaps, `channels`, `a note`.
        let all = 60 + 2 + 8 + 2 + 6;
        assert!(table().text(all).contains(LONG));
        for line in [all - 1, 60, 40] {
            let text = table().text(line);
            assert!(!text.contains(LONG) && text.contains(WIDE), "{text}");
            let long = text.lines().nth(2).unwrap();
            assert!(
                long.starts_with("encoder.") && long.contains(".conv2 "),
                "{text}"
            );
            let widths: Vec<usize> = text.lines().map(measure_text_width).collect();
            assert_eq!(widths.iter().max(), Some(&line), "{text}");
            // The right edge of the figures.
            assert_eq!([widths[0], widths[2], widths[3]], [line - 8; 3], "{text}");
        }
        // No more is cut than leaves a name.
        let text = table().text(1);
        let names: Vec<usize> = text.lines().map(|l| l.find('…').unwrap_or(0)).collect();
        assert_eq!(names, [0, 0, 8, 0], "{text}");
    }

    #[test]
    fn wide_characters_and_accents_are_cut_whole() {
        assert_eq!(shortened("畳み込み層", 10), "畳み込み層");
        assert_eq!(shortened("畳み込み層", 9), "畳み…み層");
        assert_eq!(shortened("畳み込み層", 8), "畳み…層");
        assert_eq!(
            shortened("e\u{301}e\u{301}e\u{301}e\u{301}", 3),
            "e\u{301}…e\u{301}"
        );
        assert_eq!(shortened("abcde\u{301}fg", 5), "ab…fg");
        assert_eq!(shortened("abc", 0), "…");
    }

    #[test]
    fn several_columns_of_names_end_alike() {
        let mut table = Table::new(&[Column::Name, Column::Name, Column::Right]);
        let [a, b] = ["a".repeat(50), "b".repeat(40)];
        table.row([&a, &b, "0.5"]);
        let expected = format!("{0}…{0}  {1}…{1}  0.5\n", "a".repeat(10), "b".repeat(10));
        assert_eq!(table.text(21 + 2 + 21 + 2 + 3), expected);
    }

    #[test]
    fn rows_differ_in_length_and_nothing_is_obeyed() {
        let mut table = Table::new(&[Column::Name, Column::Right]);
        table.row(["a\u{1b}b\nc", "1", "22"]);
        table.row([""; 0]);
        table.row(["d\n"]);
        assert_eq!(table.text(100), "a\\u{1b}b\\u{a}c  1  22\n\nd\n");
        assert_eq!(Table::new(&[]).text(80), "");
        // A column of empty cells.
        let mut table = Table::new(&[Column::Name, Column::Right]);
        table.row([LONG, "", "3"]);
        table.row(["name", "", "22"]);
        let text = table.text(60 + 2 + 2);
        assert!(text.starts_with(&format!("{LONG}   3\n")), "{text}");
    }
}
