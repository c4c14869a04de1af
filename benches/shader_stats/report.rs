//! What the drivers' statistics mean, as a table, and what in them is a defect.

use super::code::{Loop, hot_loop};
use super::vulkan::Compiled;
use chanscope::internals::Source;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns of a file of statistics.
const COLUMNS: &str =
    "kernel\tvariant\twide\tregisters\tmemory\tshared\twaves\tinstructions\tloop\tfma\tvector\tms";

/// Statistics of one kernel on one GPU; `None` where the driver does not tell.
pub struct Row {
    kernel: String,
    variant: String,
    /// `f64` or `f32x2`: arithmetic of the steps that matter; empty for kernels without such steps.
    wide: String,
    registers: Option<u64>,
    /// Spills, or bytes of memory that stand for registers: an array with an index that is known only at run time.
    memory: u64,
    /// Bytes of workgroup memory.
    shared: u64,
    /// Subgroups that a processor's part (SIMD, or multiprocessor of NVIDIA) can hold at a time.
    waves: Option<u64>,
    instructions: Option<u64>,
    hot: Option<Loop>,
    milliseconds: u64,
}

impl Row {
    pub fn new(source: &Source, shared: u64, compiled: &Compiled) -> Self {
        let known: BTreeMap<&str, u64> = compiled
            .statistics
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let first = |names: &[&str]| names.iter().find_map(|n| known.get(n).copied());
        let sum = |names: &[&str]| names.iter().filter_map(|n| known.get(n)).sum();
        Self {
            kernel: source.entry.into(),
            variant: source.variant.clone(),
            wide: source
                .float64
                .map_or("", |f| if f { "f64" } else { "f32x2" })
                .into(),
            registers: first(&["VGPRs", "Number of GPRs", "GPRs", "Registers used"]),
            memory: sum(&[
                "Spilled VGPRs",
                "Scratch size",
                "Spills to memory",
                "Fills from memory",
                "SLM size",
                "Scratch",
                "Spills",
                "Fills",
                "STP Count",
                "LDP Count",
            ]),
            shared,
            waves: first(&["Subgroups per SIMD", "Max warps/SM", "Max Waves Per Core"]).or_else(
                || {
                    // Apple: threads of a core, in subgroups of 32.
                    known.get("Threads").map(|threads| threads / 32)
                },
            ),
            instructions: first(&["Instructions", "Instruction count", "Instruction Count"]),
            hot: compiled.texts.last().and_then(|(_, text)| hot_loop(text)),
            milliseconds: compiled.time.as_millis() as u64,
        }
    }

    pub fn name(&self) -> String {
        [&self.kernel, &self.variant, &self.wide]
            .map(String::as_str)
            .join(" ")
            .trim()
            .replace("  ", " ")
    }

    /// What must not be: registers that are in memory.
    pub fn defect(&self) -> Option<String> {
        let memory = self.memory;
        (memory > 0).then(|| format!("{}: {memory} spills or bytes of local memory", self.name()))
    }

    fn line(&self) -> String {
        let text = |v: Option<u64>| v.map_or(String::new(), |v| v.to_string());
        let hot = |of: fn(&Loop) -> usize| text(self.hot.as_ref().map(|l| of(l) as u64));
        [
            self.kernel.clone(),
            self.variant.clone(),
            self.wide.clone(),
            text(self.registers),
            self.memory.to_string(),
            self.shared.to_string(),
            text(self.waves),
            text(self.instructions),
            hot(|l| l.all),
            hot(|l| l.fma),
            hot(|l| l.vector),
            self.milliseconds.to_string(),
        ]
        .join("\t")
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kernel, variant, wide, rest @ ..] = &fields[..] else {
            return None;
        };
        let number = |i: usize| rest.get(i).and_then(|n: &&str| n.parse::<u64>().ok());
        let size = |i: usize| number(i).map(|n| n as usize);
        Some(Self {
            kernel: (*kernel).into(),
            variant: (*variant).into(),
            wide: (*wide).into(),
            registers: number(0),
            memory: number(1)?,
            shared: number(2)?,
            waves: number(3),
            instructions: number(4),
            hot: size(5)
                .zip(size(6))
                .zip(size(7))
                .map(|((all, fma), vector)| Loop { all, fma, vector }),
            milliseconds: number(8)?,
        })
    }

    /// One cell: registers / waves / share of multiply-adds in the hot loop.
    fn cell(&self) -> String {
        let text = |v: Option<u64>| v.map_or("-".into(), |v| v.to_string());
        let share = self.hot.map_or("-".into(), |l| {
            let of = if l.vector > 0 { l.vector } else { l.all };
            format!("{} %", (100 * l.fma + of / 2) / of.max(1))
        });
        let memory = if self.memory > 0 {
            format!(" **{}**", self.memory)
        } else {
            String::new()
        };
        format!(
            "{} / {} / {share}{memory}",
            text(self.registers),
            text(self.waves)
        )
    }
}

/// A file of statistics: columns separated by tabs, a kernel a line.
pub fn file(rows: &[Row]) -> String {
    rows.iter().fold(format!("{COLUMNS}\n"), |mut text, row| {
        let _ = writeln!(text, "{}", row.line());
        text
    })
}

pub fn read(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().skip(1);
    lines
        .map(|l| Row::parse(l).ok_or_else(|| format!("no statistics: {l}")))
        .collect()
}

/// Markdown: a kernel a line, a GPU a column.
pub fn table(gpus: &[(String, Vec<Row>)]) -> String {
    let mut kernels: Vec<(&Row, String)> = Vec::new();
    for row in gpus.iter().flat_map(|(_, rows)| rows) {
        let name = label(row);
        if !kernels.iter().any(|(_, n)| *n == name) {
            kernels.push((row, name));
        }
    }
    kernels.sort_by(|a, b| a.1.cmp(&b.1));
    let names = gpus
        .iter()
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>()
        .join(" | ");
    let mut text = format!(
        "| kernel | shared | {names} |\n|---|---|{}\n",
        "---|".repeat(gpus.len())
    );
    for (row, name) in kernels {
        let _ = write!(text, "| `{name}` | {} |", row.shared);
        for (_, rows) in gpus {
            let found = rows.iter().find(|r| label(r) == name);
            let _ = write!(text, " {} |", found.map_or(String::new(), Row::cell));
        }
        text.push('\n');
    }
    text
}

/// Name in the table, where the kernels of all subgroup sizes share a line, and those of both wide arithmetics.
fn label(row: &Row) -> String {
    let hidden = ["SUBGROUP", "SIDE_16", "MEMORY", "WIDTH", "ACROSS"];
    let words = row
        .variant
        .split(' ')
        .filter(|w| !hidden.contains(&w.split('=').next().unwrap_or_default()));
    let words: Vec<&str> = std::iter::once(row.kernel.as_str()).chain(words).collect();
    words.join(" ").trim().into()
}
