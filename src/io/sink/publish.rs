//! Putting finished results in the place of earlier ones.
//!
//! Where the new results lie in a folder beside the output folder, the two are exchanged in one step. Where that cannot
//! be (`place.rs` says when), the new files are moved into the output folder one by one, and a journal makes that as
//! good as one step: it is written when the new results are complete, and lists what to move. From then on the new
//! results are the ones that count. A run that is interrupted while it moves leaves the journal, and whoever opens the
//! folder next completes the moves.

use super::held;
use super::live::Unpublished;
use super::lock::{self, JOURNAL, WORK};
use super::names::names;
use super::write::RESULTS;
use crate::io::fs;
use crate::{Error, Result};
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

/// New results inside [`WORK`], where they are moved from there.
pub(super) const NEW: &str = "new";
/// Earlier results inside [`WORK`] while new ones are moved.
const OLD: &str = "old";

/// Most bytes of a journal. It names entries of a folder, not what is in them.
const LARGEST: u64 = 64 << 20;

/// What to move: entries of the output folder, by name.
#[derive(serde::Serialize, serde::Deserialize)]
struct Journal {
    /// Entries that are put aside, into [`OLD`].
    #[serde(deserialize_with = "names")]
    old: Vec<String>,
    /// Entries that are taken from [`NEW`] after that.
    #[serde(deserialize_with = "names")]
    new: Vec<String>,
}

/// Exchanges the folder of new results at `staging` with `folder`, and removes what was in that, but for units that are to
/// be `kept`.
///
/// # Errors
/// `Ok(false)` where the system cannot exchange folders: then nothing has happened. [`Error::Io`] where the new results
/// are in place but may not outlast a power cut.
pub(super) fn exchange(folder: &Path, staging: &Path, kept: bool) -> Result<bool> {
    if fs::exchange(folder, staging).is_err() {
        return Ok(false);
    }
    let synced = staging.parent().map_or(Ok(()), fs::sync_path);
    // The earlier results are not needed any more, but what cannot be removed now is left to the next run.
    let _ = held::discard(staging, folder, kept);
    match synced {
        Ok(()) => Ok(true),
        Err(e) => Err(Error::io(folder, "sync the folder of", e)),
    }
}

/// Moves new results from [`NEW`] into the folder that it lies in.
pub(super) fn moves(folder: &Path, kept: bool) -> Result<(), Unpublished> {
    let work = folder.join(WORK);
    let journal = Journal {
        old: entries(folder)?,
        new: entries(&work.join(NEW))?,
    };
    record(&work, &journal)?;
    let Err(error) = complete(folder, &journal, kept) else {
        return Ok(());
    };
    // As it was before; or, if not even that can be done, as the journal says, by the next run.
    let leave = undo(folder, &journal).is_err();
    Err(Unpublished { error, leave })
}

/// Completes what a run began that was interrupted in this folder, and removes what it left. The caller holds the
/// folder's lock.
pub(super) fn recover(folder: &Path) -> Result<()> {
    let work = folder.join(WORK);
    if let Some(journal) = read(&work)? {
        complete(folder, &journal, false)?;
    }
    // Removed only after the journal, so that nothing is left of the moves.
    if fs::is_folder(&work.join(OLD)) {
        held::discard(&work.join(OLD), folder, false)?;
    }
    lock::clear(folder).map_err(|e| Error::io(folder, "remove what an interrupted run left in", e))
}

/// Makes all moves that are not made yet, then removes the journal and the earlier results.
fn complete(folder: &Path, journal: &Journal, kept: bool) -> Result<()> {
    let work = folder.join(WORK);
    let (new, old) = (work.join(NEW), work.join(OLD));
    let failed = |e| Error::io(folder, "move the finished results to", e);
    if !fs::is_folder(&old) {
        fs::make_folder(&old).map_err(failed)?;
    }
    for name in &journal.old {
        let (from, to) = (folder.join(name), old.join(name));
        // What is there already was moved before the interruption; its name may be that of a new entry by now.
        if there(&from)? && !there(&to)? {
            fs::rename(&from, &to).map_err(failed)?;
        }
    }
    // No new entry comes before all old ones are away, also after a power cut.
    fs::sync_path(&old)
        .and_then(|()| fs::sync_path(folder))
        .map_err(failed)?;
    for name in &journal.new {
        let (from, to) = (new.join(name), folder.join(name));
        if there(&from)? {
            fs::rename(&from, &to).map_err(failed)?;
        }
    }
    fs::sync_path(folder)
        .and_then(|()| fs::sync_path(&new))
        .map_err(failed)?;
    fs::remove_file(&work.join(JOURNAL)).map_err(failed)?;
    // From here on only what is not needed any more is left.
    let _ = fs::sync_path(&work);
    let _ = held::discard(&old, folder, kept);
    let _ = fs::remove_folder(&new);
    Ok(())
}

/// Takes all moves back and removes the journal.
fn undo(folder: &Path, journal: &Journal) -> std::io::Result<()> {
    let work = folder.join(WORK);
    let (new, old) = (work.join(NEW), work.join(OLD));
    for name in journal.new.iter().rev() {
        if fs::look(&new.join(name))?.is_none() {
            fs::rename(&folder.join(name), &new.join(name))?;
        }
    }
    for name in journal.old.iter().rev() {
        if fs::look(&old.join(name))?.is_some() {
            fs::rename(&old.join(name), &folder.join(name))?;
        }
    }
    fs::sync_path(folder)?;
    fs::remove_file(&work.join(JOURNAL))?;
    let _ = fs::remove_folder(&old);
    Ok(())
}

/// Writes the journal whole or not at all.
fn record(work: &Path, journal: &Journal) -> Result<()> {
    let failed = |e| Error::io(work.join(JOURNAL), "write", e);
    let text = serde_json::to_vec(journal).map_err(|e| failed(e.into()))?;
    let unfinished = work.join("journal-unfinished");
    let file = fs::create_new(&unfinished).map_err(failed)?;
    fs::write_all_at(&file, &text, 0)
        .and_then(|()| fs::sync(&file))
        .and_then(|()| fs::rename(&unfinished, &work.join(JOURNAL)))
        .map_err(failed)?;
    fs::sync_path(work).map_err(|e| {
        // Without a journal the earlier results count.
        let _ = fs::remove_file(&work.join(JOURNAL));
        failed(e)
    })
}

/// The journal of a run that was interrupted while it moved its results.
fn read(work: &Path) -> Result<Option<Journal>> {
    let path = work.join(JOURNAL);
    let failed = |e| Error::io(&path, "read", e);
    match fs::look(&path).map_err(failed)? {
        Some(meta) if meta.is_file() => {}
        _ => return Ok(None),
    }
    let file = std::fs::File::open(&path).map_err(failed)?.take(LARGEST);
    let journal: Option<Journal> = serde_json::from_reader(BufReader::new(file)).ok();
    let plain = |name: &String| {
        let mut parts = Path::new(name).components();
        matches!(parts.next(), Some(Component::Normal(part)) if part != WORK)
            && parts.next().is_none()
    };
    // Only entries of this folder, whoever wrote the journal: a folder may have come from somebody else.
    let sound = |j: &Journal| {
        j.old.iter().chain(&j.new).all(plain)
            && [NEW, OLD].iter().all(|name| {
                let path = work.join(name);
                fs::is_folder(&path) || path.symlink_metadata().is_err()
            })
    };
    match journal.filter(sound) {
        Some(journal) => Ok(Some(journal)),
        None => Err(Error::malformed(
            &path,
            None,
            "is not the journal of an interrupted run; remove this file",
        )),
    }
}

/// Entries of a folder, `results.json` last.
fn entries(folder: &Path) -> Result<Vec<String>> {
    let failed = |e| Error::io(folder, "list", e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != WORK
            && let Ok(name) = name.into_string()
        {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name == RESULTS, name.clone()));
    Ok(names)
}

fn there(path: &Path) -> Result<bool> {
    let found = fs::look(path).map_err(|e| Error::io(path, "look at", e))?;
    Ok(found.is_some())
}

/// Syncs every folder in a tree, those inside first.
pub(super) fn sync_folders(root: &Path) -> Result<()> {
    let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
    let mut at = 0;
    while at < folders.len() {
        let failed = |e| Error::io(&folders[at], "list", e);
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(&folders[at]).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                inside.push(entry.path());
            }
        }
        folders.extend(inside);
        at += 1;
    }
    for folder in folders.iter().rev() {
        fs::sync_path(folder).map_err(|e| Error::io(folder, "sync", e))?;
    }
    Ok(())
}
