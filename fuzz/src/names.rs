//! Lines of text as the names of two queues, an id and a setting: nothing leaves the directory, and no two names share a file.

use std::fs;

use flockq::{Filter, List, Message, Spool, Sync};

use super::input::Input;
use super::place::{self, files};
use super::use_up::told;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut line = || String::from_utf8_lossy(input.line()).into_owned();
    let (one, other, id, value) = (line(), line(), line(), line());
    let directory = place::empty();
    let spool = Spool::builder(&directory).sync(Sync::Off).open().unwrap();
    let mut queues = Vec::new();
    for name in [&one, &other] {
        let before = files(&directory);
        let Ok(queue) = spool.queue(name).inspect_err(told) else {
            assert_eq!(files(&directory), before, "{name:?} is refused");
            continue;
        };
        if queue
            .send(Message::from_json("1").id(id.clone()))
            .inspect_err(told)
            .is_ok()
        {
            let others = before.iter().filter(|(file, _)| {
                *file != "flockq.json" && !file.starts_with(&format!("{name}.json"))
            });
            let now = files(&directory);
            others.for_each(|(file, bytes)| assert_eq!(now.get(file), Some(bytes), "{file}"));
            queues.push(queue);
        }
    }
    if let [first, second] = &queues[..] {
        let both = if one == other { 2 } else { 1 };
        assert_eq!((first.len().unwrap(), second.len().unwrap()), (both, both));
        for queue in &queues {
            let page = queue.list(&List::new()).unwrap();
            assert!(page.envelopes.iter().all(|one| one.id() == Some(&*id)));
        }
        let mut names = vec![one.clone(), other.clone()];
        names.sort();
        names.dedup();
        assert_eq!(spool.queues().unwrap(), names);
    }
    for queue in &queues {
        let _ = queue
            .move_to(&other, &Filter::new().ids([id.clone()]))
            .inspect_err(told);
        let _ = queue.remove(&[&id]).inspect_err(told);
    }
    let _ = spool
        .set_config(&format!("{one}.{other}"), &value)
        .inspect_err(told);
    let _ = spool.set_config(&id, &value).inspect_err(told);
    drop((queues, spool));
    // What is there can be opened again, and beside the spool there is nothing.
    Spool::open(&directory).unwrap();
    let beside = fs::read_dir(directory.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1);
}
