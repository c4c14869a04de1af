//! The library's words: it names parameters, never options of the command line, and knows no exit codes.

use std::path::{Path, PathBuf};

/// String literals of Rust source with the lines they begin in. Comments are not searched.
fn literals(source: &str) -> Vec<(usize, String)> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or(' ');
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < text.len() {
        let begin = (i, line);
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < text.len() && at(i) != '\n' {
                    i += 1;
                }
                continue;
            }
            ('\'', '\\') => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
            }
            ('\'', _) if at(i + 2) == '\'' => i += 2,
            ('"', _) => {
                let hashes = text[..i].iter().rev().take_while(|&&c| c == '#').count();
                let raw = i > hashes && at(i - hashes - 1) == 'r';
                i += 1;
                let first = i;
                let ends = |i: usize| !raw || (1..=hashes).all(|n| at(i + n) == '#');
                while i < text.len() && !(at(i) == '"' && ends(i)) {
                    i += usize::from(at(i) == '\\' && !raw) + 1;
                }
                let end = i.min(text.len());
                found.push((begin.1, text[first..end].iter().collect()));
            }
            _ => {}
        }
        i += 1;
        line += text[begin.0..i.min(text.len())]
            .iter()
            .filter(|&&c| c == '\n')
            .count();
    }
    found
}

/// Whether a text names an option, such as `--memory`.
fn names_an_option(text: &str) -> bool {
    text.match_indices("--").any(|(i, _)| {
        let before = text[..i].chars().next_back();
        let after = text[i + 2..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '-')
            && after.is_some_and(|c| c.is_ascii_lowercase())
    })
}

/// Rust sources of the library: all of `src` but the command line.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut open, mut found) = (vec![root.clone()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder of the repository") {
            let path = entry.expect("entry").path();
            if path == root.join("cli") || path == root.join("main.rs") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_library_names_no_option_and_no_exit_code() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} sources", sources.len());
    let mut found = Vec::new();
    for path in sources {
        let source = std::fs::read_to_string(&path).expect("source");
        for (line, text) in literals(&source) {
            if names_an_option(&text) || text.to_lowercase().contains("exit code") {
                found.push(format!("{}:{line}: {text}", path.display()));
            }
        }
        for word in ["ExitCode", "process::exit", "exit_code"] {
            if source.contains(word) {
                found.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn literals_are_found_and_comments_are_not() {
    let source =
        "let a = \"one\"; // \"no\"\n'\"'; '\\''; r#\"two \"x\" \\\"#; &'a str;\n\"th\\\"ree\"";
    let found = literals(source);
    let expected = [(1, "one"), (2, "two \"x\" \\"), (3, "th\\\"ree")];
    assert_eq!(
        found
            .iter()
            .map(|(l, t)| (*l, t.as_str()))
            .collect::<Vec<_>>(),
        expected
    );
    for (text, option) in [
        ("use --device cpu", true),
        ("--force", true),
        ("'--memory'", true),
        ("a -- b", false),
        ("-------", false),
        ("var(--bg)", true),
        ("a--b", false),
    ] {
        assert_eq!(names_an_option(text), option, "{text}");
    }
}
