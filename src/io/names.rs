//! Layer names that are safe as file names.

use std::collections::HashSet;

/// Longest name, in bytes: leaves room for suffixes below the 255 of common file systems.
const MAX_LEN: usize = 120;

/// Device names that Windows keeps for itself, whatever the extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Makes names unique and safe. Names are compared without case, as some file systems do.
#[derive(Debug, Default)]
pub struct Namer {
    taken: HashSet<String>,
}

impl Namer {
    /// No name taken yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `name` for another use; a layer of that name gets a number.
    pub fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_ascii_lowercase());
    }

    /// The name of the layer called `raw`: [`sanitize`]d, with `_2`, `_3`, ... where it is taken.
    pub fn name(&mut self, raw: &str) -> String {
        let base = sanitize(raw);
        let mut name = base.clone();
        let mut number = 2u64;
        while !self.taken.insert(name.to_ascii_lowercase()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }

    /// As [`Namer::name`], from the key of a weight tensor: `conv1` for `conv1.weight`.
    pub fn module(&mut self, key: &str) -> String {
        self.name(module_path(key))
    }
}

/// The module a weight belongs to: `conv1` for `conv1.weight`; other keys as they are.
pub fn module_path(key: &str) -> &str {
    match key.strip_suffix(".weight") {
        Some(module) if !module.is_empty() => module,
        _ => key,
    }
}

/// One name: `/` becomes `.`, leading dots go, anything outside `[A-Za-z0-9._-]` becomes `_`. What is
/// left of a longer name is its first 120 bytes; an empty one becomes `layer`; a trailing dot and the names
/// Windows reserves get an underscore.
pub fn sanitize(raw: &str) -> String {
    let dotted = raw.replace('/', ".");
    let mut name: String = dotted
        .trim_start_matches('.')
        .chars()
        .map(|c| match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .take(MAX_LEN)
        .collect();
    if name.is_empty() {
        return "layer".into();
    }
    if name.ends_with('.') {
        name.pop();
        name.push('_');
    }
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let numbered = |port: &str| {
        stem.len() == 4 && stem.starts_with(port) && stem.ends_with(|c: char| c.is_ascii_digit())
    };
    if RESERVED.contains(&stem.as_str()) || numbered("com") || numbered("lpt") {
        name.insert(stem.len(), '_');
    }
    name
}
