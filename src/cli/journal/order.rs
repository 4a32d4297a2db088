//! `journal retry`, `resolve`, `rekey`: what changes a journal.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::at::{At, Found};
use super::view::row_of;
use super::{Failure, JournalCommandError, socket};
use crate::cli::USAGE;
use crate::journal::desk::{Entry, Keeper, KeySource, Reader};
use crate::journal::seal::KEY_VARIABLE;
use crate::journal::{Holder, JournalError};
use crate::mux::{Decision, Objection, TxId};
use crate::output;

/// Longest operator or reason, as the operator's socket has it.
const TEXT_LEN_MAX: usize = 200;

/// How long a gateway that has just begun may take to write down under which ids it has taken open rows over.
const ADOPTION: Duration = Duration::from_secs(5);
/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends a parked or listed reversal or advice again, its tries beginning anew.
///
/// While a gateway has the journal the order goes to it, over its adminSocket, and it sends at once; else the order is
/// written into the file, and the next gateway that opens it sends. Who and why are journaled. Exit codes: 0 done, 1 not
/// done (it says why, and the way out), 2 the command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal retry 4711 --reason 'host was down, ticket 12'
  socketqueue journal retry 000000400000 --operator ann --reason 'checked with the bank' --force")]
pub(super) struct RetryArgs {
    /// Number of the row, or id of the transaction
    row: String,
    /// Why; it is journaled
    #[arg(long)]
    reason: String,
    /// Who; the user who is logged in unless given
    #[arg(long)]
    operator: Option<String>,
    /// Also if its key was used again (a repeat could undo the later transaction), or it was for another host
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: At,
}

/// Closes a parked or listed reversal or advice that was seen to by other means.
///
/// Nothing is sent for it any more. Who and why are journaled. It goes to the gateway that has the journal, over its
/// adminSocket, or into the file when nobody has it. Exit codes: 0 done, 1 not done (it says why, and the way out), 2 the
/// command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal resolve 4711 --reason 'reversed by the bank by hand, reference 99'")]
pub(super) struct ResolveArgs {
    /// Number of the row, or id of the transaction
    row: String,
    /// Why; it is journaled
    #[arg(long)]
    reason: String,
    /// Who; the user who is logged in unless given
    #[arg(long)]
    operator: Option<String>,
    /// Without a gateway: also one that the next start would still see to
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: At,
}

/// Seals everything in a journal with a new key; the old one is no longer needed then.
///
/// Wants the gateway stopped. A key that stands in a file (journalKeyFile) is made and put there. A key in the environment
/// is yours to change: put the new one before the old one (SOCKETQUEUE_JOURNAL_KEY='NEW OLD'), run this, and take the old
/// one away. Interrupted at any moment, the keys that are there unseal the journal. Backups need the key of their time.
/// Exit codes: 0 done, 1 not done, 2 the command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal rekey -c config.json
  SOCKETQUEUE_JOURNAL_KEY=\"$(openssl rand -hex 32) $OLD_KEY\" socketqueue journal rekey --journalFile a.journal")]
pub(super) struct RekeyArgs {
    /// Make no key: the first of those in the key file is the new one
    #[arg(long)]
    use_first: bool,
    #[command(flatten)]
    at: At,
}

/// An order, once it is known what it is about.
struct Order<'a> {
    found: &'a Found,
    entry: Entry,
    operator: String,
    reason: &'a str,
    force: bool,
}

pub(super) fn retry(args: &RetryArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let order = Order::new(&found, &args.row, args.operator.as_deref(), &args.reason, args.force)?;
    let done = order.carry_out("/v1/journal/retry", |keeper, order, decision, now_ms| {
        keeper.retry(order.entry.row, order.force, decision, now_ms)
    })?;
    output::say(&match done {
        By::Gateway => format!("row {}: the gateway sends it again\n", order.entry.row),
        By::Us => {
            format!("row {}: the next gateway that opens this journal sends it again\n", order.entry.row)
        }
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn resolve(args: &ResolveArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let order = Order::new(&found, &args.row, args.operator.as_deref(), &args.reason, args.force)?;
    order.carry_out("/v1/journal/resolve", |keeper, order, decision, now_ms| {
        keeper.resolve(order.entry.row, order.force, decision, now_ms)
    })?;
    output::say(&format!("row {}: resolved\n", order.entry.row));
    Ok(ExitCode::SUCCESS)
}

/// Who carried an order out.
enum By {
    Gateway,
    Us,
}

impl<'a> Order<'a> {
    fn new(
        found: &'a Found,
        row: &str,
        operator: Option<&str>,
        reason: &'a str,
        force: bool,
    ) -> Result<Order<'a>, Failure> {
        let operator = operator.map_or_else(user, str::to_owned);
        for (name, text) in [("--operator", operator.as_str()), ("--reason", reason)] {
            if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
                let text = format!("{name}: 1 to {TEXT_LEN_MAX} bytes, not all blank");
                return Err(Failure::refused(text).coded(USAGE));
            }
        }
        let entry = row_of(&Reader::open(&found.options.file)?, row)?;
        Ok(Order { found, entry, operator, reason, force })
    }

    /// By whoever has the journal.
    fn carry_out(
        &self,
        command: &str,
        by_us: impl FnOnce(&mut Keeper, &Order<'_>, &Decision, i64) -> Result<Result<(), Objection>, JournalError>,
    ) -> Result<By, Failure> {
        if !self.entry.is_open() {
            let way_out = "; it is over: `journal show` tells how";
            let what = format!("row {}", self.entry.row);
            return Err(
                JournalCommandError::Objection { what, objection: Objection::NotWaiting, way_out }.into()
            );
        }
        let options = &self.found.options;
        let mut keeper = match Keeper::take(options) {
            Ok(keeper) => keeper,
            Err(JournalError::Locked { path }) => {
                self.ask_the_gateway(command, &path)?;
                return Ok(By::Gateway);
            }
            Err(error) => return Err(error.into()),
        };
        let decision = Decision { operator: self.operator.as_str().into(), reason: self.reason.into() };
        by_us(&mut keeper, self, &decision, self.found.clock.now().wall_ms)?
            .map_err(|objection| self.objection(objection, By::Us))?;
        Ok(By::Us)
    }

    fn ask_the_gateway(&self, command: &str, journal: &Path) -> Result<(), Failure> {
        let holder = Holder::read(journal);
        let who = holder.pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
        let Some(socket) = self.found.admin_socket.clone().or(holder.admin_socket) else {
            return Err(Failure::refused(format!(
                "{who} has the journal {} and no adminSocket, over which it would take orders; start it with \
                 adminSocket, or stop it and give the order then",
                journal.display()
            )));
        };
        let id = TxId::from_bits(self.id_there()?).to_string();
        let mut body = json!({
            "operator": self.operator,
            "reason": self.reason,
            "request": id,
            "upstream": self.entry.upstream.name,
        });
        if self.force {
            body["force"] = true.into();
        }
        let answer = socket::post(&socket, command, &body).map_err(|error| {
            Failure::refused(format!(
                "{who} has the journal, and its operator's socket {} does not answer: {error}; give the --adminSocket \
                 of the gateway that has it, or stop it and give the order then",
                socket.display()
            ))
        })?;
        if answer.status == 200 {
            return Ok(());
        }
        let objection = match answer.body["objection"].as_str() {
            Some("unknown") => Objection::Unknown,
            Some("not_waiting") => Objection::NotWaiting,
            Some("key_used_again") => Objection::KeyUsedAgain,
            Some("other_upstream") => Objection::OtherUpstream,
            Some("nothing_to_send") => Objection::NothingToSend,
            _ => {
                let why = answer.body["error"].as_str().unwrap_or("it does not say why");
                return Err(Failure::refused(format!("the gateway answers {}: {why}", answer.status)));
            }
        };
        Err(self.objection(objection, By::Gateway))
    }

    /// The id by which the gateway knows it. One that has just begun gives new ids to what it takes over.
    fn id_there(&self) -> Result<u64, Failure> {
        let reader = Reader::open(&self.found.options.file)?;
        let until = Instant::now() + ADOPTION;
        loop {
            let Some(entry) = reader.entry(self.entry.row)? else { return Ok(self.entry.id) };
            if !entry.is_of_before || Instant::now() >= until {
                return Ok(entry.id);
            }
            // The other process tells nobody when it has adopted a row: only its file says so.
            std::thread::sleep(PAUSE);
        }
    }

    fn objection(&self, objection: Objection, by: By) -> Failure {
        let way_out = match (objection, by) {
            (Objection::Unknown, By::Gateway) => {
                "; the gateway that has the journal does not know it, because it is over, or its message is not of the \
                 gateway's dialect: stop the gateway, and decide then"
            }
            (Objection::Unknown, By::Us) => "",
            (Objection::NotWaiting, By::Gateway) => "; `journal show` tells where it stands",
            (Objection::NotWaiting, By::Us) => {
                "; the next start sees to it (resolve --force closes it all the same)"
            }
            (Objection::KeyUsedAgain, _) => {
                "; find out from the bank what it has of both, then --force sends it"
            }
            (Objection::OtherUpstream, _) => "; --force sends it to the host that there is now",
            (Objection::NothingToSend, _) => {
                "; it can be sent after the gateway's next start if its dialect has reversals, or be resolved"
            }
        };
        JournalCommandError::Objection { what: format!("row {}", self.entry.row), objection, way_out }.into()
    }
}

/// Who is logged in, as far as the environment tells.
fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|name| !name.trim().is_empty());
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

pub(super) fn rekey(args: &RekeyArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let options = &found.options;
    let source = match options.key_variable.is_some() || args.use_first {
        true => KeySource::First,
        false => KeySource::Made(options.key_path()),
    };
    let keeper = match Keeper::take(options) {
        Err(JournalError::Locked { path }) => {
            let pid = Holder::read(&path).pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            return Err(Failure::refused(format!(
                "a gateway{pid} has the journal {}; stop it, run this, and start it again",
                path.display()
            )));
        }
        other => other?,
    };
    let done = keeper.rekey(options, &source, &mut |_| true)?;
    let Some(done) = done else { return Err(Failure::refused("interrupted")) };
    if done.retired.is_empty() {
        let place = match options.key_variable.is_some() {
            true => format!("{KEY_VARIABLE} has one key only"),
            false => "there is one key only".to_owned(),
        };
        return Err(Failure::refused(format!(
            "{place}, and everything is sealed with it; give the new key first and the old one after it"
        )));
    }
    output::say(&format!(
        "sealed anew with key {}: {} messages; no longer needed: {}\n",
        done.key_id,
        done.resealed,
        done.retired.join(", ")
    ));
    match &source {
        KeySource::Made(file) => output::say(&format!("{} has the new key\n", file.display())),
        KeySource::First => output::say("take the old key away, and keep the first\n"),
    }
    Ok(ExitCode::SUCCESS)
}
