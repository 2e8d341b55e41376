//! The texts of units as Python strings, each made once.

use std::sync::Arc;

use lar_core::stream::Piece;
use lar_core::stream::expander::Expander;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// The strings of an expander's units, each made when it is first needed and shared by all streams.
pub struct Texts {
    expander: Arc<Expander>,
    own: Box<[PyOnceLock<Py<PyString>>]>,
}

impl Texts {
    pub fn new(expander: Arc<Expander>) -> Self {
        let own = (0..expander.vocabulary().size()).map(|_| PyOnceLock::new()).collect();
        Texts { expander, own }
    }

    /// The text that a push returns.
    pub fn of<'py>(&self, py: Python<'py>, piece: Piece) -> Bound<'py, PyString> {
        match piece {
            Piece::Own(unit) => self.own(py, unit),
            Piece::Other(text) => PyString::new(py, &text),
        }
    }

    fn own<'py>(&self, py: Python<'py>, unit: u32) -> Bound<'py, PyString> {
        let own = &self.own[unit as usize];
        if let Some(text) = own.get(py) {
            return text.bind(py).clone();
        }
        let text = PyString::new(py, self.expander.own_text(unit).unwrap_or_default());
        // Not `get_or_init`: it detaches while the text is being made, and in a process that is forked then, it would
        // wait for ever. Another thread may have been first with an equal text.
        own.set(py, text.clone().unbind()).ok();
        text
    }
}
