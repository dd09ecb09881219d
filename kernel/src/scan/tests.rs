use super::*;

fn text(json: &str) -> Taken<&[u8]> {
    Cursor::new(json.as_bytes()).text()
}

fn value(json: &str) -> Taken<&[u8]> {
    let mut cursor = Cursor::new(json.as_bytes());
    let found = cursor.skip()?;
    cursor.expect_end()?;
    Ok(found)
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_lies() {
    for length in 0..40 {
        let inside = "x".repeat(length);
        assert_eq!(
            text(&format!("\"{inside}\" and more than eight bytes")),
            Ok(inside.as_bytes())
        );
        assert_eq!(text(&format!("\"{inside}\"")), Ok(inside.as_bytes()));
        assert_eq!(text(&format!("\"{inside}é\"")), Ok(format!("{inside}é").as_bytes()));
        for spoilt in ["\\\"", "\u{1f}", "\0", "\n", ""] {
            assert_eq!(
                text(&format!("\"{inside}{spoilt}")),
                Err(HandedBack),
                "{length} {spoilt:?}"
            );
        }
    }
}

#[test]
fn well_formed_values_are_passed() {
    for json in [
        "0",
        "-0",
        "10",
        "-1.50",
        "1e3",
        "1E-3",
        "-1.5e+1",
        "\"\\n\\\\\\\"\"",
        "\"\\u0041\\ud7ff\"",
        "\"\"",
        "\"é\u{7f}\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[1,[2], {}]",
    ] {
        assert_eq!(value(json), Ok(json.as_bytes()), "{json}");
    }
    assert_eq!(
        value(" \t\r\n{ \"a\" : [ 1 , null ] , \"\" : { } } \n"),
        Ok(&b"{ \"a\" : [ 1 , null ] , \"\" : { } }"[..])
    );
}

#[test]
fn anything_else_is_handed_back() {
    for json in [
        "\"\\ud83d\\ude00\"",
        "\"\\x41\"",
        "\"\\u004\"",
        "\"\\",
        "1e",
        "1e+",
        "1.e1",
        "1e1.5",
        "",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "nul",
        "truefalse",
        "True",
        "'x'",
        "[",
        "]",
        "[1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "\"a",
        "\"\t\"",
        "1 1",
        "[]]",
        "//",
        "\0",
        "\u{feff}1",
        "\u{a0}1",
    ] {
        assert_eq!(value(json), Err(HandedBack), "{json}");
    }
    assert_eq!(value(&format!("{}{}", "[".repeat(60), "]".repeat(60))), Err(HandedBack));
    assert_eq!(value(&"[".repeat(1_000_000)), Err(HandedBack));
}
