//! Reversals as the gateway makes them, in both dialects.

use bytes::Bytes;
use socketqueue::bank::Faults;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti};
use socketqueue::rules::{self, KeyFields, ReversalImage};
use socketqueue::time::{Civil, Now};

use crate::host::{Bank, sale, settings, text, verdict};

fn number(n: u16) -> FieldNumber {
    FieldNumber::new(n).unwrap()
}

/// An OpenWay purchase of 10.00 by terminal T0000001, STAN 7.
fn open_way_sale(dialect: &Dialect) -> Message {
    let mut draft = Draft::new(&dialect.schema, Mti::new(0x0200));
    for (n, value) in [
        (2, "4850781234567891"),
        (3, "000000"),
        (4, "000000001000"),
        (7, "1122032633"),
        (11, "000007"),
        (12, "032633"),
        (13, "1122"),
        (22, "0051"),
        (41, "T0000001"),
        (49, "0643"),
    ] {
        draft.set_text(number(n), value);
    }
    draft.finish().unwrap()
}

/// A purchase, its reversal as the gateway renders it, a repeat of that with the RRN learned from the approval; and a
/// reversal of another purchase before that one comes.
#[tokio::test]
async fn the_gateways_reversals_find_their_originals() {
    for (name, approved, not_found, refused) in
        [("smartVista", "000", "914", "100"), ("openWay", "00", "25", "05")]
    {
        let bank = Bank::start_with(settings(Faults::default()), name).await;
        let dialect = bank.dialect.clone();
        let smart_vista = |stan| Message::parse(&dialect.schema, Bytes::from(sale(1, stan, 1000))).unwrap();
        let original = if name == "openWay" { open_way_sale(&dialect) } else { smart_vista(7) };
        let profile = dialect.reversal.clone().unwrap();
        let at = Civil::parse_yymmddhhmmss(b"261122032633").unwrap();
        let now = Now { wall_ms: at.to_seconds() * 1000, ..Now::default() };
        let keys = KeyFields(vec![number(11), number(41)]);
        let image = |message: &Message| {
            let request = rules::prepare(&dialect, &keys, message.clone(), now).unwrap();
            ReversalImage::of(&request, &profile)
        };
        let reversal = image(&original);

        let mut link = bank.connect().await;
        link.send(&[original.raw().to_vec()]).await;
        let approval = link.answer().await;
        assert_eq!(verdict(&approval), format!("0210 {approved}"), "{name}");
        assert_eq!(
            text(&approval, 2),
            if name == "openWay" { "4850781234567891" } else { "4850781234567900" }
        );
        let rrn = text(&approval, 37);
        assert_eq!(rrn.len(), 12);
        link.send(&[
            reversal.render(now, false, None).to_vec(),
            reversal.render(now, true, None).to_vec(),
            reversal.render(now, true, Some(rrn.as_bytes())).to_vec(),
        ])
        .await;
        for _ in 0..3 {
            assert_eq!(link.verdict().await, format!("0410 {approved}"), "{name}");
        }

        let mut late = Draft::of(&original);
        late.set_text(number(11), "000008");
        let late = late.finish().unwrap();
        link.send(&[image(&late).render(now, false, None).to_vec(), late.raw().to_vec()]).await;
        assert_eq!(link.verdict().await, format!("0410 {not_found}"), "{name}");
        assert_eq!(link.verdict().await, format!("0210 {refused}"), "{name}");

        let summary = bank.stop().await;
        assert_eq!(
            (summary.booked, summary.reversed, summary.reversal_repeats, summary.late_originals_refused),
            (1, 1, 2, 1),
            "{name}"
        );
    }
}
