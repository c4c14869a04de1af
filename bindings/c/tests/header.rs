//! The committed header is what cbindgen makes of the sources.

use std::path::Path;

#[test]
fn the_header_follows_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut sources: Vec<_> = std::fs::read_dir(root.join("src"))
        .expect("src")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("lib.rs"))
        .collect();
    sources.sort();
    let builder = (sources.iter()).fold(cbindgen::Builder::new().with_config(config), |b, s| {
        b.with_src(s)
    });
    let mut made = vec![];
    builder.generate().expect("a header").write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");
    let path = root.join("include/chanscope.h");
    if std::env::var_os("CHANSCOPE_BLESS").is_some() {
        std::fs::write(&path, &made).expect("write");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "include/chanscope.h is not what the sources say: run the tests with CHANSCOPE_BLESS=1"
    );
}
