//! Shader text to WGSL. Shader files have four line directives: `#import NAME` inserts a file of
//! `shaders/shared/`, the first time it is met; `#ifdef NAME` and `#ifndef NAME`, with an optional
//! `#else`, up to `#endif`, keep lines if the host defines the name, or does not. Definitions with a
//! value become constants at the start of the text, because arrays in registers need sizes that are
//! known at compile time. `enable` lines are moved to the very start, where WGSL requires them.

use super::Define;
use std::collections::HashSet;

/// Names and texts of files of `shaders/shared/`.
macro_rules! shared {
    ($($name:literal,)*) => {
        &[$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/shared/", $name, ".wgsl")),
        ),)*]
    };
}

/// All files that can be imported.
pub(super) const SHARED: &[(&str, &str)] = shared![
    "ceiling_params",
    "conv2d_shape",
    "distance",
    "erf",
    "exp",
    "filters_half_lags",
    "filters_partners",
    "filters_pass",
    "gram_exactness",
    "gram_half_params",
    "gram_params",
    "half_product",
    "half_tile",
    "infinity",
    "knn_bounds",
    "knn_frame",
    "knn_half_params",
    "knn_lists",
    "knn_pack_params",
    "knn_progress",
    "knn_rows_params",
    "knn_search",
    "log",
    "lower_triangle",
    "nnk_active_set",
    "nnk_common",
    "nnk_descent",
    "nnk_factor",
    "nnk_memory",
    "nnk_pause",
    "nnk_solver",
    "nnk_tile",
    "scaled",
    "tile",
    "tile_differences",
    "tile_load",
    "tile_products",
    "trigonometry",
    "upper_triangle",
    "wide",
    "workgroup",
];

/// Resolves the directives of a shader.
///
/// # Errors
/// A text that names the line, for directives that do not match or an unknown import.
pub(in crate::gpu) fn expand(source: &str, defines: &[Define]) -> Result<String, String> {
    let mut out = String::new();
    for (name, value) in defines {
        if let Some(value) = value {
            out += &format!("const {name} = {value}u;\n");
        }
    }
    let mut imported = HashSet::new();
    expand_into(source, defines, &mut imported, &mut out)?;
    let (enables, rest): (Vec<&str>, Vec<&str>) =
        out.lines().partition(|line| line.starts_with("enable "));
    Ok(enables
        .into_iter()
        .chain(rest)
        .flat_map(|line| [line, "\n"])
        .collect())
}

fn expand_into<'a>(
    source: &'a str,
    defines: &[Define],
    imported: &mut HashSet<&'a str>,
    out: &mut String,
) -> Result<(), String> {
    // One entry per open #ifdef: whether the current branch is kept.
    let mut kept: Vec<bool> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or("");
        let name = words.next().unwrap_or("");
        let defined = defines.iter().any(|(d, _)| *d == name);
        let alive = kept.iter().all(|&k| k);
        match word {
            "#ifdef" => kept.push(defined),
            "#ifndef" => kept.push(!defined),
            "#else" => match kept.last_mut() {
                Some(last) => *last = !*last,
                None => return Err(format!("line {}: #else without #ifdef", number + 1)),
            },
            "#endif" => {
                kept.pop()
                    .ok_or_else(|| format!("line {}: #endif without #ifdef", number + 1))?;
            }
            "#import" if alive && imported.insert(name) => {
                let shared = SHARED.iter().find(|(n, _)| *n == name);
                let (_, text) = shared
                    .ok_or_else(|| format!("line {}: no shared file '{name}'", number + 1))?;
                expand_into(text, defines, imported, out)?;
            }
            "#import" => {}
            _ if alive => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    match kept.is_empty() {
        true => Ok(()),
        false => Err("#ifdef without #endif".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives() {
        let source = "a\n#ifdef X\nb\n#ifndef Y\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf";
        assert_eq!(expand(source, &[]).as_deref(), Ok("a\ne\nf\n"));
        assert_eq!(
            expand(source, &[("X", None)]).as_deref(),
            Ok("a\nb\nc\nf\n")
        );
        let both = expand(source, &[("X", Some(3)), ("Y", None)]);
        assert_eq!(both.as_deref(), Ok("const X = 3u;\na\nb\nd\nf\n"));
        assert!(expand("#ifdef X", &[]).is_err());
        assert!(expand("#endif", &[]).is_err());
        assert!(expand("#import nothing", &[]).is_err());
    }

    #[test]
    fn extensions_come_first() {
        let source = "enable f16;\na\n";
        let expanded = expand(source, &[("X", Some(3))]);
        assert_eq!(expanded.as_deref(), Ok("enable f16;\nconst X = 3u;\na\n"));
    }

    #[test]
    fn imports_once() {
        let twice = expand("#import workgroup\n#import workgroup\n", &[]);
        let once = expand("#import workgroup\n", &[]);
        assert!(once.is_ok() && once == twice);
    }
}
