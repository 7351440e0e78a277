//! What is written about scenario files is what reads them.

mod support;

use support::{catalogue, meshsim, said};

#[test]
fn the_page_about_scenario_files_is_up_to_date() {
    let written = std::fs::read_to_string(catalogue().join("SCHEMA.md")).unwrap_or_default();
    let due = sim::scenario::schema::markdown();
    assert!(
        written == due,
        "scenarios/catalog/SCHEMA.md is out of date; write it anew with\n    \
         cargo run -p scenarios -- schema --markdown > scenarios/catalog/SCHEMA.md"
    );
}

#[test]
fn the_schema_is_json_schema_and_describes_every_field() {
    let (status, json, _) = said(&meshsim().arg("schema").output().expect("the command runs"));
    assert_eq!(status, 0);
    let schema: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(schema["$schema"].as_str().is_some_and(|schema| schema.contains("json-schema.org")));
    let mut without = Vec::new();
    let definitions = schema["$defs"].as_object().expect("definitions");
    for (name, definition) in definitions.iter().chain([(&"scenario".to_owned(), &schema)]) {
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                without.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(without.is_empty(), "fields without a word about them: {without:?}");
}

#[test]
fn links_in_the_root_documents_lead_somewhere() {
    let root = catalogue().join("../..");
    let mut broken = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "INTEROPERATION.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let path = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !path.is_empty() && !root.join(path).exists() {
                broken.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "links to nowhere: {broken:?}");
}
