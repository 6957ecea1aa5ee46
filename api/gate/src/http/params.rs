//! The parameters of a GraphQL request, out of a JSON body or a query string.
//!
//! Invariant: a parameter that is there has the right type; nothing is guessed, nothing that was sent is echoed.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::service::Params;

/// What is wrong with the parameters, for the client.
pub(crate) type Wrong = &'static str;

/// What a client may send. Each parameter once; others are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    query: Json,
    operation_name: Json,
    variables: Json,
    extensions: Json,
}

/// Reads a JSON body. serde_json stops at 128 levels of nesting.
pub(crate) fn from_json(body: &[u8]) -> Result<Params, Wrong> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err("the request has no body"),
        Some(b'[') => return Err("batches are not supported: send one request at a time"),
        Some(b'{') => {}
        Some(_) => return Err("the body must be a JSON object"),
    }
    let raw: Raw = serde_json::from_slice(body).map_err(|_| "the body is not valid JSON, or names a parameter twice")?;
    typed(raw)
}

/// Reads the payload of a message.
pub(crate) fn from_value(payload: Json) -> Result<Params, Wrong> {
    typed(serde_json::from_value(payload).map_err(|_| "the payload is not valid")?)
}

/// Reads the query string of a GET.
pub(crate) fn from_query_string(text: &str) -> Result<Params, Wrong> {
    let mut raw = Raw::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let (slot, is_json) = match name.as_str() {
            "query" => (&mut raw.query, false),
            "operationName" => (&mut raw.operation_name, false),
            "variables" => (&mut raw.variables, true),
            "extensions" => (&mut raw.extensions, true),
            _ => continue,
        };
        // A Null that was sent as JSON may be sent again; it says the same.
        if !slot.is_null() {
            return Err("a parameter is given twice");
        }
        let value = decode(value)?;
        *slot = match (is_json, value.as_str()) {
            (_, "") => Json::Null,
            (true, json) => serde_json::from_str(json).map_err(|_| "`variables` and `extensions` must be JSON")?,
            (false, _) => Json::String(value),
        };
    }
    typed(raw)
}

fn typed(raw: Raw) -> Result<Params, Wrong> {
    let query = match raw.query {
        Json::String(query) => query,
        Json::Null => return Err("`query` is missing"),
        _ => return Err("`query` must be a string"),
    };
    let operation_name = match raw.operation_name {
        Json::String(name) => Some(name).filter(|name| !name.is_empty()),
        Json::Null => None,
        _ => return Err("`operationName` must be a string"),
    };
    let variables = match raw.variables {
        Json::Object(variables) => variables,
        Json::Null => Map::new(),
        _ => return Err("`variables` must be an object"),
    };
    match raw.extensions {
        Json::Object(_) | Json::Null => Ok(Params { query, operation_name, variables }),
        _ => Err("`extensions` must be an object"),
    }
}

/// Decodes `application/x-www-form-urlencoded`.
fn decode(text: &str) -> Result<String, Wrong> {
    const WRONG: Wrong = "the query string is not properly encoded";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(WRONG);
                u8::try_from(digit()? * 16 + digit()?).map_err(|_| WRONG)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_are_decoded() {
        let params =
            from_query_string("query=%7B+a%28x%3A%22%C3%BC%2B%26%3D%22%29%7D&variables=%7B%22a%22%3A1%7D&operationName=Q&x=1&").unwrap();
        assert_eq!(params.query, "{ a(x:\"ü+&=\")}");
        assert_eq!(params.operation_name.as_deref(), Some("Q"));
        assert_eq!(params.variables.get("a"), Some(&Json::from(1)));
        assert_eq!(from_query_string("query={a}&operationName=&variables=").unwrap().operation_name, None);
    }

    #[test]
    fn wrong_query_strings_are_refused() {
        for wrong in [
            "",
            "variables={}",
            "query=a&query=b",
            "query=%FF",
            "query=%2",
            "query=%zz",
            "query=a&variables=1",
            "query=a&extensions=[]",
            "query=a&variables={",
        ] {
            assert!(from_query_string(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_bodies_are_refused() {
        let deep = format!(r#"{{"query":"{{a}}","variables":{{"a":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        for wrong in [
            "",
            "  ",
            "null",
            "1",
            "[]",
            r#"[{"query":"{a}"}]"#,
            "{",
            "{}",
            r#"{"query":null}"#,
            r#"{"query":1}"#,
            r#"{"query":"{a}","query":"{b}"}"#,
            r#"{"query":"{a}","variables":[]}"#,
            r#"{"query":"{a}","operationName":{}}"#,
            r#"{"query":"{a}","extensions":"x"}"#,
            r#"{"query":"{a}"} x"#,
            deep.as_str(),
        ] {
            assert!(from_json(wrong.as_bytes()).is_err(), "{}", wrong.get(..60).unwrap_or(wrong));
        }
        assert!(from_json(b"{\"query\":\"\xff\"}").is_err());
        assert!(from_json(br#"{"query":"{a}","variables":null,"operationName":null,"extensions":null,"other":[1]}"#).is_ok());
    }
}
