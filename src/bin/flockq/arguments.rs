//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use flockq::{Filter, Mode, Priority, State, Sync, parse_duration};

/// Durable message queues in JSON files that processes in C, Go, Python, Rust and the shell share.
///
/// Exit codes: 0 done, 3 nothing there, 4 timed out, 2 usage, 1 anything else, with one line on standard error.
/// Durations are written 250ms, 30s, 5m, 1h30m.
#[derive(Parser)]
#[command(
    name = "flockq",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// The spool: the directory of the queues [default: $FLOCKQ_DIR, else the current directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    pub(crate) fn directory(&self) -> PathBuf {
        let from_environment = || {
            std::env::var_os("FLOCKQ_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        };
        self.dir
            .clone()
            .or_else(from_environment)
            .unwrap_or_else(|| PathBuf::from("."))
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Set a directory up; existing queue files are not touched
    Init {
        /// The directory; made when it is missing. Relative to --dir when that is given
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// New queues are plain files: for directories shared with programs that do not use the library
        #[arg(long)]
        plain: bool,
        /// The queues inbound, outbound and dead-letter with the policy of a mail daemon: 3 attempts, 5 minutes between them
        #[arg(long)]
        mail: bool,
        /// Another lock directory, relative to DIR
        #[arg(long, value_name = "PATH")]
        lock_dir: Option<String>,
        /// The durability of all queues: full, normal or off
        #[arg(long)]
        sync: Option<Sync>,
    },
    /// Send a message and print its id
    ///
    /// Without JSON, or with -, the payload is read from standard input.
    Send {
        queue: String,
        /// The payload
        #[arg(allow_hyphen_values = true)]
        json: Option<String>,
        /// The message's id; refused when it is already in the queue
        #[arg(long)]
        id: Option<String>,
        /// urgent, high, normal or low
        #[arg(long)]
        priority: Option<Priority>,
        /// Not to be received before this time has passed
        #[arg(long, value_parser = parse_duration)]
        delay: Option<Duration>,
        /// Not to be delivered any more when this time has passed
        #[arg(long, value_parser = parse_duration)]
        ttl: Option<Duration>,
        /// With an id that is already in the queue, or left it within its dedup_window, send nothing and print that id
        #[arg(long)]
        dedup: bool,
        /// When the queue is full, wait this long for room
        #[arg(long, value_parser = parse_duration)]
        wait: Option<Duration>,
        /// The durability of this send: full, normal or off
        #[arg(long)]
        sync: Option<Sync>,
        /// One message a line of standard input, all in one commit
        #[arg(long, conflicts_with_all = ["json", "id"])]
        lines: bool,
    },
    /// Take messages under a lease; prints one JSON object a line: id, receipt, attempts, message
    ///
    /// The lease ends at its deadline or a reboot: it does not end with this command. What cannot be printed is given back.
    Receive {
        queue: String,
        /// How long the message is yours [default: as configured, else 5m]
        #[arg(long, value_parser = parse_duration)]
        lease: Option<Duration>,
        /// Wait this long for a message
        #[arg(long, value_parser = parse_duration)]
        wait: Option<Duration>,
        /// Take up to this many
        #[arg(long, default_value_t = 1)]
        max: usize,
    },
    /// Done: remove the messages that these receipts name
    Ack {
        queue: String,
        #[arg(required = true)]
        receipts: Vec<String>,
    },
    /// Give messages back; with an error they wait, and are given up after the last attempt, as configured
    Nack {
        queue: String,
        #[arg(required = true)]
        receipts: Vec<String>,
        /// Why; kept in the envelope
        #[arg(long, allow_hyphen_values = true)]
        error: Option<String>,
        /// Not to be received again before this time has passed
        #[arg(long, value_parser = parse_duration)]
        delay: Option<Duration>,
    },
    /// Let leases run on from now
    Extend {
        queue: String,
        #[arg(required = true)]
        receipts: Vec<String>,
        /// For how long
        #[arg(long, value_parser = parse_duration, default_value = "5m")]
        lease: Duration,
    },
    /// Give each message to a command: ack when it exits with 0, else nack with the last line of its standard error
    ///
    /// The payload is the command's standard input; FLOCKQ_DIR, FLOCKQ_QUEUE, FLOCKQ_ID, FLOCKQ_ATTEMPTS and FLOCKQ_RECEIPT are in
    /// its environment. The lease is kept while it runs. On SIGTERM, SIGINT or SIGHUP what is being worked on is finished, and
    /// nothing more is taken. Where there is no such program nothing is taken at all; when the command cannot be started all the
    /// same, the message is given back. Then this ends: with exit code 2 where the command is at fault, with 1 where the system has
    /// no room for it just now. The command is in a process group of its own: it must not read from the terminal (/dev/tty), which
    /// would stop it.
    Run {
        queue: String,
        /// How many messages at the same time
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// How long a message is this process's, at a time [default: as configured, else 5m]
        #[arg(long, value_parser = parse_duration)]
        lease: Option<Duration>,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Take the next message for good; prints id, attempts, message
    ///
    /// What cannot be printed is put back, or else goes to standard error, which says so. What goes to /dev/null, or to a standard
    /// output that is closed (>&-), counts as printed.
    Pop { queue: String },
    /// Show the next ready messages without taking them
    Peek {
        queue: String,
        /// Up to this many
        #[arg(long, default_value_t = 1)]
        max: usize,
    },
    /// List messages, one JSON object a line, by priority and then by age
    List {
        queue: String,
        /// Only those in this state: ready, delayed or leased
        #[arg(long)]
        state: Option<State>,
        /// At most this many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Print the array, every element as it is in the file
    Cat { queue: String },
    /// Show every message with this id
    Get { queue: String, id: String },
    /// Change every message with this id where it is; prints how many there are
    ///
    /// What is not named stays. Whoever has one under a lease has what it was when he took it.
    Update {
        queue: String,
        id: String,
        /// Another payload; - reads it from standard input
        #[arg(allow_hyphen_values = true)]
        json: Option<String>,
        /// urgent, high, normal or low
        #[arg(long)]
        priority: Option<Priority>,
        /// Not to be received before this time has passed from now; 0s is at once
        #[arg(long, value_parser = parse_duration)]
        delay: Option<Duration>,
        /// Not to be delivered any more when this time has passed from now
        #[arg(long, value_parser = parse_duration)]
        ttl: Option<Duration>,
        /// To be delivered however old it is
        #[arg(long, conflicts_with = "ttl")]
        no_ttl: bool,
    },
    /// Remove every message with one of these ids, leased or not; prints how many
    Remove {
        queue: String,
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove every message, or every message in one state; prints how many
    Purge {
        queue: String,
        /// Only those in this state: ready, delayed or leased
        #[arg(long)]
        state: Option<State>,
    },
    /// Move messages to another queue, each exactly once; prints their ids
    ///
    /// Messages under a lease are left: somebody works on them.
    Move {
        queue: String,
        /// The queue they go to
        #[arg(long)]
        to: String,
        #[command(flatten)]
        which: Which,
    },
    /// Send messages back to the queues they came from, ready at once and with all attempts before them
    ///
    /// Prints the ids and the queues.
    Redrive {
        queue: String,
        #[command(flatten)]
        which: Which,
        /// Only print what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the configuration as JSON, or set one setting for every process
    ///
    /// flockq config set inbound.backoff 10s
    Config {
        #[command(subcommand)]
        action: Option<ConfigAction>,
    },
    /// Fold the journal into the queue's file; nothing to do for a plain queue
    Checkpoint { queue: String },
    /// Give a queue a journal, or fold it and take it away; messages and leases stay
    Convert {
        queue: String,
        /// journal or plain
        #[arg(long)]
        to: Mode,
    },
    /// Check every byte of the queues' files; exit code 1 when something is damaged or cannot be looked at
    Check {
        /// Only this queue
        queue: Option<String>,
        /// One JSON object a queue instead of lines for people
        #[arg(long)]
        json: bool,
    },
    /// Save what can be saved of a damaged queue; the damaged files are kept beside it
    ///
    /// Exit code 1 when something could not be saved; what that is, is printed.
    Repair {
        queue: String,
        /// A JSON object instead of lines for people
        #[arg(long)]
        json: bool,
    },
    /// How the queues stand
    Stats {
        /// Only this queue
        queue: Option<String>,
        /// One JSON object instead of a table; it also has what was counted
        #[arg(long)]
        json: bool,
        /// All figures of all queues in the text format that Prometheus reads
        #[arg(long, conflicts_with_all = ["queue", "json"])]
        prometheus: bool,
        /// Write that to a file, which is replaced as a whole: DIR/NAME.prom for node_exporter's textfile collector
        #[arg(long, value_name = "FILE", requires = "prometheus")]
        output: Option<PathBuf>,
    },
    /// Look at the directory and all queues, and say what is wrong or risky, with the command that mends it
    ///
    /// Exit code 1 when there is a problem; risks and notes are none.
    Doctor {
        /// A JSON array instead of lines for people
        #[arg(long)]
        json: bool,
    },
    /// Run a command while holding the lock of a file
    ///
    /// The same lock protocol as for queues: DIR/NAME is locked by DIR/.gastown/locks/NAME.lock. The file need not
    /// exist. With --dir, FILE is below that directory. The exit code is the command's; 4 when the lock could not be had.
    /// SIGTERM, SIGHUP, SIGINT and SIGQUIT are handed on to the command.
    Lock {
        file: PathBuf,
        /// Others may hold it shared at the same time
        #[arg(long)]
        shared: bool,
        /// How long to wait for it; 0s tries once
        #[arg(long, value_parser = parse_duration, default_value = "30s")]
        timeout: Duration,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigAction {
    /// Set one setting; processes that run see it at their next operation
    Set {
        /// A queue or default, a point and a key: inbound.backoff
        setting: String,
        /// The value: 10s, 3, full, another queue; null for nothing
        value: String,
    },
}

/// Which messages to move.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// Only those with one of these ids
    #[arg(long = "id", value_name = "ID", allow_hyphen_values = true)]
    ids: Vec<String>,
    /// Only those in this state: ready or delayed
    #[arg(long)]
    state: Option<State>,
    /// Only those whose error has this in it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    error: Option<String>,
    /// At most this many
    #[arg(long)]
    limit: Option<usize>,
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        let mut filter = Filter::new();
        if !which.ids.is_empty() {
            filter = filter.ids(which.ids);
        }
        if let Some(state) = which.state {
            filter = filter.state(state);
        }
        if let Some(error) = which.error {
            filter = filter.error(error);
        }
        if let Some(limit) = which.limit {
            filter = filter.limit(limit);
        }
        filter
    }
}
