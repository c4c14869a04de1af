//! The JSON Schema of `results.json`, generated from the types in [`super::results`].
//!
//! The file in `docs/` is a product of these types. `CHANSCOPE_WRITE_SCHEMA=1 cargo test --lib schema` writes
//! it again; without the variable, the test fails where the file differs.

use super::results::Results;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use std::path::Path;

/// Everything in `results.json`.
#[derive(JsonSchema)]
#[schemars(title = "results.json of chanscope")]
#[expect(dead_code, reason = "only its schema is used")]
struct Written {
    #[serde(flatten)]
    results: Results,
    /// The other files in the folder, sorted, with `/` between folders. Absent in what `--json` prints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

/// The schema of what this version writes, as the text of the file.
fn generate() -> String {
    let generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let schema = generator.into_root_schema_for::<Written>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}

#[test]
fn the_schema_file_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/results.schema.json");
    let schema = generate();
    if std::env::var_os("CHANSCOPE_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, schema).expect("docs can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == schema,
        "docs/results.schema.json differs from the types; run this test with CHANSCOPE_WRITE_SCHEMA=1 to write it"
    );
}
