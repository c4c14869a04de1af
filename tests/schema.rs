//! What the commands write is what `docs/results.schema.json` and `docs/cli.md` say.

mod page;
mod runs;
mod types;

use jsonschema::Validator;
use page::{Page, Table};
use runs::{Runs, runs};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn schema() -> Value {
    serde_json::from_str(&document("results.schema.json")).expect("the schema is JSON")
}

/// The schema without room for fields that it does not name: what this version writes.
fn closed(mut schema: Value) -> Value {
    fn close(value: &mut Value) {
        match value {
            Value::Object(object) => {
                if object.contains_key("properties") {
                    object.insert("additionalProperties".into(), json!(false));
                }
                object.values_mut().for_each(close);
            }
            Value::Array(values) => values.iter_mut().for_each(close),
            _ => {}
        }
    }
    close(&mut schema);
    schema
}

fn validator() -> Validator {
    jsonschema::validator_for(&closed(schema())).expect("a sound schema")
}

fn check(validator: &Validator, name: &str, results: &Value) {
    let errors: Vec<String> = validator
        .iter_errors(results)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}:\n{}", errors.join("\n"));
}

#[test]
fn results_of_every_command_follow_the_schema() {
    let validator = validator();
    let Runs { results, .. } = runs();
    for (name, results) in results {
        check(&validator, name, results);
    }
    let commands: BTreeSet<&str> = results
        .values()
        .filter_map(|r| r["command"].as_str())
        .collect();
    let expected = [
        "ablate",
        "compare",
        "filters",
        "impulse",
        "rank",
        "redundancy",
        "run",
        "shuffle",
    ];
    assert_eq!(commands.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "the demo takes minutes without optimisation; cargo test --release runs it"
)]
fn the_demo_follows_the_schema() {
    let results = runs::demo();
    check(&validator(), "demo", &results);
    for section in ["networks", "filters", "shuffle", "impulse"] {
        assert!(results.get(section).is_some(), "{section}");
    }
    let wide = ["lenet5x10.conv1", "lenet5x10.conv2"];
    let across = &results["redundancy"]["across"];
    assert_eq!(across["layers"], json!(wide));
    assert!(!across["matches"].as_array().expect("matches").is_empty());
    let ablation = &results["ablation"];
    assert_eq!(
        (&ablation["samples"], &ablation["calibration_samples"]),
        (&json!(240), &json!(120))
    );
    let layers = ablation["layers"].as_array().expect("layers");
    let names: Vec<&Value> = layers.iter().map(|l| &l["name"]).collect();
    assert_eq!(names, wide);
    // 60 and 160 channels.
    let curves = layers.iter().map(|l| &l["curves"]);
    for curves in curves.chain([&ablation["together"]]) {
        let curves = curves.as_array().expect("curves");
        let rankings: Vec<&Value> = curves.iter().map(|c| &c["ranking"]).collect();
        assert_eq!(rankings, ["jaccard", "l1", "fpgm"]);
    }
    let points = &ablation["together"][0]["points"];
    let kept = [0.8, 0.6, 0.4, 0.2].map(|share: f64| (share * 60.0 + share * 160.0).round() as u64);
    for (at, kept) in kept.into_iter().enumerate() {
        assert_eq!(points[at]["kept"], json!(kept));
    }
}

#[test]
fn a_document_that_breaks_the_schema_is_found() {
    let validator = validator();
    let sound = &runs().results["redundancy"];
    assert!(validator.is_valid(sound));
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut document = sound.clone();
        change(&mut document);
        assert_ne!(&document, sound);
        !validator.is_valid(&document)
    };
    assert!(broken(&|d| d["version"] = json!(1)));
    assert!(broken(
        &|d| d["redundancy"]["layers"][0]["unknown"] = json!(1)
    ));
    assert!(broken(
        &|d| d["redundancy"]["layers"][0]["jaccard_mean"] = json!("0.5")
    ));
    assert!(broken(
        &|d| d["redundancy"]["layers"][0]["neighbors_mean"][0] = json!([])
    ));
    assert!(broken(&|d| {
        let layer = d["redundancy"]["layers"][0].as_object_mut().expect("layer");
        layer.remove("dead_channels");
    }));
}

#[test]
fn the_page_names_every_field_of_the_schema_and_no_other() {
    let (schema, page) = (schema(), Page::read(&document("cli.md")));
    let mut covered = BTreeSet::new();
    for table in page.fields_below("results.json") {
        let found = types::object_at(&schema, &table.title);
        let found = found.unwrap_or_else(|| panic!("the schema has no {}", table.title));
        assert_eq!(
            table.fields(),
            types::fields(&schema, found),
            "{}",
            table.title
        );
        covered.insert(types::properties(found));
    }
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        assert!(
            covered.contains(&types::properties(definition)),
            "docs/cli.md has no table for {name}"
        );
    }
}

#[test]
fn other_documents_have_the_fields_that_the_page_names() {
    let page = Page::read(&document("cli.md"));
    let tables = page.fields_below("Other documents");
    let mut seen = BTreeSet::new();
    for (command, document) in &runs().documents {
        let own: Vec<&Table> = tables
            .iter()
            .filter(|t| t.title.split(": ").next() == Some(command.as_str()))
            .copied()
            .collect();
        assert!(!own.is_empty(), "docs/cli.md does not describe {command}");
        for table in &own {
            let path = table.title.split_once(": ").map_or("", |(_, path)| path);
            for object in types::objects_at(document, path) {
                seen.insert(table.title.clone());
                types::check(&table.title, object, &table.fields());
            }
        }
        let described: BTreeSet<&str> = own
            .iter()
            .map(|t| t.title.split_once(": ").map_or("", |(_, path)| path))
            .collect();
        for path in types::object_paths(document) {
            // Sizes of a benchmark, and its device, are described elsewhere.
            let elsewhere = ["device", "rows[].sizes"].contains(&path.as_str());
            assert!(
                elsewhere || described.contains(path.as_str()),
                "docs/cli.md has no table for {command}: {path}"
            );
        }
    }
    for table in &tables {
        assert!(
            seen.contains(&table.title),
            "no document has {}",
            table.title
        );
    }
}

#[test]
fn arrays_are_those_of_the_page() {
    let page = Page::read(&document("cli.md"));
    let rows = page.arrays();
    let mut seen = BTreeSet::new();
    for (file, array) in &runs().arrays {
        let row = rows.iter().filter(|row| row.is(file));
        // `NAME.npy` fits `output.npy` too.
        let row = row.max_by_key(|row| !row.file.contains("NAME"));
        let row = row.unwrap_or_else(|| panic!("docs/cli.md does not name {file}"));
        assert!(
            row.types.contains(&array.dtype),
            "{file} is {}",
            array.dtype
        );
        assert!(
            row.ranks.is_empty() || row.ranks.contains(&array.rank),
            "{file} has {} axes",
            array.rank
        );
        seen.insert(row.file.clone());
    }
    for row in &rows {
        assert!(seen.contains(&row.file), "no command wrote {}", row.file);
    }
}

#[test]
fn the_page_names_every_option_of_every_command() {
    let page = Page::read(&document("cli.md"));
    let common = page.options("Common options");
    let commands = runs::commands();
    assert!(commands.len() >= 10);
    for command in commands {
        let mut named = common.clone();
        named.extend(page.options(&command));
        let help = runs::options(&command);
        let names = |options: &std::collections::BTreeMap<String, String>| {
            options.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&named), names(&help), "{command}");
        for (option, default) in help
            .iter()
            .filter(|(_, d)| !d.is_empty() && !d.contains(' '))
        {
            assert!(
                named[option].contains(default.as_str()),
                "{command} {option}: the default is {default}, not {}",
                named[option]
            );
        }
    }
}
