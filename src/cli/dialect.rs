//! `socketqueue dialect check FILE`, `show NAME`, `schema`: dialect documents for those who write them.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};

use crate::dialect::{Dialect, Finding, Masked, is_javascript_path, javascript_finding};
use crate::framing::Framing;
use crate::iso8583::schema::{BitmapForm, Encoding, Length, Side};
use crate::iso8583::{FieldNumber, FieldSpec, field};
use crate::output;

/// The largest file that is read, in bytes; what is longer is no dialect document.
const FILE_LEN_MAX: u64 = 1 << 20;

/// How the subcommands are used.
const USAGE: &str = "\
usage: socketqueue dialect check FILE          lints a dialect document
       socketqueue dialect show NAME [--json]  prints a dialect, built in or of a file, as tables or as its document
       socketqueue dialect schema              prints the JSON Schema of dialect documents
";

/// Runs `socketqueue dialect …`; `args` is what follows `dialect`.
pub fn run(args: &[String]) -> ExitCode {
    match args.split_first() {
        Some((command, rest)) if command == "check" => check(rest),
        Some((command, rest)) if command == "show" => show(rest),
        Some((command, rest)) if command == "schema" => schema(rest),
        _ => usage(),
    }
}

/// `check FILE`: every finding on a line of its own, and how many there are. Not 0 if one is an error.
pub fn check(args: &[String]) -> ExitCode {
    let [name] = args else { return usage() };
    let (text, is_sound) = report(name);
    // A file's name and what is quoted from the file were typed by somebody.
    print(&output::masked_lines(&text));
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What there is to say about the dialect of that name or file, and whether it is one.
fn report(name: &str) -> (String, bool) {
    let (dialect, findings) = match read(name) {
        Ok(text) => lint(&text),
        Err(finding) => (None, vec![finding]),
    };
    let mut report = String::new();
    for finding in &findings {
        report.push_str(&format!("{name}: {finding}\n"));
    }
    let errors = findings.iter().filter(|finding| finding.fatal).count();
    let warnings = findings.len() - errors;
    report.push_str(&match (&dialect, warnings) {
        (Some(dialect), 0) => format!("{name}: dialect {}: ok\n", dialect.name),
        (Some(dialect), _) => {
            format!("{name}: dialect {}: ok, with {}\n", dialect.name, count(warnings, "warning"))
        }
        (None, 0) => format!("{name}: {}\n", count(errors, "error")),
        (None, _) => format!("{name}: {}, {}\n", count(errors, "error"), count(warnings, "warning")),
    });
    (report, errors == 0)
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `show NAME [--json]`: the dialect as tables, or its document. `NAME` is built in or a file.
pub fn show(args: &[String]) -> ExitCode {
    let (flags, names): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with('-'));
    let [name] = names[..] else { return usage() };
    if flags.iter().any(|flag| *flag != "--json") {
        return usage();
    }
    match display(name, !flags.is_empty()) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(text) => complain(&text, ExitCode::FAILURE),
    }
}

/// The dialect of that name or file, as tables or as its document; else why it can't be shown.
fn display(name: &str, as_json: bool) -> Result<String, String> {
    let text = read(name).map_err(|finding| format!("{name}: {finding}\n"))?;
    match lint(&text) {
        (Some(_), _) if as_json => Ok(text),
        (Some(dialect), _) => Ok(tables(&dialect)),
        (None, _) => Err(format!("{name}: no dialect: `socketqueue dialect check {name}` says why\n")),
    }
}

/// `schema`: the JSON Schema of dialect documents.
pub fn schema(args: &[String]) -> ExitCode {
    if !args.is_empty() {
        return usage();
    }
    print(&format!("{}\n", Dialect::json_schema()));
    ExitCode::SUCCESS
}

/// The document of a built-in dialect, or of a file.
fn read(name: &str) -> Result<String, Finding> {
    if let Some(document) = Dialect::builtin_document(name) {
        return Ok(document.to_owned());
    }
    if is_javascript_path(name) {
        return Err(javascript_finding());
    }
    let path = Path::new(name);
    let refused = |error: std::io::Error| Finding::fatal("", unreadable(name, &error));
    let len = std::fs::metadata(path).map_err(refused)?.len();
    if len > FILE_LEN_MAX {
        return Err(Finding::fatal("", format!("the file has {len} bytes, at most {FILE_LEN_MAX} are read")));
    }
    std::fs::read_to_string(path).map_err(refused)
}

fn unreadable(name: &str, error: &std::io::Error) -> String {
    let builtin = Dialect::builtin_names().collect::<Vec<_>>().join(" and ");
    match Dialect::nearest_builtin(name) {
        Some(near) => {
            format!("can't be read ({error}), and no built-in dialect has that name: did you mean {near}?")
        }
        None => {
            format!("can't be read ({error}), and no built-in dialect has that name; there are {builtin}")
        }
    }
}

/// What the dialect room finds, and whether its framing is one.
fn lint(text: &str) -> (Option<Dialect>, Vec<Finding>) {
    let (dialect, mut findings) = Dialect::check_json(text);
    let framing = dialect.as_ref().map(|dialect| Framing::parse(&dialect.framing));
    match framing {
        Some(Err(error)) => {
            findings.push(Finding::fatal("framing", error.to_string()));
            (None, findings)
        }
        _ => (dialect, findings),
    }
}

fn tables(dialect: &Dialect) -> String {
    let schema = &dialect.schema;
    let mut out = format!("{}: framing {}, ", dialect.name, dialect.framing);
    out.push_str(&format!("MTI {}, bitmap {}\n\n", mti_words(schema.mti), bitmap_words(schema.bitmap)));
    let mut fields = table(&["DE", "name", "type", "length", "filled up", "shown", "rules"]);
    for (n, spec) in schema.fields() {
        fields.add_row([
            n.to_string(),
            spec.name.to_string(),
            spec.type_name.to_string(),
            length_words(spec),
            pad_words(spec),
            shown_words(dialect, n),
            rules_words(dialect, n),
        ]);
    }
    out.push_str(&format!("{fields}\n\n"));
    let mut rules = table(&["rule", ""]);
    for (mti, numbers) in &dialect.obligatory {
        rules.add_row([format!("obligatory for {mti}"), numbers_words(numbers)]);
    }
    if let Some(expiration) = dialect.expiration {
        let words = format!("DE {} more than {} s from now", expiration.field, expiration.within.as_secs());
        rules.add_row(["expired".to_owned(), words]);
    }
    rules.add_row(["moves no money".to_owned(), dialect.no_money.join(", ")]);
    rules.add_row(["reversal".to_owned(), reversal_words(dialect)]);
    let echo = dialect
        .echo_reply
        .code
        .as_ref()
        .map_or("not answered".to_owned(), |code| format!("answered with {code}"));
    rules.add_row(["a host's own 0800".to_owned(), echo]);
    let refusals = &dialect.refusals;
    let words = format!(
        "invalid {}, duplicate {}, timeout {}, unavailable {}",
        refusals.invalid, refusals.duplicate, refusals.timeout, refusals.unavailable
    );
    rules.add_row(["refusals".to_owned(), words]);
    out.push_str(&format!("{rules}\n\n"));
    let mut codes = table(&["response codes", ""]);
    for (class, list) in [
        ("request approved", &dialect.codes.approved),
        ("request declined", &dialect.codes.declined),
        ("request in doubt, and all others", &dialect.codes.in_doubt),
        ("reversal accepted", &dialect.codes.accepted),
        ("reversal: not found", &dialect.codes.not_found),
        ("reversal rejected", &dialect.codes.reject),
        ("reversal: retry, and all others", &dialect.codes.retry),
    ] {
        codes.add_row([class.to_owned(), list.join(" ")]);
    }
    out.push_str(&format!("{codes}\n"));
    out
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}

fn mti_words(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Bcd { .. } | Encoding::Binary => "packed digits",
        Encoding::Ebcdic => "EBCDIC digits",
        _ => "ASCII digits",
    }
}

fn bitmap_words(form: BitmapForm) -> String {
    let kind = if form.hex { "hex" } else { "binary" };
    match form.groups {
        1 => format!("{kind}, fixed, 64 bits"),
        groups => format!("{kind}, up to {} bits", u16::from(groups) * 64),
    }
}

fn length_words(spec: &FieldSpec) -> String {
    match spec.length {
        Length::Fixed(units) => units.to_string(),
        Length::Variable { max, .. } => format!("..{max}"),
    }
}

fn pad_words(spec: &FieldSpec) -> String {
    let Some(pad) = spec.pad else { return String::new() };
    let side = if pad.side == Side::Left { "left" } else { "right" };
    match pad.with {
        0 => format!("{side}, zeros"),
        b' ' => format!("{side}, blanks"),
        with => format!("{side}, {}", char::from(with)),
    }
}

fn shown_words(dialect: &Dialect, n: FieldNumber) -> String {
    match dialect.masked.get(&n) {
        Some(Masked::Pan) => "as a PAN",
        Some(Masked::Track) => "as a track",
        Some(Masked::Secret) => "never",
        Some(Masked::Icc) => "by tag",
        None if dialect.safe.contains(&n) => "yes",
        None => "searched",
    }
    .to_owned()
}

fn rules_words(dialect: &Dialect, n: FieldNumber) -> String {
    let mut rules = Vec::new();
    if dialect.pad_fields.contains(&n) {
        rules.push("pad".to_owned());
    }
    let obligatory = dialect.obligatory.iter().filter(|(_, numbers)| numbers.contains(&n));
    rules.extend(obligatory.map(|(mti, _)| mti.to_string()));
    if dialect.echoed.contains(&n) {
        rules.push("echoed".to_owned());
    }
    rules.join(" ")
}

fn reversal_words(dialect: &Dialect) -> String {
    let Some(profile) = &dialect.reversal else { return "none".to_owned() };
    let mut words =
        format!("{}, repeated as {}, answered by {}; ", profile.first, profile.repeat, profile.response);
    match &profile.clone {
        None => words.push_str("all elements"),
        Some(numbers) => words.push_str(&format!("elements {}", numbers_words(numbers))),
    }
    words.push_str(&format!("; DE {} now", field::TRANSMISSION_TIME));
    for (n, value) in &profile.set {
        words.push_str(&format!("; DE {n} = {value}"));
    }
    words.push_str(match profile.original_data {
        crate::dialect::OriginalData::Absent => "",
        crate::dialect::OriginalData::De90 => "; original data in DE 90",
        crate::dialect::OriginalData::De56 => "; original data in DE 56",
    });
    words
}

fn numbers_words(numbers: &[FieldNumber]) -> String {
    numbers.iter().map(FieldNumber::to_string).collect::<Vec<_>>().join(" ")
}

fn usage() -> ExitCode {
    complain(USAGE, ExitCode::from(2))
}

/// Writes to standard output. A reader that has gone away is no error of ours.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error; gives `code` back.
fn complain(text: &str, code: ExitCode) -> ExitCode {
    output::complain(text);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_fails_on_a_broken_document_and_passes_a_sound_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let document = Dialect::builtin_document("openWay").unwrap();
        let template = "socketqueue dialect show smartVista --json";
        for (name, sound, said) in [
            ("smartVista".to_owned(), true, "smartVista: dialect smartVista: ok\n"),
            ("openway".to_owned(), true, "openway: dialect openWay: ok\n"),
            (file("sound.json", document), true, "dialect openWay: ok\n"),
            (file("broken.json", "{ \"name\": \"x\" }"), false, "error: refusals: is missing\n"),
            (file("framing.json", &document.replace("\"bin2\"", "\"bin99\"")), false, "error: framing: "),
            (file("mine.js", "{}"), false, template),
            (file("mine.json", "module.exports = {}"), false, template),
            (
                file("twice.json", &document.replacen("\"3\":", "\"2\":", 1)),
                false,
                "fields.2: is there twice\n",
            ),
            ("smartVsta".to_owned(), false, "did you mean smartVista?"),
            (directory.path().join("absent.json").to_str().unwrap().to_owned(), false, "can't be read"),
            (file("long.json", &" ".repeat(1 + FILE_LEN_MAX as usize)), false, "at most 1048576 are read"),
        ] {
            let (report, is_sound) = report(&name);
            assert_eq!(is_sound, sound, "{report}");
            assert!(report.contains(said), "{said}: {report}");
            assert_eq!(display(&name, false).is_ok(), sound, "{name}");
        }
    }

    #[test]
    fn show_prints_the_document_from_which_one_can_start() {
        let document = display("smartvista", true).unwrap();
        assert_eq!(Dialect::from_json(&document).unwrap().name, "smartVista");
    }

    #[test]
    fn show_prints_fields_rules_and_codes() {
        let tables = display("openWay", false).unwrap();
        for line in [
            "openWay: framing bin2, MTI packed digits, bitmap binary, fixed, 64 bits",
            "0400, repeated as 0401, answered by 0410",
            "original data in DE 56",
            "obligatory for 0800",
            "System Trace Audit Number",
        ] {
            assert!(tables.contains(line), "{line}: {tables}");
        }
    }

    #[test]
    fn what_is_not_understood_is_a_usage_error() {
        let code = |code: ExitCode| format!("{code:?}");
        let calls: [&[&str]; 5] =
            [&[], &["check"], &["show", "openWay", "--jsn"], &["schema", "x"], &["lint"]];
        for words in calls {
            let args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(code(run(&args)), code(ExitCode::from(2)), "{words:?}");
        }
    }
}
