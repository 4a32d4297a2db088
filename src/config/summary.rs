//! What a configuration would run, for `socketqueue check`.

use std::time::Duration;

use super::Config;
use super::param::show_time;
use super::problem::masked;
use crate::journal::Durability;
use crate::upstream::Endpoint;

/// One line for each part.
pub(super) fn lines(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(upstream) = &config.upstream {
        let endpoint = match &upstream.endpoint {
            Endpoint::Connect { host, port } => format!("connects to {host}:{port}"),
            Endpoint::Listen { host, port } => format!("waits for the host on {host}:{port}"),
        };
        let mux = &upstream.mux;
        lines.push(format!(
            "upstream {endpoint}, dialect {}, framing {}",
            config.dialect.name, upstream.framing
        ));
        lines.push(format!(
            "queue up to {} transactions, {} each, one at a time per terminal: {}",
            mux.queue_max,
            show_time(mux.queue_timeout),
            if mux.lock_terminal { "yes" } else { "no" },
        ));
        lines.push(match mux.no_auto_reversal || mux.reversal.is_none() {
            true => "reversals never: what is owed is logged at error".to_owned(),
            false => format!(
                "reversals up to {} sendings over {}, then parked",
                mux.reversal_schedule.len() + 1,
                show_time(mux.reversal_schedule.iter().sum::<Duration>()),
            ),
        });
    }
    if let Some(journal) = &config.journal {
        let durability = match journal.durability {
            Durability::Power => "power loss",
            Durability::Process => "the end of the process",
        };
        lines.push(format!("journal {}, survives {durability}", journal.file.display()));
    }
    for tcp in &config.tcp {
        lines.push(format!(
            "clients on {}:{}, framing {}, up to {}",
            tcp.host, tcp.port, tcp.framing, tcp.connections_max
        ));
    }
    for http in &config.http {
        let keys = if config.api_keys.is_empty() { "without API keys" } else { "with an API key" };
        lines.push(format!(
            "HTTP clients on {}:{}, {keys}, up to {}",
            http.host, http.port, http.connections_max
        ));
    }
    if let Some(bank) = &config.bank {
        lines.push(format!("bank on {}:{}, framing {}", bank.host, bank.port, bank.framing));
    }
    if let Some(tests) = &config.test_clients {
        lines.push(format!("test clients: {}, to {}:{}", tests.count, tests.host, tests.port));
    }
    let admin = &config.admin;
    lines.extend(admin.statistics.as_ref().map(|address| format!("statistics on {address}")));
    lines.extend(admin.admin.as_ref().map(|address| format!("admin on {address}, read-only")));
    lines.extend(admin.socket.as_ref().map(|socket| format!("admin socket {}", socket.path.display())));
    if config.log.mask.reveal {
        lines.push("note: dangerous: card data is logged unmasked".to_owned());
    }
    lines.extend(config.notices.iter().map(|notice| format!("note: {notice}")));
    lines.iter().map(|line| masked(line)).collect()
}
