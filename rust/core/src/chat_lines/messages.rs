//! The messages of a record, and their calls, into columns.

use serde::de::{Error, MapAccess, SeqAccess};

use super::visit::{Elements, List, Members, Object, OneOf, TextInto};
use super::{Calls, Messages};

const ROLES: &[&str] = &["system", "user", "assistant", "tool"];
/// The roles of speakers: several of one role may have names, which another reader must tell apart.
const SPEAKERS: [usize; 2] = [1, 2];

/// Reads the messages of one record into columns.
pub(super) struct MessagesInto<'a> {
    messages: &'a mut Messages,
    calls: &'a mut Calls,
    /// The number of messages before this record.
    first: usize,
}

impl<'a> MessagesInto<'a> {
    pub(super) fn new(messages: &'a mut Messages, calls: &'a mut Calls) -> Self {
        let first = messages.roles.len();
        MessagesInto { messages, calls, first }
    }
}

impl<'de> List<'de> for &mut MessagesInto<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, elements: &mut A) -> Result<Option<()>, A::Error> {
        let is_first = self.messages.roles.len() == self.first;
        let message = Message { messages: self.messages, calls: self.calls, is_first, role: 0 };
        elements.next_element_seed(Members(message))
    }
}

struct Message<'a> {
    messages: &'a mut Messages,
    calls: &'a mut Calls,
    is_first: bool,
    role: usize,
}

impl<'de> Object<'de> for Message<'_> {
    type Value = ();
    const NAMES: &'static [&'static str] = &["role", "content", "tool_calls", "tool_call_id", "name"];

    fn member<A: MapAccess<'de>>(&mut self, name: usize, members: &mut A) -> Result<(), A::Error> {
        let Message { messages, calls, .. } = self;
        match name {
            0 => {
                let role = members.next_value_seed(OneOf(ROLES))?;
                self.role = role.ok_or_else(|| A::Error::custom("another role"))?;
                self.messages.roles.push(Some(ROLES[self.role]));
                Ok(())
            }
            1 => members.next_value_seed(TextInto::OrEmpty(&mut messages.contents)),
            2 => members.next_value_seed(Elements(CallsInto(calls))).map(drop),
            3 => members.next_value_seed(TextInto::OrMissing(&mut messages.call_ids)),
            _ => members.next_value_seed(TextInto::OrMissing(&mut messages.names)),
        }
    }

    fn end<E: Error>(self, seen: u32) -> Result<(), E> {
        let has = |name: u32| seen & 1 << name != 0;
        if !has(0) || (self.is_first && !has(1) && !has(2)) {
            return Err(E::custom("no role, or a first message without a body"));
        }
        let messages = self.messages;
        if !has(1) {
            messages.contents.push(Some(""));
        }
        if !has(3) {
            messages.call_ids.push(None);
        }
        if !has(4) {
            messages.names.push(None);
        }
        messages.calls.push(self.calls.ids.len());
        if SPEAKERS.contains(&self.role) && messages.names.has(messages.names.len() - 1) {
            return Err(E::custom("a speaker with a name"));
        }
        Ok(())
    }
}

/// Reads the calls of one message into columns.
struct CallsInto<'a>(&'a mut Calls);

impl<'de> List<'de> for CallsInto<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, elements: &mut A) -> Result<Option<()>, A::Error> {
        elements.next_element_seed(Members(Call(self.0)))
    }
}

struct Call<'a>(&'a mut Calls);

impl<'de> Object<'de> for Call<'_> {
    type Value = ();
    const NAMES: &'static [&'static str] = &["id", "function", "type"];

    fn member<A: MapAccess<'de>>(&mut self, name: usize, members: &mut A) -> Result<(), A::Error> {
        match name {
            0 => members.next_value_seed(TextInto::Visible(&mut self.0.ids)),
            1 => members.next_value_seed(Members(Function(self.0))),
            _ => members.next_value_seed(OneOf(&[])).map(drop), // any text
        }
    }

    fn end<E: Error>(self, seen: u32) -> Result<(), E> {
        all_of(0b11, seen)
    }
}

struct Function<'a>(&'a mut Calls);

impl<'de> Object<'de> for Function<'_> {
    type Value = ();
    const NAMES: &'static [&'static str] = &["name", "arguments"];

    fn member<A: MapAccess<'de>>(&mut self, name: usize, members: &mut A) -> Result<(), A::Error> {
        let column = if name == 0 { &mut self.0.names } else { &mut self.0.arguments };
        members.next_value_seed(TextInto::Visible(column))
    }

    fn end<E: Error>(self, seen: u32) -> Result<(), E> {
        all_of(0b11, seen)
    }
}

fn all_of<E: Error>(needed: u32, seen: u32) -> Result<(), E> {
    if seen & needed == needed { Ok(()) } else { Err(E::custom("a member is missing")) }
}
