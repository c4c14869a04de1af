//! Moving a finished run into its folder, in place of an earlier one, so that a failure can be undone.

use super::write::RESULTS;
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// The parts of an earlier `results.json` that matter here.
#[derive(serde::Deserialize)]
struct Earlier {
    schema: String,
    #[serde(default)]
    files: Vec<String>,
}

/// Files an earlier run wrote, from its `results.json`; `None` when that is not one of ours. Names that
/// would leave the folder are ignored.
pub(super) fn files_of(results: &Path) -> Option<Vec<String>> {
    let text = std::fs::read(results).ok()?;
    let earlier: Earlier = serde_json::from_slice(&text).ok()?;
    if !earlier.schema.starts_with("chanscope/") {
        return None;
    }
    let inside = |name: &String| {
        let mut parts = Path::new(name).components();
        !name.is_empty() && parts.all(|c| matches!(c, Component::Normal(_)))
    };
    let mut files: Vec<String> = earlier.files.into_iter().filter(inside).collect();
    files.retain(|f| f != RESULTS);
    // First to go, so that a folder half replaced never looks complete.
    files.insert(0, RESULTS.into());
    Some(files)
}

/// Moves `new` from `staging` to `folder` after putting `earlier` and whatever is in the way aside. Undoes
/// everything when a step fails.
pub(super) fn replace(
    folder: &Path,
    staging: &Path,
    earlier: &[String],
    new: &[&str],
) -> Result<()> {
    let aside = staging.join(".earlier");
    let mut moves = Moves::default();
    let done = (|| {
        for name in earlier
            .iter()
            .map(String::as_str)
            .chain(new.iter().copied())
        {
            let from = folder.join(name);
            // A folder in the place of a file is nobody's to move: renaming onto it fails below.
            if from.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
                moves.rename(from, aside.join(name))?;
            }
        }
        for name in new {
            moves.rename(staging.join(name), folder.join(name))?;
        }
        Ok(())
    })();
    if done.is_err() {
        moves.undo();
        return done;
    }
    // Folders that held only files of the earlier run.
    for name in earlier {
        for parent in Path::new(name)
            .ancestors()
            .skip(1)
            .filter(|p| !p.as_os_str().is_empty())
        {
            let _ = std::fs::remove_dir(folder.join(parent));
        }
    }
    Ok(())
}

/// Renames done so far.
#[derive(Default)]
struct Moves(Vec<(PathBuf, PathBuf)>);

impl Moves {
    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "make the folder", e))?;
        }
        std::fs::rename(&from, &to).map_err(|e| Error::io(&to, "move the finished file to", e))?;
        self.0.push((from, to));
        Ok(())
    }

    fn undo(self) {
        for (from, to) in self.0.into_iter().rev() {
            let _ = std::fs::rename(&to, &from);
            let mut made = to.ancestors().skip(1);
            while made
                .next()
                .is_some_and(|folder| std::fs::remove_dir(folder).is_ok())
            {}
        }
    }
}
