use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::cluster::diagnostic::Diagnostic;

fn lines(diagnostics: Vec<Diagnostic>) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let documents = parse("f.yaml", text).map_err(lines)?;
    from_node(&documents[0].file, &documents[0].root).map_err(lines)
}

fn wrong(text: &str) -> Vec<String> {
    parse("f.yaml", text).map(|documents| format!("{documents:?}")).map_err(lines).unwrap_err()
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Sample {
    name: String,
    count: u16,
    on: bool,
    ratio: f64,
    labels: BTreeMap<String, String>,
    port_names: BTreeMap<u16, String>,
    items: Vec<Item>,
    mode: Option<Mode>,
    at: Spanned<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Item {
    id: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Strict,
    Permissive,
}

#[test]
fn the_end_of_a_collection_may_stand_below_its_key() {
    let documents =
        parse("f.yaml", "a:\n  b: [\n    \"x\",\n  ]\n  c: {\n    d: e\n}\n  f: |\n    {\n    }\n").unwrap();
    let indented =
        parse("f.yaml", "a:\n  b: [\n    \"x\",\n    ]\n  c: {\n    d: e\n      }\n  f: |\n    {\n    }\n").unwrap();
    assert_eq!(documents[0].root, indented[0].root);
    let documents = parse("f.yaml", "a: {\n  b: [\n  ], c: 1\n}\n").unwrap();
    let Value::Mapping(entries) = &documents[0].root.value else { panic!("{documents:?}") };
    let Value::Mapping(entries) = &entries[0].node.value else { panic!("{entries:?}") };
    assert_eq!(entries[1].key_position, Position { line: 3, column: 6 });
    // Where no collection is open a bracket is as wrong as ever, and said to be where it was written.
    assert!(wrong("a:\n  b: c\n]\n")[0].starts_with("f.yaml:3:1: "), "{:?}", wrong("a:\n  b: c\n]\n"));
}

#[test]
fn a_document_is_read_with_its_types() {
    let sample: Sample = read(
        "name: 'x'\ncount: 0x10\non: yes\nratio: 1\nlabels: { a: \"1\", b: yes, 3: c }\nportNames: { 80: http }\n\
         items:\n- id: -5\nmode: STRICT\nat: here # why not\n",
    )
    .unwrap();
    assert_eq!(sample.at.position, Position { line: 10, column: 5 });
    assert_eq!((sample.count, sample.on, sample.ratio), (16, true, 1.0));
    assert_eq!(sample.labels["b"], "yes");
    assert_eq!(sample.labels["3"], "c");
    assert_eq!(sample.port_names[&80], "http");
    assert_eq!(sample.items, [Item { id: -5 }]);
    assert_eq!(sample.mode, Some(Mode::Strict));
}

#[test]
fn wrong_types_are_reported_with_path_place_and_hint() {
    let one = |text: &str| read::<Sample>(text).unwrap_err().join("\n");
    insta::assert_snapshot!(one("labels:\n  version: 1.10\n"), @r"
    f.yaml:2:12: `labels.version`: expected text, found number `1.1`
      hint: put quotes around it
    ");
    insta::assert_snapshot!(one("count: \"80\"\n"), @r"
    f.yaml:1:8: `count`: expected a whole number, not negative (u16), found text `80`
      hint: remove the quotes
    ");
    insta::assert_snapshot!(one("count: 65536\n"), @"f.yaml:1:8: `count`: expected a whole number, not negative (u16), found number `65536`");
    insta::assert_snapshot!(one("on: perhaps\n"), @"f.yaml:1:5: `on`: expected `true` or `false`, found text `perhaps`");
    insta::assert_snapshot!(one("items:\n  id: 1\n"), @"f.yaml:2:3: `items`: expected a list, found a mapping");
    insta::assert_snapshot!(one("items:\n- id: 1\n- [ 2 ]\n"), @"f.yaml:3:3: `items[1]`: expected a mapping, found a list");
    insta::assert_snapshot!(one("items:\n- {}\n"), @"f.yaml:2:3: `items[0]`: missing field `id`");
    insta::assert_snapshot!(one("mode: STRIKT\n"), @r"
    f.yaml:1:7: `mode`: unknown value `STRIKT`
      hint: did you mean `STRICT`?
    ");
    insta::assert_snapshot!(one("portNames: { eighty: x }\n"), @"f.yaml:1:14: `portNames`: expected a whole number, not negative (u16), found text `eighty`");
}

#[test]
fn every_unknown_field_is_reported_beside_the_first_wrong_type() {
    let errors = read::<Sample>("nmae: x\nitems:\n- id: 1\n  ids: 2\ncount: many\nzzzz: {}\n").unwrap_err().join("\n");
    insta::assert_snapshot!(errors, @r"
    f.yaml:1:1: unknown field `nmae`
      hint: did you mean `name`?
    f.yaml:4:3: `items[0]`: unknown field `ids`
      hint: did you mean `id`?
    f.yaml:5:8: `count`: expected a whole number, not negative (u16), found text `many`
    ");
}

#[test]
fn null_counts_as_not_written() {
    assert_eq!(read::<Sample>("name:\nitems: ~\nlabels: null\n").unwrap(), Sample::default());
}

#[test]
fn merge_keys_add_what_is_not_written() {
    let map: BTreeMap<String, BTreeMap<String, i32>> =
        read("a: &a { x: 1, y: 1 }\nb: &b { y: 2, z: 2 }\nc:\n  <<: [*a, *b]\n  x: 0\nd: { <<: *b }\n").unwrap();
    assert_eq!(map["c"], BTreeMap::from([("x".into(), 0), ("y".into(), 1), ("z".into(), 2)]));
    assert_eq!(map["d"], map["b"]);
    let quoted: BTreeMap<String, String> = read("'<<': literal\n").unwrap();
    assert_eq!(quoted["<<"], "literal");
}

#[test]
fn text_that_is_not_yaml_is_reported_at_its_place() {
    let one = |text: &str| wrong(text).join("\n");
    insta::assert_snapshot!(one("a: 1\nb:\n\tc: 2\n"), @r"
    f.yaml:3:2: not YAML: tabs disallowed within this context (block indentation)
      hint: indent with spaces; this line is indented with a tab
    ");
    insta::assert_snapshot!(one("a: b: c\n"), @r"
    f.yaml:1:5: not YAML: mapping values are not allowed in this context
      hint: quote text that contains `: `, or check the indentation of this line and the one before
    ");
    insta::assert_snapshot!(one("a: [1, 2\nb: 3\n"), @r"
    f.yaml:2:2: not YAML: illegal placement of ':' indicator
      hint: check the indentation and quotes of this line and the one before
    ");
    insta::assert_snapshot!(one("a: \"x\n"), @r"
    f.yaml:1:4: not YAML: while scanning a quoted scalar, found unexpected end of stream
      hint: check the indentation and quotes of this line and the one before
    ");
    insta::assert_snapshot!(one("a: *nobody\n"), @r"
    f.yaml:1:4: not YAML: while parsing node, found unknown anchor
      hint: an alias `*name` needs an anchor `&name` before it in the same document; quote text that begins with `*`
    ");
    insta::assert_snapshot!(one("a: {{ .Values.x }}\n"), @r"
    f.yaml:1:5: a key must be text, not a list or a mapping
      hint: this looks like a template: render it first
    ");
    insta::assert_snapshot!(one("? [a]\n: b\n"), @r"
    f.yaml:1:3: a key must be text, not a list or a mapping
      hint: quote it if it begins with `{` or `[`
    ");
    insta::assert_snapshot!(one("a: &a [*a]\n"), @r"
    f.yaml:1:8: this alias names an anchor of another document, or one around it
      hint: anchors hold from where they end to the next `---`
    ");
    insta::assert_snapshot!(one("a: !Ref x\n"), @r"
    f.yaml:1:4: tag `!Ref` means nothing here
      hint: remove it
    ");
    insta::assert_snapshot!(one("a: &x 1\n---\nb: *x\n"), @r"
    f.yaml:3:4: this alias names an anchor of another document, or one around it
      hint: anchors hold from where they end to the next `---`
    ");
    insta::assert_snapshot!(one("<<: 1\n"), @r"
    f.yaml:1:1: the value of the merge key `<<` must be a mapping or a list of mappings
      hint: write `<<: *anchor`
    ");
    insta::assert_snapshot!(one("a: 1\nb: 2\na: 3\nb: 4\n"), @r"
    f.yaml:3:1: key `a` is written twice
      hint: remove one; the first is on line 1
    f.yaml:4:1: key `b` is written twice
      hint: remove one; the first is on line 2
    ");
}

#[test]
fn bytes_that_are_not_utf8_are_reported_at_their_place() {
    let one = |bytes: &[u8]| lines(parse_bytes("f.yaml", bytes).unwrap_err()).join("\n");
    insta::assert_snapshot!(one(b"a: 1\nb: \xff\n"), @r"
    f.yaml:2:4: the file is not UTF-8 text from here on
      hint: save it as UTF-8
    ");
    insta::assert_snapshot!(one(b"\xff\xfea\0"), @r"
    f.yaml:1:1: the file is UTF-16, not UTF-8
      hint: save it as UTF-8
    ");
}

#[test]
fn carriage_returns_and_a_byte_order_mark_do_not_matter() {
    let sample: Sample = read("\u{feff}name: x\r\nitems:\r\n- id: 2\r\nat: z\r\n").unwrap();
    assert_eq!((sample.items[0].id, sample.at.position), (2, Position { line: 4, column: 5 }));
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(wrong(&text)[0].contains("once aliases are followed"));
    let merges: String = (1..40).fold("m0: &m0 { a: 1, b: 2 }\n".into(), |text, level| {
        format!("{text}m{level}: &m{level} {{ x{level}: *m{0}, y{level}: *m{0}, <<: *m{0} }}\n", level - 1)
    });
    assert!(wrong(&merges)[0].contains("once aliases are followed"));
}

#[test]
fn deep_nesting_is_bounded() {
    let flow = "[".repeat(10_000);
    assert!(wrong(&flow)[0].contains("levels deep"));
    let block = (0..500).fold(String::new(), |text, level| format!("{text}{}a:\n", " ".repeat(level)));
    assert!(wrong(&block)[0].contains("levels deep"));
    let sequences = "- ".repeat(5_000);
    assert!(wrong(&sequences)[0].contains("levels deep"));
    let chained = (1..100)
        .fold("a0: &a0 [x]\n".to_owned(), |text, level| format!("{text}a{level}: &a{level} [*a{}]\n", level - 1));
    assert!(wrong(&chained)[0].contains("levels deep"));
}

#[test]
fn documents_are_separated() {
    let documents = parse("f.yaml", "# nothing\n---\na: 1\n---\n# empty\n---\nb: 2\n...\n").unwrap();
    let roots: Vec<bool> = documents.iter().map(|document| document.root.is_null()).collect();
    assert_eq!(roots, [false, true, false]);
}

#[test]
fn a_path_leads_to_the_place_where_a_value_is_written() {
    let documents = parse("f.yaml", "spec:\n  ports:\n  - name: a\n  - port: 80\n    name: b\n").unwrap();
    let at = |path: &[&str]| {
        let position = documents[0].root.locate(path.iter().copied());
        (position.line, position.column)
    };
    assert_eq!(at(&["spec", "ports", "1", "port"]), (4, 11));
    assert_eq!(at(&["spec", "ports"]), (2, 3));
    assert_eq!(at(&["spec", "ports", "1"]), (4, 5));
    assert_eq!(at(&["spec", "ports", "0", "port"]), (3, 5));
    assert_eq!(at(&["status"]), (1, 1));
}

const SEED_TEXT: &str = "apiVersion: v1\nkind: List\nitems:\n- &a { kind: Service, <<: {a: 1} }\n- *a\n- 'x'\n- \"y\\n\"\n- |\n  text\n- >-\n  folded\n---\n? k\n: [1, {b: 2}]\n...\n";

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_bytes("f.yaml", &bytes);
    }

    #[test]
    fn no_text_of_yaml_characters_panics(text in "[-:?{}\\[\\],&*#|>!%@'\"\\\\ \\t\\r\\n~<0-9a-c\u{0}\u{85}\u{feff}é.]{0,120}") {
        if let Ok(documents) = parse("f.yaml", &text) {
            for document in documents {
                let _ = from_node::<Sample>(&document.file, &document.root);
                let _ = from_node::<serde_json::Value>(&document.file, &document.root);
            }
        }
    }

    #[test]
    fn no_mutation_panics(edits in proptest::collection::vec((0usize..200, any::<u8>(), 0u8..3), 1..8)) {
        let mut bytes = SEED_TEXT.as_bytes().to_vec();
        for (at, byte, what) in edits {
            let at = at % bytes.len().max(1);
            match what {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if at < bytes.len() => { bytes.remove(at); }
                _ => {}
            }
        }
        let _ = parse_bytes("f.yaml", &bytes);
    }
}

#[test]
fn where_tags_are_names_they_are_the_key_of_what_they_tag() {
    let read = |text: &str| parse_tagged("f.yaml", text.as_bytes()).map(|mut all| all.remove(0).root);
    let same = |tagged: &str, plain: &str| {
        let shape = |root: Result<Node, _>| {
            let root: Node = root.expect("it can be read");
            from_node::<serde_json::Value>(&"f.yaml".into(), &root).expect("any shape")
        };
        assert_eq!(shape(read(tagged)), shape(parse("f.yaml", plain).map(|mut all| all.remove(0).root)));
    };
    same("- !Exact a\n- !Prefix \"b\"\n- !Presence []\n", "- {Exact: a}\n- {Prefix: 'b'}\n- {Presence: []}\n");
    same("a: !Address {b: [1]}\n", "a: {Address: {b: [1]}}\n");
    assert!(read("!!binary a").is_err(), "YAML's own keep their meaning");
    let deep = format!("{}a", "- !X\n  ".repeat(40));
    assert!(read(&deep).is_err(), "names count as levels");
}
