//! Receipts: the text that names one delivery of one message.

use std::fmt::Write;

use crate::error::{Error, ErrorKind, Result};

/// `TOKEN.RANDOM.ID`: the token in decimal (it grows with each delivery of the message), sixteen
/// hexadecimal digits, the message's id with every byte but letters, digits, `-` and `_` as `%XX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    pub(crate) token: u64,
    pub(crate) random: u64,
}

impl Receipt {
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(40 + self.id.len());
        // Writing to a string does not fail.
        let _ = write!(text, "{}.{:016x}.", self.token, self.random);
        for byte in self.id.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::parts(text).ok_or_else(|| {
            let shown: String = text.chars().take(60).collect();
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{shown:?} is no receipt; use the text that a receive returned"),
            )
        })
    }

    fn parts(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (token, random, id) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
        let hex = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !hex || id.is_empty() {
            return None;
        }
        Some(Self {
            id: unescape(id)?,
            token: token.parse().ok()?,
            random: u64::from_str_radix(random, 16).ok()?,
        })
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                bytes.push(u8::try_from(value).ok()?);
            }
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_are_no_receipts_are_refused() {
        for text in [
            "",
            "x",
            "1.2.3",
            "1.0000000000000001.",
            "-1.0000000000000001.a",
            "1.0000000000000001.a b",
            "1.000000000000000g.a",
            "1.0000000000000001.%f",
            "1.0000000000000001.%FF",
        ] {
            assert_eq!(
                Receipt::parse(text).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_receipt_round_trips_and_needs_no_quotes_in_a_shell(id in "\\PC{1,20}", token in any::<u64>(), random in any::<u64>()) {
            let receipt = Receipt { id, token, random };
            let text = receipt.text();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte)));
            prop_assert_eq!(Receipt::parse(&text).unwrap(), receipt);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = Receipt::parse(&text);
        }
    }
}
