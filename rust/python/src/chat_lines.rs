//! Columns of plain chat lines as numpy arrays.

use lar_core::chat_lines::{self, ChatLines, LinePlace, TextBuffers};
use numpy::{Element, IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::numbers::Number;
use crate::text::Text;

type Found<'py> = (Bound<'py, PyDict>, Bound<'py, PyDict>, (u64, u64, u64));

#[pyfunction]
pub fn count_lines(py: Python<'_>, block: &[u8]) -> (u64, u64) {
    py.detach(|| chat_lines::count_lines(block))
}

#[pyfunction]
pub fn read_chat_lines<'py>(
    py: Python<'py>,
    block: &[u8],
    label: Text,
    first_line: Number<u64>,
    first_number: Number<u64>,
) -> PyResult<Found<'py>> {
    let first = LinePlace { line: first_line.0, number: first_number.0 };
    let mut found = py.detach(|| ChatLines::read(block, &label.0, first));
    let (texts, numbers, agent) = (texts(py, &mut found)?, numbers(py, &found)?, found.agent);
    Ok((texts, numbers, (agent.turns, agent.calls, agent.characters)))
}

fn texts<'py>(py: Python<'py>, found: &mut ChatLines) -> PyResult<Bound<'py, PyDict>> {
    let (records, messages, calls) = (&mut found.records, &mut found.messages, &mut found.calls);
    let columns = [
        ("id", &mut records.ids),
        ("task", &mut records.tasks),
        ("model", &mut records.models),
        ("source", &mut records.sources),
        ("tools", &mut records.distinct_tools),
        ("role", &mut messages.roles),
        ("content", &mut messages.contents),
        ("name", &mut messages.names),
        ("tool_call_id", &mut messages.call_ids),
        ("call_id", &mut calls.ids),
        ("call_name", &mut calls.names),
        ("arguments", &mut calls.arguments),
    ];
    let texts = PyDict::new(py);
    for (name, column) in columns {
        let TextBuffers { data, offsets, valid } = column.take();
        let valid = valid.map(|bits| bits.into_pyarray(py));
        texts.set_item(name, (offsets.into_pyarray(py), data.into_pyarray(py), valid))?;
    }
    Ok(texts)
}

fn numbers<'py>(py: Python<'py>, found: &ChatLines) -> PyResult<Bound<'py, PyDict>> {
    let (records, places) = (&found.records, &found.places);
    let success = |success: &Option<bool>| success.map_or(-1, i8::from);
    let tools = |tools: &Option<u32>| tools.map_or(-1, |tools| tools as i32);
    let numbers = PyDict::new(py);
    numbers.set_item("line", array(py, places.iter().map(|place| place.line as i64)))?;
    numbers.set_item("number", array(py, places.iter().map(|place| place.number as i64)))?;
    numbers.set_item("success", array(py, records.success.iter().map(success)))?;
    numbers.set_item("tools", array(py, records.tools.iter().map(tools)))?;
    numbers.set_item("messages", array(py, records.messages.offsets().iter().copied()))?;
    numbers.set_item("calls", array(py, found.messages.calls.offsets().iter().copied()))?;
    numbers.set_item("has_calls", found.messages.calls.not_empty().into_pyarray(py))?;
    numbers.set_item("characters", array(py, records.characters.iter().map(|&count| count as i64)))?;
    numbers.set_item("opening", array(py, records.openings.iter().copied()))?;
    let others = found.others.iter();
    let other = others.flat_map(|(place, range)| {
        [place.line as i64, place.number as i64, range.start as i64, range.end as i64]
    });
    numbers.set_item("other", array(py, other))?;
    Ok(numbers)
}

fn array<T: Element>(py: Python<'_>, entries: impl Iterator<Item = T>) -> Bound<'_, PyArray1<T>> {
    entries.collect::<Vec<_>>().into_pyarray(py)
}
