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
            Piece::Own(unit) => self.own(py, unit).bind(py).clone(),
            Piece::Other(text) => PyString::new(py, &text),
        }
    }

    fn own(&self, py: Python<'_>, unit: u32) -> &Py<PyString> {
        let text = || PyString::new(py, self.expander.own_text(unit).unwrap_or_default()).unbind();
        self.own[unit as usize].get_or_init(py, text)
    }
}
