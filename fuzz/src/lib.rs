//! What each target does with an input. Inputs are the bytes of files as they are, or texts, or are read by [`input`]: what
//! was found once means the same as long as these files say so.

pub mod calls;
pub mod config;
pub mod images;
pub mod input;
pub mod journal;
pub mod mend;
pub mod names;
pub mod place;
pub mod snapshot;
pub mod use_up;
