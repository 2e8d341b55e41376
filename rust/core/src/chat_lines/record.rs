//! One line: its record in the columns, or nothing where it is not plain.

use std::ops::Range;

use serde::de::{DeserializeSeed, Error, MapAccess};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::messages::MessagesInto;
use super::opening::Opening;
use super::text::characters;
use super::tools::DistinctTools;
use super::visit::{Elements, Members, Object, Scalar};
use super::{Agent, Calls, ChatLines, LinePlace, Messages};

/// Adds the record of a line, and returns what the agent wrote in it. None where the line is not plain; then the columns
/// may be longer than before.
pub(super) fn read(into: &mut ChatLines, line: &str, label: &str, place: LinePlace) -> Option<Agent> {
    let first = into.messages.roles.len();
    let mut decoder = Deserializer::from_str(line);
    let record =
        Record { into: MessagesInto::new(&mut into.messages, &mut into.calls), other: Other::default() };
    let other = Members(record).deserialize(&mut decoder).ok()?;
    decoder.end().ok()?;
    let named = other.named(label, place, &into.distinct_tools)?;
    let of_record = first..into.messages.roles.len();
    let (agent, characters) = count(&into.messages, &into.calls, of_record.clone());
    if agent.turns == 0 {
        return None;
    }
    into.records.messages.push(of_record.end);
    into.records.characters.push(characters);
    let opening = Opening { task: named.task.as_deref(), has_result: named.success.is_some() };
    opening.write(&mut into.records.openings, &into.messages, &into.calls, of_record);
    named.write(into);
    Some(agent)
}

/// What the agent wrote in some messages, and the characters of all their contents.
fn count(messages: &Messages, calls: &Calls, of_record: Range<usize>) -> (Agent, u64) {
    let (mut agent, mut all) = (Agent::default(), 0);
    for message in of_record {
        let content = characters(messages.contents.get(message));
        all += content;
        if messages.roles.get(message) == b"assistant" {
            let of_message = messages.calls.get(message);
            agent.calls += of_message.len() as u64;
            let length = content + of_message.map(|call| characters(calls.arguments.get(call))).sum::<u64>();
            agent.turns += u64::from(length > 0);
            agent.characters += length;
        }
    }
    (agent, all)
}

/// Reads a record: its messages into columns, and all else.
struct Record<'a, 'de> {
    into: MessagesInto<'a>,
    other: Other<'de>,
}

/// The other members of a record.
#[derive(Default)]
struct Other<'de> {
    id: Scalar,
    task: Scalar,
    split_key: Scalar,
    model: Scalar,
    success: Scalar,
    source: Option<Scalar>,
    tools: Option<&'de RawValue>,
}

impl<'de> Object<'de> for Record<'_, 'de> {
    type Value = Other<'de>;
    const NAMES: &'static [&'static str] =
        &["messages", "id", "task", "model", "success", "source", "tools", "split_key"];

    fn member<A: MapAccess<'de>>(&mut self, name: usize, members: &mut A) -> Result<(), A::Error> {
        match name {
            0 if members.next_value_seed(Elements(&mut self.into))? == 0 => {
                return Err(A::Error::custom("no messages"));
            }
            0 => {}
            1 => self.other.id = members.next_value()?,
            2 => self.other.task = members.next_value()?,
            3 => self.other.model = members.next_value()?,
            4 => self.other.success = members.next_value()?,
            5 => self.other.source = Some(members.next_value()?),
            6 => self.other.tools = Some(members.next_value()?),
            _ => self.other.split_key = members.next_value()?,
        }
        Ok(())
    }

    fn end<E: Error>(self, seen: u32) -> Result<Other<'de>, E> {
        const WRITTEN: u32 = 0b111_1111; // all but the last: a record that this package wrote
        if seen & 1 == 0 || seen & WRITTEN == WRITTEN {
            return Err(E::custom("no messages, or a written record"));
        }
        Ok(self.other)
    }
}

/// The other members with their defaults.
struct Named<'de> {
    id: String,
    task: Option<String>,
    success: Option<bool>,
    model: Option<String>,
    source: Option<String>,
    tools: Option<&'de str>,
}

impl<'de> Other<'de> {
    /// The members with their defaults; None where one is of another kind.
    fn named(self, label: &str, place: LinePlace, known: &DistinctTools) -> Option<Named<'de>> {
        Some(Named {
            id: identifier(self.id)?.unwrap_or_else(|| format!("{label}:{}", place.number)),
            task: one_task(identifier(self.split_key)?, identifier(self.task)?)?,
            success: truth(self.success)?,
            model: text(self.model)?,
            source: self.source.map_or_else(|| Some(Some(label.to_owned())), text)?,
            tools: self.tools.map_or(Some(None), |tools| known.plain(tools.get()))?,
        })
    }
}

impl Named<'_> {
    fn write(self, into: &mut ChatLines) {
        let records = &mut into.records;
        records.ids.push(Some(&self.id));
        records.tasks.push(self.task.as_deref());
        records.success.push(self.success);
        records.models.push(self.model.as_deref());
        records.sources.push(self.source.as_deref());
        let number = self.tools.map(|tools| into.distinct_tools.number(&mut records.distinct_tools, tools));
        records.tools.push(number);
    }
}

/// A text that is not empty, or an integer; None within where there is none.
fn identifier(value: Scalar) -> Option<Option<String>> {
    match value {
        Scalar::Integer(number) => Some(Some(number)),
        value => text(value),
    }
}

/// A text that is not empty; None within where there is none.
fn text(value: Scalar) -> Option<Option<String>> {
    match value {
        Scalar::Null => Some(None),
        Scalar::Text(text) => Some(Some(text).filter(|text| !text.is_empty())),
        Scalar::Bool(_) | Scalar::Integer(_) => None,
    }
}

fn truth(value: Scalar) -> Option<Option<bool>> {
    match value {
        Scalar::Null => Some(None),
        Scalar::Bool(value) => Some(Some(value)),
        Scalar::Text(_) | Scalar::Integer(_) => None,
    }
}

/// The task that two members name; None where they name two.
fn one_task(split_key: Option<String>, task: Option<String>) -> Option<Option<String>> {
    match (split_key, task) {
        (Some(split_key), Some(task)) => (split_key == task).then_some(Some(task)),
        (split_key, task) => Some(split_key.or(task)),
    }
}
