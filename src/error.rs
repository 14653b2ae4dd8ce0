//! Errors. The only place where their codes are numbered: the C statuses, the Go sentinels
//! and the Python exceptions derive from this list, and a test in each language compares them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of every operation that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// One line per kind: variant, code, what it means.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $summary:literal;)*) => {
        /// What kind of thing went wrong. The numbers are part of the C ABI and are never used again for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind {
            $(#[doc = $summary] $name = $code,)*
        }

        impl ErrorKind {
            /// Every kind, in order of its code.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The kind's name, the same in every language.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }

            /// One sentence that says what the kind means.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(ErrorKind::$name => $summary,)* }
            }

            /// The kind with this code.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<ErrorKind> {
                match code { $($code => Some(ErrorKind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    InvalidArgument = 1, "An argument is not allowed: a name, an option, a receipt that is no receipt.";
    Io = 2, "The operating system refused; the error carries its errno.";
    LockTimeout = 3, "The lock could not be had in the time allowed; nothing was changed.";
    Interrupted = 4, "The wait was ended by an interrupt or a signal; nothing was changed.";
    NotFound = 5, "The spool directory or a file that must be there does not exist.";
    AlreadyExists = 6, "The id is already in the queue, or the spool is already set up differently.";
    Corrupt = 7, "A file is damaged; the error names the file, the offset and the rule that it breaks.";
    Version = 8, "A file was written by a newer version of flockq, or asks for what this one does not have.";
    TooLarge = 9, "What is sent is larger than a limit.";
    InvalidJson = 10, "The payload is not JSON that every language reads alike.";
    StaleReceipt = 11, "The lease that the receipt names has ended; nothing was changed.";
    Full = 12, "The queue has reached its limit.";
    Closed = 13, "The handle was closed, or belongs to the process before a fork.";
    Poisoned = 14, "Reserved: no version of flockq returns it.";
    OutcomeUnknown = 15, "The change may or may not have become durable; look before doing it again.";
    WouldDeadlock = 16, "The caller already holds this lock, or waits for it; waiting for it would never end.";
    UnsafeFilesystem = 17, "Locks do not exclude on this file system, or it is not known that they do.";
    Internal = 18, "A bug in flockq; please report it.";
}

impl ErrorKind {
    /// The kind's number: the C status.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went wrong: its kind, and one line that says what was found, where, and what to do.
///
/// The type is one pointer wide, so that results stay small on the paths that succeed.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    text: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    source: Option<io::Error>,
    /// What a damaged file breaks.
    rule: Option<Box<str>>,
    became: Became,
}

/// What became of the change, as far as that is for the caller to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Unsaid,
    /// Everybody sees it; only whether it is durable is not known.
    Made,
    /// A move that had begun was taken back: the messages are where they were.
    TakenBack,
}

impl Error {
    /// An error of `kind` whose line is `text`.
    #[cold]
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        let text = one_line(text.into());
        Self(Box::new(Inner {
            kind,
            text,
            path: None,
            offset: None,
            source: None,
            rule: None,
            became: Became::Unsaid,
        }))
    }

    /// The operating system's error while doing `what` (a verb: "open", "sync") to `path`.
    #[cold]
    pub(crate) fn io(what: &str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        let text = format!(
            "cannot {what} {}: {source}{}",
            path.display(),
            advice(&source)
        );
        Self::new(ErrorKind::Io, text).at(path).because(source)
    }

    /// Damage in `path` at `offset`, which breaks `rule`.
    #[cold]
    pub(crate) fn corrupt(path: impl Into<PathBuf>, offset: u64, rule: &str) -> Self {
        let path = path.into();
        let text = format!(
            "{} is damaged at byte {offset}: {rule}; it was left as it is, mend it or move it away",
            path.display()
        );
        let mut error = Self::new(ErrorKind::Corrupt, text)
            .at(path)
            .offset_at(offset);
        error.0.rule = Some(rule.into());
        error
    }

    /// Names the file that the error is about.
    pub(crate) fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// Keeps the operating system's error.
    pub(crate) fn because(mut self, source: io::Error) -> Self {
        self.0.source = Some(source);
        self
    }

    pub(crate) fn offset_at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The same error in other words; its kind, the file and the errno stay.
    pub(crate) fn saying(mut self, words: impl FnOnce(&Self) -> String) -> Self {
        self.0.text = one_line(words(&self));
        self
    }

    /// The same error told as another kind; the file and the errno stay.
    pub(crate) fn into_kind(mut self, kind: ErrorKind, prefix: &str) -> Self {
        self.0.kind = kind;
        self.saying(|error| format!("{prefix}{error}"))
    }

    /// The same error of what comes before a change, which was not begun.
    pub(crate) fn before_the_change(mut self, prefix: &str) -> Self {
        self.0.became = Became::Unsaid;
        let kind = match self.0.kind {
            ErrorKind::OutcomeUnknown => ErrorKind::Io,
            kind => kind,
        };
        self.into_kind(kind, prefix)
    }

    /// The same error about a change that everybody sees, and that may not be durable.
    pub(crate) fn made(mut self) -> Self {
        self.0.became = Became::Made;
        self
    }

    /// Whether everybody sees the change all the same.
    pub(crate) fn is_made(&self) -> bool {
        self.0.became == Became::Made
    }

    /// The same error about a move that was taken back.
    pub(crate) fn taken_back(mut self) -> Self {
        self.0.became = Became::TakenBack;
        self
    }

    /// Whether the messages are where they were before the move.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.0.became == Became::TakenBack
    }

    /// The rule that a damaged file breaks.
    pub(crate) fn rule(&self) -> Option<&str> {
        self.0.rule.as_deref()
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file that the error is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The operating system's error number.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// Where in the file (or, for `InvalidJson`, in the payload) the rule is broken, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// What a person can do about the commonest system errors. What became of the change is for those to say who know it.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "; free some space",
        Some(libc::EACCES | libc::EPERM) => {
            "; check the owner and the permissions of it and its directory"
        }
        Some(libc::EROFS) => "; the file system is mounted read-only",
        Some(libc::EMFILE | libc::ENFILE) => "; raise the limit on open files (ulimit -n)",
        Some(libc::ELOOP) => "; a symbolic link stands there, which flockq does not follow",
        Some(libc::EMLINK) => {
            "; it has a second name, so it may be another program's: remove that name, or repair the queue"
        }
        Some(libc::EOVERFLOW) => {
            "; its owner, its group or somebody in its access control list does not exist in this user namespace, so it cannot be replaced"
        }
        Some(libc::ENXIO) => {
            "; a FIFO, a device or a socket stands there instead of a regular file"
        }
        _ => "",
    }
}

/// An error is one line, whatever a file name or a message in it holds.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_unique_and_round_trip() {
        for (place, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(usize::try_from(kind.code()).unwrap(), place + 1);
            assert_eq!(ErrorKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(ErrorKind::ALL.len(), 18);
        assert_eq!(ErrorKind::from_code(0), None);
        assert_eq!(ErrorKind::from_code(19), None);
    }

    #[test]
    fn an_error_is_one_line_and_one_pointer() {
        let error = Error::io("open", "a\nb", io::Error::from_raw_os_error(libc::ENOSPC));
        assert!(!error.to_string().contains('\n'));
        assert_eq!(error.errno(), Some(libc::ENOSPC));
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn an_error_that_is_told_in_other_words_keeps_what_is_known_of_it() {
        let full = Error::io("write", "a/b", io::Error::from_raw_os_error(libc::ENOSPC));
        let told = full.saying(|full| format!("{full};\nit goes on")).made();
        assert!(
            told.to_string().ends_with("free some space; it goes on"),
            "{told}"
        );
        assert_eq!(
            (told.kind(), told.errno()),
            (ErrorKind::Io, Some(libc::ENOSPC))
        );
        assert_eq!(told.path(), Some(Path::new("a/b")));
        let unknown = told.into_kind(ErrorKind::OutcomeUnknown, "perhaps: ");
        assert!(
            unknown.to_string().starts_with("perhaps: cannot write a/b"),
            "{unknown}"
        );
        assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
        assert!(unknown.is_made() && !unknown.is_taken_back());
    }
}
