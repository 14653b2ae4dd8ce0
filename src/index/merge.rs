//! Another program has set the array anew: what becomes of what the journal says. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::Seq;
use crate::format::envelope::Element;

/// Elements by their numbers.
pub(crate) type Numbered = BTreeMap<Seq, Element>;

/// What a merge leads to, and what it did with messages that only one side had.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) array: Vec<Arc<[u8]>>,
    /// What the other program added, by id.
    pub(crate) added: Vec<String>,
    /// What it took away although it was still in the queue, by id.
    pub(crate) removed: Vec<String>,
}

/// Applies what happened to messages since the snapshot `before` to the array that another program has put in its place.
/// `now` is what the queue held, in which numbers from `new` on are of messages that were never in a snapshot.
///
/// Messages are found again by id, the first by the first; without an id, by their payload.
pub(crate) fn merge(array: Vec<Element>, before: &Numbered, mut now: Numbered, new: Seq) -> Merged {
    let mut merged = Merged::default();
    let mut sent = now.split_off(&new);
    // Where the snapshot before is lost, what an update has written anew since is known all the same.
    let mut old: BTreeMap<Seq, &Element> = all(&now).collect();
    old.extend(all(before));
    let (mut places, mut sent_places) = (places(old), places(all(&sent)));
    for element in array {
        let place = places.get_mut(&key(&element));
        let Some(seq) = place.and_then(VecDeque::pop_front) else {
            // A later snapshot of ours, of which the journal was lost: it has what was sent since.
            let place = sent_places.get_mut(&key(&element));
            if let Some(seq) = place.and_then(VecDeque::pop_front) {
                sent.remove(&seq);
                merged.array.push(Arc::clone(element.text()));
                continue;
            }
            merged.added.push(label(&element));
            merged.array.push(Arc::clone(element.text()));
            continue;
        };
        let Some(known) = now.remove(&seq) else {
            // It was acked or removed since.
            continue;
        };
        let old = before.get(&seq);
        let text = if old.is_some_and(|old| old.text() == known.text()) {
            Arc::clone(element.text())
        } else if old.is_none_or(|old| old.payload() == element.payload()) {
            // Another payload, if it has one, was given to it by an update.
            Arc::clone(known.text())
        } else {
            let (head, tail) = known.around();
            [head, element.payload(), tail].concat().into()
        };
        merged.array.push(text);
    }
    merged.removed = now.values().map(label).collect();
    merged
        .array
        .extend(sent.values().map(|element| Arc::clone(element.text())));
    merged
}

/// The elements of an array that were not in the queue before, and have not come to it since.
pub(crate) fn added(mut array: Vec<Element>, before: &Numbered, now: &Numbered) -> Vec<Element> {
    let sent = now.iter().filter(|(seq, _)| !before.contains_key(seq));
    let sent: Numbered = sent.map(|(seq, one)| (*seq, one.clone())).collect();
    let mut known = [places(all(before)), places(all(&sent))];
    array.retain(|element| {
        let key = key(element);
        let is_known = |places: &mut HashMap<_, VecDeque<Seq>>| {
            let place = places.get_mut(&key);
            place.and_then(VecDeque::pop_front).is_some()
        };
        !known.iter_mut().any(is_known)
    });
    array
}

/// Where the messages with each key are, the first one first.
fn places<'a>(
    elements: impl IntoIterator<Item = (Seq, &'a Element)>,
) -> HashMap<Vec<u8>, VecDeque<Seq>> {
    let mut places: HashMap<_, VecDeque<Seq>> = HashMap::new();
    for (seq, element) in elements {
        places.entry(key(element)).or_default().push_back(seq);
    }
    places
}

fn all(elements: &Numbered) -> impl Iterator<Item = (Seq, &Element)> {
    elements.iter().map(|(seq, element)| (*seq, element))
}

fn key(element: &Element) -> Vec<u8> {
    match element.id() {
        Some(id) => [b"i", id.as_bytes()].concat(),
        None => [b"p", element.payload()].concat(),
    }
}

fn label(element: &Element) -> String {
    element
        .id()
        .map_or_else(|| "without an id".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Element {
        Element::parse(Arc::from(text.as_bytes())).unwrap()
    }

    fn numbered(all: &[(Seq, &str)]) -> Numbered {
        all.iter()
            .map(|(seq, text)| (*seq, element(text)))
            .collect()
    }

    fn texts(merged: &Merged) -> Vec<&str> {
        merged
            .array
            .iter()
            .map(|text| std::str::from_utf8(text).unwrap())
            .collect()
    }

    #[test]
    fn what_was_acked_stays_acked_what_was_leased_stays_leased_and_what_was_sent_is_there() {
        let before = numbered(&[
            (0, r#"{"message":{"id":"acked"}}"#),
            (1, r#"{"message":{"id":"leased"}}"#),
            (2, r#"{"message":{"id":"untouched"}}"#),
            (3, r#"{"message":{"id":"taken away"}}"#),
        ]);
        let now = numbered(&[
            (1, r#"{"message":{"id":"leased"},"attempts":1}"#),
            (2, r#"{"message":{"id":"untouched"}}"#),
            (3, r#"{"message":{"id":"taken away"}}"#),
            (4, r#"{"message":{"id":"sent"}}"#),
        ]);
        let array = [
            r#"{"message":{"id":"acked"}}"#,
            r#"{"message":{"id":"leased","read":true}}"#,
            r#"{"message":{"id":"untouched"},"mine":1}"#,
            r#"{"message":{"id":"theirs"}}"#,
        ];
        let merged = merge(array.map(element).into(), &before, now, 4);
        assert_eq!(
            texts(&merged),
            [
                r#"{"message":{"id":"leased","read":true},"attempts":1}"#,
                r#"{"message":{"id":"untouched"},"mine":1}"#,
                r#"{"message":{"id":"theirs"}}"#,
                r#"{"message":{"id":"sent"}}"#,
            ]
        );
        assert_eq!(
            (merged.added, merged.removed),
            (vec!["theirs".into()], vec!["taken away".into()])
        );
    }

    #[test]
    fn a_payload_that_was_changed_stays_so_unless_the_other_program_has_changed_it_too() {
        let before = [
            (0, r#"{"message":{"id":"ours"}}"#),
            (1, r#"{"message":{"id":"both"}}"#),
        ];
        let now = [
            (0, r#"{"message":{"id":"ours","n":1}}"#),
            (1, r#"{"message":{"id":"both","n":1},"attempts":1}"#),
        ];
        let array = [
            r#"{"message":{"id":"ours"},"x":1}"#,
            r#"{"message":{"id":"both","n":2}}"#,
        ];
        let merged = merge(
            array.map(element).into(),
            &numbered(&before),
            numbered(&now),
            2,
        );
        let both = r#"{"message":{"id":"both","n":2},"attempts":1}"#;
        assert_eq!(texts(&merged), [r#"{"message":{"id":"ours","n":1}}"#, both]);
    }

    #[test]
    fn what_was_sent_since_and_is_in_the_array_is_there_once() {
        let text = |id: &str| format!(r#"{{"message":{{"id":"{id}"}}}}"#);
        let now = [(0, text("a")), (1, text("b"))];
        let now: Vec<_> = now.iter().map(|(seq, text)| (*seq, &**text)).collect();
        let array = ["a", "b", "c"].map(|id| element(&text(id))).into();
        let merged = merge(array, &numbered(&now[..1]), numbered(&now), 1);
        assert_eq!(texts(&merged), ["a", "b", "c"].map(text));
        assert_eq!(merged.added.len(), 1);
    }

    #[test]
    fn messages_without_ids_are_known_by_their_payload_and_equal_ones_are_counted() {
        let before = numbered(&[(0, "1"), (1, "1"), (2, "2")]);
        let now = numbered(&[(1, "1"), (2, "2")]);
        let merged = merge(["1", "1", "1"].map(element).into(), &before, now, 3);
        assert_eq!(texts(&merged), ["1", "1"]);
        assert_eq!((merged.added.len(), merged.removed.len()), (1, 1));
    }
}
