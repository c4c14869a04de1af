//! Types of fields, as `docs/cli.md` writes them: `array of (number or null), or null`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a schema stands for, references followed and `null` aside.
fn resolve<'a>(schema: &'a Value, mut at: &'a Value) -> &'a Value {
    loop {
        if let Some(reference) = at["$ref"].as_str() {
            let name = reference.strip_prefix("#/$defs/").expect("a definition");
            at = &schema["$defs"][name];
        } else if let Some(choices) = at["anyOf"].as_array() {
            let is_null = |c: &&Value| c["type"] != "null";
            at = choices.iter().find(is_null).expect("more than null");
        } else {
            return at;
        }
    }
}

/// The type without `null`, and whether that is one of its values.
fn name(schema: &Value, at: &Value) -> (String, bool) {
    let nullable = |types: &Value| types.as_array().is_some_and(|t| t.contains(&"null".into()));
    let null = nullable(&at["type"])
        || at["anyOf"]
            .as_array()
            .is_some_and(|c| c.iter().any(|c| c["type"] == "null"));
    let at = resolve(schema, at);
    let one = |t: &Value| t.as_str().filter(|t| *t != "null").map(str::to_string);
    let base = match &at["type"] {
        Value::Array(types) => types.iter().find_map(one),
        one_type => one(one_type),
    };
    let base = base.unwrap_or_else(|| panic!("no type: {at}"));
    if base != "array" {
        return (base, null);
    }
    (
        match name(schema, &at["items"]) {
            (item, true) => format!("array of ({item} or null)"),
            (item, false) => format!("array of {item}"),
        },
        null,
    )
}

/// Names and types of an object's fields.
pub fn fields(schema: &Value, object: &Value) -> BTreeMap<String, String> {
    let required = object["required"].as_array();
    let required = |field: &str| required.is_some_and(|r| r.iter().any(|r| r == field));
    let properties = object["properties"].as_object().expect("an object");
    properties
        .iter()
        .map(|(field, at)| {
            let (base, null) = name(schema, at);
            let text = match (required(field), null) {
                (false, _) => format!("optional {base}"),
                (true, true) if base.contains(" or ") => format!("{base}, or null"),
                (true, true) => format!("{base} or null"),
                (true, false) => base,
            };
            (field.clone(), text)
        })
        .collect()
}

/// Names of an object's fields, which tell it from others.
pub fn properties(object: &Value) -> BTreeSet<String> {
    let properties = object["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(k, _)| k.clone())
        .collect()
}

/// The object at a path such as `redundancy.layers[].aggregate`; `Document` is the root.
pub fn object_at<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = schema;
    for part in path.split('.').filter(|_| path != "Document") {
        let field = part.trim_end_matches("[]");
        at = resolve(schema, at["properties"].get(field)?);
        for _ in 0..part.matches("[]").count() {
            at = resolve(schema, at.get("items")?);
        }
    }
    at.get("properties").map(|_| at)
}

/// The objects at a path of a document; an empty path is the document.
pub fn objects_at<'a>(document: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut all = vec![document];
    for part in path.split('.').filter(|p| !p.is_empty()) {
        let field = part.trim_end_matches("[]");
        all = all.into_iter().filter_map(|v| v.get(field)).collect();
        for _ in 0..part.matches("[]").count() {
            all = all
                .into_iter()
                .filter_map(Value::as_array)
                .flatten()
                .collect();
        }
    }
    all.retain(|v| v.is_object());
    all
}

/// Paths of all objects in a document.
pub fn object_paths(document: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                out.insert(path.to_string());
                let dot = if path.is_empty() { "" } else { "." };
                for (field, value) in fields {
                    walk(value, &format!("{path}{dot}{field}"), out);
                }
            }
            Value::Array(values) => {
                values
                    .iter()
                    .for_each(|v| walk(v, &format!("{path}[]"), out));
            }
            _ => {}
        }
    }
    let mut out = BTreeSet::new();
    walk(document, "", &mut out);
    out
}

/// Checks that an object has these fields, of these types, and no other.
pub fn check(title: &str, object: &Value, fields: &BTreeMap<String, String>) {
    let object = object.as_object().expect("an object");
    for (field, value) in object {
        let text = fields.get(field);
        let text = text.unwrap_or_else(|| panic!("docs/cli.md, {title}: {field} is missing"));
        assert!(fits(value, text), "{title}: {field} is {value}, not {text}");
    }
    for (field, text) in fields {
        assert!(
            object.contains_key(field) || text.starts_with("optional "),
            "{title}: there is no {field}"
        );
    }
}

/// Whether a value is of a type.
fn fits(value: &Value, text: &str) -> bool {
    let text = text.strip_prefix("optional ").unwrap_or(text);
    if let Some(base) = text.strip_suffix(", or null") {
        return value.is_null() || fits(value, base);
    }
    if let Some(item) = text.strip_prefix("array of ") {
        let item = item
            .strip_prefix('(')
            .and_then(|i| i.strip_suffix(')'))
            .unwrap_or(item);
        return value
            .as_array()
            .is_some_and(|all| all.iter().all(|v| fits(v, item)));
    }
    if let Some(base) = text.strip_suffix(" or null") {
        return value.is_null() || fits(value, base);
    }
    match text {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        other => panic!("docs/cli.md has a type that is none: {other}"),
    }
}

#[test]
fn types_are_told_apart() {
    use serde_json::json;
    assert!(fits(
        &json!([1.0, null]),
        "array of (number or null), or null"
    ));
    assert!(fits(&json!(null), "array of (number or null), or null"));
    assert!(!fits(&json!([1.0, null]), "array of number"));
    assert!(!fits(&json!([1.5]), "array of integer"));
    assert!(!fits(&json!(null), "optional integer"));
    assert!(fits(&json!([[{}]]), "array of array of object"));
}
