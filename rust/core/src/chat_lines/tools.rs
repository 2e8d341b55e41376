//! Lists of tools: those of one log are few, and each is kept once.

use rustc_hash::FxHashMap;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess};
use serde_json::Deserializer;

use super::columns::Texts;
use super::visit::{Elements, List, Members, Object, Skipped};

/// The numbers of the lists of tools that are in a column of distinct ones.
#[derive(Debug, Default)]
pub(super) struct DistinctTools {
    numbers: FxHashMap<String, u32>,
}

impl DistinctTools {
    /// The number of a list in the column, which gets it if it is new.
    pub(super) fn number(&mut self, column: &mut Texts, tools: &str) -> u32 {
        if let Some(&number) = self.numbers.get(tools) {
            return number;
        }
        let number = column.len() as u32;
        column.push(Some(tools));
        self.numbers.insert(tools.to_owned(), number);
        number
    }

    /// The list, as by [`plain_tools`]: one that is in the column is not read again.
    pub(super) fn plain<'a>(&self, tools: &'a str) -> Option<Option<&'a str>> {
        if self.numbers.contains_key(tools) { Some(Some(tools)) } else { plain_tools(tools) }
    }
}

/// The JSON text of a list of functions in OpenAI's form.
///
/// None for another value; None within for a list without any, or null.
fn plain_tools(text: &str) -> Option<Option<&str>> {
    let mut decoder = Deserializer::from_str(text);
    let count = Elements(Tools).deserialize(&mut decoder).ok()?;
    Some((count > 0).then_some(text))
}

struct Tools;

impl<'de> List<'de> for Tools {
    fn element<A: SeqAccess<'de>>(&mut self, elements: &mut A) -> Result<Option<()>, A::Error> {
        elements.next_element_seed(Members(Tool))
    }
}

struct Tool;

impl<'de> Object<'de> for Tool {
    type Value = ();
    const NAMES: &'static [&'static str] = &["function"];
    const MORE: bool = true;

    fn member<A: MapAccess<'de>>(&mut self, _: usize, members: &mut A) -> Result<(), A::Error> {
        members.next_value_seed(Members(Function))
    }

    fn end<E: Error>(self, seen: u32) -> Result<(), E> {
        if seen == 0 { Err(E::custom("no function")) } else { Ok(()) }
    }
}

struct Function;

impl<'de> Object<'de> for Function {
    type Value = ();
    const NAMES: &'static [&'static str] = &[];
    const MORE: bool = true;

    fn member<A: MapAccess<'de>>(&mut self, _: usize, members: &mut A) -> Result<(), A::Error> {
        members.next_value::<Skipped>().map(drop)
    }

    fn end<E: Error>(self, _: u32) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_are_plain() {
        let tools = r#"[{"type": "function", "function": {"name": "f", "parameters": {"a": [1.5, null]}}}]"#;
        assert_eq!(plain_tools(tools), Some(Some(tools)));
        assert_eq!(plain_tools("[]"), Some(None));
        assert_eq!(plain_tools("null"), Some(None));
        for odd in [r#"{"function": {}}"#, r#"[{"function": 1}]"#, r#"[{"name": "f"}]"#, "[1e999]", "\"[]\""]
        {
            assert_eq!(plain_tools(odd), None, "{odd}");
        }
    }

    #[test]
    fn deep_tools_are_left_to_others() {
        let nested =
            |depth| format!(r#"[{{"function": {{"a": {}{}}}}}]"#, "[".repeat(depth), "]".repeat(depth));
        assert!(plain_tools(&nested(100)).is_some());
        assert!(plain_tools(&nested(200)).is_none());
    }
}
