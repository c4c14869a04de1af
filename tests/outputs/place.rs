//! Output folders of every kind: links, mount points, folders in which something else lies, folders from somebody else.

use super::{chanscope, content, inputs, names, refused, succeed};
use crate::formats::{folder, write};
use serde_json::json;
use std::fs;

#[test]
fn force_refuses_a_folder_that_holds_anything_no_run_wrote_and_names_it() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let run = ["filters", "w.safetensors", "--out", "out"];
    succeed(dir, &run);
    let again = ["filters", "w.safetensors", "--out", "out", "--force"];
    let out = dir.join("out");
    let foreign: [(&str, &dyn Fn()); 5] = [
        ("notes.txt", &|| {
            fs::write(out.join("notes.txt"), "mine").expect("write")
        }),
        ("filters/c/mine.npy", &|| {
            fs::write(out.join("filters/c/mine.npy"), "mine").expect("write")
        }),
        ("more", &|| {
            fs::create_dir(out.join("more")).expect("folder")
        }),
        (".hidden", &|| {
            fs::write(out.join(".hidden"), "mine").expect("write")
        }),
        // A folder of the results in whose place a file lies now.
        ("filters/c", &|| {
            fs::remove_dir_all(out.join("filters/c")).expect("remove");
            fs::write(out.join("filters/c"), "").expect("write");
        }),
    ];
    for (name, make) in foreign {
        make();
        let before = content(&out);
        refused(dir, &again, &["--force", &format!(" {name},")]);
        assert!(content(&out) == before, "{name}");
        assert_eq!(names(dir), ["a.npy", "out", "w.safetensors"]);
        if out.join(name).is_dir() {
            fs::remove_dir(out.join(name)).expect("remove");
        } else {
            fs::remove_file(out.join(name)).expect("remove");
        }
    }
    // Files that are listed and missing are no reason to refuse.
    succeed(dir, &again);
    assert!(out.join("filters/c/cosine.npy").is_file());
}

#[test]
fn a_folder_of_something_else_is_never_touched() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let run = ["filters", "w.safetensors", "--out", "home", "--force"];
    fs::create_dir(dir.join("home")).expect("folder");
    write(dir, "home/thesis.tex", b"x");
    refused(dir, &run, &["thesis.tex", "--force"]);
    // A results.json of another program, one that is none, and one that lists files of the user's in other folders.
    for text in [
        "{\"schema\": \"theirs/1\"}",
        "{",
        "[]",
        "{\"schema\": \"chanscope/1\", \"files\": [\"../home/thesis.tex\"]}",
    ] {
        write(dir, "home/results.json", text.as_bytes());
        refused(dir, &run, &["--force"]);
    }
    assert_eq!(names(&dir.join("home")), ["results.json", "thesis.tex"]);
    write(dir, "file", b"x");
    refused(
        dir,
        &["filters", "w.safetensors", "--out", "file", "--force"],
        &["no folder"],
    );
    refused(
        dir,
        &["filters", "w.safetensors", "--out", "file/below"],
        &["file/below"],
    );
    assert_eq!(fs::read(dir.join("file")).expect("read"), b"x");
}

#[cfg(unix)]
#[test]
fn a_received_folder_cannot_make_force_delete_anything_outside() {
    use std::os::unix::fs::symlink;
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir(dir.join("mine")).expect("folder");
    write(dir, "mine/t", b"mine");
    let run = ["filters", "w.safetensors", "--out", "out", "--force"];
    let received = |files: serde_json::Value| {
        let _ = fs::remove_dir_all(dir.join("out"));
        fs::create_dir(dir.join("out")).expect("folder");
        let results = json!({"schema": "chanscope/1", "command": "filters", "files": files});
        write(dir, "out/results.json", results.to_string().as_bytes());
    };
    // Through a link to a folder, through one to a file, by a name that leaves the folder, by an absolute one.
    received(json!(["l/t"]));
    symlink("../mine", dir.join("out/l")).expect("link");
    refused(dir, &run, &[" l,"]);
    received(json!(["t"]));
    symlink("../mine/t", dir.join("out/t")).expect("link");
    refused(dir, &run, &[" t,"]);
    received(json!(["../mine/t", dir.join("mine/t"), ""]));
    succeed(dir, &run);
    // results.json itself is a link to one that lists files.
    received(json!(["t"]));
    fs::rename(dir.join("out/results.json"), dir.join("elsewhere.json")).expect("move");
    symlink("../elsewhere.json", dir.join("out/results.json")).expect("link");
    write(dir, "out/t", b"not known");
    refused(dir, &run, &["--force"]);
    // A pipe in its place is not waited for.
    fs::remove_file(dir.join("out/results.json")).expect("remove");
    let made = std::process::Command::new("mkfifo")
        .arg(dir.join("out/results.json"))
        .status();
    assert!(made.expect("mkfifo").success());
    refused(dir, &run, &["--force"]);
    // The hidden folder of a run is a link, or holds a journal that names what is outside.
    for journal in [
        json!({"old": ["../mine"], "new": []}),
        json!({"old": [], "new": ["../../mine/t"]}),
        json!({"old": [dir.join("mine")], "new": []}),
        json!({"old": [".chanscope"], "new": []}),
        json!({"old": [".."], "new": ["."]}),
        json!([]),
    ] {
        received(json!([]));
        fs::create_dir(dir.join("out/.chanscope")).expect("folder");
        write(
            dir,
            "out/.chanscope/journal",
            journal.to_string().as_bytes(),
        );
        refused(dir, &run, &["journal"]);
        refused(dir, &["report", "out"], &["journal"]);
    }
    received(json!([]));
    fs::create_dir(dir.join("out/.chanscope")).expect("folder");
    symlink("../../mine", dir.join("out/.chanscope/new")).expect("link");
    write(
        dir,
        "out/.chanscope/journal",
        json!({"old": [], "new": ["t"]}).to_string().as_bytes(),
    );
    refused(dir, &run, &["journal"]);
    received(json!([]));
    symlink("../mine", dir.join("out/.chanscope")).expect("link");
    refused(dir, &run, &[".chanscope"]);
    received(json!([]));
    fs::create_dir(dir.join("out/.chanscope")).expect("folder");
    symlink("../../mine/t", dir.join("out/.chanscope/lock")).expect("link");
    refused(dir, &run, &["cannot lock"]);
    assert_eq!(fs::read(dir.join("mine/t")).expect("read"), b"mine");
    assert_eq!(names(&dir.join("mine")), ["t"]);
}

/// What a journal names and no run wrote is not deleted with the earlier results.
#[test]
fn a_journal_cannot_make_a_run_delete_what_no_run_wrote() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir_all(dir.join("out/.chanscope/new")).expect("folder");
    write(dir, "out/thesis.tex", b"mine");
    let journal = json!({"old": ["thesis.tex"], "new": []});
    write(
        dir,
        "out/.chanscope/journal",
        journal.to_string().as_bytes(),
    );
    refused(
        dir,
        &["filters", "w.safetensors", "--out", "out"],
        &["not empty"],
    );
    assert_eq!(fs::read(dir.join("out/thesis.tex")).expect("read"), b"mine");
    assert_eq!(names(&dir.join("out")), ["thesis.tex"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_stays_and_leads_to_the_new_results() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir(dir.join("disk")).expect("folder");
    std::os::unix::fs::symlink("disk", dir.join("out")).expect("link");
    for force in [None, Some("--force")] {
        let args = ["filters", "w.safetensors", "--out", "out"]
            .into_iter()
            .chain(force);
        succeed(dir, &args.collect::<Vec<_>>());
        assert!(dir.join("out").is_symlink());
        assert_eq!(
            names(&dir.join("disk")),
            ["filters", "report.html", "results.json"]
        );
    }
    std::os::unix::fs::symlink("nowhere", dir.join("dangling")).expect("link");
    refused(
        dir,
        &["filters", "w.safetensors", "--out", "dangling"],
        &["no folder"],
    );
    assert_eq!(
        names(dir),
        ["a.npy", "dangling", "disk", "out", "w.safetensors"]
    );
}

#[cfg(unix)]
#[test]
fn the_new_folder_has_the_permissions_of_the_old_one() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir(dir.join("out")).expect("folder");
    fs::set_permissions(dir.join("out"), fs::Permissions::from_mode(0o2751)).expect("permissions");
    succeed(dir, &["filters", "w.safetensors", "--out", "out"]);
    let mode = fs::metadata(dir.join("out"))
        .expect("out")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o2751);
}

#[test]
fn a_folder_that_one_works_in_stays_the_same_folder() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir(dir.join("out")).expect("folder");
    for force in [None, Some("--force")] {
        let out = chanscope(&dir.join("out"))
            .args(["filters", "../w.safetensors", "--out", "."])
            .args(force)
            .output()
            .expect("run");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(
            names(&dir.join("out")),
            ["filters", "report.html", "results.json"]
        );
    }
}

/// A file system mounted at the output folder, where unprivileged namespaces allow mounting one.
#[cfg(target_os = "linux")]
#[test]
fn a_mount_point_takes_results() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    fs::create_dir(dir.join("out")).expect("folder");
    let shell = |script: &str| {
        std::process::Command::new("unshare")
            .current_dir(dir)
            .args(["-rm", "sh", "-ec", script])
            .arg(assert_cmd::cargo::cargo_bin("chanscope"))
            .output()
    };
    let mount = "mount -t tmpfs none out";
    if !shell(mount).is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: nothing can be mounted here (unshare -rm)");
        return;
    }
    for mount in [mount, "mkdir -p real; mount --bind real out"] {
        let run = "\"$0\" --device cpu --quiet filters w.safetensors --out out";
        let script = format!("{mount}; {run} >&2; {run} --force >&2; ls -A out");
        let out = shell(&script).expect("run");
        let (text, error) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        assert_eq!(text, "filters\nreport.html\nresults.json\n", "{error}");
    }
}

#[test]
fn missing_folders_are_made_and_removed_after_a_failure() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    succeed(dir, &["filters", "w.safetensors", "--out", "x/y/z"]);
    assert_eq!(names(&dir.join("x/y")), ["z"]);
    write(
        dir,
        "bad.npy",
        &crate::formats::npy_bytes("<f4", "(2, 1, 1, 1)", &[0, 0, 192, 127, 0, 0, 0, 0]),
    );
    refused(dir, &["redundancy", "bad.npy", "--out", "p/q/r"], &["NaN"]);
    assert_eq!(names(dir), ["a.npy", "bad.npy", "w.safetensors", "x"]);
}

#[test]
fn weights_go_outside_of_the_results_and_never_onto_the_input() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let run = |target: &str, part: &str| {
        let args = [
            "filters",
            "w.safetensors",
            "--out",
            "out",
            "--minimize",
            "2",
            "--write",
            target,
        ];
        refused(dir, &args, &[part, target]);
        assert_eq!(names(dir), ["a.npy", "out", "w.safetensors"]);
    };
    fs::create_dir(dir.join("out")).expect("folder");
    run("out/new.safetensors", "folder for the results");
    run("./out/../out/new.safetensors", "folder for the results");
    run("w.safetensors", "the input itself");
    run("missing/new.safetensors", "cannot write");
    run("out/", "");
    assert_eq!(names(&dir.join("out")), [] as [&str; 0]);
}

#[test]
fn a_report_is_not_made_while_a_run_writes() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    succeed(dir, &["filters", "w.safetensors", "--out", "out"]);
    let before = content(&dir.join("out"));
    let output = chanscope::io::sink::Output::create(dir.join("out"), true).expect("taken");
    refused(dir, &["report", "out"], &["another run"]);
    drop(output);
    assert!(content(&dir.join("out")) == before);
    succeed(dir, &["report", "out"]);
    let kept = |mut files: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        assert!(files.remove(std::path::Path::new("report.html")).is_some());
        files
    };
    assert!(kept(content(&dir.join("out"))) == kept(before));
    // A dump has no report among its files; with one it can still be replaced.
    let [model, data] = super::network().map(|p| p.to_str().expect("path").to_string());
    succeed(dir, &["run", &model, &data, "--dump", "dump"]);
    succeed(dir, &["report", "dump"]);
    succeed(dir, &["run", &model, &data, "--dump", "dump", "--force"]);
    assert!(!dir.join("dump/report.html").exists());
}
