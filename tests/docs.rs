//! Documents: every reference to a section, and every relative link, leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing written by hand.
const GENERATED: [&str; 4] = ["target", "build", "dist", "shared"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Text files of the repository, by their path from its root.
fn texts() -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let hidden = name.starts_with('.') && name != ".github";
            if hidden || path.is_symlink() || GENERATED.contains(&name.as_ref()) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let inside = path.strip_prefix(root()).expect("below the root");
                texts.insert(inside.to_path_buf(), text);
            }
        }
    }
    texts
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "md")
}

/// The lines of a Markdown file outside of fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((number, line))
    })
}

/// Anchors of the headings of a Markdown file, as hosting sites make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let words = title.trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let base: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut anchor = base.clone();
        let mut number = 1;
        while !anchors.insert(anchor) {
            anchor = format!("{base}-{number}");
            number += 1;
        }
    }
    anchors
}

/// References such as `docs/x.md#section` in a line, wherever they stand.
fn references(line: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let mut found = Vec::new();
    for (at, _) in line.match_indices(".md") {
        let before = line[..at].rfind(|c| !part(c));
        let start = before.map_or(0, |i| {
            i + line[i..].chars().next().map_or(1, char::len_utf8)
        });
        let rest = &line[at + 3..];
        let anchor = rest.strip_prefix('#').map_or(0, |rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
            1 + end.unwrap_or(rest.len())
        });
        let reference = &line[start..at + 3 + anchor];
        let url = line[..start].ends_with(':');
        if !url && start < at && (anchor > 0 || reference.starts_with("docs/")) {
            found.push(reference);
        }
    }
    found
}

/// Targets of the links and pictures in a line of Markdown that stay inside the repository.
fn links(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', ' ']).next());
    targets
        .filter(|t| !t.contains("://") && !t.starts_with("mailto:"))
        .collect()
}

/// What a reference from `file` leads to: `None` where there is nothing.
fn resolve(file: &Path, target: &str, anchored: &dyn Fn(&Path, &str) -> bool) -> bool {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() {
        return anchored(file, anchor);
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    [folder.join(path), PathBuf::from(path)]
        .iter()
        .any(|path| anchored(&plain(path), anchor))
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// References of `text` that lead nowhere.
fn broken(file: &Path, text: &str, anchored: &dyn Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    let mut check = |number: usize, target: &str| {
        if !resolve(file, target, anchored) {
            broken.push(format!("{}:{number}: {target}", file.display()));
        }
    };
    for (number, line) in (1..).zip(text.lines()) {
        references(line).into_iter().for_each(|r| check(number, r));
    }
    if is_markdown(file) {
        for (number, line) in prose(text) {
            links(line).into_iter().for_each(|l| check(number, l));
        }
    }
    broken.sort();
    broken.dedup();
    broken
}

#[test]
fn every_reference_to_a_document_resolves() {
    let texts = texts();
    let anchored = |path: &Path, anchor: &str| match texts.get(path) {
        Some(text) if is_markdown(path) && !anchor.is_empty() => anchors(text).contains(anchor),
        _ => root().join(path).exists(),
    };
    let mut wrong = Vec::new();
    let mut cited = BTreeSet::new();
    for (file, text) in &texts {
        // This file holds broken references on purpose.
        if file == Path::new("tests/docs.rs") {
            continue;
        }
        wrong.extend(broken(file, text, &anchored));
        if !is_markdown(file) {
            let all = text.lines().flat_map(references);
            cited.extend(all.filter_map(|r| r.strip_prefix("docs/definitions.md#")));
        }
    }
    assert!(wrong.is_empty(), "lead nowhere:\n{}", wrong.join("\n"));
    // The chapters of the specification are those that the code cites.
    for chapter in [
        "candidates",
        "kernels",
        "nnk",
        "channel-graphs",
        "convolutional-similarity",
        "shuffling",
        "impulse-response",
        "baselines",
    ] {
        assert!(cited.contains(chapter), "nothing cites {chapter}");
    }
}

#[test]
fn definitions_are_cited_by_name() {
    let numbered = |line: &str| {
        let line = line.to_lowercase();
        line.contains("definition")
            && line.split("section").skip(1).any(|rest| {
                rest.trim_start_matches(['s', ' '])
                    .starts_with(|c: char| c.is_ascii_digit())
            })
    };
    assert!(numbered("as in the definitions, section 4"));
    assert!(numbered("Sections 2 and 3 of the definitions"));
    assert!(!numbered(
        "label interpolation (arXiv 2110.11400, section 4)"
    ));
    for (file, text) in texts() {
        if file == Path::new("tests/docs.rs") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            assert!(
                !numbered(line),
                "{}:{number} cites a section by number: {line}",
                file.display()
            );
        }
    }
}

#[test]
fn references_that_lead_nowhere_are_found() {
    let anchored = |path: &Path, anchor: &str| {
        let text = "# Page\n## One two\n```\n# not a heading\n```\n## One two\n### `x` and y!\n";
        match path.to_str() {
            Some("docs/page.md") => anchor.is_empty() || anchors(text).contains(anchor),
            Some("README.md" | "docs/other.png") => anchor.is_empty(),
            _ => false,
        }
    };
    let of = |file: &str, text: &str| broken(Path::new(file), text, &anchored);
    let sound =
        "docs/page.md#page docs/page.md#one-two docs/page.md#one-two-1 docs/page.md#x-and-y";
    assert!(of("src/a.rs", sound).is_empty());
    assert!(
        of(
            "src/a.rs",
            "https://example.org/docs/none.md#none and ./x.md"
        )
        .is_empty()
    );
    let wrong = [
        "docs/page.md#three",
        "docs/page.md#not-a-heading",
        "docs/none.md",
    ];
    for (i, text) in wrong.iter().enumerate() {
        assert_eq!(
            of("src/a.rs", &format!("\n({text}).")),
            [format!("src/a.rs:2: {text}")],
            "{i}"
        );
    }
    let sound = "[a](page.md#one-two) ![b](other.png) [c](../README.md) [d](https://x.org/y)";
    assert!(of("docs/page.md", sound).is_empty());
    assert!(of("docs/page.md", "[a](#one-two)\n```\n[b](nothing)\n```").is_empty());
    for text in [
        "[a](nothing.png)",
        "[a](#three)",
        "[a](page.md#three)",
        "[a](../page.md)",
    ] {
        assert_eq!(of("docs/page.md", text).len(), 1, "{text}");
    }
}
