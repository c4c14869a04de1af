//! Reading lists of names from files that may come from anybody.

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt::Formatter;

/// Most names in a list: more than any run writes, and few enough to take little memory.
const MOST: usize = 1 << 20;

/// Reads a list of names, which is refused if it is longer than any that a run writes.
pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MOST} names")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = from.next_element()? {
                if names.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                names.push(name);
            }
            Ok(names)
        }
    }
    from.deserialize_seq(Names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct List(#[serde(deserialize_with = "names")] Vec<String>);

    #[test]
    fn a_list_that_no_run_writes_is_refused() {
        let read = |count: usize| {
            let text = format!("[{}\"b\"]", "\"a\",".repeat(count - 1));
            serde_json::from_str::<List>(&text).map(|list| list.0.len())
        };
        assert_eq!(read(1).ok(), Some(1));
        assert_eq!(read(MOST).ok(), Some(MOST));
        assert!(read(MOST + 1).is_err());
    }
}
