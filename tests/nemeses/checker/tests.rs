//! The checker finds what is wrong: a history by hand for each rule, and one in which all is well.

#![cfg(test)]

use super::*;

const WHOLE: Moment = 1_000_000_000;

#[derive(Default)]
struct Story(Vec<Event>);

impl Story {
    fn event(
        mut self,
        process: usize,
        begin: Moment,
        end: Moment,
        act: Act,
        outcome: Outcome,
    ) -> Self {
        // In milliseconds: the slack of the checker is some of them.
        let (begin, end) = (begin * 1_000_000, end * 1_000_000);
        self.0.push(Event {
            process,
            begin,
            end,
            act,
            outcome,
        });
        self
    }

    fn send(self, at: Moment, id: &str, outcome: Outcome) -> Self {
        let ids = vec![id.to_owned()];
        let class = "normal";
        self.event(1, at, at + 1, Act::Send { ids, class }, outcome)
    }

    fn given(self, process: usize, at: Moment, id: &str, token: u64, attempts: u64) -> Self {
        let lease = WHOLE;
        let id = id.to_owned();
        let deliveries = vec![Delivery {
            id,
            token,
            attempts,
            lease,
        }];
        let queue = "inbound";
        self.event(
            process,
            at,
            at + 1,
            Act::Receive { queue, deliveries },
            Outcome::Ok,
        )
    }

    fn settle(self, way: Way, at: Moment, id: &str, token: u64, outcome: Outcome) -> Self {
        let id = id.to_owned();
        self.event(2, at, at + 1, Act::Settle { way, id, token }, outcome)
    }

    fn ack(self, at: Moment, id: &str, token: u64) -> Self {
        self.settle(Way::Ack, at, id, token, Outcome::Ok)
    }

    fn moved(self, at: Moment, from: &'static str, to: &'static str, id: &str) -> Self {
        let ids = vec![id.to_owned()];
        self.event(4, at, at + 1, Act::Move { from, to, ids }, Outcome::Ok)
    }

    fn hold(self, begin: Moment, end: Moment, value: u64) -> Self {
        self.event(5, begin, end, Act::Hold { value }, Outcome::Ok)
    }

    fn found(&self, end: &End) -> Vec<Rule> {
        let verdict = judge(&self.0, end, &BTreeSet::new());
        verdict
            .violations
            .into_iter()
            .map(|(rule, _)| rule)
            .collect()
    }

    fn finds(&self, rules: &[Rule]) {
        self.finds_at(&End::default(), rules);
    }

    fn finds_at(&self, end: &End, rules: &[Rule]) {
        assert_eq!(self.found(end), rules);
    }
}

fn sent() -> Story {
    Story::default().send(0, "a", Outcome::Ok)
}

fn stale() -> Outcome {
    Outcome::Failed("StaleReceipt".to_owned())
}

fn places(all: &[(&str, &str)]) -> End {
    let own = |(id, queue): &(&str, &str)| ((*id).to_owned(), (*queue).to_owned());
    End {
        at: 0,
        places: all.iter().map(own).collect(),
        counter: 0,
    }
}

#[test]
fn a_message_that_was_sent_given_and_acked_is_nothing_to_complain_of() {
    sent().given(2, 5, "a", 7, 1).ack(9, "a", 7).finds(&[]);
}

#[test]
fn every_cause_of_a_second_delivery_is_one() {
    let again = |story: Story| story.given(3, 50, "a", 8, 2).ack(60, "a", 8).finds(&[]);
    let given = || sent().given(2, 5, "a", 7, 1);
    again(given().event(2, 20, 20, Act::End, Outcome::Ok));
    again(given().settle(Way::Nack, 20, "a", 7, Outcome::Ok));
    again(given().settle(Way::Nack, 20, "a", 7, Outcome::Unknown));
    let late = given().given(3, 1100, "a", 8, 2).ack(1200, "a", 8);
    late.finds(&[]);
}

#[test]
fn a_confirmed_message_that_is_nowhere_is_lost() {
    sent().finds(&[Rule::Lost]);
    sent().given(2, 5, "a", 7, 1).finds(&[Rule::Lost]);
    // An ack whose outcome is not known may have taken it.
    let unknown = sent().given(2, 5, "a", 7, 1);
    unknown
        .settle(Way::Ack, 9, "a", 7, Outcome::Unknown)
        .finds(&[]);
    Story::default().send(0, "a", Outcome::Unknown).finds(&[]);
}

#[test]
fn a_message_that_nobody_sent_is_unexpected() {
    Story::default()
        .given(2, 5, "a", 7, 1)
        .finds(&[Rule::Unexpected]);
    let refused = Story::default().send(0, "a", Outcome::Failed("Io".to_owned()));
    let found = refused.given(2, 5, "a", 7, 1).found(&End::default());
    assert_eq!(found, [Rule::Unexpected, Rule::Failure]);
}

#[test]
fn what_comes_again_while_its_lease_lives_overlaps() {
    let twice = sent().given(2, 5, "a", 7, 1).given(3, 50, "a", 8, 2);
    twice.ack(60, "a", 8).finds(&[Rule::Overlap]);
    // Its consumer ended, but later.
    let twice = sent().given(2, 5, "a", 7, 1).given(3, 50, "a", 8, 2);
    let ended = twice.event(2, 70, 70, Act::End, Outcome::Ok);
    ended.ack(60, "a", 8).finds(&[Rule::Overlap]);
    // An extension counts from when it was asked for.
    let extended =
        sent()
            .given(2, 5, "a", 7, 1)
            .settle(Way::Extend(WHOLE), 900, "a", 7, Outcome::Ok);
    extended
        .given(3, 1100, "a", 8, 2)
        .ack(1200, "a", 8)
        .finds(&[Rule::Overlap]);
}

#[test]
fn what_was_acked_and_comes_again_is_found() {
    let back = sent()
        .given(2, 5, "a", 7, 1)
        .ack(9, "a", 7)
        .event(2, 20, 20, Act::End, Outcome::Ok);
    back.given(3, 50, "a", 8, 2).finds(&[Rule::AckedAndBack]);
    let there = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    let end = End {
        at: 100_000_000,
        ..places(&[("a", "archive")])
    };
    there.finds_at(&end, &[Rule::AckedAndBack]);
}

#[test]
fn a_stale_receipt_that_is_accepted_is_found() {
    // Somebody else had it by then.
    let late = sent()
        .given(2, 5, "a", 7, 1)
        .event(2, 20, 20, Act::End, Outcome::Ok);
    let late = late
        .given(3, 50, "a", 8, 2)
        .settle(Way::Nack, 60, "a", 7, Outcome::Ok)
        .ack(70, "a", 8);
    late.finds(&[Rule::StaleAccepted]);
    // Its lease had run out.
    let late = sent().given(2, 5, "a", 7, 1).ack(1200, "a", 7);
    late.finds(&[Rule::StaleAccepted]);
    let twice = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7).ack(20, "a", 7);
    twice.finds(&[Rule::StaleAccepted]);
}

#[test]
fn a_receipt_that_is_refused_in_time_is_found() {
    let refused = sent()
        .given(2, 5, "a", 7, 1)
        .settle(Way::Ack, 20, "a", 7, stale());
    refused.ack(30, "a", 7).finds(&[Rule::RefusedInTime]);
    let done = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    done.settle(Way::Ack, 20, "a", 7, stale()).finds(&[]);
}

#[test]
fn a_token_and_a_number_of_attempts_that_do_not_grow_are_found() {
    let ended = || {
        sent()
            .given(2, 50, "a", 7, 1)
            .event(2, 60, 60, Act::End, Outcome::Ok)
    };
    ended()
        .given(3, 70, "a", 8, 1)
        .ack(90, "a", 8)
        .finds(&[Rule::Attempts]);
    // Taken from the dead letters meanwhile.
    let redriven = ended().moved(65, "dead-letter", "inbound", "a");
    redriven.given(3, 70, "a", 8, 1).ack(90, "a", 8).finds(&[]);
    let same = ended().given(3, 70, "a", 7, 2).ack(90, "a", 7);
    assert!(same.found(&End::default()).contains(&Rule::Token));
    // The larger one came first.
    let story = sent()
        .given(3, 5, "a", 8, 2)
        .event(3, 6, 6, Act::End, Outcome::Ok);
    let story = story.given(2, 50, "a", 7, 1).ack(60, "a", 7);
    assert!(story.found(&End::default()).contains(&Rule::Token));
}

#[test]
fn two_messages_of_one_process_in_the_wrong_order_are_found() {
    let both = || sent().send(2, "b", Outcome::Ok);
    let wrong = both().given(2, 5, "b", 7, 1).ack(7, "b", 7);
    wrong
        .given(3, 10, "a", 8, 1)
        .ack(12, "a", 8)
        .finds(&[Rule::Order]);
    // At the same time is no order.
    let side_by_side = both().given(2, 5, "b", 7, 1).ack(7, "b", 7);
    side_by_side
        .given(3, 6, "a", 8, 1)
        .ack(12, "a", 8)
        .finds(&[]);
    // Somebody had it before, and did not live to tell.
    let taken = both().given(2, 5, "b", 7, 1).ack(7, "b", 7);
    taken.given(3, 10, "a", 8, 2).ack(12, "a", 8).finds(&[]);
}

#[test]
fn a_message_in_two_queues_is_found() {
    let there = || sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    there().finds_at(&places(&[("a", "inbound")]), &[]);
    let twice = places(&[("a", "inbound"), ("a", "archive")]);
    there().finds_at(&twice, &[Rule::TwoPlaces]);
}

#[test]
fn a_message_that_leaves_a_queue_twice_has_to_come_back_between() {
    let gone = || sent().moved(5, "inbound", "archive", "a");
    let done = |story: Story| story.given(2, 50, "a", 7, 1).ack(60, "a", 7);
    done(gone().moved(10, "inbound", "archive", "a")).finds(&[Rule::MovedTwice]);
    let back = gone().moved(10, "archive", "inbound", "a");
    done(back.moved(15, "inbound", "archive", "a")).finds(&[]);
}

#[test]
fn two_who_hold_one_lock_and_a_change_that_went_missing_are_found() {
    let end = |counter| End {
        counter,
        ..End::default()
    };
    let one = || Story::default().hold(0, 10, 1);
    one().hold(10, 20, 2).finds_at(&end(2), &[]);
    one().hold(5, 20, 2).finds_at(&end(2), &[Rule::TwoHolders]);
    one().hold(10, 20, 1).finds_at(&end(2), &[Rule::LostUpdate]);
    one().hold(10, 20, 2).finds_at(&end(1), &[Rule::LostUpdate]);
    // It was killed before anybody knew that it had the lock.
    let killed = Story::default().event(6, 1, 1, Act::End, Outcome::Ok);
    let killed = killed
        .hold(0, 10, 1)
        .event(6, 5, 8, Act::Hold { value: 2 }, Outcome::Unknown);
    killed.finds_at(&end(1), &[]);
    let perhaps = one().event(5, 10, 10, Act::Hold { value: 2 }, Outcome::Unknown);
    perhaps.finds_at(&end(1), &[]);
    perhaps.finds_at(&end(2), &[]);
    perhaps.finds_at(&end(3), &[Rule::LostUpdate]);
}

#[test]
fn a_failure_that_nothing_explains_is_found() {
    let failed = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    let failed = failed.event(2, 20, 21, Act::Other, Outcome::Failed("Io".to_owned()));
    failed.finds(&[Rule::Failure]);
    let excused = judge(&failed.0, &End::default(), &BTreeSet::from(["Io"]));
    assert!(excused.violations.is_empty());
    let unsure = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    let unsure = unsure.event(2, 20, 21, Act::Unsure("a sync".to_owned()), Outcome::Ok);
    unsure.finds(&[Rule::Failure]);
    let excused = judge(
        &unsure.0,
        &End::default(),
        &BTreeSet::from(["OutcomeUnknown"]),
    );
    assert!(excused.violations.is_empty());
    let died = sent().given(2, 5, "a", 7, 1).ack(9, "a", 7);
    let died = died.event(2, 20, 20, Act::Wrong("a bus error".to_owned()), Outcome::Ok);
    died.finds(&[Rule::Wrong]);
}
