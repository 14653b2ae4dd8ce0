//! The boundary: following pointers, catching panics, mapping errors. Every exported function goes
//! through [`guard`].

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;

use super::{flockq_bytes, flockq_error, flockq_status};
use crate::{Error, ErrorKind, Result};

/// Runs a function's body: a panic becomes `Internal`, an error goes to `error` if the caller wants it.
pub(super) fn guard(
    error: *mut *mut flockq_error,
    body: impl FnOnce() -> Result<()>,
) -> flockq_status {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "flockq panicked: {}; please report it",
                text.unwrap_or_default()
            ),
        ))
    });
    match result {
        Ok(()) => flockq_status::Ok,
        Err(failed) => {
            let status = flockq_status::of(failed.kind());
            if let Some(place) = NonNull::new(error) {
                // SAFETY: rule 2 of the header: `error` is NULL or points to a place for one pointer.
                unsafe { place.write(Box::into_raw(Box::new(flockq_error::from(failed)))) };
            }
            status
        }
    }
}

/// An accessor's body: no status to return, so a panic or a NULL handle yields `otherwise`.
pub(super) fn look<H, T>(handle: *const H, otherwise: T, body: impl FnOnce(&H) -> T) -> T {
    let Ok(handle) = borrow(handle, "the handle") else {
        return otherwise;
    };
    catch_unwind(AssertUnwindSafe(|| body(handle))).unwrap_or(otherwise)
}

/// Follows a pointer to a handle.
pub(super) fn borrow<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: rule 1 of the header: a handle that is not NULL came from this library and was not freed.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

/// Takes a handle back from the caller and drops it; NULL does nothing. A panic in the drop stops here.
pub(super) fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: rule 1 of the header: it came from `give` and is freed once.
        let owned = unsafe { Box::from_raw(handle) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
    }
}

/// A place for a result, checked before anything is done, so that no result is lost for want of one.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    pub(super) fn new(place: *mut T, what: &str) -> Result<Self> {
        NonNull::new(place).map(Self).ok_or_else(|| null(what))
    }

    pub(super) fn put(self, value: T) {
        // SAFETY: rule 3 of the header: an output points to a place for its type; what is there is not read.
        unsafe { self.0.write(value) };
    }
}

impl<T> Out<*mut T> {
    /// Gives a handle to the caller.
    pub(super) fn give(self, value: T) {
        self.put(Box::into_raw(Box::new(value)));
    }
}

/// Follows borrowed bytes.
pub(super) fn bytes<'a>(bytes: flockq_bytes, what: &str) -> Result<&'a [u8]> {
    match (bytes.data.is_null(), bytes.size) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(null(what)),
        (false, size) if size > isize::MAX as usize => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} has an impossible size"),
        )),
        // SAFETY: rule 4 of the header: `data` points to `size` bytes that do not change during the call.
        (false, size) => Ok(unsafe { slice::from_raw_parts(bytes.data.cast(), size) }),
    }
}

/// Follows borrowed text.
pub(super) fn text<'a>(borrowed: flockq_bytes, what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes(borrowed, what)?)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, format!("{what} is not UTF-8")))
}

/// Text where an empty one means that none was given.
pub(super) fn optional_text<'a>(borrowed: flockq_bytes, what: &str) -> Result<Option<&'a str>> {
    Ok(Some(text(borrowed, what)?).filter(|text| !text.is_empty()))
}

/// Follows an array of texts.
pub(super) fn texts<'a>(
    items: *const flockq_bytes,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>> {
    array(items, count, what)?
        .iter()
        .map(|item| text(*item, what))
        .collect()
}

/// Follows an array; NULL only with no items.
pub(super) fn array<'a, T>(items: *const T, count: usize, what: &str) -> Result<&'a [T]> {
    match (items.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null(what)),
        (false, count) if count > isize::MAX as usize / size_of::<T>().max(1) => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} has an impossible size"),
        )),
        // SAFETY: rule 4 of the header: the array has `count` items that do not change during the call.
        (false, count) => Ok(unsafe { slice::from_raw_parts(items, count) }),
    }
}

/// An options struct: begins with its size, all zero means the defaults.
///
/// # Safety
/// Every bit pattern, zero included, is a value of the type.
pub(super) unsafe trait Options: Copy {
    /// What must be zero.
    fn reserved(&self) -> u32 {
        0
    }
}

/// Reads an options struct of whatever version of the header: fields that it does not have are zero, and those
/// that this library does not know must be.
pub(super) fn options<T: Options>(given: *const T) -> Result<T> {
    let mut read = MaybeUninit::<T>::zeroed();
    if !given.is_null() {
        // SAFETY: rule 7 of the header: an options struct begins with its size.
        let size = unsafe { given.cast::<usize>().read_unaligned() };
        if size < size_of::<usize>() || size > 4096 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("an options struct says that it has {size} bytes; set its size to sizeof"),
            ));
        }
        // SAFETY: rule 7 of the header: the struct has as many bytes as it says.
        let from = unsafe { slice::from_raw_parts(given.cast::<u8>(), size) };
        let known = size.min(size_of::<T>());
        if from.iter().skip(known).any(|byte| *byte != 0) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "an options struct sets a field that this version of flockq does not know; link a newer one",
            ));
        }
        // SAFETY: `known` is at most the size of either side, and they do not overlap.
        unsafe {
            read.as_mut_ptr()
                .cast::<u8>()
                .copy_from_nonoverlapping(from.as_ptr(), known);
        };
    }
    // SAFETY: `Options` promises that any bytes are a value.
    let read = unsafe { read.assume_init() };
    if read.reserved() != 0 {
        let text = "the reserved field of an options struct must be zero; set the whole struct to zero first";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(read)
}

#[cold]
fn null(what: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{what} is NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::{flockq_error_free, flockq_error_message};

    #[test]
    fn a_panic_becomes_a_status_and_an_error_of_one_line() {
        let mut error = std::ptr::null_mut();
        let status = guard(&raw mut error, || panic!("the index\nis gone"));
        assert_eq!(status, flockq_status::Internal);
        let message = flockq_error_message(error);
        // SAFETY: rule 5 of the header: the text lives until the error is freed.
        let text = unsafe { slice::from_raw_parts(message.data.cast::<u8>(), message.size) };
        assert!(text.starts_with(b"flockq panicked: the index") && !text.contains(&b'\n'));
        flockq_error_free(error);
        let without_a_place = guard(std::ptr::null_mut(), || panic!("again"));
        assert_eq!(without_a_place, flockq_status::Internal);
        assert_eq!(look(&raw const status, 7, |_| panic!("a third time")), 7);
    }
}
