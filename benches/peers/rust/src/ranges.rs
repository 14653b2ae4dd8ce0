//! The numbers of messages as text: 0-4,7.

/// Sorts the numbers; they as ranges, and how many were there more than once.
pub fn of(mut numbers: Vec<u32>) -> (String, u32) {
    numbers.sort_unstable();
    let all = numbers.len();
    numbers.dedup();
    let again = u32::try_from(all - numbers.len()).expect("messages are counted in 32 bits");
    let runs: Vec<String> = numbers
        .chunk_by(|one, next| one + 1 == *next)
        .map(|run| match run {
            [single] => single.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    (runs.join(","), again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_name_every_number_once_and_count_what_came_again() {
        for (numbers, text, again) in [
            (vec![], "", 0),
            (vec![7], "7", 0),
            (vec![7, 0, 2, 1, 4, 3], "0-4,7", 0),
            (vec![5, 5, 6, 5, 9], "5-6,9", 2),
            (vec![u32::MAX, u32::MAX - 1], "4294967294-4294967295", 0),
        ] {
            assert_eq!(of(numbers), (text.to_owned(), again));
        }
    }
}
