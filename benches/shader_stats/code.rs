//! The hot loop of a kernel, found in the text of its machine instructions as Mesa's drivers print it.

use std::collections::HashMap;

/// Instructions of a loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    pub all: usize,
    /// Multiply-adds; two for an instruction that does two.
    pub fma: usize,
    /// Vector instructions (AMD): those that the multiply-adds compete with.
    pub vector: usize,
}

struct Line<'a> {
    word: &'a str,
    text: &'a str,
}

/// Of the loops with at least a quarter of the multiply-adds of the loop that has most of them, the one with the
/// largest share of multiply-adds; `None` where there is no loop with one. A compiler may have unrolled it.
pub fn hot_loop(text: &str) -> Option<Loop> {
    let (lines, labels) = parse(text);
    let ends = lines.iter().enumerate().filter_map(|(end, line)| {
        let start = labels.get(target(line)?)?;
        (*start <= end).then_some((*start, end))
    });
    let loops: Vec<Loop> = ends
        .map(|(start, end)| count(&lines[start..=end]))
        .collect();
    let most = loops.iter().map(|l| l.fma).max()?;
    let hot = loops.iter().filter(|l| l.fma > 0 && 4 * l.fma >= most);
    hot.max_by(|a, b| (a.fma * b.all).cmp(&(b.fma * a.all)))
        .copied()
}

fn is_label(word: &str) -> bool {
    let rest = word.trim_start_matches(['B', 'L', 'l']);
    rest.len() < word.len() && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())
}

/// Instructions, and for each label the index of the instruction after it.
fn parse(text: &str) -> (Vec<Line<'_>>, HashMap<&str, usize>) {
    let (mut lines, mut labels) = (Vec::new(), HashMap::new());
    for line in text.lines() {
        let text = line.split("//").next().unwrap_or_default();
        let text = text.split(';').next().unwrap_or_default().trim();
        let mut words = text.split_whitespace();
        // Of NVK: `block.u 8 L15 [7, 143] -> {`.
        if text.starts_with("block") {
            if let Some(label) = words.find(|w| is_label(w)) {
                labels.insert(label, lines.len());
            }
            continue;
        }
        // Of the others: `BB5:`, `l220:`.
        if let Some(label) = text.strip_suffix(':').filter(|l| is_label(l)) {
            labels.insert(label, lines.len());
            continue;
        }
        if let Some(word) = operation(text) {
            lines.push(Line { word, text });
        }
    }
    (lines, labels)
}

/// The name of an operation. NVK writes what it is assigned to before it, and Adreno's assembler flags, as in
/// `(ss)(rpt1)mad.f32`. Hints to the scheduler are no operations.
fn operation(text: &str) -> Option<&str> {
    let text = text.split_once(" = ").map_or(text, |(_, rest)| rest);
    let word = text.split_whitespace().find(|w| !w.starts_with('@'))?;
    let name = word.rsplit(')').next()?;
    let hints = [
        "s_delay_alu",
        "s_waitcnt",
        "s_nop",
        "s_clause",
        "s_wait",
        "nop",
    ];
    let is_hint = hints.iter().any(|h| name.starts_with(h));
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && !is_hint).then_some(name)
}

/// The label that an instruction may jump to.
fn target<'a>(line: &Line<'a>) -> Option<&'a str> {
    let jumps = ["bra", "br", "jump"].contains(&line.word)
        || line.word.starts_with("s_branch")
        || line.word.starts_with("s_cbranch");
    let words = || {
        line.text
            .split_whitespace()
            .map(|w| w.trim_start_matches('#'))
    };
    jumps.then(|| words().rfind(|w| is_label(w))).flatten()
}

/// What the names of multiply-adds start with; of AMD, NVIDIA and Adreno.
const MULTIPLY_ADDS: &[&str] = &[
    "v_fma",
    "v_dual_fma",
    "v_pk_fma",
    "v_mad_f32",
    "v_mac_f32",
    "v_wmma",
    "ffma",
    "dfma",
    "hmma",
    "hfma",
    "mad.f32",
];

fn count(lines: &[Line<'_>]) -> Loop {
    let mut sum = Loop::default();
    for line in lines {
        // Adreno repeats an instruction: (rpt2) does it three times.
        let repeats = line
            .text
            .split_once("(rpt")
            .and_then(|(_, rest)| rest.split(')').next());
        let repeats = 1 + repeats.and_then(|n| n.parse().ok()).unwrap_or(0);
        sum.all += repeats;
        let is_multiply_add = |word: &str| MULTIPLY_ADDS.iter().any(|m| word.starts_with(m));
        // AMD writes two operations of one instruction as `v_dual_.. :: v_dual_..`.
        for half in line.text.split("::") {
            let word = operation(half).unwrap_or_default();
            sum.vector += usize::from(word.starts_with("v_"));
            sum.fma += repeats * usize::from(is_multiply_add(word));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_of_three_assemblers() {
        let amd = "BB0:\n\ts_mov_b32 s0, s3 ; 00\nBB1:\n\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6 ; 00\n\
                   \tv_add_f32_e32 v1, v2, v3\n\ts_cbranch_scc0 BB1 ; bf\nBB2:\n\ts_branch BB0\n";
        assert_eq!(
            hot_loop(amd),
            Some(Loop {
                all: 3,
                fma: 2,
                vector: 3
            })
        );
        let nvidia = "block.u 0 L2 [] -> {\n      r0 = s2r sr[0x21] // delay=1\n}\nblock 8 L15 [7, 143] -> {\n\
                      @!p0 r1 = ffma r2 r3 r4 // x\n  bra pT L15 // y\n} -> [8]\n";
        assert_eq!(
            hot_loop(nvidia),
            Some(Loop {
                all: 2,
                fma: 1,
                vector: 0
            })
        );
        let adreno = "l3:\n(sy)(rpt1)mad.f32 r0.x, r1.x, r2.x, r0.x\n(jp)br !p0.y, #l3\nend\n";
        assert_eq!(
            hot_loop(adreno),
            Some(Loop {
                all: 2,
                fma: 2,
                vector: 0
            })
        );
    }
}
