//! The tables of `docs/cli.md`.

use std::collections::BTreeMap;

/// A table and the headings above it.
pub struct Table {
    /// The nearest heading.
    pub title: String,
    /// The nearest heading of the second level.
    chapter: String,
    header: String,
    rows: Vec<Vec<String>>,
}

/// A row of the table of arrays.
pub struct ArrayRow {
    pub file: String,
    pub types: Vec<String>,
    /// Axes; empty where the page leaves them open.
    pub ranks: Vec<usize>,
}

pub struct Page {
    tables: Vec<Table>,
}

impl Page {
    pub fn read(text: &str) -> Self {
        let (mut title, mut chapter) = (String::new(), String::new());
        let mut tables: Vec<Table> = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix('#') {
                title = heading.trim_start_matches('#').trim().to_string();
                if line.starts_with("## ") {
                    chapter = title.clone();
                }
            }
            let cells = line.strip_prefix("| ").map(|row| {
                let row = row.strip_suffix('|').unwrap_or(row);
                row.split(" | ")
                    .map(|c| c.trim().to_string())
                    .collect::<Vec<_>>()
            });
            match cells {
                Some(cells) if !inside => {
                    inside = true;
                    tables.push(Table {
                        title: title.clone(),
                        chapter: chapter.clone(),
                        header: cells[0].clone(),
                        rows: Vec::new(),
                    });
                }
                Some(cells) => {
                    let table = tables.last_mut().expect("the header came first");
                    table.rows.push(cells);
                }
                None => inside = line.starts_with("|--"),
            }
        }
        Self { tables }
    }

    fn all<'a>(&'a self, header: &'a str) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |t| t.header == header)
    }

    /// Tables of fields in a chapter.
    pub fn fields_below(&self, chapter: &str) -> Vec<&Table> {
        let tables: Vec<&Table> = self.all("field").filter(|t| t.chapter == chapter).collect();
        assert!(tables.len() > 3, "docs/cli.md, {chapter}");
        tables
    }

    /// Options in the section of a command, with their defaults.
    pub fn options(&self, section: &str) -> BTreeMap<String, String> {
        let tables = self.all("option").filter(|t| t.title == section);
        let rows = tables.flat_map(|t| &t.rows);
        let named = rows.flat_map(|row| {
            let words = row[0].split(['`', ' ', ',']);
            let options = words.filter(|w| w.starts_with('-'));
            options.map(|option| (option.to_string(), row[1].clone()))
        });
        named.collect()
    }

    pub fn arrays(&self) -> Vec<ArrayRow> {
        let rows: Vec<ArrayRow> = self
            .all("file")
            .flat_map(|t| &t.rows)
            .map(|row| {
                let shapes = row[2].split('[').skip(1);
                let shapes = shapes.filter_map(|s| s.split(']').next());
                ArrayRow {
                    file: row[0].trim_matches('`').to_string(),
                    types: row[1].split(" or ").map(str::to_string).collect(),
                    ranks: shapes
                        .filter(|s| !s.contains("..."))
                        .map(|s| s.split(',').count())
                        .collect(),
                }
            })
            .collect();
        assert!(rows.len() > 10);
        rows
    }
}

impl Table {
    /// Names and types.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let fields = self.rows.iter();
        fields
            .map(|row| (row[0].trim_matches('`').to_string(), row[1].clone()))
            .collect()
    }
}

impl ArrayRow {
    /// Whether a file, by its path in an output folder, is of this kind.
    pub fn is(&self, file: &str) -> bool {
        let (mine, theirs) = (self.file.split('/'), file.split('/'));
        mine.clone().count() == theirs.clone().count()
            && mine.zip(theirs).all(|(mine, theirs)| {
                let suffix = ["NAME", "OBSERVED", "RANKING"]
                    .iter()
                    .find_map(|name| mine.strip_prefix(name));
                match suffix {
                    Some(suffix) => theirs.len() > suffix.len() && theirs.ends_with(suffix),
                    None => mine == theirs,
                }
            })
    }
}
