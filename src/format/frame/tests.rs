use proptest::prelude::*;

use super::*;

const SALT: u64 = 0x9f3c_2a1b_00d4_e5f6;

/// A journal of so many frames; where each begins, and all of them durable up to `synced` frames before.
fn journal(count: u64, lag: usize) -> (Vec<u8>, Vec<u64>) {
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::start(SALT);
    for number in 0..count {
        let kind = if number == 0 {
            Kind::Base
        } else {
            Kind::Commit
        };
        let synced = starts
            .len()
            .checked_sub(lag)
            .map_or(0, |place| starts[place]);
        let body = format!(
            "{number} {}\n",
            "x".repeat(usize::try_from(number * 7 % 90).unwrap())
        );
        starts.push(cursor.offset);
        let (frame, next) = cursor.frame(kind, synced, body.as_bytes());
        bytes.extend(frame);
        cursor = next;
    }
    (bytes, starts)
}

/// How many frames are read, or that damage was found.
fn read(bytes: &[u8]) -> Option<usize> {
    let (frames, cursor, _) = scan(bytes, Cursor::start(SALT), bytes.len() as u64).ok()?;
    for frame in &frames {
        let number = frame.header.number.to_string();
        assert!(bytes[frame.body.clone()].starts_with(number.as_bytes()));
    }
    assert_eq!(cursor.number, frames.len() as u64);
    Some(frames.len())
}

/// The largest offset that a frame which can still be found says was durable, in whole frames.
fn promised(bytes: &[u8], starts: &[u64]) -> usize {
    let mut durable = 0;
    for start in starts {
        let from = usize::try_from(*start).unwrap();
        if let Some(header) = bytes.get(from..).and_then(Header::read) {
            durable = durable.max(header.synced);
        }
    }
    starts.iter().filter(|start| **start < durable).count()
}

#[test]
fn a_header_is_a_line_of_its_width_that_a_person_can_read() {
    let (bytes, _) = Cursor::start(SALT).frame(Kind::Base, 0, b"{}\n");
    let text = String::from_utf8(bytes).unwrap();
    let (header, body) = text.split_at(HEADER_BYTES);
    assert_eq!(body, "{}\n");
    assert_eq!(
        header,
        "flockq1 B 9f3c2a1b00d4e5f6 0000000000000000 00000003 0000000000000000 00000000 "
            .to_owned()
            + &header[79..]
    );
    assert!(header.ends_with('\n') && header.lines().count() == 1);
}

#[test]
fn what_was_written_is_read() {
    let (bytes, starts) = journal(30, 1);
    assert_eq!(read(&bytes), Some(30));
    let (frames, _, tail) = scan(&bytes, Cursor::start(SALT), bytes.len() as u64).unwrap();
    assert_eq!(tail, Tail::Clean);
    // From the middle on, as a process does that has read the first half.
    let half = frames[14].header;
    let from = Cursor {
        offset: starts[15],
        salt: SALT,
        number: 15,
        previous: half.sum,
    };
    let rest = &bytes[usize::try_from(starts[15]).unwrap()..];
    assert_eq!(scan(rest, from, rest.len() as u64).unwrap().0.len(), 15);
}

#[test]
fn every_truncation_keeps_the_whole_frames_before_it() {
    let (bytes, starts) = journal(30, 1);
    for length in 0..bytes.len() {
        let whole = starts
            .iter()
            .filter(|start| **start <= length as u64)
            .count()
            - 1;
        assert_eq!(read(&bytes[..length]), Some(whole), "{length}");
    }
}

#[test]
fn every_flipped_bit_is_found_and_nothing_durable_is_dropped_unsaid() {
    for lag in [1, 40] {
        let (bytes, starts) = journal(30, lag);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[place] ^= 1 << bit;
                let whole = starts
                    .iter()
                    .filter(|start| **start <= place as u64)
                    .count()
                    - 1;
                match read(&broken) {
                    Some(count) => {
                        assert!(
                            count <= whole && count >= promised(&broken, &starts),
                            "{place} {bit}"
                        );
                    }
                    None => assert!(whole < 30),
                }
            }
        }
    }
}

#[test]
fn every_zeroed_block_is_found_and_nothing_durable_is_dropped_unsaid() {
    for lag in [1, 3, 40] {
        let (bytes, starts) = journal(30, lag);
        for from in 0..bytes.len() {
            let mut broken = bytes.clone();
            let to = (from + 512).min(bytes.len());
            broken[from..to].fill(0);
            if let Some(count) = read(&broken) {
                let whole = starts.iter().filter(|start| **start <= from as u64).count() - 1;
                assert!(
                    count <= whole && count >= promised(&broken, &starts),
                    "{from}"
                );
            }
        }
    }
}

#[test]
fn what_was_torn_off_does_not_join_again_behind_a_new_frame() {
    let (bytes, starts) = journal(3, 40);
    let (frames, _, _) = scan(
        &bytes[..usize::try_from(starts[2]).unwrap()],
        Cursor::start(SALT),
        starts[2],
    )
    .unwrap();
    let at = Cursor {
        offset: starts[1],
        salt: SALT,
        number: 1,
        previous: frames[0].header.sum,
    };
    // Another second frame of the same length, in front of the old third one.
    let mut body = bytes[frames[1].body.clone()].to_vec();
    body[0] = b'9';
    let (second, _) = at.frame(Kind::Commit, 0, &body);
    let mut joined = bytes[..usize::try_from(starts[1]).unwrap()].to_vec();
    joined.extend(second);
    joined.extend(&bytes[usize::try_from(starts[2]).unwrap()..]);
    assert_eq!(
        scan(&joined, Cursor::start(SALT), joined.len() as u64)
            .unwrap()
            .0
            .len(),
        2
    );
}

#[test]
fn frames_of_another_generation_do_not_fit() {
    let (bytes, _) = journal(3, 1);
    let (frames, _, tail) = scan(&bytes, Cursor::start(SALT + 1), bytes.len() as u64).unwrap();
    assert_eq!((frames.len(), tail), (0, Tail::Torn));
}

#[test]
fn neither_zeros_nor_a_frame_of_another_generation_that_fits_but_for_its_salt_are_a_frame() {
    let (bytes, starts) = journal(3, 1);
    for place in 1..3 {
        let at = usize::try_from(starts[place]).unwrap();
        let (before, _, _) = scan(&bytes[..at], Cursor::start(SALT), starts[place]).unwrap();
        let stranger = Cursor {
            offset: starts[place],
            salt: SALT + 1,
            number: place as u64,
            previous: before[place - 1].header.sum,
        };
        let (other, _) = stranger.frame(Kind::Commit, 0, b"1 1 1\n");
        for behind in [other, vec![0; 4096]] {
            let joined = [&bytes[..at], &behind].concat();
            let (frames, cursor, tail) =
                scan(&joined, Cursor::start(SALT), joined.len() as u64).unwrap();
            assert_eq!((frames.len(), tail), (place, Tail::Torn));
            assert_eq!(cursor.offset, starts[place]);
        }
    }
    assert!(Header::read(&[0; 4096]).is_none() && all_whole(&[0; 4096]).is_empty());
}

#[test]
fn a_frame_says_nothing_of_what_is_behind_itself() {
    let (mut bytes, cursor) = Cursor::start(SALT).frame(Kind::Base, 0, b"{}\n");
    bytes.extend(cursor.frame(Kind::Commit, cursor.offset + 1, b"x\n").0);
    assert_eq!(
        scan(&bytes, Cursor::start(SALT), bytes.len() as u64)
            .map(|(frames, _, _)| frames.len())
            .ok(),
        None
    );
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let (bytes, _) = journal(1, 1);
    assert_eq!(first(&bytes).unwrap().unwrap().salt, SALT);
    let newer = [b"flockq2 ", &bytes[8..]].concat();
    assert_eq!(first(&newer), Ok(None));
    assert!(first(b"").is_err() && first(&bytes[1..]).is_err() && first(&[0; 4096]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..600) {
        let (mut journal, _) = journal(4, 1);
        journal.truncate(cut);
        journal.extend(bytes);
        let _ = scan(&journal, Cursor::start(SALT), journal.len() as u64);
        let _ = first(&journal);
    }
}
