//! Flat arrays across the border.

use lar_core::Segments;
use lar_core::tokens::bytes::TokenBytes;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

use crate::errors::{OptionError, to_python};

/// The offsets of a ragged array: int64 in Python, `usize` in Rust.
pub fn offsets_from(array: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<usize>> {
    let copy: PyReadonlyArray1<'_, i64>;
    let offsets = match array.as_slice() {
        Ok(offsets) => offsets,
        // Not read in place: in a field of records, entries may be no multiple of 8 bytes apart.
        Err(_) => {
            copy = array.call_method0("copy")?.extract()?;
            contiguous(&copy)?
        }
    };
    let convert = || offsets.iter().map(|&offset| usize::try_from(offset)).collect::<Result<_, _>>();
    array.py().detach(convert).map_err(|_| OptionError::new_err("offsets cannot be negative"))
}

/// Token strings from flat arrays.
pub fn segments_from(
    tokens: &PyReadonlyArray1<'_, u32>,
    offsets: &PyReadonlyArray1<'_, i64>,
) -> PyResult<Segments> {
    let (py, tokens, offsets) = (tokens.py(), contiguous(tokens)?, offsets_from(offsets)?);
    py.detach(|| Segments::from_flat(tokens.to_vec(), offsets)).map_err(to_python)
}

/// The bytes of base ids from flat arrays.
pub fn token_bytes_from(
    bytes: &PyReadonlyArray1<'_, u8>,
    offsets: &PyReadonlyArray1<'_, i64>,
) -> PyResult<TokenBytes> {
    let (py, bytes, offsets) = (bytes.py(), contiguous(bytes)?, offsets_from(offsets)?);
    py.detach(|| TokenBytes::new(bytes.to_vec(), offsets)).map_err(to_python)
}

/// Offsets as an int64 array.
pub fn offsets_to<'py>(py: Python<'py>, offsets: &[usize]) -> PyResult<Bound<'py, PyArray1<i64>>> {
    filled(py, offsets, |&offset| offset as i64)
}

/// Numbers as an array.
pub fn copied<'py, T: Element + Copy>(py: Python<'py>, numbers: &[T]) -> PyResult<Bound<'py, PyArray1<T>>> {
    filled(py, numbers, |&number| number)
}

/// A new array of what `convert` makes of each item; other Python threads go on meanwhile.
fn filled<'py, S: Sync, T: Element>(
    py: Python<'py>,
    items: &[S],
    convert: impl Fn(&S) -> T + Sync,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let array = new_array(py, items.len())?;
    {
        let mut room = array.readwrite();
        let places = room.as_slice_mut()?.iter_mut().zip(items);
        py.detach(|| places.for_each(|(place, item)| *place = convert(item)));
    }
    Ok(array)
}

/// A contiguous view.
///
/// # Errors
/// If the array is not contiguous.
pub fn contiguous<'a, T: Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|error| OptionError::new_err(error.to_string()))
}

/// A contiguous view of flags.
///
/// # Errors
/// If the array is not contiguous, or a byte in it is neither 0 nor 1: numpy takes such bytes for true where an
/// array of bytes is viewed as flags, and Rust must not.
pub fn flags<'a>(array: &'a PyReadonlyArray1<'_, bool>) -> PyResult<&'a [bool]> {
    let bytes: PyReadonlyArray1<'_, u8> = array.call_method1("view", ("u1",))?.extract()?;
    let bytes = contiguous(&bytes)?;
    // All bits at once: a search for the first wrong byte takes several times as long.
    if array.py().detach(|| bytes.iter().fold(0, |bits, &byte| bits | byte)) > 1 {
        return Err(OptionError::new_err("an array of flags has bytes other than 0 and 1"));
    }
    contiguous(array)
}

/// A new array of numbers to be written in place; what is in it before is arbitrary.
///
/// The memory is numpy's, which asks for huge pages and is not cleared first. On fresh memory, clearing and
/// small pages cost more than the expansion that is written there.
pub fn new_array<T: Element>(py: Python<'_>, length: usize) -> PyResult<Bound<'_, PyArray1<T>>> {
    let empty = py.import("numpy")?.getattr("empty")?;
    Ok(empty.call1((length, T::get_dtype(py)))?.cast_into()?)
}

/// A new array as of [`new_array`], to be [`cut`].
///
/// glibc maps fresh pages for an array of this size each time, until one as large has been given back whole;
/// a cut one never is. So one is made and given back untouched: for a million tokens, fresh pages with each
/// call would cost a third of the parse.
pub fn new_array_to_cut<T: Element>(py: Python<'_>, length: usize) -> PyResult<Bound<'_, PyArray1<T>>> {
    if length * size_of::<T>() >= SMALLEST_MAPPED {
        drop(new_array::<T>(py, length)?);
    }
    new_array(py, length)
}

/// Bytes from which on glibc may map memory rather than use again what it has.
const SMALLEST_MAPPED: usize = 128 << 10;

/// Gives back what lies behind the first `length` entries of a new array.
pub fn cut<T: Element>(array: &Bound<'_, PyArray1<T>>, length: usize) -> PyResult<()> {
    // The array is new, so numpy need not check for other references to it.
    let options = [("refcheck", false)].into_py_dict(array.py())?;
    array.call_method("resize", (length,), Some(&options)).map(drop)
}
