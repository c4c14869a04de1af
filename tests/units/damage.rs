//! Units that are damaged, input that changes, a folder that goes away.

use super::{ALL, cpu, dump, left, only, reference, request};
use crate::formats::folder;
use crate::outputs::{content, refused, succeed};
use chanscope::io::parts::{MARKER, Marker, Piece};
use chanscope::measure::Context;
use chanscope::units::{Selection, Share, Stage, merge, plan, status, work};
use chanscope::{Error, error::OutputProblem};
use std::path::Path;

/// Changes a file of a unit.
fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("a file of a unit");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("write");
}

#[test]
fn a_damaged_unit_is_named_and_computed_again() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &ALL);
    let device = cpu(2);
    let ctx = Context::new(&device);
    let out = dir.join("out");
    let planned = plan(&ctx, &request(dir), &out, false, 3).expect("plan");
    work(&ctx, &out, &Selection::default()).expect("work");
    let unit = |number: usize| out.join("units").join(format!("{number:05}"));
    let last = planned.units.len() - 1;
    spoil(&unit(0).join("survey.json"), |bytes| bytes[10] ^= 1);
    spoil(&unit(1).join("done.json"), |bytes| bytes.truncate(20));
    spoil(&unit(2).join("supports.bin"), |bytes| {
        bytes.truncate(bytes.len() - 1)
    });
    std::fs::remove_file(unit(3).join("sums.json")).expect("remove");
    spoil(&unit(last).join("pairs.bin"), |bytes| {
        *bytes.last_mut().unwrap() ^= 0x80
    });
    std::fs::remove_dir_all(unit(4)).expect("remove");
    let found = status(&out).expect("status");
    let damaged: Vec<usize> = found.damaged.iter().map(|d| d.unit).collect();
    assert_eq!(
        (damaged, found.missing.clone()),
        (vec![0, 1, 2, 3, last], vec![4])
    );
    assert_eq!(found.array, format!("0-4,{last}"));
    let problem = match merge(&out, false) {
        Err(Error::Output { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let (missing, damaged) = ("4".to_string(), format!("0-3,{last}"));
    assert_eq!(problem, OutputProblem::Units { missing, damaged });
    refused(dir, &["merge", "out"], &["4,0-3", "chanscope work out"]);
    // Overlaps need what is damaged.
    let wrong = work(&ctx, &out, &only(Stage::Overlap, Share::All));
    assert!(wrong.is_err());
    let done = work(&ctx, &out, &Selection::default()).expect("work");
    assert_eq!(done.computed, [0, 1, 2, 3, 4, last]);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}

#[test]
fn a_flipped_byte_of_a_support_is_never_used() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let device = cpu(2);
    let ctx = Context::new(&device);
    let out = dir.join("out");
    plan(&ctx, &request(dir), &out, false, 2).expect("plan");
    work(&ctx, &out, &only(Stage::Graphs, Share::All)).expect("work");
    // Of the same length, so that only reading it tells.
    spoil(&out.join("units/00002/supports.bin"), |bytes| bytes[3] ^= 4);
    let refused = work(&ctx, &out, &only(Stage::Overlap, Share::All)).expect_err("damaged");
    assert!(
        refused.to_string().contains("units/00002/supports.bin"),
        "{refused}"
    );
    assert!(status(&out).expect("status").missing.len() >= 2);
}

#[test]
fn input_that_is_not_what_it_was_is_refused() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    succeed(
        dir,
        &[&["plan"], &ALL[..], &["--units", "2", "--out", "out"]].concat(),
    );
    let original = std::fs::read(dir.join("a.npy")).expect("read");
    let mut other = original.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(dir.join("a.npy"), &other).expect("write");
    refused(dir, &["work", "out"], &["a.npy"]);
    std::fs::write(dir.join("a.npy"), &original[..original.len() - 4]).expect("write");
    refused(dir, &["work", "out"], &["a.npy"]);
    std::fs::write(dir.join("a.npy"), &original).expect("write");
    let labels = std::fs::read(dir.join("l.npy")).expect("read");
    let mut other = labels.clone();
    other[200] ^= 1;
    std::fs::write(dir.join("l.npy"), other).expect("write");
    refused(dir, &["work", "out"], &["l.npy"]);
    std::fs::write(dir.join("l.npy"), labels).expect("write");
    succeed(dir, &["work", "out"]);
    succeed(dir, &["merge", "out"]);
}

#[test]
fn input_that_changes_while_a_unit_is_computed_spoils_no_unit() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let device = cpu(2);
    let ctx = Context::new(&device);
    let out = dir.join("out");
    plan(&ctx, &request(dir), &out, false, 2).expect("plan");
    let path = dir.join("b.npy");
    let change = |_: chanscope::control::Progress<'_>| {
        let mut bytes = std::fs::read(&path).expect("read");
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).expect("write");
    };
    let changing = Context::new(&device).with_progress(&change);
    let error = work(&changing, &out, &Selection::default()).expect_err("changed");
    assert!(error.to_string().contains("b.npy"), "{error}");
    assert_eq!(status(&out).expect("status").done, [] as [usize; 0]);
    let left = std::fs::read_dir(out.join("units")).expect("list").count();
    assert_eq!(left, 0, "temporary folders");
}

#[test]
fn a_folder_that_is_removed_while_it_is_used_is_an_error_and_stays_away() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let device = cpu(2);
    let ctx = Context::new(&device);
    let out = dir.join("out");
    plan(&ctx, &request(dir), &out, false, 2).expect("plan");
    let remove = |_: chanscope::control::Progress<'_>| {
        let _ = std::fs::remove_dir_all(&out);
    };
    let removing = Context::new(&device).with_progress(&remove);
    let error = work(&removing, &out, &Selection::default()).expect_err("removed");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(!out.exists());
}

/// What no run wrote is neither removed with a unit that is computed again nor with units that are replaced or merged.
#[test]
fn a_unit_that_holds_anything_else_is_refused_and_it_is_named() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let plan =
        |more: &[&'static str]| [&["plan", "a.npy", "--units", "2", "--out", "out"], more].concat();
    succeed(dir, &plan(&[]));
    succeed(dir, &["work", "out"]);
    for (foreign, is_folder) in [
        ("units/00001/thesis.tex", false),
        ("units/00001/more", true),
        ("units/notes.txt", false),
        ("units/mine", true),
    ] {
        let path = dir.join("out").join(foreign);
        match is_folder {
            true => std::fs::create_dir(&path),
            false => std::fs::write(&path, "mine"),
        }
        .expect("make");
        let marker = dir.join("out/units/00001/done.json");
        let kept = std::fs::read(&marker).expect("read");
        let before = content(&dir.join("out"));
        let named = format!(" {foreign},");
        refused(dir, &["merge", "out"], &[&named]);
        refused(dir, &plan(&["--force"]), &[&named]);
        refused(
            dir,
            &["redundancy", "a.npy", "--out", "out", "--force"],
            &[&named],
        );
        assert!(content(&dir.join("out")) == before, "{foreign}");
        if foreign.starts_with("units/00001/") {
            std::fs::write(&marker, "damaged").expect("write");
            refused(dir, &["work", "out"], &[&named]);
            std::fs::write(&marker, kept).expect("write");
            assert!(content(&dir.join("out")) == before, "{foreign}");
        }
        match is_folder {
            true => std::fs::remove_dir(&path),
            false => std::fs::remove_file(&path),
        }
        .expect("remove");
    }
    succeed(dir, &["merge", "out"]);
}

/// A folder from somebody else, in which the units, or one of them, is a link.
#[cfg(unix)]
#[test]
fn units_behind_a_link_are_neither_computed_nor_removed() {
    use std::os::unix::fs::symlink;
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    succeed(dir, &["plan", "a.npy", "--units", "2", "--out", "out"]);
    let units = dir.join("out/units");
    std::fs::create_dir_all(dir.join("mine/00001")).expect("folder");
    std::fs::write(dir.join("mine/00001/thesis.tex"), "mine").expect("write");
    let before = content(&dir.join("mine"));
    std::fs::remove_dir(&units).expect("remove");
    symlink("../mine", &units).expect("link");
    refused(dir, &["work", "out"], &["units", "no folder"]);
    refused(dir, &["merge", "out"], &["units"]);
    refused(
        dir,
        &["plan", "a.npy", "--units", "2", "--out", "out", "--force"],
        &[" units,"],
    );
    assert!(content(&dir.join("mine")) == before);
    // Of a link in the place of one unit only the link goes.
    std::fs::remove_file(&units).expect("remove");
    std::fs::create_dir(&units).expect("folder");
    symlink("../../mine/00001", units.join("00001")).expect("link");
    assert_eq!(status(&dir.join("out")).expect("status").damaged.len(), 1);
    refused(dir, &["merge", "out"], &[" units/00001,"]);
    succeed(dir, &["work", "out"]);
    succeed(dir, &["merge", "out"]);
    assert!(content(&dir.join("mine")) == before);
}

/// Changes a file of a unit and makes its checksum right, as somebody could who wants to be believed.
fn forge(unit: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    spoil(&unit.join(name), change);
    let bytes = std::fs::read(unit.join(name)).expect("read");
    spoil(&unit.join(MARKER), |text| {
        let mut marker: Marker = serde_json::from_slice(text).expect("a marker");
        let file = marker.files.iter_mut().find(|f| f.name == name);
        let file = file.expect("the file");
        let piece = |bytes: &[u8]| Piece {
            bytes: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        };
        if file.bytes() != bytes.len() as u64 {
            file.pieces = vec![piece(&bytes)];
        }
        let mut rest = &bytes[..];
        for old in &mut file.pieces {
            let (own, later) = rest.split_at(old.bytes as usize);
            (*old, rest) = (piece(own), later);
        }
        *text = serde_json::to_vec(&marker).expect("JSON");
    });
}

#[test]
fn sums_and_supports_that_nobody_computed_are_refused() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let device = cpu(1);
    let ctx = Context::new(&device);
    let out = dir.join("out");
    let planned = plan(&ctx, &request(dir), &out, false, 1).expect("plan");
    let names = |stage| planned.stage(stage).map(|u| u.name()).collect::<Vec<_>>();
    let (graphs, overlaps) = (names(Stage::Graphs), names(Stage::Overlap));
    let unit = |name: &str| out.join("units").join(name);
    work(&ctx, &out, &Selection::default()).expect("work");
    let refuses = |name: &str, merged: bool| {
        assert!(status(&out).expect("status").damaged.is_empty());
        let said = match merged {
            true => merge(&out, true).map(drop),
            false => work(&ctx, &out, &only(Stage::Overlap, Share::All)).map(drop),
        };
        let said = said.expect_err("refused").to_string();
        assert!(said.contains(name) && said.contains("again"), "{said}");
    };
    let restore = |name: &str| {
        std::fs::remove_dir_all(unit(name)).expect("remove");
        work(&ctx, &out, &Selection::default()).expect("work");
    };
    // Sums of other samples, a matrix of fewer, and a channel less.
    forge(&unit(&graphs[0]), "totals.bin", |bytes| bytes.fill(0xff));
    refuses("totals.bin", true);
    restore(&graphs[0]);
    forge(&unit(&graphs[1]), "grams.bin", |bytes| {
        bytes.truncate(bytes.len() - 8);
    });
    refuses("grams.bin", true);
    restore(&graphs[1]);
    forge(&unit(&graphs[1]), "survey.json", |bytes| {
        let text = String::from_utf8_lossy(bytes).replacen("false,", "", 1);
        *bytes = text.into_bytes();
    });
    refuses("survey.json", true);
    restore(&graphs[1]);
    // More queries than the unit has; a billion times the largest sum.
    forge(&unit(&overlaps[0]), "pairs.bin", |bytes| bytes.fill(0xff));
    refuses("unions.json", true);
    restore(&overlaps[0]);
    forge(&unit(&graphs[2]), "sums.json", |bytes| {
        let text = String::from_utf8_lossy(bytes).replacen("\"count\":", "\"count\":9", 1);
        *bytes = text.into_bytes();
    });
    refuses("sums.json", true);
    restore(&graphs[2]);
    // The first support has a member that is no sample, or one twice.
    let size = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    for wrong in [i32::MAX.to_le_bytes(), (-7i32).to_le_bytes()] {
        std::fs::remove_dir_all(unit(&overlaps[0])).expect("remove");
        forge(&unit(&graphs[2]), "supports.bin", |bytes| {
            assert!(size(bytes) > 0, "a support with members");
            // Behind the sizes of 45 queries, of which each layer measures one less.
            bytes[2 * 44..][..4].copy_from_slice(&wrong);
        });
        refuses("supports.bin", false);
        std::fs::remove_dir_all(unit(&graphs[2])).expect("remove");
        work(&ctx, &out, &Selection::default()).expect("work");
    }
    merge(&out, false).expect("what was computed");
}
